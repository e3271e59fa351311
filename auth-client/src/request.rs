//! An [`AuthRequest`] as the header lines of one GET (`spec/auth-http-and-ops.md` section 2).

use std::fmt::Write as _;

use gatepost_protocol::auth::{AuthRequest, Credentials};
use gatepost_protocol::client_certificate::ClientFacts;

use crate::settings::Settings;
use crate::wiped::WipedBuffer;

/// Appends the request for `request` to `out`, blank line included. `out` then holds the password.
///
/// Without keep-alive these are nginx's bytes. With it the request is HTTP/1.1 and has `Connection: keep-alive`,
/// which HTTP/1.0 servers understand, behind `Host`; the rest is the same.
pub fn write(request: &AuthRequest, settings: &Settings, out: &mut WipedBuffer) {
    let mut lines = Lines(out);
    lines.start(settings);
    lines.credentials(&request.credentials);
    lines.raw("Auth-Protocol", request.protocol.name().as_bytes());
    lines.number("Auth-Login-Attempt", request.attempt);
    lines.display("Client-IP", &request.client);
    if let Some(host) = &request.client_host {
        lines.raw("Client-Host", host.as_bytes());
    }
    if let Some(proxy) = &request.proxy {
        lines.raw("Proxy-Protocol-Addr", proxy.source.as_bytes());
        lines.number("Proxy-Protocol-Port", proxy.source_port);
        lines.raw("Proxy-Protocol-Server-Addr", proxy.destination.as_bytes());
        lines.number("Proxy-Protocol-Server-Port", proxy.destination_port);
    }
    if let Credentials::Envelope(envelope) = &*request.credentials {
        lines.raw("Auth-SMTP-Helo", &envelope.helo);
        lines.raw("Auth-SMTP-From", &envelope.mail);
        lines.raw("Auth-SMTP-To", &envelope.rcpt);
    }
    if let Some(tls) = &request.tls {
        lines.raw("Auth-SSL", b"on");
        lines.raw_if_any("Auth-SSL-Protocol", tls.protocol.as_bytes());
        lines.raw_if_any("Auth-SSL-Cipher", tls.cipher.as_bytes());
        if let Some(client) = &tls.client {
            lines.client(client, settings);
        }
    }
    for (name, value) in settings.headers() {
        lines.raw(name, value.as_bytes());
    }
    lines.0.extend(b"\r\n");
}

/// Header lines in the making.
struct Lines<'a>(&'a mut WipedBuffer);

impl Lines<'_> {
    /// The request line and `Host`.
    fn start(&mut self, settings: &Settings) {
        self.0.extend(b"GET ");
        self.0.extend(settings.uri().as_bytes());
        self.0.extend(if settings.keepalive() { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
        self.raw("Host", settings.host().as_bytes());
        if settings.keepalive() {
            self.raw("Connection", b"keep-alive");
        }
    }

    /// Method, login, password and, for the methods that have one, the challenge.
    fn credentials(&mut self, credentials: &Credentials) {
        let (password, salt): (&[u8], _) = match credentials {
            Credentials::Plain { password, .. } => (password.expose(), None),
            Credentials::Apop { digest, challenge, .. } | Credentials::CramMd5 { digest, challenge, .. } => {
                (digest.expose(), Some(challenge))
            }
            Credentials::External { .. } | Credentials::Envelope(_) => (b"", None),
        };
        self.raw("Auth-Method", credentials.method().as_bytes());
        self.escaped("Auth-User", credentials.login());
        self.escaped("Auth-Pass", password);
        if let Some(salt) = salt {
            self.raw("Auth-Salt", salt.as_bytes());
        }
    }

    /// What is known of the client by its certificate.
    fn client(&mut self, client: &ClientFacts, settings: &Settings) {
        self.raw("Auth-SSL-Verify", client.verdict().as_bytes());
        let Some(certificate) = &client.certificate else { return };
        self.raw_if_any("Auth-SSL-Subject", certificate.subject.as_bytes());
        self.raw_if_any("Auth-SSL-Issuer", certificate.issuer.as_bytes());
        self.raw_if_any("Auth-SSL-Serial", certificate.serial.as_bytes());
        self.raw_if_any("Auth-SSL-Fingerprint", certificate.fingerprint.as_bytes());
        if settings.client_certificate() {
            self.escaped("Auth-SSL-Cert", certificate.pem().as_bytes());
        }
    }

    /// A value of digits.
    fn number(&mut self, name: &str, value: impl Into<u32>) {
        self.display(name, &value.into());
    }

    /// A value by its printed form, which holds no line end.
    fn display(&mut self, name: &str, value: &dyn std::fmt::Display) {
        let mut text = String::new();
        write!(text, "{value}").expect("writing to a string cannot fail");
        self.raw(name, text.as_bytes());
    }

    /// The line, unless its value is empty.
    fn raw_if_any(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.raw(name, value);
        }
    }

    /// A value as it is. Bytes that would end the line early cannot be in one by the rules of the types these values
    /// come from; should one be there all the same, it is escaped rather than turned into a header of the client's.
    fn raw(&mut self, name: &str, value: &[u8]) {
        self.line(name, value, |byte| matches!(byte, b'\r' | b'\n' | 0));
    }

    /// A value in which blanks, control bytes and `%` become `%HH`; the server decodes `%HH` and nothing else.
    fn escaped(&mut self, name: &str, value: &[u8]) {
        self.line(name, value, |byte| byte <= b' ' || byte == b'%');
    }

    fn line(&mut self, name: &str, mut value: &[u8], is_escaped: impl Fn(u8) -> bool) {
        self.0.extend(name.as_bytes());
        self.0.extend(b": ");
        while let Some(at) = value.iter().position(|&byte| is_escaped(byte)) {
            let byte = value[at];
            self.0.extend(&value[..at]);
            self.0.extend(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            value = &value[at + 1..];
        }
        self.0.extend(value);
        self.0.extend(b"\r\n");
    }
}

const HEX: [u8; 16] = *b"0123456789ABCDEF";
