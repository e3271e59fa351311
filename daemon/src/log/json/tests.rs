//! Objects as programs read them.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_protocol::action::{ConnectFailure, Errno, LookupFailure, Side};
use gatepost_protocol::auth::AuthFailure;
use gatepost_protocol::event::{Event, LogContext, Stage, Summary};
use gatepost_protocol::relay::Traffic;
use proptest::prelude::*;

use super::*;
use crate::log::lines::{self, Place};

const PLACE: Place<'static> = Place { listen: "0.0.0.0:143", auth_server: "127.0.0.1:9000" };
const ID: ConnectionId = ConnectionId { run: 0x12, number: 7 };

fn context(login: &[u8]) -> LogContext {
    let client: SocketAddr = "192.0.2.7:36026".parse().expect("an address");
    LogContext {
        client: ClientAddr::Inet(client),
        starttls: true,
        login: Some(login.into()),
        upstream: Some("10.0.0.5:143".into()),
    }
}

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_332_907_042)
}

/// The line of an event without what varies, its LF included.
fn rendered(event: &Event, stage: Option<Stage>, context: &LogContext) -> String {
    let entry = lines::entry(event, Situation { stage, context, place: PLACE });
    let line = line(moment(), lines::level(event), Some(ID), &entry);
    line.replace(&format!("\"pid\":{},", process::id()), "")
}

/// The members of one object in their order, values as they are written but for strings, which are decoded. Panics on
/// whatever RFC 8259 does not allow, and on nested values, of which there are none.
fn members(line: &str) -> Vec<(String, String)> {
    let mut rest = line.strip_prefix('{').expect("an object");
    let mut found = Vec::new();
    loop {
        let (name, after) = string(rest);
        let after = after.strip_prefix(':').expect("a colon");
        let (value, after) = if after.starts_with('"') {
            string(after)
        } else {
            let end = after.find([',', '}']).expect("an end");
            let word = &after[..end];
            assert!(["true", "false"].contains(&word) || word.parse::<f64>().is_ok(), "{word}");
            (word.to_owned(), &after[end..])
        };
        found.push((name, value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                assert_eq!(after, "}\n");
                return found;
            }
        }
    }
}

/// One string, decoded, and what is behind it.
fn string(text: &str) -> (String, &str) {
    let mut characters = text.strip_prefix('"').expect("a string").chars();
    let mut found = String::new();
    loop {
        match characters.next().expect("an end of the string") {
            '"' => return (found, characters.as_str()),
            '\\' => match characters.next().expect("an escape") {
                escaped @ ('"' | '\\') => found.push(escaped),
                'u' => {
                    let digits: String = characters.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).expect("four digits");
                    found.push(char::from_u32(code).expect("a character"));
                }
                other => panic!("an escape {other:?}"),
            },
            character => {
                assert!(!character.is_control(), "{character:?}");
                found.push(character);
            }
        }
    }
}

#[test]
fn an_event_is_an_object() {
    let context = context(b"al\"ice\n");
    let traffic = Traffic { from_client: 12, to_client: 345 };
    let who = "\"client\":\"192.0.2.7\",\"client_port\":36026,\"starttls\":true,\"server\":\"0.0.0.0:143\",\
               \"login\":\"al\\\"ice\\u000a\",\"upstream\":\"10.0.0.5:143\"";
    let head = |level: &str| {
        format!(
            "{{\"time\":\"2026-11-22T07:35:07.042Z\",\"level\":\"{level}\",\"connection\":7,\
             \"session\":\"0000000000000012-7\","
        )
    };
    for (event, stage, level, message, fields) in [
        (Event::LoggedIn, None, "info", "\"message\":\"client logged in\",", ""),
        (
            Event::Connected,
            None,
            "info",
            "\"message\":\"client 192.0.2.7:36026 connected to 0.0.0.0:143\",",
            "",
        ),
        (
            Event::LoginRefused(b"no \"you\"".to_vec()),
            Some(Stage::HttpAuth),
            "info",
            "\"message\":\"client login failed: \\\"no \\\\x22you\\\\x22\\\"\",\"action\":\"in http auth state\",",
            ",\"text\":\"no \\\"you\\\"\"",
        ),
        (
            Event::AuthFailed(AuthFailure::TimedOut),
            Some(Stage::HttpAuth),
            "error",
            "\"message\":\"auth http server 127.0.0.1:9000 timed out (110: Connection timed out)\",\
             \"action\":\"in http auth state\",",
            ",\"auth_server\":\"127.0.0.1:9000\",\"errno\":110",
        ),
        (
            Event::DoneWith(Summary { traffic, time: Duration::from_millis(61_005) }),
            None,
            "info",
            "\"message\":\"proxied session done\",",
            ",\"bytes_from_client\":12,\"bytes_to_client\":345,\"session_time\":61.005",
        ),
        (
            Event::TooLongCommand(b"AUTH".to_vec(), 600),
            Some(Stage::Auth),
            "info",
            "\"message\":\"client sent too long command \\\"AUTH\\\", 600 bytes\",\"action\":\"in auth state\",",
            ",\"text\":\"AUTH\",\"bytes\":600",
        ),
    ] {
        let line = rendered(&event, stage, &context);
        assert_eq!(line, format!("{}{message}{who}{fields}}}\n", head(level)));
    }
}

#[test]
fn what_is_about_no_session_has_neither_connection_nor_client() {
    let line = line(moment(), Level::Notice, None, &Entry::from("start worker processes"));
    let names: Vec<_> = members(&line).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["time", "level", "pid", "message"]);
}

#[test]
fn long_texts_are_cut_between_characters_and_escapes() {
    for (filler, expected) in [
        (&b"x"[..], 512),
        ("é".as_bytes(), 512),
        ("€".as_bytes(), 510),
        ("𝄞".as_bytes(), 512),
        // In the line 6, 2 and 5 bytes each.
        (b"\x01", 85),
        (b"\"", 256),
        (b"\x80", 102 * 4),
    ] {
        let event = Event::LoginRefused(filler.repeat(2000));
        let members = members(&rendered(&event, None, &context(b"joe")));
        let (_, text) = members.iter().find(|(name, _)| name == "text").expect("the text");
        let shown = if filler == b"\x80" { "\\x80" } else { str::from_utf8(filler).expect("a character") };
        assert_eq!((text.len(), text.replace(shown, "")), (expected, String::new()));
    }
}

/// Peers decide about logins, names of backends and what events quote, all at once: no field is lost by that.
#[test]
fn long_texts_leave_room_for_the_fields() {
    let said = [1; 1000];
    let context = LogContext { upstream: Some("\x01".repeat(1000).into()), ..context(&said) };
    for event in [Event::TooLongCommand(said.to_vec(), usize::MAX), Event::LoginRefused(said.to_vec())] {
        let members = members(&rendered(&event, Some(Stage::Auth), &context));
        let length = |name| members.iter().find(|(found, _)| found == name).map(|(_, text)| text.len());
        assert_eq!(["login", "upstream", "text"].map(length), [Some(85); 3]);
        let is_counted = matches!(event, Event::TooLongCommand(..));
        assert_eq!(
            members.last().map(|(name, _)| name.as_str()),
            Some(if is_counted { "bytes" } else { "text" })
        );
    }
}

#[test]
fn members_that_do_not_fit_are_left_out() {
    let texts = (0..40).map(|_| ("text", Value::Text(vec![b'x'; 400].into())));
    let numbers = (0..400).map(|_| ("number", Value::Number(u64::MAX)));
    let entry = Entry { fields: texts.chain(numbers).collect(), ..Entry::from("many") };
    let line = line(moment(), Level::Notice, None, &entry);
    assert!(line.len() <= LINE_LIMIT && line.len() > LINE_LIMIT - 40, "{}", line.len());
    let (name, number) = members(&line).pop().expect("a member");
    assert!(name == "text" && number.is_empty() || number == u64::MAX.to_string(), "{name}: {number}");
}

#[test]
fn moments_are_those_of_the_calendar() {
    for (seconds, expected) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000Z"),
        (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a peer says, texts of characters come back as they were.
    #[test]
    fn short_texts_come_back(said in "\\PC{1,20}|[\"\\\\\\x00-\\x9f]{1,20}") {
        for event in events(said.as_bytes()) {
            let members = members(&rendered(&event, Some(Stage::Auth), &context(said.as_bytes())));
            let login = members.iter().find(|(name, _)| name == "login").map(|(_, login)| login.as_str());
            prop_assert_eq!(login, Some(said.as_str()));
        }
    }

    /// Whatever and however much anybody says, an event is one line with one object that a pipe takes whole.
    #[test]
    fn any_event_is_one_object(
        said in anything(),
        login in anything(),
        upstream in ".{0,400}|[\\x00-\\x9f]{0,400}",
        listen in "[\\x00-\\x9f]{0,400}",
    ) {
        let context = LogContext { upstream: Some(upstream.into()), ..context(&login) };
        let place = Place { listen: &listen, auth_server: &listen };
        for event in events(&said) {
            let entry = lines::entry(&event, Situation { stage: Some(Stage::Auth), context: &context, place });
            let line = line(moment(), lines::level(&event), Some(ConnectionId { run: 1, number: u64::MAX }), &entry);
            prop_assert!(line.len() <= 4096, "{}", line.len());
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            members(&line);
        }
    }
}

/// Bytes of a peer: some, or many that are escaped.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let controls = prop::collection::vec(0..32_u8, 900..2000);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        controls,
        ".{0,700}".prop_map(String::into_bytes)
    ]
}

/// Events that quote `said`, and those with the most fields.
fn events(said: &[u8]) -> Vec<Event> {
    let (text, shown) = (said.to_vec(), String::from_utf8_lossy(said));
    let traffic = Traffic { from_client: u64::MAX, to_client: u64::MAX };
    vec![
        Event::Connected,
        Event::LoggedIn,
        Event::DoneWith(Summary { traffic, time: Duration::MAX }),
        Event::BrokenProxyHeader(text.clone()),
        Event::TlsFailed(Side::Client, shown.as_ref().into()),
        Event::CertificateRefused(shown.as_ref().into()),
        Event::LookupFailed(LookupFailure::InvalidName(text.clone())),
        Event::RejectedBeforeGreeting(text.clone()),
        Event::Rejected(text.clone()),
        Event::TooLongCommand(text.clone(), usize::MAX),
        Event::LoginRefused(text.clone()),
        Event::BackendReplyTooLong(text.clone()),
        Event::BackendRefused { text, passed: false },
        Event::ConnectFailed(ConnectFailure::Immediate(Errno(i32::MIN))),
        Event::AuthFailed(AuthFailure::HandshakeBroken(Errno(i32::MIN))),
    ]
}
