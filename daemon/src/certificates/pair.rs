//! A certificate with its chain and its key, as `ssl_certificate` and `ssl_certificate_key` name them.

use std::io;
use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::{Decode, Encode, Header, Reader, SliceReader};
use zeroize::Zeroizing;

use super::pem::sections;
use super::read::Parsed;
use super::{CertificateError, Certificates, Passphrases, keys, signing_key};
use crate::log::lines::error_text;

/// Loads a pair, and makes sure that it is one.
pub(super) fn certified_key(
    certificates: &Certificates,
    key: &Certificates,
    passphrases: Passphrases<'_>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<CertifiedKey, CertificateError> {
    let failed = |reason| CertificateError::Certificate(certificates.clone(), reason);
    let chain = text(certificates, read).and_then(|text| chain(&text)).map_err(failed)?;
    let key_failed = |reason| CertificateError::Key(key.clone(), reason);
    let text = text(key, read).map_err(key_failed)?;
    let load = |der: &PrivateKeyDer<'_>| signing_key(der).map_err(|error| error.to_string());
    let signer = keys::load(&text, passphrases, load).map_err(key_failed)?;
    let certified = CertifiedKey::new(chain, signer);
    match is_pair(&certified).map_err(failed)? {
        true => Ok(certified),
        false => Err(CertificateError::Mismatch(key.clone(), certificates.clone())),
    }
}

/// Whether the key is the first certificate's. A kind of key that does not tell its public part passes for it.
fn is_pair(certified: &CertifiedKey) -> Result<bool, String> {
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(true),
        Err(Error::InconsistentKeys(_)) => Ok(false),
        // The TLS library reads no certificate of version 1, and need not to present one.
        Err(_) => {
            let invalid = |error| format!("invalid certificate: {error}");
            let leaf = certified.cert.first().map_or(&[][..], AsRef::as_ref);
            let leaf = Parsed::from_der(leaf).map_err(invalid)?;
            let public = leaf.tbs_certificate().subject_public_key_info().to_der().map_err(invalid)?;
            Ok(certified.key.public_key().is_none_or(|own| *own == *public))
        }
    }
}

/// The text, which may be a key.
pub(super) fn text(
    from: &Certificates,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    match from {
        Certificates::File(path) => {
            read(path).map(Zeroizing::new).map_err(|error| format!("open() failed {}", error_text(&error)))
        }
        Certificates::Data(text) => Ok(Zeroizing::new(text.expose().to_vec())),
        Certificates::Elsewhere(_) => Err("only files and \"data:\" are supported".into()),
    }
}

/// All certificates of the text, at least one.
pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    for section in sections(text) {
        if matches!(section.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE") {
            let mut der = section.decode()?;
            let length = value_length(&der).map_err(|error| format!("invalid certificate: {error}"))?;
            // What OpenSSL adds to a trusted certificate is not for peers.
            der.truncate(length);
            chain.push(CertificateDer::from(der));
        }
    }
    if chain.is_empty() { Err("no certificate in PEM form in it".into()) } else { Ok(chain) }
}

/// Bytes of the first value.
fn value_length(der: &[u8]) -> x509_cert::der::Result<usize> {
    let mut reader = SliceReader::new(der)?;
    let header = Header::decode(&mut reader)?;
    let end = (reader.position() + header.length())?;
    usize::try_from(end)
}
