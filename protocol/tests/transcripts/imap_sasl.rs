//! IMAP towards the client: the state `Sasl`.

use gatepost_protocol::config::{Server, StartTls};
use gatepost_protocol::sasl::Mechanism;

use crate::support::server::{imap_with, listener};
use crate::support::transcript::check;

/// A server with every mechanism.
fn full() -> Server {
    let all = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];
    Server { max_errors: 50, ..imap_with(StartTls::Off, all.into_iter().collect()) }
}

#[test]
fn sasl_prompts_for_plain_and_login() {
    check(
        &listener(full()),
        "
        S: * OK IMAP4 ready
        C: a1 AUTHENTICATE PLAIN
        S: +\x20
        C: AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret
        > outage
        S: a1 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: a2 AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: am9l
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        ! authenticate 2 plain joe secret
        > outage
        S: a2 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: a3 AUTHENTICATE PLAIN {16+}
        C: AGpvZQBzZWNyZXQ=
        ! authenticate 3 plain joe secret
        ",
    );
}

#[test]
fn sasl_challenges_for_cram_md5_and_asks_external() {
    check(
        &listener(full()),
        "
        S: * OK IMAP4 ready
        C: a1 AUTHENTICATE CRAM-MD5
        S: + [1]
        C: am9lIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm
        ! authenticate 1 cram-md5 joe 0123456789abcdef0123456789abcdef <1>
        > outage
        S: a1 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: a2 AUTHENTICATE CRAM-MD5
        S: + [2]
        C: *
        S: a2 BAD authentication cancelled
        C: a3 AUTHENTICATE EXTERNAL
        S: + VXNlcm5hbWU6
        C: am9l
        ! authenticate 2 external joe
        > outage
        S: a3 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: a4 AUTHENTICATE EXTERNAL =
        ! authenticate 3 external\x20
        ",
    );
}

#[test]
fn sasl_is_left_by_what_is_no_response() {
    check(
        &listener(full()),
        "
        S: * OK IMAP4 ready
        C: a1 AUTHENTICATE XOAUTH2
        S: a1 BAD invalid command
        C: a2 AUTHENTICATE PLAIN
        S: +\x20
        C: a3 NOOP
        S: a2 BAD invalid command
        ! log InvalidBase64(\"PLAIN\") while in auth state
        C: a3 AUTHENTICATE PLAIN am9l
        S: a3 BAD invalid command
        ! log InvalidPlainLogin while in auth state
        C: a4 AUTHENTICATE PLAIN AGpvZQ==
        S: a4 BAD invalid command
        ! log InvalidPlainPassword while in auth state
        C: a5 AUTHENTICATE PLAIN AGpvDWUAcHc=
        S: a5 BAD invalid command
        ! log InvalidCredentials while in auth state
        C: a6 AUTHENTICATE CRAM-MD5
        S: + [1]
        C: am9lIDAxMjM=
        S: a6 BAD invalid command
        ! log InvalidCramMd5 while in auth state
        C: a7 AUTHENTICATE CRAM-MD5 am9l
        S: a7 BAD invalid command
        C: a8 NOOP
        S: a8 OK completed
        ",
    );
}
