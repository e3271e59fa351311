//! Python's imaplib, poplib and smtplib as clients.

use gatepost_tests::on_both;
use gatepost_tests::real::python;

use crate::front::Front;
use crate::matrix::{Security, Spoken, record};

/// What all scripts begin with: the host, the password, a TLS context.
const PREAMBLE: &str = r#"
import imaplib, poplib, smtplib, ssl, sys, time
host, password, certificate = sys.argv[1:4]
context = ssl.create_default_context(cafile=certificate)
context.check_hostname = False
"#;

/// Runs a script after the preamble, with these further arguments; what it printed.
#[track_caller]
pub(crate) fn script(front: &Front, text: &str, more: &[String]) -> String {
    let host = front.port(1).ip().to_string();
    let certificate = front.certificate().display().to_string();
    let first = [host, front.password().to_owned(), certificate];
    python(&format!("{PREAMBLE}{text}"), &[&first, more].concat())
}

on_both! {
    fn imaplib(program: Program) {
        let Some(front) = Front::start(program) else { return };
        script(&front, r#"
def use(box):
    status, data = box.select("INBOX")
    assert status == "OK", data
    before = int(data[0])
    body = b"Subject: appended\r\n\r\n" + b"x" * 76 + b"\r\n"
    body += (b"0123456789abcdef" * 4 + b"\r\n") * 8192
    status, data = box.append("INBOX", None, None, body)
    assert status == "OK", data
    status, data = box.select("INBOX")
    assert int(data[0]) == before + 1, data
    status, data = box.fetch(str(before + 1), "(BODY.PEEK[])")
    assert status == "OK" and data[0][1] == body, (status, len(data[0][1]), len(body))
    box.logout()

box = imaplib.IMAP4(host, 1143)
box.login("alice", password)
use(box)
box = imaplib.IMAP4(host, 1143)
box.starttls(context)
box.login("alice", password)
use(box)
box = imaplib.IMAP4_SSL(host, 1993, ssl_context=context)
box.authenticate("PLAIN", lambda challenge: b"\0alice\0" + password.encode())
use(box)

box = imaplib.IMAP4_SSL(host, 1993, ssl_context=context)
try:
    box.login("alice", "wrong")
    raise SystemExit("a wrong password was accepted")
except imaplib.IMAP4.error as error:
    assert b"Invalid login or password" in error.args[0], error
box.login("bob", password)
use(box)
"#, &[]);
        for security in Security::ALL {
            record(program, "imaplib", Spoken::Imap, security);
        }
        let log = front.proxy.await_log_count("client logged in", 4);
        assert!(!log.contains(front.password()), "a password in the log:\n{log}");
    }

    fn poplib_and_smtplib(program: Program) {
        let Some(front) = Front::start(program) else { return };
        script(&front, r#"
def send(server, text):
    server.ehlo("client.test")
    server.login("alice", password)
    refused = server.sendmail("a@b.test", ["bob@example.test"], text)
    assert refused == {}, refused
    server.quit()

texts = ["Subject: %d\r\n\r\n%s\r\n" % (n, "\r\n".join(["line %d" % n] * n)) for n in (1, 100, 3000)]
send(smtplib.SMTP(host, 1587), texts[0])
server = smtplib.SMTP(host, 1587)
server.starttls(context=context)
send(server, texts[1])
send(smtplib.SMTP_SSL(host, 1465, context=context), texts[2])

try:
    server = smtplib.SMTP(host, 1587)
    server.ehlo("client.test")
    server.login("alice", "wrong")
    raise SystemExit("a wrong password was accepted")
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error

def fetch(box):
    box.user("bob")
    box.pass_(password)
    count, _ = box.stat()
    found = []
    for number in range(1, count + 1):
        lines = box.retr(number)[1]
        found.append(b"\r\n".join(lines[lines.index(b"") + 1:]).decode().rstrip())
    box.quit()
    return sorted(found)

expected = sorted(text.split("\r\n\r\n", 1)[1].rstrip() for text in texts)
end = time.time() + 30
while time.time() < end:
    if len(fetch(poplib.POP3(host, 1110))) == 3:
        break
    time.sleep(0.1)
assert fetch(poplib.POP3(host, 1110)) == expected
box = poplib.POP3(host, 1110)
box.stls(context)
assert fetch(box) == expected
assert fetch(poplib.POP3_SSL(host, 1995, context=context)) == expected

box = poplib.POP3(host, 1110)
box.user("bob")
try:
    box.pass_("wrong")
    raise SystemExit("a wrong password was accepted")
except poplib.error_proto as error:
    assert b"Invalid login or password" in error.args[0], error
"#, &[]);
        for security in Security::ALL {
            record(program, "poplib", Spoken::Pop3, security);
            record(program, "smtplib", Spoken::Smtp, security);
        }
        // XCLIENT told Postfix who logged in.
        front.postfix.await_log("sasl_username=alice");
    }
}
