//! TLS over rustls's unbuffered connections. The only place that knows them: rustls 0.24 replaces that API.

use std::fmt;
use std::mem;
use std::ops::DerefMut;

use bytes::BytesMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{CipherSuite, Error, InvalidMessage};
use zeroize::{Zeroize, Zeroizing};

use super::error::TlsError;

/// What rustls's connections in the two roles have in common but for the name.
pub(super) trait Connection: DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> {
    type Data;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

/// One TLS connection, in either role.
pub(super) struct Tls<C> {
    connection: C,
    /// Input that rustls is not done with; empty, without memory of its own, between two whole records.
    pending: Vec<u8>,
    /// How many bytes at the front of `pending` are whole records that rustls has read and will look at again: parts
    /// of a handshake message. The rest is the beginning of one record.
    held: usize,
    /// Nothing that follows will be looked at: the peer's close_notify came, or an error.
    deaf: bool,
    /// Nothing more will be sent: our close_notify or an alert has left, or the keys are used up.
    mute: bool,
    closed_by_peer: bool,
}

impl<C: Connection> Tls<C> {
    pub(super) fn new(connection: C) -> Self {
        Self { connection, pending: Vec::new(), held: 0, deaf: false, mute: false, closed_by_peer: false }
    }

    /// Appends what our side says first; nothing where that is the peer's to do.
    pub(super) fn start(&mut self, output: &mut BytesMut) -> Result<(), TlsError> {
        self.process(&mut [], output, &mut |_| {}).map(drop)
    }

    pub(super) fn receive(
        &mut self,
        wire: &mut [u8],
        output: &mut BytesMut,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        let start = output.len();
        let result = self.receive_records(wire, output, plaintext);
        if self.mute {
            // Nothing may follow a close_notify, not even the answer to a key update.
            output.truncate(start);
        }
        if result.is_err() {
            self.deaf = true;
            self.mute = true;
        }
        if self.deaf {
            self.pending = Vec::new();
        }
        self.pending.shrink_to_fit();
        result
    }

    fn receive_records(
        &mut self,
        mut wire: &mut [u8],
        output: &mut BytesMut,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        while !wire.is_empty() && !self.deaf {
            if self.pending.is_empty() {
                let incomplete = incomplete_record(wire, 0);
                let done = self.process(wire, output, plaintext)?;
                self.held = incomplete.saturating_sub(done);
                self.pending = wire[done..].to_vec();
                break;
            }
            // Complete the record that has begun, so that those behind it can be decrypted where they are.
            let (part, rest) = wire.split_at_mut(self.missing().min(wire.len()));
            wire = rest;
            self.pending.extend_from_slice(part);
            let incomplete = incomplete_record(&self.pending, self.held);
            let mut pending = Zeroizing::new(mem::take(&mut self.pending));
            let done = self.process(&mut pending, output, plaintext)?;
            // What was decrypted in place may be a password.
            pending[..done].zeroize();
            pending.drain(..done);
            self.pending = mem::take(&mut *pending);
            self.held = incomplete.saturating_sub(done);
            if self.held > HANDSHAKE_LIMIT {
                return Err(TlsError(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)));
            }
        }
        Ok(())
    }

    /// How many bytes to append to `pending` before rustls can go on; never zero.
    fn missing(&self) -> usize {
        let record = &self.pending[self.held..];
        if self.held > 0 {
            // A handshake message in several records: rare enough to copy all of what is there.
            return usize::MAX;
        }
        let wanted = record_length(record).unwrap_or(RECORD_HEADER);
        wanted.saturating_sub(record.len()).max(1)
    }

    /// Lets rustls work on `bytes` until it wants more; how many bytes at their front it is done with.
    fn process(
        &mut self,
        bytes: &mut [u8],
        output: &mut BytesMut,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, TlsError> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process(&mut bytes[done..]);
            done += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(TlsError)?;
                        done += record.discard;
                        if !record.payload.is_empty() {
                            plaintext(record.payload);
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, output),
                // `output` is written out before the caller reads again, and in order.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.closed_by_peer = true;
                    self.deaf = true;
                    return Ok(bytes.len());
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => return Ok(done),
                Ok(ConnectionState::Closed) => return Ok(bytes.len()),
                // Early data is off in every configuration (`max_early_data_size` is zero, `enable_early_data` false).
                Ok(ConnectionState::ReadEarlyData(_) | _) => {
                    return Err(TlsError(Error::General("unexpected state".into())));
                }
                Err(error) => {
                    self.encode_alerts(&mut bytes[done..], output);
                    return Err(TlsError(error));
                }
            }
        }
    }

    /// Appends what rustls queued before it failed. `bytes` is what it failed on: it may still point into them.
    fn encode_alerts(&mut self, mut bytes: &mut [u8], output: &mut BytesMut) {
        while self.connection.wants_write() {
            let UnbufferedStatus { discard, state } = self.connection.process(bytes);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else {
                return;
            };
            encode(data, output);
            bytes = &mut bytes[discard..];
        }
    }

    pub(super) fn send(&mut self, plaintext: &[u8], output: &mut BytesMut) {
        debug_assert!(self.mute || !self.is_handshaking(), "data sent before the handshake has finished");
        if plaintext.is_empty() {
            return;
        }
        self.write(output, |mut traffic, output| {
            let records = plaintext.len().div_ceil(RECORD_LIMIT);
            let mut room = plaintext.len() + records * RECORD_OVERHEAD;
            loop {
                let start = output.len();
                output.resize(start + room, 0);
                let result = traffic.encrypt(plaintext, &mut output[start..]);
                output.truncate(start + *result.as_ref().unwrap_or(&0));
                match result {
                    Ok(_) => return true,
                    // A key update of our own or an answer to the peer's leaves in front of the data.
                    Err(EncryptError::InsufficientSize(size)) => room = size.required_size,
                    Err(EncryptError::EncryptExhausted) => return false,
                }
            }
        });
    }

    pub(super) fn close(&mut self, output: &mut BytesMut) {
        self.write(output, |mut traffic, output| {
            let start = output.len();
            output.resize(start + RECORD_OVERHEAD + ALERT, 0);
            let mut result = traffic.queue_close_notify(&mut output[start..]);
            if let Err(EncryptError::InsufficientSize(size)) = &result {
                output.resize(start + size.required_size, 0);
                result = traffic.queue_close_notify(&mut output[start..]);
            }
            output.truncate(start + result.unwrap_or(0));
            false
        });
        self.mute = true;
    }

    /// Writes application records by `write`, which says whether more can follow.
    fn write(
        &mut self,
        output: &mut BytesMut,
        write: impl FnOnce(WriteTraffic<'_, C::Data>, &mut BytesMut) -> bool,
    ) {
        if self.mute || self.is_handshaking() {
            return;
        }
        loop {
            // The bytes are those rustls has seen before: it may still point into them.
            let UnbufferedStatus { discard, state } = self.connection.process(&mut self.pending);
            debug_assert_eq!(discard, 0, "input was left over");
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, output),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    if write(traffic, output) {
                        return;
                    }
                    // rustls says close_notify by itself where the keys of TLS 1.2 are used up.
                    self.mute = true;
                    self.encode_alerts(&mut [], output);
                    return;
                }
                Ok(_) | Err(_) => {
                    debug_assert!(false, "a connection without error that cannot send");
                    self.mute = true;
                    return;
                }
            }
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn is_closed_by_peer(&self) -> bool {
        self.closed_by_peer
    }

    pub(super) fn connection(&self) -> &C {
        &self.connection
    }

    /// Whether part of a record has come, and the rest has not.
    pub(super) fn has_pending_input(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Bytes of memory that unfinished input occupies.
    #[cfg(test)]
    pub(super) fn pending_capacity(&self) -> usize {
        self.pending.capacity()
    }
}

impl<C: Connection> fmt::Debug for Tls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("handshaking", &self.is_handshaking())
            .field("pending", &self.pending.len())
            .field("deaf", &self.deaf)
            .field("mute", &self.mute)
            .finish_non_exhaustive()
    }
}

/// Appends one record that rustls made.
fn encode<D>(mut data: EncodeTlsData<'_, D>, output: &mut BytesMut) {
    let start = output.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        output.resize(start + size.required_size, 0);
        let written = data.encode(&mut output[start..]).unwrap_or(0);
        output.truncate(start + written);
    }
}

/// Where the record that has not arrived in full begins; whole records are skipped from `at` on.
fn incomplete_record(bytes: &[u8], mut at: usize) -> usize {
    while let Some(length) = record_length(&bytes[at..])
        && length <= bytes.len() - at
    {
        at += length;
    }
    at
}

/// The length of the record at the front with its header, once the header is there.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low, ..] = bytes else {
        return None;
    };
    Some(RECORD_HEADER + usize::from(u16::from_be_bytes([*high, *low])))
}

/// OpenSSL's name of a cipher suite; the RFC's for one that is not in the table.
pub(super) fn openssl_name(suite: CipherSuite) -> &'static str {
    let known = OPENSSL_NAMES.iter().find(|(known, _)| *known == suite);
    known.map(|(_, name)| *name).or_else(|| suite.as_str()).unwrap_or("unknown")
}

/// What one handshake message may hold, whatever the records it comes in; rustls's own limit for its body.
pub(super) const HANDSHAKE_LIMIT: usize = 0xffff;

const RECORD_HEADER: usize = 5;
const RECORD_LIMIT: usize = 1 << 14;
/// At least what a record adds to its content: header, explicit nonce, content type, tag.
const RECORD_OVERHEAD: usize = 32;
const ALERT: usize = 2;

/// The suites of rustls's own providers.
const OPENSSL_NAMES: [(CipherSuite, &str); 9] = [
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_provider_has_openssls_name() {
        for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
            let name = openssl_name(suite.suite());
            assert!(OPENSSL_NAMES.contains(&(suite.suite(), name)), "{name}");
        }
    }
}
