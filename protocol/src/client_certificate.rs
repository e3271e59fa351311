//! Client certificates: what `ssl_verify_client` asks for, and what is known of the one a client presented.
//!
//! The handshake itself refuses no certificate whose key the client holds, so that a refusal can be told in the
//! protocol's own words. The session judges the chain behind every handshake, resumed ones included: a session
//! ticket carries the client's chain, never a verdict on it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;

/// `ssl_verify_client` other than `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyClient {
    /// `on`: a client without a good certificate is turned away.
    Required,
    /// `optional`: a client without a certificate is served, one with a bad certificate is not.
    Optional,
    /// `optional_no_ca`: the same, and an issuer that is not known is no fault; the auth server decides.
    OptionalNoCa,
}

/// How one server judges its clients.
#[derive(Clone, Debug)]
pub struct ClientVerification {
    /// What a client must have.
    pub policy: VerifyClient,
    /// Who verifies.
    pub verifier: Arc<dyn ClientVerifier>,
}

/// Verifies chains and reads certificates.
pub trait ClientVerifier: fmt::Debug + Send + Sync {
    /// Judges a chain, the client's own certificate first, at this time (seconds since 1970). Never called without a
    /// certificate. The client has proved that it holds the key.
    fn verify(&self, chain: &[CertificateDer<'_>], unix_time: u64) -> ClientCertificate;
}

/// A certificate that a client presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Why it does not verify; `None` if it does.
    pub failure: Option<VerifyFailure>,
    /// The subject in RFC 2253 form, as OpenSSL prints it: printable ASCII.
    pub subject: Box<str>,
    /// The issuer in the same form.
    pub issuer: Box<str>,
    /// The serial number in upper-case hexadecimal digits.
    pub serial: Box<str>,
    /// SHA-1 of the certificate in lower-case hexadecimal digits.
    pub fingerprint: Box<str>,
    /// The first common name of the subject.
    pub common_name: Option<Box<str>>,
    /// The certificate itself.
    pub der: Box<[u8]>,
}

/// Why a chain does not verify, as OpenSSL numbers and words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyFailure {
    /// `X509_V_ERR_...`, never 0.
    pub code: u32,
    /// The words, lower-case.
    pub reason: &'static str,
    /// Whether it says no more than that the issuer is not known: self-signed, or signed by a stranger.
    pub is_unknown_issuer: bool,
}

/// What a TLS session knows of its client where `ssl_verify_client` is not `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// The certificate, if the client presented one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Whether the certificate was presented in an earlier connection, whose session this one resumes.
    pub resumed: bool,
}

/// Why a client is turned away behind its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateFault {
    /// The certificate does not verify.
    Refused(VerifyFailure),
    /// There is none and there must be one.
    Missing,
}

impl ClientVerification {
    /// What is known of a client whose handshake has finished with this chain.
    pub(crate) fn examine(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        resumed: bool,
        unix_time: u64,
    ) -> ClientFacts {
        let chain = chain.filter(|chain| !chain.is_empty());
        let certificate = chain.map(|chain| Arc::new(self.verifier.verify(chain, unix_time)));
        ClientFacts { certificate, resumed }
    }

    /// Why this client is to be turned away, if it is.
    pub(crate) fn fault(&self, client: &ClientFacts) -> Option<CertificateFault> {
        match (&client.certificate, self.policy) {
            (None, VerifyClient::Required) => Some(CertificateFault::Missing),
            (None, VerifyClient::Optional | VerifyClient::OptionalNoCa) => None,
            (Some(certificate), policy) => {
                let failure = certificate.failure?;
                let is_tolerated = policy == VerifyClient::OptionalNoCa && failure.is_unknown_issuer;
                (!is_tolerated).then_some(CertificateFault::Refused(failure))
            }
        }
    }
}

impl CertificateFault {
    /// The words of all three protocols.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Refused(_) => "SSL certificate error",
            Self::Missing => "No required SSL certificate",
        }
    }
}

impl ClientFacts {
    /// The value of `Auth-SSL-Verify`: `NONE`, `SUCCESS` or `FAILED:reason`.
    pub fn verdict(&self) -> Cow<'static, str> {
        match self.certificate.as_ref().map(|certificate| certificate.failure) {
            None => "NONE".into(),
            Some(None) => "SUCCESS".into(),
            Some(Some(failure)) => format!("FAILED:{}", failure.reason).into(),
        }
    }

    /// OpenSSL's number for the same, as PROXY headers have it: 0 verified, 1 no certificate.
    pub fn code(&self) -> u32 {
        match self.certificate.as_ref().map(|certificate| certificate.failure) {
            None => 1,
            Some(None) => 0,
            Some(Some(failure)) => failure.code,
        }
    }
}

impl ClientCertificate {
    /// The certificate in PEM form (RFC 7468), lines of 64 characters ended by LF.
    pub fn pem(&self) -> String {
        let text = BASE64.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

impl std::error::Error for VerifyFailure {}

impl fmt::Display for VerifyFailure {
    /// `18:self-signed certificate`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds what it was made with.
    #[derive(Debug)]
    struct Fixed(Option<VerifyFailure>);

    impl ClientVerifier for Fixed {
        fn verify(&self, chain: &[CertificateDer<'_>], _: u64) -> ClientCertificate {
            ClientCertificate {
                failure: self.0,
                subject: "CN=a".into(),
                issuer: "CN=b".into(),
                serial: "01".into(),
                fingerprint: "00".into(),
                common_name: None,
                der: chain[0].to_vec().into(),
            }
        }
    }

    const EXPIRED: VerifyFailure =
        VerifyFailure { code: 10, reason: "certificate has expired", is_unknown_issuer: false };
    const SELF_SIGNED: VerifyFailure =
        VerifyFailure { code: 18, reason: "self-signed certificate", is_unknown_issuer: true };

    #[test]
    fn who_is_turned_away() {
        use CertificateFault::{Missing, Refused};
        use VerifyClient::{Optional, OptionalNoCa, Required};
        let chain = [CertificateDer::from(vec![1])];
        for (policy, missing, expired, unknown) in [
            (Required, Some(Missing), Some(Refused(EXPIRED)), Some(Refused(SELF_SIGNED))),
            (Optional, None, Some(Refused(EXPIRED)), Some(Refused(SELF_SIGNED))),
            (OptionalNoCa, None, Some(Refused(EXPIRED)), None),
        ] {
            let check = |failure, chain: Option<&[CertificateDer<'_>]>, expected, verdict| {
                let verification = ClientVerification { policy, verifier: Arc::new(Fixed(failure)) };
                for resumed in [false, true] {
                    let facts = verification.examine(chain, resumed, 0);
                    assert_eq!(verification.fault(&facts), expected, "{policy:?} {failure:?}");
                    assert_eq!((facts.verdict().as_ref(), facts.resumed), (verdict, resumed));
                }
            };
            check(None, None, missing, "NONE");
            check(None, Some(&[]), missing, "NONE");
            check(None, Some(&chain), None, "SUCCESS");
            check(Some(EXPIRED), Some(&chain), expired, "FAILED:certificate has expired");
            check(Some(SELF_SIGNED), Some(&chain), unknown, "FAILED:self-signed certificate");
        }
    }

    #[test]
    fn numbers_and_words() {
        let facts = |failure| ClientFacts {
            certificate: Some(Arc::new(Fixed(failure).verify(&[CertificateDer::from(vec![1])], 0))),
            resumed: false,
        };
        assert_eq!(facts(None).code(), 0);
        assert_eq!(facts(Some(EXPIRED)).code(), 10);
        assert_eq!(ClientFacts { certificate: None, resumed: false }.code(), 1);
        assert_eq!(SELF_SIGNED.to_string(), "18:self-signed certificate");
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        let der = CertificateDer::from(vec![0; 50]);
        let pem = Fixed(None).verify(&[der], 0).pem();
        let zeros = "A".repeat(64);
        assert_eq!(pem, format!("-----BEGIN CERTIFICATE-----\n{zeros}\nAAA=\n-----END CERTIFICATE-----\n"));
    }
}
