//! Verification of certificates, those of clients (`ssl_verify_client`) above all: with webpki under OpenSSL's rules for what a CA is.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::client_certificate::{
    ClientCertificate, ClientVerification, ClientVerifier, VerifyClient, VerifyFailure,
};
use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, VerifiedPath,
};
use x509_cert::certificate::Version;
use x509_cert::der::Encode;
use x509_cert::ext::pkix;

use super::failure;
use super::pair::{chain, text};
use super::read::{Parsed, describe, is_self_issued, parse, validity};
use super::{CertificateError, Certificates, provider};

/// What the directives about client certificates say.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    pub(crate) policy: VerifyClient,
    /// `ssl_client_certificate`: trusted, and named to clients.
    pub(crate) named: Option<Certificates>,
    /// `ssl_trusted_certificate`: trusted.
    pub(crate) trusted: Option<Certificates>,
    /// `ssl_crl`
    pub(crate) crl: Option<Certificates>,
    /// How many intermediate certificates a chain may have.
    pub(crate) depth: usize,
}

/// What is asked of clients in the handshake, and the verification behind it.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(super) names: Arc<[DistinguishedName]>,
    pub(crate) verification: ClientVerification,
    /// What sessions are bound to: policy and trust.
    pub(super) identity: Vec<Vec<u8>>,
}

/// Verifies chains, of clients or of servers, up to the self-signed certificates it trusts.
#[derive(Debug)]
pub(super) struct Verifier {
    usage: KeyUsage,
    anchors: Vec<TrustAnchor<'static>>,
    /// What webpki does not look at, one for each anchor.
    limits: Vec<Limits>,
    /// Everything in the trusted files. They may also hold single certificates of clients.
    listed: Vec<CertificateDer<'static>>,
    /// Those of `listed` that complete what clients send.
    intermediates: Vec<CertificateDer<'static>>,
    crls: Vec<CertRevocationList<'static>>,
    depth: usize,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    not_before: u64,
    not_after: u64,
    path_length: Option<u8>,
}

impl Clients {
    /// Loads CAs and CRLs.
    ///
    /// # Errors
    /// nginx's message for a file that cannot be used.
    pub(crate) fn load(
        settings: &ClientSettings,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, CertificateError> {
        let load = |from: &Option<Certificates>| match from {
            None => Ok(Vec::new()),
            Some(from) => authorities(from, read),
        };
        let mut listed = load(&settings.named)?;
        let names = listed.iter().filter_map(|authority| parse(authority)).filter_map(|parsed| {
            parsed.tbs_certificate().subject().to_der().ok().map(DistinguishedName::from)
        });
        let names = names.collect();
        listed.extend(load(&settings.trusted)?);
        let crls = load_crls(settings.crl.as_ref(), read)?;
        let mut identity = vec![format!("{:?} {}", settings.policy, settings.depth).into_bytes()];
        identity.extend(listed.iter().map(|certificate| certificate.to_vec()));
        let verifier = Verifier::new(KeyUsage::client_auth(), listed, crls, settings.depth);
        let verification = ClientVerification { policy: settings.policy, verifier: Arc::new(verifier) };
        Ok(Self { names, verification, identity })
    }
}

fn authorities(
    from: &Certificates,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let loaded = text(from, read).and_then(|text| chain(&text));
    loaded.map_err(|reason| CertificateError::Authority(from.clone(), reason))
}

fn load_crls(
    from: Option<&Certificates>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Vec<CertRevocationList<'static>>, CertificateError> {
    let Some(from) = from else { return Ok(Vec::new()) };
    let loaded = text(from, read).and_then(|text| crls(&text));
    loaded.map_err(|reason| CertificateError::Crl(from.clone(), reason))
}

/// All lists of the text, at least one.
fn crls(text: &[u8]) -> Result<Vec<CertRevocationList<'static>>, String> {
    let mut crls = Vec::new();
    for der in CertificateRevocationListDer::pem_slice_iter(text) {
        let der = der.map_err(|error| error.to_string())?;
        let crl = OwnedCertRevocationList::from_der(&der).map_err(|error| error.to_string())?;
        crls.push(CertRevocationList::from(crl));
    }
    if crls.is_empty() { Err("no CRL in PEM form in it".into()) } else { Ok(crls) }
}

impl Verifier {
    /// For servers that we connect to: the authorities and the lists of these files.
    ///
    /// # Errors
    /// nginx's message for a file that cannot be used.
    pub(super) fn of_servers(
        trusted: &Certificates,
        crl: Option<&Certificates>,
        depth: usize,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, CertificateError> {
        let (listed, crls) = (authorities(trusted, read)?, load_crls(crl, read)?);
        Ok(Self::new(KeyUsage::server_auth(), listed, crls, depth))
    }

    /// Judges a chain, the peer's own certificate first, at this time (seconds since 1970).
    pub(super) fn check(&self, chain: &[CertificateDer<'_>], unix_time: u64) -> Result<(), VerifyFailure> {
        let parsed = chain.first().and_then(|leaf| parse(leaf));
        self.judge(chain, parsed.as_ref(), unix_time)
    }

    fn new(
        usage: KeyUsage,
        listed: Vec<CertificateDer<'static>>,
        crls: Vec<CertRevocationList<'static>>,
        depth: usize,
    ) -> Self {
        let (anchors, limits) = listed.iter().filter_map(root).unzip();
        let intermediates = listed.iter().filter(|der| root(der).is_none() && is_usable(der));
        let intermediates = intermediates.cloned().collect();
        let algorithms = provider().signature_verification_algorithms;
        Self { usage, anchors, limits, listed, intermediates, crls, depth, algorithms }
    }

    fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        parsed: Option<&Parsed>,
        now: u64,
    ) -> Result<(), VerifyFailure> {
        let (Some(parsed), Some(leaf)) = (parsed, chain.first()) else {
            return Err(failure::UNSPECIFIED);
        };
        let Err(error) = self.find_path(chain, now) else { return Ok(()) };
        if !(is_self_issued(parsed) && failure::is_about_the_issuer(&error)) {
            return Err(failure::of(&error, chain));
        }
        // webpki takes no CA for a client or a server; a certificate that signed itself mostly says that it is one.
        let (not_before, not_after) = validity(parsed);
        if now < not_before {
            Err(failure::NOT_YET_VALID)
        } else if now > not_after {
            Err(failure::EXPIRED)
        } else if !self.listed.iter().any(|listed| listed == leaf) {
            Err(failure::SELF_SIGNED)
        } else if !self.crls.is_empty() {
            Err(failure::NO_CRL)
        } else {
            Ok(())
        }
    }

    fn find_path(&self, chain: &[CertificateDer<'_>], now: u64) -> Result<(), webpki::Error> {
        let leaf = EndEntityCert::try_from(&chain[0])?;
        let sent = chain[1..].iter().filter(|der| is_usable(der));
        let intermediates: Vec<_> = sent.chain(&self.intermediates).cloned().collect();
        let crls: Vec<_> = self.crls.iter().collect();
        let revocation = match RevocationOptionsBuilder::new(&crls) {
            // Every certificate of the chain needs a list that is up to date, as with OpenSSL: the builder's defaults.
            Ok(builder) => Some(builder.with_expiration_policy(ExpirationPolicy::Enforce).build()),
            Err(_) => None,
        };
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(now)),
            self.usage,
            revocation,
            Some(&|path: &VerifiedPath<'_>| self.check_limits(path, now)),
        )?;
        Ok(())
    }

    /// What webpki leaves open: the depth, and that a trusted certificate ends some day.
    fn check_limits(&self, path: &VerifiedPath<'_>, now: u64) -> Result<(), webpki::Error> {
        let length = path.intermediate_certificates().count();
        if length > self.depth {
            return Err(webpki::Error::MaximumPathDepthExceeded);
        }
        let same = |anchor: &TrustAnchor<'_>| {
            anchor.subject == path.anchor().subject
                && anchor.subject_public_key_info == path.anchor().subject_public_key_info
        };
        // The same authority may be listed twice, renewed: one that is good will do.
        let mut outcome = Err(webpki::Error::UnknownIssuer);
        for (_, limits) in self.anchors.iter().zip(&self.limits).filter(|(anchor, _)| same(anchor)) {
            outcome = limits.check(length, now);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

impl Limits {
    fn check(self, length: usize, now: u64) -> Result<(), webpki::Error> {
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        if self.path_length.is_some_and(|limit| length > usize::from(limit)) {
            return Err(webpki::Error::PathLenConstraintViolated);
        }
        if now < self.not_before {
            let not_before = time(self.not_before);
            return Err(webpki::Error::CertNotValidYet { time: time(now), not_before });
        }
        if now > self.not_after {
            return Err(webpki::Error::CertExpired { time: time(now), not_after: time(self.not_after) });
        }
        Ok(())
    }
}

/// Whether webpki can read it, which takes version 3.
fn is_usable(der: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(der).is_ok()
}

/// A certificate that chains may end in: self-signed, and a CA by its own word or, of version 1, by nobody's.
fn root(der: &CertificateDer<'static>) -> Option<(TrustAnchor<'static>, Limits)> {
    let parsed = parse(der)?;
    if !is_self_issued(&parsed) {
        return None;
    }
    let certificate = parsed.tbs_certificate();
    let path_length = match certificate.get_extension::<pkix::BasicConstraints>() {
        Ok(Some((_, constraints))) if constraints.ca => constraints.path_len_constraint,
        Ok(None) if certificate.version() == Version::V1 => None,
        Ok(_) | Err(_) => return None,
    };
    match certificate.get_extension::<pkix::KeyUsage>() {
        Ok(Some((_, usage))) if !usage.key_cert_sign() => return None,
        Ok(_) => {}
        Err(_) => return None,
    }
    let anchor = webpki::anchor_from_trusted_cert(der).ok()?.to_owned();
    let (not_before, not_after) = validity(&parsed);
    Some((anchor, Limits { not_before, not_after, path_length }))
}

impl ClientVerifier for Verifier {
    fn verify(&self, chain: &[CertificateDer<'_>], unix_time: u64) -> ClientCertificate {
        let leaf: &[u8] = chain.first().map_or(&[], AsRef::as_ref);
        let parsed = parse(leaf);
        let failure = self.judge(chain, parsed.as_ref(), unix_time).err();
        describe(leaf, parsed.as_ref(), failure)
    }
}

#[cfg(test)]
mod tests;
