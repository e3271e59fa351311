//! Whole configurations (`tests/fixtures`), written as operators write them: tested with `-t`, then served.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::{
    AuthServer, Authority, Certificate, Client, Forward, Loopback, NameServer, Program, Proxy, on_both,
};
use nix::unistd::{Uid, User};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

/// What a fixture asks for, on addresses and in a folder of this test's own.
struct Fixture {
    proxy: Proxy,
    auth: AuthServer,
    backend: Backend,
    certificate: Certificate,
    authority: Authority,
    host: Loopback,
}

impl Fixture {
    /// Tests the configuration, which must say exactly `expected`, and serves it.
    #[track_caller]
    fn start(program: Program, name: &str, backend: (Protocol, Behaviour), expected: &[&str]) -> Self {
        let (host, folder) = (Loopback::new(), Proxy::folder());
        let path = folder.path();
        for made in ["etc/ssl/second", "etc/nginx", "var/log", "run"] {
            fs::create_dir_all(path.join(made)).unwrap();
        }
        let certificate = Certificate::write(&path.join("etc/ssl"));
        Certificate::write(&path.join("etc/ssl/second"));
        let authority = Authority::new("Customers");
        authority.write(&path.join("etc/ssl/customers.pem"));
        authority.write_crl(&path.join("etc/ssl/revoked.pem"), &[66]);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let mut listens = Vec::new();
        copy(&source, &path.join("etc/nginx"), &mut |text| adapt(text, host, path, &mut listens));
        let main = fs::read_to_string(path.join("etc/nginx/nginx.conf")).unwrap();
        // In the foreground, with all lines where they were.
        let main = match main.contains("daemon on;") {
            true => main.replace("daemon on;", "daemon off;"),
            false => format!("daemon off; {main}"),
        };
        fs::write(path.join("gatepost.conf"), main).unwrap();
        assert_eq!(remarks(program, &folder), expected, "{name}");
        let (protocol, behaviour) = backend;
        let backend = Backend::start(protocol, host.port(2000), behaviour);
        let auth = AuthServer::accepting(host.port(9000), backend.address());
        NameServer::start(host.port(5353), "client.example.test", Forward::Client([127, 9, 9, 9].into()));
        let listens: Vec<_> = listens.into_iter().map(|port| host.port(port)).collect();
        let proxy = Proxy::start_configured(program, folder, &[], &listens);
        Self { proxy, auth, backend, certificate, authority, host }
    }

    fn connect(&self, port: u16) -> Client {
        Client::connect(self.host.port(shifted(port)))
    }

    fn connect_tls(&self, port: u16, config: &Arc<ClientConfig>) -> Client {
        Client::connect_tls(self.host.port(shifted(port)), config)
    }

    fn config(&self) -> Arc<ClientConfig> {
        self.certificate.client(&[&TLS12, &TLS13])
    }

    /// The value of a header of the last auth request.
    fn asked(&self, header: &str) -> Option<String> {
        self.auth.requests().last().unwrap().header(header).map(str::to_owned)
    }
}

/// Copies a folder, each file with other words.
fn copy(from: &Path, to: &Path, adapt: &mut impl FnMut(&str) -> String) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let target = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => copy(&entry, &target, adapt),
            false => fs::write(&target, adapt(&fs::read_to_string(&entry).unwrap())).unwrap(),
        }
    }
}

/// Everybody may listen above 1024.
fn shifted(port: u16) -> u16 {
    10_000 + port
}

/// The fixture's addresses, paths and user become the test's. The ports listened on are added to `listens`.
fn adapt(text: &str, host: Loopback, folder: &Path, listens: &mut Vec<u16>) -> String {
    let mut parts = text.split("192.0.2.10:");
    let mut adapted = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(|character: char| !character.is_ascii_digit()).unwrap();
        let port = shifted(part[..end].parse().unwrap());
        listens.push(port);
        adapted += &format!("{}{}", host.port(port), &part[end..]);
    }
    let user = User::from_uid(Uid::effective()).unwrap().unwrap().name;
    adapted = adapted.replace("127.0.0.1:9000", &host.port(9000).to_string());
    adapted = adapted.replace("127.0.0.53", &host.port(5353).to_string()).replace("www-data", &user);
    for root in ["/etc/", "/var/", "/run/"] {
        adapted = adapted.replace(root, &format!("{}{root}", folder.display()));
    }
    adapted
}

/// The warnings and notices of `-t`, without folders. It must succeed.
fn remarks(program: Program, folder: &TempDir) -> Vec<String> {
    let output = Proxy::test(program, folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let stderr = stderr.replace(&folder.path().display().to_string(), "");
    let mut lines: Vec<_> = stderr
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.1.to_owned()))
        .filter(|line| line.starts_with('['))
        .collect();
    // Only root can change the user.
    lines.retain(|line| {
        Uid::effective().is_root() || !line.contains("the \"user\" directive makes sense only")
    });
    lines
}

/// A backend's behaviour with these capabilities.
fn capabilities(words: &[&str]) -> Behaviour {
    Behaviour { capabilities: words.iter().map(|&word| word.to_owned()).collect(), ..Behaviour::default() }
}

const PROXIED: &str = "PROXY TCP4 127.9.9.9 192.0.2.10 4711 143\r\n";

on_both! {
    fn a_suite_behind_a_load_balancer(program: Program) {
        let fixture = Fixture::start(program, "suite", (Protocol::Imap, Behaviour::default()), &[
            "[warn] \"proxy_timeout 3600\" means 3600 seconds; write \"3600ms\" for milliseconds in /gatepost.conf:18",
            "[warn] \"ssl_protocols\" before TLSv1.2 are not spoken in /gatepost.conf:23",
        ]);
        let mut client = fixture.connect(143);
        client.send(PROXIED);
        client.expect("* OK IMAP4 ready");
        client.say("a STARTTLS", "a OK completed");
        let mut client = client.start_tls(&fixture.config());
        client.send("b CAPABILITY\r\n");
        client.expect("* CAPABILITY IMAP4rev1 ID LITERAL+ SASL-IR IDLE NAMESPACE AUTH=PLAIN AUTH=LOGIN");
        client.expect("b OK completed");
        client.say("c LOGIN alice sesame", "c OK logged in");
        client.say("d NOOP", "echo d NOOP");
        assert_eq!(fixture.asked("Client-IP").as_deref(), Some("127.9.9.9"));
        assert_eq!(fixture.asked("X-Front-Key").as_deref(), Some("one of two"));
        assert_eq!(fixture.auth.requests()[0].lines[0], "GET /service/lookup HTTP/1.0");
        let mut client = fixture.connect(993);
        client.send(PROXIED);
        let mut client = client.start_tls(&fixture.config());
        client.expect("* OK IMAP4 ready");
        client.say("a LOGIN bob sesame", "a OK logged in");
        // The name of the client is looked up before SMTP begins.
        let mut client = fixture.connect(587);
        client.send(PROXIED);
        client.expect("220 mail.example.com ESMTP ready");
        client.say("STARTTLS", "220 2.0.0 Start TLS");
        let mut client = client.start_tls(&fixture.config());
        client.say("HELO client", "250 mail.example.com");
        client.send("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==\r\n");
        client.line();
        assert_eq!(fixture.asked("Client-Host").as_deref(), Some("client.example.test"));
        fixture.proxy.await_log_at("var/log/nginx.log", "client logged in");
    }

    fn a_provider_with_client_certificates(program: Program) {
        let backend = capabilities(&["XCLIENT ADDR LOGIN NAME"]);
        let fixture = Fixture::start(program, "provider", (Protocol::Smtp, backend), &[]);
        let identity = fixture.authority.client("joe", 7);
        let config = fixture.certificate.client_as(Some(&identity), &[&TLS12, &TLS13]);
        let mut client = fixture.connect_tls(465, &config);
        client.expect("220 smtp.example.net ESMTP ready");
        client.send("EHLO client\r\n");
        for line in ["250-smtp.example.net", "250-SIZE 52428800", "250-8BITMIME", "250 AUTH PLAIN EXTERNAL"] {
            client.expect(line);
        }
        client.say("AUTH EXTERNAL am9l", "235 2.0.0 OK");
        client.say("NOOP", "echo NOOP");
        assert_eq!(fixture.asked("Auth-Method").as_deref(), Some("external"));
        assert_eq!(fixture.asked("Auth-SSL-Verify").as_deref(), Some("SUCCESS"));
        assert!(fixture.asked("Auth-SSL-Cert").is_some());
        let lines = &fixture.backend.records()[0].lines;
        assert!(lines[1].starts_with("XCLIENT ADDR=127.") && lines[1].contains(" LOGIN=joe"), "{lines:?}");
        let mut client = fixture.connect(587);
        client.expect("220 smtp.example.net ESMTP ready");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "530 5.7.0 Must issue a STARTTLS command first");
    }

    fn a_groupware_with_one_session_cache(program: Program) {
        let fixture = Fixture::start(program, "groupware", (Protocol::Imap, Behaviour::default()), &[
            "[warn] the \"so_keepalive\" directive is deprecated, use the \"listen ... so_keepalive=\" directive instead in /gatepost.conf:17",
            "[warn] the \"ssl\" directive is deprecated, use the \"listen ... ssl\" directive instead in /gatepost.conf:30",
            "[warn] the \"auth\" directive is deprecated, use the \"pop3_auth\" directive instead in /gatepost.conf:39",
            "[warn] \"timeout 60000\" means 60000 seconds; write \"60000ms\" for milliseconds in /gatepost.conf:49",
        ]);
        let config = fixture.certificate.client(&[&TLS12]);
        let resumed = [(); 2].map(|()| {
            let mut client = fixture.connect_tls(993, &config);
            client.expect("* OK IMAP4 ready");
            client.say("a LOGIN alice sesame", "a OK logged in");
            client.say("b NOOP", "echo b NOOP");
            client.is_resumed()
        });
        assert_eq!(resumed, [false, true]);
        let mut client = fixture.connect_tls(995, &config);
        let greeting = client.line();
        assert!(greeting.starts_with("+OK POP3 ready <") && greeting.ends_with("@groupware.example.org>"), "{greeting}");
        client.send("CAPA\r\n");
        let capa = [(); 7].map(|()| client.line());
        assert_eq!(capa[1..6], ["LAST", "TOP", "USER", "PIPELINING", "UIDL"]);
    }

    fn an_exchange_without_authentication(program: Program) {
        let backend = capabilities(&["LAST=RCPT"]);
        let fixture = Fixture::start(program, "exchange", (Protocol::Smtp, backend), &[]);
        let mut client = fixture.connect(25);
        client.expect("220 mx.example.com ESMTP ready");
        client.send("EHLO client.test\r\n");
        for line in ["250-mx.example.com", "250-SIZE 10485760", "250-8BITMIME", "250 ENHANCEDSTATUSCODES"] {
            client.expect(line);
        }
        client.say("MAIL FROM:<a@b.test>", "250 2.0.0 OK");
        client.say("RCPT TO:<c@d.test>", "250 2.1.5 recipient ok");
        client.say("DATA", "echo DATA");
        assert_eq!(fixture.asked("Auth-Method").as_deref(), Some("none"));
        assert_eq!(fixture.asked("Auth-SMTP-To").as_deref(), Some("RCPT TO:<c@d.test>"));
        fixture.proxy.await_log_at("var/log/mx-sessions.log", "client logged in");
    }

    fn a_web_server_that_also_does_mail(program: Program) {
        let fixture = Fixture::start(program, "debian", (Protocol::Imap, Behaviour::default()), &[
            "[notice] \"load_module\" is ignored: \"modules/ngx_mail_module.so\" is not loaded in /etc/nginx/modules-enabled/50-mod-mail.conf:1",
            "[notice] \"load_module\" is ignored: \"modules/ngx_stream_module.so\" is not loaded in /etc/nginx/modules-enabled/70-mod-stream.conf:1",
            "[notice] the \"http\" block is skipped: gatepost serves mail in /gatepost.conf:12",
            "[notice] the \"stream\" block is skipped: gatepost serves mail in /gatepost.conf:127",
        ]);
        let mut client = fixture.connect(143);
        client.expect("* OK IMAP4 ready");
        client.say("a LOGIN alice sesame", "a OK logged in");
        client.say("b NOOP", "echo b NOOP");
        fixture.connect(110).expect("+OK POP3 ready");
        fixture.proxy.await_log_at("var/log/mail.log", "client logged in");
    }
}
