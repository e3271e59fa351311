//! The mechanisms by name, and sets of them.

/// A SASL mechanism. The order of the variants is the order of every list that shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// PLAIN, RFC 4616.
    Plain,
    /// LOGIN: two prompts, as draft-murchison-sasl-login-00 wrote down what clients did.
    Login,
    /// CRAM-MD5, RFC 2195.
    CramMd5,
    /// EXTERNAL, RFC 4422 appendix A: TLS or the network has identified the client.
    External,
}

impl Mechanism {
    const ALL: [Self; 4] = [Self::Plain, Self::Login, Self::CramMd5, Self::External];

    /// Finds a mechanism by its name, in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| name.eq_ignore_ascii_case(mechanism.name().as_bytes()))
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::External => "EXTERNAL",
        }
    }
}

/// A set of mechanisms: what a server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms(u8);

impl Mechanisms {
    /// Adds one.
    pub fn insert(&mut self, mechanism: Mechanism) {
        self.0 |= 1 << mechanism as u8;
    }

    /// Whether this one is offered.
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & (1 << mechanism as u8) != 0
    }

    /// Finds the mechanism of this name, in any case, if a client may use it. PLAIN and LOGIN carry what the plaintext
    /// commands of each protocol carry and are accepted like them, offered or not; the others must be in the set.
    pub fn find(self, name: &[u8]) -> Option<Mechanism> {
        Mechanism::from_name(name).filter(|&mechanism| match mechanism {
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::CramMd5 | Mechanism::External => self.contains(mechanism),
        })
    }

    /// Whether nothing is offered.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in the order PLAIN, LOGIN, CRAM-MD5, EXTERNAL.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |&mechanism| self.contains(mechanism))
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        let mut set = Self::default();
        mechanisms.into_iter().for_each(|mechanism| set.insert(mechanism));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name().as_bytes()), Some(mechanism));
            assert_eq!(Mechanism::from_name(mechanism.name().to_lowercase().as_bytes()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name(b"cRaM-mD5"), Some(Mechanism::CramMd5));
        for unknown in [&b""[..], b"PLAI", b"PLAINX", b"XOAUTH2", b"SCRAM-SHA-256", b"PLAIN\0", b"\xff"] {
            assert_eq!(Mechanism::from_name(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_set_keeps_the_fixed_order() {
        let set = Mechanisms::from_iter([Mechanism::External, Mechanism::Plain, Mechanism::Plain]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Mechanism::Plain, Mechanism::External]);
        assert!(!set.is_empty() && Mechanisms::default().is_empty());
        assert!(set.contains(Mechanism::External) && !set.contains(Mechanism::CramMd5));
    }

    #[test]
    fn only_plaintext_is_accepted_without_being_offered() {
        let accepted = |set: Mechanisms| -> Vec<_> {
            Mechanism::ALL.into_iter().filter_map(|mechanism| set.find(mechanism.name().as_bytes())).collect()
        };
        assert_eq!(accepted(Mechanisms::default()), [Mechanism::Plain, Mechanism::Login]);
        assert_eq!(accepted(Mechanisms::from_iter(Mechanism::ALL)), Mechanism::ALL);
        assert_eq!(Mechanisms::from_iter(Mechanism::ALL).find(b"XOAUTH2"), None);
    }
}
