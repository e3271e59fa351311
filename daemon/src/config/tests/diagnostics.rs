use super::*;

/// What is shown below the error of a text.
#[track_caller]
fn shown(text: &str) -> String {
    let outcome = read(text);
    let error = outcome.config.expect_err("an error");
    outcome.report.excerpt(&error).unwrap_or_default()
}

#[test]
fn the_word_at_fault_is_marked() {
    for (text, expected) in [
        ("foo bar;", "    1 | foo bar;\n      | ^^^"),
        ("\n  lisen 143;", "    2 |   lisen 143;\n      |   ^^^^^ did you mean \"listen\"?"),
        ("listen 143;", "    1 | listen 143;\n      | ^^^^^^ it belongs in \"server\""),
        ("daemon yes;", "    1 | daemon yes;\n      |        ^^^"),
        // The message has the line of the `;`, the excerpt that of the word.
        ("daemon\n  yes\n;", "    2 |   yes\n      |   ^^^"),
        ("daemon on; daemon off;", "    1 | daemon on; daemon off;\n      |            ^^^^^^"),
        ("mail {\ntimeout 5x; }", "    2 | timeout 5x; }\n      |         ^^"),
        ("a 'b'c;", "    1 | a 'b'c;\n      |      ^"),
        ("\n}", "    2 | }\n      | ^"),
        ("events { }\nuser 'x", "    2 | user 'x\n      | ^^^^"),
        ("mail { max_errors x; }", "    1 | mail { max_errors x; }\n      |                   ^"),
        ("include none;", "    1 | include none;\n      |         ^^^^"),
        (
            "mail { imap_auth plain crammd5; }",
            "    1 | mail { imap_auth plain crammd5; }\n      |                        ^^^^^^^ did you mean \"cram-md5\"?",
        ),
        (
            "mail { server { protocol imp; } }",
            "    1 | mail { server { protocol imp; } }\n      |                          ^^^ it is imap, pop3 or smtp; \"ssl\" behind \"listen\" means TLS from the first byte",
        ),
        (
            "mail { server { listen 143 sssl; } }",
            "    1 | mail { server { listen 143 sssl; } }\n      |                            ^^^^ did you mean \"ssl\"?",
        ),
        (
            "mail { server { protocol imap; } }",
            "    1 | mail { server { protocol imap; } }\n      |        ^^^^^^",
        ),
        (
            "events {} mail { server { listen 1; protocol imap; } }",
            "    1 | events {} mail { server { listen 1; protocol imap; } }\n      |                  ^^^^^^",
        ),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn the_excerpt_is_of_the_file_at_fault() {
    let machine = machine().with_file("/a", "events {}\n").with_file("/b", "\n\n  timeot 3;");
    let outcome = read_on(machine, "include a; mail {\ninclude b; }");
    let error = outcome.config.expect_err("an error");
    assert_eq!(error.to_string(), "unknown directive \"timeot\" in /b:3");
    let expected = "    3 |   timeot 3;\n      |   ^^^^^^ did you mean \"timeout\"?";
    assert_eq!(outcome.report.excerpt(&error).as_deref(), Some(expected));
}

#[test]
fn what_has_no_line_shows_none() {
    assert_eq!(shown("daemon on;"), "");
    assert_eq!(shown(&in_mail("auth_http_header Key 'se\u{1}cret';")), "");
    let request = Request { directives: Some("daemn on;".into()), ..language::request(None) };
    let mut report = Report::default();
    let errors = Config::load(&request, &machine(), &mut report).expect_err("an error");
    let error = errors.first();
    assert_eq!(error.to_string(), "unknown directive \"daemn\" in command line");
    assert_eq!(error.hint(), Some("did you mean \"daemon\"?"));
    assert_eq!(report.excerpt(error), None);
}
