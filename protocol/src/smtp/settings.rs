//! The SMTP settings of a server.

use std::time::Duration;

use bytes::Bytes;

use crate::config::StartTls;
use crate::sasl::{Mechanism, Mechanisms};

/// The SMTP settings of one server, with the replies built from them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `smtp_greeting_delay`: how long a client must keep silent before it is greeted; zero greets at once.
    pub greeting_delay: Duration,
    /// `xclient`.
    pub xclient: Xclient,
    /// `proxy_smtp_auth`: log in to backends with AUTH PLAIN.
    pub proxy_smtp_auth: bool,
    mechanisms: Mechanisms,
    none: bool,
    greeting: Bytes,
    helo: Bytes,
    /// EHLO before TLS, where STARTTLS is offered; else the same as `ehlo`.
    ehlo_in_clear: Bytes,
    /// EHLO under TLS.
    ehlo: Bytes,
}

/// `xclient`: whether backends are told about the client by Postfix's XCLIENT command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xclient {
    /// Never (`xclient off`).
    Off,
    /// Where a backend offers it; others get a warning in the log (the directive is absent).
    #[default]
    IfOffered,
    /// A backend that does not offer it is an error (`xclient on`).
    Required,
}

impl Settings {
    /// Builds the replies, for a server without greeting delay that uses XCLIENT where it is offered and does not
    /// authenticate to backends.
    ///
    /// `capabilities` are lines for EHLO in their order (`smtp_capabilities`), each without control bytes. `mechanisms`
    /// and `none` come from `smtp_auth`, where `none` lets clients send mail without a login.
    pub fn new(
        server_name: &str,
        starttls: StartTls,
        capabilities: &[impl AsRef<str>],
        mechanisms: Mechanisms,
        none: bool,
    ) -> Self {
        let capabilities: Vec<&str> = capabilities.iter().map(AsRef::as_ref).collect();
        Self {
            greeting_delay: Duration::ZERO,
            xclient: Xclient::default(),
            proxy_smtp_auth: false,
            mechanisms,
            none,
            greeting: format!("220 {server_name} ESMTP ready\r\n").into(),
            helo: format!("250 {server_name}\r\n").into(),
            ehlo_in_clear: ehlo(server_name, &capabilities, mechanisms, starttls),
            ehlo: ehlo(server_name, &capabilities, mechanisms, StartTls::Off),
        }
    }

    /// The offered SASL mechanisms.
    pub(super) fn mechanisms(&self) -> Mechanisms {
        self.mechanisms
    }

    /// Whether MAIL and RCPT work without a login.
    pub(super) fn is_none_enabled(&self) -> bool {
        self.none
    }

    /// The first line of a session.
    pub(super) fn greeting(&self) -> &Bytes {
        &self.greeting
    }

    /// The reply to HELO.
    pub(super) fn helo(&self) -> &Bytes {
        &self.helo
    }

    /// The reply to EHLO.
    pub(super) fn ehlo(&self, secured: bool) -> &Bytes {
        if secured { &self.ehlo } else { &self.ehlo_in_clear }
    }
}

/// EHLO (RFC 5321 section 4.1.1.1) before TLS with this `starttls`; `only` hides AUTH, which needs TLS first.
fn ehlo(server_name: &str, capabilities: &[&str], mechanisms: Mechanisms, starttls: StartTls) -> Bytes {
    let mut lines = vec![server_name.to_owned()];
    lines.extend(capabilities.iter().map(|&line| line.to_owned()));
    if !mechanisms.is_empty() && starttls != StartTls::Only {
        let names: Vec<&str> = mechanisms.iter().map(Mechanism::name).collect();
        lines.push(format!("AUTH {}", names.join(" ")));
    }
    if starttls != StartTls::Off {
        lines.push("STARTTLS".to_owned());
    }
    multi_line(&lines)
}

/// A multi-line reply with code 250 (RFC 5321 section 4.2.1).
fn multi_line(lines: &[String]) -> Bytes {
    let last = lines.len().saturating_sub(1);
    let number = |(index, line): (usize, &String)| {
        let separator = if index == last { ' ' } else { '-' };
        format!("250{separator}{line}\r\n")
    };
    lines.iter().enumerate().map(number).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        starttls: StartTls,
        mechanisms: &[Mechanism],
        capabilities: &[&str],
        clear: &str,
        secured: &str,
    ) {
        let mechanisms = mechanisms.iter().copied().collect();
        let settings = Settings::new("mx.example", starttls, capabilities, mechanisms, true);
        let lines = |reply: &Bytes| String::from_utf8_lossy(reply).replace("\r\n", "|");
        assert_eq!(lines(settings.ehlo(false)), clear);
        assert_eq!(lines(settings.ehlo(true)), secured);
    }

    #[test]
    fn ehlo_by_situation() {
        use Mechanism::{CramMd5, External, Login, Plain};
        let size = ["SIZE 10485760"];
        let full = "250-mx.example|250-SIZE 10485760|250 AUTH PLAIN LOGIN|";
        check(StartTls::Off, &[Plain, Login], &size, full, full);
        let starttls = "250-mx.example|250-SIZE 10485760|250-AUTH PLAIN LOGIN|250 STARTTLS|";
        check(StartTls::On, &[Plain, Login], &size, starttls, full);
        let only = "250-mx.example|250-SIZE 10485760|250 STARTTLS|";
        check(StartTls::Only, &[Plain, Login], &size, only, full);
        let all = "250-mx.example|250 AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL|";
        check(StartTls::Off, &[External, Login, CramMd5, Plain], &[], all, all);
    }

    #[test]
    fn without_mechanisms_there_is_no_auth_line() {
        check(StartTls::Off, &[], &[], "250 mx.example|", "250 mx.example|");
        check(StartTls::On, &[], &[], "250-mx.example|250 STARTTLS|", "250 mx.example|");
        let words = "250-mx.example|250-pipelining|250 8BITMIME|";
        check(StartTls::Off, &[], &["pipelining", "8BITMIME"], words, words);
    }
}
