//! TLS towards the backend, in every protocol: from the first byte, and by STARTTLS.

use gatepost_protocol::config::{Listener, ProxyProtocol, ProxySsl, Server, StartTls};

use crate::support::server::{imap, listener, pop3, smtp, smtp_with};
use crate::support::transcript::check_over;
use crate::tls::{Upgrading, configs, with_backend_tls};

fn towards(mode: ProxySsl, server: Server) -> Listener {
    listener(with_backend_tls(mode, server))
}

const POP3_CLIENT: &str = "
    S: +OK POP3 ready
    C: USER joe
    S: +OK
    C: PASS secret
    ! authenticate 1 plain joe secret
    > accepted 127.0.0.1:1100
    ! connect 127.0.0.1:1100
    > connected
";

const IMAP_CLIENT: &str = "
    S: * OK IMAP4 ready
    C: a1 LOGIN joe secret
    ! authenticate 1 plain joe secret
    > accepted 127.0.0.1:1143
    ! connect 127.0.0.1:1143
    > connected
";

const SMTP_CLIENT: &str = "
    S: 220 mx.example ESMTP ready
    C: EHLO joes.example
    S: 250-mx.example
    S: 250-SIZE 1000
    S: 250 AUTH PLAIN LOGIN CRAM-MD5
    C: AUTH PLAIN AGpvZQBzZWNyZXQ=
    ! authenticate 1 plain joe secret, host [UNAVAILABLE]
    > accepted 127.0.0.1:1125
    ! connect 127.0.0.1:1125
    > connected
";

#[test]
fn pop3_under_tls_from_the_first_byte() {
    let rest = "
        > backend handshake
        B: +OK ready
        P: USER joe
        B: +OK
        P: PASS secret
        B: +OK 2 messages
        S: +OK 2 messages
        ! log LoggedIn
        ! relay
        C: STAT
        P: STAT
        B: +OK 2 320
        S: +OK 2 320
    ";
    check_over::<Upgrading>(&towards(ProxySsl::On, pop3(StartTls::Off)), &[POP3_CLIENT, rest].concat());
}

#[test]
fn the_proxy_header_goes_in_front_of_tls() {
    let rest = "
        P: PROXY TCP4 192.0.2.7 192.0.2.1 4711 143
        > backend handshake
        B: +OK ready
        P: USER joe
    ";
    let server = Server { proxy_protocol: ProxyProtocol::V1, ..pop3(StartTls::Off) };
    check_over::<Upgrading>(&towards(ProxySsl::On, server), &[POP3_CLIENT, rest].concat());
}

#[test]
fn pop3_by_stls() {
    let rest = "
        B: +OK ready
        P: STLS
        B: +OK begin
        > backend handshake
        P: USER joe
        B: +OK
        P: PASS secret
        B: +OK 2 messages
        S: +OK 2 messages
        ! log LoggedIn
        ! relay
    ";
    check_over::<Upgrading>(&towards(ProxySsl::StartTls, pop3(StartTls::Off)), &[POP3_CLIENT, rest].concat());
}

#[test]
fn imap_by_starttls_asks_for_capabilities_again() {
    // What came in clear is forgotten, LITERAL+ included.
    let rest = "
        B: * OK [CAPABILITY IMAP4rev1 STARTTLS LITERAL+] ready
        P: starttls STARTTLS
        B: * OK [ALERT] never shown
        B: starttls OK begin
        > backend handshake
        P: capability CAPABILITY
        B: * CAPABILITY IMAP4rev1 LITERAL-
        B: capability OK done
        P: a1 LOGIN {3+}
        P: joe {6+}
        P: secret
        B: * CAPABILITY IMAP4rev1 IDLE
        B: a1 OK logged in
        S: * CAPABILITY IMAP4rev1 IDLE
        S: a1 OK logged in
        ! log LoggedIn
        ! relay
    ";
    check_over::<Upgrading>(&towards(ProxySsl::StartTls, imap(StartTls::Off)), &[IMAP_CLIENT, rest].concat());
}

#[test]
fn imap_by_starttls_waits_with_literals_where_nothing_is_offered() {
    let rest = "
        B: * OK [CAPABILITY IMAP4rev1 STARTTLS LITERAL+] ready
        P: starttls STARTTLS
        B: starttls OK begin
        > backend handshake
        P: capability CAPABILITY
        B: capability BAD what
        P: a1 LOGIN {3}
        B: + OK
        P: joe {6}
        B: + OK
        P: secret
        B: a1 OK logged in
        S: a1 OK logged in
        ! log LoggedIn
        ! relay
    ";
    check_over::<Upgrading>(&towards(ProxySsl::StartTls, imap(StartTls::Off)), &[IMAP_CLIENT, rest].concat());
}

#[test]
fn smtp_by_starttls_says_ehlo_twice() {
    let rest = "
        B: 220 backend ESMTP
        P: EHLO mx.example
        B: 250-backend
        B: 250-XCLIENT NAME ADDR
        B: 250 STARTTLS
        P: STARTTLS
        B: 220 go ahead
        > backend handshake
        P: EHLO mx.example
        B: 250-backend
        B: 250 AUTH PLAIN
        P: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! log NoXclient { fatal: false } while reading response from upstream
        B: 235 welcome
        S: 235 2.0.0 OK
        ! log LoggedIn
        ! relay
    ";
    let server = smtp_with(StartTls::Off, false, |settings| settings.proxy_smtp_auth = true);
    check_over::<Upgrading>(&towards(ProxySsl::StartTls, server), &[SMTP_CLIENT, rest].concat());
}

#[test]
fn smtp_under_tls_from_the_first_byte() {
    let rest = "
        > backend handshake
        B: 220 backend ESMTP
        P: EHLO mx.example
        B: 250 backend
        P: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! log NoXclient { fatal: false } while reading response from upstream
        B: 235 welcome
        S: 235 2.0.0 OK
        ! log LoggedIn
        ! relay
    ";
    let server = smtp_with(StartTls::Off, false, |settings| settings.proxy_smtp_auth = true);
    check_over::<Upgrading>(&towards(ProxySsl::On, server), &[SMTP_CLIENT, rest].concat());
}

#[test]
fn tls_on_both_sides() {
    let server = Server { tls: Some(configs().0), ..imap(StartTls::On) };
    check_over::<Upgrading>(
        &towards(ProxySsl::On, server),
        "
        S: * OK IMAP4 ready
        C: a0 STARTTLS
        S: a0 OK completed
        > handshake
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        > connected
        > backend handshake
        B: * OK [CAPABILITY IMAP4rev1 LITERAL+] ready
        P: a1 LOGIN {3+}
        P: joe {6+}
        P: secret
        B: a1 OK logged in
        S: a1 OK logged in
        ! log LoggedIn
        ! relay
        C: a2 NOOP
        P: a2 NOOP
        B: a2 OK done
        S: a2 OK done
        ",
    );
}

#[test]
fn nothing_falls_back_to_clear_text() {
    let refusals = [
        (
            towards(ProxySsl::StartTls, pop3(StartTls::Off)),
            POP3_CLIENT,
            "
            B: +OK ready
            P: STLS
            B: -ERR what
            P: QUIT
            ! log BackendRefused \"-ERR what\" passed=false
            S: -ERR internal server error
            ",
        ),
        (
            towards(ProxySsl::StartTls, imap(StartTls::Off)),
            IMAP_CLIENT,
            "
            B: * OK ready
            P: starttls STARTTLS
            B: starttls NO not now
            P: logout LOGOUT
            ! log BackendRefused \"starttls NO not now\" passed=false
            S: a1 NO [UNAVAILABLE] internal server error
            S: * BYE internal server error
            ",
        ),
        (
            towards(ProxySsl::StartTls, imap(StartTls::Off)),
            IMAP_CLIENT,
            "
            B: * PREAUTH welcome
            P: logout LOGOUT
            ! log BackendRefused \"* PREAUTH welcome\" passed=false
            S: a1 NO [UNAVAILABLE] internal server error
            S: * BYE internal server error
            ",
        ),
        (
            towards(ProxySsl::StartTls, smtp(StartTls::Off)),
            SMTP_CLIENT,
            "
            B: 220 backend ESMTP
            P: EHLO mx.example
            B: 250-backend
            B: 250 STARTTLSX
            P: QUIT
            ! log NoStartTls while reading response from upstream
            S: 451 4.3.2 Internal server error
            ",
        ),
        (
            towards(ProxySsl::StartTls, smtp(StartTls::Off)),
            SMTP_CLIENT,
            "
            B: 220 backend ESMTP
            P: EHLO mx.example
            B: 250-backend
            B: 250 STARTTLS
            P: STARTTLS
            B: 454 no certificate
            P: QUIT
            ! log BackendRefused \"454 no certificate\" passed=false
            S: 451 4.3.2 Internal server error
            ",
        ),
    ];
    let end = "
        ! close client
        ! close backend
        ! finish
    ";
    for (listener, client, rest) in refusals {
        check_over::<Upgrading>(&listener, &[client, rest, end].concat());
    }
}
