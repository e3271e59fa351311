//! Random clients: lines of each protocol, responses, and both mutilated.

use gatepost_protocol::config::StartTls;
use gatepost_protocol::sasl::{Mechanism, Mechanisms};
use proptest::prelude::*;

use super::Rules;

pub(super) const POP3: &[&str] = &[
    "USER joe",
    "USER  j o e ",
    "USER ",
    "USER a\0b",
    "PASS pw",
    "PASS  p w ",
    "PASS",
    "PASS \0",
    "APOP joe 0123",
    "APOP joe",
    "APOP joe a b",
    "AUTH",
    "AUTH PLAIN AGpvZQBwdw==",
    "AUTH PLAIN",
    "AUTH LOGIN",
    "auth login am9l",
    "AUTH CRAM-MD5",
    "AUTH CRAM-MD5 =",
    "AUTH EXTERNAL",
    "AUTH EXTERNAL =",
    "AUTH EXTERNAL am9l",
    "AUTH NTLM",
    "AUTH PLAIN = x",
    "CAPA",
    "CAPA x",
    "NOOP",
    "noop 1 2 3",
    "NOOP 1 2 3 4",
    "STLS",
    "STLS x",
    "QUIT",
    "STAT",
    "GET / HTTP/1.1",
];

pub(super) const IMAP: &[&str] = &[
    "a1 LOGIN joe pw",
    "a2 login \"j\\\"oe\" \"\"",
    "a3 LOGIN \"\" pw",
    "a4 LOGIN joe",
    "a5 LOGIN joe pw x",
    "a6 LOGIN {3}\r\njoe {2+}\r\npw",
    "a7 LOGIN joe {0}\r\n",
    "a8 LOGIN {3}\r\nj\ne pw",
    "a9 LOGIN {3}",
    "b1 LOGIN {3}\r\njoex",
    "b2 LOGIN {600}",
    "b3 LOGIN {600+}",
    "b4 LOGIN {99999999999999999999}",
    "b5 LOGIN {x}",
    "b6 LOGIN {3+} x",
    "b7 LOGIN x {+}\r\n",
    "b8 AUTHENTICATE PLAIN AGpvZQBwdw==",
    "b9 AUTHENTICATE PLAIN",
    "c1 AUTHENTICATE LOGIN",
    "c2 authenticate \"login\" am9l",
    "c3 AUTHENTICATE CRAM-MD5",
    "c4 AUTHENTICATE CRAM-MD5 =",
    "c5 AUTHENTICATE EXTERNAL =",
    "c6 AUTHENTICATE",
    "c7 AUTHENTICATE NTLM",
    "c8 AUTHENTICATE PLAIN {4+}\r\nAGpv",
    "c9 CAPABILITY",
    "d1 CAPABILITY x",
    "d2 NOOP",
    "d3 noop ",
    "d4 ID NIL",
    "d5 ID (\"name\" \"x\" \"y\" nil)",
    "d6 ID ()",
    "d7 ID (\"name\")",
    "d8 ID",
    "d9 ID (\"a\" {3+}\r\nb)c)",
    "e1 ID (\"a\" {3}\r\nb)c \"d\" NIL) ",
    "e2 ID(",
    "e3 ID (NIL NIL)",
    "e4 STARTTLS",
    "e5 STARTTLS x",
    "e6 LOGOUT",
    "e7 SELECT INBOX",
    "e8 SELECT {3+}",
    "* NOOP",
    "+ NOOP",
    " NOOP",
    "NOOP",
    "e9",
    "f1 LOGIN \"joe\"pw",
    "f2 LOGIN \"joe pw",
    "f3  LOGIN  joe  pw",
    "f4 LOGIN j{oe p\"w",
    "a-tag-of-64-bytes-is-the-longest-that-there-may-be-in-this-engine NOOP",
    "a-tag-of-65-bytes-is-longer-than-the-longest-that-this-engine-has NOOP",
];

pub(super) const SMTP: &[&str] = &[
    "EHLO client",
    "ehlo [192.0.2.7] ",
    "EHLO",
    "EHLO a b",
    "HELO client",
    "HELO \u{e9}",
    "AUTH PLAIN AGpvZQBwdw==",
    "AUTH PLAIN",
    "AUTH LOGIN",
    "AUTH login am9l",
    "AUTH CRAM-MD5",
    "AUTH CRAM-MD5 =",
    "AUTH EXTERNAL =",
    "AUTH EXTERNAL am9l",
    "AUTH",
    "AUTH NTLM",
    "AUTH NTLM a b",
    "AUTH PLAIN = x",
    "MAIL FROM:<a@b> SIZE=1  ",
    "mail from:<>",
    "MAIL FROM <a@b>",
    "MAIL",
    "RCPT TO:<c@d>",
    "rcpt to: <c@d>",
    "RCPT c@d",
    "RSET",
    "RSET x",
    "NOOP",
    "NOOP 1 2 3 4 5 6 7 8 9 10 11 12",
    "VRFY joe",
    "EXPN list",
    "HELP",
    "STARTTLS",
    "STARTTLS x",
    "QUIT",
    "DATA",
    "XCLIENT NAME=x",
    "GET / HTTP/1.1",
];

/// Responses and what is none, in any state.
const RESPONSES: &[&str] = &[
    "AGpvZQBwdw==",
    "AGpvZQBwdw",
    "am9lAGpvZQBwdw==",
    "YW5uAGpvZQBwdw==",
    "AGpvZQ==",
    "am9l",
    "am9l ",
    "cHc=",
    "cHc",
    "cHc==",
    "",
    "=",
    "*",
    "* ",
    "*x",
    "cA1w",
    "cA==",
    "YQBi",
    "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
    "IGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
];

/// What a client says at once: a line of the protocol, a response, or one of them with something done to it.
fn utterance(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![3 => prop::sample::select(lines), 2 => prop::sample::select(RESPONSES)];
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\r\n")];
    let change = prop::option::weighted(0.25, (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8));
    (line, end, change, prop::bool::weighted(0.02)).prop_map(|(line, end, change, is_long)| {
        let mut bytes = line.as_bytes().to_vec();
        if is_long {
            bytes.extend(std::iter::repeat_n(b'x', 600));
        }
        if let Some((place, byte, kind)) = change {
            let place = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(place, byte),
                1 => bytes.truncate(place),
                _ => bytes[place.min(line.len()).saturating_sub(1)..]
                    .iter_mut()
                    .take(1)
                    .for_each(|old| *old = byte),
            }
        }
        [&bytes, end.as_bytes()].concat()
    })
}

/// Some go together, in one read.
pub(super) fn client(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let read = prop_oneof![
        6 => utterance(lines),
        1 => (utterance(lines), utterance(lines)).prop_map(|(first, second)| [first, second].concat()),
    ];
    prop::collection::vec(read, 0..25)
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let starttls = prop::sample::select(vec![StartTls::Off, StartTls::On, StartTls::Only]);
    let all = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];
    let mechanisms = prop::sample::subsequence(all.to_vec(), 0..=4);
    (starttls, mechanisms, any::<bool>()).prop_map(|(starttls, mechanisms, extra)| Rules {
        starttls,
        mechanisms: Mechanisms::from_iter(mechanisms),
        extra,
    })
}

/// What the auth server says, one after another.
pub(super) fn outcomes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..8_u8, 30)
}
