//! Private keys: PKCS#8, PKCS#1 and SEC 1 in PEM form, each also encrypted with a passphrase.

use std::fmt;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use super::Passphrases;
use super::pem::{Section, sections};
use super::traditional::Traditional;

/// A key as DER, wiped when it is dropped.
type Der = Zeroizing<PrivateKeyDer<'static>>;

/// Finds the first key of the text and shows it to `load`; the passphrases are tried in turn.
///
/// # Errors
/// What is wrong with the text, or `load`'s.
pub(super) fn load<K>(
    text: &[u8],
    passphrases: Passphrases<'_>,
    load: impl Fn(&PrivateKeyDer<'_>) -> Result<K, String>,
) -> Result<K, String> {
    let is_key = |section: &Section<'_>| section.label.ends_with("PRIVATE KEY");
    let section = sections(text).find(is_key).ok_or("no private key in PEM form in it")?;
    match Encrypted::of(&section)? {
        Some(key) => key.load(passphrases, load),
        None => load(&Kind::of(section.label)?.der(section.decode()?)),
    }
}

/// An encrypted key, and what it is once it is in clear.
struct Encrypted {
    data: Vec<u8>,
    form: Form,
}

enum Form {
    /// RFC 5958
    Pkcs8,
    /// OpenSSL's own, with headers.
    Traditional(Traditional, Kind),
}

#[derive(Clone, Copy)]
enum Kind {
    Pkcs1,
    Sec1,
    Pkcs8,
}

impl Kind {
    fn of(label: &str) -> Result<Self, String> {
        match label {
            "RSA PRIVATE KEY" => Ok(Self::Pkcs1),
            "EC PRIVATE KEY" => Ok(Self::Sec1),
            "PRIVATE KEY" => Ok(Self::Pkcs8),
            label => Err(format!("\"{label}\" is not supported")),
        }
    }

    fn der(self, bytes: Vec<u8>) -> Der {
        Zeroizing::new(match self {
            Self::Pkcs1 => PrivatePkcs1KeyDer::from(bytes).into(),
            Self::Sec1 => PrivateSec1KeyDer::from(bytes).into(),
            Self::Pkcs8 => PrivatePkcs8KeyDer::from(bytes).into(),
        })
    }
}

/// Why a passphrase gives no key.
enum Failure {
    /// It may be another one.
    Passphrase,
    /// No passphrase will do.
    Unsupported(String),
}

impl Encrypted {
    fn of(section: &Section<'_>) -> Result<Option<Self>, String> {
        let form = if section.label == "ENCRYPTED PRIVATE KEY" {
            Form::Pkcs8
        } else if section.header("Proc-Type") == Some("4,ENCRYPTED") {
            let kind = Kind::of(section.label)?;
            Form::Traditional(Traditional::new(section.header("DEK-Info").unwrap_or_default())?, kind)
        } else {
            return Ok(None);
        };
        Ok(Some(Self { data: section.decode()?, form }))
    }

    fn load<K>(
        &self,
        passphrases: Passphrases<'_>,
        load: impl Fn(&PrivateKeyDer<'_>) -> Result<K, String>,
    ) -> Result<K, String> {
        let Passphrases { directive, phrases } = passphrases;
        let mut reason = match phrases {
            [] => format!("it is encrypted, and there is no \"{directive}\" with its passphrase"),
            _ => format!("it is encrypted, and none of the passphrases in \"{directive}\" fits"),
        };
        for passphrase in phrases {
            match self.decrypt(passphrase.expose()) {
                // A wrong passphrase may give what only looks like a key.
                Ok(key) => match load(&key) {
                    Ok(loaded) => return Ok(loaded),
                    Err(error) => reason = error,
                },
                Err(Failure::Passphrase) => {}
                Err(Failure::Unsupported(reason)) => return Err(reason),
            }
        }
        Err(reason)
    }

    fn decrypt(&self, passphrase: &[u8]) -> Result<Der, Failure> {
        let (key, kind) = match &self.form {
            Form::Pkcs8 => (decrypt_pkcs8(&self.data, passphrase)?, Kind::Pkcs8),
            Form::Traditional(encryption, kind) => {
                (encryption.decrypt(&self.data, passphrase).ok_or(Failure::Passphrase)?, *kind)
            }
        };
        Ok(kind.der(key.as_bytes().to_vec()))
    }
}

fn decrypt_pkcs8(data: &[u8], passphrase: &[u8]) -> Result<SecretDocument, Failure> {
    let unsupported = |error: &dyn fmt::Display| {
        Failure::Unsupported(format!("it is encrypted in a way that is not supported: {error}"))
    };
    let info = EncryptedPrivateKeyInfoRef::try_from(data).map_err(|error| unsupported(&error))?;
    info.decrypt(passphrase).map_err(|error| match is_about_the_passphrase(&error) {
        true => Failure::Passphrase,
        false => unsupported(&error),
    })
}

fn is_about_the_passphrase(error: &pkcs8::Error) -> bool {
    use pkcs8::Error::{Asn1, EncryptedPrivateKey};
    // What was not decrypted is hardly ever DER.
    matches!(error, EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) | Asn1(_))
}

#[cfg(test)]
mod tests {
    use gatepost_protocol::secret::Secret;

    use super::*;
    use crate::certificates::signing_key;

    const KEYS: &str = include_str!("tests/keys.txt");

    /// The public key that the private key of a text belongs to.
    fn load_public(text: &str, passphrases: &[&str]) -> Result<Vec<u8>, String> {
        let passphrases: Vec<_> = passphrases.iter().map(|text| Secret::from(text.as_bytes())).collect();
        let passphrases = Passphrases { directive: "ssl_password_file", phrases: &passphrases };
        load(text.as_bytes(), passphrases, |der| {
            let key = signing_key(der).map_err(|error| error.to_string())?;
            Ok(key.public_key().expect("a public key").to_vec())
        })
    }

    /// The keys of the file with their titles.
    fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
        KEYS.split("\n\n").skip(1).filter_map(|case| {
            let title =
                case.lines().next().filter(|line| line.starts_with("ec: ") || line.starts_with("rsa: "))?;
            // Headers end with an empty line, too: the key may be in two pieces.
            let key = &KEYS[KEYS.find(title)? + title.len()..];
            let end = key.find("-----END ")?;
            Some((title, &key[..end + key[end..].find('\n')? + 1]))
        })
    }

    #[test]
    fn keys_of_openssl_in_all_forms() {
        let mut of_kind = [None, None];
        let mut count = 0;
        for (title, text) in keys() {
            let expected = &mut of_kind[usize::from(title.starts_with("rsa"))];
            let found = load_public(text, &["wrong", "", "sesame"]).expect(title);
            assert_eq!(found, *expected.get_or_insert_with(|| found.clone()), "{title}");
            let is_encrypted = !title.contains("clear");
            assert_eq!(load_public(text, &["Sesame"]).is_err(), is_encrypted, "{title}");
            assert_eq!(load_public(text, &[]).is_err(), is_encrypted, "{title}");
            count += 1;
        }
        assert_eq!(count, 17);
    }

    #[test]
    fn why_a_key_cannot_be_had() {
        let (_, encrypted) = keys().find(|(title, _)| title.contains("scrypt")).expect("an encrypted key");
        let (_, traditional) = keys().find(|(title, _)| title.contains("des3")).expect("a traditional key");
        let pkcs12 = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGxMBwGCiqGSIb3DQEMAQMwDgQIktmyt1bKC6cCAggABIGQMlvAKKtw/cc1lcin
I2tFUxfTeGEzgO2ewOK/1VN5scmfk3gXrAuvzK2HYxyQfUnnOEDGr8ni6YHVgSbx
7WYpdh+6jxECkw/uBfAiO9xPHpVp6sO2RS8isBCI8jo3lhkTcOSrzblSyTBZQe/6
cXjkAL39pura1cPJCxftIUwcc9Ms+EZQH1K1wq0aydZVnWat
-----END ENCRYPTED PRIVATE KEY-----
";
        let with_info = |info: &str| {
            format!(
                "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n{info}\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
            )
        };
        let camellia = with_info("DEK-Info: CAMELLIA-256-CBC,5141A611386A2B1C5F6966C9DC84ED1A");
        for (text, expected) in [
            ("", "no private key in PEM form in it"),
            ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "no private key in PEM form in it"),
            (encrypted, "it is encrypted, and none of the passphrases in \"ssl_password_file\" fits"),
            (traditional, "it is encrypted, and none of the passphrases in \"ssl_password_file\" fits"),
            (pkcs12, "it is encrypted in a way that is not supported: "),
            (&camellia, "it is encrypted with CAMELLIA-256-CBC, which is not supported"),
            (&with_info("DEK-Info: AES-256-CBC"), "its \"DEK-Info\" has no initial vector"),
            (&with_info("DEK-Info: AES-256-CBC,00"), "its \"DEK-Info\" has no initial vector of 16 bytes"),
            (&with_info("X: y"), "its \"DEK-Info\" has no initial vector"),
            (&camellia.replace("EC PRIV", "DSA PRIV"), "\"DSA PRIVATE KEY\" is not supported"),
            (
                "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n",
                "\"DSA PRIVATE KEY\" is not supported",
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA",
                "\"-----END ENCRYPTED PRIVATE KEY-----\" is missing",
            ),
        ] {
            let error = load_public(text, &["wrong"]).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
        let expected = "it is encrypted, and there is no \"ssl_password_file\" with its passphrase";
        assert_eq!(load_public(encrypted, &[]), Err(expected.into()));
    }

    #[test]
    fn what_stands_before_a_key_is_passed_over() {
        let (_, key) = keys().next().expect("a key");
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        assert_eq!(load_public(&format!("text\n{parameters}{key}"), &[]), load_public(key, &[]));
    }
}
