//! Base64 as SASL responses carry it (RFC 4648 section 4).

use data_encoding::{BASE64, BASE64_NOPAD};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Decodes the standard alphabet. Padding is complete or missing altogether, as some clients send it; nothing
/// follows it, and unused bits are zero, so each message has one spelling with padding and one without.
///
/// What was decoded before an error is wiped: it may be the beginning of a password.
pub(super) fn decode(text: &[u8]) -> Option<Secret> {
    let digits = strip_padding(text);
    let length = BASE64_NOPAD.decode_len(digits.len()).ok()?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    let decoded = BASE64_NOPAD.decode_mut(digits, &mut bytes).ok()?;
    debug_assert_eq!(decoded, length);
    Some(Secret::new(std::mem::take(&mut *bytes)))
}

/// Encodes with padding.
pub(super) fn encode(bytes: &[u8]) -> Box<str> {
    BASE64.encode(bytes).into_boxed_str()
}

/// Takes one or two `=` off a text that is padded to full groups of four.
fn strip_padding(text: &[u8]) -> &[u8] {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return text;
    }
    text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&[u8]>) {
        let decoded = decode(text.as_bytes());
        assert_eq!(decoded.as_ref().map(Secret::expose), expected, "{text:?}");
    }

    #[test]
    fn known_answers() {
        // RFC 4648 section 10.
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(&*encode(plain.as_bytes()), text);
            check(text, Some(plain.as_bytes()));
            check(text.trim_end_matches('='), Some(plain.as_bytes()));
        }
        check("+/+/", Some(&[0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in [
            "=", "==", "====", "Z", "Z===", "Zg=", "Zg=a", "Zg==Zg==", "Zg==x", "Zm9v=", "Zm9v====",
            "Zm8=\r", "Zm 9v", "-_-_", "Zm9v\0", "Z\u{e9}", "Zh==", "Zh", "*",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes: Vec<u8>) {
            let text = encode(&bytes);
            let padded = decode(text.as_bytes());
            prop_assert_eq!(padded.as_ref().map(Secret::expose), Some(&bytes[..]));
            let bare = decode(text.trim_end_matches('=').as_bytes());
            prop_assert_eq!(bare.as_ref().map(Secret::expose), Some(&bytes[..]));
        }

        #[test]
        fn what_is_decoded_encodes_to_the_same_text(text in "[A-Za-z0-9+/=]{0,12}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                let again = encode(bytes.expose());
                prop_assert_eq!(again.trim_end_matches('='), text.trim_end_matches('='));
            }
        }
    }
}
