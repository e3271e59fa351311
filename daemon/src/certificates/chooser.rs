//! Which of several certificates a client gets.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of one server. A client gets one whose key it can verify, rather for the name it asks for, rather
/// of the kind it prefers, rather the first.
#[derive(Debug)]
pub(super) struct Chooser(Vec<Arc<CertifiedKey>>);

impl Chooser {
    pub(super) fn new(keys: Vec<Arc<CertifiedKey>>) -> Self {
        Self(keys)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let usable = self.0.iter().filter_map(|key| {
            let preference = schemes.iter().position(|scheme| key.key.choose_scheme(&[*scheme]).is_some())?;
            let is_other = !name.as_ref().is_some_and(|name| is_for(key, name));
            Some(((is_other, preference), key))
        });
        // The first of equals.
        usable.min_by_key(|(rank, _)| *rank).map(|(_, key)| Arc::clone(key))
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| rustls::client::verify_server_name(&certificate, name).is_ok())
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
    use rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::certificates::provider;

    fn key(name: &str, algorithm: &'static SignatureAlgorithm) -> Arc<CertifiedKey> {
        let pair = KeyPair::generate_for(algorithm).expect("a key");
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = parameters.self_signed(&pair).expect("a certificate");
        let der = PrivateKeyDer::try_from(pair.serialize_der()).expect("a key");
        let signer = provider().key_provider.load_private_key(der).expect("a known kind");
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer))
    }

    #[test]
    fn name_then_preference_then_order() {
        use SignatureScheme::{ECDSA_NISTP256_SHA256 as ECDSA, ED25519, RSA_PSS_SHA256 as RSA};
        let keys = [
            key("a.example", &PKCS_ECDSA_P256_SHA256),
            key("a.example", &PKCS_ED25519),
            key("b.example", &PKCS_ECDSA_P256_SHA256),
        ];
        let chooser = Chooser::new(keys.to_vec());
        let check = |name, schemes: &[SignatureScheme], expected: Option<usize>| {
            let chosen = chooser.choose(name, schemes);
            let index = chosen.map(|chosen| keys.iter().position(|key| Arc::ptr_eq(key, &chosen)));
            assert_eq!(index, expected.map(Some), "{name:?} {schemes:?}");
        };
        check(None, &[ECDSA, ED25519], Some(0));
        check(None, &[RSA, ED25519, ECDSA], Some(1));
        check(Some("a.example"), &[ECDSA], Some(0));
        check(Some("b.example"), &[ED25519, ECDSA], Some(2));
        check(Some("b.example"), &[ED25519], Some(1));
        check(Some("c.example"), &[ECDSA], Some(0));
        check(Some("192.0.2.1"), &[ECDSA], Some(0));
        check(None, &[RSA], None);
    }
}
