//! Known answers for requests: every line of `spec/auth-http-and-ops.md` section 2, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use gatepost_auth_client::{Exchange, Settings, WipedBuffer, write};
use gatepost_protocol::address::{ClientAddr, ProxyAddresses};
use gatepost_protocol::auth::{AuthRequest, Credentials, Envelope};
use gatepost_protocol::client_certificate::{ClientCertificate, ClientFacts, VerifyFailure};
use gatepost_protocol::config::Protocol;
use gatepost_protocol::secret::Secret;
use gatepost_protocol::transport::TlsFacts;
use proptest::prelude::*;

fn request(protocol: Protocol, credentials: Credentials) -> AuthRequest {
    AuthRequest {
        credentials: Arc::new(credentials),
        protocol,
        attempt: 1,
        client: ClientAddr::Inet("192.0.2.7:4711".parse().unwrap()),
        client_host: None,
        proxy: None,
        tls: None,
    }
}

fn plain(login: &[u8], password: &[u8]) -> Credentials {
    Credentials::Plain { login: login.to_vec(), password: Secret::from(password) }
}

fn tls() -> TlsFacts {
    TlsFacts {
        protocol: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        server_name: None,
        alpn: None,
        client: None,
    }
}

fn settings() -> Settings {
    Settings::new("127.0.0.1", "/auth").unwrap()
}

/// Compares with `expected`, whose lines end in LF for reading's sake, and which lacks the blank line.
#[track_caller]
fn assert_written(request: &AuthRequest, settings: &Settings, expected: &str) {
    let mut buffer = WipedBuffer::new();
    write(request, settings, &mut buffer);
    let written = String::from_utf8_lossy(&buffer).into_owned();
    assert_eq!(written, format!("{expected}\n").replace('\n', "\r\n"));
    assert_eq!(Exchange::new(request, settings).request(), &*buffer);
}

#[test]
fn the_example_of_the_specification() {
    let mut request = request(Protocol::Imap, plain(b"alice@example.org", b"p w%"));
    request.attempt = 2;
    request.tls = Some(tls());
    let expected = "\
GET /auth HTTP/1.0
Host: 127.0.0.1
Auth-Method: plain
Auth-User: alice@example.org
Auth-Pass: p%20w%25
Auth-Protocol: imap
Auth-Login-Attempt: 2
Client-IP: 192.0.2.7
Auth-SSL: on
Auth-SSL-Protocol: TLSv1.3
Auth-SSL-Cipher: TLS_AES_256_GCM_SHA384
";
    assert_written(&request, &settings(), expected);
}

#[test]
fn every_byte_of_login_and_password() {
    let all: Vec<u8> = (0..=255).collect();
    let mut buffer = WipedBuffer::new();
    write(&request(Protocol::Pop3, plain(&all, &all)), &settings(), &mut buffer);
    let mut expected = Vec::new();
    for byte in all {
        match byte {
            0..=0x20 | b'%' => expected.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => expected.push(byte),
        }
    }
    let lines: Vec<&[u8]> = buffer.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines[3], [b"Auth-User: ", &expected[..], b"\r"].concat());
    assert_eq!(lines[4], [b"Auth-Pass: ", &expected[..], b"\r"].concat());
    assert_eq!(lines.len(), 10, "no byte of the client may end a line");
}

#[test]
fn challenges_follow_the_digest() {
    for (method, credentials) in [
        (
            "apop",
            Credentials::Apop {
                login: b"a b".to_vec(),
                digest: Secret::from(&b"d1"[..]),
                challenge: "<1.2@mail>".into(),
            },
        ),
        (
            "cram-md5",
            Credentials::CramMd5 {
                login: b"a b".to_vec(),
                digest: Secret::from(&b"d1"[..]),
                challenge: "<1.2@mail>".into(),
            },
        ),
    ] {
        let expected = format!(
            "\
GET /auth HTTP/1.0
Host: 127.0.0.1
Auth-Method: {method}
Auth-User: a%20b
Auth-Pass: d1
Auth-Salt: <1.2@mail>
Auth-Protocol: pop3
Auth-Login-Attempt: 1
Client-IP: 192.0.2.7
"
        );
        assert_written(&request(Protocol::Pop3, credentials), &settings(), &expected);
    }
}

#[test]
fn external_has_an_empty_password() {
    let mut request = request(Protocol::Smtp, Credentials::External { login: b"alice".to_vec() });
    request.client = ClientAddr::Inet("[2001:db8::1]:25".parse().unwrap());
    request.client_host = Some("[UNAVAILABLE]".into());
    let expected = "\
GET /auth HTTP/1.0
Host: 127.0.0.1
Auth-Method: external
Auth-User: alice
Auth-Pass: 
Auth-Protocol: smtp
Auth-Login-Attempt: 1
Client-IP: 2001:db8::1
Client-Host: [UNAVAILABLE]
";
    assert_written(&request, &settings(), expected);
}

#[test]
fn everything_at_once_in_the_order_of_the_table() {
    let envelope = Envelope {
        helo: b"".to_vec(),
        mail: b"MAIL FROM:<a%b@c> SIZE=1".to_vec(),
        rcpt: "RCPT TO:<\u{fc}@d>".as_bytes().to_vec(),
    };
    let mut request = request(Protocol::Smtp, Credentials::Envelope(envelope));
    request.client = ClientAddr::Unix;
    request.client_host = Some("mx.example.org".into());
    request.proxy = Some(ProxyAddresses {
        source: "192.0.2.1".into(),
        source_port: 1,
        destination: "192.0.2.2".into(),
        destination_port: 65535,
    });
    request.tls = Some(TlsFacts { cipher: "", ..tls() });
    let mut settings = settings();
    settings.add_header("X-Auth-Key", "secret key").unwrap();
    settings.add_header("X-Empty", "").unwrap();
    let expected = "\
GET /auth HTTP/1.0
Host: 127.0.0.1
Auth-Method: none
Auth-User: 
Auth-Pass: 
Auth-Protocol: smtp
Auth-Login-Attempt: 1
Client-IP: unix:
Client-Host: mx.example.org
Proxy-Protocol-Addr: 192.0.2.1
Proxy-Protocol-Port: 1
Proxy-Protocol-Server-Addr: 192.0.2.2
Proxy-Protocol-Server-Port: 65535
Auth-SMTP-Helo: 
Auth-SMTP-From: MAIL FROM:<a%b@c> SIZE=1
Auth-SMTP-To: RCPT TO:<\u{fc}@d>
Auth-SSL: on
Auth-SSL-Protocol: TLSv1.3
X-Auth-Key: secret key
X-Empty: 
";
    assert_written(&request, &settings, expected);
}

#[test]
fn client_certificates() {
    let mut certificate = ClientCertificate {
        failure: None,
        subject: "CN=J\\C3\\B6rg %,O=Example".into(),
        issuer: "CN=My CA".into(),
        serial: "12AB".into(),
        fingerprint: "00112233445566778899aabbccddeeff00112233".into(),
        common_name: None,
        der: [0; 3].into(),
    };
    let written = |certificate: Option<&ClientCertificate>, settings: &Settings, expected: &str| {
        let client = ClientFacts { certificate: certificate.cloned().map(Arc::new), resumed: false };
        let mut request = request(Protocol::Imap, plain(b"a", b"b"));
        request.tls = Some(TlsFacts { client: Some(client), ..tls() });
        let mut buffer = WipedBuffer::new();
        write(&request, settings, &mut buffer);
        let text = String::from_utf8_lossy(&buffer).replace("\r\n", "\n");
        assert_eq!(text.split_once("GCM_SHA384\n").unwrap().1, expected);
    };
    written(None, &settings(), "Auth-SSL-Verify: NONE\n\n");
    let facts = "\
Auth-SSL-Subject: CN=J\\C3\\B6rg %,O=Example
Auth-SSL-Issuer: CN=My CA
Auth-SSL-Serial: 12AB
Auth-SSL-Fingerprint: 00112233445566778899aabbccddeeff00112233
";
    written(Some(&certificate), &settings(), &format!("Auth-SSL-Verify: SUCCESS\n{facts}\n"));
    certificate.failure =
        Some(VerifyFailure { code: 18, reason: "self-signed certificate", is_unknown_issuer: true });
    let verdict = "Auth-SSL-Verify: FAILED:self-signed certificate\n";
    let pem = "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A";
    let mut settings = settings().with_client_certificate(true);
    settings.add_header("X-Key", "k").unwrap();
    let expected = format!("{verdict}{facts}Auth-SSL-Cert: {pem}\nX-Key: k\n\n");
    written(Some(&certificate), &settings, &expected);
    let unreadable =
        ClientCertificate { subject: "".into(), issuer: "".into(), serial: "".into(), ..certificate };
    let fingerprint = facts.lines().last().unwrap();
    let expected = format!("{verdict}{fingerprint}\nAuth-SSL-Cert: {pem}\nX-Key: k\n\n");
    written(Some(&unreadable), &settings, &expected);
}

#[test]
fn keepalive_is_http_1_1() {
    let expected = "\
GET /auth?x HTTP/1.1
Host: [::1]
Connection: keep-alive
Auth-Method: plain
Auth-User: a
Auth-Pass: 
Auth-Protocol: imap
Auth-Login-Attempt: 1
Client-IP: 192.0.2.7
";
    let settings = Settings::new("[::1]", "/auth?x").unwrap().with_keepalive(true);
    assert_written(&request(Protocol::Imap, plain(b"a", b"")), &settings, expected);
}

#[test]
fn raw_values_cannot_begin_a_line() {
    let envelope = Envelope { helo: b"a\r\nAuth-User: root\0".to_vec(), ..Envelope::default() };
    let mut buffer = WipedBuffer::new();
    write(&request(Protocol::Smtp, Credentials::Envelope(envelope)), &settings(), &mut buffer);
    let text = String::from_utf8_lossy(&buffer).into_owned();
    assert!(text.contains("\r\nAuth-SMTP-Helo: a%0D%0AAuth-User: root%00\r\n"), "{text}");
}

#[test]
fn the_password_is_in_no_debug_text() {
    let exchange = Exchange::new(&request(Protocol::Imap, plain(b"alice", b"hunter2")), &settings());
    assert!(!format!("{exchange:?}").contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the client calls itself, an HTTP server reads the headers that were meant, and login and password can be
    /// decoded.
    #[test]
    fn any_credentials_make_one_request(
        login in text(),
        password in text(),
        (helo, mail, rcpt) in (line(), line(), line()),
        protocol in prop::sample::select(vec![Protocol::Imap, Protocol::Pop3, Protocol::Smtp]),
        is_envelope: bool,
    ) {
        let credentials = match is_envelope {
            true => Credentials::Envelope(Envelope { helo, mail, rcpt }),
            false => plain(&login, &password),
        };
        let mut buffer = WipedBuffer::new();
        write(&request(protocol, credentials), &settings(), &mut buffer);
        let mut headers = [httparse::EMPTY_HEADER; 20];
        let mut parsed = httparse::Request::new(&mut headers);
        prop_assert_eq!(parsed.parse(&buffer).unwrap(), httparse::Status::Complete(buffer.len()));
        let names: Vec<&str> = parsed.headers.iter().map(|header| header.name).collect();
        prop_assert!(names.starts_with(&["Host", "Auth-Method", "Auth-User", "Auth-Pass", "Auth-Protocol"]));
        prop_assert!(names.iter().enumerate().all(|(at, name)| !names[at + 1..].contains(name)), "{:?}", names);
        if !is_envelope {
            prop_assert_eq!(decoded(parsed.headers[2].value), login);
            prop_assert_eq!(decoded(parsed.headers[3].value), password);
        }
    }
}

/// DEL goes out as it is, which nginx does too and not every server takes.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>().prop_filter("no DEL", |&byte| byte != 0x7f), 0..60)
}

/// What SMTP lets into an envelope.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>().prop_filter("no control", |byte| !byte.is_ascii_control()), 0..60)
}

/// `%XX` as the byte it stands for.
fn decoded(mut value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = value {
        let digits = rest.get(..2).filter(|_| *first == b'%');
        let byte = digits.map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        value = if byte.is_some() { &rest[2..] } else { rest };
        bytes.push(byte.unwrap_or(*first));
    }
    bytes
}
