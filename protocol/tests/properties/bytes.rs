//! No byte is lost, doubled or moved on its way between client and backend, from the first behind the login on.

use gatepost_protocol::action::Side;
use gatepost_protocol::config::{Listener, Server, StartTls};
use proptest::prelude::*;

use super::support::Driver;
use super::support::server::{imap, listener, pop3, smtp};
use super::support::transcript::{self, Channel, InClear};
use super::tls::{self, Upgrading};

/// A login as all that takes part in it says it.
struct Login {
    server: fn(StartTls) -> Server,
    client: &'static str,
    /// What the backend answers, line by line.
    backend: &'static [&'static str],
    /// What the backend hears.
    heard: &'static str,
    /// What the client hears.
    reply: &'static str,
}

const LOGINS: [Login; 3] = [
    Login {
        server: imap,
        client: "a LOGIN joe x\r\n",
        backend: &["* OK\r\n", "+ \r\n", "+ \r\n", "a OK in\r\n"],
        heard: "a LOGIN {3}\r\njoe {1}\r\nx\r\n",
        reply: "* OK IMAP4 ready\r\na OK in\r\n",
    },
    Login {
        server: pop3,
        client: "USER joe\r\nPASS x\r\n",
        backend: &["+OK\r\n", "+OK\r\n", "+OK in\r\n"],
        heard: "USER joe\r\nPASS x\r\n",
        reply: "+OK POP3 ready\r\n+OK\r\n+OK in\r\n",
    },
    Login {
        server: smtp,
        client: "HELO x\r\nAUTH PLAIN AGpvZQB4\r\n",
        backend: &["220 x\r\n", "250 x\r\n"],
        heard: "EHLO mx.example\r\n",
        reply: "220 mx.example ESMTP ready\r\n250 mx.example\r\n235 2.0.0 OK\r\n",
    },
];

/// Plays a login and all that follows it: the client's `pieces` between the steps and behind them, then the backend's.
fn play<C: Channel>(listener: &Listener, login: &Login, pieces: &[Vec<u8>], replies: &[String], step: usize) {
    let mut driver = Driver::open(listener);
    let mut channel = C::new(step);
    if listener.ssl {
        channel.shake_hands(&mut driver);
    }
    let mut heard = channel.hear(&mut driver);
    let mut pieces = pieces.iter();
    let mut sent = Vec::new();
    let mut say = |words: &[u8], driver: &mut Driver| {
        let piece = pieces.next().map(Vec::as_slice).unwrap_or_default();
        sent.extend_from_slice(piece);
        channel.say(&[words, piece].concat(), driver);
    };
    say(login.client.as_bytes(), &mut driver);
    transcript::order("accepted 127.0.0.1:1", &mut driver);
    say(b"", &mut driver);
    transcript::order("connected", &mut driver);
    for line in login.backend {
        say(b"", &mut driver);
        driver.input(Side::Backend, line.as_bytes());
    }
    say(b"", &mut driver);
    say(b"", &mut driver);
    assert!(driver.is_relay());
    for reply in replies {
        driver.input(Side::Backend, reply.as_bytes());
        heard += &channel.hear(&mut driver);
    }
    heard += &channel.hear(&mut driver);
    assert_eq!(driver.backend, [login.heard.as_bytes(), &sent].concat());
    assert_eq!(heard, login.reply.to_owned() + &replies.concat());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_bytes_arrive_once_and_in_order(
        protocol in 0..LOGINS.len(),
        has_tls: bool,
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 8),
        replies in prop::collection::vec("[ -~\r\n]{0,50}", 0..4),
        step in prop::sample::select(vec![1, 7, usize::MAX]),
    ) {
        let login = &LOGINS[protocol];
        let server = (login.server)(StartTls::Off);
        if has_tls {
            let listener = Listener { ssl: true, ..tls::secured(server) };
            play::<Upgrading>(&listener, login, &pieces, &replies, step);
        } else {
            play::<InClear>(&listener(server), login, &pieces, &replies, step);
        }
    }
}
