//! Addresses in directives (spec/config.md section 5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use thiserror::Error;

use super::environment::Environment;
use crate::runtime::Peer;

/// Bytes a unix socket's path may have.
const PATH_LIMIT: usize = 107;

/// An address as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// `unix:PATH`
    Unix { path: &'a str, uri: &'a str },
    /// All others.
    Inet {
        host: Host<'a>,
        ports: Option<RangeInclusive<u16>>,
        /// With its `/` or `?`; may be empty.
        uri: &'a str,
    },
}

/// The host part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    /// A literal, or `*`, or no host at all.
    Ip(IpAddr),
    /// To be looked up.
    Name(&'a str),
}

/// Where an address stands decides about its forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Ports alone, ranges of ports and `*`.
    Listen,
    /// A URI behind it.
    Url,
    /// Neither.
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum AddressError {
    #[error("invalid port")]
    Port,
    #[error("invalid port range")]
    PortRange,
    #[error("no host")]
    NoHost,
    #[error("host not found")]
    NotFound,
    #[error("invalid host")]
    Host,
    #[error("invalid IPv6 address")]
    Ipv6,
    #[error("no path in the unix domain socket")]
    NoPath,
    #[error("too long path in the unix domain socket")]
    LongPath,
}

impl<'a> Address<'a> {
    pub(super) fn parse(text: &'a str, form: Form) -> Result<Self, AddressError> {
        match text.get(..5) {
            Some(scheme) if scheme.eq_ignore_ascii_case("unix:") => unix(&text[5..], form),
            _ if text.starts_with('[') => ipv6(text, form),
            _ => host(text, form),
        }
    }

    /// The addresses behind it: one for each port and each address of a name, doubles left out.
    pub(super) fn resolve(
        &self,
        default_port: u16,
        environment: &dyn Environment,
    ) -> Result<Vec<Peer>, AddressError> {
        let (host, ports) = match self {
            Self::Unix { path, .. } => return Ok(vec![Peer::Unix(PathBuf::from(path))]),
            Self::Inet { host, ports, .. } => (host, ports.clone().unwrap_or(default_port..=default_port)),
        };
        let addresses = match host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => environment.addresses(name),
        };
        if addresses.is_empty() {
            return Err(AddressError::NotFound);
        }
        let mut hosts = Vec::new();
        for address in addresses {
            if !hosts.contains(&address) {
                hosts.push(address);
            }
        }
        let with_ports = |host| ports.clone().map(move |port| Peer::Inet(SocketAddr::new(host, port)));
        Ok(hosts.into_iter().flat_map(with_ports).collect())
    }
}

fn unix(rest: &str, form: Form) -> Result<Address<'_>, AddressError> {
    let (path, uri) = match form {
        Form::Url => rest.split_once(':').unwrap_or((rest, "")),
        Form::Listen | Form::Server => (rest, ""),
    };
    match path.len() {
        0 => Err(AddressError::NoPath),
        1..=PATH_LIMIT => Ok(Address::Unix { path, uri }),
        _ => Err(AddressError::LongPath),
    }
}

fn ipv6(text: &str, form: Form) -> Result<Address<'_>, AddressError> {
    let (literal, rest) = text[1..].split_once(']').ok_or(AddressError::Host)?;
    let (rest, uri) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !uri.is_empty() && form != Form::Url {
        return Err(AddressError::Host);
    }
    let ports = match rest.strip_prefix(':') {
        Some(text) => Some(ports(text, form)?),
        None if rest.is_empty() => None,
        None => return Err(AddressError::Host),
    };
    if literal.is_empty() {
        return Err(AddressError::NoHost);
    }
    let address: Ipv6Addr = literal.parse().map_err(|_| AddressError::Ipv6)?;
    Ok(Address::Inet { host: Host::Ip(address.into()), ports, uri })
}

fn host(text: &str, form: Form) -> Result<Address<'_>, AddressError> {
    let (text, uri) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
    if !uri.is_empty() && form != Form::Url {
        return Err(AddressError::Host);
    }
    let any = Host::Ip(Ipv4Addr::UNSPECIFIED.into());
    let (host, ports) = match text.split_once(':') {
        Some((host, text)) => (host, Some(ports(text, form)?)),
        None if form == Form::Listen && is_port_text(text) => {
            return Ok(Address::Inet { host: any, ports: Some(ports(text, form)?), uri });
        }
        None => (text, None),
    };
    let host = match host {
        "" => return Err(AddressError::NoHost),
        "*" if form == Form::Listen => any,
        _ => ipv4(host).map_or(Host::Name(host), |address| Host::Ip(address.into())),
    };
    Ok(Address::Inet { host, ports, uri })
}

/// Whether a `listen` without a colon is ports and no host.
fn is_port_text(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').map_or_else(|| is_number(text), |(first, last)| is_number(first) && is_number(last))
}

fn ports(text: &str, form: Form) -> Result<RangeInclusive<u16>, AddressError> {
    let port = |text: &str| match super::value::number(text).map(u16::try_from) {
        Some(Ok(port)) if port > 0 => Ok(port),
        _ => Err(AddressError::Port),
    };
    match text.split_once('-') {
        Some((first, last)) if form == Form::Listen => {
            let (last, first) = (port(last)?, port(first)?);
            if first > last { Err(AddressError::PortRange) } else { Ok(first..=last) }
        }
        _ => port(text).map(|port| port..=port),
    }
}

/// Four parts of 0 to 255; an empty one is 0.
pub(super) fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = if part.is_empty() { 0 } else { part.parse().ok()? };
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Memory;

    /// The addresses, or the error.
    fn resolved(text: &str, form: Form) -> String {
        let environment = Memory::default().with_host("two", &["192.0.2.1", "2001:db8::1", "192.0.2.1"]);
        let address = match Address::parse(text, form) {
            Ok(address) => address,
            Err(error) => return error.to_string(),
        };
        match address.resolve(9, &environment) {
            Ok(peers) => peers.iter().map(crate::log::lines::peer_text).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        for (text, expected) in [
            ("143", "0.0.0.0:143"),
            ("*:143", "0.0.0.0:143"),
            ("*", "0.0.0.0:9"),
            ("143-145", "0.0.0.0:143 0.0.0.0:144 0.0.0.0:145"),
            ("127.0.0.1:25", "127.0.0.1:25"),
            ("127..0.1:25", "127.0.0.1:25"),
            ("127.0.0.1:25-26", "127.0.0.1:25 127.0.0.1:26"),
            ("127.0.0.1", "127.0.0.1:9"),
            ("[::]:143", "[::]:143"),
            ("[::1]:143-144", "[::1]:143 [::1]:144"),
            ("[2001:DB8::1]", "[2001:db8::1]:9"),
            ("two:1", "192.0.2.1:1 [2001:db8::1]:1"),
            ("unix:/run/s", "unix:/run/s"),
            ("UNIX:/run/s", "unix:/run/s"),
            ("unix:", "no path in the unix domain socket"),
            ("", "no host"),
            (":25", "no host"),
            ("[]:25", "no host"),
            ("0", "invalid port"),
            ("65536", "invalid port"),
            ("99999999999999999999", "invalid port"),
            ("a:b", "invalid port"),
            ("a:", "invalid port"),
            ("a:1-x", "invalid port"),
            ("2-1", "invalid port range"),
            ("*:2-1", "invalid port range"),
            ("my-host:1", "host not found"),
            ("my-host", "host not found"),
            ("1.2.3.256:1", "host not found"),
            ("a/b", "invalid host"),
            ("[::1", "invalid host"),
            ("[::1]x", "invalid host"),
            ("[::1]/x", "invalid host"),
            ("[::g]:1", "invalid IPv6 address"),
        ] {
            assert_eq!(resolved(text, Form::Listen), expected, "{text:?}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert_eq!(resolved(&long, Form::Listen), "too long path in the unix domain socket");
        assert!(Address::parse(&long[..112], Form::Listen).is_ok());
    }

    #[test]
    fn urls() {
        let uri = |text| match Address::parse(text, Form::Url).expect("an address") {
            Address::Unix { uri, .. } | Address::Inet { uri, .. } => uri,
        };
        assert_eq!(uri("h:1/a:b?c"), "/a:b?c");
        assert_eq!(uri("h?x:1"), "?x:1");
        assert_eq!(uri("h"), "");
        assert_eq!(uri("[::1]:1/x"), "/x");
        assert_eq!(uri("unix:/run/s:/auth"), "/auth");
        assert_eq!(resolved("unix:/run/s:/auth", Form::Url), "unix:/run/s");
        assert_eq!(resolved("https://h/", Form::Url), "invalid port");
        assert_eq!(resolved("127.0.0.1:1-2", Form::Url), "invalid port");
        assert_eq!(resolved("/x", Form::Url), "no host");
        assert_eq!(resolved("*:1", Form::Url), "host not found");
        assert_eq!(resolved("h/x", Form::Server), "invalid host");
    }
}
