//! The services over real loopback sockets, as transcripts: `C:` is sent, `S:` must come, line by line. `S*:` skips
//! lines up to the one that begins so.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::*;

/// The services of one demo, running.
struct Running {
    imap: SocketAddr,
    pop3: SocketAddr,
    smtp: SocketAddr,
    auth: SocketAddr,
}

fn run() -> Running {
    let services = Services {
        imap: bind(0).unwrap(),
        pop3: bind(0).unwrap(),
        smtp: bind(0).unwrap(),
        auth: bind(0).unwrap(),
    };
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let running = Running {
        imap: address(&services.imap),
        pop3: address(&services.pop3),
        smtp: address(&services.smtp),
        auth: address(&services.auth),
    };
    start(services).unwrap();
    running
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // So that a wrong expectation fails instead of waiting.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("{line:?} has no line end")).to_owned()
    }

    #[track_caller]
    fn play(&mut self, transcript: &str) {
        for row in transcript.lines().filter(|row| !row.is_empty()) {
            match row.split_once(": ").unwrap_or_else(|| (row.trim_end_matches(':'), "")) {
                ("C", text) => self.send(format!("{text}\r\n").as_bytes()),
                ("S", text) => assert_eq!(self.line(), text),
                ("S*", text) => while !self.line().starts_with(text) {},
                _ => panic!("{row:?}"),
            }
        }
    }

    #[track_caller]
    fn ends(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

fn send_mail(running: &Running, recipient: &str, body: &str) {
    let mut client = Client::connect(running.smtp);
    client.play(&format!(
        "\
S: 220 localhost ESMTP gatepost demo
C: EHLO client
S*: 250 XCLIENT
C: XCLIENT ADDR=127.0.0.1 LOGIN=bob NAME=[UNAVAILABLE]
S: 220 localhost ESMTP gatepost demo
C: EHLO client
S*: 250 XCLIENT
C: MAIL FROM:<bob@demo.example> SIZE=100
C: RCPT TO:<{recipient}>
C: DATA
S: 250 2.1.0 OK
S: 250 2.1.5 OK
S: 354 End data with <CR><LF>.<CR><LF>
C: Subject: test
C:
C: {body}
C: ..dot
C: .
S: 250 2.0.0 OK: delivered
C: QUIT
S: 221 2.0.0 Bye
"
    ));
    client.ends();
}

#[test]
fn imap_commands() {
    let running = run();
    send_mail(&running, "alice@demo.example", "first");
    let mut client = Client::connect(running.imap);
    client.play(
        "\
S*: * OK [CAPABILITY IMAP4rev1 LITERAL+
C: a LOGIN alice wrong
S: a NO [AUTHENTICATIONFAILED] invalid login or password
C: a SELECT INBOX
S: a BAD log in first
C: b LOGIN {5}
S: + OK
C: alice {10+}
C: wonderland
S: b OK LOGIN completed
C: c LIST \"\" *
S: * LIST () \"/\" INBOX
S: c OK LIST completed
C: c STATUS INBOX (MESSAGES UNSEEN UIDNEXT)
S: * STATUS INBOX (MESSAGES 2 UNSEEN 2 UIDNEXT 3)
S: c OK STATUS completed
C: c SELECT Trash
S: c NO [NONEXISTENT] no such mailbox
C: c SELECT inbox
S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
S: * 2 EXISTS
S: * 0 RECENT
S: * OK [UNSEEN 1] first unseen
S*: c OK [READ-WRITE] SELECT completed
C: d FETCH 2 (UID FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])
S: * 2 FETCH (UID 2 FLAGS () BODY[HEADER.FIELDS (SUBJECT)] {17}
S: Subject: test
S:
S: )
S: d OK FETCH completed
C: d UID FETCH 2:* BODY[TEXT]
S: * 2 FETCH (UID 2 BODY[TEXT] {13}
S: first
S: .dot
S:  FLAGS (\\Seen))
S: d OK UID completed
C: e SEARCH UNSEEN
S: * SEARCH 1
S: e OK SEARCH completed
C: e UID SEARCH ALL
S: * SEARCH 1 2
S: e OK UID completed
C: f STORE 1:2 +FLAGS.SILENT (\\Deleted)
S: f OK STORE completed
C: f STORE 2 -FLAGS (\\Deleted $Keyword)
S: * 2 FETCH (FLAGS (\\Seen))
S: f OK STORE completed
C: g EXPUNGE
S: * 1 EXPUNGE
S: g OK EXPUNGE completed
C: h APPEND INBOX (\\Draft) \"23-Nov-2026 00:00:00 +0000\" {6+}
C: X: y
C:
S: * 2 EXISTS
S: h OK APPEND completed
C: i FETCH 2 (FLAGS BODY[])
S: * 2 FETCH (FLAGS (\\Seen \\Draft) BODY[] {6}
S: X: y
S: )
S: i OK FETCH completed
C: j LOGOUT
S: * BYE until next time
S: j OK LOGOUT completed
",
    );
    client.ends();
}

#[test]
fn imap_bad_input() {
    let running = run();
    let mut client = Client::connect(running.imap);
    client.play(
        "\
S*: * OK
C:
S: * BAD no command
C: a
S: * BAD no command
C: a LOGIN \"alice
S: * BAD malformed command
C: a FETCH 1 UID
S: a BAD log in first
C: a LOGIN alice wonderland
S: a OK LOGIN completed
C: a FETCH 1 UID
S: a BAD unknown command, or no mailbox selected
C: a EXAMINE INBOX
S*: a OK [READ-ONLY] EXAMINE completed
C: a STORE 1 FLAGS (\\Seen)
S: a NO the mailbox is read-only
C: a FETCH 1 ENVELOPE
S: a BAD unknown data item
C: a FETCH 0 UID
S: a BAD invalid arguments
C: a FETCH 99 UID
S: a OK FETCH completed
C: a APPEND INBOX {99999999}
",
    );
    client.ends();
}

#[test]
fn imap_idle_tells_of_new_mail() {
    let running = run();
    let mut client = Client::connect(running.imap);
    client.play(
        "S*: * OK\nC: a LOGIN bob builder\nS*: a OK\nC: a SELECT INBOX\nS*: a OK\nC: b IDLE\nS: + idling",
    );
    send_mail(&running, "bob@elsewhere.example", "news");
    client.play("S: * 2 EXISTS\nC: DONE\nS: b OK IDLE completed");
}

#[test]
fn pop3_commands() {
    let running = run();
    send_mail(&running, "alice", "second");
    let mut client = Client::connect(running.pop3);
    client.play(
        "\
S: +OK gatepost demo
C: STAT
S: -ERR invalid command
C: CAPA
S: +OK
S*: .
C: USER alice
S: +OK
C: PASS wrong
S: -ERR [AUTH] invalid login or password
C: USER alice
C: PASS wonderland
S: +OK
S: +OK logged in
C: UIDL
S: +OK
S: 1 demo-1
S: 2 demo-2
S: .
C: UIDL 2
S: +OK 2 demo-2
C: LIST 3
S: -ERR no such message
C: RETR 2
S: +OK
S: Return-Path: <bob@demo.example>
S*: Subject: test
S:
S: second
S: ..dot
S: .
C: TOP 2 1
S: +OK
S*: Subject: test
S:
S: second
S: .
C: DELE 1
S: +OK
C: RETR 1
S: -ERR no such message
C: RSET
S: +OK
C: DELE 2
S: +OK
C: LIST
S: +OK
",
    );
    assert!(client.line().starts_with("1 "));
    client.play("S: .\nC: RETR x\nS: -ERR no such message\nC: QUIT\nS: +OK bye");
    client.ends();
    let mut client = Client::connect(running.pop3);
    client.play("S*: +OK\nC: USER alice@demo.example\nS: +OK\nC: PASS wonderland\nS: +OK logged in\nC: UIDL\nS: +OK\nS: 1 demo-1\nS: .");
}

#[test]
fn smtp_replies() {
    let running = run();
    let mut client = Client::connect(running.smtp);
    client.play(
        "\
S*: 220
C: HELO client
S: 250 localhost
C: DATA
S: 503 5.5.1 Need RCPT command
C: RCPT TO:<alice>
S: 503 5.5.1 Need MAIL command
C: MAIL alice
S: 501 5.5.4 Syntax: MAIL FROM:<address>
C: MAIL FROM:<> SIZE=99999999
S: 552 5.3.4 Message too large
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: MAIL FROM:<>
S: 503 5.5.1 Nested MAIL command
C: RCPT TO:<carol@demo.example>
S: 550 5.1.1 No such user here
C: RSET
S: 250 2.0.0 OK
C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=
S: 235 2.7.0 Authentication successful
C: AUTH PLAIN
S*: 334
C: AGFsaWNlAHdyb25n
S: 535 5.7.8 Authentication failed
C: AUTH LOGIN
S: 504 5.5.4 Unrecognized authentication type
C: NOOP
S: 250 2.0.0 OK
C: BOGUS
S: 502 5.5.2 Command not recognized
C: QUIT
S: 221 2.0.0 Bye
",
    );
    client.ends();
}

#[test]
fn auth_service() {
    let running = run();
    let mut client = Client::connect(running.auth);
    client.play(
        "\
C: GET /auth HTTP/1.1
C: Auth-Method: plain
C: Auth-User: alice
C: Auth-Pass: wrong%20one
C: Auth-Protocol: imap
C:
S: HTTP/1.1 200 OK
S: Auth-Status: Invalid login or password
S: Auth-Wait: 2
S: Content-Length: 0
S:
C: GET /auth HTTP/1.0
C: Auth-Method: plain
C: Auth-User: Alice@demo.example
C: Auth-Pass: wonderland
C: Auth-Protocol: imap
C:
S: HTTP/1.0 200 OK
S: Auth-Status: OK
S: Auth-Server: 127.0.0.1
",
    );
    client.play(&format!(
        "S: Auth-Port: {}\nS: Auth-User: alice\nS: Content-Length: 0\nS:",
        running.imap.port()
    ));
    client.ends();
}

#[test]
fn files() {
    use std::os::unix::fs::PermissionsExt;
    let demo = prepare().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(demo.directory()), 0o700);
    for file in fs::read_dir(demo.directory()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let configuration = fs::read_to_string(demo.configuration()).unwrap();
    let auth = demo.services.auth.local_addr().unwrap();
    assert!(configuration.contains(&format!("auth_http            {auth}/auth;")), "{configuration}");
    assert_eq!(configuration.matches("listen    127.0.0.1:").count(), 6);
    assert!(demo.banner().contains(&demo.configuration().display().to_string()));
    let ports: Vec<u16> = configuration
        .split("127.0.0.1:")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap())
        .collect();
    let mut distinct = ports.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 7, "{ports:?}");
    remove(demo.directory());
    assert!(!demo.directory().exists());
}

#[test]
fn taken_ports_are_replaced() {
    // Whatever of these is free is held while the second set is chosen.
    let first = Ports::free().unwrap();
    let held = bind(first.imaps).unwrap();
    let second = Ports::free().unwrap();
    assert_ne!(second.imaps, held.local_addr().unwrap().port());
}
