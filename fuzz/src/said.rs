//! What came of a script: what the peers heard and what the caller was asked to do.

use gatepost_protocol::action::Side;

/// What the peers and the caller saw.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// In clear, if the client has TLS.
    pub(crate) client: Vec<u8>,
    /// In clear, once the backend has TLS.
    pub(crate) backend: Vec<u8>,
    /// Without log lines, which may tell how many bytes had come.
    pub(crate) actions: Vec<String>,
}

impl Said {
    pub(crate) fn of(&self, side: Side) -> &[u8] {
        match side {
            Side::Client => &self.client,
            Side::Backend => &self.backend,
        }
    }

    /// Appends what this side heard.
    pub(crate) fn add(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
        .extend_from_slice(bytes);
    }

    /// How much of each there is.
    pub(crate) fn lengths(&self) -> (usize, usize, usize) {
        (self.client.len(), self.backend.len(), self.actions.len())
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "client: {} backend: {} ", self.client.escape_ascii(), self.backend.escape_ascii())?;
        f.debug_list().entries(&self.actions).finish()
    }
}
