//! Objects as programs read them.

use std::net::SocketAddr;
use std::time::Duration;

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
fn long_texts_are_cut_between_characters() {
    for (filler, expected) in [("x", 1024), ("é", 1024), ("€", 1023), ("𝄞", 1024)] {
        let event = Event::LoginRefused(filler.repeat(2000).into_bytes());
        let members = members(&rendered(&event, None, &context(b"joe")));
        let (_, text) = members.iter().find(|(name, _)| name == "text").expect("the text");
        assert_eq!((text.len(), text.replace(filler, "")), (expected, String::new()));
    }
    assert_eq!((cut(&[0x80; 2000]).len(), cut(&[b'x'; 1024]).len()), (1024, 1024));
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

    /// Whatever a peer says, an event is one line with one object, and texts of characters come back as they were.
    #[test]
    fn any_event_is_one_object(bytes in prop::collection::vec(any::<u8>(), 1..60), text in "\\PC{0,20}|[\"\\\\\\x00-\\x9f]{1,20}") {
        for said in [bytes, text.into_bytes()] {
            let context = context(&said);
            for event in [
                Event::LoggedIn,
                Event::BrokenProxyHeader(said.clone()),
                Event::Rejected(said.clone()),
                Event::LoginRefused(said.clone()),
                Event::BackendRefused { text: said.clone(), passed: false },
            ] {
                let line = rendered(&event, Some(Stage::Auth), &context);
                prop_assert_eq!(line.matches('\n').count(), 1);
                let members = members(&line);
                let login = members.iter().find(|(name, _)| name == "login").map(|(_, login)| login.as_str());
                if let Ok(said) = std::str::from_utf8(&said) {
                    prop_assert_eq!(login.unwrap_or_default(), said);
                }
            }
        }
    }
}
