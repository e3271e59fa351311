use super::*;
use crate::sasl::Mechanism::{CramMd5, External, Login, Plain};

/// STARTTLS off, PLAIN offered.
#[track_caller]
fn check(transcript: &str) {
    check_with(server(StartTls::Off, &[Plain]), transcript);
}

#[test]
fn greeting_and_commands_without_login() {
    check(
        "! greeting
        S: * OK IMAP4 ready
        C: a1 NOOP
        S: a1 OK completed
        C: a2 capability
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: a2 OK completed
        C: a3 LOGOUT
        S: * BYE
        S: a3 OK completed
        = close",
    );
}

#[test]
fn commands_may_be_pipelined_and_end_in_a_bare_lf() {
    check(
        "C: a1 NOOP<LF>a2 NOOP
        S: a1 OK completed
        S: a2 OK completed",
    );
}

#[test]
fn id_is_answered_before_login() {
    check(
        r#"C: a1 ID NIL
        S: * ID NIL
        S: a1 OK completed
        C: a2 ID ("name" "x" "version" NIL)
        S: * ID NIL
        S: a2 OK completed
        C: a3 ID ({4}
        S: + OK
        C: name {1+}
        C: x)
        S: * ID NIL
        S: a3 OK completed
        C: a4 ID ("name")
        S: a4 BAD invalid command
        C: a5 ID
        S: a5 BAD invalid command"#,
    );
}

#[test]
fn login_with_atoms_quoted_strings_and_literals() {
    for command in [
        "LOGIN joe pw",
        "login  joe  pw ",
        r#"LOGIN "joe" "pw""#,
        r#"LOGIN joe "p\w""#,
        "LOGIN {3+}<CR><LF>joe pw",
        "LOGIN {3+}<CR><LF>joe {2+}<CR><LF>pw",
        r#"LOGIN "joe" {2+}<CR><LF>pw"#,
        "LOGIN {003+}<LF>joe {2+}<LF>pw",
    ] {
        check(&format!("C: a1 {command}\n= auth plain 'joe' 'pw'"));
    }
    check("C: a1 LOGIN joe \"\"\n= auth plain 'joe' ''");
    check("C: a1 LOGIN j\"o{e} p\\w\n= auth plain 'j\"o{e}' 'p\\w'");
}

#[test]
fn login_with_synchronizing_literals() {
    check(
        "C: a1 LOGIN {3}
        S: + OK
        C: joe {2}
        S: + OK
        C: pw
        = auth plain 'joe' 'pw'",
    );
    // A client that does not wait is served too.
    check(
        "C: a1 LOGIN {3}<CR><LF>joe {2}<CR><LF>pw
        S: + OK
        S: + OK
        = auth plain 'joe' 'pw'",
    );
}

#[test]
fn a_literal_holds_any_byte_that_is_no_line_end() {
    check(
        r#"C: a1 LOGIN joe {14}
        S: + OK
        C: "\} {1+}a NOOP
        = auth plain 'joe' '"\} {1+}a NOOP'"#,
    );
    for literal in ["p<CR>", "p<LF>", "p<NUL>"] {
        check(&format!(
            "C: a1 LOGIN joe {{2}}
            S: + OK
            C: {literal}
            S: a1 BAD invalid command
            L: InvalidCredentials"
        ));
    }
    check(
        "C: a1 LOGIN {2+}
        C: j<LF> pw
        S: a1 BAD invalid command
        L: InvalidCredentials",
    );
}

#[test]
fn zero_literals_are_empty_strings() {
    check("C: a1 LOGIN joe {0}\nS: + OK\nC:\n= auth plain 'joe' ''");
    check("C: a1 LOGIN joe {0+}\nC:\n= auth plain 'joe' ''");
    check("C: a1 LOGIN joe {}\nS: + OK\nC:\n= auth plain 'joe' ''");
    check("C: a1 LOGIN {0}\nS: + OK\nC:  pw\nS: a1 BAD invalid command");
}

#[test]
fn behind_a_literal_comes_a_space_or_the_end() {
    check(
        "C: a1 LOGIN {3}
        S: + OK
        C: joepw
        S: a1 BAD invalid command
        C: a2 LOGIN joe {2}
        S: + OK
        C: pw x
        S: a2 BAD invalid command
        C: a3 NOOP
        S: a3 OK completed",
    );
}

#[test]
fn refused_literals() {
    // One that waits for an invitation never comes.
    check(
        "C: a1 SELECT {5}
        S: a1 BAD invalid command
        C: a2 NOOP {5}
        S: a2 BAD invalid command
        C: a3 LOGIN joe pw {5}
        S: a3 BAD invalid command
        C: a4 NOOP
        S: a4 OK completed",
    );
    // Any other is on its way and cannot be told from commands.
    for line in ["SELECT {5+}", "NOOP {5+}", "LOGIN joe pw {5+}", "LOGIN joe{5+}", "NOOP {x+}<CR>", "{5+}"] {
        check(&format!("C: a1 {line}\nS: a1 BAD invalid command\n= close"));
    }
    check("C: SELECT{5+}\nS: * BAD invalid command\n= close");
    check("C: a1 LOGIN {3+}\nC: joe{2+}\nS: a1 BAD invalid command\n= close");
}

#[test]
fn a_command_fits_the_buffer_with_its_literals() {
    // 512 = 19 of line with its LF, 491 of literal, 2 for the line end behind it.
    let password = "x".repeat(491);
    check(&format!("C: a1 LOGIN joe {{491}}\nS: + OK\nC: {password}\n= auth plain 'joe' '{password}'"));
    check(
        "C: a1 LOGIN joe {492}
        S: a1 BAD command too long
        L: TooLongCommand LOGIN 511
        C: a2 NOOP
        S: a2 OK completed
        C: a3 LOGIN joe {99999999999999999999}
        S: a3 BAD command too long
        L: TooLongCommand LOGIN 18446744073709551615
        C: a4 LOGIN joe {493+}
        S: a4 BAD command too long
        L: TooLongCommand LOGIN 513
        = close",
    );
}

#[test]
fn a_line_behind_a_literal_fits_what_is_left() {
    // 512 = 15 of line with its LF, 300 of literal, 197 of line with its LF.
    let (login, fits) = ("x".repeat(300), "y".repeat(195));
    check(&format!(
        "C: a1 LOGIN {{300}}
        S: + OK
        C: {login} {fits}
        = auth plain '{login}' '{fits}'
        ! refused no
        S: a1 NO no
        C: a2 LOGIN {{300}}
        S: + OK
        C: {login} {fits}y
        S: a2 BAD command too long
        L: TooLongCommand LOGIN 513
        = close"
    ));
}

#[test]
fn an_overlong_line_ends_the_session() {
    let long = "x".repeat(600);
    check(&format!(
        "C: a1 LOGIN joe {long}\nS: a1 BAD command too long\nL: TooLongCommand LOGIN 615\n= close"
    ));
    check(&format!("C: a1 {long}\nS: a1 BAD command too long\nL: TooLongCommand  605\n= close"));
    check(&format!("C: {long}\nS: * BAD command too long\nL: TooLongCommand  602\n= close"));
    check(&format!(
        "C: a1 LOGIN {{3}}
        S: + OK
        C: joe {long}
        S: a1 BAD command too long
        L: TooLongCommand LOGIN 619
        = close"
    ));
    check(&format!(
        "C: a1 AUTHENTICATE PLAIN
        S: +<SP>
        C: {long}
        S: a1 BAD command too long
        L: TooLongCommand  602
        = close"
    ));
}

#[test]
fn tags() {
    check(
        "C: #:/&<>?@[]^`|~!$';,=-_. NOOP
        S: #:/&<>?@[]^`|~!$';,=-_. OK completed
        C:  NOOP
        S: * BAD invalid command
        C: a+1 NOOP
        S: * BAD invalid command
        C: NOOP
        S: * BAD invalid command",
    );
    let (longest, too_long) = ("t".repeat(64), "t".repeat(65));
    check(&format!("C: {longest} NOOP\nS: {longest} OK completed"));
    check(&format!("C: {too_long} NOOP\nS: * BAD invalid command"));
}

#[test]
fn an_empty_line_has_no_tag() {
    check("C:\nS: * BAD invalid command");
    check(
        "C: g99 LOGIN joe wrong
        = auth plain 'joe' 'wrong'
        ! refused Invalid login or password
        S: g99 NO Invalid login or password
        C:
        S: * BAD invalid command
        C: g100 NOOP
        S: g100 OK completed",
    );
}

#[test]
fn line_ends_in_quoted_strings_are_errors_and_nothing_leaks() {
    check(
        r#"C: a1 LOGIN "joe
        S: a1 BAD invalid command
        C: a2 LOGIN "joe" pw"
        = auth plain 'joe' 'pw"'
        ! refused no
        S: a2 NO no
        C: a3 LOGIN "j<CR>oe" pw
        S: a3 BAD invalid command
        C: a4 LOGIN joe "p<NUL>w"
        S: a4 BAD invalid command
        C: a5 LOGIN joe p<CR>w
        S: a5 BAD invalid command"#,
    );
}

#[test]
fn arity_is_exact_and_spaces_separate() {
    for line in [
        "NOOP x",
        "CAPABILITY x",
        "LOGOUT x",
        "STARTTLS x",
        "LOGIN",
        "LOGIN joe",
        "LOGIN joe pw x",
        "LOGIN \"\" pw",
        "LOGIN \"joe\"\"pw\"",
        "AUTHENTICATE",
        "AUTHENTICATE PLAIN AGpvZQBwdw== x",
        "SELECT INBOX",
        "NOOPS",
        "",
    ] {
        check(&format!("C: a1 {line}\nS: a1 BAD invalid command"));
    }
}

#[test]
fn max_errors_counts_what_the_client_did_wrong() {
    check(
        "C: a1 SELECT INBOX
        S: a1 BAD invalid command
        C: a2 AUTHENTICATE XOAUTH2
        S: a2 BAD invalid command
        C: a3 STARTTLS
        S: a3 BAD invalid command
        C: a4 LOGIN joe wrong
        = auth plain 'joe' 'wrong'
        ! refused no
        S: a4 NO no
        C: a5 LOGIN joe {999}
        S: a5 BAD command too long
        L: TooLongCommand LOGIN 1018
        C: a6 NOOP
        S: a6 OK completed
        C: a7 AUTHENTICATE PLAIN
        S: +<SP>
        C: *
        S: a7 BAD authentication cancelled
        L: TooManyErrors
        = close",
    );
}

#[test]
fn authenticate_plain() {
    check("C: a1 AUTHENTICATE PLAIN AGpvZQBwdw==\n= auth plain 'joe' 'pw'");
    check("C: a1 authenticate plain\nS: +<SP>\nC: AGpvZQBwdw==\n= auth plain 'joe' 'pw'");
    check("C: a1 AUTHENTICATE \"PLAIN\" {12+}\nC: AGpvZQBwdw==\n= auth plain 'joe' 'pw'");
    for (response, event) in [
        ("AGpv!", "InvalidBase64(\"PLAIN\")"),
        ("AGpv ZQBwdw==", "InvalidBase64(\"PLAIN\")"),
        ("", "InvalidPlainLogin"),
        ("AGpvZQ==", "InvalidPlainPassword"),
        ("eABqb2UAcHc=", "InvalidCredentials"),
    ] {
        check(&format!(
            "C: a1 AUTHENTICATE PLAIN\nS: +<SP>\nC: {response}\nS: a1 BAD invalid command\nL: {event}"
        ));
    }
    check("C: a1 AUTHENTICATE PLAIN =\nS: a1 BAD invalid command\nL: InvalidPlainLogin");
}

#[test]
fn authenticate_login_errors_are_tagged() {
    check(
        "C: a1 AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: am9l
        S: + UGFzc3dvcmQ6
        C: cHc=
        = auth plain 'joe' 'pw'
        ! refused no
        S: a1 NO no
        C: a2 AUTHENTICATE LOGIN am9l
        S: + UGFzc3dvcmQ6
        C: cHc=
        = auth plain 'joe' 'pw'
        ! refused no
        S: a2 NO no
        C: a3 AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: !!!
        S: a3 BAD invalid command
        L: InvalidBase64(\"LOGIN\")
        C: a4 NOOP
        S: a4 OK completed",
    );
}

#[test]
fn cram_md5_has_a_fresh_challenge_each_time() {
    let mut challenges = Challenges::new([7; 16], 1_700_000_000);
    let mut prompt = || data_encoding::BASE64.encode(challenges.next("mx.test").as_bytes());
    let (first, second) = (prompt(), prompt());
    assert_ne!(first, second);
    check_with(
        server(StartTls::Off, &[CramMd5]),
        &format!(
            "C: a1 AUTHENTICATE CRAM-MD5
            S: + {first}
            C: am9lIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm
            = auth cram-md5 'joe' '0123456789abcdef0123456789abcdef'
            ! refused no
            S: a1 NO no
            C: a2 AUTHENTICATE CRAM-MD5
            S: + {second}
            C: am9lIDAx
            S: a2 BAD invalid command
            L: InvalidCramMd5
            C: a3 AUTHENTICATE CRAM-MD5 am9l
            S: a3 BAD invalid command"
        ),
    );
}

#[test]
fn external_and_cram_md5_only_when_configured() {
    check_with(
        server(StartTls::Off, &[External]),
        "C: a1 AUTHENTICATE EXTERNAL
        S: + VXNlcm5hbWU6
        C: am9l
        = auth external 'joe' ''
        ! refused no
        S: a1 NO no
        C: a2 AUTHENTICATE EXTERNAL am9l
        = auth external 'joe' ''
        ! refused no
        S: a2 NO no
        C: a3 AUTHENTICATE EXTERNAL =
        = auth external '' ''",
    );
    check(
        "C: a1 AUTHENTICATE EXTERNAL am9l
        S: a1 BAD invalid command
        C: a2 AUTHENTICATE EXTERNAL
        S: a2 BAD invalid command
        C: a3 AUTHENTICATE CRAM-MD5
        S: a3 BAD invalid command
        C: a4 AUTHENTICATE LOGIN am9l
        S: + UGFzc3dvcmQ6",
    );
    check_with(
        server(StartTls::Off, &[Login]),
        "C: a1 AUTHENTICATE PLAIN AGpvZQBwdw==\n= auth plain 'joe' 'pw'",
    );
}

#[test]
fn starttls() {
    check_with(
        server(StartTls::On, &[Plain]),
        "C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN STARTTLS
        S: a1 OK completed
        C: a2 STARTTLS now
        S: a2 BAD invalid command
        C: a3 STARTTLS
        S: a3 OK completed
        = tls
        ! tls started
        C: a4 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: a4 OK completed
        C: a5 STARTTLS
        S: a5 BAD invalid command
        C: a6 LOGIN joe pw
        = auth plain 'joe' 'pw'",
    );
    check_with(server(StartTls::On, &[Plain]), "C: a1 LOGIN joe pw\n= auth plain 'joe' 'pw'");
}

#[test]
fn plaintext_behind_starttls_gets_the_error_reply() {
    check_with(
        server(StartTls::On, &[Plain]),
        "C: a1 STARTTLS<CR><LF>a2 LOGIN joe pw
        S: a1 OK completed
        = tls
        ! plaintext
        S: a1 BAD invalid command
        = close",
    );
}

#[test]
fn starttls_only_refuses_logins_in_clear() {
    check_with(
        server(StartTls::Only, &[Plain]),
        "C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
        S: a1 OK completed
        C: a2 LOGIN joe pw
        S: a2 NO [PRIVACYREQUIRED] STARTTLS is required before login
        C: a3 LOGIN joe {2}
        S: a3 NO [PRIVACYREQUIRED] STARTTLS is required before login
        C: a4 LOGIN joe {2+}
        C: pw
        S: a4 NO [PRIVACYREQUIRED] STARTTLS is required before login
        C: a5 STARTTLS
        S: a5 OK completed
        = tls
        ! tls started
        C: a6 LOGIN joe pw
        = auth plain 'joe' 'pw'
        ! refused no
        S: a6 NO no
        C: a7 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: a7 OK completed",
    );
    for line in ["AUTHENTICATE PLAIN", "AUTHENTICATE PLAIN AGpvZQBwdw==", "AUTHENTICATE XOAUTH2"] {
        check_with(
            server(StartTls::Only, &[Plain]),
            &format!("C: a1 {line}\nS: a1 NO [PRIVACYREQUIRED] STARTTLS is required before login"),
        );
    }
}

#[test]
fn outcomes_of_a_login_are_tagged() {
    check(
        "C: a1 LOGIN joe pw
        = auth plain 'joe' 'pw'
        ! unavailable
        S: a1 NO [UNAVAILABLE] Temporary authentication failure
        C: a2 AUTHENTICATE PLAIN AGpvZQBwdw==
        = auth plain 'joe' 'pw'
        ! backend a2 NO [AUTHENTICATIONFAILED] no
        S: a2 NO [AUTHENTICATIONFAILED] no
        C: a3 LOGIN joe pw
        = auth plain 'joe' 'pw'
        ! internal error
        S: a3 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        = close",
    );
    check("! internal error\nS: * BYE internal server error\n= close");
}

#[test]
fn farewells() {
    check("! timeout\nS: * BYE Autologout; idle for too long\n= close");
    check("C: a1 LOGIN joe {5}\nS: + OK\n! timeout\nS: * BYE Autologout; idle for too long\n= close");
    check("! shutdown\nS: * BYE server shutting down\n= close");
}

#[test]
fn a_backend_login_takes_over_the_tag() {
    let mut peer = Peer::new(server(StartTls::Off, &[Plain]));
    peer.input.extend_from_slice(b"a1 LOGIN joe pw\r\n");
    peer.next().expect("a line is there");
    let login = BackendLogin {
        login: b"joe".to_vec(),
        password: Some(Secret::from(&b"pw"[..])),
        client: crate::address::ClientAddr::Unix,
        client_host: "".into(),
    };
    let login = format!("{:?}", peer.machine.backend(login));
    let tag = format!("{:?}", Tag::parse(b"a1").expect("a valid tag"));
    assert!(login.contains(&tag), "{login}");
}
