//! IMAP towards the client: every state but `Sasl`, and every reply.

use gatepost_protocol::config::{Server, StartTls};

use crate::support::server::{imap, listener};
use crate::support::transcript::{check, check_over};
use crate::tls::{Upgrading, secured};

#[test]
fn imap_logs_in_by_literals_and_relays() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN {3}
        S: + OK
        C: joe {6+}
        C: secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143 j pw
        ! connect 127.0.0.1:1143
        > connected
        B: * OK ready
        P: a1 LOGIN {1}
        B: + go on
        P: j {2}
        B: + go on
        P: pw
        B: a1 OK logged in
        S: a1 OK logged in
        ! log LoggedIn
        ! relay
        C: a2 SELECT x
        P: a2 SELECT x
        ",
    );
}

#[test]
fn ready_answers_what_needs_no_login() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5
        S: a1 OK completed
        C: a2 noop
        S: a2 OK completed
        C: a3 ID (\"name\" \"x\" \"version\" NIL)
        S: * ID NIL
        S: a3 OK completed
        C: a4 LOGOUT
        S: * BYE
        S: a4 OK completed
        ! close client
        ! finish
        ",
    );
}

#[test]
fn ready_refuses_what_is_malformed_or_not_offered() {
    check(
        &listener(Server { max_errors: 50, ..imap(StartTls::Off) }),
        "
        S: * OK IMAP4 ready
        C:
        S: * BAD invalid command
        C: a1
        S: * BAD invalid command
        C: a* NOOP
        S: * BAD invalid command
        C: a1 SELECT inbox
        S: a1 BAD invalid command
        C: a1 NOOP x
        S: a1 BAD invalid command
        C: a1 ID x
        S: a1 BAD invalid command
        C: a1 LOGIN joe
        S: a1 BAD invalid command
        C: a1 LOGIN \"\" secret
        S: a1 BAD invalid command
        C: a1 LOGIN \"jo\re\" secret
        S: a1 BAD invalid command
        C: a1 STARTTLS
        S: a1 BAD invalid command
        ",
    );
}

#[test]
fn ready_takes_a_login_of_atoms_and_quoted_strings() {
    check(
        &listener(imap(StartTls::Off)),
        r#"
        S: * OK IMAP4 ready
        C: a1 LOGIN joe "my \"secret\""
        ! authenticate 1 plain joe my "secret"
        "#,
    );
}

#[test]
fn literals_of_no_byte_need_no_waiting() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe {0}
        S: + OK
        C:
        ! authenticate 1 plain joe\x20
        > outage
        S: a1 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: a2 ID ({4}
        S: + OK
        C: name {0+}
        C: )
        S: * ID NIL
        S: a2 OK completed
        ",
    );
}

#[test]
fn literals_may_hold_line_ends_but_no_login_does() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN {4}
        S: + OK
        C: jo
        C:  secret
        S: a1 BAD invalid command
        ! log InvalidCredentials while in auth state
        C: a2 ID ({2+}
        C:
        C:  {2+}
        C:
        C: )
        S: * ID NIL
        S: a2 OK completed
        ",
    );
}

#[test]
fn literals_that_are_malformed_end_the_command() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 SELECT {5}
        S: a1 BAD invalid command
        C: a2 LOGIN {x}
        S: a2 BAD invalid command
        C: a3 SELECT {5+}
        S: a3 BAD invalid command
        ! close client
        ! finish
        ",
    );
}

#[test]
fn literals_over_the_buffer_are_refused() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN {4096}
        S: a1 BAD command too long
        ! log TooLongCommand \"LOGIN\" 4113 while in auth state
        C: a2 NOOP
        S: a2 OK completed
        C: a3 LOGIN {4096+}
        S: a3 BAD command too long
        ! log TooLongCommand \"LOGIN\" 4114 while in auth state
        ! close client
        ! finish
        ",
    );
}

#[test]
fn rest_goes_on_with_a_space_or_ends_the_command() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN {3+}
        C: joesecret
        S: a1 BAD invalid command
        C: a2 LOGIN {3+}
        C: joe
        S: a2 BAD invalid command
        C: a3 LOGIN {3+}
        C: joe \"secret\"
        ! authenticate 1 plain joe secret
        ",
    );
}

#[test]
fn judged_logins_are_answered_under_their_tag() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe wrong
        ! authenticate 1 plain joe wrong
        > refused 1 Invalid login
        ! log LoginRefused \"Invalid login\"
        > sleep 1
        S: a1 NO Invalid login
        C: a2 LOGIN joe wrong
        ! authenticate 2 plain joe wrong
        > outage
        S: a2 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: *
        S: * BAD invalid command
        C: a3 LOGIN joe secret
        ! authenticate 3 plain joe secret
        > nonsense
        S: a3 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        ! log AuthFailed(NoStatus) while in http auth state
        ! close client
        ! finish
        ",
    );
}

#[test]
fn judged_starttls_leads_to_a_fresh_start_under_tls() {
    check_over::<Upgrading>(
        &secured(imap(StartTls::Only)),
        "
        S: * OK IMAP4 ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
        S: a1 OK completed
        C: a2 LOGIN joe secret
        S: a2 NO [PRIVACYREQUIRED] STARTTLS is required before login
        C: a3 LOGIN {3}
        S: a3 NO [PRIVACYREQUIRED] STARTTLS is required before login
        C: a4 AUTHENTICATE PLAIN
        S: a4 NO [PRIVACYREQUIRED] STARTTLS is required before login
        C: a5 STARTTLS
        S: a5 OK completed
        > handshake
        C: a6 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5
        S: a6 OK completed
        C: a7 STARTTLS
        S: a7 BAD invalid command
        C: a8 LOGIN {3+}
        C: joe secret
        ! authenticate 1 plain joe secret
        ",
    );
}

#[test]
fn a_line_that_is_too_long_ends_every_state() {
    let long = "x".repeat(600);
    for (before, reply, verb) in [
        ("C: ", "* BAD", ""),
        ("C: a1 SELECT ", "a1 BAD", ""),
        ("C: a1 LOGIN ", "a1 BAD", "LOGIN"),
        ("C: a1 LOGIN {3+}\nC: joe ", "a1 BAD", "LOGIN"),
        ("C: a1 AUTHENTICATE PLAIN\nS: +\x20\nC: ", "a1 BAD", ""),
    ] {
        let dialogue = format!(
            "S: * OK IMAP4 ready
            {before}{long}
            S: {reply} command too long
            ! log TooLongCommand \"{verb}\" 512 while in auth state
            ! close client
            ! finish"
        );
        check(&listener(imap(StartTls::Off)), &dialogue);
    }
}
