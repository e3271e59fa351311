use std::net::IpAddr;

use gatepost_protocol::config::Protocol;

use super::*;
use crate::listener::{Keepalive, Options};

fn texts(config: &Config) -> Vec<String> {
    let listens = config.binds.iter().flat_map(|bind| &bind.listens);
    listens.map(|listen| listen.text.to_string()).collect()
}

fn options(parameters: &str) -> Options {
    good(&in_mail(&format!("server {{ listen [::]:143 {parameters}; }}"))).binds[0].options.clone()
}

#[test]
fn one_socket_per_address_and_port() {
    let listen =
        |address: &str| texts(&good(&in_mail(&format!("server {{ protocol imap; listen {address}; }}"))));
    assert_eq!(listen("143"), ["0.0.0.0:143"]);
    assert_eq!(listen("127.0.0.1:1-3"), ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    assert_eq!(listen("two.example:143"), ["192.0.2.1:143", "[2001:db8::1]:143"]);
    assert_eq!(listen("unix:/run/imap"), ["unix:/run/imap"]);
}

#[test]
fn address_errors_name_the_address() {
    for (address, expected) in [
        ("a:b", "invalid port in \"a:b\" of the \"listen\" directive"),
        ("none.example:143", "host not found in \"none.example:143\" of the \"listen\" directive"),
        ("unix:", "no path in the unix domain socket in \"unix:\" of the \"listen\" directive"),
        ("143/x", "invalid host in \"143/x\" of the \"listen\" directive"),
    ] {
        assert_eq!(server_error(&format!("listen {address};")), expected);
    }
}

#[test]
fn parameters() {
    let default = Options { backlog: 511, ipv6_only: true, ..Options::default() };
    assert_eq!(options(""), default);
    assert_eq!(options("bind"), default);
    assert_eq!(options("backlog=9 backlog=7"), Options { backlog: 7, ..default });
    assert_eq!(
        options("rcvbuf=4k sndbuf=1m"),
        Options { receive_buffer: Some(4096), send_buffer: Some(1 << 20), ..default }
    );
    assert_eq!(options("ipv6only=off multipath"), Options { ipv6_only: false, multipath: true, ..default });
    let on = |idle, interval, probes| {
        let seconds = |time: Option<u64>| time.map(Duration::from_secs);
        Some(Keepalive::On { idle: seconds(idle), interval: seconds(interval), probes })
    };
    for (value, expected) in [
        ("on", on(None, None, None)),
        ("off", Some(Keepalive::Off)),
        ("30m::10", on(Some(1800), None, Some(10))),
        ("0::7", on(None, None, Some(7))),
        ("5", on(Some(5), None, None)),
        ("1:2", on(Some(1), Some(2), None)),
        (":5:", on(None, Some(5), None)),
        ("1:2:3", on(Some(1), Some(2), Some(3))),
    ] {
        assert_eq!(options(&format!("so_keepalive={value}")).keepalive, expected, "{value}");
    }
    let config = good(&in_server("listen 127.0.0.1:9 proxy_protocol;"));
    let listens =
        |text: &str| config.binds.iter().flat_map(|bind| &bind.listens).find(|listen| &*listen.text == text);
    assert!(listens("127.0.0.1:9").expect("a listen").listener.proxy_protocol);
    assert!(!listens("0.0.0.0:143").expect("a listen").listener.proxy_protocol);
}

#[test]
fn parameter_errors() {
    for (parameter, expected) in [
        ("backlog=0", "invalid backlog \"backlog=0\""),
        ("backlog=x", "invalid backlog \"backlog=x\""),
        ("rcvbuf=x", "invalid rcvbuf \"rcvbuf=x\""),
        ("sndbuf=1g", "invalid sndbuf \"sndbuf=1g\""),
        ("ipv6only=oxx", "invalid ipv6only flags \"oxx\""),
        ("ipv6only=x", "invalid parameter \"ipv6only=x\""),
        ("so_keepalive=::", "invalid so_keepalive value: \"::\""),
        ("so_keepalive=x", "invalid so_keepalive value: \"x\""),
        ("so_keepalive=0:0:0", "invalid so_keepalive value: \"0:0:0\""),
        ("so_keepalive=1:2:3:4", "invalid so_keepalive value: \"1:2:3:4\""),
        ("so_keepalive=500ms::", "invalid so_keepalive value: \"500ms::\""),
        ("so_keepalive=::x", "invalid so_keepalive value: \"::x\""),
        ("SSL", "invalid parameter \"SSL\""),
        ("ssl=on", "invalid parameter \"ssl=on\""),
        ("backlog", "invalid parameter \"backlog\""),
        ("default_server", "invalid parameter \"default_server\""),
        ("reuseport", "invalid parameter \"reuseport\""),
    ] {
        assert_eq!(server_error(&format!("listen 9 {parameter};")), expected);
    }
}

#[test]
fn no_address_twice() {
    for (text, expected) in [
        ("server { listen 143; listen 143; }", "duplicate \"0.0.0.0:143\" address and port pair"),
        (
            "server { listen 143; } server { listen *:143; }",
            "duplicate \"0.0.0.0:143\" address and port pair",
        ),
        ("server { listen 140-145; listen 143; }", "duplicate \"0.0.0.0:143\" address and port pair"),
        ("server { listen unix:/a; listen unix:/a; }", "duplicate \"unix:/a\" address and port pair"),
        ("server { listen 143; listen *; }", "duplicate \"0.0.0.0:143\" address and port pair"),
        (
            "server { listen *; listen 0.0.0.0; protocol imap; }",
            "duplicate \"0.0.0.0:143\" address and port pair",
        ),
    ] {
        assert_eq!(error(&in_mail(text)), format!("{expected} in /nginx.conf:1"), "{text:?}");
    }
    good(&in_mail("server { listen 143; listen 127.0.0.1:143; listen [::]:143; }"));
}

#[test]
fn ports_tell_the_protocol_and_the_protocol_the_port() {
    let protocol = |server: &str| {
        let config = good(&in_mail(&format!("server {{ {server} }}")));
        config.binds[0].listens[0].server.engine.protocol()
    };
    for (port, expected) in [
        (110, Protocol::Pop3),
        (995, Protocol::Pop3),
        (143, Protocol::Imap),
        (993, Protocol::Imap),
        (25, Protocol::Smtp),
        (465, Protocol::Smtp),
        (587, Protocol::Smtp),
    ] {
        assert_eq!(protocol(&format!("listen {port};")), expected);
    }
    assert_eq!(protocol("listen 25-200;"), Protocol::Smtp);
    assert_eq!(protocol("listen 9; listen 110; listen 143;"), Protocol::Pop3);
    assert_eq!(protocol("listen 110; protocol imap; protocol smtp;"), Protocol::Smtp);
    assert_eq!(protocol("protocol smtp; listen 110;"), Protocol::Smtp);
    assert_eq!(server_error("protocol IMAP;"), "unknown protocol \"IMAP\"");

    let text = in_mail("server { listen 127.0.0.1; protocol pop3; }");
    assert_eq!(texts(&good(&text)), ["127.0.0.1:110"]);
    assert_eq!(
        warnings(&text),
        ["no port in \"127.0.0.1\" of the \"listen\" directive, using 110 in /nginx.conf:1"]
    );
    let text = in_mail("\nserver { listen *; }");
    assert_eq!(error(&text), "no port in \"*\" of the \"listen\" directive in /nginx.conf:2");
}

#[test]
fn every_port_of_every_address_takes_no_time() {
    let text = "worker_processes 1; events { worker_connections 300000; } mail { auth_http 127.0.0.1; server { protocol imap;
        listen 1-65535; listen 127.0.0.1:1-65535; listen [::1]:1-65535; listen [::]:1-65535; } }";
    assert_eq!(good(text).binds.len(), 2 * 65535);
}

/// What is bound, and what comes in there.
fn binds(listens: &str) -> Vec<(String, Vec<String>)> {
    let config = good(&in_mail(&format!("server {{ protocol imap; {listens} }}")));
    let texts = |bind: &Bind| bind.listens.iter().map(|listen| listen.text.to_string()).collect();
    config.binds.iter().map(|bind| (crate::log::lines::peer_text(&bind.address), texts(bind))).collect()
}

#[test]
fn a_wildcard_serves_the_addresses_of_its_port() {
    let shared = |address: &str, texts: &[&str]| {
        (address.to_owned(), texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        binds("listen 127.0.0.1:9; listen 9; listen 127.0.0.2:9 bind; listen 127.0.0.1:8;"),
        [
            shared("0.0.0.0:9", &["0.0.0.0:9", "127.0.0.1:9", "127.0.0.2:9"]),
            shared("127.0.0.1:8", &["127.0.0.1:8"])
        ]
    );
    assert_eq!(
        binds("listen 9; listen [::]:9; listen [::1]:9; listen unix:/a;"),
        [
            shared("0.0.0.0:9", &["0.0.0.0:9"]),
            shared("[::]:9", &["[::]:9", "[::1]:9"]),
            shared("unix:/a", &["unix:/a"]),
        ]
    );
    assert_eq!(
        binds("listen 127.0.0.1:9; listen 9; listen [::]:9 ipv6only=off;"),
        [shared("[::]:9", &["[::]:9", "0.0.0.0:9", "127.0.0.1:9"])]
    );
}

#[test]
fn the_local_address_selects_the_listen() {
    let config = good(&in_mail(
        "server { protocol imap; listen 9; listen 127.0.0.1:9; listen [::]:9 ipv6only=off; listen [::1]:9;
                  listen 127.0.0.1:8; }",
    ));
    let [shared, single] = &config.binds[..] else { panic!("{:?}", config.binds.len()) };
    let select = |bind: &Bind, local: &str| {
        let local: IpAddr = local.parse().expect("an address");
        bind.select(Some(local)).text.to_string()
    };
    for (local, expected) in [
        ("127.0.0.1", "127.0.0.1:9"),
        ("::ffff:127.0.0.1", "127.0.0.1:9"),
        ("127.0.0.2", "0.0.0.0:9"),
        ("::ffff:192.0.2.1", "0.0.0.0:9"),
        ("::1", "[::1]:9"),
        ("2001:db8::1", "[::]:9"),
    ] {
        assert_eq!(select(shared, local), expected, "{local}");
    }
    assert_eq!(select(single, "127.0.0.1"), "127.0.0.1:8");
    assert_eq!(&*single.select(None).text, "127.0.0.1:8");
}

#[test]
fn what_comes_back_to_the_proxy_itself() {
    let config = |listens: &str| good(&in_mail(&format!("server {{ protocol imap; {listens} }}")));
    let is_own = |listens: &str, target: &str, local: &str| {
        let (target, local) = (target.parse().expect("an address"), local.parse().ok());
        config(listens).binds.iter().any(|bind| bind.is_reached_by(target, local))
    };
    for (listens, target, local, expected) in [
        // The same address, in whatever spelling, and another port or address of the machine.
        ("listen 192.0.2.1:9;", "192.0.2.1:9", "", true),
        ("listen 192.0.2.1:9;", "[::ffff:192.0.2.1]:9", "", true),
        ("listen 192.0.2.1:9;", "192.0.2.1:10", "192.0.2.1", false),
        ("listen 192.0.2.1:9;", "127.0.0.1:9", "192.0.2.1", false),
        ("listen 127.0.0.1:9;", "0.0.0.0:9", "", true),
        ("listen [::1]:9;", "[::]:9", "", true),
        // A wildcard has all addresses of the machine, and nobody else's.
        ("listen 9;", "127.0.0.1:9", "", true),
        ("listen 9;", "127.1.2.3:9", "", true),
        ("listen 9;", "0.0.0.0:9", "", true),
        ("listen 9;", "192.0.2.1:9", "192.0.2.1", true),
        ("listen 9;", "192.0.2.1:9", "::ffff:192.0.2.1", true),
        ("listen 9;", "192.0.2.2:9", "192.0.2.1", false),
        ("listen 9; listen 192.0.2.2:9;", "192.0.2.2:9", "192.0.2.1", true),
        ("listen 9;", "127.0.0.1:10", "127.0.0.1", false),
        ("listen 9;", "[::1]:9", "", false),
        ("listen [::]:9;", "127.0.0.1:9", "", false),
        ("listen [::]:9;", "[::1]:9", "", true),
        ("listen [::]:9;", "[2001:db8::1]:9", "2001:db8::1", true),
        ("listen [::]:9 ipv6only=off;", "127.0.0.1:9", "", true),
        ("listen [::]:9 ipv6only=off;", "192.0.2.1:9", "::ffff:192.0.2.1", true),
        ("listen unix:/s;", "127.0.0.1:9", "127.0.0.1", false),
    ] {
        assert_eq!(is_own(listens, target, local), expected, "{listens} {target} {local}");
    }
}

#[test]
fn old_directives_act_on_all_listens_of_a_server() {
    let text = in_server("so_keepalive on; listen 9 so_keepalive=off;");
    let keepalive: Vec<_> = good(&text).binds.iter().map(|bind| bind.options.keepalive).collect();
    let on = Keepalive::On { idle: None, interval: None, probes: None };
    assert_eq!(keepalive, [Some(on), Some(Keepalive::Off)]);
    assert_eq!(
        good(&in_server("so_keepalive off; listen 9;")).binds[0].options.keepalive,
        Some(Keepalive::Off)
    );
    assert_eq!(
        warnings(&text),
        [
            "the \"so_keepalive\" directive is deprecated, use the \"listen ... so_keepalive=\" directive instead in /nginx.conf:1"
        ]
    );
}
