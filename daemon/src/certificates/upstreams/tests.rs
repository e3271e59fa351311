use bytes::BytesMut;
use gatepost_protocol::transport::{PeerFault, TlsClient, TlsError};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::certificates::DEFAULT_CIPHERS;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn server_parameters() -> CertificateParams {
    CertificateParams::new(["mx.example".to_owned(), "192.0.2.1".to_owned()]).expect("names")
}

fn server(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a server"))
}

fn signed(parameters: &CertificateParams, issuer: &Authority) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.signed_by(&key, issuer).expect("a certificate");
    server(vec![certificate.der().clone()], &key)
}

/// A client that trusts what is in this PEM text.
fn trusting(pem: &str) -> Arc<ClientConfig> {
    let authorities = Certificates::Data(pem.as_bytes().into());
    client(Some(Trust { authorities, crl: None, depth: 1 }))
}

fn client(trust: Option<Trust>) -> Arc<ClientConfig> {
    let negotiation = Negotiation::new(true, true, DEFAULT_CIPHERS).expect("the default");
    let passphrases = Passphrases { directive: "proxy_ssl_password_file", phrases: &[] };
    let settings = UpstreamSettings {
        trust,
        sends_name: true,
        resumes: true,
        pair: None,
        passphrases,
        negotiation,
        alpn: None,
    };
    client_config(&settings, &|_| Err(io::ErrorKind::NotFound.into())).expect("settings")
}

/// How the client takes the server.
fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &'static str) -> Result<(), TlsError> {
    let mut output = BytesMut::new();
    let name = ServerName::try_from(name).expect("a name");
    let mut client = TlsClient::new(client, name, &mut output)?;
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    while client.is_handshaking() || !output.is_empty() {
        let said = output.split();
        server.read_tls(&mut &said[..]).expect("memory");
        server.process_new_packets().expect("TLS");
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        client.receive(&mut wire, &mut output, &mut |_| {})?;
    }
    Ok(())
}

#[track_caller]
fn assert_unverified(outcome: Result<(), TlsError>, code: u32) {
    match outcome.expect_err("a refusal").peer_fault() {
        Some(PeerFault::Unverified(failure)) => assert_eq!(failure.code, code, "{failure}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn chains_names_and_addresses() {
    let root = authority("root");
    let (client, server) = (trusting(&root.pem()), signed(&server_parameters(), &root));
    for name in ["mx.example", "192.0.2.1"] {
        shake(&client, &server, name).expect(name);
    }
    for name in ["other.example", "192.0.2.2"] {
        let error = shake(&client, &server, name).expect_err(name);
        assert_eq!(error.peer_fault(), Some(PeerFault::WrongName(name.into())));
    }
    assert_unverified(shake(&trusting(&authority("other").pem()), &server, "mx.example"), 21);
}

#[test]
fn the_wrong_name_is_told_only_of_who_is_trusted() {
    let server = signed(&server_parameters(), &authority("stranger"));
    assert_unverified(shake(&trusting(&authority("root").pem()), &server, "other.example"), 21);
}

#[test]
fn time_and_purpose_count() {
    let root = authority("root");
    let client = trusting(&root.pem());
    let mut parameters = server_parameters();
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2021, 1, 1);
    assert_unverified(shake(&client, &signed(&parameters, &root), "mx.example"), 10);
    let mut parameters = server_parameters();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    assert_unverified(shake(&client, &signed(&parameters, &root), "mx.example"), 26);
}

/// Such certificates are what many backends have, and mostly say that they are a CA.
#[test]
fn a_self_signed_certificate_may_be_listed_itself() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut parameters = server_parameters();
        parameters.is_ca = is_ca;
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let server = server(vec![certificate.der().clone()], &key);
        shake(&trusting(&certificate.pem()), &server, "mx.example").expect("listed");
        assert_unverified(shake(&trusting(&authority("root").pem()), &server, "mx.example"), 18);
    }
}

#[test]
fn without_verification_anybody_will_do() {
    let server = signed(&server_parameters(), &authority("stranger"));
    shake(&client(None), &server, "other.example").expect("no question is asked");
}
