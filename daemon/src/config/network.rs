//! Networks of clients: `set_real_ip_from` and `debug_connection`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gatepost_protocol::config::Network;

use super::address::ipv4;
use super::directive::Words;
use super::error::Fault;
use super::reader::Reader;
use super::value;

/// Reads the first argument: `unix:`, an address, a CIDR block, or a name, which may have several addresses.
pub(super) fn read(reader: &mut Reader<'_>, words: &Words) -> Result<Vec<Network>, Fault> {
    let word = words.first();
    if word == "unix:" {
        return Ok(vec![Network::Unix]);
    }
    if let Some((network, is_exact)) = network(word) {
        if !is_exact {
            reader.warn(format!("low address bits of {word} are meaningless"));
        }
        return Ok(vec![network]);
    }
    // A name and nothing else: neither ports nor brackets.
    let is_name = !word.is_empty() && !word.contains([':', '[', '/']);
    let addresses = if is_name { reader.environment.addresses(word) } else { Vec::new() };
    if addresses.is_empty() {
        return Err(Fault::Message(format!("host not found in {} \"{word}\"", words.name)));
    }
    Ok(addresses.into_iter().map(host).collect())
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
