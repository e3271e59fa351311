use gatepost_protocol::config::ProxySsl;

use super::*;

fn read(directives: &str) -> Outcome {
    read_on(machine_with_certificate(), &in_mail(&format!("\nserver {{ listen 143; {directives} }}")))
}

fn backend_tls(directives: &str) -> gatepost_protocol::config::BackendTls {
    let config = read(directives).config.expect("a configuration");
    config.binds[0].listens[0].server.engine.proxy_ssl.clone()
}

#[test]
fn tls_to_backends_is_off_by_default() {
    let tls = backend_tls("");
    assert_eq!((tls.mode, tls.config.is_none(), tls.name), (ProxySsl::Off, true, None));
}

#[test]
fn modes_and_what_auth_servers_may_choose() {
    for (directives, mode, is_prepared) in [
        ("proxy_ssl on; proxy_ssl_trusted_certificate c;", ProxySsl::On, true),
        ("proxy_ssl STARTTLS; proxy_ssl_verify off;", ProxySsl::StartTls, true),
        ("proxy_ssl off;", ProxySsl::Off, false),
        ("proxy_ssl off; proxy_ssl_trusted_certificate c;", ProxySsl::Off, true),
        ("proxy_ssl_verify off;", ProxySsl::Off, true),
        ("proxy_ssl_verify on;", ProxySsl::Off, false),
        ("proxy_ssl_name mx.example;", ProxySsl::Off, false),
    ] {
        let tls = backend_tls(directives);
        assert_eq!((tls.mode, tls.config.is_some()), (mode, is_prepared), "{directives}");
    }
}

#[test]
fn what_the_handshake_is_made_of() {
    let tls = backend_tls("proxy_ssl on; proxy_ssl_trusted_certificate c;");
    let config = tls.config.expect("TLS");
    assert!(config.enable_sni && config.alpn_protocols.is_empty());
    let tls = backend_tls(
        "proxy_ssl on; proxy_ssl_verify off; proxy_ssl_server_name off; proxy_ssl_name 192.0.2.1;
         proxy_ssl_certificate c; proxy_ssl_certificate_key k; proxy_ssl_protocols TLSv1.3;
         proxy_ssl_session_reuse off; proxy_ssl_verify_depth 2;",
    );
    let config = tls.config.expect("TLS");
    assert!(!config.enable_sni && config.client_auth_cert_resolver.has_certs());
    assert_eq!(tls.name.expect("a name").to_str(), "192.0.2.1");
}

#[test]
fn servers_take_it_from_mail() {
    let text = in_mail(
        "proxy_ssl on; proxy_ssl_verify off; server { listen 143; } server { listen 110; proxy_ssl off; }",
    );
    let config = read_on(machine(), &text).config.expect("a configuration");
    let modes: Vec<_> =
        config.binds.iter().map(|bind| bind.listens[0].server.engine.proxy_ssl.mode).collect();
    assert_eq!(modes, [ProxySsl::On, ProxySsl::Off]);
}

#[test]
fn what_is_wrong_is_named() {
    for (directives, expected) in [
        ("proxy_ssl on;", "no proxy_ssl_trusted_certificate for proxy_ssl_verify in /nginx.conf:2"),
        ("proxy_ssl maybe;", "invalid value \"maybe\" in /nginx.conf:2"),
        ("proxy_ssl on; proxy_ssl off;", "\"proxy_ssl\" directive is duplicate in /nginx.conf:2"),
        ("proxy_ssl_name \"a b\";", "invalid name \"a b\" in \"proxy_ssl_name\" in /nginx.conf:2"),
        (
            "proxy_ssl on; proxy_ssl_trusted_certificate x;",
            "SSL_CTX_load_verify_locations(\"/x\") failed (SSL: open() failed (2: No such file or directory))",
        ),
        (
            "proxy_ssl on; proxy_ssl_trusted_certificate c; proxy_ssl_crl e;",
            "cannot load CRL \"/e\": no CRL in PEM form in it",
        ),
        (
            "proxy_ssl on; proxy_ssl_verify off; proxy_ssl_certificate c;",
            "no \"proxy_ssl_certificate_key\" is defined for certificate \"/c\"",
        ),
        (
            "proxy_ssl on; proxy_ssl_verify off; proxy_ssl_protocols TLSv1;",
            "\"proxy_ssl_protocols\" has neither \"TLSv1.2\" nor \"TLSv1.3\" in /nginx.conf:2",
        ),
    ] {
        let outcome = read(directives);
        let error = outcome.config.err().map(|error| error.to_string());
        assert!(error.as_deref().is_some_and(|error| error.starts_with(expected)), "{directives}: {error:?}");
    }
}
