use gatepost_protocol::client_certificate::VerifyClient;
use gatepost_protocol::config::StartTls;

use super::*;

const PAIR: &str = "ssl_certificate c; ssl_certificate_key k;";

fn tls_server(directives: &str) -> (Arc<Server>, Vec<String>) {
    let outcome = read_on(machine_with_certificate(), &in_mail(&format!("{PAIR} server {{ {directives} }}")));
    let config = outcome.config.expect("a configuration");
    let warnings = outcome.report.diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect();
    (Arc::clone(&config.binds[0].listens[0].server.engine), warnings)
}

#[test]
fn tls_is_there_where_it_is_used() {
    assert!(tls_server("listen 143;").0.tls.is_none());
    let (engine, _) = tls_server("listen 995 ssl;");
    assert_eq!(engine.tls.as_ref().expect("TLS").alpn_protocols, [b"pop3"]);
    for (word, expected) in [("on", StartTls::On), ("ONLY", StartTls::Only)] {
        let (engine, _) = tls_server(&format!("listen 143; starttls {word};"));
        assert_eq!((engine.starttls, engine.tls.is_some()), (expected, true));
    }
    let (engine, _) = tls_server("listen 143; starttls off;");
    assert_eq!((engine.starttls, engine.tls.is_some()), (StartTls::Off, false));
}

#[test]
fn ssl_on_is_ssl_on_every_listen() {
    let text = in_mail(&format!("{PAIR} server {{ listen 143; ssl on; }} server {{ listen 110; }}"));
    let outcome = read_on(machine_with_certificate(), &text);
    let config = outcome.config.expect("a configuration");
    let ssl: Vec<_> = config.binds.iter().map(|bind| bind.listens[0].listener.ssl).collect();
    assert_eq!(ssl, [true, false]);
    let expected = "the \"ssl\" directive is deprecated, use the \"listen ... ssl\" directive instead";
    assert!(outcome.report.diagnostics[0].message.starts_with(expected));
}

#[test]
fn what_is_missing_is_named_with_who_wants_it() {
    for (directives, expected) in [
        (
            "listen 993 ssl;",
            "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive in /nginx.conf:2",
        ),
        (
            "listen 993;\nssl on; starttls on;",
            "no \"ssl_certificate\" is defined for the \"ssl\" directive in /nginx.conf:3",
        ),
        (
            "listen 993;\nstarttls on;",
            "no \"ssl_certificate\" is defined for the \"starttls\" directive in /nginx.conf:3",
        ),
        (
            "ssl_certificate c; listen 993 ssl;\nlisten 994 ssl;\nlisten 995;",
            "no \"ssl_certificate_key\" is defined for the \"listen ... ssl\" directive in /nginx.conf:3",
        ),
        (
            "ssl_certificate c; ssl_certificate d; ssl_certificate_key k; listen 993 ssl;",
            "no \"ssl_certificate_key\" is defined for certificate \"d\" and the \"listen ... ssl\" directive in /nginx.conf:2",
        ),
        (
            "ssl_certificate c; ssl_certificate data:x; ssl_certificate_key k; listen 993;\nstarttls only;",
            "no \"ssl_certificate_key\" is defined for certificate \"data:...\" and the \"starttls\" directive in /nginx.conf:3",
        ),
        (
            "ssl_certificate c; ssl_certificate_key k; ssl_protocols TLSv1; listen 993 ssl;",
            "\"ssl_protocols\" has neither \"TLSv1.2\" nor \"TLSv1.3\" in /nginx.conf:2",
        ),
        (
            "ssl_certificate none; ssl_certificate_key k; listen 993 ssl;",
            "cannot load certificate \"/none\": open() failed (2: No such file or directory)",
        ),
    ] {
        assert_eq!(error(&in_mail(&format!("\nserver {{ {directives} }}"))), expected, "{directives}");
    }
}

#[test]
fn what_may_stand_once_and_what_more_often() {
    for directive in [
        "ssl_certificate_compression off",
        "ssl_ciphers x",
        "ssl_client_certificate x",
        "ssl_crl x",
        "ssl_dhparam x",
        "ssl_ecdh_curve auto",
        "ssl_password_file /nginx.conf",
        "ssl_prefer_server_ciphers on",
        "ssl_session_tickets on",
        "ssl_session_timeout 1",
        "ssl_trusted_certificate x",
        "ssl_verify_client off",
        "ssl_verify_depth 1",
        "starttls off",
    ] {
        let name = directive.split(' ').next().expect("a name");
        assert_eq!(
            server_error(&format!("{directive}; {directive};")),
            format!("\"{name}\" directive is duplicate")
        );
        good(&in_mail(&format!("{directive}; server {{ listen 143; {directive}; }}")));
        let misplaced = error(&format!("{directive}; events {{}}"));
        assert_eq!(misplaced, format!("\"{name}\" directive is not allowed here in /nginx.conf:1"));
    }
    for directive in [
        "ssl_certificate x",
        "ssl_certificate_key x",
        "ssl_conf_command a b",
        "ssl_protocols TLSv1.2",
        "ssl_session_cache off",
        "ssl_session_ticket_key x",
    ] {
        good(&in_server(&format!("{directive}; {directive};")));
    }
    let twice = "ssl_protocols TLSv1 tlsv1.3 TLSv1.3; server { listen 143; ssl_protocols SSLv3 sslv3; }";
    assert_eq!(
        warnings(&in_mail(twice)),
        [
            "duplicate value \"TLSv1.3\" in /nginx.conf:1",
            "\"ssl_protocols\" before TLSv1.2 are not spoken in /nginx.conf:1",
            "duplicate value \"sslv3\" in /nginx.conf:1",
        ]
    );
}

#[test]
fn pairs_that_are_none_and_keys_of_openssl() {
    let machine = machine_with_certificate()
        .with_file("/other", machine_with_certificate().read(Path::new("/k")).expect("a key"));
    for (directives, expected) in [
        (
            "ssl_certificate c; ssl_certificate_key other;",
            "SSL_CTX_use_PrivateKey(\"/other\") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)",
        ),
        (
            "ssl_certificate c; ssl_certificate_key none;",
            "cannot load certificate key \"/none\": open() failed (2: No such file or directory)",
        ),
        (
            "ssl_certificate k; ssl_certificate_key k;",
            "cannot load certificate \"/k\": no certificate in PEM form in it",
        ),
        (
            "ssl_certificate c; ssl_certificate_key store:x;",
            "cannot load certificate key \"store:x\": only files and \"data:\" are supported",
        ),
    ] {
        let text = in_mail(&format!("server {{ listen 993 ssl; {directives} }}"));
        let errors = read_on(machine.clone(), &text).config.expect_err(directives);
        assert_eq!(errors.to_string(), expected);
        good(&in_server(directives));
    }
}

#[test]
fn nothing_is_loaded_where_no_server_uses_it() {
    assert_eq!(warnings(&in_server("ssl_certificate none; ssl_certificate_key none;")), [""; 0]);
}

#[test]
fn passphrases_decrypt_keys() {
    let keys = include_str!("../../certificates/tests/keys.txt");
    let key = keys.split("ec: traditional, aes192\n").nth(1).expect("a key");
    let certificate = include_str!("../../certificates/tests/version1.txt");
    let machine = machine().with_file("/c", certificate).with_file("/k", key);
    let machine = machine.with_file("/p", "wrong\nsesame\n").with_file("/x", "wrong");
    for (prefix, server) in [
        ("ssl", "listen 993 ssl;"),
        ("proxy_ssl", "listen 143; proxy_ssl on; proxy_ssl_verify off;"),
        ("auth_http_ssl", "listen 143; auth_http https://192.0.2.1; auth_http_ssl_verify off;"),
    ] {
        let read = |directives: &str| {
            let pair = format!("{prefix}_certificate c; {prefix}_certificate_key k;");
            let text = format!("{pair} {directives} server {{ {server} }}");
            read_on(machine.clone(), &in_mail(&text)).config.map_err(|error| error.to_string())
        };
        assert!(read(&format!("{prefix}_password_file p;")).is_ok());
        for (directives, expected) in [
            (&*format!("{prefix}_password_file x;"), "none of the passphrases in \"*\" fits"),
            ("", "there is no \"*\" with its passphrase"),
        ] {
            let expected = expected.replace('*', &format!("{prefix}_password_file"));
            let expected = format!("cannot load certificate key \"/k\": it is encrypted, and {expected}");
            assert_eq!(read(directives).expect_err("no key"), expected);
        }
    }
    let long = read_on(machine.with_file("/long", "x".repeat(4096)), &in_mail("ssl_password_file long;"));
    let expected = "too long line in \"/long\" in /nginx.conf:1";
    assert_eq!(long.config.expect_err("too long").to_string(), expected);
}

#[test]
fn sessions_and_protocols() {
    let tls =
        |directives: &str| tls_server(&format!("listen 993 ssl; {directives}")).0.tls.clone().expect("TLS");
    assert_eq!(tls("").ticketer.lifetime(), 300);
    assert_eq!(tls("ssl_session_timeout 1y;").ticketer.lifetime(), 604_800);
    assert!(!tls("ssl_session_tickets off;").ticketer.enabled());
    assert!(!tls("").ignore_client_order && tls("ssl_prefer_server_ciphers on;").ignore_client_order);
    tls("ssl_protocols TLSv1.2 TLSv1.3;");
}

#[test]
fn session_caches() {
    let storage = |directives: &str| {
        let engine = tls_server(&format!("listen 993 ssl; {directives}")).0;
        Arc::clone(&engine.tls.as_ref().expect("TLS").session_storage)
    };
    for (directives, can_cache, is_kept) in [
        ("", true, false),
        ("ssl_session_cache none;", true, false),
        ("ssl_session_cache off;", false, false),
        ("ssl_session_cache builtin;", true, true),
        ("ssl_session_cache builtin:0;", true, true),
        ("ssl_session_cache builtin:9223372036854775807;", true, true),
        ("ssl_session_cache shared:a:32k;", true, true),
        ("ssl_session_cache builtin:100 shared:a:1m;", true, true),
        ("ssl_session_cache off shared:a:1m;", false, false),
        ("ssl_session_cache shared:a:1m none;", true, false),
        ("ssl_session_cache off; ssl_session_cache builtin:1;", true, true),
        ("ssl_session_cache shared:a:1m; ssl_session_cache shared:a:1m;", true, true),
    ] {
        let storage = storage(directives);
        assert_eq!(storage.can_cache(), can_cache, "{directives}");
        assert_eq!(storage.put(vec![1], vec![1]), is_kept, "{directives}");
        assert_eq!(storage.get(&[1]).is_some(), is_kept, "{directives}");
    }
}

#[test]
fn parts_of_a_session_cache_are_inherited_one_by_one() {
    let kept = |mail: &str, server: &str| {
        let text = format!("{PAIR} {mail} server {{ listen 993 ssl; {server} }}");
        let config = read_on(machine_with_certificate(), &in_mail(&text)).config.expect("a configuration");
        let engine = &config.binds[0].listens[0].server.engine;
        engine.tls.as_ref().expect("TLS").session_storage.put(vec![1], vec![1])
    };
    assert!(kept("ssl_session_cache shared:a:1m;", ""));
    assert!(kept("ssl_session_cache shared:a:1m;", "ssl_session_cache builtin;"));
    assert!(!kept("ssl_session_cache shared:a:1m;", "ssl_session_cache off;"));
    assert!(kept("ssl_session_cache off;", "ssl_session_cache shared:a:1m;"));
}

#[test]
fn keys_of_tickets_come_from_files() {
    let machine = machine_with_certificate().with_file("/48", [1; 48]).with_file("/80", [2; 80]);
    let machine = machine.with_file("/47", [1; 47]);
    let read = |directives: &str| {
        let text = format!(
            "mail {{ auth_http 127.0.0.1:9;\nserver {{ listen 993 ssl; {PAIR} {directives} }}\n\n}} events {{}}"
        );
        read_on(machine.clone(), &text).config.map_err(|error| error.to_string())
    };
    let ticketer = |directives: &str| {
        let config = read(directives).expect("a configuration");
        Arc::clone(&config.binds[0].listens[0].server.engine.tls.as_ref().expect("TLS").ticketer)
    };
    let [short, both, none] =
        ["ssl_session_ticket_key 48;", "ssl_session_ticket_key 80; ssl_session_ticket_key 48;", ""]
            .map(ticketer);
    let ticket = short.encrypt(b"session").expect("a ticket");
    assert_eq!(both.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(none.decrypt(&ticket), None);
    assert_eq!(short.decrypt(&both.encrypt(b"session").expect("a ticket")), None);
    // Where `mail {}` ends.
    for (directives, expected) in [
        ("ssl_session_ticket_key 47;", "\"/47\" must be 48 or 80 bytes in /nginx.conf:4"),
        (
            "ssl_session_ticket_key 48; ssl_session_ticket_key none;",
            "open() \"/none\" failed (2: No such file or directory) in /nginx.conf:4",
        ),
    ] {
        assert_eq!(read(directives).expect_err(directives), expected);
    }
    good(&in_server("ssl_session_ticket_key none;"));
}

#[test]
fn messages() {
    for (directives, expected) in [
        ("starttls maybe;", "invalid value \"maybe\""),
        ("starttls on; starttls on;", "\"starttls\" directive is duplicate"),
        ("ssl_protocols TLSv9;", "invalid value \"TLSv9\""),
        ("ssl_session_timeout 5ms;", "\"ssl_session_timeout\" directive invalid value"),
        ("ssl_session_cache shared:a;", "invalid session cache \"shared:a\""),
        ("ssl_session_cache shared::1m;", "invalid session cache \"shared::1m\""),
        ("ssl_session_cache shared:a:1g;", "invalid session cache \"shared:a:1g\""),
        ("ssl_session_cache builtin:;", "invalid session cache \"builtin:\""),
        ("ssl_session_cache builtin:x;", "invalid session cache \"builtin:x\""),
        ("ssl_session_cache off:1;", "invalid session cache \"off:1\""),
        ("ssl_session_cache off x;", "invalid session cache \"x\""),
        ("ssl_session_cache OFF;", "invalid session cache \"OFF\""),
        (
            "ssl_session_cache shared:a:1m; ssl_session_cache shared:a:2m;",
            "the size 2097152 of shared memory zone \"a\" conflicts with already declared size 1048576",
        ),
        ("ssl_session_cache x;", "invalid session cache \"x\""),
        ("ssl_session_cache shared:a:31k;", "session cache \"shared:a:31k\" is too small"),
        ("ssl_password_file none;", "open() \"/none\" failed (2: No such file or directory)"),
        (
            "ssl_password_file /nginx.conf; ssl_password_file x;",
            "\"ssl_password_file\" directive is duplicate",
        ),
        ("ssl_verify_depth x;", "\"ssl_verify_depth\" directive invalid number"),
        ("ssl_verify_client maybe;", "invalid value \"maybe\""),
        ("ssl_ciphers a; ssl_ciphers b;", "\"ssl_ciphers\" directive is duplicate"),
        ("ssl_stapling on;", "\"ssl_stapling\" directive is not allowed here"),
    ] {
        assert_eq!(server_error(directives), expected, "{directives}");
    }
}

#[test]
fn client_certificates() {
    let verified = |directives: &str| {
        let (engine, warnings) = tls_server(&format!("listen 993 ssl; {directives}"));
        assert_eq!(warnings, [""; 0], "{directives}");
        engine.verify_client.as_ref().map(|verification| verification.policy)
    };
    assert_eq!(verified(""), None);
    assert_eq!(verified("ssl_verify_client off; ssl_verify_depth 2; ssl_client_certificate none;"), None);
    let on = "ssl_verify_client on; ssl_client_certificate c;";
    assert_eq!(verified(on), Some(VerifyClient::Required));
    let optional = "ssl_verify_client optional; ssl_trusted_certificate c;";
    assert_eq!(verified(optional), Some(VerifyClient::Optional));
    assert_eq!(verified("ssl_verify_client optional_no_ca;"), Some(VerifyClient::OptionalNoCa));
    let missing = "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client";
    for (directives, expected) in [
        ("ssl_verify_client on;", missing),
        ("ssl_verify_client optional;", missing),
        (
            "ssl_verify_client on; ssl_client_certificate none;",
            "SSL_CTX_load_verify_locations(\"/none\") failed (SSL: open() failed (2: No such file or directory))",
        ),
        (
            "ssl_verify_client on; ssl_trusted_certificate k;",
            "SSL_CTX_load_verify_locations(\"/k\") failed (SSL: no certificate in PEM form in it)",
        ),
        (
            "ssl_verify_client on; ssl_trusted_certificate c; ssl_crl c;",
            "cannot load CRL \"/c\": no CRL in PEM form in it",
        ),
    ] {
        let text = in_mail(&format!("{PAIR} server {{ listen 993 ssl; {directives} }}"));
        let report = read_on(machine_with_certificate(), &text);
        assert_eq!(report.config.expect_err("an error").to_string(), expected, "{directives}");
    }
    good(&in_server("ssl_verify_client on;"));
}

#[test]
fn what_has_no_effect_says_so_once() {
    let (_, warnings) = tls_server(
        "listen 993 ssl; ssl_ecdh_curve X25519:X448; ssl_dhparam d; ssl_certificate_compression on;
         ssl_conf_command Options PrioritizeChaCha,ServerPreference; ssl_conf_command VerifyMode Peer;
         ssl_protocols TLSv1 TLSv1.2; } server { listen 995 ssl; ssl_certificate_compression off; ssl_dhparam d;",
    );
    assert_eq!(
        warnings,
        [
            "\"ssl_dhparam\" has no effect in /nginx.conf:1",
            "\"ssl_certificate_compression\" is not supported on this platform, ignored in /nginx.conf:1",
            "\"ssl_protocols\" before TLSv1.2 are not spoken in /nginx.conf:3",
            "\"X448\" in \"ssl_ecdh_curve\" has no effect in /nginx.conf:1",
            "\"ssl_conf_command Options PrioritizeChaCha\" has no effect in /nginx.conf:2",
            "\"ssl_conf_command VerifyMode\" has no effect in /nginx.conf:2",
        ]
    );
    let inherited = "ssl_ecdh_curve X25519:X448; server { listen 993 ssl; } server { listen 995 ssl; }";
    let outcome = read_on(machine_with_certificate(), &in_mail(&format!("{PAIR} {inherited}")));
    assert_eq!(outcome.report.diagnostics.len(), 1);
}

#[test]
fn what_cannot_be_negotiated_is_named() {
    let failed = |directives: &str| {
        let text = in_mail(&format!("{PAIR} server {{ listen 993 ssl; {directives} }}"));
        read_on(machine_with_certificate(), &text).config.expect_err(directives).to_string()
    };
    for (directives, expected) in [
        (
            "ssl_ciphers FOO;",
            "SSL_CTX_set_cipher_list(\"FOO\") failed (SSL: error:0A0000B9:SSL routines::no cipher match)",
        ),
        (
            "ssl_ecdh_curve foo;",
            "SSL_CTX_set1_curves_list(\"foo\") failed (SSL: error:0A080106:SSL routines::passed invalid argument:group 'foo' cannot be set)",
        ),
        ("ssl_ecdh_curve \"\";", "SSL_CTX_set1_curves_list(\"\") failed"),
        (
            "ssl_conf_command A B;",
            "SSL_CONF_cmd(\"A\", \"B\") failed (SSL: error:0A000182:SSL routines::unknown cmd name:cmd=A)",
        ),
        (
            "ssl_dhparam none;",
            "BIO_new_file(\"/none\") failed (SSL: open() failed (2: No such file or directory))",
        ),
        (
            "ssl_dhparam c;",
            "PEM_read_bio_DHparams(\"/c\") failed (SSL: error:0480006C:PEM routines::no start line:Expecting: DH PARAMETERS)",
        ),
        (
            "ssl_conf_command MaxProtocol TLSv1.1;",
            "\"ssl_conf_command\" leaves no protocol with a cipher suite in /nginx.conf:1",
        ),
    ] {
        assert_eq!(failed(directives), expected, "{directives}");
        good(&in_server(directives));
    }
}

#[test]
fn what_is_negotiated() {
    let suites = |directives: &str| {
        let (engine, warnings) = tls_server(&format!("listen 993 ssl; {directives}"));
        assert_eq!(warnings, [""; 0], "{directives}");
        let tls = engine.tls.clone().expect("TLS");
        let suites = tls.crypto_provider().cipher_suites.iter();
        let suites: Vec<_> = suites.filter_map(|suite| suite.suite().as_str()).collect();
        (suites.join(" "), tls.ignore_client_order, tls.send_tls13_tickets, tls.ticketer.enabled())
    };
    const ALL13: &str = "TLS13_AES_256_GCM_SHA384 TLS13_CHACHA20_POLY1305_SHA256 TLS13_AES_128_GCM_SHA256";
    let expected = format!("{ALL13} TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    let ciphers = "ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256; ssl_prefer_server_ciphers on;";
    assert_eq!(suites(ciphers), (expected, true, 2, true));
    let commands = "ssl_ciphers aRSA; ssl_conf_command CipherString ECDHE-ECDSA-CHACHA20-POLY1305;
         ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_conf_command NumTickets 1;
         ssl_conf_command Options ServerPreference,-SessionTicket;";
    let expected = "TLS13_AES_128_GCM_SHA256 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    assert_eq!(suites(commands), (expected.to_owned(), true, 1, false));
}
