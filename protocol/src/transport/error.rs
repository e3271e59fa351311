//! Why TLS failed, in words that log filters know.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::client_certificate::VerifyFailure;

/// Why TLS failed on a leg. Prints as the reason the log shows: OpenSSL's words for the faults that are common and
/// that log filters look for, else those of rustls.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError(pub(super) Error);

/// Why the certificate of a server we connected to is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// The chain does not verify.
    Unverified(VerifyFailure),
    /// It verifies, and is for others than this name.
    WrongName(Box<str>),
}

/// What is likely to be wrong where TLS with a server failed: the setting that somebody must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsCause {
    /// The peer does not speak TLS.
    NoTls,
    /// There is no protocol version in common.
    Version,
    /// The peer found nothing in common: cipher suites and groups, but servers with TLS 1.2 also say so for lack of a
    /// certificate of ours.
    Negotiation,
    /// The peer does not accept our certificate, or misses one.
    OwnCertificate,
    /// The peer does not know the name that it was told by SNI.
    Name,
    /// The peer speaks another application protocol.
    Application,
    /// Nothing that a setting would change.
    Other,
}

impl TlsError {
    /// What is likely to be wrong, where it is not the server's certificate.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most errors do not tell")]
    pub fn cause(&self) -> TlsCause {
        match &self.0 {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => TlsCause::NoTls,
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )
            | Error::AlertReceived(AlertDescription::ProtocolVersion) => TlsCause::Version,
            Error::AlertReceived(
                AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
            ) => TlsCause::Negotiation,
            Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            ) => TlsCause::OwnCertificate,
            Error::AlertReceived(AlertDescription::UnrecognisedName) => TlsCause::Name,
            Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | Error::NoApplicationProtocol
            | Error::PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
                TlsCause::Application
            }
            _ => TlsCause::Other,
        }
    }

    /// What is wrong with the server's certificate, where that is the error.
    ///
    /// A verifier of the caller's says it best: with [`CertificateError::Other`] around a [`VerifyFailure`].
    pub fn peer_fault(&self) -> Option<PeerFault> {
        if let Error::InvalidCertificate(error) = &self.0 { Some(peer_fault(error)) } else { None }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most errors have no counterpart")]
fn peer_fault(error: &CertificateError) -> PeerFault {
    let fault = |code, reason, is_unknown_issuer| {
        PeerFault::Unverified(VerifyFailure { code, reason, is_unknown_issuer })
    };
    match error {
        CertificateError::NotValidForName => PeerFault::WrongName(Box::default()),
        CertificateError::NotValidForNameContext { expected, .. } => {
            PeerFault::WrongName(expected.to_str().into())
        }
        CertificateError::UnknownIssuer => fault(20, "unable to get local issuer certificate", true),
        CertificateError::BadSignature => fault(7, "certificate signature failure", false),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            fault(9, "certificate is not yet valid", false)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            fault(10, "certificate has expired", false)
        }
        CertificateError::Revoked => fault(23, "certificate revoked", false),
        CertificateError::Other(other) => match other.0.downcast_ref::<VerifyFailure>() {
            Some(failure) => PeerFault::Unverified(*failure),
            None => fault(1, "unspecified certificate verification error", false),
        },
        _ => fault(1, "unspecified certificate verification error", false),
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for TlsError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other errors speak for themselves")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => f.write_str("wrong version number"),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => f.write_str("unsupported protocol"),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
                f.write_str("no shared cipher")
            }
            Error::NoApplicationProtocol => f.write_str("no application protocol"),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for TlsError {}
