use proptest::prelude::*;

use super::*;
use crate::config::defaults::{self, Default as Unwritten};
use crate::config::directive::Context;

#[track_caller]
fn explained(text: &str) -> String {
    explained_on(machine(), text)
}

#[track_caller]
fn explained_on(machine: Memory, text: &str) -> String {
    let outcome = read_on(machine, text);
    assert!(outcome.config.is_ok(), "{:?}\n{text}", outcome.config);
    outcome.report.explain().expect("an explanation")
}

/// The lines that hold this, their blanks made one.
fn lines(page: &str, part: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    page.lines().filter(|line| line.contains(part)).map(words).collect()
}

/// Directives that another one stands for, and those that are no settings.
const NO_SETTINGS: [&str; 6] = ["auth", "events", "imap", "include", "mail", "server"];

#[test]
fn every_directive_has_a_default_or_is_known_to_have_none() {
    let tables = [
        (Context::Main, defaults::MAIN),
        (Context::Events, defaults::EVENTS),
        (Context::Mail, defaults::SERVER),
        (Context::Server, defaults::SERVER),
    ];
    for directive in directive::all().filter(|directive| !NO_SETTINGS.contains(&directive.name)) {
        for (context, table) in tables {
            let is_shown = table.iter().any(|(name, _)| *name == directive.name);
            assert!(is_shown || !directive.contexts.contains(context), "{} in {context:?}", directive.name);
        }
    }
    for (context, table) in tables {
        for (index, (name, _)) in table.iter().enumerate() {
            let directive = directive::find(name).unwrap_or_else(|| panic!("{name} is no directive"));
            let may_stand =
                directive.contexts.contains(context) || directive.contexts.contains(Context::Server);
            assert!(may_stand && table[..index].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}

/// Written down, every default changes nothing.
#[test]
fn defaults_are_what_is_done_without_them() {
    let sets = |table: &[(&str, Unwritten)]| {
        let set = |&(name, default): &(&str, Unwritten)| match default {
            Unwritten::Is(arguments) => Some(format!("{name} {arguments};\n")),
            Unwritten::Told(_) | Unwritten::Found | Unwritten::Nothing | Unwritten::Ignored => None,
        };
        table.iter().filter_map(set).collect::<String>()
    };
    for port in [143, 110, 25] {
        let bare = format!("events {{ }} mail {{ auth_http 127.0.0.1; server {{ listen {port}; }} }}");
        let full = format!(
            "{} events {{ {} }} mail {{ auth_http 127.0.0.1; server {{ listen {port}; {} }} }}",
            sets(defaults::MAIN),
            sets(defaults::EVENTS),
            sets(defaults::SERVER)
        );
        assert_eq!(format!("{:?}", good(&bare)), format!("{:?}", good(&full)), "{port}");
        // The same, as it is printed.
        assert_eq!(format!("{:?}", good(&bare)), format!("{:?}", good(&explained(&bare))), "{port}");
    }
}

#[test]
fn a_realistic_file() {
    let machine = machine().with_file(
        "/mail.d/smtp.conf",
        "server {\n    listen 25;\n    listen 587 proxy_protocol;\n    smtp_auth none;\n    xclient off;\n    timeout 2m;\n}\n",
    );
    let text = include_str!("explain/nginx.conf");
    let page = explained_on(machine, text);
    assert_eq!(page, include_str!("explain/explained.txt"), "{page}");
}

#[test]
fn secrets_are_not_printed() {
    let page = explained(&in_server(
        "auth_http_header X-Key hidden1; ssl_certificate 'data:hidden2'; ssl_certificate_key data:hidden3;",
    ));
    assert!(!page.contains("hidden"), "{page}");
    assert_eq!(lines(&page, "X-Key"), ["auth_http_header X-Key REDACTED; # /nginx.conf:1"]);
    assert_eq!(
        lines(&page, "ssl_certificate_key"),
        ["# ssl_certificate_key data:REDACTED; # /nginx.conf:1: no effect without TLS"]
    );
    let report = read(&in_server("auth_http_header X-Key hidden;")).report;
    assert!(!format!("{report:?}").contains("hidden"));
}

#[test]
fn what_does_nothing_is_a_remark() {
    for (directives, part, expected) in [
        ("smtp_auth none;", "smtp_auth", "# smtp_auth none; # /nginx.conf:1: no effect with imap"),
        ("xclient off;", "xclient", "# xclient off; # /nginx.conf:1: no effect with imap"),
        ("resolver 127.0.0.1;", "resolver", "# resolver 127.0.0.1; # /nginx.conf:1: no effect with imap"),
        ("proxy on;", "proxy on", "# proxy on; # /nginx.conf:1: no effect"),
        (
            "set_real_ip_from ::1;",
            "real",
            "# set_real_ip_from ::1; # /nginx.conf:1: no effect without \"listen ... proxy_protocol\"",
        ),
        ("ssl_verify_depth 2;", "depth", "# ssl_verify_depth 2; # /nginx.conf:1: no effect without TLS"),
        (
            "proxy_ssl_name mx;",
            "name mx",
            "# proxy_ssl_name mx; # /nginx.conf:1: no effect without \"proxy_ssl\"",
        ),
        (
            "auth_http_ssl_name mx;",
            "name mx",
            "# auth_http_ssl_name mx; # /nginx.conf:1: no effect without \"https://\" in \"auth_http\"",
        ),
    ] {
        assert_eq!(lines(&explained(&in_server(directives)), part), [expected], "{directives}");
    }
    let page = explained(
        "load_module a.so; lock_file x; thread_pool a threads=2; events { use epoll; }
         http { server { } }
         stream { }",
    );
    assert_eq!(
        lines(&page, "/nginx.conf"),
        [
            "# load_module a.so; # /nginx.conf:1: not loaded",
            "# lock_file x; # /nginx.conf:1: no effect",
            "# thread_pool a threads=2; # /nginx.conf:1: no effect",
            "# http { ... } # /nginx.conf:2: skipped",
            "# stream { ... } # /nginx.conf:3: skipped",
            "# use epoll; # /nginx.conf:1: no effect",
        ]
    );
}

#[test]
fn the_innermost_level_is_shown_with_its_line() {
    let text = "error_log e; events { }\nmail { auth_http 127.0.0.1;\ntimeout 5; imap_capabilities A; imap_capabilities B;
        server { listen 143; }\nserver { listen 144; protocol imap; timeout 6; error_log s; auth plain apop; } }";
    let page = explained(text);
    assert_eq!(lines(&page, " timeout "), ["timeout 5; # /nginx.conf:3", "timeout 6; # /nginx.conf:5"]);
    assert_eq!(lines(&page, "imap_cap").len(), 4);
    assert_eq!(lines(&page, "server {"), ["server { # /nginx.conf:4", "server { # /nginx.conf:5"]);
    assert_eq!(
        lines(&page, " protocol "),
        ["protocol imap; # by the port", "protocol imap; # /nginx.conf:5"]
    );
    assert_eq!(
        lines(&page, "error_log "),
        ["error_log e; # /nginx.conf:1", "error_log e; # /nginx.conf:1", "error_log s; # /nginx.conf:5"]
    );
    assert_eq!(lines(&page, "pop3_auth"), ["# pop3_auth plain apop; # /nginx.conf:5: no effect with imap"]);
}

#[test]
fn stand_ins_go_with_their_auth_server() {
    let text = "events { } mail { auth_http 127.0.0.1; auth_http_backup 127.0.0.2;
        server { listen 143; }
        server { listen 110; auth_http 127.0.0.3; } }";
    assert_eq!(lines(&explained(text), "auth_http_backup"), ["auth_http_backup 127.0.0.2; # /nginx.conf:1"]);
}

#[test]
fn only_what_is_accepted_is_explained() {
    assert_eq!(read("foo;").report.explain(), None);
    assert_eq!(read("mail { }").report.explain(), None);
    assert!(read("events { }").report.explain().is_some_and(|page| !page.contains("mail")));
}

#[test]
fn a_page_is_lines_that_no_terminal_obeys() {
    let page = explained("pid \"a\\nb\"; error_log 'c\u{1b}d'; events { }");
    assert_eq!(lines(&page, "pid"), ["pid \"a\\nb\"; # /nginx.conf:1"]);
    assert_eq!(lines(&page, "error_log "), ["error_log \"c\\x1Bd\"; # /nginx.conf:1"]);
}

/// Directives that go together in any choice and order, in `mail` and in a server.
const GOOD: [&str; 31] = [
    "timeout 5s;",
    "max_errors 9;",
    "server_name a.example;",
    "error_log e info;",
    "error_log_format json;",
    "error_log syslog:server=unix:/l,nohostname warn;",
    "resolver 127.0.0.1 valid=5s ipv6=off;",
    "resolver_timeout 1h;",
    "auth_http one.example/x?y;",
    "auth_http_backup 127.0.0.2;",
    "auth_http_header A b;",
    "auth_http_timeout 7;",
    "auth_http_keepalive on;",
    "imap_auth login;",
    "imap_auth cram-md5 external;",
    "imap_capabilities 'A b' C;",
    "imap_client_buffer 8k;",
    "auth apop;",
    "pop3_auth plain;",
    "pop3_capabilities X;",
    "smtp_auth none;",
    "smtp_capabilities \"SIZE 1\" 8BITMIME;",
    "smtp_greeting_delay 50ms;",
    "xclient off;",
    "proxy on;",
    "proxy_timeout 1d;",
    "proxy_protocol v2;",
    "set_real_ip_from 10.0.0.0/8;",
    "set_real_ip_from unix:;",
    "so_keepalive on;",
    "starttls off;",
];

fn some_of_them() -> impl Strategy<Value = String> {
    prop::sample::subsequence(&GOOD[..], 0..12).prop_shuffle().prop_map(|chosen| chosen.join("\n"))
}

/// The settings of a page without their places.
fn effective(page: &str) -> Vec<&str> {
    let settings = page.lines().filter(|line| !line.trim_start().starts_with('#'));
    settings.map(|line| line.split(" # ").next().unwrap_or_default().trim_end()).collect()
}

proptest! {
    #[test]
    fn a_page_is_the_same_configuration(
        main in prop::sample::subsequence(vec!["error_log m;", "error_log_format json;", "daemon off;", "pid p;", "lock_file l;"], 0..5),
        mail in some_of_them(),
        server in some_of_them(),
        listen in prop::sample::select(vec!["143", "110 proxy_protocol", "25 so_keepalive=::4", "[::1]:587", "*"]),
    ) {
        let auth = if mail.contains("auth_http ") { "" } else { "auth_http 127.0.0.1;" };
        let text = format!(
            "{} events {{ }} mail {{ {auth} {mail} server {{ listen {listen}; listen 127.0.0.1:9 proxy_protocol; {server} }}
             server {{ listen 465 proxy_protocol; }} }}",
            main.concat()
        );
        let outcome = read(&text);
        // Without a protocol there is no port to listen on.
        prop_assert!(outcome.config.is_ok() || listen == "*", "{:?}", outcome.config);
        if let Ok(config) = outcome.config {
            let page = outcome.report.explain().expect("an explanation");
            let again = explained(&page);
            prop_assert_eq!(effective(&again), effective(&page), "{}", page);
            // All is kept where all has an effect.
            if listen.starts_with("25") {
                prop_assert_eq!(format!("{:?}", good(&page)), format!("{config:?}"), "{}", page);
            }
        }
    }

    #[test]
    fn words_are_read_back_as_they_were(word in "[a-z \\\\\"'{};#\n\t\r$]{0,12}") {
        let quoted = written::quoted(&word);
        let first = good(&format!("pid {quoted}; events {{ }}")).main.pid;
        prop_assert_eq!(&first, &Path::new("/").join(&word));
        let page = explained(&format!("pid {quoted}; events {{ }}"));
        prop_assert_eq!(good(&page).main.pid, first);
    }
}
