//! Why a chain does not verify, in OpenSSL's numbers and words: auth servers and log filters know those.

use gatepost_protocol::client_certificate::VerifyFailure;
use rustls::pki_types::CertificateDer;
use webpki::Error;

use super::read::{is_self_issued, parse};

pub(super) const UNSPECIFIED: VerifyFailure = fault(1, "unspecified certificate verification error");
pub(super) const NO_CRL: VerifyFailure = fault(3, "unable to get certificate CRL");
pub(super) const NOT_YET_VALID: VerifyFailure = fault(9, "certificate is not yet valid");
pub(super) const EXPIRED: VerifyFailure = fault(10, "certificate has expired");
pub(super) const SELF_SIGNED: VerifyFailure = stranger(18, "self-signed certificate");

const fn fault(code: u32, reason: &'static str) -> VerifyFailure {
    VerifyFailure { code, reason, is_unknown_issuer: false }
}

const fn stranger(code: u32, reason: &'static str) -> VerifyFailure {
    VerifyFailure { code, reason, is_unknown_issuer: true }
}

/// Whether the error leaves open who signed the certificate.
pub(super) fn is_about_the_issuer(error: &Error) -> bool {
    matches!(error, Error::UnknownIssuer | Error::CaUsedAsEndEntity | Error::UnsupportedCertVersion)
}

/// What OpenSSL would say of it. `optional_no_ca` bears unknown issuers and nothing else, so what is not surely that
/// is something else.
#[expect(clippy::wildcard_enum_match_arm, reason = "most errors have no counterpart")]
pub(super) fn of(error: &Error, chain: &[CertificateDer<'_>]) -> VerifyFailure {
    match error {
        Error::UnknownIssuer => unknown_issuer(chain),
        Error::UnknownRevocationStatus => NO_CRL,
        Error::InvalidSignatureForPublicKey => fault(7, "certificate signature failure"),
        Error::InvalidCrlSignatureForPublicKey => fault(8, "CRL signature failure"),
        Error::CertNotValidYet { .. } => NOT_YET_VALID,
        Error::CertExpired { .. } => EXPIRED,
        Error::CrlExpired { .. } => fault(12, "CRL has expired"),
        Error::MaximumPathDepthExceeded => fault(22, "certificate chain too long"),
        Error::CertRevoked => fault(23, "certificate revoked"),
        Error::PathLenConstraintViolated => fault(25, "path length constraint exceeded"),
        Error::RequiredEkuNotFoundContext(_) | Error::CaUsedAsEndEntity => {
            fault(26, "unsuitable certificate purpose")
        }
        Error::UnsupportedCriticalExtension => fault(34, "unhandled critical extension"),
        Error::NameConstraintViolation => fault(47, "permitted subtree violation"),
        Error::EndEntityUsedAsCa => fault(79, "invalid CA certificate"),
        _ => UNSPECIFIED,
    }
}

fn unknown_issuer(chain: &[CertificateDer<'_>]) -> VerifyFailure {
    if chain.len() < 2 {
        return stranger(21, "unable to verify the first certificate");
    }
    let ends_in_itself = chain[1..].iter().filter_map(|der| parse(der)).any(|parsed| is_self_issued(&parsed));
    if ends_in_itself {
        stranger(19, "self-signed certificate in certificate chain")
    } else {
        stranger(20, "unable to get local issuer certificate")
    }
}
