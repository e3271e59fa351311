//! Makes equal what must vary between two runs: the address of the run, challenges, the client's port.

use std::net::{IpAddr, SocketAddr};

/// One line or text, with the varying parts replaced by words.
pub(crate) fn text(text: &str, host: IpAddr) -> String {
    let text = text.replace(&host.to_string(), "HOST");
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\r', '\n']) {
        let bare = word.trim_end_matches([' ', '\r', '\n']);
        let ending = &word[bare.len()..];
        out.push_str(&challenge(bare).unwrap_or_else(|| bare.to_owned()));
        out.push_str(ending);
    }
    proxy_ports(&out)
}

/// The sessions on a listener in the log's order: each client, and the lines about it as `[LEVEL] TEXT`. `names` are what
/// lines call the other addresses.
pub(crate) fn session_logs(
    log: &str,
    listen: SocketAddr,
    names: &[(SocketAddr, &str)],
) -> Vec<(SocketAddr, Vec<String>)> {
    let lines = || log.lines().filter_map(LogLine::parse);
    let of_session = |first: LogLine<'_>| {
        let client = first.text.strip_prefix("client ")?.strip_suffix(&format!(" connected to {listen}"))?;
        let own = lines().filter(|line| line.connection == first.connection && !is_gateposts_own(line.text));
        let normalise = |line: LogLine<'_>| {
            let mut line = format!("{} {}", line.level, line.text).replace(&format!("{client} "), "CLIENT ");
            for (address, name) in names {
                line = line.replace(&address.to_string(), name);
            }
            text(&line.replace(&listen.to_string(), "LISTEN"), listen.ip())
        };
        Some((client.parse().ok()?, own.map(normalise).collect()))
    };
    lines().filter_map(of_session).collect()
}

/// The lines beside nginx's that come with every login: a row of docs/differences.md for all transcripts.
fn is_gateposts_own(text: &str) -> bool {
    let attempt = text.strip_prefix("auth http server ").and_then(|text| text.split_once(' '));
    attempt.is_some_and(|(_, text)| text.starts_with("took ") || text.starts_with("failed in "))
}

/// A line about a connection: `YYYY/MM/DD HH:MM:SS [LEVEL] PID#TID: *CID TEXT`.
struct LogLine<'a> {
    level: &'a str,
    connection: &'a str,
    text: &'a str,
}

impl<'a> LogLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (_day, rest) = line.split_once(' ')?;
        let (_time, rest) = rest.split_once(' ')?;
        let (level, rest) = rest.split_once(' ')?;
        let (_process, rest) = rest.split_once(": ")?;
        let (connection, text) = rest.split_once(' ')?;
        connection.starts_with('*').then_some(Self { level, connection, text })
    }
}

/// A challenge `<R.T@NAME>`, in clear or in base64.
fn challenge(word: &str) -> Option<String> {
    let masked = |text: &str| {
        let inner = text.strip_prefix('<')?.strip_suffix('>')?;
        let (numbers, name) = inner.split_once('@')?;
        let (random, time) = numbers.split_once('.')?;
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (are_digits(random) && are_digits(time)).then(|| format!("<R.T@{name}>"))
    };
    masked(word).or_else(|| {
        let decoded = decode(word)?;
        masked(&decoded).map(|text| format!("base64({text})"))
    })
}

/// Base64 of ASCII text with padding; `None` for anything else.
fn decode(word: &str) -> Option<String> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !word.len().is_multiple_of(4) {
        return None;
    }
    let mut out = String::new();
    let (mut bits, mut held) = (0_u32, 0);
    for letter in word.trim_end_matches('=').chars() {
        bits = (bits << 6) | u32::try_from(ALPHABET.find(letter)?).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(char::from_u32((bits >> held) & 0xff)?);
        }
        bits &= (1 << held) - 1;
    }
    Some(out)
}

/// A PROXY header of version 1: its two ports become `PORT`.
fn proxy_ports(text: &str) -> String {
    if !text.starts_with("PROXY TCP") {
        return text.to_owned();
    }
    let mut words: Vec<_> = text.split(' ').collect();
    let first = words.len().saturating_sub(2);
    for word in &mut words[first..] {
        *word = "PORT";
    }
    words.join(" ")
}

#[test]
fn challenges_and_ports_become_equal() {
    let host = IpAddr::from([127, 1, 2, 3]);
    assert_eq!(text("+OK POP3 ready <12.34@mx.test>\r\n", host), "+OK POP3 ready <R.T@mx.test>\r\n");
    assert_eq!(text("+ PDEyLjM0QG14LnRlc3Q+\r\n", host), "+ base64(<R.T@mx.test>)\r\n");
    assert_eq!(text("+ VXNlcm5hbWU6\r\n", host), "+ VXNlcm5hbWU6\r\n");
    assert_eq!(text("PROXY TCP4 127.1.2.3 127.1.2.3 40000 10001", host), "PROXY TCP4 HOST HOST PORT PORT");
}

#[test]
fn lines_of_a_session_are_told_from_others() {
    let log = "2026/11/27 17:00:00 [notice] 7#7: using the \"epoll\" event method\n\
        2026/11/27 17:00:00 [info] 7#0: *1 client 127.0.0.1:9 connected to 127.1.2.3:143\n\
        2026/11/27 17:00:00 [info] 7#0: *2 client 127.0.0.1:9 connected to 127.1.2.3:144\n\
        2026/11/27 17:00:01 [info] 7#0: *1 auth http server 127.1.2.3:80 took 0.001 s while, server: 127.1.2.3:143\n\
        2026/11/27 17:00:01 [error] 7#0: *1 auth http server 127.1.2.3:80 failed in send() after 0.001 s while\n\
        2026/11/27 17:00:01 [error] 7#0: *1 auth http server 127.1.2.3:80 did not, server: 127.1.2.3:143\n";
    let address = |port| SocketAddr::from(([127, 1, 2, 3], port));
    let own =
        ["[info] client CLIENT connected to LISTEN", "[error] auth http server AUTH did not, server: LISTEN"];
    let client = SocketAddr::from(([127, 0, 0, 1], 9));
    let sessions = session_logs(log, address(143), &[(address(80), "AUTH")]);
    assert_eq!(sessions, [(client, own.map(str::to_owned).to_vec())]);
}
