//! curl and openssl s_client as clients.

use std::fs;
use std::process::Command;

use gatepost_tests::on_both;
use gatepost_tests::real::{run, run_with_input};

use crate::front::Front;
use crate::matrix::{Security, Spoken, record};

/// curl as `alice`, trusting the proxy's certificate under the name `localhost`.
fn curl(front: &Front, port: u16) -> Command {
    let address = front.port(port);
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--max-time", "30"])
        .args(["--user", &format!("alice:{}", front.password())])
        .args(["--connect-to", &format!("localhost:{port}:{}:{port}", address.ip())])
        .arg("--cacert")
        .arg(front.certificate());
    command
}

on_both! {
    fn mail_goes_round(program: Program) {
        let Some(front) = Front::start(program) else { return };
        let message = front.proxy.path().join("message.eml");
        let body = "The quick brown fox.\r\n..leading dots\r\n".repeat(2000);
        // In clear, with STARTTLS, with TLS.
        for (subject, port, scheme, required) in
            [("clear", 1587, "smtp", false), ("starttls", 1587, "smtp", true), ("tls", 1465, "smtps", false)]
        {
            fs::write(&message, format!("From: a@b.test\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\r\n{body}")).unwrap();
            let mut send = curl(&front, port);
            if required {
                send.arg("--ssl-reqd");
            }
            run(send.arg(format!("{scheme}://localhost:{port}/client.test"))
                .args(["--mail-from", "a@b.test", "--mail-rcpt", "alice@example.test", "--upload-file"]).arg(&message));
        }
        front.await_mail("alice", 3);
        for (port, scheme, required) in [(1143, "imap", false), (1143, "imap", true), (1993, "imaps", false)] {
            let mut fetch = curl(&front, port);
            if required {
                fetch.arg("--ssl-reqd");
            }
            let text = run(fetch.arg(format!("{scheme}://localhost:{port}/INBOX;MAILINDEX=1;SECTION=TEXT")));
            assert_eq!(text.trim_end(), body.trim_end(), "over {scheme} {port}");
        }
        for (port, scheme, required) in [(1110, "pop3", false), (1110, "pop3", true), (1995, "pop3s", false)] {
            let mut fetch = curl(&front, port);
            if required {
                fetch.arg("--ssl-reqd");
            }
            let text = run(fetch.arg(format!("{scheme}://localhost:{port}/1")));
            assert!(text.contains("Subject: ") && text.contains("\r\n..leading dots\r\n") , "over {scheme} {port}: {}", &text[..200]);
        }
        assert!(front.postfix.log().contains("client="), "{}", front.postfix.log());
        for security in Security::ALL {
            for spoken in [Spoken::Imap, Spoken::Pop3, Spoken::Smtp] {
                record(program, "curl", spoken, security);
            }
        }
    }

    fn s_client_speaks_tls_12_and_13(program: Program) {
        let Some(front) = Front::start(program) else { return };
        for version in ["-tls1_2", "-tls1_3"] {
            for (port, starttls, farewell, reply) in [
                (1993, None, "a1 LOGOUT", "a1 OK completed"),
                (1995, None, "QUIT", "+OK"),
                (1465, None, "QUIT", "221 2.0.0 Bye"),
                (1143, Some("imap"), "a1 LOGOUT", "a1 OK completed"),
                (1110, Some("pop3"), "QUIT", "+OK"),
                (1587, Some("smtp"), "QUIT", "221 2.0.0 Bye"),
            ] {
                let mut command = Command::new("openssl");
                command.args(["s_client", "-connect", &front.port(port).to_string(), version, "-crlf", "-ign_eof"])
                    .args(["-verify_return_error", "-servername", "localhost", "-CAfile"]).arg(front.certificate());
                if let Some(protocol) = starttls {
                    command.args(["-starttls", protocol]);
                }
                let text = run_with_input(&mut command, &format!("{farewell}\n"));
                assert!(text.contains("Verify return code: 0 (ok)"), "{version} {port}: {text}");
                assert!(text.lines().any(|line| line == reply), "{version} {port}: {text}");
            }
        }
        for security in [Security::StartTls, Security::Tls] {
            for spoken in [Spoken::Imap, Spoken::Pop3, Spoken::Smtp] {
                record(program, "openssl s_client", spoken, security);
            }
        }
    }
}
