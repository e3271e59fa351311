use gatepost_protocol::secret::Secret;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

use super::*;
use crate::sys::SharedMemory;

/// A self-signed certificate and its key, both PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let parameters = CertificateParams::new(["a.example".to_owned()]).expect("a name");
    (parameters.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn settings(certificate: &str, key: &str) -> Settings<'static> {
    let from = |text: &str| match text.strip_prefix('/') {
        Some(_) => Certificates::File(text.into()),
        None => Certificates::Data(text.as_bytes().into()),
    };
    Settings {
        pairs: vec![(from(certificate), from(key))],
        passphrases: Passphrases { directive: "ssl_password_file", phrases: &[] },
        negotiation: Negotiation::new(true, true, DEFAULT_CIPHERS).expect("the default"),
        session_cache: SessionCache::Off,
        ticket_keys: TicketKeys::Shared(Arc::new(SharedMemory::new(TICKETS_SIZE).expect("memory"))),
        session_timeout: Duration::from_secs(300),
        alpn: "imap",
        clients: None,
    }
}

/// Reads no file.
fn missing(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::Error::from_raw_os_error(2))
}

#[test]
fn a_pair_makes_settings() {
    let (certificate, key) = pair();
    let read = |path: &Path| match path.to_str() {
        Some("/c") => Ok((certificate.clone() + &certificate).into()),
        Some("/k") => Ok(format!("some text\n{key}").into()),
        _ => missing(path),
    };
    let config = server_config(&settings("/c", "/k"), &read).expect("settings");
    assert_eq!(config.alpn_protocols, [b"imap"]);
    assert_eq!(config.ticketer.lifetime(), 300);
    let ticket = config.ticketer.encrypt(b"session").expect("a ticket");
    assert_eq!(config.ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]));

    let mut without = settings(&certificate, &key);
    without.negotiation.tickets = false;
    assert!(!server_config(&without, &missing).expect("settings").ticketer.enabled());
}

#[test]
fn refusals_name_the_file_and_the_reason() {
    let (certificate, key) = pair();
    let (_, other) = pair();
    let read = |path: &Path| match path.to_str() {
        Some("/c") => Ok(certificate.clone().into()),
        Some("/k") => Ok(key.clone().into()),
        Some("/other") => Ok(other.clone().into()),
        Some("/empty") => Ok(Vec::new()),
        Some("/broken") => Ok(certificate.replace("-----END", "-----").into()),
        Some("/cut") => Ok(certificate.replace("-----END", "A\n-----END").into()),
        Some("/garbage") => Ok("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()),
        Some("/encrypted") => {
            Ok("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".into())
        }
        _ => missing(path),
    };
    for (certificate, key, expected) in [
        ("/none", "/k", "cannot load certificate \"/none\": open() failed (2: No such file or directory)"),
        (
            "/c",
            "/none",
            "cannot load certificate key \"/none\": open() failed (2: No such file or directory)",
        ),
        ("/empty", "/k", "cannot load certificate \"/empty\": no certificate in PEM form in it"),
        ("/k", "/k", "cannot load certificate \"/k\": no certificate in PEM form in it"),
        ("/broken", "/k", "cannot load certificate \"/broken\": \"-----END CERTIFICATE-----\" is missing"),
        ("/c", "/c", "cannot load certificate key \"/c\": no private key in PEM form in it"),
        (
            "/c",
            "/encrypted",
            "cannot load certificate key \"/encrypted\": it is encrypted, and there is no \"ssl_password_file\" with its passphrase",
        ),
        (
            "/c",
            "/other",
            "SSL_CTX_use_PrivateKey(\"/other\") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)",
        ),
    ] {
        let error = server_config(&settings(certificate, key), &read).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
    for (certificate, expected) in
        [("/garbage", "invalid certificate: "), ("/cut", "bad base64 in \"CERTIFICATE\": ")]
    {
        let error =
            server_config(&settings(certificate, "/k"), &read).expect_err("no certificate").to_string();
        assert!(
            error.starts_with(&format!("cannot load certificate \"{certificate}\": {expected}")),
            "{error}"
        );
    }
}

/// The certificates of version 1 with their keys.
fn version1() -> Vec<(String, String)> {
    let texts = [include_str!("tests/version1.txt"), include_str!("tests/keys.txt")];
    let [ec, rsa] =
        ["ec: PKCS#8 in clear", "rsa: traditional"].map(|title| texts[1].split(title).nth(1).expect("a key"));
    let certificates = texts[0].split("\n\n").skip(1);
    certificates.zip([ec, rsa]).map(|(certificate, key)| (certificate.to_owned(), key.to_owned())).collect()
}

#[test]
fn certificates_of_version_1_are_presented() {
    let phrases = [Secret::from(&b"sesame"[..])];
    let passphrases = Passphrases { directive: "ssl_password_file", phrases: &phrases };
    let pairs = version1();
    for (certificate, key) in &pairs {
        let settings = Settings { passphrases, ..settings(certificate, key) };
        server_config(&settings, &missing).expect("settings");
    }
    let settings = Settings { passphrases, ..settings(&pairs[0].0, &pairs[1].1) };
    let error = server_config(&settings, &missing).expect_err("the key of another").to_string();
    assert!(error.ends_with("::key values mismatch)"), "{error}");
}

#[test]
fn a_trusted_certificate_is_presented_without_what_was_added() {
    let (certificate, key) = pair();
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let added = [&der[..], &[0x30, 0]].concat();
    let text = data_encoding::BASE64.encode(&added);
    let trusted = format!("-----BEGIN TRUSTED CERTIFICATE-----\n{text}\n-----END TRUSTED CERTIFICATE-----\n");
    assert_eq!(pair::chain(trusted.as_bytes()), Ok(vec![der]));
    server_config(&settings(&trusted, &key), &missing).expect("settings");
}

#[test]
fn keys_of_openssl_are_refused_by_name() {
    let (certificate, _) = pair();
    let key = Certificates::Elsewhere("engine:pkcs11:id".into());
    let settings = Settings {
        pairs: vec![(Certificates::Data(certificate.as_bytes().into()), key)],
        ..settings("/c", "/k")
    };
    let error = server_config(&settings, &missing).expect_err("no engine").to_string();
    assert_eq!(
        error,
        "cannot load certificate key \"engine:pkcs11:id\": only files and \"data:\" are supported"
    );
}

#[test]
fn no_message_shows_a_key_of_the_configuration() {
    let (certificate, key) = pair();
    let (_, other) = pair();
    for key in [other.as_str(), &key[..key.len() - 30], "x"] {
        let error = server_config(&settings(&certificate, key), &missing).expect_err("a bad key");
        let shown = format!("{error} {error:?}");
        assert!(error.to_string().contains("\"data:...\""), "{error}");
        // `B` is 66 in a list of bytes.
        assert!(!shown.contains("BEGIN") && !shown.contains("66, 69"), "{shown}");
    }
}

/// Shakes hands in memory, one short exchange included; how the server took the client on.
fn shake_hands(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    let name = "a.example".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        server.read_tls(&mut wire.as_slice()).expect("memory");
        server.process_new_packets().expect("a handshake");
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        client.read_tls(&mut wire.as_slice()).expect("memory");
        client.process_new_packets().expect("a handshake");
    }
    server.handshake_kind().expect("a complete handshake")
}

/// A client that trusts these certificates and resumes its sessions.
fn client(certificates: [&str; 2], tls12: Tls12Resumption) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        roots.add(certificate).expect("a root");
    }
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::in_memory_sessions(16).tls12_resumption(tls12);
    Arc::new(client)
}

#[test]
fn sessions_resume_on_other_workers_and_not_with_other_certificates() {
    let (first, second) = (pair(), pair());
    let memory = |size| Arc::new(SharedMemory::new(size).expect("memory"));
    let in_memory = || TicketKeys::Shared(memory(TICKETS_SIZE));
    let in_file = || TicketKeys::Files([TicketKey::new(&[1; 48]).expect("a key")].into());
    let cache = || SessionCache::Memory(memory(32 * 1024));
    for (tls13, tickets, keys, session_cache, resumption) in [
        (true, true, in_memory(), SessionCache::Off, Tls12Resumption::SessionIdOrTickets),
        (false, true, in_memory(), SessionCache::Off, Tls12Resumption::SessionIdOrTickets),
        (true, true, in_file(), SessionCache::None, Tls12Resumption::SessionIdOrTickets),
        (false, true, in_file(), SessionCache::None, Tls12Resumption::SessionIdOrTickets),
        (true, false, in_memory(), cache(), Tls12Resumption::SessionIdOrTickets),
        (false, false, in_memory(), cache(), Tls12Resumption::SessionIdOrTickets),
        (false, true, in_memory(), cache(), Tls12Resumption::SessionIdOnly),
    ] {
        let server = |(certificate, key): &(String, String)| {
            let mut negotiation = Negotiation::new(!tls13, tls13, DEFAULT_CIPHERS).expect("the default");
            negotiation.tickets = tickets;
            let (ticket_keys, session_cache) = (keys.clone(), session_cache.clone());
            let settings = Settings { negotiation, ticket_keys, session_cache, ..settings(certificate, key) };
            server_config(&settings, &missing).expect("settings")
        };
        let client = client([&first.0, &second.0], resumption);
        let kinds = [&first, &first, &second].map(|pair| shake_hands(&client, &server(pair)));
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Full];
        assert_eq!(kinds, expected, "TLS 1.3: {tls13}, tickets: {tickets}, {resumption:?}");
    }
}
