use std::net::Ipv6Addr;

use gatepost_protocol::config::{Mail, Network, Protocol, ProxyProtocol};
use gatepost_protocol::smtp::Xclient;

use super::*;
use crate::log::lines::peer_text;

/// A server on an SMTP port.
#[track_caller]
fn smtp(directives: &str) -> gatepost_protocol::smtp::Settings {
    let config = good(&in_mail(&format!("server {{ listen 25; {directives} }}")));
    match &config.binds[0].listens[0].server.engine.mail {
        Mail::Smtp(settings) => settings.clone(),
        Mail::Imap(_) | Mail::Pop3(_) => panic!("port 25 is SMTP"),
    }
}

#[test]
fn defaults() {
    let server = server("");
    let engine = &server.engine;
    assert_eq!(engine.protocol(), Protocol::Imap);
    assert_eq!(&*engine.name, "host.example");
    let seconds = Duration::from_secs;
    assert_eq!((engine.timeout, engine.auth_timeout), (seconds(60), seconds(60)));
    assert_eq!((engine.proxy_timeout, engine.resolver_timeout), (seconds(86400), seconds(30)));
    assert_eq!((engine.max_errors, engine.client_buffer, engine.proxy_buffer), (5, 4096, 4096));
    assert!(
        !engine.resolve
            && !engine.pass_error_message
            && engine.tls.is_none()
            && !engine.auth_failure
            && !engine.session_log
    );
    assert_eq!(engine.proxy_protocol, ProxyProtocol::Off);
    assert!(engine.real_ip_from.is_empty() && server.resolver.is_none());
    assert!(!server.auth.settings.client_certificate() && !server.auth.settings.keepalive());
    let smtp = smtp("");
    assert_eq!(
        (smtp.greeting_delay, smtp.xclient, smtp.proxy_smtp_auth),
        (Duration::ZERO, Xclient::IfOffered, false)
    );
}

#[test]
fn values() {
    let engine = engine(
        "timeout 5s; auth_http_timeout 6; proxy_timeout 7m; resolver_timeout 8ms; max_errors 9; proxy on;
         imap_client_buffer 8k; pop3_client_buffer 512; smtp_client_buffer 1m; proxy_buffer 16k;
         proxy_pass_error_message on; proxy_auth_failure on; proxy_session_log on; proxy_protocol ON; server_name Mail.example; smtp_auth none;",
    );
    assert_eq!((engine.timeout, engine.auth_timeout), (Duration::from_secs(5), Duration::from_secs(6)));
    assert_eq!(
        (engine.proxy_timeout, engine.resolver_timeout),
        (Duration::from_secs(420), Duration::from_millis(8))
    );
    assert_eq!((engine.max_errors, engine.client_buffer, engine.proxy_buffer), (9, 8192, 16384));
    assert!(engine.pass_error_message && engine.auth_failure && engine.session_log);
    assert_eq!((engine.proxy_protocol, &*engine.name), (ProxyProtocol::V1, "Mail.example"));
    let smtp = smtp("smtp_greeting_delay 3s; xclient on; proxy_smtp_auth on;");
    assert_eq!(
        (smtp.greeting_delay, smtp.xclient, smtp.proxy_smtp_auth),
        (Duration::from_secs(3), Xclient::Required, true)
    );
    assert_eq!(self::smtp("xclient off;").xclient, Xclient::Off);
}

#[test]
fn each_protocol_has_its_client_buffer() {
    let config = good(&in_mail(
        "imap_client_buffer 8k; pop3_client_buffer 512; smtp_client_buffer 1m;
         server { listen 143; } server { listen 110; } server { listen 25; }",
    ));
    let engines = config.binds.iter().map(|bind| &bind.listens[0].server.engine);
    let buffers: Vec<_> = engines.map(|engine| (engine.protocol(), engine.client_buffer)).collect();
    assert_eq!(buffers, [(Protocol::Imap, 8192), (Protocol::Pop3, 512), (Protocol::Smtp, 1024 * 1024)]);
}

#[test]
fn the_server_hides_mail_and_order_does_not_matter() {
    let text = |mail: &str, server: &str| {
        format!("events {{}} mail {{ auth_http 127.0.0.1; server {{ listen 143; {server} }} {mail} }}")
    };
    let settings =
        |mail: &str, server: &str| Arc::clone(&good(&text(mail, server)).binds[0].listens[0].server);
    assert_eq!(settings("timeout 5;", "").engine.timeout, Duration::from_secs(5));
    assert_eq!(settings("timeout 5;", "timeout 6;").engine.timeout, Duration::from_secs(6));
    let headers = |server: &MailServer| {
        server.auth.settings.headers().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let mail = "auth_http_header A 1; auth_http_header B 2;";
    assert_eq!(headers(&settings(mail, "")), ["A=1", "B=2"]);
    assert_eq!(headers(&settings(mail, "auth_http_header C 3;")), ["C=3"]);
    let networks = settings("set_real_ip_from 10.0.0.0/8;", "set_real_ip_from unix:;");
    assert_eq!(networks.engine.real_ip_from, [Network::Unix]);
    assert!(settings("resolver 127.0.0.1;", "resolver off;").resolver.is_none());
}

#[test]
fn mistakes_are_found_kind_by_kind_over_all_servers() {
    let no_auth = "events {}\nmail {\nserver { listen 143; }\n";
    assert_eq!(error(&format!("{no_auth} }}")), "no \"auth_http\" is defined for server in /nginx.conf:3");
    assert_eq!(
        error(&format!("{no_auth}\nserver {{ listen 9; }} }}")),
        "unknown mail protocol for server in /nginx.conf:5"
    );
    assert_eq!(
        error(&format!("{no_auth}\nserver {{ listen 993 ssl; }} }}")),
        "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive in /nginx.conf:5"
    );
    assert_eq!(error(&in_mail("\nserver {\n}")), "no \"listen\" is defined for server in /nginx.conf:2");
}

#[test]
fn messages() {
    for (directives, expected) in [
        ("timeout x;", "\"timeout\" directive invalid value"),
        ("timeout 1; timeout x;", "\"timeout\" directive is duplicate"),
        ("timeout 9223372036854775807;", "\"timeout\" directive invalid value"),
        ("max_errors -1;", "\"max_errors\" directive invalid number"),
        ("resolver_timeout;", "invalid number of arguments in \"resolver_timeout\" directive"),
        ("imap_auth apop;", "invalid value \"apop\""),
        ("pop3_auth login;", "invalid value \"login\""),
        ("pop3_auth none;", "invalid value \"none\""),
        ("smtp_auth apop;", "invalid value \"apop\""),
        ("imap_capabilities \"A\\nB\";", "invalid capability \"A\\x0AB\" in \"imap_capabilities\" directive"),
        ("imap_client_buffer 511;", "\"imap_client_buffer\" must be at least 512 bytes"),
        ("proxy_buffer 0;", "\"proxy_buffer\" must be at least 512 bytes"),
        ("proxy_buffer 1g;", "\"proxy_buffer\" directive invalid value"),
        ("proxy_protocol v1;", "invalid value \"v1\""),
        ("xclient maybe;", "invalid value \"maybe\" in \"xclient\" directive, it must be \"on\" or \"off\""),
        (
            "server_name 'a b';",
            "invalid server name \"a b\": only printable ASCII without blanks goes into replies",
        ),
        ("server_name a; server_name b;", "\"server_name\" directive is duplicate"),
    ] {
        assert_eq!(server_error(directives), expected, "{directives}");
    }
}

#[test]
fn auth_http() {
    let auth = |url: &str| {
        let auth = server(&format!("auth_http {url};")).auth.clone();
        (peer_text(&auth.addresses[0].peer), auth.settings.host().to_owned(), auth.settings.uri().to_owned())
    };
    for (url, text, host, uri) in [
        ("127.0.0.1", "127.0.0.1:80", "127.0.0.1", "/"),
        ("http://one.example:9000/auth?x:y", "192.0.2.1:9000", "one.example", "/auth?x:y"),
        ("[::1]:9/a", "[::1]:9", "[::1]", "/a"),
        ("127.0.0.1?x", "127.0.0.1:80", "127.0.0.1", "/?x"),
        ("unix:/run/auth:/x", "unix:/run/auth", "localhost", "/x"),
        ("unix:/run/auth:x", "unix:/run/auth", "localhost", "/x"),
        ("http://unix:/run/auth", "unix:/run/auth", "localhost", "/"),
        ("127.0.0.1:1; auth_http 127.0.0.1:2", "127.0.0.1:2", "127.0.0.1", "/"),
    ] {
        assert_eq!(auth(url), (text.into(), host.into(), uri.into()), "{url}");
    }
    let addresses = |directives: &str| {
        let addresses = server(directives).auth.addresses.clone();
        addresses.iter().map(|address| peer_text(&address.peer)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(addresses("auth_http two.example;"), "192.0.2.1:80 [2001:db8::1]:80");
    let backup = "auth_http_backup [::1]:9 unix:/run/auth 127.0.0.1:1; auth_http_backup 127.0.0.2;";
    let all = "127.0.0.1:1 [::1]:9 unix:/run/auth 127.0.0.2:80";
    assert_eq!(addresses(&format!("{backup} auth_http 127.0.0.1:1/x;")), all);
    let switches = server("auth_http_keepalive on; auth_http_pass_client_cert on;");
    assert!(switches.auth.settings.client_certificate() && switches.auth.settings.keepalive());
    for (directive, expected) in [
        ("auth_http http://;", "no host in auth_http \"\""),
        ("auth_http ftp://h/;", "invalid port in auth_http \"ftp://h/\""),
        ("auth_http http://none.example/;", "host not found in auth_http \"none.example/\""),
        ("auth_http \"h/a b\";", "host not found in auth_http \"h/a b\""),
        ("auth_http \"127.0.0.1/a b\";", "invalid URI \"/a b\" in auth_http \"127.0.0.1/a b\""),
        ("auth_http_backup h:1/x;", "invalid host in auth_http_backup \"h:1/x\""),
        ("auth_http_backup none.example;", "host not found in auth_http_backup \"none.example\""),
        ("auth_http_header 'a b' c;", "invalid header name \"a b\""),
        ("auth_http_header a \"b\nc\";", "invalid value of header \"a\""),
    ] {
        let error = server_error(directive);
        assert_eq!(error.strip_suffix(" in /nginx.conf:2").unwrap_or(&error), expected, "{directive}");
    }
}

#[test]
fn resolvers() {
    let resolver = |arguments: &str| server(&format!("resolver {arguments};")).resolver.clone();
    let found = resolver("127.0.0.1 [::1]:5353 two.example valid=30s ipv6=off").expect("a resolver");
    let servers: Vec<_> = found.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:53", "[::1]:5353", "192.0.2.1:53", "[2001:db8::1]:53"]);
    assert_eq!(found.settings.servers.get(), 4);
    assert_eq!((found.settings.ipv4, found.settings.ipv6), (true, false));
    assert_eq!(found.settings.valid, Some(Duration::from_secs(30)));
    assert_eq!(resolver("off"), None);
    assert!(engine("resolver 127.0.0.1;").resolve);
    for (arguments, expected) in [
        ("127.0.0.1 valid=x", "invalid parameter: valid=x"),
        ("127.0.0.1 ipv6=x", "invalid parameter: ipv6=x"),
        ("127.0.0.1 ipv4=off ipv6=off", "\"ipv4\" and \"ipv6\" cannot both be \"off\""),
        ("valid=1s", "no name servers defined"),
        ("none.example", "host not found in resolver \"none.example\""),
        ("a:b", "invalid port in resolver \"a:b\""),
        ("status_zone=z", "host not found in resolver \"status_zone=z\""),
        ("127.0.0.1 off", "host not found in resolver \"off\""),
        ("unix:/a", "invalid host in resolver \"unix:/a\""),
        ("off; resolver off", "\"resolver\" directive is duplicate"),
    ] {
        assert_eq!(server_error(&format!("resolver {arguments};")), expected, "{arguments}");
    }
}

#[test]
fn networks() {
    let network = |text: &str| engine(&format!("set_real_ip_from {text};")).real_ip_from.clone();
    let v4 = |address: [u8; 4], prefix| Network::Inet { address: address.into(), prefix };
    let v6 = |address: &str, prefix| {
        let address: Ipv6Addr = address.parse().expect("an address");
        Network::Inet { address: address.into(), prefix }
    };
    assert_eq!(network("10.0.0.1"), [v4([10, 0, 0, 1], 32)]);
    assert_eq!(network("10.0.0.0/8"), [v4([10, 0, 0, 0], 8)]);
    assert_eq!(network("10.0.0.1/8"), [v4([10, 0, 0, 0], 8)]);
    assert_eq!(network("0.0.0.0/0"), [v4([0; 4], 0)]);
    assert_eq!(network("2001:db8::/32"), [v6("2001:db8::", 32)]);
    assert_eq!(network("::1/0"), [v6("::", 0)]);
    assert_eq!(network("::1"), [v6("::1", 128)]);
    assert_eq!(network("unix:"), [Network::Unix]);
    assert_eq!(network("two.example"), [v4([192, 0, 2, 1], 32), v6("2001:db8::1", 128)]);
    assert_eq!(
        warnings(&in_server("set_real_ip_from 10.0.0.1/8;")),
        ["low address bits of 10.0.0.1/8 are meaningless in /nginx.conf:1"]
    );
    for wrong in [
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/x",
        "none.example",
        "10.0.0.0/8/8",
        "10.0.0.1:9",
        "two.example:9",
        "[::1]",
        "unix:/a",
        "UNIX:",
        "\"\"",
    ] {
        let shown = wrong.trim_matches('"');
        let expected = format!("host not found in set_real_ip_from \"{shown}\"");
        assert_eq!(server_error(&format!("set_real_ip_from {wrong};")), expected);
    }
}

#[test]
fn warnings_of_values() {
    for (directives, expected) in [
        ("imap_auth plain PLAIN;", "duplicate value \"PLAIN\""),
        ("server_name a b *.c;", "only the first of several server names is used, \"a\""),
        ("timeout 60000;", "\"timeout 60000\" means 60000 seconds; write \"60000ms\" for milliseconds"),
        (
            "proxy_timeout 1000;",
            "\"proxy_timeout 1000\" means 1000 seconds; write \"1000ms\" for milliseconds",
        ),
        (
            "auth_http_timeout 5000;",
            "\"auth_http_timeout 5000\" means 5000 seconds; write \"5000ms\" for milliseconds",
        ),
        ("auth plain apop;", "the \"auth\" directive is deprecated, use the \"pop3_auth\" directive instead"),
    ] {
        assert_eq!(
            warnings(&in_server(directives)),
            [format!("{expected} in /nginx.conf:1")],
            "{directives}"
        );
    }
    assert_eq!(warnings(&in_server("timeout 999; proxy_timeout 1000s;")), [""; 0]);
}

#[test]
fn imap_was_the_name_of_mail() {
    let text = "events {} imap { auth_http 127.0.0.1; server { listen 143; } }";
    assert_eq!(good(text).binds.len(), 1);
    assert_eq!(
        warnings(text),
        ["the \"imap\" directive is deprecated, use the \"mail\" directive instead in /nginx.conf:1"]
    );
}
