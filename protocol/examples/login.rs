//! Logins through the engine, for counting their instructions; CONTRIBUTING.md has the command.
//!
//! `login imap|pop3|smtp` takes a thousand sessions from accept to relay, in clear, as a caller does that lends its own
//! buffers. Only what `log_in` does counts; building the settings and starting the program do not.

#[expect(dead_code, unreachable_pub, reason = "written for tests, which use all of it")]
#[path = "../tests/support/server.rs"]
mod server;

use std::net::SocketAddr;
use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::address::{ClientAddr, Origin};
use gatepost_protocol::auth::{Accepted, AuthReply, BackendAddr};
use gatepost_protocol::config::{Listener, StartTls};
use gatepost_protocol::session::Session;

/// Enough that what happens once, at the first login, is no longer seen.
const LOGINS: usize = 1000;

/// What a client and a backend say in one login.
struct Dialogue {
    listener: Listener,
    /// One line at a time; the last one has the auth server asked.
    client: &'static [&'static str],
    backend: &'static [&'static str],
    /// With what the client's side and the backend's side of it end.
    said: [&'static str; 2],
}

fn dialogue(protocol: &str) -> Option<Dialogue> {
    Some(match protocol {
        "imap" => Dialogue {
            listener: server::listener(server::imap(StartTls::Off)),
            client: &["a1 CAPABILITY\r\n", "a2 LOGIN joe@example.org secret\r\n"],
            backend: &["* OK ready\r\n", "+ go on\r\n", "+ go on\r\n", "a2 OK logged in\r\n"],
            said: ["a2 OK logged in\r\n", "secret\r\n"],
        },
        "pop3" => Dialogue {
            listener: server::listener(server::pop3(StartTls::Off)),
            client: &["CAPA\r\n", "USER joe@example.org\r\n", "PASS secret\r\n"],
            backend: &["+OK ready\r\n", "+OK go on\r\n", "+OK logged in\r\n"],
            said: ["+OK logged in\r\n", "PASS secret\r\n"],
        },
        "smtp" => Dialogue {
            listener: server::listener(server::smtp(StartTls::Off)),
            client: &["EHLO desk.example.org\r\n", "AUTH PLAIN AGpvZUBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n"],
            backend: &[
                "220 ready\r\n",
                "250-mx\r\n250 XCLIENT NAME ADDR PROTO HELO LOGIN\r\n",
                "220 go on\r\n",
                "250 mx\r\n",
            ],
            said: ["235 2.0.0 OK\r\n", "EHLO desk.example.org\r\n"],
        },
        _ => return None,
    })
}

/// One session, and the buffers its caller lends to it.
struct Caller<'a> {
    now: Instant,
    session: Session,
    input: &'a mut Vec<u8>,
    out: &'a mut Output,
}

impl Caller<'_> {
    /// One read.
    fn input(&mut self, side: Side, words: &str) -> Option<Action> {
        self.input.clear();
        self.input.extend_from_slice(words.as_bytes());
        self.written();
        self.session.handle_input(side, self.input, self.now, self.out);
        self.asked()
    }

    fn complete(&mut self, completion: Completion) -> Option<Action> {
        self.written();
        self.session.handle_completion(completion, self.now, self.out);
        self.asked()
    }

    /// The sockets have taken everything.
    fn written(&mut self) {
        self.out.client.clear();
        self.out.backend.clear();
    }

    /// What is to be done next; facts for the log need nothing.
    fn asked(&mut self) -> Option<Action> {
        let mut asked = None;
        while let Some(action) = self.session.poll_action() {
            if !matches!(action, Action::Log(..)) {
                assert!(asked.replace(action).is_none(), "one action after each change");
            }
        }
        asked
    }
}

/// A session from accept to relay. Its name is in the command that counts.
#[inline(never)]
fn log_in(dialogue: &Dialogue, origin: &Origin, now: Instant, input: &mut Vec<u8>, out: &mut Output) {
    let session = Session::open(&dialogue.listener, origin, now, out);
    let mut caller = Caller { now, session, input, out };
    assert_eq!(caller.asked(), None);
    let mut asked = None;
    for line in dialogue.client {
        assert_eq!(asked, None, "the auth server is asked too early");
        asked = caller.input(Side::Client, line);
    }
    assert!(matches!(asked, Some(Action::Authenticate(_))), "{asked:?}");
    drop(asked);
    let address = SocketAddr::from(([192, 0, 2, 2], 143));
    let backend = BackendAddr { target: address.into(), name: "192.0.2.2:143".into() };
    let accepted = Accepted { backend, ssl: None, login: None, password: None };
    let asked = caller.complete(Completion::Auth(Ok(AuthReply::Accepted(accepted))));
    assert!(matches!(asked, Some(Action::Connect(_))), "{asked:?}");
    let mut asked = caller.complete(Completion::Connected(Ok(())));
    let mut to_backend = Vec::new();
    for line in dialogue.backend {
        assert_eq!(asked, None, "the relay begins too early");
        to_backend.clear();
        to_backend.extend_from_slice(&caller.out.backend);
        asked = caller.input(Side::Backend, line);
    }
    assert_eq!(asked, Some(Action::Relay));
    assert!(caller.out.client.ends_with(dialogue.said[0].as_bytes()), "{:?}", caller.out);
    assert!(to_backend.ends_with(dialogue.said[1].as_bytes()), "{:?}", caller.out);
    drop(caller.session.into_relay(now, caller.out));
    caller.out.client.clear();
    caller.out.backend.clear();
}

fn take(dialogue: &Dialogue, logins: usize) {
    #[expect(clippy::disallowed_methods, reason = "the clock has to start somewhere")]
    let now = Instant::now();
    let origin = Origin {
        peer: ClientAddr::Inet(([192, 0, 2, 7], 4711).into()),
        local: ClientAddr::Inet(([192, 0, 2, 1], 143).into()),
        unix_time: 1_750_000_000,
        entropy: *b"no randomness :)",
    };
    let (mut input, mut out) = (Vec::new(), Output::default());
    for _ in 0..logins {
        log_in(dialogue, &origin, now, &mut input, &mut out);
    }
}

fn main() {
    let protocol = std::env::args().nth(1);
    let dialogue = protocol.as_deref().and_then(dialogue).expect("one of imap, pop3, smtp");
    take(&dialogue, LOGINS);
}

#[test]
fn every_protocol_gets_to_its_relay() {
    for protocol in ["imap", "pop3", "smtp"] {
        take(&dialogue(protocol).expect("it is known"), 2);
    }
}
