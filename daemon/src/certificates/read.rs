//! What a certificate says, for the auth server and for backends.

use gatepost_protocol::client_certificate::{ClientCertificate, VerifyFailure};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;

use super::name::{common_name, rfc2253};

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as crypto;

use crypto::digest;

/// A certificate whose serial number may be any.
pub(super) type Parsed = CertificateInner<Raw>;

/// `None` for what is no certificate, or has bytes behind it.
pub(super) fn parse(der: &[u8]) -> Option<Parsed> {
    Parsed::from_der(der).ok()
}

/// Whether the certificate names itself as its issuer.
pub(super) fn is_self_issued(parsed: &Parsed) -> bool {
    parsed.tbs_certificate().issuer() == parsed.tbs_certificate().subject()
}

/// The first and the last second of its life, since 1970.
pub(super) fn validity(parsed: &Parsed) -> (u64, u64) {
    let validity = parsed.tbs_certificate().validity();
    (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
}

/// All that others get to know of the certificate. One that cannot be parsed has a fingerprint alone.
pub(super) fn describe(
    der: &[u8],
    parsed: Option<&Parsed>,
    failure: Option<VerifyFailure>,
) -> ClientCertificate {
    let certificate = parsed.map(Parsed::tbs_certificate);
    let subject = certificate.map(|certificate| rfc2253(certificate.subject()));
    let issuer = certificate.map(|certificate| rfc2253(certificate.issuer()));
    let serial = certificate.map(|certificate| serial(certificate.serial_number().as_bytes()));
    let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    ClientCertificate {
        failure,
        subject: subject.unwrap_or_default().into(),
        issuer: issuer.unwrap_or_default().into(),
        serial: serial.unwrap_or_default().into(),
        fingerprint: data_encoding::HEXLOWER.encode(fingerprint.as_ref()).into(),
        common_name: certificate.and_then(|certificate| common_name(certificate.subject())).map(Into::into),
        der: der.into(),
    }
}

/// A signed big-endian number, as OpenSSL prints it: magnitude in whole bytes, `-` in front of negative ones.
fn serial(bytes: &[u8]) -> String {
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let start = magnitude.iter().position(|&byte| byte != 0);
    let digits = start.map_or(&[0][..], |start| &magnitude[start..]);
    let sign = if is_negative { "-" } else { "" };
    format!("{sign}{}", data_encoding::HEXUPPER.encode(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers() {
        for (bytes, expected) in [
            (&[0][..], "00"),
            (&[1], "01"),
            (&[0x12, 0xab], "12AB"),
            (&[0, 0x80], "80"),
            (&[0x80], "-80"),
            (&[0xff], "-01"),
            (&[0xff, 0], "-0100"),
            (&[], "00"),
        ] {
            assert_eq!(serial(bytes), expected, "{bytes:x?}");
        }
    }
}
