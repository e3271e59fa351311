//! From accept to greeting: PROXY header, an SMTP client's name, the greeting delay.

mod support;

use gatepost_protocol::action::{Action, Side};
use gatepost_protocol::address::{ClientAddr, Origin};
use gatepost_protocol::config::{Listener, Network, Server, StartTls};
use gatepost_protocol::event::{Event, Stage};
use support::server::{behind_balancer, listener, pop3, smtp_with};
use support::transcript::check;
use support::{Driver, SECOND, origin};

#[test]
fn a_proxy_header_may_come_in_pieces() {
    check(
        &behind_balancer(pop3(StartTls::Off)),
        "
        C: PROXY TCP4 198.51.100.7 192.0.2.1 5 110
        S: +OK POP3 ready
        C: NOOP
        S: +OK
        ",
    );
}

#[test]
fn a_trusted_proxy_header_names_the_client() {
    let network = |address: &str| Network::Inet { address: address.parse().unwrap(), prefix: 24 };
    for (trusted, client) in [("192.0.2.0", "198.51.100.7:5"), ("203.0.113.0", "192.0.2.7:4711")] {
        let server = Server { real_ip_from: vec![network(trusted)], ..pop3(StartTls::Off) };
        let mut driver = Driver::open(&behind_balancer(server));
        driver.input(Side::Client, b"PROXY TCP4 198.51.100.7 192.0.2.1 5 110\r\nUSER joe\r\nPASS x\r\n");
        let client = ClientAddr::Inet(client.parse().unwrap());
        assert_eq!(driver.log_context().client, client);
        let actions = driver.take_actions();
        let Some(Action::Authenticate(request)) = actions.last() else { panic!("{actions:?}") };
        assert_eq!(request.client, client);
        assert_eq!(request.proxy.as_ref().unwrap().source_port, 5);
    }
}

#[test]
fn a_proxy_header_that_is_none_ends_the_session() {
    check(
        &behind_balancer(pop3(StartTls::Off)),
        "
        > eof client
        ! log BrokenProxyHeader([]) while reading PROXY protocol
        ! close client
        ! finish
        ",
    );
    check(
        &behind_balancer(pop3(StartTls::Off)),
        "
        C: P\\
        > eof client
        ! log BrokenProxyHeader([80]) while reading PROXY protocol
        ! close client
        ! finish
        ",
    );
    // The beginning of a binary header is no empty connection.
    check(
        &behind_balancer(pop3(StartTls::Off)),
        "
        C:
        > eof client
        ! log BrokenProxyHeader([13, 10]) while reading PROXY protocol
        ! close client
        ! finish
        ",
    );
    check(
        &behind_balancer(pop3(StartTls::Off)),
        "
        C: P\\
        > sleep 60
        ! log ClientTimedOut while reading PROXY protocol
        ! close client
        ! finish
        ",
    );
    let mut driver = Driver::open(&behind_balancer(pop3(StartTls::Off)));
    driver.input(Side::Client, b"USER joe\r\n");
    assert_eq!(driver.take_client(), "");
    assert_eq!(driver.take_actions().last(), Some(&Action::Finish));
}

fn resolving(delay: u64) -> Listener {
    let server = smtp_with(StartTls::Off, false, |settings| settings.greeting_delay = SECOND * delay as u32);
    listener(Server { resolve: true, ..server })
}

/// What an SMTP client says and hears from greeting to login.
const SMTP_LOGIN: &str = "
    S: 220 mx.example ESMTP ready
    C: EHLO x
    S: 250-mx.example
    S: 250-SIZE 1000
    S: 250 AUTH PLAIN LOGIN CRAM-MD5
    C: AUTH PLAIN AGpvZQBzZWNyZXQ=
";

#[test]
fn an_smtp_client_is_looked_up_before_the_greeting() {
    for (outcome, host) in [
        ("> resolved mail.example", "mail.example"),
        ("> mismatch", "[UNAVAILABLE]"),
        (
            "> not-found
            ! log LookupFailed(Address(NotFound)) while in resolving client address",
            "[UNAVAILABLE]",
        ),
        (
            "> sleep 10
            ! cancel
            ! log LookupFailed(Address(TimedOut)) while in resolving client address",
            "[TEMPUNAVAIL]",
        ),
    ] {
        let dialogue = format!(
            "! resolve 192.0.2.7
            {outcome}
            {SMTP_LOGIN}
            ! authenticate 1 plain joe secret, host {host}"
        );
        check(&resolving(0), &dialogue);
    }
}

#[test]
fn a_lookup_lasts_no_longer_than_timeout() {
    let listener = resolving(0);
    let server = Server { timeout: 4 * SECOND, ..(*listener.server).clone() };
    let listener = Listener { server: std::sync::Arc::new(server), ..listener };
    let dialogue = "
        ! resolve 192.0.2.7
        > sleep 3
        > sleep 1
        ! cancel
        ! log LookupFailed(Address(TimedOut)) while in resolving client address
        S: 220 mx.example ESMTP ready
    ";
    check(&listener, dialogue);
}

#[test]
fn a_client_that_leaves_cancels_its_lookup() {
    check(
        &resolving(0),
        "
        ! resolve 192.0.2.7
        > eof client
        ! cancel
        ! close client
        ! finish
        ",
    );
}

#[test]
fn who_cannot_be_looked_up_has_no_name_for_now() {
    let origin = Origin { peer: ClientAddr::Unix, ..origin() };
    let mut driver = Driver::open_from(&resolving(0), &origin);
    driver.input(Side::Client, b"EHLO x\r\nAUTH PLAIN AGpvZQBzZWNyZXQ=\r\n");
    let actions = driver.take_actions();
    let Some(Action::Authenticate(request)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(request.client_host.as_deref(), Some("[TEMPUNAVAIL]"));
}

#[test]
fn a_delayed_greeting_comes_to_those_who_wait() {
    check(
        &resolving(3),
        "
        ! resolve 192.0.2.7
        > resolved mail.example
        > sleep 2
        > sleep 1
        S: 220 mx.example ESMTP ready
        > eof client
        ! close client
        ! finish
        ",
    );
}

#[test]
fn the_log_shows_no_password_that_came_before_the_greeting() {
    for (early, shown) in [
        ("EHLO x\r\nAUTH PLAIN AGpvZQBwdw==\r\n", "EHLO x"),
        ("auth plain AGpvZQBwdw==\r\n", "auth"),
        ("AUTHPLAIN AGpvZQBwdw==", "AUTH"),
        ("\r\nAUTH PLAIN AGpvZQBwdw==\r\n", ""),
        ("EHL", "EHL"),
    ] {
        let mut driver = Driver::open(&resolving(3));
        support::transcript::order("resolved mail.example", &mut driver);
        driver.take_actions();
        driver.input(Side::Client, early.as_bytes());
        let event = Event::RejectedBeforeGreeting(shown.into());
        assert_eq!(driver.take_actions()[0], Action::Log(event, Some(Stage::DelayingGreeting)), "{early:?}");
    }
}

/// One byte: of more the log shows what had come by then.
#[test]
fn who_speaks_before_a_delayed_greeting_is_rejected() {
    check(
        &resolving(3),
        "
        ! resolve 192.0.2.7
        > resolved mail.example
        C: E\\
        S: 503 5.5.0 Improper use of SMTP command pipelining
        ! log RejectedBeforeGreeting \"E\" while in delay pipelining state
        ! close client
        ! finish
        ",
    );
}
