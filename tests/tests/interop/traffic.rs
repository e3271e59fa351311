//! Much and odd traffic through real servers: pushes, large literals, many varied messages, many clients at once.

use gatepost_tests::on_both;

use crate::front::{Backends, Front};
use crate::python::script;

on_both! {
    /// What the server says while the client is silent arrives.
    fn idle_pushes_arrive(program: Program) {
        let Some(front) = Front::start(program) else { return };
        script(&front, r#"
def idle(box):
    tag = box._new_tag()
    box.send(tag + b" IDLE\r\n")
    assert box.readline().startswith(b"+ "), "no continuation"
    return tag

boxes = [imaplib.IMAP4(host, 1143), imaplib.IMAP4_SSL(host, 1993, ssl_context=context)]
for box in boxes:
    box.sock.settimeout(60)
    box.login("alice", password)
    box.select("INBOX")
tags = [idle(box) for box in boxes]
for number in (1, 2, 3):
    server = smtplib.SMTP(host, 1587)
    server.login("alice", password)
    server.sendmail("a@b.test", ["alice@example.test"], "Subject: push\r\n\r\n%d\r\n" % number)
    server.quit()
    for box in boxes:
        while box.readline() != b"* %d EXISTS\r\n" % number:
            pass
for box, tag in zip(boxes, tags):
    box.send(b"DONE\r\n")
    while not box.readline().startswith(tag + b" OK"):
        pass
    box.logout()
"#, &[]);
    }

    fn thirty_mebibytes_are_appended_and_fetched(program: Program) {
        let Some(front) = Front::start(program) else { return };
        script(&front, r#"
import hashlib
block = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() + b"\r\n" for n in range(1024))
body = b"Subject: large\r\n\r\n" + block * (30 * 1024 * 1024 // len(block) + 1)
assert len(body) > 30 * 1024 * 1024
for number, box in enumerate([imaplib.IMAP4(host, 1143), imaplib.IMAP4_SSL(host, 1993, ssl_context=context)], 1):
    box.login("alice", password)
    status, data = box.append("INBOX", None, None, body)
    assert status == "OK", data
    box.select("INBOX")
    status, data = box.fetch(str(number), "(BODY.PEEK[])")
    assert status == "OK" and data[0][1] == body, (status, len(data[0][1]), len(body))
    box.logout()
"#, &[]);
    }

    /// Sent by SMTP, read back by IMAP and POP3: the same bytes.
    fn two_hundred_varied_messages(program: Program) {
        let Some(front) = Front::start(program) else { return };
        script(&front, r#"
import random
chance = random.Random(8)

def text(number):
    lines = [
        b"X-Number: %d" % number, b"Subject: varied", b"From: a@b.test", b"To: bob@example.test",
        b"Date: Fri, 27 Nov 2026 12:00:00 +0000", b"Message-Id: <%d@b.test>" % number, b"",
    ]
    for _ in range(chance.choice([0, 1, 5, 40, 400])):
        lines.append(chance.choice([
            b"", b".", b"..", b".. two", b". leading", b"From here", b" ", b"\ttab", b"trailing  ", b"-" * 78,
            bytes(chance.choices(range(32, 127), k=chance.randrange(1, 998))),
            bytes(chance.choices(range(128, 256), k=chance.randrange(1, 200))),
        ]))
    return b"\r\n".join(lines) + b"\r\n"

texts = [text(number) for number in range(200)]
servers = [smtplib.SMTP(host, 1587), smtplib.SMTP(host, 1587), smtplib.SMTP_SSL(host, 1465, context=context)]
servers[1].starttls(context=context)
for server in servers:
    server.login("alice", password)
for number, body in enumerate(texts):
    refused = servers[number % 3].sendmail("a@b.test", ["bob@example.test"], body)
    assert refused == {}, refused
for server in servers:
    server.quit()

def check(found):
    # What our header stands in front of is ours: servers put theirs before it.
    ours = [body[body.index(b"X-Number: "):] for body in found]
    ours.sort(key=lambda body: int(body.split(b"\r\n", 1)[0].split()[1]))
    for number, (got, sent) in enumerate(zip(ours, texts)):
        assert got == sent, (number, got, sent)
    assert len(ours) == len(texts), len(ours)

end = time.time() + 60
box = imaplib.IMAP4_SSL(host, 1993, ssl_context=context)
box.login("bob", password)
while int(box.select("INBOX")[1][0]) < len(texts):
    assert time.time() < end, "they never all came"
    time.sleep(0.1)
status, data = box.fetch("1:*", "(BODY.PEEK[])")
assert status == "OK"
check([part[1] for part in data if isinstance(part, tuple)])
box.logout()

for box in [poplib.POP3(host, 1110), poplib.POP3_SSL(host, 1995, context=context)]:
    box.user("bob")
    box.pass_(password)
    count, _ = box.stat()
    check([b"\r\n".join(box.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)])
    box.quit()
"#, &[]);
    }

    fn fifty_clients_at_once(program: Program) {
        let Some(front) = Front::start(program) else { return };
        script(&front, r#"
import concurrent.futures, threading
start = threading.Barrier(50)

def imap(number):
    box = imaplib.IMAP4(host, 1143) if number % 2 else imaplib.IMAP4_SSL(host, 1993, ssl_context=context)
    start.wait()
    box.login("alice", password)
    body = b"Subject: %d\r\n\r\n" % number + b"%d\r\n" % number * 10000
    name = "box%d" % number
    box.create(name)
    status, data = box.append(name, None, None, body)
    assert status == "OK", data
    box.select(name)
    data = box.fetch("1", "(BODY.PEEK[])")[1]
    assert data[0][1] == body
    box.logout()

def pop3(number):
    box = poplib.POP3(host, 1110) if number % 2 else poplib.POP3_SSL(host, 1995, context=context)
    start.wait()
    box.user("bob")
    box.pass_(password)
    box.stat()
    box.quit()

def smtp(number):
    server = smtplib.SMTP(host, 1587) if number % 2 else smtplib.SMTP_SSL(host, 1465, context=context)
    start.wait()
    server.login("alice", password)
    server.sendmail("a@b.test", ["alice@example.test"], "Subject: %d\r\n\r\n%s\r\n" % (number, "x" * 70))
    server.quit()

with concurrent.futures.ThreadPoolExecutor(50) as pool:
    work = [pool.submit([imap, pop3, smtp][number % 3], number) for number in range(50)]
    for done in work:
        done.result()
"#, &[]);
        front.proxy.await_log_count("proxied session done", 50);
        front.await_mail("alice", 16);
    }

    /// A backend whose submission server wants the login again.
    fn dovecot_submission(program: Program) {
        let Some(front) = Front::before(program, Backends::Submission) else { return };
        script(&front, r#"
servers = [smtplib.SMTP(host, 1587), smtplib.SMTP(host, 1587), smtplib.SMTP_SSL(host, 1465, context=context)]
servers[1].starttls(context=context)
for number, server in enumerate(servers):
    server.login("alice", password)
    server.sendmail("a@b.test", ["bob@example.test"], "Subject: submitted %d\r\n\r\n.\r\n" % number)
    server.quit()
try:
    server = smtplib.SMTP(host, 1587)
    server.login("alice", "wrong")
    raise SystemExit("a wrong password was accepted")
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error
"#, &[]);
        front.await_mail("bob", 3);
        assert!(front.dovecot.log().contains("submission-login: Info: Login: user=<alice>"), "{}", front.dovecot.log());
    }

    /// The PROXY protocol tells the backends who the client is.
    fn backends_log_the_client_of_the_header(program: Program) {
        let Some(front) = Front::before(program, Backends::Proxied) else { return };
        script(&front, &[BALANCED, r#"
box = Imap(host, 1143)
box.login("alice", password)
box.logout()
box = Pop3(host, 1110)
box.user("alice")
box.pass_(password)
box.quit()
submit()
"#].concat(), &[]);
        front.await_mail("bob", 1);
        let log = front.dovecot.log();
        for expected in ["imap-login: Info: Login: user=<alice>, method=PLAIN, rip=192.0.2.143", "pop3-login: Info: Login: user=<alice>, method=PLAIN, rip=192.0.2.110"] {
            assert!(log.contains(expected), "{expected}\n{log}");
        }
        front.postfix.await_log("client=unknown[192.0.2.25]");
    }

    /// XCLIENT tells Postfix who the client is and who logged in.
    fn backends_log_the_client_of_xclient(program: Program) {
        let Some(front) = Front::before(program, Backends::Balanced) else { return };
        script(&front, &[BALANCED, "submit()\n"].concat(), &[]);
        front.await_mail("bob", 1);
        front.postfix.await_log("client=unknown[192.0.2.25], sasl_method=XCLIENT, sasl_username=alice");
    }
}

/// Clients that come through a balancer, each protocol from an address of its own.
const BALANCED: &str = r#"
import socket

def connect(port, address):
    connection = socket.create_connection((host, port), 60)
    connection.sendall(b"PROXY TCP4 %s 198.51.100.1 40000 %d\r\n" % (address, port))
    return connection

class Imap(imaplib.IMAP4):
    def _create_socket(self, timeout):
        return connect(self.port, b"192.0.2.143")

class Pop3(poplib.POP3):
    def _create_socket(self, timeout):
        return connect(self.port, b"192.0.2.110")

class Smtp(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        return connect(port, b"192.0.2.25")

def submit():
    server = Smtp(host, 1587)
    server.login("alice", password)
    server.sendmail("a@b.test", ["bob@example.test"], "Subject: x\r\n\r\ny\r\n")
    server.quit()
"#;
