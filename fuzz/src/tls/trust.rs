//! Who trusts whom: here everybody everybody, unless a script says what is wrong.

use std::sync::Arc;

use gatepost_protocol::client_certificate::{ClientCertificate, ClientVerifier, VerifyFailure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

/// Verifies nothing; of a backend's certificate it says what it was told to.
#[derive(Debug, Default)]
pub(super) struct Told(pub(super) Option<CertificateError>);

impl ServerCertVerifier for Told {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.0 {
            Some(fault) => Err(Error::InvalidCertificate(fault.clone())),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// As the daemon's: the handshake lets every client in that holds its key.
impl ClientCertVerifier for Told {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}

/// What the chain of a client is found to be.
#[derive(Debug)]
pub(crate) struct Finding(pub(crate) Option<VerifyFailure>);

impl ClientVerifier for Finding {
    fn verify(&self, chain: &[CertificateDer<'_>], _unix_time: u64) -> ClientCertificate {
        ClientCertificate {
            failure: self.0,
            subject: "CN=client".into(),
            issuer: "CN=issuer".into(),
            serial: "01".into(),
            fingerprint: "a9993e364706816aba3e25717850c26c9cd0d89d".into(),
            common_name: Some("client".into()),
            der: chain[0].to_vec().into(),
        }
    }
}

/// `18:self-signed certificate`
pub(crate) const SELF_SIGNED: VerifyFailure =
    VerifyFailure { code: 18, reason: "self-signed certificate", is_unknown_issuer: true };
/// `10:certificate has expired`
pub(crate) const EXPIRED: VerifyFailure =
    VerifyFailure { code: 10, reason: "certificate has expired", is_unknown_issuer: false };

/// What is wrong with a backend's certificate, by the digit of a script.
pub(super) fn fault(digit: u8) -> Option<CertificateError> {
    Some(match digit {
        b'0' => CertificateError::NotValidForName,
        b'1' => CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("mx.example").expect("the name is well-formed"),
            presented: Vec::new(),
        },
        b'2' => CertificateError::UnknownIssuer,
        b'3' => CertificateError::BadSignature,
        b'4' => CertificateError::NotValidYet,
        b'5' => CertificateError::Expired,
        b'6' => CertificateError::Revoked,
        b'7' => CertificateError::Other(OtherError(Arc::new(EXPIRED))),
        b'8' => CertificateError::Other(OtherError(Arc::new(std::fmt::Error))),
        b'9' => CertificateError::BadEncoding,
        _ => return None,
    })
}
