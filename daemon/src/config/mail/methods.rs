//! The directives of IMAP, POP3 and SMTP (spec/config.md section 11).

use gatepost_protocol::sasl::{Mechanism, Mechanisms};

use super::server::deprecated;
use crate::config::directive::{Directive, MAIL_SERVER, MANY, Words, choose, once};
use crate::config::error::Fault;
use crate::config::layer::Layer;
use crate::config::reader::Reader;

/// Bytes that a command or a reply must be allowed to have (RFC 5321 section 4.5.3.1.4).
const SMALLEST_BUFFER: u64 = 512;

/// A word of `imap_auth`, `pop3_auth` or `smtp_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Method {
    Sasl(Mechanism),
    Apop,
    None,
}

const PLAIN: (&str, Method) = ("plain", Method::Sasl(Mechanism::Plain));
const LOGIN: (&str, Method) = ("login", Method::Sasl(Mechanism::Login));
const APOP: (&str, Method) = ("apop", Method::Apop);
const CRAM_MD5: (&str, Method) = ("cram-md5", Method::Sasl(Mechanism::CramMd5));
const EXTERNAL: (&str, Method) = ("external", Method::Sasl(Mechanism::External));
const NONE: (&str, Method) = ("none", Method::None);

pub(super) const TABLE: &[Directive] = &[
    Directive::new("auth", MAIL_SERVER, MANY, |reader, words| {
        deprecated(reader, "auth", "pop3_auth");
        pop3_auth(reader, words)
    }),
    Directive::new("imap_auth", MAIL_SERVER, MANY, |reader, words| {
        add_choices(reader, words, &[PLAIN, LOGIN, CRAM_MD5, EXTERNAL], |layer| &mut layer.imap_auth)
    }),
    Directive::new("imap_capabilities", MAIL_SERVER, MANY, |reader, words| {
        capabilities(reader, words, |layer| &mut layer.imap_capabilities)
    }),
    Directive::one("imap_client_buffer", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().imap_client_buffer, buffer(words))
    }),
    Directive::new("pop3_auth", MAIL_SERVER, MANY, pop3_auth),
    Directive::new("pop3_capabilities", MAIL_SERVER, MANY, |reader, words| {
        capabilities(reader, words, |layer| &mut layer.pop3_capabilities)
    }),
    Directive::one("pop3_client_buffer", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().pop3_client_buffer, buffer(words))
    }),
    Directive::new("smtp_auth", MAIL_SERVER, MANY, |reader, words| {
        add_choices(reader, words, &[PLAIN, LOGIN, CRAM_MD5, EXTERNAL, NONE], |layer| &mut layer.smtp_auth)
    }),
    Directive::new("smtp_capabilities", MAIL_SERVER, MANY, |reader, words| {
        capabilities(reader, words, |layer| &mut layer.smtp_capabilities)
    }),
    Directive::one("smtp_client_buffer", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().smtp_client_buffer, buffer(words))
    }),
    Directive::one("smtp_greeting_delay", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().smtp_greeting_delay, words.time_ms())
    }),
];

/// The SASL mechanisms among these.
pub(in crate::config) fn mechanisms(methods: &[Method]) -> Mechanisms {
    let sasl = methods.iter().filter_map(|method| match method {
        Method::Sasl(mechanism) => Some(*mechanism),
        Method::Apop | Method::None => None,
    });
    sasl.collect()
}

/// A buffer's size, large enough to work with.
pub(super) fn buffer(words: &Words) -> Result<usize, Fault> {
    let size = words.size()?;
    if size < SMALLEST_BUFFER {
        let name = &words.name;
        return Err(Fault::Message(format!("\"{name}\" must be at least {SMALLEST_BUFFER} bytes")));
    }
    usize::try_from(size).map_err(|_| Fault::INVALID_VALUE)
}

fn pop3_auth(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    add_choices(reader, words, &[PLAIN, APOP, CRAM_MD5, EXTERNAL], |layer| &mut layer.pop3_auth)
}

/// Adds words to a set; one that is there already gets a `[warn]`.
pub(super) fn add_choices<T: Copy + PartialEq>(
    reader: &mut Reader<'_>,
    words: &Words,
    choices: &[(&str, T)],
    list: fn(&mut Layer) -> &mut Vec<T>,
) -> Result<(), Fault> {
    for word in &words.arguments {
        let value = choose(word, choices)?;
        let list = list(reader.layer());
        if list.contains(&value) {
            reader.warn(format!("duplicate value \"{word}\""));
        } else {
            list.push(value);
        }
    }
    Ok(())
}

/// Capabilities go into replies as they are, so they must not end a line.
fn capabilities(
    reader: &mut Reader<'_>,
    words: &Words,
    list: fn(&mut Layer) -> &mut Vec<String>,
) -> Result<(), Fault> {
    if let Some(word) = words.arguments.iter().find(|word| word.chars().any(char::is_control)) {
        let shown = crate::log::escape(word.as_bytes());
        return Err(Fault::Message(format!(
            "invalid capability \"{shown}\" in \"{}\" directive",
            words.name
        )));
    }
    list(reader.layer()).extend(words.arguments.iter().cloned());
    Ok(())
}
