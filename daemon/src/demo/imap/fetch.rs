//! FETCH: which parts of a message are asked for, and what they are (RFC 3501 section 6.4.5).

use super::parse::Token;
use super::selected::flag_list;
use crate::demo::date;
use crate::demo::mailbox::Message;

/// One thing to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Flags,
    Uid,
    Size,
    InternalDate,
    Text(Section),
}

/// Bytes of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// What the response calls it.
    label: String,
    part: Part,
    /// Whether fetching it sets `\Seen`.
    pub(super) marks_seen: bool,
    /// The first byte wanted and how many.
    range: Option<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Header,
    Body,
    /// Header fields by their names in upper case: these, or all but these.
    Fields(Vec<String>, bool),
}

/// The items of a FETCH command's last arguments; `None` if there is one that we do not know.
pub(super) fn items(tokens: &[Token]) -> Option<Vec<Item>> {
    let tokens = match tokens {
        [Token::Open, inner @ .., Token::Close] => inner,
        single => single,
    };
    let mut items = Vec::new();
    for token in tokens {
        let Token::Atom(name) = token else { return None };
        match name.to_ascii_uppercase().as_str() {
            "FAST" => items.extend([Item::Flags, Item::InternalDate, Item::Size]),
            "FLAGS" => items.push(Item::Flags),
            "UID" => items.push(Item::Uid),
            "RFC822.SIZE" => items.push(Item::Size),
            "INTERNALDATE" => items.push(Item::InternalDate),
            "RFC822" => items.push(whole_message("RFC822", Part::Whole, true)),
            "RFC822.HEADER" => items.push(whole_message("RFC822.HEADER", Part::Header, false)),
            "RFC822.TEXT" => items.push(whole_message("RFC822.TEXT", Part::Body, true)),
            upper => items.push(Item::Text(section(upper)?)),
        }
    }
    if items.is_empty() { None } else { Some(items) }
}

fn whole_message(label: &str, part: Part, marks_seen: bool) -> Item {
    Item::Text(Section { label: label.into(), part, marks_seen, range: None })
}

/// `BODY[...]<o.n>` or `BODY.PEEK[...]<o.n>`.
fn section(name: &str) -> Option<Section> {
    let (rest, marks_seen) = match name.strip_prefix("BODY.PEEK[") {
        Some(rest) => (rest, false),
        None => (name.strip_prefix("BODY[")?, true),
    };
    let (spec, partial) = rest.split_once(']')?;
    let part = match spec {
        "" => Part::Whole,
        "HEADER" => Part::Header,
        // The only part of a message that is not divided is its text.
        "TEXT" | "1" => Part::Body,
        _ => fields(spec)?,
    };
    let (range, origin) = match partial {
        "" => (None, String::new()),
        _ => {
            let (first, count) = partial.strip_prefix('<')?.strip_suffix('>')?.split_once('.')?;
            (Some((first.parse().ok()?, count.parse().ok()?)), format!("<{first}>"))
        }
    };
    Some(Section { label: format!("BODY[{spec}]{origin}"), part, marks_seen, range })
}

/// `HEADER.FIELDS (A B)` or `HEADER.FIELDS.NOT (A B)`.
fn fields(spec: &str) -> Option<Part> {
    let rest = spec.strip_prefix("HEADER.FIELDS")?;
    let (rest, are_wanted) = match rest.strip_prefix(".NOT") {
        Some(rest) => (rest, false),
        None => (rest, true),
    };
    let names = rest.strip_prefix(" (")?.strip_suffix(')')?;
    let names = names.split_ascii_whitespace().map(|name| name.trim_matches('"').to_owned()).collect();
    Some(Part::Fields(names, are_wanted))
}

/// The response's text between its parentheses.
pub(super) fn describe(message: &Message, items: &[Item]) -> Vec<u8> {
    let mut text = Vec::new();
    for item in items {
        if !text.is_empty() {
            text.push(b' ');
        }
        match item {
            Item::Flags => text.extend_from_slice(format!("FLAGS {}", flag_list(message.flags)).as_bytes()),
            Item::Uid => text.extend_from_slice(format!("UID {}", message.uid).as_bytes()),
            Item::Size => text.extend_from_slice(format!("RFC822.SIZE {}", message.content.len()).as_bytes()),
            Item::InternalDate => {
                text.extend_from_slice(
                    format!("INTERNALDATE \"{}\"", date::internal(message.received)).as_bytes(),
                );
            }
            Item::Text(section) => {
                let bytes = section.of(&message.content);
                text.extend_from_slice(format!("{} {{{}}}\r\n", section.label, bytes.len()).as_bytes());
                text.extend_from_slice(&bytes);
            }
        }
    }
    text
}

impl Section {
    fn of(&self, content: &[u8]) -> Vec<u8> {
        let header_length =
            content.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(content.len(), |at| at + 4);
        let (header, body) = content.split_at(header_length);
        let mut bytes = match &self.part {
            Part::Whole => content.to_vec(),
            Part::Header => header.to_vec(),
            Part::Body => body.to_vec(),
            Part::Fields(names, are_wanted) => some_fields(header, names, *are_wanted),
        };
        if let Some((first, count)) = self.range {
            bytes.drain(..first.min(bytes.len()));
            bytes.truncate(count);
        }
        bytes
    }
}

/// The fields with these names, or the others, each with its folded lines; then the blank line.
fn some_fields(header: &[u8], names: &[String], are_wanted: bool) -> Vec<u8> {
    let mut chosen = Vec::new();
    let mut is_chosen = false;
    for line in header.split_inclusive(|&byte| byte == b'\n').filter(|line| *line != b"\r\n") {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            is_chosen = names.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)) == are_wanted;
        }
        if is_chosen {
            chosen.extend_from_slice(line);
        }
    }
    chosen.extend_from_slice(b"\r\n");
    chosen
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn fetched(what: &str) -> Option<String> {
        let message = Message {
            uid: 7,
            flags: 0,
            received: UNIX_EPOCH,
            content: b"From: a\r\nTo: b,\r\n c\r\nX: d\r\n\r\nbody\r\n"[..].into(),
        };
        let mut tokens = Vec::new();
        assert_eq!(super::super::parse::tokens(what.as_bytes(), &mut tokens), Ok(None));
        items(&tokens)
            .map(|items| String::from_utf8(describe(&message, &items)).expect("the message is ASCII"))
    }

    #[test]
    fn parts_of_a_message() {
        for (what, expected) in [
            ("UID", "UID 7"),
            ("(uid flags)", "UID 7 FLAGS ()"),
            ("FAST", "FLAGS () INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" RFC822.SIZE 35"),
            ("BODY[]", "BODY[] {35}\r\nFrom: a\r\nTo: b,\r\n c\r\nX: d\r\n\r\nbody\r\n"),
            ("BODY.PEEK[TEXT]", "BODY[TEXT] {6}\r\nbody\r\n"),
            ("BODY[]<6.3>", "BODY[]<6> {3}\r\na\r\n"),
            ("BODY[]<99.3>", "BODY[]<99> {0}\r\n"),
            ("RFC822.HEADER", "RFC822.HEADER {29}\r\nFrom: a\r\nTo: b,\r\n c\r\nX: d\r\n\r\n"),
            ("BODY[HEADER.FIELDS (to)]", "BODY[HEADER.FIELDS (TO)] {14}\r\nTo: b,\r\n c\r\n\r\n"),
            ("BODY[HEADER.FIELDS.NOT (TO X)]", "BODY[HEADER.FIELDS.NOT (TO X)] {11}\r\nFrom: a\r\n\r\n"),
        ] {
            assert_eq!(fetched(what).as_deref(), Some(expected), "{what:?}");
        }
        for unknown in ["", "()", "ENVELOPE", "BODY[2]", "BODY[", "BODY[]<1>", "\"UID\"", "(UID (FLAGS))"] {
            assert_eq!(fetched(unknown), None, "{unknown:?}");
        }
    }
}
