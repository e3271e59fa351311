//! The `auth_http` directives (spec/config.md section 12).

use gatepost_auth_client::Settings;

use super::server::warn_of_milliseconds;
use crate::config::address::{Address, Form};
use crate::config::directive::{Directive, MAIL_SERVER, MANY, Words, once};
use crate::config::error::Fault;
use crate::config::reader::Reader;
use crate::runtime::Peer;

const HTTP_PORT: u16 = 80;

/// `auth_http`, looked up.
#[derive(Clone, Debug)]
pub(in crate::config) struct AuthHttp {
    /// Without headers of its own yet.
    pub(in crate::config) settings: Settings,
    pub(in crate::config) addresses: Vec<Peer>,
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
    let word = words.first();
    let url = word.strip_prefix("http://").unwrap_or(word);
    let failed = |error: &dyn std::fmt::Display| Fault::Message(format!("{error} in auth_http \"{url}\""));
    let address = Address::parse(url, Form::Url).map_err(|error| failed(&error))?;
    let addresses = address.resolve(HTTP_PORT, reader.environment).map_err(|error| failed(&error))?;
    let (host, uri) = match address {
        Address::Unix { uri, .. } => ("localhost", uri),
        Address::Inet { uri, .. } => (host_text(url), uri),
    };
    let settings = Settings::new(host, uri).map_err(|error| failed(&error))?;
    // On one level the last one wins.
    reader.layer().auth_http = Some(AuthHttp { settings, addresses });
    Ok(())
}

/// More addresses of the same auth server: its URI and its `Host` are theirs, too.
fn auth_http_backup(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    for word in &words.arguments {
        let failed = |error| Fault::Message(format!("{error} in auth_http_backup \"{word}\""));
        let address = Address::parse(word, Form::Server).map_err(failed)?;
        let addresses = address.resolve(HTTP_PORT, reader.environment).map_err(failed)?;
        reader.layer().auth_http_backup.extend(addresses);
    }
    Ok(())
}

/// The host as written, for `Host`: brackets included, port left out.
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
