//! The table language of the transcripts.
//!
//! A file holds transcripts, each with a `server {}` of its own, mock auth server and mock backend:
//!
//! ```text
//! == name of the transcript
//! differs: AREA            the row of docs/differences.md that names the difference
//! newer: REASON            the difference is between Debian's nginx and the nginx that gatepost follows
//! says: TEXT               gatepost's bytes to the client hold this; only beside a difference
//! logs: AREA               like `differs`, about the lines in the error log
//! logs newer: REASON       like `newer`, about the lines in the error log
//! log: TEXT                the lines of gatepost's log hold this
//! whole                    not run in single bytes
//! early                    the client does not wait for a greeting
//! config: DIRECTIVES       for the server block
//! listen: PARAMETERS       of its listen directive
//! auth: accept | refuse TEXT | headers | raw BYTES | silence      the next answer of the auth server; the last one repeats
//! auth+: HEADER LINE       added to that answer; {ip} and {port} are the backend's
//! backend: refuse TEXT | greet TEXT | close | reset | silence | offer CAPABILITY | proxy header
//! backend: script BYTES    instead of a dialogue: said at once; a further one is said when one more line has come
//! backend: exchange BYTES  after the login it says this and closes, reading on
//! backend: reset later     after the login it resets the connection when a line has come
//! C: LINE                  the client sends this and CRLF, then waits for one line (`C3:` for three, `C0:` for none)
//! B: BYTES                 the same without CRLF, waiting for none unless a number says so
//! TLS                      TLS begins; as the first step, before the greeting
//! FIN                      the client closes its sending direction and reads on
//! WAIT                     the client waits for the proxy to close
//! RST                      the client resets the connection
//! ```
//!
//! `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` stand for bytes; `\*N{...}` repeats what is in the braces N times.

use gatepost_tests::backend::{After, Behaviour, Login};

/// What one client, auth server and backend do in one session.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) name: String,
    pub(crate) difference: Option<Difference>,
    pub(crate) log_difference: Option<Difference>,
    /// What gatepost's log must hold.
    pub(crate) logs: Vec<String>,
    pub(crate) says: Vec<String>,
    pub(crate) whole_only: bool,
    /// Whether the client speaks before the greeting.
    pub(crate) early: bool,
    pub(crate) directives: String,
    pub(crate) listen: String,
    pub(crate) answers: Vec<Answer>,
    pub(crate) behaviour: Behaviour,
    pub(crate) steps: Vec<Step>,
}

/// Why gatepost may differ from Debian's nginx.
#[derive(Clone, Debug)]
pub(crate) enum Difference {
    /// A row of docs/differences.md, by its first cell.
    Row(String),
    /// That nginx is older than the one gatepost follows.
    Newer,
}

/// One answer of the auth server.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Accept, with further header lines.
    Accept(Vec<String>),
    /// Just these header lines.
    Headers(Vec<String>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// None.
    Silence,
}

/// What the client does.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send, then wait for this many lines.
    Send { bytes: Vec<u8>, lines: usize },
    /// Begin TLS.
    StartTls,
    /// Close the sending direction.
    Finish,
    /// Wait for the proxy to close.
    Wait,
    /// Reset the connection.
    Reset,
}

/// Reads a file of transcripts.
pub(crate) fn parse(text: &str) -> Vec<Transcript> {
    let mut transcripts: Vec<Transcript> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            assert!(transcripts.iter().all(|other| other.name != name), "{name:?} is there twice");
            transcripts.push(Transcript { name: name.to_owned(), ..Transcript::default() });
            continue;
        }
        let transcript = transcripts.last_mut().expect("a file begins with the name of a transcript");
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        transcript
            .read(key, value.strip_prefix(' ').unwrap_or(value))
            .unwrap_or_else(|| panic!("line {}: {line:?} is no line of a transcript", index + 1));
    }
    transcripts
}

impl Transcript {
    fn read(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "differs" => self.difference = Some(Difference::Row(value.to_owned())),
            "newer" => self.difference = Some(Difference::Newer),
            "logs" => self.log_difference = Some(Difference::Row(value.to_owned())),
            "logs newer" => self.log_difference = Some(Difference::Newer),
            "log" => self.logs.push(value.to_owned()),
            "says" => self.says.push(value.to_owned()),
            "whole" => self.whole_only = true,
            "early" => self.early = true,
            "config" => self.directives.push_str(value),
            "listen" => value.clone_into(&mut self.listen),
            "auth" => self.answers.push(answer(value)?),
            "auth+" => match self.answers.last_mut()? {
                Answer::Accept(lines) | Answer::Headers(lines) => {
                    lines.push(String::from_utf8_lossy(&unescape(value)).into_owned())
                }
                Answer::Raw(_) | Answer::Silence => return None,
            },
            "backend" => self.read_backend(value)?,
            "TLS" => self.steps.push(Step::StartTls),
            "FIN" => self.steps.push(Step::Finish),
            "WAIT" => self.steps.push(Step::Wait),
            "RST" => self.steps.push(Step::Reset),
            _ => self.steps.push(send(key, value)?),
        }
        Some(())
    }

    fn read_backend(&mut self, value: &str) -> Option<()> {
        let (verb, argument) = value.split_once(' ').unwrap_or((value, ""));
        match verb {
            "refuse" => self.behaviour.login = Login::Refuse(argument.to_owned()),
            "greet" => self.behaviour.login = Login::Greet(argument.to_owned()),
            "close" => self.behaviour.login = Login::Close,
            "reset" if argument == "later" => self.behaviour.after = After::Reset,
            "reset" => self.behaviour.login = Login::Reset,
            "silence" => self.behaviour.login = Login::Silence,
            "script" => self.behaviour.script.get_or_insert_default().push(unescape(argument)),
            "exchange" => self.behaviour.after = After::Exchange(unescape(argument).into()),
            "offer" => self.behaviour.capabilities.push(argument.to_owned()),
            "proxy" => self.behaviour.proxy_header = true,
            _ => return None,
        }
        Some(())
    }
}

fn answer(value: &str) -> Option<Answer> {
    let (verb, argument) = value.split_once(' ').unwrap_or((value, ""));
    Some(match verb {
        "accept" => Answer::Accept(Vec::new()),
        "refuse" => Answer::Headers(vec![format!("Auth-Status: {argument}")]),
        "headers" => Answer::Headers(Vec::new()),
        "raw" => Answer::Raw(unescape(argument)),
        "silence" => Answer::Silence,
        _ => return None,
    })
}

fn send(key: &str, value: &str) -> Option<Step> {
    let (ending, default, count) = match key.split_at_checked(1)? {
        ("C", count) => (&b"\r\n"[..], 1, count),
        ("B", count) => (&b""[..], 0, count),
        _ => return None,
    };
    let lines = if count.is_empty() { default } else { count.parse().ok()? };
    Some(Step::Send { bytes: [&unescape(value), ending].concat(), lines })
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (escape, after) = after.split_at(1);
        rest = after;
        match escape {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "0" => bytes.push(0),
            "x" => {
                let (digits, after) = after.split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                rest = after;
            }
            "*" => {
                let (count, after) = after.split_once('{').expect("a brace behind the count");
                let (unit, after) = after.split_once('}').expect("a closing brace");
                bytes.extend(unescape(unit).repeat(count.parse().expect("a count")));
                rest = after;
            }
            other => bytes.extend_from_slice(other.as_bytes()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn escapes_stand_for_bytes() {
    assert_eq!(unescape(r"a\r\n\0\x80\\"), b"a\r\n\0\x80\\");
    assert_eq!(unescape(r"\*3{ab}c"), b"abababc");
}
