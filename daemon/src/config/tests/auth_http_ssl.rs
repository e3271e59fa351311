//! `auth_http https://...`, and what goes with it.

use rustls::pki_types::ServerName;

use super::*;
use crate::log::lines::peer_text;

fn read(directives: &str) -> Outcome {
    let text =
        in_mail(&format!("auth_http_ssl_trusted_certificate c;\nserver {{ listen 143; {directives} }}"));
    let machine = machine_with_certificate().with_host("under_score.example", &["192.0.2.9"]);
    read_on(machine, &text)
}

fn auth(directives: &str) -> AuthServer {
    let config = read(directives).config.unwrap_or_else(|error| panic!("{error}: {directives}"));
    config.binds[0].listens[0].server.auth.clone()
}

/// The addresses, those under TLS with the name that certificates must be for.
fn addresses(directives: &str) -> String {
    let shown = auth(directives).addresses.into_iter().map(|AuthAddress { peer, tls }| match tls {
        None => peer_text(&peer),
        Some(tls) => format!("{}={}", peer_text(&peer), tls.name.to_str()),
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn addresses_and_names() {
    for (directives, expected) in [
        ("auth_http https://one.example/auth;", "192.0.2.1:443=one.example"),
        ("auth_http https://one.example:8443?x;", "192.0.2.1:8443=one.example"),
        ("auth_http https://192.0.2.7;", "192.0.2.7:443=192.0.2.7"),
        ("auth_http https://[2001:db8::7]/;", "[2001:db8::7]:443=2001:db8::7"),
        ("auth_http https://unix:/run/auth:/x;", "unix:/run/auth=localhost"),
        ("auth_http https://two.example;", "192.0.2.1:443=two.example [2001:db8::1]:443=two.example"),
        ("auth_http https://192.0.2.7; auth_http_ssl_name a.example;", "192.0.2.7:443=a.example"),
        ("auth_http https://under_score.example;", "192.0.2.9:443=under_score.example"),
        // Another address of the same server.
        (
            "auth_http https://one.example:8443; auth_http_backup 192.0.2.2 192.0.2.3:9;",
            "192.0.2.1:8443=one.example 192.0.2.2:443=one.example 192.0.2.3:9=one.example",
        ),
        // A server of its own.
        (
            "auth_http https://one.example; auth_http_backup https://[::1]:9 http://192.0.2.2 http://[::1]:9;",
            "192.0.2.1:443=one.example [::1]:9=::1 192.0.2.2:80 [::1]:9",
        ),
        (
            "auth_http 192.0.2.7; auth_http_backup 192.0.2.8 https://192.0.2.7 https://192.0.2.7:443;",
            "192.0.2.7:80 192.0.2.8:80 192.0.2.7:443=192.0.2.7",
        ),
    ] {
        assert_eq!(addresses(directives), expected, "{directives}");
    }
    let settings = auth("auth_http https://one.example:8443/auth;").settings;
    assert_eq!((settings.host(), settings.uri()), ("one.example", "/auth"));
}

#[test]
fn servers_that_say_the_same_share_connections_and_sessions() {
    let text = in_mail(
        "auth_http https://one.example; auth_http_ssl_verify off; auth_http_backup https://192.0.2.2;
         server { listen 143; } server { listen 110; }
         server { listen 25; protocol smtp; auth_http_ssl_verify_depth 2; }",
    );
    let config = read_on(machine(), &text).config.expect("a configuration");
    let addresses: Vec<_> =
        config.binds.iter().map(|bind| bind.listens[0].server.auth.addresses.clone()).collect();
    assert_eq!((addresses.len(), addresses[0].len()), (3, 2));
    assert_eq!(addresses[0], addresses[1]);
    assert_ne!(addresses[0][0], addresses[2][0]);
    let config = |address: &AuthAddress| Arc::clone(&address.tls.as_ref().expect("TLS").config);
    assert!(Arc::ptr_eq(&config(&addresses[0][0]), &config(&addresses[1][1])));
}

#[test]
fn what_the_handshake_is_made_of() {
    let tls = |directives: &str| {
        let auth = auth(&format!("auth_http https://one.example; {directives}"));
        auth.addresses[0].tls.clone().expect("TLS")
    };
    let AuthTls { config, name } = tls("");
    assert!(config.enable_sni && !config.client_auth_cert_resolver.has_certs());
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(name, ServerName::try_from("one.example").expect("a name"));
    let AuthTls { config, name } =
        tls("auth_http_ssl_server_name off; auth_http_ssl_name 192.0.2.1; auth_http_ssl_certificate c;
         auth_http_ssl_certificate_key k; auth_http_ssl_protocols TLSv1.3; auth_http_ssl_ciphers HIGH;
         auth_http_ssl_session_reuse off; auth_http_ssl_verify_depth 2;");
    assert!(!config.enable_sni && config.client_auth_cert_resolver.has_certs());
    assert_eq!(name.to_str(), "192.0.2.1");
}

#[test]
fn servers_take_it_from_mail() {
    let text = in_mail(
        "auth_http https://one.example; auth_http_ssl_verify off; auth_http_ssl_name a.example;
         server { listen 143; } server { listen 110; auth_http_ssl_name b.example; }
         server { listen 25; protocol smtp; auth_http one.example; }",
    );
    let config = read_on(machine(), &text).config.expect("a configuration");
    let names = config.binds.iter().map(|bind| {
        let tls = bind.listens[0].server.auth.addresses[0].tls.as_ref();
        tls.map(|tls| tls.name.to_str().into_owned())
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names, [Some("a.example".to_owned()), Some("b.example".to_owned()), None]);
}

#[test]
fn what_is_wrong_is_named() {
    for (directives, expected) in [
        ("auth_http https://;", "no host in auth_http \"https://\" in /nginx.conf:2"),
        ("auth_http https://h:x/;", "invalid port in auth_http \"https://h:x/\" in /nginx.conf:2"),
        ("auth_http https://none.example/;", "host not found in auth_http \"https://none.example/\" in "),
        (
            "auth_http_backup https://192.0.2.2/auth;",
            "invalid host in auth_http_backup \"https://192.0.2.2/auth\" in /nginx.conf:2",
        ),
        (
            "auth_http https://192.0.2.2; auth_http_ssl_trusted_certificate x;",
            "SSL_CTX_load_verify_locations(\"/x\") failed (SSL: open() failed (2: No such file or directory))",
        ),
        (
            "auth_http_backup https://192.0.2.2; auth_http_ssl_crl e;",
            "cannot load CRL \"/e\": no CRL in PEM form in it",
        ),
        (
            "auth_http https://192.0.2.2; auth_http_ssl_certificate c;",
            "no \"auth_http_ssl_certificate_key\" is defined for certificate \"/c\"",
        ),
        (
            "auth_http https://192.0.2.2; auth_http_ssl_protocols TLSv1;",
            "\"auth_http_ssl_protocols\" has neither \"TLSv1.2\" nor \"TLSv1.3\" in /nginx.conf:2",
        ),
        ("auth_http_ssl_name \"a b\";", "invalid name \"a b\" in \"auth_http_ssl_name\" in /nginx.conf:2"),
        ("auth_http https://0.0..1;", "no certificate can be for \"0.0..1\" in /nginx.conf:2"),
    ] {
        let error = read(directives).config.err().map(|error| error.to_string());
        assert!(error.as_deref().is_some_and(|error| error.starts_with(expected)), "{directives}: {error:?}");
    }
}

#[test]
fn somebody_must_be_trusted() {
    for url in ["auth_http https://192.0.2.2;", "auth_http_backup 192.0.2.2 https://192.0.2.3;"] {
        let outcome = super::read(&in_mail(&format!("\nserver {{ listen 143; {url} }}")));
        let [error] = &outcome.errors[..] else { panic!("{:?}", outcome.errors) };
        let expected = "no auth_http_ssl_trusted_certificate for auth_http_ssl_verify in /nginx.conf:2";
        assert_eq!(error.to_string(), expected);
        let hint = error.hint().expect("a hint");
        assert!(
            hint.contains("CA of the auth server") && hint.contains("\"auth_http_ssl_verify off\""),
            "{hint}"
        );
    }
    // Not for whom nobody asks, and what is refused already is not missed.
    good(&in_server("auth_http_ssl_verify on;"));
    let outcome = super::read(&in_server("auth_http https://192.0.2.2; auth_http_ssl_verify maybe;"));
    assert_eq!(outcome.errors.len(), 1, "{:?}", outcome.errors);
}
