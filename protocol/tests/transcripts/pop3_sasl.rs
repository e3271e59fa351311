//! POP3 towards the client: the state `Sasl`.

use gatepost_protocol::config::{Server, StartTls};
use gatepost_protocol::sasl::Mechanism;

use crate::support::server::{listener, pop3_with};
use crate::support::transcript::check;

/// A server with everything on.
fn full() -> Server {
    let all = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];
    Server { max_errors: 50, ..pop3_with(StartTls::Off, all.into_iter().collect(), true) }
}

#[test]
fn sasl_prompts_for_plain_and_login() {
    check(
        &listener(full()),
        "
        S: +OK POP3 ready <1>
        C: AUTH PLAIN
        S: +\x20
        C: AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret
        > outage
        S: -ERR [SYS/TEMP] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: am9l
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        ! authenticate 2 plain joe secret
        > outage
        S: -ERR [SYS/TEMP] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH LOGIN am9l
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        ! authenticate 3 plain joe secret
        ",
    );
}

#[test]
fn sasl_challenges_for_cram_md5_and_asks_external() {
    check(
        &listener(full()),
        "
        S: +OK POP3 ready <1>
        C: AUTH CRAM-MD5
        S: + [2]
        C: am9lIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm
        ! authenticate 1 cram-md5 joe 0123456789abcdef0123456789abcdef <2>
        > outage
        S: -ERR [SYS/TEMP] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH EXTERNAL
        S: + VXNlcm5hbWU6
        C: am9l
        ! authenticate 2 external joe
        > outage
        S: -ERR [SYS/TEMP] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: AUTH EXTERNAL =
        ! authenticate 3 external\x20
        ",
    );
}

#[test]
fn sasl_is_left_by_a_star_and_by_what_is_no_response() {
    check(
        &listener(full()),
        "
        S: +OK POP3 ready <1>
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: am9l
        S: + UGFzc3dvcmQ6
        C: *
        S: -ERR authentication cancelled
        C: AUTH PLAIN
        S: +\x20
        C: NOOP!
        S: -ERR invalid command
        ! log InvalidBase64(\"PLAIN\") while in auth state
        C: AUTH PLAIN am9l
        S: -ERR invalid command
        ! log InvalidPlainLogin while in auth state
        C: AUTH PLAIN AGpvZQ==
        S: -ERR invalid command
        ! log InvalidPlainPassword while in auth state
        C: AUTH PLAIN AGpvDWUAcHc=
        S: -ERR invalid command
        ! log InvalidCredentials while in auth state
        C: AUTH CRAM-MD5
        S: + [2]
        C: am9lIDAxMjM=
        S: -ERR invalid command
        ! log InvalidCramMd5 while in auth state
        C: AUTH CRAM-MD5 am9l
        S: -ERR invalid command
        C: NOOP
        S: +OK
        ",
    );
}
