//! The server name in a ClientHello, read beside rustls: its unbuffered connections do not tell it.

/// Collects the first handshake message of a client until its server name can be read.
///
/// It judges nothing: what is not a well-formed ClientHello has no name here, and rustls refuses it.
#[derive(Default)]
pub(super) struct ClientHello {
    /// The record header that is arriving.
    header: [u8; RECORD_HEADER],
    header_length: usize,
    /// Payload bytes still to come in the present record.
    record_left: usize,
    /// The handshake message so far.
    message: Vec<u8>,
}

/// What a ClientHello said of the name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The message is not complete.
    Incomplete,
    /// It is complete, or will never be: the name, if there is one.
    Done(Option<Box<str>>),
}

impl ClientHello {
    /// Takes the next wire bytes; not to be called again after `Done`.
    pub(super) fn read(&mut self, mut wire: &[u8]) -> Progress {
        while !wire.is_empty() {
            if self.record_left > 0 {
                let (payload, rest) = wire.split_at(self.record_left.min(wire.len()));
                wire = rest;
                self.record_left -= payload.len();
                self.message.extend_from_slice(payload);
                if let done @ Progress::Done(_) = self.judge() {
                    return done;
                }
                continue;
            }
            let (part, rest) = wire.split_at((RECORD_HEADER - self.header_length).min(wire.len()));
            wire = rest;
            self.header[self.header_length..self.header_length + part.len()].copy_from_slice(part);
            self.header_length += part.len();
            if self.header_length == RECORD_HEADER {
                self.header_length = 0;
                let [content_type, _, _, high, low] = self.header;
                self.record_left = usize::from(u16::from_be_bytes([high, low]));
                if content_type != HANDSHAKE || self.record_left == 0 {
                    return Progress::Done(None);
                }
            }
        }
        Progress::Incomplete
    }

    fn judge(&self) -> Progress {
        let [kind, a, b, c, body @ ..] = self.message.as_slice() else {
            return Progress::Incomplete;
        };
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if *kind != CLIENT_HELLO || length > super::tls::HANDSHAKE_LIMIT {
            return Progress::Done(None);
        }
        match body.get(..length) {
            Some(body) => Progress::Done(server_name(body)),
            None => Progress::Incomplete,
        }
    }
}

/// The host name in the body of a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3).
fn server_name(mut body: &[u8]) -> Option<Box<str>> {
    body.split_off(..2 + 32)?; // legacy_version, random
    take_vector8(&mut body)?; // legacy_session_id
    take_vector16(&mut body)?; // cipher_suites
    take_vector8(&mut body)?; // legacy_compression_methods
    let mut extensions = take_vector16(&mut body)?;
    loop {
        let kind = take_u16(&mut extensions)?;
        let mut data = take_vector16(&mut extensions)?;
        if kind != SERVER_NAME {
            continue;
        }
        let mut names = take_vector16(&mut data)?;
        let kind = *names.split_off_first()?;
        let name = take_vector16(&mut names)?;
        let is_host_name = kind == HOST_NAME
            && !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
        return is_host_name.then(|| String::from_utf8_lossy(name).into());
    }
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    bytes.split_off(..2).map(|number| u16::from_be_bytes([number[0], number[1]]))
}

fn take_vector8<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(*bytes.split_off_first()?);
    bytes.split_off(..length)
}

fn take_vector16<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(take_u16(bytes)?);
    bytes.split_off(..length)
}

const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ClientHello with one extension before the server name, in records of `record` bytes.
    fn hello(name: &[u8], record: usize) -> Vec<u8> {
        let vector = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let entry = [&[HOST_NAME][..], &vector(name)].concat();
        let extensions =
            [&[0, 43][..], &vector(&[2, 3, 4]), &SERVER_NAME.to_be_bytes(), &vector(&vector(&entry))]
                .concat();
        let body = [&[3; 34][..], &[1, 7], &vector(&[19, 1]), &[1, 0], &vector(&extensions)].concat();
        let message = [&[CLIENT_HELLO, 0][..], &vector(&body)].concat();
        message.chunks(record).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &vector(part)].concat()).collect()
    }

    fn read(wire: &[u8], step: usize) -> Progress {
        let mut hello = ClientHello::default();
        for part in wire.chunks(step) {
            if let done @ Progress::Done(_) = hello.read(part) {
                return done;
            }
        }
        Progress::Incomplete
    }

    #[test]
    fn name_is_found_however_the_message_is_cut() {
        for record in [1, 2, 5, 40, 1000] {
            let wire = hello(b"Mail.example", record);
            for step in [1, 2, 3, 7, wire.len()] {
                assert_eq!(read(&wire, step), Progress::Done(Some("Mail.example".into())), "{record} {step}");
            }
            assert_eq!(read(&wire[..wire.len() - 1], 1000), Progress::Incomplete);
        }
    }

    #[test]
    fn odd_names_are_none() {
        for name in [&b""[..], b"a b", b"a\r\nb", b"\xc3\xa9.example", b"a\0"] {
            assert_eq!(read(&hello(name, 1000), 1000), Progress::Done(None), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_client_hello_has_no_name() {
        assert_eq!(read(b"GET / HTTP/1.0\r\n\r\n", 1000), Progress::Done(None));
        assert_eq!(read(&[HANDSHAKE, 3, 1, 0, 4, 2, 0, 0, 0], 1000), Progress::Done(None));
        assert_eq!(read(&[HANDSHAKE, 3, 1, 0, 4, CLIENT_HELLO, 255, 255, 255], 1000), Progress::Done(None));
        assert_eq!(read(&[HANDSHAKE, 3, 1, 0, 0], 1000), Progress::Done(None));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0..120usize, byte: u8, cut in 0..120usize, record in 1..200usize) {
            let mut wire = hello(b"mail.example", record);
            if let Some(spot) = wire.get_mut(at) {
                *spot = byte;
            }
            wire.truncate(wire.len().saturating_sub(cut));
            read(&wire, 1000);
        }

        #[test]
        fn noise_never_panics(body: Vec<u8>) {
            server_name(&body);
        }
    }
}
