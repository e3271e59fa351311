//! `listen` (spec/config.md section 10.1).

use std::ops::RangeInclusive;
use std::time::Duration;

use gatepost_protocol::config::Protocol;

use super::server::ServerBlock;
use super::{MailBlock, deprecated};
use crate::config::address::{Address, AddressError, Form};
use crate::config::directive::{Directive, MAIL_SERVER, MANY, SERVER, Words, once};
use crate::config::error::{Error, Fault, Place};
use crate::config::reader::Reader;
use crate::config::{hint, value};
use crate::listener::{Keepalive, Options};
use crate::log::lines::peer_text;
use crate::runtime::Peer;

/// `backlog` where it is not given.
const BACKLOG: i32 = 511;

/// The words that may follow the address.
const PARAMETERS: [&str; 9] = [
    "ssl",
    "proxy_protocol",
    "bind",
    "multipath",
    "backlog=",
    "rcvbuf=",
    "sndbuf=",
    "ipv6only=",
    "so_keepalive=",
];

/// One `listen`.
#[derive(Debug)]
pub(in crate::config) struct ListenBlock {
    pub(in crate::config) addresses: Vec<Peer>,
    /// The address as written, while it has no port.
    portless: Option<String>,
    pub(in crate::config) ssl: bool,
    pub(in crate::config) proxy_protocol: bool,
    pub(in crate::config) options: Options,
    pub(in crate::config) place: Place,
}

pub(super) const TABLE: &[Directive] = &[
    Directive::new("listen", SERVER, MANY, listen),
    Directive::one("ssl", MAIL_SERVER, |reader, words| {
        deprecated(reader, "ssl", "listen ... ssl");
        let place = reader.place();
        once(&mut reader.layer().ssl, words.flag().map(|is_on| (is_on, place)))
    }),
];

fn listen(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let text = words.first();
    let failed =
        |error: AddressError| Fault::Message(format!("{error} in \"{text}\" of the \"listen\" directive"));
    let address = Address::parse(text, Form::Listen).map_err(failed)?;
    let ports = match &address {
        Address::Unix { .. } => None,
        Address::Inet { ports, .. } => Some(ports.clone()),
    };
    let mut block = ListenBlock {
        addresses: address.resolve(0, reader.environment).map_err(failed)?,
        portless: (ports == Some(None)).then(|| text.to_owned()),
        ssl: false,
        proxy_protocol: false,
        options: Options { backlog: BACKLOG, ipv6_only: true, ..Options::default() },
        place: reader.place(),
    };
    for word in &words.arguments[1..] {
        parameter(word, &mut block).map_err(|message| {
            match hint::closest_of(word, PARAMETERS.into_iter()) {
                Some(hint) => Fault::Hinted(message, hint),
                None => Fault::Message(message),
            }
        })?;
    }
    let mail = reader.mail.get_or_insert_default();
    if block.portless.is_none() {
        claim(mail, &block)?;
    }
    if let Some(server) = &mut mail.current {
        server.protocol = server.protocol.or_else(|| protocol_of(ports.flatten()?));
        server.listens.push(block);
    }
    Ok(())
}

/// The end of a `server`: addresses without a port get the one of the protocol.
pub(super) fn finish(reader: &mut Reader<'_>, server: &mut ServerBlock) -> Result<(), Error> {
    let (protocol, mut done) = (server.protocol, Vec::new());
    for mut block in std::mem::take(&mut server.listens) {
        if let Some(text) = block.portless.take() {
            let Some(protocol) = protocol else {
                let message = format!("no port in \"{text}\" of the \"listen\" directive");
                return Err(Error::new(message, block.place).for_lack_of(&["protocol", "listen"]));
            };
            let port = port_of(protocol);
            for address in &mut block.addresses {
                if let Peer::Inet(address) = address {
                    address.set_port(port);
                }
            }
            let message = format!("no port in \"{text}\" of the \"listen\" directive, using {port}");
            reader.report.add(gatepost_protocol::event::Level::Warn, message + &block.place.to_string());
            claim(reader.mail.get_or_insert_default(), &block)?;
        }
        done.push(block);
    }
    server.listens = done;
    Ok(())
}

/// Refuses an address that is listened on already.
fn claim(mail: &mut MailBlock, block: &ListenBlock) -> Result<(), Error> {
    match block.addresses.iter().find(|address| !mail.claimed.insert((*address).clone())) {
        Some(address) => {
            let message = format!("duplicate \"{}\" address and port pair", peer_text(address));
            Err(Error::new(message, block.place.clone()))
        }
        None => Ok(()),
    }
}

fn parameter(word: &str, block: &mut ListenBlock) -> Result<(), String> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let options = &mut block.options;
    match (name, word.contains('=')) {
        ("ssl", false) => block.ssl = true,
        ("proxy_protocol", false) => block.proxy_protocol = true,
        // Wildcards are shared in any case, see `bind`.
        ("bind", false) => {}
        ("multipath", false) => options.multipath = true,
        ("backlog", true) => {
            let backlog = value::number(value).and_then(|backlog| i32::try_from(backlog).ok());
            options.backlog = backlog
                .filter(|&backlog| backlog > 0)
                .ok_or_else(|| format!("invalid backlog \"{word}\""))?;
        }
        ("rcvbuf" | "sndbuf", true) => {
            let size = value::size(value).and_then(|size| usize::try_from(size).ok());
            let size = size.ok_or_else(|| format!("invalid {name} \"{word}\""))?;
            let slot = if name == "rcvbuf" { &mut options.receive_buffer } else { &mut options.send_buffer };
            *slot = Some(size);
        }
        ("ipv6only", true) if value.starts_with('o') => {
            options.ipv6_only = match value {
                "on" => true,
                "off" => false,
                _ => return Err(format!("invalid ipv6only flags \"{value}\"")),
            };
        }
        ("so_keepalive", true) => {
            let keepalive = keepalive(value);
            options.keepalive =
                Some(keepalive.ok_or_else(|| format!("invalid so_keepalive value: \"{value}\""))?);
        }
        _ => return Err(format!("invalid parameter \"{word}\"")),
    }
    Ok(())
}

/// `on`, `off` or `[IDLE]:[INTERVAL]:[COUNT]`. Zeros, and what is left away, leave the system's values; one of the three
/// must be there.
fn keepalive(value: &str) -> Option<Keepalive> {
    match value {
        "on" => return Some(Keepalive::On { idle: None, interval: None, probes: None }),
        "off" => return Some(Keepalive::Off),
        _ => {}
    }
    let mut parts = value.splitn(3, ':');
    let mut part = || parts.next().filter(|part| !part.is_empty()).unwrap_or("0");
    let idle = value::time_s(part())?;
    let interval = value::time_s(part())?;
    let probes = value::number(part()).and_then(|probes| u32::try_from(probes).ok())?;
    if idle.is_zero() && interval.is_zero() && probes == 0 {
        return None;
    }
    let time = |time: Duration| (!time.is_zero()).then_some(time);
    Some(Keepalive::On { idle: time(idle), interval: time(interval), probes: (probes > 0).then_some(probes) })
}

/// The protocol that a well-known port stands for. A range counts by its first port.
fn protocol_of(ports: RangeInclusive<u16>) -> Option<Protocol> {
    match ports.start() {
        110 | 995 => Some(Protocol::Pop3),
        143 | 993 => Some(Protocol::Imap),
        25 | 465 | 587 => Some(Protocol::Smtp),
        _ => None,
    }
}

fn port_of(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Pop3 => 110,
        Protocol::Imap => 143,
        Protocol::Smtp => 25,
    }
}
