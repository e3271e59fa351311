//! Transcripts: each runs the machine over its `C:` lines and compares all that happened.

use super::*;
use crate::sasl::Mechanism;

mod driver;
mod properties;

pub(super) use driver::plain;
use driver::{Driver, check, full, server};

#[test]
fn greeting() {
    check(&plain(), &["CONNECT", "S: +OK POP3 ready"]);
    for (mechanisms, apop) in [(&[Mechanism::Plain][..], true), (&[Mechanism::CramMd5], false)] {
        check(&server(StartTls::Off, mechanisms, apop), &["CONNECT", "S: +OK POP3 ready <1>"]);
    }
}

#[test]
fn user_and_pass() {
    check(&plain(), &["C: USER joe", "S: +OK", "C: PASS pw", "=> plain \"joe\" pw"]);
    check(&plain(), &["C: uSeR   joe smith ", "S: +OK", "C: pass  p  w ", "=> plain \"joe smith \" p  w "]);
    // The plaintext commands are accepted whatever `pop3_auth` says.
    let none = server(StartTls::Off, &[], false);
    check(&none, &["C: USER joe", "S: +OK", "C: PASS pw", "=> plain \"joe\" pw"]);
}

#[test]
fn start_accepts_no_pass_and_no_empty_user() {
    for line in ["C: PASS pw", "C: PASS", "C: USER", "C: USER   "] {
        check(&plain(), &[line, "S: -ERR invalid command"]);
    }
}

#[test]
fn every_error_in_user_forgets_the_login() {
    for line in
        ["USER joe", "USER", "APOP joe 01", "AUTH", "AUTH PLAIN", "STLS", "PASS", "PASS  ", "STAT", ""]
    {
        let line = format!("C: {line}");
        check(
            &full(),
            &[
                "C: USER joe",
                "S: +OK",
                &line,
                "S: -ERR invalid command",
                "C: PASS pw",
                "S: -ERR invalid command",
            ],
        );
    }
}

#[test]
fn noop_and_capa_keep_the_login() {
    check(
        &plain(),
        &[
            "C: NOOP",
            "S: +OK",
            "C: USER joe",
            "S: +OK",
            "C: NOOP with words",
            "S: +OK",
            "C: CAPA",
            "S: +OK Capability list follows",
            "S: TOP",
            "S: USER",
            "S: UIDL",
            "S: SASL PLAIN LOGIN",
            "S: .",
            "C: PASS pw",
            "=> plain \"joe\" pw",
        ],
    );
}

#[test]
fn quit() {
    check(&plain(), &["C: QUIT", "S: +OK", "=> close"]);
    check(&plain(), &["C: USER joe", "S: +OK", "C: quit now", "S: +OK", "=> close"]);
}

#[test]
fn capa_with_starttls() {
    let capa = |tail: &[&'static str]| [&["S: +OK Capability list follows"], tail, &["S: ."]].concat();
    let (users, sasl) = (["S: TOP", "S: USER", "S: UIDL"], "S: SASL PLAIN LOGIN");
    let full = capa(&[users.as_slice(), &[sasl]].concat());
    let user = ["C: USER joe", "S: +OK", "C: CAPA"];

    let on = server(StartTls::On, &[Mechanism::Plain], false);
    check(&on, &[&["C: CAPA"][..], &capa(&[users.as_slice(), &[sasl, "S: STLS"]].concat())].concat());
    check(&on, &[&user[..], &full].concat());
    check(&on, &[&["TLS", "C: CAPA"][..], &full].concat());

    let only = server(StartTls::Only, &[Mechanism::Plain], false);
    check(&only, &[&["C: CAPA"][..], &capa(&["S: TOP", "S: UIDL", "S: STLS"])].concat());
    check(&only, &[&["TLS", "C: CAPA"][..], &full, &user, &full].concat());
}

#[test]
fn apop() {
    let server = server(StartTls::Off, &[Mechanism::Plain], true);
    check(
        &server,
        &[
            "CONNECT",
            "S: +OK POP3 ready <1>",
            "C: APOP joe c4c9334bac560ecc979e58001b3e22fb",
            "=> apop \"joe\" c4c9334bac560ecc979e58001b3e22fb <1>",
            "AUTH SERVER refuses: no",
            "S: -ERR no",
            // Neither length nor alphabet of the digest is looked at, and the greeting's challenge serves again.
            "C: APOP  joe  xyz ",
            "=> apop \"joe\" xyz <1>",
        ],
    );
    for line in ["APOP", "APOP joe", "APOP joe 01 02", "APOP joe 01 02 03", "APOP j\0e 01"] {
        let mut driver = Driver::new(&server);
        driver.input("CONNECT");
        driver.input(&format!("C: {line}"));
        assert_eq!(driver.seen.last().map(String::as_str), Some("S: -ERR invalid command"), "{line:?}");
    }
}

#[test]
fn apop_needs_its_directive() {
    let cram_only = server(StartTls::Off, &[Mechanism::CramMd5], false);
    check(&cram_only, &["CONNECT", "S: +OK POP3 ready <1>", "C: APOP joe 01", "S: -ERR invalid command"]);
}

#[test]
fn auth_list() {
    check(
        &full(),
        &[
            "C: AUTH",
            "S: +OK methods supported:",
            "S: PLAIN",
            "S: LOGIN",
            "S: CRAM-MD5",
            "S: EXTERNAL",
            "S: .",
            "C: NOOP",
            "S: +OK",
        ],
    );
}

#[test]
fn auth_plain() {
    check(&plain(), &["C: AUTH PLAIN AGpvZQBwdw==", "=> plain \"joe\" pw"]);
    check(&plain(), &["C: auth plain", "S: + ", "C: AGpvZQBwdw", "=> plain \"joe\" pw"]);
    // Spaces behind a response carry nothing.
    check(&plain(), &["C: AUTH PLAIN", "S: + ", "C: AGpvZQBwdw==  ", "=> plain \"joe\" pw"]);
}

#[test]
fn auth_login() {
    check(
        &plain(),
        &[
            "C: AUTH LOGIN",
            "S: + VXNlcm5hbWU6",
            "C: am9l",
            "S: + UGFzc3dvcmQ6",
            "C: cHc=",
            "=> plain \"joe\" pw",
        ],
    );
    check(&plain(), &["C: AUTH LOGIN am9l", "S: + UGFzc3dvcmQ6", "C: ", "=> plain \"joe\" "]);
}

#[test]
fn auth_cram_md5() {
    check(
        &full(),
        &[
            "CONNECT",
            "S: +OK POP3 ready <1>",
            "C: AUTH CRAM-MD5",
            "S: + [2]",
            "C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
            "=> cram-md5 \"tim\" b913a602c7eda7a495b4e6e7334d3890 <2>",
            "AUTH SERVER refuses: no",
            "S: -ERR no",
            "C: AUTH CRAM-MD5",
            "S: + [3]",
            "C: dGlt",
            "LOG InvalidCramMd5",
            "S: -ERR invalid command",
            "C: AUTH CRAM-MD5 =",
            "S: -ERR invalid command",
        ],
    );
}

#[test]
fn auth_external() {
    check(&full(), &["C: AUTH EXTERNAL", "S: + VXNlcm5hbWU6", "C: am9l", "=> external \"joe\" "]);
    check(&full(), &["C: AUTH EXTERNAL am9l", "=> external \"joe\" "]);
    check(&full(), &["C: AUTH EXTERNAL =", "=> external \"\" "]);
}

#[test]
fn only_plaintext_mechanisms_need_no_directive() {
    let none = server(StartTls::Off, &[], false);
    check(
        &none,
        &[
            "C: AUTH",
            "S: +OK methods supported:",
            "S: .",
            "C: AUTH EXTERNAL am9l",
            "S: -ERR invalid command",
            "C: AUTH EXTERNAL",
            "S: -ERR invalid command",
            "C: AUTH CRAM-MD5",
            "S: -ERR invalid command",
            "C: AUTH PLAIN AGpvZQBwdw==",
            "=> plain \"joe\" pw",
            "AUTH SERVER refuses: no",
            "S: -ERR no",
            "C: AUTH LOGIN am9l",
            "S: + UGFzc3dvcmQ6",
            "C: cHc=",
            "=> plain \"joe\" pw",
        ],
    );
}

#[test]
fn auth_with_wrong_words() {
    for line in
        ["AUTH XOAUTH2", "AUTH PLAIN AGpvZQBwdw== x", "AUTH LOGIN am9l cHc=", "AUTH PLAIN = =", "AUTH *"]
    {
        let line = format!("C: {line}");
        check(&full(), &[&line, "S: -ERR invalid command"]);
    }
}

#[test]
fn a_star_cancels() {
    for (command, prompt) in [
        ("C: AUTH PLAIN", "S: + "),
        ("C: AUTH LOGIN am9l", "S: + UGFzc3dvcmQ6"),
        ("C: AUTH CRAM-MD5", "S: + [1]"),
    ] {
        check(&full(), &[command, prompt, "C: *", "S: -ERR authentication cancelled", "C: NOOP", "S: +OK"]);
    }
}

#[test]
fn a_bad_response_ends_the_exchange() {
    for (response, event) in [
        ("!", "LOG InvalidBase64(\"PLAIN\")"),
        ("AGpvZQBwdw== x", "LOG InvalidBase64(\"PLAIN\")"),
        (" AGpvZQBwdw==", "LOG InvalidBase64(\"PLAIN\")"),
        ("AGpvZQBwdw==\rx", "LOG InvalidBase64(\"PLAIN\")"),
        ("=", "LOG InvalidBase64(\"PLAIN\")"),
        ("", "LOG InvalidPlainLogin"),
        ("am9l", "LOG InvalidPlainLogin"),
        ("AGpvZQ==", "LOG InvalidPlainPassword"),
        ("YW5uAGpvZQBwdw==", "LOG InvalidCredentials"),
    ] {
        let response = format!("C: {response}");
        check(
            &plain(),
            &["C: AUTH PLAIN", "S: + ", &response, event, "S: -ERR invalid command", "C: NOOP", "S: +OK"],
        );
    }
    check(&plain(), &["C: AUTH PLAIN =", "LOG InvalidPlainLogin", "S: -ERR invalid command"]);
}

#[test]
fn stls() {
    let on = server(StartTls::On, &[Mechanism::Plain], true);
    check(
        &on,
        &[
            "CONNECT",
            "S: +OK POP3 ready <1>",
            "C: STLS ",
            "S: +OK",
            "=> STARTTLS",
            "TLS",
            "C: STLS",
            "S: -ERR invalid command",
            "C: APOP joe 01",
            "=> apop \"joe\" 01 <1>",
        ],
    );
    check(&on, &["C: STLS now", "S: -ERR invalid command"]);
    check(&on, &["C: STLS", "S: +OK", "=> STARTTLS", "BYTES IN CLEAR", "S: -ERR invalid command"]);
    check(&on, &["C: USER joe", "S: +OK", "C: STLS", "S: -ERR invalid command"]);
    check(&plain(), &["C: STLS", "S: -ERR invalid command"]);
}

#[test]
fn tls_forgets_what_was_said_in_clear() {
    let on = server(StartTls::On, &[Mechanism::Plain], false);
    check(&on, &["C: USER joe", "S: +OK", "TLS", "C: PASS pw", "S: -ERR invalid command"]);
}

#[test]
fn starttls_only_refuses_logins_in_clear() {
    let mut only = server(StartTls::Only, &[Mechanism::Plain, Mechanism::External], true);
    only.max_errors = 100;
    for line in
        ["USER joe", "APOP joe 01", "AUTH", "AUTH PLAIN", "AUTH PLAIN AGpvZQBwdw==", "AUTH EXTERNAL am9l"]
    {
        let line = format!("C: {line}");
        check(&only, &["CONNECT", "S: +OK POP3 ready <1>", &line, "S: -ERR invalid command"]);
    }
    check(&only, &["C: NOOP", "S: +OK", "C: STLS", "S: +OK", "=> STARTTLS", "TLS", "C: USER joe", "S: +OK"]);
    check(&only, &["TLS", "C: AUTH EXTERNAL am9l", "=> external \"joe\" "]);
}

#[test]
fn logins_and_passwords_without_line_ends_or_nul() {
    check(&plain(), &["C: USER jo\0e", "LOG InvalidCredentials", "S: -ERR invalid command"]);
    check(
        &plain(),
        &["C: USER joe", "S: +OK", "C: PASS p\0w", "LOG InvalidCredentials", "S: -ERR invalid command"],
    );
    // A CR that does not end the line makes it malformed before anybody looks for a login.
    check(&plain(), &["C: USER jo\re", "S: -ERR invalid command"]);
    check(&plain(), &["C: USER joe", "S: +OK", "C: PASS p\rw", "S: -ERR invalid command"]);
    for (login, password) in
        [("jo\re", "pw"), ("jo\ne", "pw"), ("joe", "p\rw"), ("joe", "p\nw"), ("joe", "p\0w")]
    {
        let text = data_encoding::BASE64.encode(format!("\0{login}\0{password}").as_bytes());
        let line = format!("C: AUTH PLAIN {text}");
        check(&plain(), &[&line, "LOG InvalidCredentials", "S: -ERR invalid command"]);
    }
    check(
        &plain(),
        &[
            "C: AUTH LOGIN am9l",
            "S: + UGFzc3dvcmQ6",
            // pw CR LF DELE 1
            "C: cHcNCkRFTEUgMQ==",
            "LOG InvalidCredentials",
            "S: -ERR invalid command",
        ],
    );
}

#[test]
fn nothing_of_one_attempt_reaches_the_next() {
    check(
        &full(),
        &[
            "C: USER joe",
            "S: +OK",
            "C: PASS pw",
            "=> plain \"joe\" pw",
            "AUTH SERVER refuses: Ung\u{fc}ltiges Passwort",
            "S: -ERR Ung\u{fc}ltiges Passwort",
            "C: PASS other",
            "S: -ERR invalid command",
            "C: AUTH EXTERNAL am9l",
            "=> external \"joe\" ",
        ],
    );
}

#[test]
fn client_errors_are_limited_and_failed_logins_are_not_among_them() {
    let mut strict = full();
    strict.max_errors = 3;
    check(
        &strict,
        &[
            "C: STAT",
            "S: -ERR invalid command",
            "C: AUTH PLAIN AGpvZQBwdw==",
            "=> plain \"joe\" pw",
            "AUTH SERVER refuses: no",
            "S: -ERR no",
            "C: AUTH PLAIN AGpvZQBwdw==",
            "=> plain \"joe\" pw",
            "AUTH SERVER fails",
            "S: -ERR [SYS/TEMP] Temporary authentication failure",
            "C: AUTH PLAIN",
            "S: + ",
            "C: *",
            "S: -ERR authentication cancelled",
            "TLS",
            "C: PASS pw",
            "LOG TooManyErrors",
            "S: -ERR invalid command",
            "=> close",
        ],
    );
}

#[test]
fn a_line_that_is_too_long() {
    check(
        &plain(),
        &[
            "TOO LONG user joe",
            "LOG TooLongCommand([85, 83, 69, 82], 8)",
            "S: -ERR line too long",
            "=> close",
        ],
    );
    check(
        &plain(),
        &[
            "C: AUTH PLAIN",
            "S: + ",
            // A response is never taken for a verb, whatever it begins with.
            "TOO LONG USER",
            "LOG TooLongCommand([], 4)",
            "S: -ERR line too long",
            "=> close",
        ],
    );
}

#[test]
fn what_ends_a_login_elsewhere() {
    let login = ["C: AUTH PLAIN AGpvZQBwdw==", "=> plain \"joe\" pw"];
    check(&plain(), &[&login[..], &["BACKEND fails", "S: -ERR internal server error"]].concat());
    check(
        &plain(),
        &[&login[..], &["BACKEND refuses: -ERR [AUTH] no", "S: -ERR [AUTH] no", "C: NOOP", "S: +OK"]]
            .concat(),
    );
}

#[test]
fn silence_where_rfc_1939_wants_it() {
    check(&plain(), &["CONNECT", "S: +OK POP3 ready", "TIMEOUT"]);
    check(&plain(), &["CONNECT", "S: +OK POP3 ready", "C: USER joe", "S: +OK", "SHUTDOWN"]);
}
