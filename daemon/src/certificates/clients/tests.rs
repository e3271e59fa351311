use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The middle of 2025, and when everything here is valid unless a test says otherwise: 2024 to 2026.
const NOW: u64 = 1_750_000_000;

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(2024, 1, 1);
    parameters.not_after = date_time_ymd(2026, 12, 31);
    parameters
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = named(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn root_of(parameters: CertificateParams) -> Authority {
    CertifiedIssuer::self_signed(parameters, key()).expect("a certificate")
}

fn signed(parameters: &CertificateParams, issuer: &Authority) -> CertificateDer<'static> {
    parameters.signed_by(&key(), issuer).expect("a certificate").der().clone()
}

fn client(serial: u64) -> CertificateParams {
    let mut parameters = named("joe");
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters
}

fn verifier(listed: &[&CertificateDer<'static>]) -> Verifier {
    Verifier::new(KeyUsage::client_auth(), listed.iter().map(|&der| der.clone()).collect(), Vec::new(), 1)
}

/// The code, 0 for success.
fn code(verifier: &Verifier, chain: &[CertificateDer<'static>]) -> u32 {
    verifier.verify(chain, NOW).failure.map_or(0, |failure| failure.code)
}

#[test]
fn chains_end_in_a_trusted_root() {
    let root = root_of(authority("root"));
    let stranger = root_of(authority("stranger"));
    let namesake = root_of(authority("root"));
    let trusting = verifier(&[root.der()]);
    let good = signed(&client(1), &root);
    assert_eq!(code(&trusting, std::slice::from_ref(&good)), 0);
    assert_eq!(code(&trusting, &[good.clone(), root.der().clone()]), 0);
    let bad = signed(&client(1), &stranger);
    assert_eq!(code(&trusting, std::slice::from_ref(&bad)), 21);
    assert_eq!(code(&trusting, &[bad, stranger.der().clone()]), 19);
    assert_ne!(code(&trusting, &[signed(&client(1), &namesake)]), 0);
    assert_eq!(code(&verifier(&[]), &[good]), 21);
    assert_eq!(code(&trusting, &[CertificateDer::from(vec![0x30, 0])]), 1);
}

#[test]
fn intermediates_come_with_the_client_or_from_the_files_up_to_the_depth() {
    let root = root_of(authority("root"));
    let middle = CertifiedIssuer::signed_by(authority("middle"), key(), &root).expect("a certificate");
    let lower = CertifiedIssuer::signed_by(authority("lower"), key(), &middle).expect("a certificate");
    let (near, far) = (signed(&client(1), &middle), signed(&client(2), &lower));
    let trusting = verifier(&[root.der()]);
    assert_eq!(code(&trusting, std::slice::from_ref(&near)), 21);
    assert_eq!(code(&trusting, &[near.clone(), middle.der().clone()]), 0);
    assert_eq!(code(&verifier(&[root.der(), middle.der()]), std::slice::from_ref(&near)), 0);
    assert_eq!(code(&trusting, &[far.clone(), lower.der().clone()]), 20);
    let whole = [far, lower.der().clone(), middle.der().clone()];
    assert_eq!(code(&trusting, &whole), 22);
    assert_eq!(code(&Verifier { depth: 2, ..verifier(&[root.der()]) }, &whole), 0);
    assert_eq!(
        code(&Verifier { depth: 0, ..verifier(&[root.der()]) }, &[near.clone(), middle.der().clone()]),
        22
    );
    // An intermediate alone is nothing that a chain may end in.
    assert_ne!(code(&verifier(&[middle.der()]), &[near]), 0);
}

#[test]
fn time_counts_for_clients_and_roots() {
    let root = root_of(authority("root"));
    let mut expired = client(1);
    expired.not_after = date_time_ymd(2025, 1, 1);
    let mut early = client(1);
    early.not_before = date_time_ymd(2026, 1, 1);
    let trusting = verifier(&[root.der()]);
    assert_eq!(code(&trusting, &[signed(&expired, &root)]), 10);
    assert_eq!(code(&trusting, &[signed(&early, &root)]), 9);
    let mut old = authority("root");
    old.not_after = date_time_ymd(2025, 1, 1);
    let old = root_of(old);
    assert_eq!(code(&verifier(&[old.der()]), &[signed(&client(1), &old)]), 10);
}

#[test]
fn only_authorities_sign() {
    let root = root_of(authority("root"));
    let pinned = root_of(named("pinned"));
    assert_eq!(code(&verifier(&[pinned.der()]), std::slice::from_ref(pinned.der())), 0);
    assert_ne!(code(&verifier(&[pinned.der()]), &[signed(&client(1), &pinned)]), 0);
    let user = CertifiedIssuer::signed_by(named("user"), key(), &root).expect("a certificate");
    assert_ne!(code(&verifier(&[root.der()]), &[signed(&client(1), &user), user.der().clone()]), 0);
    let mut narrow = authority("root");
    narrow.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let narrow = root_of(narrow);
    let middle = CertifiedIssuer::signed_by(authority("middle"), key(), &narrow).expect("a certificate");
    let chain = [signed(&client(1), &middle), middle.der().clone()];
    assert_eq!(code(&verifier(&[narrow.der()]), &chain), 25);
}

#[test]
fn certificates_that_sign_themselves() {
    let own = root_of(authority("own"));
    let chain = std::slice::from_ref(own.der());
    let found = verifier(&[]).verify(chain, NOW).failure.expect("a stranger");
    assert_eq!((found.code, found.is_unknown_issuer), (18, true));
    assert_eq!(code(&verifier(&[own.der()]), chain), 0, "who is listed is known");
    let mut expired = authority("own");
    expired.not_after = date_time_ymd(2025, 1, 1);
    let expired = root_of(expired);
    for listed in [&[][..], &[expired.der()]] {
        let found = verifier(listed).verify(std::slice::from_ref(expired.der()), NOW).failure;
        assert_eq!(found.map(|failure| (failure.code, failure.is_unknown_issuer)), Some((10, false)));
    }
}

#[test]
fn purposes() {
    let root = root_of(authority("root"));
    for (purpose, expected) in
        [(ExtendedKeyUsagePurpose::ClientAuth, 0), (ExtendedKeyUsagePurpose::ServerAuth, 26)]
    {
        let mut parameters = client(1);
        parameters.extended_key_usages = vec![purpose];
        assert_eq!(code(&verifier(&[root.der()]), &[signed(&parameters, &root)]), expected);
    }
}

fn crl(issuer: &Authority, revoked: u64, next_update: i32) -> String {
    let parameters = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(next_update, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(revoked),
            revocation_time: date_time_ymd(2024, 6, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    parameters.signed_by(issuer).expect("a list").pem().expect("PEM")
}

#[test]
fn revocation_lists() {
    let (root, other) = (root_of(authority("root")), root_of(authority("other")));
    let with = |text: String| Verifier {
        crls: crls(text.as_bytes()).expect("lists"),
        ..verifier(&[root.der(), other.der()])
    };
    let (good, revoked) = (signed(&client(1), &root), signed(&client(2), &root));
    let verifier = with(crl(&root, 2, 2026));
    assert_eq!(code(&verifier, std::slice::from_ref(&good)), 0);
    assert_eq!(code(&verifier, &[revoked]), 23);
    assert_eq!(code(&verifier, &[signed(&client(1), &other)]), 3, "an authority without a list");
    assert_eq!(code(&with(crl(&root, 2, 2025)), &[good]), 12);
    assert_eq!(crls(b"").expect_err("nothing"), "no CRL in PEM form in it");
}

#[test]
fn authorities_of_version_1() {
    let text = include_str!("tests/version1.pem");
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = certificates.expect("certificates");
    let parsed = parse(&certificates[1]).expect("a certificate");
    let now = validity(&parsed).0.max(validity(&parse(&certificates[0]).expect("a certificate")).0);
    let trusting = verifier(&[&certificates[1]]);
    assert_eq!(trusting.verify(&certificates[..1], now).failure, None);
    assert_eq!(trusting.verify(&certificates, now).failure, None);
    let failure = verifier(&[]).verify(&certificates, now).failure.expect("a stranger");
    assert_eq!(failure.code, 19);
}

#[test]
fn what_is_known_of_a_certificate() {
    let root = root_of(authority("My CA"));
    let der = signed(&client(0xab_cdef), &root);
    let found = verifier(&[root.der()]).verify(std::slice::from_ref(&der), NOW);
    assert_eq!((&*found.subject, &*found.issuer), ("CN=joe", "CN=My CA"));
    assert_eq!(&*found.serial, "ABCDEF");
    assert_eq!(found.common_name.as_deref(), Some("joe"));
    assert_eq!(*found.der, *der);
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    assert_eq!(*found.fingerprint, *data_encoding::HEXLOWER.encode(sha1.as_ref()));
}
