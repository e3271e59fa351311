//! What a server negotiates: versions of TLS, cipher suites, groups, tickets.

use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

use super::ciphers;

/// `ssl_protocols`, `ssl_ciphers` and other directives, and what `ssl_conf_command` makes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiation {
    pub(crate) tls12: bool,
    pub(crate) tls13: bool,
    /// Whether our order of cipher suites counts and not the client's.
    pub(crate) prefers_own_ciphers: bool,
    /// Suites of TLS 1.2, the preferred ones first.
    pub(super) tls12_suites: Vec<CipherSuite>,
    pub(super) tls13_suites: Vec<CipherSuite>,
    /// Groups for key exchange, the preferred ones first; `None` for the provider's.
    pub(super) groups: Option<Vec<NamedGroup>>,
    /// Whether sessions can be resumed by ticket.
    pub(crate) tickets: bool,
    /// Tickets that follow a full handshake of TLS 1.3.
    pub(super) tls13_tickets: usize,
}

impl Negotiation {
    /// What `ssl_protocols` and `ssl_ciphers` say, with everything else as it is without directives.
    ///
    /// # Errors
    /// nginx's message for ciphers that cannot be used. What is only of TLS 1.2 does not count without it.
    pub(crate) fn new(tls12: bool, tls13: bool, cipher_string: &str) -> Result<Self, String> {
        let mut new = Self {
            tls12,
            tls13,
            prefers_own_ciphers: false,
            tls12_suites: Vec::new(),
            tls13_suites: ciphers::all_tls13(),
            groups: None,
            tickets: true,
            tls13_tickets: 2,
        };
        match new.set_ciphers(cipher_string) {
            Err(reason) if tls12 || reason != ciphers::NO_MATCH => {
                Err(format!("SSL_CTX_set_cipher_list(\"{cipher_string}\") failed (SSL: {reason})"))
            }
            Ok(()) | Err(_) => Ok(new),
        }
    }

    /// `ssl_ecdh_curve`; returns the names of groups that had to be left out.
    ///
    /// # Errors
    /// nginx's message.
    pub(crate) fn set_curves(&mut self, list: &str) -> Result<Vec<String>, String> {
        if list == "auto" {
            return Ok(Vec::new());
        }
        self.set_groups(list).map_err(|reason| {
            let reason = reason.map(|reason| format!(" (SSL: {reason})")).unwrap_or_default();
            format!("SSL_CTX_set1_curves_list(\"{list}\") failed{reason}")
        })
    }

    /// The suites of a cipher string.
    pub(super) fn set_ciphers(&mut self, string: &str) -> Result<(), &'static str> {
        let selection = ciphers::select(string)?;
        self.tls12_suites = selection.suites;
        self.tls13_suites.retain(|suite| ciphers::bits(*suite) >= selection.least_bits);
        Ok(())
    }

    /// The suites of TLS 1.3; without any that version is not spoken.
    pub(super) fn set_tls13_ciphers(&mut self, list: &str) -> Result<(), &'static str> {
        self.tls13_suites = ciphers::select_tls13(list)?;
        Ok(())
    }

    /// The groups of a list; returns the names that had to be left out.
    pub(super) fn set_groups(&mut self, list: &str) -> Result<Vec<String>, Option<String>> {
        let offered: Vec<_> = all_groups().iter().map(|group| group.name()).collect();
        let found = super::groups::parse(list, &offered)?;
        self.groups = Some(found.groups);
        Ok(found.left_out)
    }

    /// The versions that are spoken.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::new();
        if self.speaks_tls12() {
            versions.push(&TLS12);
        }
        if self.speaks_tls13() {
            versions.push(&TLS13);
        }
        versions
    }

    fn speaks_tls12(&self) -> bool {
        self.tls12 && !self.tls12_suites.is_empty()
    }

    fn speaks_tls13(&self) -> bool {
        self.tls13 && !self.tls13_suites.is_empty()
    }

    /// Whether there is anything to speak.
    pub(crate) fn is_possible(&self) -> bool {
        self.speaks_tls12() || self.speaks_tls13()
    }

    /// The provider with what is chosen, in its order.
    pub(super) fn restrict(&self, provider: &mut CryptoProvider) {
        let known = std::mem::take(&mut provider.cipher_suites);
        let chosen = self.tls13_suites.iter().chain(&self.tls12_suites);
        let chosen = chosen.filter_map(|name| known.iter().find(|suite| suite.suite() == *name).copied());
        provider.cipher_suites = chosen.collect();
        if let Some(groups) = &self.groups {
            let all = all_groups();
            let find = |name: &NamedGroup| all.iter().find(|group| group.name() == *name).copied();
            provider.kx_groups = groups.iter().filter_map(find).collect();
        }
    }
}

/// All groups that the cryptography has, those that it does not offer by itself included.
fn all_groups() -> &'static [&'static dyn rustls::crypto::SupportedKxGroup] {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::ALL_KX_GROUPS;
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::ALL_KX_GROUPS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::ciphers::DEFAULT;
    use crate::certificates::provider;

    #[test]
    fn all_that_is_chosen_is_there() {
        let mut negotiation = Negotiation::new(true, true, DEFAULT).expect("the default");
        let mut restricted = provider();
        negotiation.restrict(&mut restricted);
        let names: Vec<_> = restricted.cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(names, [&negotiation.tls13_suites[..], &negotiation.tls12_suites].concat());
        assert_eq!(names.len(), 9);
        let groups = |provider: &CryptoProvider| {
            provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        assert_eq!(groups(&restricted), groups(&provider()));

        assert_eq!(negotiation.set_curves("auto"), Ok(Vec::new()));
        assert_eq!(negotiation.set_curves("secp384r1:X25519:X448"), Ok(vec!["X448".to_owned()]));
        negotiation.restrict(&mut restricted);
        assert_eq!(groups(&restricted), [NamedGroup::secp384r1, NamedGroup::X25519]);
    }

    #[test]
    fn ciphers_of_tls_12_count_only_with_it() {
        let failed = |reason| Err(format!("SSL_CTX_set_cipher_list(\"AES128-SHA\") failed (SSL: {reason})"));
        assert_eq!(Negotiation::new(true, true, "AES128-SHA"), failed(ciphers::NO_MATCH));
        let without = Negotiation::new(false, true, "AES128-SHA").expect("no matter");
        assert_eq!(without.versions(), [&TLS13]);
        let expected =
            "SSL_CTX_set_cipher_list(\"+\") failed (SSL: error:0A000118:SSL routines::invalid command)";
        assert_eq!(Negotiation::new(false, true, "+"), Err(expected.into()));
    }

    #[test]
    fn curves_that_cannot_be_used() {
        let mut negotiation = Negotiation::new(true, true, DEFAULT).expect("the default");
        for (list, reason) in [
            ("X25519:X25519", ""),
            ("foo", " (SSL: error:0A080106:SSL routines::passed invalid argument:group 'foo' cannot be set)"),
            ("X448", " (SSL: none of these groups is supported)"),
        ] {
            let expected = format!("SSL_CTX_set1_curves_list(\"{list}\") failed{reason}");
            assert_eq!(negotiation.set_curves(list), Err(expected));
        }
    }
}
