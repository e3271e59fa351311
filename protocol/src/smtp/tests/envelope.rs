//! MAIL and RCPT before the relay (`smtp_auth none`).

use super::*;

fn none() -> Server {
    server(StartTls::Off, "none")
}

#[test]
fn without_none_mail_needs_a_login() {
    for line in ["MAIL FROM:<a@client.test> SIZE=1", "MAIL", "MAIL nonsense"] {
        check(
            &plain(),
            &format!(
                "C: {line}
                    LOG Rejected({line:?}), in auth state
                    S: 530 5.7.1 Authentication required
                C: RCPT TO:<joe@mx.test>
                    S: 503 5.5.1 Bad sequence of commands"
            ),
        );
    }
}

#[test]
fn the_first_recipient_asks() {
    check(
        &none(),
        "C: EHLO client.test
            S: 250-mx.test
            S: 250 SIZE 1000
        C: mail  From:<a@client.test>  SIZE=1\x20\x20
            S: 250 2.0.0 OK
        C: Rcpt  To: <joe@mx.test> NOTIFY=NEVER\x20
            => none \"client.test\" \"mail  From:<a@client.test>  SIZE=1\" \"Rcpt  To: <joe@mx.test> NOTIFY=NEVER\"",
    );
    check(
        &none(),
        "C: MAIL FROM:<>
            S: 250 2.0.0 OK
        C: RCPT TO:<j\u{f6}@mx.test>
            => none \"\" \"MAIL FROM:<>\" \"RCPT TO:<j\u{f6}@mx.test>\"",
    );
}

#[test]
fn order_of_checks() {
    check(
        &Server { max_errors: 100, ..none() },
        "C: RCPT
            S: 503 5.5.1 Bad sequence of commands
        C: RCPT TO:<joe@mx.test>
            S: 503 5.5.1 Bad sequence of commands
        C: MAIL
            S: 501 5.5.4 Invalid argument
        C: MAIL TO:<joe@mx.test>
            S: 501 5.5.4 Invalid argument
        C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: MAIL
            S: 503 5.5.1 Bad sequence of commands
        C: MAIL FROM:<b@client.test>
            S: 503 5.5.1 Bad sequence of commands
        C: RCPT
            S: 501 5.5.4 Invalid argument
        C: RCPT joe@mx.test
            S: 501 5.5.4 Invalid argument
        C: RCPT TO:<joe@mx.test>
            => none \"\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"",
    );
}

#[test]
fn control_bytes_are_no_part_of_a_path() {
    for line in ["MAIL FROM:<a\t@client.test>", "MAIL FROM:<a\rb>", "MAIL FROM:<a\0b>", "MAIL FROM:<a\x7fb>"]
    {
        check(&none(), &format!("C: {line}\n S: 500 5.5.1 Invalid command"));
    }
}

#[test]
fn a_refused_recipient_leaves_the_sender() {
    check(
        &none(),
        "C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: RCPT TO:<joe@mx.test>
            => none \"\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"
        REFUSED 550 5.1.1|No such user
            S: 550 5.1.1 No such user
        C: MAIL FROM:<a@client.test>
            S: 503 5.5.1 Bad sequence of commands
        C: RCPT TO:<ann@mx.test>
            => none \"\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<ann@mx.test>\"
        UNAVAILABLE
            S: 454 4.7.0 Temporary authentication failure
        C: RCPT TO:<ann@mx.test>
            => none \"\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<ann@mx.test>\"",
    );
}

#[test]
fn rset_helo_and_ehlo_end_a_transaction() {
    for (line, reply) in
        [("RSET", "250 2.0.0 OK"), ("HELO b", "250 mx.test"), ("EHLO b", "250-mx.test\n S: 250 SIZE 1000")]
    {
        check(
            &none(),
            &format!(
                "C: MAIL FROM:<a@client.test>
                    S: 250 2.0.0 OK
                C: {line}
                    S: {reply}
                C: RCPT TO:<joe@mx.test>
                    S: 503 5.5.1 Bad sequence of commands
                C: MAIL FROM:<b@client.test>
                    S: 250 2.0.0 OK"
            ),
        );
    }
}

#[test]
fn a_refused_hello_changes_nothing() {
    check(
        &none(),
        "C: HELO client.test
            S: 250 mx.test
        C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: EHLO
            S: 501 5.5.4 Invalid argument
        C: NOOP
            S: 250 2.0.0 OK
        C: RCPT TO:<joe@mx.test>
            => none \"client.test\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"",
    );
}
