//! Names as OpenSSL prints them in RFC 2253 form (`-nameopt RFC2253`), which auth servers compare byte by byte.

use std::fmt::Write as _;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{Encode, Tag, Tagged};
use x509_cert::name::Name;

use super::attributes::{COMMON_NAME, short_name};

/// The name from its most specific part to its least, in printable ASCII.
pub(super) fn rfc2253(name: &Name) -> String {
    let mut parts: Vec<String> = Vec::new();
    for rdn in name.iter_rdn() {
        for (index, attribute) in rdn.iter().enumerate() {
            // The parts of one RDN belong together, and are turned round like all others.
            let separator = match (parts.is_empty(), index) {
                (true, _) => "",
                (false, 0) => ",",
                (false, _) => "+",
            };
            parts.push(part(attribute) + separator);
        }
    }
    parts.iter().rev().map(String::as_str).collect()
}

/// The first common name, as far as it is text.
pub(super) fn common_name(name: &Name) -> Option<String> {
    let attribute = name.iter().find(|attribute| attribute.oid == COMMON_NAME)?;
    let utf8 = utf8(attribute.value.tag(), attribute.value.value())?;
    String::from_utf8(utf8).ok()
}

fn part(attribute: &AttributeTypeAndValue) -> String {
    let Some(name) = short_name(attribute.oid) else {
        return format!("{}={}", attribute.oid, dump(attribute));
    };
    match utf8(attribute.value.tag(), attribute.value.value()) {
        Some(text) => format!("{name}={}", escape(&text)),
        None => format!("{name}={}", dump(attribute)),
    }
}

/// The text in UTF-8; `None` for what is no string, or not a well-formed one. What claims to be UTF-8 is taken as it
/// is: every byte beyond ASCII is escaped anyway.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are no strings of text")]
fn utf8(tag: Tag, bytes: &[u8]) -> Option<Vec<u8>> {
    match tag {
        Tag::Utf8String => Some(bytes.to_vec()),
        Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::UtcTime
        | Tag::GeneralizedTime
        // OpenSSL takes T.61 for Latin-1, as everybody does.
        | Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect::<String>().into_bytes()),
        Tag::BmpString => {
            let (units, []) = bytes.as_chunks() else { return None };
            let text: Option<String> =
                units.iter().map(|unit| char::from_u32(u32::from(u16::from_be_bytes(*unit)))).collect();
            text.map(String::into_bytes)
        }
        _ => None,
    }
}

/// `#` and the whole DER value.
fn dump(attribute: &AttributeTypeAndValue) -> String {
    let der = attribute.value.to_der().unwrap_or_default();
    format!("#{}", data_encoding::HEXUPPER.encode(&der))
}

fn escape(text: &[u8]) -> String {
    let mut escaped = String::new();
    let last = text.len().saturating_sub(1);
    for (at, &byte) in text.iter().enumerate() {
        let is_special = match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => true,
            b'#' => at == 0 && last > 0,
            b' ' => at == 0 || at == last,
            _ => false,
        };
        if is_special {
            escaped.push('\\');
        }
        if matches!(byte, b' '..=b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use x509_cert::certificate::{CertificateInner, Raw};
    use x509_cert::der::Decode;

    use super::*;

    #[test]
    fn escapes() {
        for (text, expected) in [
            ("", ""),
            ("a b", "a b"),
            (" ", "\\ "),
            ("  ", "\\ \\ "),
            ("#", "#"),
            ("#a#", "\\#a#"),
            ("a,b+c\"d\\e<f>g;h=i", "a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h=i"),
            ("\u{1}\u{7f}\r\n", "\\01\\7F\\0D\\0A"),
            ("\u{e4}\u{20ac}", "\\C3\\A4\\E2\\82\\AC"),
        ] {
            assert_eq!(escape(text.as_bytes()), expected);
        }
    }

    #[test]
    fn known_answers_of_openssl() {
        let text = include_str!("tests/names.txt");
        let mut count = 0;
        for case in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
            let (pem, expected) = case.split_once("-----END CERTIFICATE-----\n").expect("a certificate");
            let pem = format!("-----BEGIN CERTIFICATE-----{pem}-----END CERTIFICATE-----\n");
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            let certificate = CertificateInner::<Raw>::from_der(&der).expect("a certificate");
            let name = certificate.tbs_certificate().subject();
            assert_eq!(rfc2253(name), expected.trim_end_matches('\n'), "{name}");
            count += 1;
        }
        assert!(count >= 9, "{count} names");
    }
}
