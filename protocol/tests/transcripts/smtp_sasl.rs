//! SMTP towards the client: the state `Sasl`.

use gatepost_protocol::config::{Listener, Server, StartTls};
use gatepost_protocol::sasl::Mechanism;

use crate::support::server::{listener, smtp_offering};
use crate::support::transcript::check;

/// A server with every mechanism.
fn full() -> Listener {
    let all = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];
    let server = smtp_offering(all.into_iter().collect(), StartTls::Off, false, |_| {});
    listener(Server { max_errors: 50, ..server })
}

const HELLO: &str = "
    S: 220 mx.example ESMTP ready
    C: HELO laptop
    S: 250 mx.example
";

#[test]
fn sasl_prompts_for_plain_and_login() {
    let rest = "
        C: AUTH PLAIN
        S: 334\x20
        C: AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        > refused 1 Invalid login
        ! log LoginRefused \"Invalid login\"
        > sleep 1
        S: 535 5.7.0 Invalid login
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: am9l
        S: 334 UGFzc3dvcmQ6
        C: c2VjcmV0
        ! authenticate 2 plain joe secret, host [UNAVAILABLE]
        > outage
        S: 454 4.7.0 Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH LOGIN am9l
        S: 334 UGFzc3dvcmQ6
        C: c2VjcmV0
        ! authenticate 3 plain joe secret, host [UNAVAILABLE]
    ";
    check(&full(), &[HELLO, rest].concat());
}

#[test]
fn sasl_challenges_for_cram_md5_and_asks_external() {
    let rest = "
        C: AUTH CRAM-MD5
        S: 334 [1]
        C: am9lIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm
        ! authenticate 1 cram-md5 joe 0123456789abcdef0123456789abcdef <1>, host [UNAVAILABLE]
        > outage
        S: 454 4.7.0 Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH EXTERNAL
        S: 334 VXNlcm5hbWU6
        C: am9l
        ! authenticate 2 external joe, host [UNAVAILABLE]
        > outage
        S: 454 4.7.0 Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH EXTERNAL =
        ! authenticate 3 external , host [UNAVAILABLE]
    ";
    check(&full(), &[HELLO, rest].concat());
}

#[test]
fn sasl_is_left_by_a_star_and_by_what_is_no_response() {
    let rest = "
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: am9l
        S: 334 UGFzc3dvcmQ6
        C: *
        S: 501 5.7.0 Authentication cancelled
        C: AUTH PLAIN
        S: 334\x20
        C: QUIT!
        S: 501 5.5.2 Invalid base64 encoding
        ! log InvalidBase64(\"PLAIN\") while in auth state
        C: AUTH PLAIN am9l
        S: 501 5.5.2 Invalid authentication response
        ! log InvalidPlainLogin while in auth state
        C: AUTH PLAIN AGpvZQ==
        S: 501 5.5.2 Invalid authentication response
        ! log InvalidPlainPassword while in auth state
        C: AUTH PLAIN AGpvDWUAcHc=
        S: 501 5.5.2 Invalid authentication response
        ! log InvalidCredentials while in auth state
        C: AUTH CRAM-MD5
        S: 334 [1]
        C: am9lIDAxMjM=
        S: 501 5.5.2 Invalid authentication response
        ! log InvalidCramMd5 while in auth state
        C: AUTH CRAM-MD5 am9l
        S: 501 5.7.0 Mechanism has no initial response
        C: NOOP
        S: 250 2.0.0 OK
    ";
    check(&full(), &[HELLO, rest].concat());
}
