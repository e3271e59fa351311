//! Faults that mail proxies have had, by the name of their advisory: each stays impossible here.

use gatepost_protocol::config::StartTls;
use gatepost_protocol::sasl::Mechanism::{CramMd5, External, Plain};

use crate::support::server::{listener, pop3_with, smtp_with};
use crate::support::transcript::check;

/// CVE-2026-27651: digests, a failure, and another attempt in the same session.
#[test]
fn a_failed_digest_login_may_be_tried_again_by_any_mechanism() {
    let mechanisms = [Plain, CramMd5, External].into_iter().collect();
    check(
        &listener(pop3_with(StartTls::Off, mechanisms, true)),
        "
        S: +OK POP3 ready <1>
        C: APOP joe 0123
        ! authenticate 1 apop joe 0123 <1>
        > refused 1 no
        ! log LoginRefused \"no\"
        > sleep 1
        S: -ERR no
        C: AUTH CRAM-MD5
        S: + [2]
        C: am9lIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm
        ! authenticate 2 cram-md5 joe 0123456789abcdef0123456789abcdef <2>
        > refused 1 no
        ! log LoginRefused \"no\"
        > sleep 1
        S: -ERR no
        C: AUTH EXTERNAL
        S: + VXNlcm5hbWU6
        C: am9l
        ! authenticate 3 external joe
        > refused 1 no
        ! log LoginRefused \"no\"
        > sleep 1
        S: -ERR no
        C: USER joe
        S: +OK
        C: PASS new
        ! authenticate 4 plain joe new
        ",
    );
}

/// CVE-2025-53859: what an envelope is asked for with has nothing of a login that failed before it.
#[test]
fn an_envelope_carries_no_credentials_of_an_earlier_attempt() {
    check(
        &listener(smtp_with(StartTls::Off, true, |_| {})),
        "
        S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        > refused 1 no
        ! log LoginRefused \"no\"
        > sleep 1
        S: 535 5.7.0 no
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        ! authenticate 2 none laptop | MAIL FROM:<a@b> | RCPT TO:<c@d>, host [UNAVAILABLE]
        ",
    );
}

/// The bypass of the sets: EXTERNAL with an initial response, not configured.
#[test]
fn what_is_not_configured_asks_nobody() {
    check(
        &listener(smtp_with(StartTls::Off, false, |_| {})),
        "
        S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: AUTH EXTERNAL am9l
        S: 504 5.5.4 Unrecognized authentication type
        ",
    );
}
