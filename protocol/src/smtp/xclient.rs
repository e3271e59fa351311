//! XCLIENT: what a backend is told about the client (Postfix's XCLIENT_README; spec/protocols.md section 9.5).
//!
//! A backend lists the attributes it takes in its EHLO reply, and only those are sent.

use super::Hello;
use super::reply::Reply;
use crate::address::ClientAddr;
use crate::machine::BackendLogin;

/// RFC 5321 section 4.5.3.1.4: the longest command line, CRLF included.
const MAX_LINE: usize = 512;

const VERB: &[u8] = b"XCLIENT";
const UNAVAILABLE: &str = "[UNAVAILABLE]";

/// The commands that tell all the backend wants to know, without line ends; none if it does not offer XCLIENT, or no
/// attribute that we know of. `with_login` is false where AUTH will tell the login.
pub(super) fn commands(
    ehlo: &Reply,
    login: &BackendLogin,
    hello: Option<&Hello>,
    with_login: bool,
) -> Vec<Vec<u8>> {
    let offered: Vec<&[u8]> = ehlo.texts().skip(1).find_map(offered_attributes).unwrap_or_default();
    let is_offered = |name: &str| offered.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let parts: Vec<Part> = attributes(login, hello, with_login)
        .into_iter()
        .filter_map(|(name, value)| value.filter(|_| is_offered(name)).map(|value| Part::new(name, &value)))
        .collect();
    lines(&parts)
}

/// The attribute names behind the keyword, if this is XCLIENT's line of an EHLO reply.
fn offered_attributes(line: &[u8]) -> Option<Vec<&[u8]>> {
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    words.next().filter(|keyword| keyword.eq_ignore_ascii_case(VERB)).map(|_| words.collect())
}

/// Names and values; first those nginx sends, in its order.
fn attributes(
    login: &BackendLogin,
    hello: Option<&Hello>,
    with_login: bool,
) -> [(&'static str, Option<Vec<u8>>); 6] {
    let (address, port) = match login.client {
        ClientAddr::Inet(peer) if peer.is_ipv6() => (format!("IPV6:{}", peer.ip()), peer.port().to_string()),
        ClientAddr::Inet(peer) => (peer.ip().to_string(), peer.port().to_string()),
        ClientAddr::Unix => (UNAVAILABLE.to_owned(), UNAVAILABLE.to_owned()),
    };
    let protocol = |hello: &Hello| if hello.esmtp { b"ESMTP".to_vec() } else { b"SMTP".to_vec() };
    [
        ("ADDR", Some(address.into_bytes())),
        ("LOGIN", Some(login.login.clone()).filter(|login| with_login && !login.is_empty())),
        ("NAME", Some(login.client_host.as_bytes().to_vec())),
        ("PORT", Some(port.into_bytes())),
        ("PROTO", hello.map(protocol)),
        ("HELO", hello.map(|hello| hello.name.clone())),
    ]
}

/// One attribute as it is written: ` NAME=value`, the value in xtext.
struct Part {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Part {
    fn new(name: &'static str, value: &[u8]) -> Self {
        let mut bytes = format!(" {name}=").into_bytes();
        write_xtext(value, &mut bytes);
        Self { name, bytes }
    }

    /// Whether this changes whom the backend takes us for, and so whether it lets us say more.
    fn is_identity(&self) -> bool {
        matches!(self.name, "ADDR" | "NAME")
    }
}

/// One line if all fits. Else the client's address and name come last, together: Postfix refuses a further XCLIENT
/// from a client that has no right to it, which is how it sees us from then on.
fn lines(parts: &[Part]) -> Vec<Vec<u8>> {
    let whole = concat(parts.iter());
    if VERB.len() + whole.len() + 2 <= MAX_LINE {
        return pack([whole]);
    }
    let rest = parts.iter().filter(|part| !part.is_identity()).map(|part| part.bytes.clone());
    let identity = concat(parts.iter().filter(|part| part.is_identity()));
    pack(rest.chain([identity]))
}

fn concat<'a>(parts: impl Iterator<Item = &'a Part>) -> Vec<u8> {
    parts.flat_map(|part| part.bytes.iter().copied()).collect()
}

/// Packs what must stay together into as few lines as hold it in order. What is longer than a line gets its own all the
/// same: it cannot be divided, and the backend may well take it.
fn pack(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.len() + part.len() + 2 <= MAX_LINE => line.extend_from_slice(&part),
            Some(_) | None => lines.push([VERB, &part[..]].concat()),
        }
    }
    lines
}

/// xtext (RFC 3461 section 4), with everything but printable ASCII encoded.
fn write_xtext(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'+', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: &str = "NAME ADDR PROTO HELO PORT LOGIN DESTADDR DESTPORT";

    fn xtext(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_xtext(bytes, &mut out);
        String::from_utf8(out).expect("xtext is ASCII")
    }

    fn login(client: &str, login: &str) -> BackendLogin {
        let client = client.parse().map_or(ClientAddr::Unix, ClientAddr::Inet);
        BackendLogin {
            login: login.into(),
            password: None,
            client,
            client_host: "mail.example".into(),
            starttls: false,
        }
    }

    fn ehlo(attributes: &str) -> Reply {
        let mut reply = Reply::default();
        reply.push(b"250-XCLIENT is not a keyword here", 4096);
        reply.push(format!("250-{attributes}").as_bytes(), 4096);
        reply.push(b"250 SMTPUTF8", 4096);
        reply
    }

    #[track_caller]
    fn check(offer: &str, who: &BackendLogin, hello: Option<(&str, bool)>, expected: &[&str]) {
        let hello = hello.map(|(name, esmtp)| Hello { name: name.into(), esmtp });
        let lines = commands(&ehlo(offer), who, hello.as_ref(), true);
        let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn xtext_known_answers() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"alice@example.org", "alice@example.org"),
            (b"a b@x", "a+20b@x"),
            (b"a+b=c", "a+2Bb+3Dc"),
            (b"\0\t\r\n\x1f\x20", "+00+09+0D+0A+1F+20"),
            (b"!~\x7f\x80\xff", "!~+7F+80+FF"),
            ("j\u{f6}".as_bytes(), "j+C3+B6"),
            (b"[UNAVAILABLE]", "[UNAVAILABLE]"),
        ] {
            assert_eq!(xtext(bytes), expected);
        }
    }

    #[test]
    fn only_listed_attributes_are_sent() {
        let alice = login("192.0.2.7:4321", "a b@x");
        let hello = Some(("client.example", true));
        let full = "XCLIENT ADDR=192.0.2.7 LOGIN=a+20b@x NAME=mail.example PORT=4321 PROTO=ESMTP HELO=client.example";
        check(&format!("XCLIENT {ALL}"), &alice, hello, &[full]);
        check(
            "xclient login name addr",
            &alice,
            hello,
            &["XCLIENT ADDR=192.0.2.7 LOGIN=a+20b@x NAME=mail.example"],
        );
        check("XCLIENT  NAME", &alice, hello, &["XCLIENT NAME=mail.example"]);
        check("XCLIENT", &alice, hello, &[]);
        check("XCLIENT DESTADDR", &alice, hello, &[]);
        check("XCLIENTS NAME ADDR", &alice, hello, &[]);
        check("SIZE 1", &alice, hello, &[]);
    }

    #[test]
    fn values() {
        let offer = format!("XCLIENT {ALL}");
        check(
            &offer,
            &login("[2001:db8::1]:25", ""),
            Some(("a", false)),
            &["XCLIENT ADDR=IPV6:2001:db8::1 NAME=mail.example PORT=25 PROTO=SMTP HELO=a"],
        );
        check(
            &offer,
            &login("unix", "u"),
            None,
            &["XCLIENT ADDR=[UNAVAILABLE] LOGIN=u NAME=mail.example PORT=[UNAVAILABLE]"],
        );
        let without_login = commands(&ehlo(&offer), &login("192.0.2.7:1", "u"), None, false);
        assert_eq!(without_login, [b"XCLIENT ADDR=192.0.2.7 NAME=mail.example PORT=1"]);
    }

    #[test]
    fn long_lines_are_split_at_512_bytes() {
        let offer = "XCLIENT ADDR LOGIN NAME PORT";
        let (start, end) = ("XCLIENT ADDR=192.0.2.7 LOGIN=", " NAME=mail.example PORT=1");
        let fits = "l".repeat(512 - start.len() - end.len() - 2);
        check(offer, &login("192.0.2.7:1", &fits), None, &[&format!("{start}{fits}{end}")]);

        let identity = "XCLIENT ADDR=192.0.2.7 NAME=mail.example";
        let over = login("192.0.2.7:1", &format!("{fits}l"));
        check(offer, &over, None, &[&format!("XCLIENT LOGIN={fits}l PORT=1"), identity]);
        check("XCLIENT LOGIN ADDR NAME", &over, None, &[&format!("{start}{fits}l NAME=mail.example")]);

        let huge = login("192.0.2.7:1", &"+".repeat(400));
        let alone = format!("XCLIENT LOGIN={}", "+2B".repeat(400));
        check(offer, &huge, None, &[&alone, "XCLIENT PORT=1 ADDR=192.0.2.7 NAME=mail.example"]);
        check("XCLIENT LOGIN", &huge, None, &[&alone]);
    }

    proptest! {
        #[test]
        fn xtext_can_be_read_back(bytes: Vec<u8>) {
            let text = xtext(&bytes);
            let mut decoded = Vec::new();
            let mut rest = text.as_bytes();
            while let [first, tail @ ..] = rest {
                rest = tail;
                if *first == b'+' {
                    let digits = std::str::from_utf8(&tail[..2]).expect("two digits");
                    decoded.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
                    rest = &tail[2..];
                } else {
                    prop_assert!(first.is_ascii_graphic() && *first != b'=');
                    decoded.push(*first);
                }
            }
            prop_assert_eq!(decoded, bytes);
        }
    }
}
