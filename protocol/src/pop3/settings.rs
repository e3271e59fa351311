//! The POP3 settings of a server.

use bytes::Bytes;

use crate::config::StartTls;
use crate::sasl::{Mechanism, Mechanisms};

/// The POP3 settings of one server, with the replies built from them.
#[derive(Clone, Debug)]
pub struct Settings {
    mechanisms: Mechanisms,
    apop: bool,
    /// CAPA before STLS, where STLS is offered; else the same as `capa`.
    capa_in_clear: Bytes,
    /// CAPA under TLS, and after USER.
    capa: Bytes,
    /// AUTH without a mechanism.
    auth_list: Bytes,
}

impl Settings {
    /// `pop3_capabilities` where it is not configured.
    pub const DEFAULT_CAPABILITIES: [&str; 3] = ["TOP", "USER", "UIDL"];

    /// Builds the replies. `capabilities` are lines for CAPA in their order (`pop3_capabilities`), each without control
    /// bytes; `mechanisms` and `apop` come from `pop3_auth`, where `plain` stands for PLAIN and LOGIN both.
    pub fn new(
        starttls: StartTls,
        capabilities: &[impl AsRef<str>],
        mut mechanisms: Mechanisms,
        apop: bool,
    ) -> Self {
        if mechanisms.contains(Mechanism::Plain) {
            mechanisms.insert(Mechanism::Login);
        }
        let capabilities: Vec<&str> = capabilities.iter().map(AsRef::as_ref).collect();
        Self {
            mechanisms,
            apop,
            capa_in_clear: capa(&capabilities, mechanisms, starttls),
            capa: capa(&capabilities, mechanisms, StartTls::Off),
            auth_list: auth_list(mechanisms),
        }
    }

    /// The offered SASL mechanisms.
    pub(super) fn mechanisms(&self) -> Mechanisms {
        self.mechanisms
    }

    /// Whether APOP is enabled.
    pub(super) fn is_apop_enabled(&self) -> bool {
        self.apop
    }

    /// Whether the greeting shows a challenge. As in nginx, CRAM-MD5 is reason enough.
    pub(super) fn is_challenge_greeted(&self) -> bool {
        self.apop || self.mechanisms.contains(Mechanism::CramMd5)
    }

    /// The reply to CAPA; STLS is in it only where the client could use it.
    pub(super) fn capa(&self, can_start_tls: bool) -> &Bytes {
        if can_start_tls { &self.capa_in_clear } else { &self.capa }
    }

    /// The reply to AUTH without a mechanism.
    pub(super) fn auth_list(&self) -> &Bytes {
        &self.auth_list
    }
}

/// CAPA (RFC 2449) before TLS with this `starttls`; `only` hides what needs TLS first. SASL without a mechanism would
/// be malformed (RFC 5034 section 3), so the line is left out then.
fn capa(capabilities: &[&str], mechanisms: Mechanisms, starttls: StartTls) -> Bytes {
    let is_hidden =
        |capability: &&&str| starttls == StartTls::Only && capability.eq_ignore_ascii_case("USER");
    let mut lines = vec!["+OK Capability list follows".to_owned()];
    lines
        .extend(capabilities.iter().filter(|capability| !is_hidden(capability)).map(|&line| line.to_owned()));
    if !mechanisms.is_empty() && starttls != StartTls::Only {
        let names: Vec<&str> = mechanisms.iter().map(Mechanism::name).collect();
        lines.push(format!("SASL {}", names.join(" ")));
    }
    if starttls != StartTls::Off {
        lines.push("STLS".to_owned());
    }
    multi_line(lines)
}

fn auth_list(mechanisms: Mechanisms) -> Bytes {
    let mut lines = vec!["+OK methods supported:".to_owned()];
    lines.extend(mechanisms.iter().map(|mechanism| mechanism.name().to_owned()));
    multi_line(lines)
}

/// A multi-line reply (RFC 1939 section 3) with its final dot.
fn multi_line(mut lines: Vec<String>) -> Bytes {
    lines.push(".\r\n".to_owned());
    lines.join("\r\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(starttls: StartTls, mechanisms: &[Mechanism], in_clear: &str, secured: &str) {
        let mechanisms = mechanisms.iter().copied().collect();
        let settings = Settings::new(starttls, &Settings::DEFAULT_CAPABILITIES, mechanisms, false);
        let lines = |reply: &Bytes| String::from_utf8_lossy(reply).replace("\r\n", "|");
        assert_eq!(lines(settings.capa(true)), format!("+OK Capability list follows|{in_clear}.|"));
        assert_eq!(lines(settings.capa(false)), format!("+OK Capability list follows|{secured}.|"));
    }

    #[test]
    fn capa_by_situation() {
        use Mechanism::{CramMd5, External, Plain};
        let full = "TOP|USER|UIDL|SASL PLAIN LOGIN|";
        check(StartTls::Off, &[Plain], full, full);
        check(StartTls::On, &[Plain], "TOP|USER|UIDL|SASL PLAIN LOGIN|STLS|", full);
        check(StartTls::Only, &[Plain], "TOP|UIDL|STLS|", full);
        check(StartTls::Off, &[], "TOP|USER|UIDL|", "TOP|USER|UIDL|");
        let all = "TOP|USER|UIDL|SASL PLAIN LOGIN CRAM-MD5 EXTERNAL|";
        check(StartTls::Off, &[External, CramMd5, Plain], all, all);
    }

    #[test]
    fn capabilities_keep_their_order_and_spelling() {
        let words = ["uidl", "user", "EXPIRE 0"];
        let settings = Settings::new(StartTls::Only, &words, Mechanisms::default(), false);
        assert_eq!(
            &settings.capa(true)[..],
            b"+OK Capability list follows\r\nuidl\r\nEXPIRE 0\r\nSTLS\r\n.\r\n"
        );
        assert_eq!(
            &settings.capa(false)[..],
            b"+OK Capability list follows\r\nuidl\r\nuser\r\nEXPIRE 0\r\n.\r\n"
        );
    }

    #[test]
    fn auth_lists_the_mechanisms() {
        let list = |mechanisms: &[Mechanism]| {
            let mechanisms = mechanisms.iter().copied().collect();
            Settings::new(StartTls::Off, &["TOP"], mechanisms, true).auth_list().clone()
        };
        assert_eq!(list(&[Mechanism::Plain]), "+OK methods supported:\r\nPLAIN\r\nLOGIN\r\n.\r\n");
        assert_eq!(list(&[Mechanism::External]), "+OK methods supported:\r\nEXTERNAL\r\n.\r\n");
        assert_eq!(list(&[]), "+OK methods supported:\r\n.\r\n");
    }
}
