//! Certificates and keys that OpenSSL made, and OpenSSL as a client.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use gatepost_tests::real::{are_installed, run, run_with_input};
use gatepost_tests::{Certificate, Loopback, Program, Proxy, on_both};
use tempfile::TempDir;

const TESTED: &str = "ssl_certificate certificate.pem; ssl_certificate_key key.pem;";

/// Starts a proxy with one IMAP server that has TLS from the first byte.
fn start(program: Program, folder: TempDir, directives: &str) -> (Proxy, SocketAddr) {
    let listen = Loopback::new().port(1001);
    let mail = format!(
        "auth_http 127.0.0.1:9/; {TESTED} server {{ listen {listen} ssl; protocol imap; {directives} }}"
    );
    (Proxy::start(program, folder, &mail, &[listen]), listen)
}

/// Runs `openssl` in a folder with these words.
#[track_caller]
fn openssl(folder: &Path, words: &str) {
    run(Command::new("openssl").current_dir(folder).args(words.split(' ')));
}

/// What a client says that trusts the certificate, is greeted and leaves.
#[track_caller]
fn visit(proxy: &Proxy, listen: SocketAddr, words: &str) -> String {
    let mut command = Command::new("openssl");
    command.current_dir(proxy.path()).args([
        "s_client",
        "-connect",
        &listen.to_string(),
        "-crlf",
        "-ign_eof",
    ]);
    command.args(["-CAfile", "certificate.pem", "-verify_return_error"]).args(words.split_whitespace());
    let text = run_with_input(&mut command, "a1 LOGOUT\n");
    assert!(text.contains("Verify return code: 0 (ok)") && text.contains("* OK IMAP4 ready\r\n"), "{text}");
    text
}

on_both! {
    fn certificates_of_version_1_with_keys_in_every_form(program: Program) {
        if !are_installed(&["openssl"]) {
            return;
        }
        for (make, convert, directives) in [
            ("ecparam -name prime256v1 -genkey -noout -out made.pem", "ec -in made.pem -out key.pem", ""),
            ("ecparam -name secp384r1 -genkey -noout -out made.pem", "pkcs8 -topk8 -nocrypt -in made.pem -out key.pem", ""),
            ("genrsa -out made.pem 2048", "rsa -traditional -in made.pem -out key.pem", ""),
            ("genrsa -out made.pem 2048", "rsa -traditional -aes128 -passout pass:sesame -in made.pem -out key.pem", "ssl_password_file words;"),
            ("genrsa -out made.pem 2048", "pkcs8 -topk8 -passout pass:sesame -in made.pem -out key.pem", "ssl_password_file words;"),
        ] {
            let folder = Proxy::folder();
            openssl(folder.path(), make);
            openssl(folder.path(), "req -new -key made.pem -subj /CN=localhost -out request.pem");
            openssl(folder.path(), "x509 -req -in request.pem -signkey made.pem -out certificate.pem");
            openssl(folder.path(), convert);
            fs::write(folder.path().join("words"), "wrong\nsesame\n").unwrap();
            let shown = run(Command::new("openssl").current_dir(folder.path()).args(["x509", "-in", "certificate.pem", "-noout", "-text"]));
            assert!(shown.contains("Version: 1 (0x0)"), "{shown}");
            let (proxy, listen) = start(program, folder, directives);
            for version in ["-tls1_2", "-tls1_3"] {
                visit(&proxy, listen, version);
            }
        }
    }

    fn clients_hear_the_names_of_one_of_the_two_lists(program: Program) {
        if !are_installed(&["openssl"]) {
            return;
        }
        for (directive, expected) in [
            ("ssl_client_certificate", "Acceptable client certificate CA names"),
            ("ssl_trusted_certificate", "No client certificate CA names sent"),
        ] {
            let folder = Proxy::folder();
            Certificate::write(folder.path());
            let directives = format!("ssl_verify_client optional; {directive} certificate.pem;");
            let (proxy, listen) = start(program, folder, &directives);
            for version in ["-tls1_2", "-tls1_3"] {
                let text = visit(&proxy, listen, version);
                assert!(text.contains(expected), "{text}");
            }
        }
    }

    fn what_is_negotiated_is_what_the_directives_say(program: Program) {
        if !are_installed(&["openssl"]) {
            return;
        }
        for (directives, words, expected) in [
            ("", "-tls1_2 -cipher AES128:AES256", "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
            ("ssl_prefer_server_ciphers on;", "-tls1_2 -cipher AES128:AES256", "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"),
            ("ssl_ciphers ALL:!AES256:!CHACHA20;", "-tls1_2", "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
            ("ssl_ciphers CHACHA20:ALL; ssl_conf_command Options ServerPreference;", "-tls1_2", "Cipher is ECDHE-ECDSA-CHACHA20-POLY1305"),
            ("ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;", "", "TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"),
            ("", "-groups X25519", "Temp Key: X25519, 253 bits"),
            ("", "-groups P-256", "Temp Key: ECDH, prime256v1, 256 bits"),
            ("ssl_ecdh_curve auto;", "-groups P-384", "Temp Key: ECDH, secp384r1, 384 bits"),
            ("ssl_ecdh_curve secp384r1;", "", "Temp Key: ECDH, secp384r1, 384 bits"),
            ("ssl_ecdh_curve P-256:secp521r1;", "-tls1_2", "Temp Key: ECDH, prime256v1, 256 bits"),
            ("ssl_protocols TLSv1.2;", "", "New, TLSv1.2, "),
            ("ssl_conf_command MaxProtocol TLSv1.2;", "", "New, TLSv1.2, "),
            ("ssl_protocols TLSv1.3; ssl_ciphers AES128-SHA;", "", "New, TLSv1.3, "),
        ] {
            let folder = Proxy::folder();
            Certificate::write(folder.path());
            let (proxy, listen) = start(program, folder, directives);
            let text = visit(&proxy, listen, words);
            assert!(text.contains(expected), "{directives} {words}: {text}");
        }
    }
}
