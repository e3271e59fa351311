//! Commands, SASL exchanges, STARTTLS, and how logins end.

use super::*;
use crate::sasl::Mechanism::{CramMd5, External, Login, Plain};

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
        L: TooLongCommand LOGIN 1019
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
        starttls: false,
    };
    let login = format!("{:?}", peer.machine.backend(login));
    let tag = format!("{:?}", Tag::parse(b"a1").expect("a valid tag"));
    assert!(login.contains(&tag), "{login}");
}
