mod auth;

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_protocol::client_certificate::VerifyFailure;
use gatepost_protocol::event::Stage;
use proptest::prelude::*;

use super::*;

fn context() -> LogContext {
    let client: SocketAddr = "192.0.2.7:36026".parse().expect("an address");
    LogContext { client: ClientAddr::Inet(client), starttls: false, login: None, upstream: None }
}

/// The line of one event, without its frame.
fn render(event: &Event, stage: Option<Stage>, context: &LogContext, place: Place<'_>) -> String {
    entry(event, Situation { stage, context, place }).text()
}

#[test]
fn a_summary_comes_last() {
    let mut context = context();
    context.login = Some(Box::from(&b"joe"[..]));
    context.upstream = Some("10.0.0.5:143".into());
    let traffic = gatepost_protocol::relay::Traffic { from_client: 120, to_client: 4096 };
    let summary = Summary { traffic, time: Duration::from_millis(61_005) };
    assert_eq!(
        render(&Event::DoneWith(summary), None, &context, PLACE),
        "proxied session done, client: 192.0.2.7, server: 0.0.0.0:143, login: \"joe\", upstream: 10.0.0.5:143, \
         bytes from/to client: 120/4096, session time: 61.005"
    );
    assert_eq!(level(&Event::DoneWith(summary)), Level::Info);
}

const PLACE: Place<'static> = Place { listen: "0.0.0.0:143", auth_server: "127.0.0.1:9000" };

#[test]
fn the_context_follows_the_message() {
    let mut context = context();
    let line = |context: &LogContext| render(&Event::LoggedIn, None, context, PLACE);
    assert_eq!(line(&context), "client logged in, client: 192.0.2.7, server: 0.0.0.0:143");
    context.login = Some(Box::from(&b""[..]));
    assert_eq!(line(&context), "client logged in, client: 192.0.2.7, server: 0.0.0.0:143");
    context.starttls = true;
    context.login = Some(Box::from(&b"a\nb\""[..]));
    context.upstream = Some("10.0.0.5:143".into());
    assert_eq!(
        line(&context),
        "client logged in, client: 192.0.2.7 using starttls, server: 0.0.0.0:143, \
         login: \"a\\x0Ab\\x22\", upstream: 10.0.0.5:143"
    );
}

#[test]
fn the_first_line_of_a_session_names_the_port() {
    let mut context = context();
    let line = |context: &LogContext| render(&Event::Connected, None, context, PLACE);
    assert_eq!(line(&context), "client 192.0.2.7:36026 connected to 0.0.0.0:143");
    context.client = ClientAddr::Inet("[::1]:45438".parse().expect("an address"));
    assert_eq!(line(&context), "client [::1]:45438 connected to 0.0.0.0:143");
    context.client = ClientAddr::Unix;
    assert_eq!(line(&context), "client unix: connected to 0.0.0.0:143");
}

/// One event, its stage, its level and its message as the table of section 10.3 has them.
type Row = (Event, Option<Stage>, Level, &'static str);

fn check(rows: impl IntoIterator<Item = Row>) {
    let mut context = context();
    context.upstream = Some("10.0.0.5:143".into());
    for (event, stage, severity, message) in rows {
        let line = render(&event, stage, &context, PLACE);
        let expected = format!("{message}, client: 192.0.2.7, server: 0.0.0.0:143, upstream: 10.0.0.5:143");
        assert_eq!(line, expected);
        assert_eq!(level(&event), severity, "{line}");
    }
}

#[test]
fn lines_about_the_client() {
    use Stage::{Auth, DelayingGreeting, Handshaking, ReadingProxyHeader, StartingTls};
    let text = |text: &str| text.as_bytes().to_vec();
    check([
        (
            Event::ClientTimedOut,
            Some(ReadingProxyHeader),
            Level::Info,
            "client timed out (110: Connection timed out) while reading PROXY protocol",
        ),
        (
            Event::ClientTimedOut,
            Some(Auth),
            Level::Info,
            "client timed out (110: Connection timed out) while in auth state",
        ),
        (
            Event::ReceiveFailed(Side::Client, Errno(104)),
            Some(Auth),
            Level::Info,
            "recv() failed (104: Connection reset by peer) while in auth state",
        ),
        (
            Event::SendFailed(Side::Client, Errno(32)),
            Some(Auth),
            Level::Info,
            "send() failed (32: Broken pipe) while in auth state",
        ),
        (
            Event::ReceiveFailed(Side::Client, Errno(12)),
            Some(Auth),
            Level::Alert,
            "recv() failed (12: Cannot allocate memory) while in auth state",
        ),
        (
            Event::BrokenProxyHeader(text("PROXY nonsense")),
            Some(ReadingProxyHeader),
            Level::Error,
            "broken header: \"PROXY nonsense\" while reading PROXY protocol",
        ),
        (
            Event::BrokenProxyHeader(vec![]),
            Some(ReadingProxyHeader),
            Level::Info,
            "broken header: \"\" while reading PROXY protocol",
        ),
        (
            Event::UnknownProxyVersion(3),
            Some(ReadingProxyHeader),
            Level::Error,
            "unknown PROXY protocol version: 3 while reading PROXY protocol",
        ),
        (
            Event::ProxyHeaderTooLarge,
            Some(ReadingProxyHeader),
            Level::Error,
            "header is too large while reading PROXY protocol",
        ),
        (
            Event::ClosedInHandshake(Side::Client),
            Some(Handshaking),
            Level::Info,
            "peer closed connection in SSL handshake while SSL handshaking",
        ),
        (
            Event::ClosedInHandshake(Side::Backend),
            Some(Stage::HandshakingBackend),
            Level::Error,
            "peer closed connection in SSL handshake while SSL handshaking to upstream",
        ),
        (
            Event::BackendNotTrusted(PeerFault::Unverified(VerifyFailure {
                code: 20,
                reason: "unable to get local issuer certificate",
                is_unknown_issuer: true,
            })),
            Some(Stage::HandshakingBackend),
            Level::Error,
            "upstream SSL certificate verify error: (20:unable to get local issuer certificate) \
             while SSL handshaking to upstream",
        ),
        (
            Event::BackendNotTrusted(PeerFault::WrongName("mx.example".into())),
            Some(Stage::HandshakingBackend),
            Level::Error,
            "upstream SSL certificate does not match \"mx.example\" while SSL handshaking to upstream",
        ),
        (
            Event::PlaintextAfterStartTls(Side::Backend),
            Some(Stage::ReadingResponse),
            Level::Error,
            "upstream sent plaintext data after STARTTLS while reading response from upstream",
        ),
        (
            Event::NoStartTls,
            Some(Stage::ReadingResponse),
            Level::Error,
            "upstream does not offer STARTTLS while reading response from upstream",
        ),
        (
            Event::TlsFailed(Side::Client, "no shared cipher".into()),
            Some(StartingTls),
            Level::Info,
            "SSL_do_handshake() failed (SSL: no shared cipher) while in starttls state",
        ),
        (
            Event::CertificateRefused("10:certificate has expired".into()),
            Some(Auth),
            Level::Info,
            "client SSL certificate verify error: (10:certificate has expired) while in auth state",
        ),
        (
            Event::NoCertificate,
            Some(Auth),
            Level::Info,
            "client sent no required SSL certificate while in auth state",
        ),
        (
            Event::PlaintextAfterStartTls(Side::Client),
            Some(Auth),
            Level::Info,
            "plaintext data after STARTTLS while in auth state",
        ),
        (
            Event::RejectedBeforeGreeting(text("EHLO x\r\n")),
            Some(DelayingGreeting),
            Level::Info,
            "client was rejected before greeting: \"EHLO x\\x0D\\x0A\" while in delay pipelining state",
        ),
        (
            Event::Rejected(text("MAIL FROM:<a@b>")),
            Some(Auth),
            Level::Info,
            "client was rejected: \"MAIL FROM:<a@b>\" while in auth state",
        ),
        (
            Event::TooLongCommand(text("LOGIN"), 4096),
            Some(Auth),
            Level::Info,
            "client sent too long command \"LOGIN\", 4096 bytes while in auth state",
        ),
        (
            Event::TooManyErrors,
            Some(Auth),
            Level::Info,
            "client sent too many invalid commands while in auth state",
        ),
        (Event::HttpRequest, Some(Auth), Level::Info, "client sent an HTTP request while in auth state"),
    ]);
}

#[test]
fn lines_about_credentials() {
    let stage = Some(Stage::Auth);
    check([
        (
            Event::InvalidBase64("CRAM-MD5"),
            stage,
            Level::Info,
            "client sent invalid base64 encoding in AUTH CRAM-MD5 command while in auth state",
        ),
        (
            Event::InvalidPlainLogin,
            stage,
            Level::Info,
            "client sent invalid login in AUTH PLAIN command while in auth state",
        ),
        (
            Event::InvalidPlainPassword,
            stage,
            Level::Info,
            "client sent invalid password in AUTH PLAIN command while in auth state",
        ),
        (
            Event::InvalidCramMd5,
            stage,
            Level::Info,
            "client sent invalid CRAM-MD5 hash in AUTH CRAM-MD5 command while in auth state",
        ),
        (
            Event::InvalidCredentials,
            stage,
            Level::Info,
            "client sent invalid login or password while in auth state",
        ),
    ]);
}

#[test]
fn lines_about_the_client_name() {
    let failed = Event::LookupFailed;
    check([
        (
            failed(LookupFailure::Address(DnsError::NotFound)),
            Some(Stage::ResolvingAddress),
            Level::Error,
            "IP could not be resolved (3: Host not found) while in resolving client address",
        ),
        (
            failed(LookupFailure::InvalidName(b"a\nb".to_vec())),
            Some(Stage::ResolvingAddress),
            Level::Error,
            "IP resolved to invalid host name \"a\\x0Ab\" while in resolving client address",
        ),
        (
            failed(LookupFailure::Name("mx.example".into(), DnsError::TimedOut)),
            Some(Stage::ResolvingName),
            Level::Error,
            "\"mx.example\" could not be resolved (110: Operation timed out) while in resolving client hostname",
        ),
    ]);
    assert_eq!(level(&failed(LookupFailure::Mismatch)), Level::Debug);
    for (error, text) in [
        (DnsError::Format, "(1: Format error)"),
        (DnsError::ServerFailure, "(2: Server failure)"),
        (DnsError::Unimplemented, "(4: Unimplemented)"),
        (DnsError::Refused, "(5: Operation refused)"),
    ] {
        assert_eq!(dns_text(error), text);
    }
}

#[test]
fn lines_about_the_backend_and_the_relay() {
    let backend = SocketAddr::from(([192, 0, 2, 1], 143));
    use Stage::{Connecting, Proxying, ReadingBackend, ReadingResponse, SendingAuth, SendingBackend};
    check([
        (
            Event::ConnectFailed(ConnectFailure::Immediate(Errno(101))),
            Some(Connecting),
            Level::Error,
            "connect() to 10.0.0.5:143 failed (101: Network is unreachable) while connecting to upstream",
        ),
        (
            Event::ConnectFailed(ConnectFailure::Refused(Errno(111))),
            Some(Connecting),
            Level::Error,
            "connect() failed (111: Connection refused) while connecting to upstream",
        ),
        (
            Event::ConnectFailed(ConnectFailure::AddressFailed(backend, Errno(111))),
            Some(Connecting),
            Level::Error,
            "connect() to 192.0.2.1:143 failed (111: Connection refused) while connecting to upstream",
        ),
        (
            Event::ConnectFailed(ConnectFailure::AddressTimedOut(backend)),
            Some(Connecting),
            Level::Error,
            "connect() to 192.0.2.1:143 failed (110: Connection timed out) while connecting to upstream",
        ),
        (
            Event::ConnectFailed(ConnectFailure::Unresolved(DnsError::NotFound)),
            Some(Connecting),
            Level::Error,
            "\"10.0.0.5\" could not be resolved (3: Host not found) while connecting to upstream",
        ),
        (
            Event::ConnectFailed(ConnectFailure::OwnAddress(backend)),
            Some(Connecting),
            Level::Error,
            "upstream address 192.0.2.1:143 is one that this proxy listens on while connecting to upstream",
        ),
        (
            Event::ConnectFailed(ConnectFailure::NoSlots(512)),
            Some(Connecting),
            Level::Alert,
            "512 worker_connections are not enough while connecting to upstream",
        ),
        (
            Event::BackendTimedOut,
            Some(ReadingResponse),
            Level::Error,
            "upstream timed out (110: Connection timed out) while reading response from upstream",
        ),
        (
            Event::BackendClosed,
            Some(ReadingResponse),
            Level::Error,
            "upstream prematurely closed connection while reading response from upstream",
        ),
        (
            Event::BackendReplyTooLong(b"* OK".to_vec()),
            Some(ReadingResponse),
            Level::Error,
            "upstream sent too long response line: \"* OK\" while reading response from upstream",
        ),
        (
            Event::BackendRefused { text: b"NO nope".to_vec(), passed: false },
            Some(ReadingResponse),
            Level::Error,
            "upstream sent invalid response: \"NO nope\" while reading response from upstream",
        ),
        (
            Event::BackendRefused { text: b"NO nope".to_vec(), passed: true },
            Some(ReadingResponse),
            Level::Info,
            "upstream sent invalid response: \"NO nope\" while reading response from upstream",
        ),
        (
            Event::NoPassword,
            Some(SendingAuth),
            Level::Error,
            "no password available while sending AUTH to upstream",
        ),
        (Event::LoggedIn, None, Level::Info, "client logged in"),
        (
            Event::ReceiveFailed(Side::Backend, Errno(104)),
            Some(ReadingBackend),
            Level::Error,
            "recv() failed (104: Connection reset by peer) while proxying and reading from upstream",
        ),
        (
            Event::SendFailed(Side::Backend, Errno(32)),
            Some(SendingBackend),
            Level::Error,
            "send() failed (32: Broken pipe) while proxying and sending to upstream",
        ),
        (Event::Done, None, Level::Info, "proxied session done"),
        (Event::ShutdownTimedOut, Some(Proxying), Level::Info, "shutdown timeout while proxying"),
    ]);
}

#[test]
fn actions_have_the_words_of_nginx() {
    for (stage, words) in [
        (Stage::SendingGreeting, "sending client greeting line"),
        (Stage::ReadingProxyHeader, "reading PROXY protocol"),
        (Stage::Handshaking, "SSL handshaking"),
        (Stage::StartingTls, "in starttls state"),
        (Stage::ResolvingAddress, "in resolving client address"),
        (Stage::ResolvingName, "in resolving client hostname"),
        (Stage::DelayingGreeting, "in delay pipelining state"),
        (Stage::Auth, "in auth state"),
        (Stage::HttpAuth, "in http auth state"),
        (Stage::Connecting, "connecting to upstream"),
        (Stage::SendingProxyHeader, "sending PROXY protocol header to upstream"),
        (Stage::ReadingResponse, "reading response from upstream"),
        (Stage::SendingUser, "sending user name to upstream"),
        (Stage::SendingPassword, "sending password to upstream"),
        (Stage::SendingLogin, "sending LOGIN command to upstream"),
        (Stage::SendingHelo, "sending HELO/EHLO to upstream"),
        (Stage::SendingXclient, "sending XCLIENT to upstream"),
        (Stage::SendingClientHelo, "sending client HELO/EHLO to upstream"),
        (Stage::SendingAuth, "sending AUTH to upstream"),
        (Stage::SendingMail, "sending MAIL FROM to upstream"),
        (Stage::SendingRcpt, "sending RCPT TO to upstream"),
        (Stage::Proxying, "proxying"),
        (Stage::ReadingClient, "proxying and reading from client"),
        (Stage::SendingBackend, "proxying and sending to upstream"),
        (Stage::ReadingBackend, "proxying and reading from upstream"),
        (Stage::SendingClient, "proxying and sending to client"),
    ] {
        let line = render(&Event::ClientTimedOut, Some(stage), &context(), PLACE);
        let message = "client timed out (110: Connection timed out) while";
        assert_eq!(line, format!("{message} {words}, client: 192.0.2.7, server: 0.0.0.0:143"));
    }
}

#[test]
fn a_line_never_breaks() {
    let hostile = b"x\r\n2026/11/22 07:35:07 [info] 1#0: *1 client logged in".to_vec();
    let mut context = context();
    context.login = Some(hostile.clone().into());
    let line = render(&Event::LoginRefused(hostile), Some(Stage::HttpAuth), &context, PLACE);
    assert!(!line.contains(['\r', '\n']), "{line}");
}

#[test]
fn addresses_print_as_nginx_prints_them() {
    let inet = |text: &str| Peer::Inet(text.parse().expect("an address"));
    assert_eq!(peer_text(&inet("[::]:143")), "[::]:143");
    assert_eq!(peer_text(&inet("0.0.0.0:143")), "0.0.0.0:143");
    assert_eq!(peer_text(&Peer::Unix("/run/gatepost".into())), "unix:/run/gatepost");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a peer says, an event is one line of printable text.
    #[test]
    fn one_event_is_one_line(bytes in prop::collection::vec(any::<u8>(), 0..60), login: bool, upstream: bool) {
        let text: Box<str> = String::from_utf8_lossy(&bytes).into();
        let mut context = context();
        context.login = login.then(|| bytes.clone().into());
        context.upstream = upstream.then(|| text.clone());
        for event in [
            Event::Connected,
            Event::BrokenProxyHeader(bytes.clone()),
            Event::TlsFailed(Side::Client, text.clone()),
            Event::TlsFailed(Side::Backend, text.clone()),
            Event::CertificateRefused(text.clone()),
            Event::LookupFailed(LookupFailure::InvalidName(bytes.clone())),
            Event::LookupFailed(LookupFailure::Name(text, DnsError::TimedOut)),
            Event::RejectedBeforeGreeting(bytes.clone()),
            Event::Rejected(bytes.clone()),
            Event::TooLongCommand(bytes.clone(), 600),
            Event::LoginRefused(bytes.clone()),
            Event::BackendReplyTooLong(bytes.clone()),
            Event::BackendRefused { text: bytes.clone(), passed: true },
            Event::BackendRefused { text: bytes, passed: false },
        ] {
            let line = render(&event, Some(Stage::Auth), &context, PLACE);
            prop_assert!(!line.chars().any(char::is_control), "{event:?}: {line:?}");
        }
    }
}
