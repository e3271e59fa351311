//! AUTH (RFC 4954).

use super::*;

/// A client that has said HELO, then the transcript.
#[track_caller]
fn check_after_helo(server: &Server, transcript: &str) {
    check(server, &format!("C: HELO a\n S: 250 mx.test\n {transcript}"));
}

/// Each line of the table is a command and its one reply.
#[track_caller]
fn check_replies(server: &Server, table: &[(&str, &str)]) {
    for (line, reply) in table {
        check_after_helo(server, &format!("C: {line}\n S: {reply}"));
    }
}

#[test]
fn plain_in_one_and_in_two_lines() {
    for line in ["AUTH PLAIN AGpvZQBwdw==", "auth plain  AGpvZQBwdw== ", "AUTH PLAIN AGpvZQBwdw"] {
        check_after_helo(&plain(), &format!("C: {line}\n => plain \"joe\" pw"));
    }
    check_after_helo(
        &plain(),
        "C: AUTH PLAIN
            S: 334_
        C: AGpvZQBwdw==
            => plain \"joe\" pw",
    );
}

#[test]
fn login() {
    check_after_helo(
        &plain(),
        "C: AUTH LOGIN
            S: 334 VXNlcm5hbWU6
        C: am9l
            S: 334 UGFzc3dvcmQ6
        C: cHc=
            => plain \"joe\" pw
        REFUSED no
            S: 535 5.7.0 no
        C: AUTH LOGIN am9l
            S: 334 UGFzc3dvcmQ6
        C:\x20
            => plain \"joe\"",
    );
}

#[test]
fn cram_md5_has_a_new_challenge_each_time() {
    // "joe " and 32 zeros.
    let answer = data_encoding::BASE64.encode(format!("joe {}", "0".repeat(32)).as_bytes());
    let zeros = "0".repeat(32);
    check_after_helo(
        &server(StartTls::Off, "cram-md5"),
        &format!(
            "C: AUTH CRAM-MD5
                S: 334 [1]
            C: {answer}
                => cram-md5 \"joe\" {zeros} <1>
            REFUSED no
                S: 535 5.7.0 no
            C: AUTH CRAM-MD5
                S: 334 [2]
            C: {answer}
                => cram-md5 \"joe\" {zeros} <2>"
        ),
    );
}

#[test]
fn external() {
    check_after_helo(
        &server(StartTls::Off, "external"),
        "C: AUTH EXTERNAL
            S: 334 VXNlcm5hbWU6
        C: am9l
            => external \"joe\"
        REFUSED no
            S: 535 5.7.0 no
        C: AUTH EXTERNAL am9l
            => external \"joe\"
        REFUSED no
            S: 535 5.7.0 no
        C: AUTH EXTERNAL =
            => external \"\"",
    );
}

#[test]
fn the_empty_initial_response_is_an_equals_sign() {
    check_after_helo(
        &plain(),
        "C: AUTH PLAIN =
            LOG InvalidPlainLogin, in auth state
            S: 501 5.5.2 Invalid authentication response
        C: AUTH PLAIN
            S: 334_
        C: =
            LOG InvalidBase64(\"PLAIN\"), in auth state
            S: 501 5.5.2 Invalid base64 encoding",
    );
}

#[test]
fn commands_that_start_no_exchange() {
    check_replies(
        &plain(),
        &[
            ("AUTH", "501 5.5.4 Invalid argument"),
            ("AUTH PLAIN AGpvZQBwdw== x", "501 5.5.4 Invalid argument"),
            ("AUTH XOAUTH2", "504 5.5.4 Unrecognized authentication type"),
            ("AUTH XOAUTH2 a b", "504 5.5.4 Unrecognized authentication type"),
            ("AUTH SCRAM-SHA-256", "504 5.5.4 Unrecognized authentication type"),
            ("AUTH CRAM-MD5", "504 5.5.4 Unrecognized authentication type"),
            ("AUTH EXTERNAL am9l", "504 5.5.4 Unrecognized authentication type"),
        ],
    );
    check_replies(
        &server(StartTls::Off, "cram-md5"),
        &[
            ("AUTH CRAM-MD5 am9l", "501 5.7.0 Mechanism has no initial response"),
            ("AUTH CRAM-MD5 =", "501 5.7.0 Mechanism has no initial response"),
        ],
    );
}

#[test]
fn plaintext_mechanisms_need_no_directive() {
    for words in ["none", "cram-md5", "external"] {
        check_after_helo(&server(StartTls::Off, words), "C: AUTH PLAIN AGpvZQBwdw==\n => plain \"joe\" pw");
    }
}

#[test]
fn responses_that_are_none() {
    let all = server(StartTls::Off, "plain login cram-md5 external");
    for (lines, event, reply) in [
        ("C: AUTH PLAIN ?", "InvalidBase64(\"PLAIN\")", "501 5.5.2 Invalid base64 encoding"),
        ("C: AUTH LOGIN a", "InvalidBase64(\"LOGIN\")", "501 5.5.2 Invalid base64 encoding"),
        ("C: AUTH EXTERNAL *", "InvalidBase64(\"EXTERNAL\")", "501 5.5.2 Invalid base64 encoding"),
        (
            "C: AUTH CRAM-MD5\n S: 334 [1]\n C: ?",
            "InvalidBase64(\"CRAM-MD5\")",
            "501 5.5.2 Invalid base64 encoding",
        ),
        (
            "C: AUTH PLAIN\n S: 334_\n C: AGpv ZQBwdw==",
            "InvalidBase64(\"PLAIN\")",
            "501 5.5.2 Invalid base64 encoding",
        ),
        (
            "C: AUTH PLAIN\n S: 334_\n C: NOOP\r",
            "InvalidBase64(\"PLAIN\")",
            "501 5.5.2 Invalid base64 encoding",
        ),
        ("C: AUTH PLAIN am9l", "InvalidPlainLogin", "501 5.5.2 Invalid authentication response"),
        ("C: AUTH PLAIN AGpvZQ==", "InvalidPlainPassword", "501 5.5.2 Invalid authentication response"),
        (
            "C: AUTH CRAM-MD5\n S: 334 [1]\n C: am9l",
            "InvalidCramMd5",
            "501 5.5.2 Invalid authentication response",
        ),
        // An empty login, and one with CR LF in it.
        ("C: AUTH LOGIN =", "InvalidCredentials", "501 5.5.2 Invalid authentication response"),
        ("C: AUTH PLAIN AGoNCm8AcHc=", "InvalidCredentials", "501 5.5.2 Invalid authentication response"),
    ] {
        check_after_helo(
            &all,
            &format!("{lines}\n LOG {event}, in auth state\n S: {reply}\n C: NOOP\n S: 250 2.0.0 OK"),
        );
    }
}

#[test]
fn a_star_cancels() {
    let all = server(StartTls::Off, "plain login cram-md5 external");
    for (mechanism, prompt) in [
        ("PLAIN", "334_"),
        ("LOGIN", "334 VXNlcm5hbWU6"),
        ("CRAM-MD5", "334 [1]"),
        ("EXTERNAL", "334 VXNlcm5hbWU6"),
    ] {
        check_after_helo(
            &all,
            &format!(
                "C: AUTH {mechanism}\n S: {prompt}\n C: *\n S: 501 5.7.0 Authentication cancelled
                 C: NOOP\n S: 250 2.0.0 OK"
            ),
        );
    }
}

#[test]
fn auth_has_its_place() {
    check(&plain(), "C: AUTH PLAIN AGpvZQBwdw==\n S: 503 5.5.1 Bad sequence of commands");
    check(&plain(), "C: AUTH\n S: 503 5.5.1 Bad sequence of commands");
    check_after_helo(
        &server(StartTls::Off, "plain none"),
        "C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: AUTH PLAIN AGpvZQBwdw==
            S: 503 5.5.1 Bad sequence of commands
        C: RSET
            S: 250 2.0.0 OK
        C: AUTH PLAIN AGpvZQBwdw==
            => plain \"joe\" pw",
    );
}

#[test]
fn a_refused_login_may_be_tried_again() {
    check_after_helo(
        &plain(),
        "C: AUTH PLAIN AGpvZQBwdw==
            => plain \"joe\" pw
        BACKEND REFUSED 535 5.7.8 no
            S: 535 5.7.8 no
        C: MAIL FROM:<a@client.test>
            LOG Rejected(\"MAIL FROM:<a@client.test>\"), in auth state
            S: 530 5.7.1 Authentication required
        C: AUTH LOGIN am9l
            S: 334 UGFzc3dvcmQ6
        C: cHc=
            => plain \"joe\" pw",
    );
}
