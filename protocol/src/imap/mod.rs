//! IMAP, both faces: the machine towards the client and the login to the backend.

/// The IMAP settings of one server, with the replies built from them.
#[derive(Clone, Debug)]
pub struct Settings {}
