use super::*;

#[test]
fn names_places_forms_and_arities_are_checked_in_this_order() {
    for (text, expected) in [
        ("\nfoo;", "unknown directive \"foo\" in /nginx.conf:2"),
        ("Daemon on;", "unknown directive \"Daemon\" in /nginx.conf:1"),
        ("foo {", "unknown directive \"foo\" in /nginx.conf:1"),
        ("listen 143;", "\"listen\" directive is not allowed here in /nginx.conf:1"),
        ("mail { proxy_pass x; }", "\"proxy_pass\" directive is not allowed here in /nginx.conf:1"),
        ("mail { mail { } }", "\"mail\" directive is not allowed here in /nginx.conf:1"),
        ("events { server { } }", "\"server\" directive is not allowed here in /nginx.conf:1"),
        ("daemon\non\n{ }", "directive \"daemon\" is not terminated by \";\" in /nginx.conf:3"),
        ("events;", "directive \"events\" has no opening \"{\" in /nginx.conf:1"),
        ("events x { }", "invalid number of arguments in \"events\" directive in /nginx.conf:1"),
        ("daemon on off;", "invalid number of arguments in \"daemon\" directive in /nginx.conf:1"),
        ("daemon;", "invalid number of arguments in \"daemon\" directive in /nginx.conf:1"),
        ("user a b c;", "invalid number of arguments in \"user\" directive in /nginx.conf:1"),
        ("daemon on; daemon on;", "\"daemon\" directive is duplicate in /nginx.conf:1"),
        (
            "daemon yes;",
            "invalid value \"yes\" in \"daemon\" directive, it must be \"on\" or \"off\" in /nginx.conf:1",
        ),
        // That it stands there twice comes before what its value is.
        ("daemon on; daemon yes;", "\"daemon\" directive is duplicate in /nginx.conf:1"),
        (";", "unexpected \";\" in /nginx.conf:1"),
        ("\n}", "unexpected \"}\" in /nginx.conf:2"),
        ("events {\n", "unexpected end of file, expecting \"}\" in /nginx.conf:2"),
        ("daemon", "unexpected end of file, expecting \";\" or \"}\" in /nginx.conf:1"),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
}

#[test]
fn words_are_utf8() {
    let mut report = Report::default();
    let error = Config::parse(b"user a\xffb;", machine(), &mut report).expect_err("no UTF-8");
    assert_eq!(error.to_string(), "invalid UTF-8 in \"a\\xFFb\" in /nginx.conf:1");
    // Nobody looks into comments.
    assert!(Config::parse(b"# \xff\nevents {}", machine(), &mut report).is_ok());
}

#[test]
fn hints_come_beside_the_error() {
    let hint = |text| read(text).config.expect_err("an error").hint().map(str::to_owned);
    assert_eq!(hint("mail { sever { } }"), Some("did you mean \"server\"?".into()));
    assert_eq!(hint("xyzzy;"), None);
    assert_eq!(hint("listen 143;"), Some("it belongs in \"server\"".into()));
    assert_eq!(hint("timeout 5;"), Some("it belongs in \"mail\" or in \"server\"".into()));
    assert!(hint("access_log off;").expect("a hint").contains("http or stream"));
    assert_eq!(hint("worker_processes 1"), None);
    let missing = |name| Some(format!("is there a \";\" missing before \"{name}\"?"));
    assert_eq!(hint("worker_processes 1\npid x;"), missing("pid"));
    assert_eq!(hint("mail { server { listen 143\nprotocol imap; } }"), missing("protocol"));
    assert_eq!(hint("mail { server { listen 143 bogus ssl; } }"), None);
    assert_eq!(hint("mail { starttls yes; }"), Some("known values: off, on, only".into()));
    assert!(hint("mail { server { protocol imaps; } }").expect("a hint").contains("imap, pop3 or smtp"));
    assert_eq!(hint(" "), Some("\"events { }\" is enough".into()));
}

#[test]
fn includes_are_read_in_place_and_complete_in_themselves() {
    let machine = machine()
        .with_file("/mail.d/b.conf", "server { listen 110; }")
        .with_file("/mail.d/a.conf", "\nserver { listen 143; }")
        .with_file("/mail.d/.hidden.conf", "nonsense")
        .with_file("/abs/events", "events { }");
    let text = "include /abs/events; mail { auth_http 127.0.0.1; include mail.d/*.conf; include none/*; }";
    let outcome = read_on(machine, text);
    let config = outcome.config.expect("a good configuration");
    let texts: Vec<_> = config.binds.iter().map(|bind| &*bind.listens[0].text).collect();
    assert_eq!(texts, ["0.0.0.0:143", "0.0.0.0:110"]);
    let names: Vec<_> = outcome.report.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["/nginx.conf", "/abs/events", "/mail.d/a.conf", "/mail.d/b.conf"]);
}

#[test]
fn includes_that_fail() {
    let machine = machine()
        .with_file("/open", "events {\n")
        .with_file("/close", "}")
        .with_file("/self", "\ninclude self;")
        .with_file("/bad", "\n\nfoo;");
    let error = |text: &str| read_on(machine.clone(), text).config.expect_err("an error").to_string();
    for (text, expected) in [
        ("\ninclude none;", "open() \"/none\" failed (2: No such file or directory) in /nginx.conf:2"),
        ("include open; }", "unexpected end of file, expecting \"}\" in /open:2"),
        ("events { include close;", "unexpected \"}\" in /close:1"),
        ("include bad;", "unknown directive \"foo\" in /bad:3"),
        ("include self;", "\"include\" of \"/self\" is nested too deeply in /self:2"),
        ("include a b;", "invalid number of arguments in \"include\" directive in /nginx.conf:1"),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
}

#[test]
fn a_missing_file_has_no_place() {
    let request = request(None);
    let mut report = Report::default();
    let error = Config::load(&request, &machine(), &mut report).expect_err("no file");
    assert_eq!(error.to_string(), "open() \"/p/conf/x.conf\" failed (2: No such file or directory)");
    assert!(!report.is_syntax_ok && report.files.is_empty());
}

#[test]
fn paths_start_at_one_of_two_prefixes() {
    let machine = machine()
        .with_file("/p/conf/x.conf", "pid run/pid; error_log e; include i;")
        .with_file("/p/conf/i", "events { }");
    let config = Config::load(&request(None), &machine, &mut Report::default()).expect("a configuration");
    assert_eq!(config.main.pid, Path::new("/p/run/pid"));
    assert_eq!(config.main.error_log[0].to, LogTo::File("/p/e".into()));
}

#[test]
fn directives_of_the_command_line_come_first() {
    let machine = machine().with_file("/p/conf/x.conf", "\ndaemon on; events { }");
    let load = |directives: &str| {
        let mut report = Report::default();
        Config::load(&request(Some(directives)), &machine, &mut report).map_err(|error| error.to_string())
    };
    assert_eq!(load("pid /x; worker_processes 3;").map(|config| config.main.worker_processes), Ok(3));
    for (text, expected) in [
        ("daemon off;", "\"daemon\" directive is duplicate in /p/conf/x.conf:2"),
        ("pid x", "unexpected end of parameter, expecting \";\" in command line"),
        ("pid 'x", "unexpected end of parameter, expecting \";\" in command line"),
        ("events { }", "block directives are not supported in -g option in command line"),
        ("}", "unexpected \"}\" in command line"),
        ("foo;", "unknown directive \"foo\" in command line"),
    ] {
        assert_eq!(load(text).map(|_| ()), Err(expected.into()), "{text:?}");
    }
}

pub(super) fn request(directives: Option<&str>) -> Request {
    Request {
        prefix: "/p".into(),
        file: "conf/x.conf".into(),
        directives: directives.map(str::to_owned),
        error_log: "logs/error.log".into(),
        pid: "logs/nginx.pid".into(),
    }
}

#[test]
fn http_and_stream_are_skipped_with_one_notice_each() {
    let text = "events {}\nhttp { include /none; location ~ \"a{2}\" { foo; } }\nstream { }";
    let notices = warnings(text);
    assert_eq!(
        notices,
        [
            "the \"http\" block is skipped: gatepost serves mail in /nginx.conf:2",
            "the \"stream\" block is skipped: gatepost serves mail in /nginx.conf:3",
        ]
    );
    let outcome = read("events {}\nhttp {\n access_by_lua_block {\n return 'x\n }\n}\n");
    let error = outcome.config.expect_err("no end");
    assert_eq!(error.to_string(), "unexpected end of file, expecting \";\" or \"}\" in /nginx.conf:7");
    assert_eq!(error.hint(), Some("the block \"http\" of line 2 cannot be skipped"));
}

#[test]
fn the_report_knows_whether_the_text_was_at_fault() {
    assert!(!read("foo;").report.is_syntax_ok);
    let later = read("mail { }");
    assert!(later.report.is_syntax_ok);
    assert_eq!(
        later.config.map(drop).map_err(|error| error.to_string()),
        Err("no \"events\" section in configuration".into())
    );
}

#[test]
fn every_directive_is_in_one_table_only() {
    let names: Vec<_> = directive::all().map(|directive| directive.name).collect();
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_a_panic(text in "(daemon|mail|events|server|listen|include|143|on|[{};\"' \\n]|[a-z*:.]){0,40}") {
        let outcome = read(&text);
        proptest::prop_assert!(outcome.config.is_ok() || !outcome.report.files.is_empty());
    }
}
