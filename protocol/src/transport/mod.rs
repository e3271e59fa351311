//! Between wire bytes and plaintext, for one leg.

/// Facts of an established TLS session with the client, as the auth request and the PROXY header show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// The cipher suite in OpenSSL's spelling.
    pub cipher: &'static str,
    /// The name the client sent by SNI.
    pub server_name: Option<Box<str>>,
    /// The protocol chosen by ALPN.
    pub alpn: Option<Box<str>>,
}
