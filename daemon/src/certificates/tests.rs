use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use rustls::version::{TLS12, TLS13};

use super::*;

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A self-signed certificate for these names and its key, both PEM.
fn pair(names: &[&str], algorithm: &'static SignatureAlgorithm) -> (String, String) {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).expect("names");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn settings(pairs: &[(String, String)]) -> Settings<'_> {
    Settings {
        protocol: Protocol::Imap,
        pairs,
        versions: VERSIONS,
        tickets: Some(Duration::from_secs(300)),
        prefers_own_ciphers: false,
    }
}

/// Why these contents of `/c` and `/k` are refused.
fn refusal(certificate: &str, key: &str) -> String {
    let read = |path: &Path| match path.to_str() {
        Some("/c") => Ok(certificate.into()),
        Some("/k") => Ok(key.into()),
        _ => Err(io::Error::from_raw_os_error(2)),
    };
    let pairs = [("/c".to_owned(), "/k".to_owned())];
    server_config(&settings(&pairs), &read).expect_err("a refusal")
}

#[test]
fn a_pair_makes_a_config() {
    let (certificate, key) = pair(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let read = |path: &Path| {
        assert_eq!(path, Path::new("/etc/c.pem"));
        Ok((certificate.clone() + &certificate).into())
    };
    let pairs = [("/etc/c.pem".to_owned(), format!("data:{key}"))];
    let config = server_config(&settings(&pairs), &read).expect("a config");
    assert_eq!(config.alpn_protocols, [b"imap"]);
    assert!(config.ticketer.enabled());
    assert_eq!(config.ticketer.lifetime(), 300);
    let ticket = config.ticketer.encrypt(b"session").expect("a ticket");
    assert_eq!(config.ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]));

    let without = Settings { tickets: None, ..settings(&pairs) };
    assert!(!server_config(&without, &read).expect("a config").ticketer.enabled());
    let never = Settings { versions: &[], ..settings(&pairs) };
    assert!(server_config(&never, &read).is_err());
}

#[test]
fn refusals_name_the_file_and_the_reason() {
    let (certificate, key) = pair(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let (_, other) = pair(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, key, expected) in [
        ("", key.as_str(), "cannot load certificate \"/c\": there is no PEM certificate in it"),
        (&key, &key, "cannot load certificate \"/c\": there is no PEM certificate in it"),
        (garbage, &key, "cannot load certificate \"/c\": this is no X.509 certificate"),
        (&certificate, "", "cannot load certificate key \"/k\": there is no PEM private key in it"),
        (
            &certificate,
            encrypted,
            "cannot load certificate key \"/k\": it is encrypted; only keys without passphrase can be read",
        ),
        (
            &certificate,
            &other,
            "SSL_CTX_use_PrivateKey(\"/k\") failed (key values mismatch: it is not the key of \"/c\")",
        ),
    ] {
        assert_eq!(refusal(certificate, key), expected);
    }
    let cut = &certificate[..certificate.len() - 30];
    assert!(refusal(cut, &key).starts_with("cannot load certificate \"/c\": broken PEM: "));

    let missing = [("/none".to_owned(), "/k".to_owned())];
    let error = server_config(&settings(&missing), &|_| Err(io::Error::from_raw_os_error(2)));
    let expected = "cannot load certificate \"/none\": open() failed (2: No such file or directory)";
    assert_eq!(error.expect_err("no file"), expected);
}

#[test]
fn no_message_shows_a_key_of_the_configuration() {
    let (certificate, key) = pair(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let (_, other) = pair(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let broken = &key[..key.len() - 30];
    for key in [other.as_str(), broken, "x"] {
        let pairs = [(format!("data:{certificate}"), format!("data:{key}"))];
        let error = server_config(&settings(&pairs), &|_| Ok(Vec::new())).expect_err("a refusal");
        assert!(error.contains("\"data:...\"") && !error.contains("BEGIN"), "{error}");
    }
}

#[test]
fn the_name_chooses_before_the_order_and_the_signature_before_the_name() {
    let load_one = |(certificate, key): (String, String)| {
        let [certificate, key] = [certificate, key].map(|pem| format!("data:{pem}"));
        load(&certificate, &key, &provider(), &|_| Ok(Vec::new())).expect("a pair")
    };
    let first = load_one(pair(&["a.test"], &PKCS_ECDSA_P256_SHA256));
    let second = load_one(pair(&["b.test", "*.b.test"], &PKCS_ECDSA_P256_SHA256));
    let third = load_one(pair(&["a.test"], &PKCS_ED25519));
    let certificates = Certificates(vec![first, second, third]);
    let chosen = |name, schemes: &[SignatureScheme]| {
        let chosen = certificates.choose(name, schemes).expect("a certificate");
        certificates.0.iter().position(|pair| Arc::ptr_eq(pair, &chosen))
    };
    let (ecdsa, ed25519) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519);
    for (name, schemes, expected) in [
        (None, &[ecdsa, ed25519][..], 0),
        (Some("a.test"), &[ecdsa, ed25519], 0),
        (Some("b.test"), &[ecdsa, ed25519], 1),
        (Some("x.b.test"), &[ecdsa], 1),
        (Some("other.test"), &[ecdsa], 0),
        (Some("not a name"), &[ecdsa], 0),
        (Some("a.test"), &[ed25519], 2),
        (Some("b.test"), &[ed25519], 2),
        (Some("b.test"), &[SignatureScheme::RSA_PKCS1_SHA256], 0),
    ] {
        assert_eq!(chosen(name, schemes), Some(expected), "{name:?} {schemes:?}");
    }
}
