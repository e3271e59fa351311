//! `mail`, `server` and the core directives (spec/config.md sections 9 and 10).

use std::num::NonZeroUsize;
use std::time::Duration;

use gatepost_protocol::config::Protocol;
use gatepost_protocol::dns;

use super::MailBlock;
use super::listen::{self, ListenBlock};
use crate::config::address::{Address, AddressError, Form};
use crate::config::directive::{Context, Directive, MAIL, MAIL_SERVER, MAIN, MANY, SERVER, Words, once};
use crate::config::error::{Error, Fault, Place};
use crate::config::errors::Damage;
use crate::config::layer::Layer;
use crate::config::reader::Reader;
use crate::config::written::WrittenServer;
use crate::config::{Resolver, merge, value};
use crate::runtime::Peer;

const DNS_PORT: u16 = 53;

/// A time without unit that was hardly meant in seconds.
const SUSPICIOUS: Duration = Duration::from_secs(1000);

/// What one `server {}` says.
pub(in crate::config) struct ServerBlock {
    pub(in crate::config) layer: Layer,
    pub(in crate::config) damage: Damage,
    pub(in crate::config) listens: Vec<ListenBlock>,
    /// `protocol`, or what the port of a `listen` says.
    pub(in crate::config) protocol: Option<Protocol>,
    /// The line of its `{`.
    pub(in crate::config) place: Place,
}

pub(super) const TABLE: &[Directive] = &[
    Directive::block("imap", MAIN, |reader, words| {
        deprecated(reader, "imap", "mail");
        mail(reader, words)
    }),
    Directive::block("mail", MAIN, mail),
    Directive::one("max_errors", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().max_errors, words.number())
    }),
    Directive::one("protocol", SERVER, protocol),
    Directive::new("resolver", MAIL_SERVER, MANY, resolver),
    Directive::one("resolver_timeout", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().resolver_timeout, words.time_ms())
    }),
    Directive::block("server", MAIL, server),
    Directive::new("server_name", MAIL_SERVER, MANY, server_name),
    Directive::one("so_keepalive", MAIL_SERVER, |reader, words| {
        deprecated(reader, "so_keepalive", "listen ... so_keepalive=");
        once(&mut reader.layer().so_keepalive, words.flag())
    }),
    Directive::one("timeout", MAIL_SERVER, |reader, words| {
        warn_of_milliseconds(reader, words);
        once(&mut reader.layer().timeout, words.time_ms())
    }),
];

fn mail(reader: &mut Reader<'_>, _words: &Words) -> Result<(), Fault> {
    if reader.mail.is_some() {
        return Err(Fault::DUPLICATE);
    }
    reader.mail = Some(MailBlock::default());
    reader.report.written.mail = Some(Vec::new());
    reader.read_block(Context::Mail)?;
    let mut mail = reader.mail.take().unwrap_or_default();
    mail.merged = merge::mail(reader, &mail);
    reader.mail = Some(mail);
    Ok(())
}

fn server(reader: &mut Reader<'_>, _words: &Words) -> Result<(), Fault> {
    let place = reader.place();
    let block = ServerBlock {
        layer: Layer::default(),
        damage: Damage::default(),
        listens: Vec::new(),
        protocol: None,
        place,
    };
    reader.mail.get_or_insert_default().current = Some(block);
    let written = WrittenServer { place: reader.place(), statements: Vec::new(), found: None };
    reader.report.written.servers.push(written);
    let outcome = reader.read_block(Context::Server);
    let Some(mut block) = reader.mail.get_or_insert_default().current.take() else { return outcome };
    outcome?;
    if block.listens.is_empty() {
        let error = Error::new("no \"listen\" is defined for server", block.place.clone());
        reader.fail_server(&block, error.for_lack_of(&["listen"]));
    }
    if let Err(error) = listen::finish(reader, &mut block) {
        reader.fail_server(&block, error);
    }
    reader.mail.get_or_insert_default().servers.push(block);
    Ok(())
}

fn protocol(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let known = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];
    let found = known.into_iter().find(|protocol| protocol.name() == words.first());
    let unknown = || {
        let hint = "it is imap, pop3 or smtp; \"ssl\" behind \"listen\" means TLS from the first byte";
        Fault::Hinted(format!("unknown protocol \"{}\"", words.first()), hint.into())
    };
    let protocol = found.ok_or_else(unknown)?;
    // The last one wins, also over what a port said.
    if let Some(server) = &mut reader.mail.get_or_insert_default().current {
        server.protocol = Some(protocol);
    }
    Ok(())
}

fn server_name(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let name = words.first();
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let shown = crate::log::escape(name.as_bytes());
        let message =
            format!("invalid server name \"{shown}\": only printable ASCII without blanks goes into replies");
        return Err(Fault::Message(message));
    }
    if words.arguments.len() > 1 {
        reader.warn(format!("only the first of several server names is used, \"{name}\""));
    }
    once(&mut reader.layer().server_name, words.string())
}

fn resolver(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    if reader.layer().resolver.is_some() {
        return Err(Fault::DUPLICATE);
    }
    let resolver = match words.first() {
        "off" => None,
        _ => Some(name_servers(reader, words).map_err(Fault::Message)?),
    };
    reader.layer().resolver = Some(resolver);
    Ok(())
}

fn name_servers(reader: &Reader<'_>, words: &Words) -> Result<Resolver, String> {
    let (mut addresses, mut valid, mut ipv4, mut ipv6) = (Vec::new(), None, true, true);
    for word in &words.arguments {
        let flag = |text: &str| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(format!("invalid parameter: {word}")),
        };
        if let Some(time) = word.strip_prefix("valid=") {
            valid = Some(value::time_s(time).ok_or_else(|| format!("invalid parameter: {word}"))?);
        } else if let Some(text) = word.strip_prefix("ipv4=") {
            ipv4 = flag(text)?;
        } else if let Some(text) = word.strip_prefix("ipv6=") {
            ipv6 = flag(text)?;
        } else {
            let found = Address::parse(word, Form::Server)
                .and_then(|address| address.resolve(DNS_PORT, reader.environment))
                .map_err(|error| format!("{error} in resolver \"{word}\""))?;
            addresses.extend(found.into_iter().map(|peer| (word, peer)));
        }
    }
    if !ipv4 && !ipv6 {
        return Err("\"ipv4\" and \"ipv6\" cannot both be \"off\"".into());
    }
    let socket = |(word, peer)| match peer {
        Peer::Inet(address) => Ok(address),
        Peer::Unix(_) => Err(format!("{} in resolver \"{word}\"", AddressError::Host)),
    };
    let servers = addresses.into_iter().map(socket).collect::<Result<Vec<_>, _>>()?;
    let count = NonZeroUsize::new(servers.len()).ok_or("no name servers defined")?;
    Ok(Resolver { servers, settings: dns::Settings { servers: count, ipv4, ipv6, valid } })
}

/// `[warn]` for a name of an older nginx.
pub(super) fn deprecated(reader: &mut Reader<'_>, old: &str, new: &str) {
    reader.warn(format!("the \"{old}\" directive is deprecated, use the \"{new}\" directive instead"));
}

/// Says what a large number without unit means: configurations of the time when it meant milliseconds are in use.
pub(super) fn warn_of_milliseconds(reader: &mut Reader<'_>, words: &Words) {
    if let Some(seconds) = value::number(words.first())
        && seconds >= SUSPICIOUS.as_secs()
        && words.time_ms().is_ok()
    {
        let name = &words.name;
        reader.warn(format!(
            "\"{name} {seconds}\" means {seconds} seconds; write \"{seconds}ms\" for milliseconds"
        ));
    }
}
