//! The IMAP settings of a server.

use bytes::Bytes;

use crate::config::StartTls;
use crate::sasl::Mechanisms;

/// The IMAP settings of one server, with the replies built from them.
#[derive(Clone, Debug)]
pub struct Settings {
    mechanisms: Mechanisms,
    /// The untagged CAPABILITY response before STARTTLS, where that is offered; else the same as `capability`.
    capability_in_clear: Bytes,
    /// The untagged CAPABILITY response under TLS.
    capability: Bytes,
}

impl Settings {
    /// `imap_capabilities` where it is not configured: nginx's list, and what gatepost understands besides.
    pub const DEFAULT_CAPABILITIES: [&str; 5] = ["IMAP4", "IMAP4rev1", "UIDPLUS", "SASL-IR", "LITERAL+"];

    /// Builds the replies. `capabilities` are atoms in the order they are shown (`imap_capabilities`); `mechanisms` come
    /// from `imap_auth`.
    pub fn new(starttls: StartTls, capabilities: &[impl AsRef<str>], mechanisms: Mechanisms) -> Self {
        let capabilities: Vec<&str> = capabilities.iter().map(AsRef::as_ref).collect();
        Self {
            mechanisms,
            capability_in_clear: capability(&capabilities, mechanisms, starttls),
            capability: capability(&capabilities, mechanisms, StartTls::Off),
        }
    }

    /// The offered SASL mechanisms.
    pub(super) fn mechanisms(&self) -> Mechanisms {
        self.mechanisms
    }

    /// The untagged CAPABILITY response with its CRLF.
    pub(super) fn capability(&self, is_secured: bool) -> &Bytes {
        if is_secured { &self.capability } else { &self.capability_in_clear }
    }
}

/// CAPABILITY (RFC 3501 section 7.2.1) before TLS with this `starttls`; `only` shows no mechanism that it would refuse.
fn capability(capabilities: &[&str], mechanisms: Mechanisms, starttls: StartTls) -> Bytes {
    let mut words = vec!["* CAPABILITY".to_owned()];
    words.extend(capabilities.iter().map(|&word| word.to_owned()));
    if starttls != StartTls::Only {
        words.extend(mechanisms.iter().map(|mechanism| format!("AUTH={}", mechanism.name())));
    }
    match starttls {
        StartTls::Off => {}
        StartTls::On => words.push("STARTTLS".to_owned()),
        StartTls::Only => words.extend(["STARTTLS".to_owned(), "LOGINDISABLED".to_owned()]),
    }
    (words.join(" ") + "\r\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::Mechanism::{self, CramMd5, External, Login, Plain};

    #[track_caller]
    fn check(starttls: StartTls, mechanisms: &[Mechanism], in_clear: &str, secured: &str) {
        let mechanisms = mechanisms.iter().copied().collect();
        let settings = Settings::new(starttls, &["IMAP4rev1", "X"], mechanisms);
        assert_eq!(settings.capability(false), &format!("* CAPABILITY IMAP4rev1 X{in_clear}\r\n"));
        assert_eq!(settings.capability(true), &format!("* CAPABILITY IMAP4rev1 X{secured}\r\n"));
    }

    #[test]
    fn capability_by_situation() {
        check(StartTls::Off, &[Plain], " AUTH=PLAIN", " AUTH=PLAIN");
        check(StartTls::On, &[Plain], " AUTH=PLAIN STARTTLS", " AUTH=PLAIN");
        check(StartTls::Only, &[Plain], " STARTTLS LOGINDISABLED", " AUTH=PLAIN");
        let all = " AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 AUTH=EXTERNAL";
        check(StartTls::Off, &[External, CramMd5, Login, Plain], all, all);
        check(StartTls::On, &[], " STARTTLS", "");
    }

    #[test]
    fn default_capabilities() {
        let settings =
            Settings::new(StartTls::Off, &Settings::DEFAULT_CAPABILITIES, [Plain].into_iter().collect());
        assert_eq!(
            settings.capability(false),
            "* CAPABILITY IMAP4 IMAP4rev1 UIDPLUS SASL-IR LITERAL+ AUTH=PLAIN\r\n"
        );
    }
}
