//! The other end of a socket: what it has sent and nobody has read, and what it has heard.

use crate::tls;

/// One leg as its peer sees it.
#[derive(Default)]
pub(crate) struct Leg {
    pub(crate) unread: Vec<u8>,
    pub(crate) has_ended: bool,
    pub(crate) is_end_told: bool,
    /// The peer's TLS, from where it begins on.
    pub(crate) tls: Option<tls::Peer>,
    /// The socket has failed.
    is_gone: bool,
    /// What the leg carried last, as it was on the wire.
    last: Vec<u8>,
}

impl Leg {
    /// A leg whose socket has failed: its peer hears nothing any more.
    pub(crate) fn failed() -> Self {
        Self { has_ended: true, is_end_told: true, is_gone: true, ..Self::default() }
    }

    /// Takes what was sent to the peer, and gives it in clear.
    pub(crate) fn hear(&mut self, wire: &[u8]) -> Vec<u8> {
        if wire.is_empty() || self.is_gone {
            return Vec::new();
        }
        match &mut self.tls {
            Some(tls) => tls.hear(wire),
            None => {
                self.last = wire.to_vec();
                wire.to_vec()
            }
        }
    }

    /// The peer, a backend, speaks TLS from the ClientHello on that it was sent last, and says these bytes as soon as it
    /// may.
    pub(crate) fn begin_tls(&mut self, bytes: &[u8]) {
        if self.tls.is_none() {
            let mut tls = tls::Peer::backend();
            tls.say(bytes);
            let begins = self.last.windows(CLIENT_HELLO.len()).position(|bytes| bytes == CLIENT_HELLO);
            if let Some(at) = begins {
                tls.hear(&self.last[at..]);
            }
            self.tls = Some(tls);
        }
    }

    /// Whether TLS is up and its end has not been told to the peer.
    pub(crate) fn is_cut_off(&mut self) -> bool {
        let tls = self.tls.as_mut().filter(|tls| tls.is_established());
        tls.is_some_and(|tls| !tls.has_got_close_notify())
    }
}

/// A handshake record of the version that stands in first records.
const CLIENT_HELLO: &[u8] = &[22, 3, 1];
