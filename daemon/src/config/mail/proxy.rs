//! Towards the backend, and who the client is (spec/config.md sections 13 and 14).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gatepost_protocol::config::{Network, ProxyProtocol};

use super::methods::buffer;
use super::server::warn_of_milliseconds;
use crate::config::address::{Address, Form, ipv4};
use crate::config::directive::{Directive, MAIL_SERVER, Words, once};
use crate::config::error::Fault;
use crate::config::reader::Reader;
use crate::config::value;
use crate::runtime::Peer;

pub(super) const TABLE: &[Directive] = &[
    // Has no effect, and stands in many configurations.
    Directive::one("proxy", MAIL_SERVER, |reader, words| once(&mut reader.layer().proxy, words.flag())),
    Directive::one("proxy_buffer", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_buffer, buffer(words))
    }),
    Directive::one("proxy_pass_error_message", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_pass_error_message, words.flag())
    }),
    Directive::one("proxy_protocol", MAIL_SERVER, |reader, words| {
        let kinds = [("off", ProxyProtocol::Off), ("on", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
        once(&mut reader.layer().proxy_protocol, words.choice(&kinds))
    }),
    Directive::one("proxy_smtp_auth", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_smtp_auth, words.flag())
    }),
    Directive::one("proxy_timeout", MAIL_SERVER, |reader, words| {
        warn_of_milliseconds(reader, words);
        once(&mut reader.layer().proxy_timeout, words.time_ms())
    }),
    Directive::one("set_real_ip_from", MAIL_SERVER, set_real_ip_from),
    Directive::one("xclient", MAIL_SERVER, |reader, words| once(&mut reader.layer().xclient, words.flag())),
];

fn set_real_ip_from(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let word = words.first();
    if word == "unix:" {
        reader.layer().set_real_ip_from.push(Network::Unix);
        return Ok(());
    }
    if let Some((network, is_exact)) = network(word) {
        if !is_exact {
            reader.warn(format!("low address bits of {word} are meaningless"));
        }
        reader.layer().set_real_ip_from.push(network);
        return Ok(());
    }
    let found = Address::parse(word, Form::Server).and_then(|address| address.resolve(0, reader.environment));
    let not_found = |_| Fault::Message(format!("host not found in set_real_ip_from \"{word}\""));
    for peer in found.map_err(not_found)? {
        if let Peer::Inet(address) = peer {
            reader.layer().set_real_ip_from.push(host(address.ip()));
        }
    }
    Ok(())
}

fn host(address: IpAddr) -> Network {
    Network::Inet { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}

/// An address or CIDR block, and whether its host bits were clear.
fn network(text: &str) -> Option<(Network, bool)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(value::number(prefix)?)),
        None => (text, None),
    };
    let address = match ipv4(address) {
        Some(address) => IpAddr::V4(address),
        None => IpAddr::V6(address.parse().ok()?),
    };
    let Some(prefix) = prefix else { return Some((host(address), true)) };
    let prefix = u8::try_from(prefix).ok()?;
    let cleared = match address {
        IpAddr::V4(address) => {
            let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            (prefix <= 32).then(|| IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !host_bits)))
        }
        IpAddr::V6(address) => {
            let host_bits = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            (prefix <= 128).then(|| IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host_bits)))
        }
    }?;
    Some((Network::Inet { address: cleared, prefix }, cleared == address))
}
