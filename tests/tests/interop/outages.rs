//! What clients of real servers see of outages and reloads.

use gatepost_tests::on_both;
use nix::sys::signal::Signal;

use crate::front::Front;
use crate::python::script;

/// Logs in by each protocol; prints the refusals.
const LOG_IN: &str = r#"
try:
    box = imaplib.IMAP4(host, 1143)
    box.login("alice", password)
    box.logout()
    print("imap in")
except imaplib.IMAP4.error as error:
    print("imap", error)
try:
    box = poplib.POP3(host, 1110)
    box.user("alice")
    box.pass_(password)
    box.quit()
    print("pop3 in")
except poplib.error_proto as error:
    print("pop3", error)
try:
    server = smtplib.SMTP(host, 1587)
    server.login("alice", password)
    server.quit()
    print("smtp in")
except smtplib.SMTPException as error:
    print("smtp", error)
"#;

const ALL_IN: &str = "imap in\npop3 in\nsmtp in\n";

on_both! {
    fn the_auth_service_is_down_and_back(program: Program) {
        let Some(mut front) = Front::start(program) else { return };
        assert_eq!(script(&front, LOG_IN, &[]), ALL_IN);
        for _ in 0..2 {
            front.stop_auth();
            let refused = script(&front, LOG_IN, &[]);
            for expected in ["[UNAVAILABLE]", "-ERR [SYS/TEMP]", "454"] {
                assert!(refused.contains(expected) && !refused.contains(" in\n"), "{refused}");
            }
            front.start_auth();
            assert_eq!(script(&front, LOG_IN, &[]), ALL_IN);
        }
        let log = front.proxy.log();
        assert!(log.contains("(111: Connection refused) while in http auth state"), "{log}");
    }

    fn a_backend_is_down_and_back(program: Program) {
        let Some(mut front) = Front::start(program) else { return };
        assert_eq!(script(&front, LOG_IN, &[]), ALL_IN);
        front.dovecot.pause();
        let refused = script(&front, LOG_IN, &[]);
        assert!(refused.contains("imap") && refused.contains("internal server error"), "{refused}");
        // Postfix is a backend, too, and not down.
        assert!(!refused.contains("imap in") && !refused.contains("pop3 in") && refused.contains("smtp in"), "{refused}");
        front.dovecot.resume();
        assert_eq!(script(&front, LOG_IN, &[]), ALL_IN);
    }

    /// Sessions that are logged in outlive a reload: one that waits for news, one in the middle of a long answer.
    fn a_reload_under_idle_and_fetch(program: Program) {
        let Some(front) = Front::start(program) else { return };
        let workers = front.proxy.await_workers(1);
        script(&front, r#"
import os, signal
master = int(sys.argv[4])
body = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * (16 * 1024 * 1024 // 18)
boxes = [imaplib.IMAP4_SSL(host, 1993, ssl_context=context) for _ in range(2)]
for box in boxes:
    box.sock.settimeout(60)
    box.login("alice", password)
    box.select("INBOX")
idle, fetch = boxes
assert fetch.append("INBOX", None, None, body)[0] == "OK"
tag = idle._new_tag()
idle.send(tag + b" IDLE\r\n")
assert idle.readline().startswith(b"+ ")
fetch.send(b"f1 FETCH 1 (BODY.PEEK[])\r\n")
# The answer has begun, and is far larger than what sockets hold.
while not fetch.readline().startswith(b"* 1 FETCH"):
    pass
os.kill(master, signal.SIGHUP)
# New clients are served by the new worker from some moment on; the old one must not care.
for _ in range(3):
    box = imaplib.IMAP4(host, 1143)
    box.login("alice", password)
    box.select("INBOX")
    box.append("INBOX", None, None, b"Subject: news\r\n\r\n")
    box.logout()
assert fetch.read(len(body)) == body
while not fetch.readline().startswith(b"f1 OK"):
    pass
while idle.readline() != b"* 4 EXISTS\r\n":
    pass
idle.send(b"DONE\r\n")
while not idle.readline().startswith(tag + b" OK"):
    pass
idle.logout()
fetch.logout()
"#, &[front.proxy.pid().to_string()]);
        front.proxy.await_log("gracefully shutting down");
        let log = front.proxy.await_log(&format!("worker process {} exited with code 0", workers[0]));
        assert!(log.contains("signal 1 (SIGHUP) received from"), "{log}");
        assert_ne!(front.proxy.await_workers(1), workers);
        front.proxy.signal(Signal::SIGQUIT);
    }
}
