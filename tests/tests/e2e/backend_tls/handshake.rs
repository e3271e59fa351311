//! What the directives `proxy_ssl_*` do to a handshake, as the backend sees it.

use gatepost_tests::backend::Handshake;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ProtocolVersion};

use super::*;

impl Relayed {
    /// Logs in by POP3, and is told what the backend learned in this login's handshake.
    fn handshake(&self) -> Handshake {
        let index = self.backend.records().len();
        let mut client = self.log_in(Protocol::Pop3, "+OK mailbox open");
        client.finish();
        client.expect_eof();
        self.backend.await_end(index).handshake.expect("a handshake")
    }

    /// A POP3 login that the backend ends: it has heard no password.
    fn is_refused(&self) {
        let mut client = self.log_in(Protocol::Pop3, internal_error(Protocol::Pop3));
        client.expect_eof();
        assert!(self.backend.await_end(0).lines.is_empty());
    }
}

on_both! {
    fn versions_are_those_of_the_directive(program: Program) {
        for (directives, expected) in [
            ("proxy_ssl on;", ProtocolVersion::TLSv1_3),
            ("proxy_ssl on; proxy_ssl_protocols TLSv1.2 TLSv1.3;", ProtocolVersion::TLSv1_3),
            ("proxy_ssl on; proxy_ssl_protocols TLSv1.3;", ProtocolVersion::TLSv1_3),
            ("proxy_ssl on; proxy_ssl_protocols TLSv1.2;", ProtocolVersion::TLSv1_2),
        ] {
            let relayed = Plan { directives, ..Plan::default() }.start(program);
            assert_eq!(relayed.handshake().version, expected, "{directives}");
        }
        let server: fn(&Authority, &str) -> _ =
            |authority, address| authority.server(&[address]).server_config_of(&[&rustls::version::TLS12]);
        let relayed = Plan { server, ..Plan::default() }.start(program);
        assert_eq!(relayed.handshake().version, ProtocolVersion::TLSv1_2);
        let directives = "proxy_ssl on; proxy_ssl_protocols TLSv1.3;";
        Plan { directives, server, ..Plan::default() }.start(program).is_refused();
    }

    fn cipher_suites_are_those_of_the_directive(program: Program) {
        let chacha = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
        let aes = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        for (ciphers, expected) in [
            ("ECDHE-ECDSA-CHACHA20-POLY1305", chacha),
            ("ECDHE-ECDSA-AES128-GCM-SHA256", aes),
            ("HIGH:!CHACHA20:!AES256", aes),
        ] {
            let directives = format!("proxy_ssl on; proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers {ciphers};");
            let relayed = Plan { directives: &directives, ..Plan::default() }.start(program);
            assert_eq!(relayed.handshake().suite, expected, "{ciphers}");
        }
        // The backend has no key for RSA.
        let directives = "proxy_ssl on; proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers aRSA;";
        Plan { directives, ..Plan::default() }.start(program).is_refused();
    }

    fn backends_are_told_their_names(program: Program) {
        for (directives, expected) in [
            // An address is no name (RFC 6066 section 3).
            ("proxy_ssl on;", None),
            ("proxy_ssl on; proxy_ssl_name backend.example.test;", Some("backend.example.test")),
            ("proxy_ssl on; proxy_ssl_name backend.example.test; proxy_ssl_server_name on;", Some("backend.example.test")),
            ("proxy_ssl on; proxy_ssl_name backend.example.test; proxy_ssl_server_name off;", None),
        ] {
            let relayed = Plan { directives, ..Plan::default() }.start(program);
            assert_eq!(relayed.handshake().name.as_deref(), expected, "{directives}");
        }
    }

    fn sessions_are_resumed_unless_the_directive_forbids(program: Program) {
        for (directives, expected) in [
            ("proxy_ssl on;", true),
            ("proxy_ssl on; proxy_ssl_protocols TLSv1.2;", true),
            ("proxy_ssl on; proxy_ssl_session_reuse on;", true),
            ("proxy_ssl on; proxy_ssl_session_reuse off;", false),
            ("proxy_ssl on; proxy_ssl_session_reuse off; proxy_ssl_protocols TLSv1.2;", false),
        ] {
            let relayed = Plan { directives, ..Plan::default() }.start(program);
            assert!(!relayed.handshake().is_resumed, "{directives}");
            assert_eq!(relayed.handshake().is_resumed, expected, "{directives}");
        }
    }

    fn a_certificate_is_shown_to_backends_that_ask(program: Program) {
        let server: fn(&Authority, &str) -> _ =
            |authority, address| authority.server(&[address]).server_config_for_clients_of(authority);
        let files: fn(&Authority, &Path) = |authority, folder| {
            authority.write_server(&["proxy.example.test"], &folder.join("proxy.pem"), &folder.join("proxy.key"));
        };
        let directives = "proxy_ssl on; proxy_ssl_certificate proxy.pem; proxy_ssl_certificate_key proxy.key;";
        let relayed = Plan { directives, server, files, ..Plan::default() }.start(program);
        let shown = relayed.handshake().client.expect("a certificate");
        let pem = std::fs::read(relayed.proxy.path().join("proxy.pem")).unwrap();
        assert_eq!(shown, *CertificateDer::from_pem_slice(&pem).unwrap());
        // Who does not ask is not shown it, and who asks in vain ends it.
        let relayed = Plan { directives, files, ..Plan::default() }.start(program);
        assert_eq!(relayed.handshake().client, None);
        Plan { server, ..Plan::default() }.start(program).is_refused();
    }

    fn a_revoked_certificate_is_refused(program: Program) {
        let directives = "proxy_ssl on; proxy_ssl_crl crl.pem;";
        let files: fn(&Authority, &Path) =
            |authority, folder| authority.write_crl(&folder.join("crl.pem"), &[2]);
        let relayed = Plan { directives, files, ..Plan::default() }.start(program);
        relayed.handshake();
        // Servers have the serial number 1.
        let files: fn(&Authority, &Path) =
            |authority, folder| authority.write_crl(&folder.join("crl.pem"), &[1]);
        Plan { directives, files, ..Plan::default() }.start(program).fails(
            Protocol::Pop3,
            "upstream SSL certificate verify error: (23:certificate revoked) while SSL handshaking to upstream",
        );
    }

    fn chains_are_as_long_as_the_directive_allows(program: Program) {
        let one: fn(&Authority, &str) -> _ =
            |authority, address| authority.below("One").server(&[address]).server_config();
        let two: fn(&Authority, &str) -> _ =
            |authority, address| authority.below("One").below("Two").server(&[address]).server_config();
        for (directives, server) in [
            ("proxy_ssl on; proxy_ssl_verify_depth 0;", good as fn(&Authority, &str) -> _),
            ("proxy_ssl on;", one),
            ("proxy_ssl on; proxy_ssl_verify_depth 1;", one),
            ("proxy_ssl on; proxy_ssl_verify_depth 2;", two),
        ] {
            Plan { directives, server, ..Plan::default() }.start(program).handshake();
        }
        for (directives, server) in [
            ("proxy_ssl on; proxy_ssl_verify_depth 0;", one),
            ("proxy_ssl on;", two),
            ("proxy_ssl on; proxy_ssl_verify_depth 1;", two),
        ] {
            Plan { directives, server, ..Plan::default() }.start(program).fails(
                Protocol::Pop3,
                "upstream SSL certificate verify error: (22:certificate chain too long) \
                 while SSL handshaking to upstream",
            );
        }
    }

    fn the_name_that_the_auth_server_gives_counts(program: Program) {
        for protocol in PROTOCOLS {
            let header = Some("Auth-Server: Backend.example.test");
            for (directives, starttls) in [("proxy_ssl on;", false), ("proxy_ssl starttls;", true)] {
                let plan = Plan { protocol, directives, starttls, header, resolver: true, ..Plan::default() };
                let relayed = plan.start(program);
                relayed.log_in(protocol, accepted(protocol));
                relayed.proxy.await_log("upstream: Backend.example.test:2000\n");
                let handshake = relayed.backend.records()[0].handshake.clone().expect("a handshake");
                assert_eq!(handshake.name.as_deref(), Some("backend.example.test"));
            }
        }
    }

    fn another_name_than_the_auth_server_gives_is_refused(program: Program) {
        // The address is in the certificate, but it is the name that was given.
        let header = Some("Auth-Server: other.example.test");
        let relayed = Plan { header, resolver: true, ..Plan::default() }.start(program);
        relayed.fails(
            Protocol::Pop3,
            "upstream SSL certificate does not match \"other.example.test\" \
             while SSL handshaking to upstream",
        );
        let directives = "proxy_ssl on; proxy_ssl_name backend.example.test;";
        let relayed = Plan { directives, header, resolver: true, ..Plan::default() }.start(program);
        assert_eq!(relayed.handshake().name.as_deref(), Some("backend.example.test"));
    }
}
