//! Lines about the auth server.

use gatepost_protocol::auth::AuthFailure;
use gatepost_protocol::transport::TlsCause;

use super::*;

#[test]
fn lines_about_the_auth_server() {
    let rows = [
        (
            AuthFailure::Connect(Errno(111)),
            Level::Error,
            "connect() to 127.0.0.1:9000 failed (111: Connection refused)",
        ),
        (
            AuthFailure::Connect(Errno(2)),
            Level::Crit,
            "connect() to 127.0.0.1:9000 failed (2: No such file or directory)",
        ),
        (AuthFailure::Refused(Errno(111)), Level::Error, "recv() failed (111: Connection refused)"),
        (AuthFailure::Receive(Errno(104)), Level::Error, "recv() failed (104: Connection reset by peer)"),
        (AuthFailure::Send(Errno(32)), Level::Error, "send() failed (32: Broken pipe)"),
        (
            AuthFailure::TimedOut,
            Level::Error,
            "auth http server 127.0.0.1:9000 timed out (110: Connection timed out)",
        ),
        (
            AuthFailure::ConnectTimedOut,
            Level::Error,
            "auth http server 127.0.0.1:9000 timed out (110: Connection timed out)",
        ),
        (
            AuthFailure::SendTimedOut,
            Level::Error,
            "auth http server 127.0.0.1:9000 timed out (110: Connection timed out)",
        ),
        (
            AuthFailure::Connect(Errno(110)),
            Level::Error,
            "connect() to 127.0.0.1:9000 failed (110: Connection timed out)",
        ),
        (AuthFailure::Closed, Level::Error, "auth http server 127.0.0.1:9000 prematurely closed connection"),
        (AuthFailure::InvalidResponse, Level::Error, "auth http server 127.0.0.1:9000 sent invalid response"),
        (
            AuthFailure::InvalidHeader,
            Level::Error,
            "auth http server 127.0.0.1:9000 sent invalid header in response",
        ),
        (AuthFailure::TooBig, Level::Error, "auth http server 127.0.0.1:9000 sent too big header"),
        (AuthFailure::NoStatus, Level::Error, "auth http server 127.0.0.1:9000 did not send status"),
        (AuthFailure::HttpStatus(500), Level::Error, "auth http server 127.0.0.1:9000 returned status 500"),
        (
            AuthFailure::NoServerOrPort,
            Level::Error,
            "auth http server 127.0.0.1:9000 did not send server or port",
        ),
        (AuthFailure::NoPassword, Level::Error, "auth http server 127.0.0.1:9000 did not send password"),
        (
            AuthFailure::InvalidServer(b"mx".to_vec()),
            Level::Error,
            "auth http server 127.0.0.1:9000 sent invalid server address:\"mx\"",
        ),
        (
            AuthFailure::InvalidPort(b"0".to_vec()),
            Level::Error,
            "auth http server 127.0.0.1:9000 sent invalid server port:\"0\"",
        ),
        (
            AuthFailure::InvalidServerSsl(b"yes".to_vec()),
            Level::Error,
            "auth http server 127.0.0.1:9000 sent invalid server ssl:\"yes\"",
        ),
        (
            AuthFailure::NoBackendTls,
            Level::Error,
            "auth http server 127.0.0.1:9000 asked for SSL to upstream, for which no \"proxy_ssl\" is configured",
        ),
        (
            AuthFailure::InvalidCredentials,
            Level::Error,
            "auth http server 127.0.0.1:9000 sent invalid credentials",
        ),
        (AuthFailure::TooManyWaits, Level::Error, "auth http server 127.0.0.1:9000 asked to wait too often"),
        (
            AuthFailure::HandshakeTimedOut,
            Level::Error,
            "auth http server 127.0.0.1:9000 timed out (110: Connection timed out) in SSL handshake",
        ),
        (
            AuthFailure::HandshakeBroken(Errno(104)),
            Level::Error,
            "auth http server 127.0.0.1:9000 failed in SSL handshake (104: Connection reset by peer)",
        ),
        (
            AuthFailure::ClosedInHandshake,
            Level::Error,
            "auth http server 127.0.0.1:9000 closed connection in SSL handshake, it may be one for \"http://\"",
        ),
        (
            AuthFailure::NotTrusted(PeerFault::Unverified(VerifyFailure {
                code: 10,
                reason: "certificate has expired",
                is_unknown_issuer: false,
            })),
            Level::Error,
            "auth http server 127.0.0.1:9000 SSL certificate verify error: (10:certificate has expired), \
             see \"auth_http_ssl_trusted_certificate\"",
        ),
        (
            AuthFailure::NotTrusted(PeerFault::WrongName("a.example".into())),
            Level::Error,
            "auth http server 127.0.0.1:9000 SSL certificate does not match \"a.example\", \
             see \"auth_http_ssl_name\"",
        ),
        (AuthFailure::NoSlots(512), Level::Alert, "512 worker_connections are not enough"),
    ];
    for (failure, severity, message) in rows {
        let event = Event::AuthFailed(failure);
        let line = render(&event, Some(Stage::HttpAuth), &context(), PLACE);
        assert_eq!(
            line,
            format!("{message} while in http auth state, client: 192.0.2.7, server: 0.0.0.0:143")
        );
        assert_eq!(level(&event), severity, "{line}");
    }
    for (cause, advice) in [
        (TlsCause::NoTls, ", it may be one for \"http://\""),
        (TlsCause::Version, ", see \"auth_http_ssl_protocols\""),
        (TlsCause::Negotiation, ", see \"auth_http_ssl_ciphers\" and \"auth_http_ssl_certificate\""),
        (TlsCause::OwnCertificate, ", see \"auth_http_ssl_certificate\""),
        (TlsCause::Name, ", see \"auth_http_ssl_name\""),
        (TlsCause::Application, ", it does not speak HTTP/1.1"),
        (TlsCause::Other, ""),
    ] {
        let event = Event::AuthFailed(AuthFailure::Tls { reason: "its words".into(), cause });
        let line = render(&event, Some(Stage::HttpAuth), &context(), PLACE);
        let expected = format!("auth http server 127.0.0.1:9000 SSL error: (its words){advice} while in ");
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(level(&event), Level::Error, "{line}");
    }
    let refused = Event::LoginRefused(b"Invalid login or password".to_vec());
    check([(
        refused,
        Some(Stage::HttpAuth),
        Level::Info,
        "client login failed: \"Invalid login or password\" while in http auth state",
    )]);
}

#[test]
fn each_attempt_has_its_time_and_a_failed_one_its_phase() {
    for (failure, severity, message) in [
        (None, Level::Info, "took 0.012 s"),
        (Some(AuthFailure::NoStatus), Level::Info, "took 0.012 s"),
        (Some(AuthFailure::Refused(Errno(111))), Level::Error, "failed in connect() after 0.012 s"),
        (Some(AuthFailure::Connect(Errno(2))), Level::Error, "failed in connect() after 0.012 s"),
        (Some(AuthFailure::ConnectTimedOut), Level::Error, "failed in connect() after 0.012 s"),
        (Some(AuthFailure::ClosedInHandshake), Level::Error, "failed in SSL handshake after 0.012 s"),
        (Some(AuthFailure::Send(Errno(32))), Level::Error, "failed in send() after 0.012 s"),
        (Some(AuthFailure::SendTimedOut), Level::Error, "failed in send() after 0.012 s"),
        (Some(AuthFailure::Receive(Errno(104))), Level::Error, "failed in recv() after 0.012 s"),
        (Some(AuthFailure::TimedOut), Level::Error, "failed in recv() after 0.012 s"),
        (Some(AuthFailure::Closed), Level::Error, "failed in recv() after 0.012 s"),
    ] {
        let phase = failure.as_ref().and_then(AuthFailure::phase);
        assert_eq!(auth_attempt_level(phase), severity, "{failure:?}");
        assert_eq!(
            auth_attempt(Duration::from_millis(12), phase, &context(), PLACE).text(),
            format!(
                "auth http server 127.0.0.1:9000 {message} while in http auth state, client: 192.0.2.7, \
                 server: 0.0.0.0:143"
            )
        );
    }
}
