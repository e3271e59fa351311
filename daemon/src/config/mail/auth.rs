//! The `auth_http` directives (spec/config.md section 12).

use gatepost_auth_client::Settings;
use rustls::pki_types::ServerName;

use super::server::warn_of_milliseconds;
use crate::config::address::{Address, AddressError, Form};
use crate::config::directive::{Directive, MAIL_SERVER, MANY, Words, once};
use crate::config::error::{Fault, Place};
use crate::config::reader::Reader;
use crate::runtime::Peer;

/// `auth_http`, looked up.
#[derive(Clone, Debug)]
pub(in crate::config) struct AuthHttp {
    /// Without headers of its own yet.
    pub(in crate::config) settings: Settings,
    pub(in crate::config) scheme: Scheme,
    pub(in crate::config) found: Found,
}

/// One word of `auth_http_backup`, looked up. Without a scheme it is another address of the server of `auth_http`: how
/// to speak with that, and what its certificate is for, holds here, too.
#[derive(Clone, Debug)]
pub(in crate::config) struct Backup {
    pub(in crate::config) scheme: Option<Scheme>,
    pub(in crate::config) found: Found,
}

/// How an auth server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Scheme {
    Http,
    Https,
}

/// Where a host is.
#[derive(Clone, Debug)]
pub(in crate::config) struct Found {
    /// As written, brackets of an IPv6 address included; `localhost` for unix sockets.
    pub(in crate::config) host: String,
    /// Where it is written.
    pub(in crate::config) place: Place,
    /// With port zero where none is written.
    peers: Vec<Peer>,
}

impl Scheme {
    /// The scheme of a word, if it has one, and what is behind it.
    fn split(word: &str) -> (Option<Self>, &str) {
        if let Some(rest) = word.strip_prefix("https://") {
            (Some(Self::Https), rest)
        } else if let Some(rest) = word.strip_prefix("http://") {
            (Some(Self::Http), rest)
        } else {
            (None, word)
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Found {
    fn look_up(reader: &Reader<'_>, text: &str, address: &Address<'_>) -> Result<Self, AddressError> {
        let host = match address {
            Address::Unix { .. } => "localhost",
            Address::Inet { .. } => host_text(text),
        };
        let peers = address.resolve(0, reader.environment)?;
        Ok(Self { host: host.to_owned(), place: reader.place(), peers })
    }

    /// All addresses; the port is the scheme's where none is written.
    pub(in crate::config) fn peers(&self, scheme: Scheme) -> impl Iterator<Item = Peer> {
        self.peers.iter().cloned().map(move |mut peer| {
            if let Peer::Inet(address) = &mut peer
                && address.port() == 0
            {
                address.set_port(scheme.port());
            }
            peer
        })
    }

    /// The host, if it can be in a certificate.
    pub(in crate::config) fn name(&self) -> Option<ServerName<'static>> {
        let literal = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        ServerName::try_from(literal.unwrap_or(&self.host).to_owned()).ok()
    }
}

pub(super) const TABLE: &[Directive] = &[
    Directive::one("auth_http", MAIL_SERVER, auth_http),
    Directive::new("auth_http_backup", MAIL_SERVER, MANY, auth_http_backup),
    Directive::new("auth_http_header", MAIL_SERVER, 2..=2, auth_http_header),
    Directive::one("auth_http_keepalive", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().auth_http_keepalive, words.flag())
    }),
    Directive::one("auth_http_pass_client_cert", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().auth_http_pass_client_cert, words.flag())
    }),
    Directive::one("auth_http_timeout", MAIL_SERVER, |reader, words| {
        warn_of_milliseconds(reader, words);
        once(&mut reader.layer().auth_http_timeout, words.time_ms())
    }),
];

fn auth_http(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let (scheme, url) = Scheme::split(words.first());
    // nginx leaves out a scheme that it knows.
    let shown = if scheme == Some(Scheme::Https) { words.first() } else { url };
    let failed = |error: &dyn std::fmt::Display| Fault::Message(format!("{error} in auth_http \"{shown}\""));
    let address = Address::parse(url, Form::Url).map_err(|error| failed(&error))?;
    let found = Found::look_up(reader, url, &address).map_err(|error| failed(&error))?;
    let (Address::Unix { uri, .. } | Address::Inet { uri, .. }) = address;
    let settings = Settings::new(&found.host, uri).map_err(|error| failed(&error))?;
    // On one level the last one wins.
    reader.layer().auth_http = Some(AuthHttp { settings, scheme: scheme.unwrap_or(Scheme::Http), found });
    Ok(())
}

/// More addresses of the same auth server: its URI and its `Host` are theirs, too.
fn auth_http_backup(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    for word in &words.arguments {
        let (scheme, text) = Scheme::split(word);
        let failed = |error| Fault::Message(format!("{error} in auth_http_backup \"{word}\""));
        let address = Address::parse(text, Form::Server).map_err(failed)?;
        let found = Found::look_up(reader, text, &address).map_err(failed)?;
        reader.layer().auth_http_backup.push(Backup { scheme, found });
    }
    Ok(())
}

/// The host as written: brackets included, port left out.
fn host_text(url: &str) -> &str {
    let end = match url.find(']') {
        Some(bracket) if url.starts_with('[') => bracket + 1,
        _ => url.find([':', '/', '?']).unwrap_or(url.len()),
    };
    &url[..end]
}

fn auth_http_header(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    if let [name, value] = words.arguments.as_slice() {
        // Whether it makes a header line is what these settings know; which server it is for does not matter.
        let mut settings =
            Settings::new("localhost", "/").map_err(|error| Fault::Message(error.to_string()))?;
        settings.add_header(name, value).map_err(|error| Fault::Message(error.to_string()))?;
        reader.layer().auth_http_header.push((name.clone(), value.clone()));
    }
    Ok(())
}
