use super::*;

/// All errors of a text, without the file's name.
fn all(text: &str) -> Vec<String> {
    all_on(machine(), text)
}

fn all_on(machine: Memory, text: &str) -> Vec<String> {
    let errors = read_on(machine, text).errors;
    errors.iter().map(|error| error.to_string().replace(" in /nginx.conf:", " @")).collect()
}

#[test]
fn after_a_bad_statement_the_next_is_read() {
    for (text, expected) in [
        ("foo;\nbar;", &["unknown directive \"foo\" @1", "unknown directive \"bar\" @2"][..]),
        (
            "daemon on;\ndaemon off;\npid;\nuser a b c;\nevents {}",
            &[
                "\"daemon\" directive is duplicate @2",
                "invalid number of arguments in \"pid\" directive @3",
                "invalid number of arguments in \"user\" directive @4",
            ],
        ),
        (
            "events { worker_connections x;\nuse y; }",
            &["invalid number \"x\" @1", "invalid event type \"y\" @2"],
        ),
        (
            "events {} mail { auth_http 127.0.0.1;\nserver { listen 143 sll;\nlisten 110;\ntimeout 5x; }\nmax_errors x; }",
            &[
                "invalid parameter \"sll\" @2",
                "\"timeout\" directive invalid value @4",
                "\"max_errors\" directive invalid number @5",
            ],
        ),
    ] {
        assert_eq!(all(text), expected, "{text}");
    }
}

#[test]
fn a_bad_block_is_passed_over() {
    for (text, expected) in [
        // What is in an unknown block is not known either.
        (
            "evens { foo; bar { } }\nbaz;",
            &["unknown directive \"evens\" @1", "unknown directive \"baz\" @2"][..],
        ),
        ("events {} server { listen 143; foo; }", &["\"server\" directive is not allowed here @1"]),
        (
            "events {} events { foo; }\nbar;",
            &["\"events\" directive is duplicate @1", "unknown directive \"bar\" @2"],
        ),
        ("events x { foo; }", &["invalid number of arguments in \"events\" directive @1"]),
        ("daemon on { foo; }\nevents {}", &["directive \"daemon\" is not terminated by \";\" @1"]),
        ("events;", &["directive \"events\" has no opening \"{\" @1"]),
        (
            "events {} mail { upstream x { server y; } }\nfoo;",
            &["\"upstream\" directive is not allowed here @1", "unknown directive \"foo\" @2"],
        ),
        ("evens { foo 'x'y; }", &["unknown directive \"evens\" @1", "unexpected \"y\" @1"]),
    ] {
        assert_eq!(all(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_cut_into_words_ends_its_file() {
    for (text, expected) in [
        ("foo;\n;\nbar;", &["unknown directive \"foo\" @1", "unexpected \";\" @2"][..]),
        ("mail { server { listen 143;\n", &["unexpected end of file, expecting \"}\" @2"]),
        ("events { }\n}\nfoo;", &["unexpected \"}\" @2"]),
        ("http { foo\n}", &["unexpected \"}\" @2"]),
    ] {
        assert_eq!(all(text), expected, "{text}");
    }
    let machine = machine().with_file("/a", "server { listen 143; 'x'y }").with_file("/b", "foo");
    let text = "events {} mail { include a; include none;\ninclude b; server { listen 110; }\nbar; }\nbaz;";
    assert_eq!(
        all_on(machine, text),
        [
            "unexpected \"y\" in /a:1",
            "open() \"/none\" failed (2: No such file or directory) @1",
            "unexpected end of file, expecting \";\" or \"}\" in /b:1",
            "unknown directive \"bar\" @3",
            "unknown directive \"baz\" @4",
        ]
    );
}

#[test]
fn servers_are_checked_kind_by_kind_to_the_end() {
    let text = "events {} mail {
        server { listen 9; }
        server { protocol imap; }
        server { listen 993 ssl; }
        server { listen 994; listen 995 ssl; ssl_certificate none; ssl_certificate_key none; }
        server { listen 465 ssl; ssl_certificate none; ssl_certificate_key none; auth_http 127.0.0.1; }
    }";
    assert_eq!(
        all(text),
        [
            "no \"listen\" is defined for server @3",
            "unknown mail protocol for server @2",
            "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive @4",
            // Once, though two servers have it.
            "cannot load certificate \"/none\": open() failed (2: No such file or directory)",
            "no \"auth_http\" is defined for server @2",
            "no \"auth_http\" is defined for server @3",
            "no \"auth_http\" is defined for server @4",
            "no \"auth_http\" is defined for server @5",
        ]
    );
}

#[test]
fn an_error_is_not_told_again_as_the_lack_of_what_it_refused() {
    let good = "server { listen 110; auth_http 127.0.0.1; }";
    for (text, expected) in [
        ("auth_htp 127.0.0.1; server { listen 143; }", "unknown directive \"auth_htp\" @1"),
        ("auth_http ftp://x/; server { listen 143; }", "invalid port in auth_http \"ftp://x/\" @1"),
        ("include none; server { listen 143; }", "open() \"/none\" failed (2: No such file or directory) @1"),
        (
            "listen 143; server { auth_http 127.0.0.1; protocol imap; }",
            "\"listen\" directive is not allowed here @1",
        ),
        (
            "server { listen x:y; auth_http 127.0.0.1; }",
            "invalid port in \"x:y\" of the \"listen\" directive @1",
        ),
        ("server { listen 9; protocol x; auth_http 127.0.0.1; }", "unknown protocol \"x\" @1"),
        ("server { listen *; protocol x; auth_http 127.0.0.1; }", "unknown protocol \"x\" @1"),
        ("server { lisen 143; auth_http 127.0.0.1; }", "unknown directive \"lisen\" @1"),
        (
            "ssl_certificate; server { listen 993 ssl; auth_http 127.0.0.1; }",
            "invalid number of arguments in \"ssl_certificate\" directive @1",
        ),
    ] {
        assert_eq!(all(&format!("events {{}} mail {{ {text} {good} }}")), [expected], "{text}");
    }
    assert_eq!(all("event {}"), ["unknown directive \"event\" @1"]);
    assert_eq!(all("include none;"), ["open() \"/none\" failed (2: No such file or directory) @1"]);
    // What cannot be the cause is told.
    let text = "events {} mail { auth_htp x; server { protocol imap; }\nserver { listen 9; } }";
    let expected = [
        "unknown directive \"auth_htp\" @1",
        "no \"listen\" is defined for server @1",
        "unknown mail protocol for server @2",
    ];
    assert_eq!(all(text), expected);
    let text = "mail { timeout x; server { listen 143; } }";
    let expected = [
        "\"timeout\" directive invalid value @1",
        "no \"auth_http\" is defined for server @1",
        "no \"events\" section in configuration",
    ];
    assert_eq!(all(text), expected);
}

#[test]
fn the_command_line_comes_first_and_its_errors_do_not_end_the_file() {
    let request =
        Request { directives: Some("foo; events { bar; } pid x".into()), ..language::request(None) };
    let machine = machine().with_file("/p/conf/x.conf", "baz;");
    let errors = Config::load(&request, &machine, &mut Report::default()).expect_err("errors");
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "unknown directive \"foo\" in command line",
            "block directives are not supported in -g option in command line",
            "unexpected end of parameter, expecting \";\" in command line",
            "unknown directive \"baz\" in /p/conf/x.conf:1",
        ]
    );
}

#[test]
fn twenty_errors_are_told_and_the_rest_counted() {
    let text: String = (1..=25).map(|number| format!("foo{number};\n")).collect();
    let errors = Config::parse(text, machine(), &mut Report::default()).expect_err("errors");
    assert_eq!((errors.iter().count(), errors.omitted()), (20, 5));
    assert_eq!(errors.to_string(), "unknown directive \"foo1\" in /nginx.conf:1");
    assert_eq!(errors.first(), errors.iter().next().expect("the first"));
}
