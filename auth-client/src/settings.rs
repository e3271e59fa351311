//! The `auth_http` settings of one server, checked.

use std::fmt;

use thiserror::Error;

/// What every request to one auth server has in common. A value that exists yields well-formed request lines.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    uri: Box<str>,
    host: Box<str>,
    headers: Vec<(Box<str>, Box<str>)>,
    keepalive: bool,
    client_certificate: bool,
    host_names: bool,
}

/// Why a value cannot be part of a request. The texts are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The URI holds a blank or a control character, or begins with neither `/` nor `?`.
    #[error("invalid URI \"{}\"", .0.escape_debug())]
    Uri(String),
    /// The host is empty or holds a blank or a control character.
    #[error("invalid host \"{}\"", .0.escape_debug())]
    Host(String),
    /// The header name is not a token (RFC 9110 section 5.6.2).
    #[error("invalid header name \"{}\"", .0.escape_debug())]
    HeaderName(String),
    /// The header value holds a control character.
    #[error("invalid value of header \"{}\"", .0.escape_debug())]
    HeaderValue(String),
}

impl Settings {
    /// Settings without additional headers and without keep-alive.
    ///
    /// `host` is the host text of `auth_http` without its port, brackets of an IPv6 address included; `localhost` for
    /// unix sockets. An empty `uri` means `/`, and one that does not begin with a `/` gets one in front.
    pub fn new(host: &str, uri: &str) -> Result<Self, SettingsError> {
        let is_visible = |text: &str| !text.chars().any(|c| c.is_control() || c == ' ');
        if host.is_empty() || !is_visible(host) {
            return Err(SettingsError::Host(host.to_owned()));
        }
        let path = match uri.chars().next() {
            None => "/".into(),
            Some('/') => uri.into(),
            Some(_) => format!("/{uri}").into(),
        };
        if !is_visible(uri) {
            return Err(SettingsError::Uri(uri.to_owned()));
        }
        Ok(Self {
            uri: path,
            host: host.into(),
            headers: Vec::new(),
            keepalive: false,
            client_certificate: false,
            host_names: false,
        })
    }

    /// Adds the line `name: value` (`auth_http_header`) behind all others, in the order of the calls.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), SettingsError> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(SettingsError::HeaderName(name.to_owned()));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(SettingsError::HeaderValue(name.to_owned()));
        }
        self.headers.push((name.into(), value.into()));
        Ok(())
    }

    /// Asks the server to keep the connection open (`auth_http_keepalive`): requests are HTTP/1.1 then.
    #[must_use]
    pub fn with_keepalive(mut self, keepalive: bool) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Sends the client's certificate along, whole, where there is one (`auth_http_pass_client_cert`).
    #[must_use]
    pub fn with_client_certificate(mut self, client_certificate: bool) -> Self {
        self.client_certificate = client_certificate;
        self
    }

    /// Accepts host names in `Auth-Server`: somebody can look them up (`resolver`).
    #[must_use]
    pub fn with_host_names(mut self, host_names: bool) -> Self {
        self.host_names = host_names;
        self
    }

    /// The request target, with its leading `/`.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The value of `Host`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The additional lines, as names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether connections may carry several exchanges.
    pub fn keepalive(&self) -> bool {
        self.keepalive
    }

    /// Whether `Auth-Server` may be a host name.
    pub fn host_names(&self) -> bool {
        self.host_names
    }

    /// Whether the client's certificate is sent along.
    pub fn client_certificate(&self) -> bool {
        self.client_certificate
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A header's value may be the secret that this proxy and the auth server share.
        let names: Vec<&str> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Settings")
            .field("uri", &self.uri)
            .field("host", &self.host)
            .field("headers", &names)
            .field("keepalive", &self.keepalive)
            .field("client_certificate", &self.client_certificate)
            .field("host_names", &self.host_names)
            .finish()
    }
}

/// RFC 9110 section 5.6.2: `tchar`.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let uri = |uri| Settings::new("h", uri).map(|settings| settings.uri().to_owned());
        assert_eq!(uri(""), Ok("/".to_owned()));
        assert_eq!(uri("/auth.php?x=1"), Ok("/auth.php?x=1".to_owned()));
        assert_eq!(uri("?x"), Ok("/?x".to_owned()));
        assert_eq!(uri("auth"), Ok("/auth".to_owned()));
        for wrong in ["/a b", "/a\r\nX: y", "/a\0", " "] {
            assert_eq!(uri(wrong), Err(SettingsError::Uri(wrong.to_owned())), "{wrong:?}");
        }
    }

    #[test]
    fn hosts() {
        assert!(Settings::new("[::1]", "/").is_ok());
        for wrong in ["", "a b", "a\n"] {
            assert_eq!(Settings::new(wrong, "/"), Err(SettingsError::Host(wrong.to_owned())), "{wrong:?}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_form() {
        let mut settings = Settings::new("h", "/").unwrap();
        settings.add_header("X-Key", "a b\tc").unwrap();
        settings.add_header("x_key", "").unwrap();
        assert_eq!(settings.headers().collect::<Vec<_>>(), [("X-Key", "a b\tc"), ("x_key", "")]);
        for wrong in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
            assert_eq!(settings.add_header(wrong, "v"), Err(SettingsError::HeaderName(wrong.to_owned())));
        }
        for wrong in ["a\nb", "a\r", "\0", "\x7f"] {
            assert_eq!(settings.add_header("n", wrong), Err(SettingsError::HeaderValue("n".to_owned())));
        }
        assert_eq!(settings.headers().count(), 2);
    }

    #[test]
    fn debug_shows_no_header_value() {
        let mut settings = Settings::new("h", "/").unwrap();
        settings.add_header("X-Key", "s3cret").unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("X-Key") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn errors_name_the_culprit_on_one_line() {
        let error = Settings::new("h", "/a\nb").unwrap_err();
        assert_eq!(error.to_string(), r#"invalid URI "/a\nb""#);
    }
}
