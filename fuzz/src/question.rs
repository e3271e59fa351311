//! What a session asks of the auth server, as it goes over the wire.

use gatepost_auth_client::{Exchange, Settings};
use gatepost_protocol::auth::AuthRequest;

/// Builds the request, of which the client must not have more than its fields.
pub(crate) fn ask(request: &AuthRequest) -> Exchange {
    let mut settings = Settings::new("localhost", "/")
        .expect("well-formed")
        .with_host_names(true)
        .with_client_certificate(true);
    settings.add_header("X-Key", "shared").expect("well-formed");
    assert!(!format!("{settings:?}").contains("shared"), "Debug shows what may be a secret");
    let exchange = Exchange::new(request, &settings);
    assert!(!format!("{exchange:?}").contains("shared"), "Debug shows what may be a secret");
    let head = exchange.request().strip_suffix(b"\r\n\r\n").expect("a blank line ends it");
    let mut names = Vec::new();
    for (index, line) in head.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r') && !line.contains(&0), "{}", line.escape_ascii());
        if index > 0 {
            let colon = line.windows(2).position(|bytes| bytes == b": ").expect("a header line");
            names.push(&line[..colon]);
        }
    }
    for name in &names {
        assert!(NAMES.contains(name), "{}", name.escape_ascii());
        assert_eq!(names.iter().filter(|other| other == &name).count(), 1, "{}", name.escape_ascii());
    }
    exchange
}

/// What there may be in a request.
const NAMES: [&[u8]; 26] = [
    b"Host",
    b"Auth-Method",
    b"Auth-User",
    b"Auth-Pass",
    b"Auth-Salt",
    b"Auth-Protocol",
    b"Auth-Login-Attempt",
    b"Client-IP",
    b"Client-Host",
    b"Proxy-Protocol-Addr",
    b"Proxy-Protocol-Port",
    b"Proxy-Protocol-Server-Addr",
    b"Proxy-Protocol-Server-Port",
    b"Auth-SMTP-Helo",
    b"Auth-SMTP-From",
    b"Auth-SMTP-To",
    b"Auth-SSL",
    b"Auth-SSL-Protocol",
    b"Auth-SSL-Cipher",
    b"Auth-SSL-Verify",
    b"Auth-SSL-Subject",
    b"Auth-SSL-Issuer",
    b"Auth-SSL-Serial",
    b"Auth-SSL-Fingerprint",
    b"Auth-SSL-Cert",
    b"X-Key",
];
