//! Whatever a client or a backend sends.

use proptest::prelude::*;

use super::*;
use crate::address::ClientAddr;
use crate::machine::BackendStep;
use crate::sasl::{self, Mechanism};

/// Lines near the grammar, and lines of any bytes but LF.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "HELO",
        "EHLO",
        "AUTH",
        "MAIL",
        "RCPT",
        "RSET",
        "NOOP",
        "QUIT",
        "VRFY",
        "EXPN",
        "HELP",
        "STARTTLS",
        "GET",
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "EXTERNAL",
        "FROM:<a@b>",
        "TO:<c@d>",
        "client.test",
        "=",
        "*",
        "",
        "AGpvZQBwdw==",
        "am9l",
        "cHc",
        "\0",
        "\r",
        "\t",
        "\u{fc}",
    ]);
    prop_oneof![
        4 => prop::collection::vec(word, 0..5).prop_map(|words| words.join(" ").into_bytes()),
        4 => prop::sample::select(vec![
            "EHLO a", "AUTH PLAIN AGpvZQBwdw==", "AUTH LOGIN", "am9l", "MAIL FROM:<a@b>", "RCPT TO:<c@d>",
        ]).prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>().prop_filter("ends a line", |&byte| byte != b'\n'), 0..40),
    ]
}

fn any_server() -> impl Strategy<Value = Server> {
    let starttls = prop::sample::select(vec![StartTls::Off, StartTls::On, StartTls::Only]);
    let words = prop::sample::subsequence(vec!["plain", "login", "cram-md5", "external", "none"], 0..=5);
    let xclient = prop::sample::select(vec![Xclient::Off, Xclient::IfOffered, Xclient::Required]);
    (starttls, words, xclient, any::<bool>(), 1..20_u32).prop_map(
        |(starttls, words, xclient, proxy_smtp_auth, max_errors)| {
            let change = |settings: &mut Settings| {
                settings.xclient = xclient;
                settings.proxy_smtp_auth = proxy_smtp_auth;
            };
            Server { max_errors, ..with(server(starttls, &words.join(" ")), change) }
        },
    )
}

/// Feeds the lines to a session whose every login is refused, until the machine closes. Gives each line's reply and
/// step, and whether the line came under TLS.
fn run(driver: &mut Driver<'_>, lines: &[Vec<u8>]) -> Vec<(String, Step, bool)> {
    let mut replies = Vec::new();
    for line in lines {
        driver.seen.clear();
        let step = driver.call(|machine, context| machine.on_line(line, context));
        let reply: Vec<&str> = driver.seen.iter().filter_map(|seen| seen.strip_prefix("S: ")).collect();
        let (reply, secured) = (reply.join("\n"), driver.secured);
        match step {
            Step::Authenticate(_) => driver.input("REFUSED no"),
            Step::StartTls => driver.input("TLS"),
            Step::Continue | Step::Close => {}
        }
        let is_over = step == Step::Close;
        replies.push((reply, step, secured));
        if is_over {
            break;
        }
    }
    replies
}

/// One reply of RFC 5321: the same code on all lines, the last without a dash.
fn is_one_reply(reply: &str) -> bool {
    let mut lines = reply.split('\n').rev();
    let last = lines.next().unwrap_or_default();
    let code = last.get(..3).unwrap_or_default();
    code.bytes().all(|digit| digit.is_ascii_digit())
        && last[code.len()..].starts_with([' ', '_'])
        && lines.all(|line| line.starts_with(&format!("{code}-")))
}

proptest! {
    #[test]
    fn every_line_has_one_reply(server in any_server(), lines in prop::collection::vec(any_line(), 0..30)) {
        let mut driver = Driver::new(&server);
        for (reply, step, _) in run(&mut driver, &lines) {
            if let Step::Authenticate(_) = step {
                prop_assert_eq!(reply, "");
            } else {
                prop_assert!(is_one_reply(&reply), "{}", reply);
            }
        }
    }

    #[test]
    fn errors_are_counted_and_bounded(server in any_server(), lines in prop::collection::vec(any_line(), 0..60)) {
        let mut driver = Driver::new(&server);
        let replies = run(&mut driver, &lines);
        let errors = replies.iter().filter(|(reply, ..)| reply.starts_with('5')).count();
        prop_assert_eq!(errors, driver.errors as usize);
        prop_assert!(driver.errors <= server.max_errors);
        let is_closed_for_errors =
            replies.last().is_some_and(|(reply, step, _)| *step == Step::Close && reply.starts_with('5'));
        prop_assert_eq!(is_closed_for_errors, driver.errors == server.max_errors);
    }

    #[test]
    fn a_login_is_one_the_server_allows(server in any_server(), lines in prop::collection::vec(any_line(), 0..30)) {
        let settings = settings(&server);
        for (_, step, secured) in run(&mut Driver::new(&server), &lines) {
            let Step::Authenticate(credentials) = step else { continue };
            prop_assert!(secured || server.starttls != StartTls::Only);
            prop_assert!(!sasl::has_line_end(credentials.login()));
            match &credentials {
                Credentials::Plain { password, .. } => prop_assert!(!sasl::has_line_end(password.expose())),
                Credentials::CramMd5 { .. } => prop_assert!(settings.mechanisms().contains(Mechanism::CramMd5)),
                Credentials::External { .. } => prop_assert!(settings.mechanisms().contains(Mechanism::External)),
                Credentials::Envelope(Envelope { helo, mail, rcpt }) => {
                    prop_assert!(settings.is_none_enabled());
                    prop_assert!(mail.to_ascii_uppercase().starts_with(b"MAIL "));
                    prop_assert!(rcpt.to_ascii_uppercase().starts_with(b"RCPT "));
                    for text in [helo, mail, rcpt] {
                        prop_assert!(!text.iter().any(u8::is_ascii_control));
                    }
                }
                Credentials::Apop { .. } => panic!("SMTP has no APOP"),
            }
        }
    }

    #[test]
    fn debug_and_log_show_no_password(password in "[A-Z]{12,20}") {
        let server = with(plain(), |settings| settings.proxy_smtp_auth = true);
        let mut driver = Driver::new(&server);
        driver.inputs(&["C: HELO a", "C: AUTH LOGIN am9l"]);
        let last = data_encoding::BASE64.encode(password.as_bytes());
        driver.seen.clear();
        let step = driver.call(|machine, context| machine.on_line(last.as_bytes(), context));
        prop_assert!(matches!(step, Step::Authenticate(_)));
        let login = driver.machine.backend(BackendLogin {
            login: b"joe".to_vec(),
            password: Some(password.as_bytes().into()),
            client: ClientAddr::Unix,
            client_host: "[TEMPUNAVAIL]".into(),
            starttls: false,
        });
        let debug = format!("{step:?} {:?} {login:?} {:?}", driver.machine, driver.seen);
        let numbers = format!("{:?}", password.as_bytes());
        prop_assert!(!debug.contains(&password) && !debug.contains(numbers.trim_matches(['[', ']'])));
        prop_assert!(!debug.contains(&last));
    }

    /// A hostile backend, and a login that the auth server sent with any bytes: each reply leads to one command line at
    /// most, and the dialogue ends.
    #[test]
    fn any_backend_hears_one_line_at_a_time(
        server in any_server(),
        who: (Vec<u8>, Option<Vec<u8>>, String),
        envelope in any::<bool>(),
        lines in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(vec![
                "220 x", "250 x", "250-x", "250 XCLIENT NAME ADDR LOGIN PORT PROTO HELO", "235 x", "535 x", "",
            ]).prop_map(|line| line.as_bytes().to_vec()),
            1 => any::<Vec<u8>>(),
        ], 0..20),
    ) {
        let mut driver = Driver::new(&server);
        driver.input("C: EHLO client.test");
        if envelope {
            driver.inputs(&["C: MAIL FROM:<a@b>", "C: RCPT TO:<c@d>"]);
        }
        let (login, password, client_host) = who;
        driver.login = Some(driver.machine.backend(BackendLogin {
            login,
            password: password.as_deref().map(Into::into),
            client: ClientAddr::Inet(([192, 0, 2, 7], 4321).into()),
            client_host: client_host.into(),
            starttls: false,
        }));
        let mut is_over = false;
        for line in lines {
            driver.seen.clear();
            let step = driver.backend_line(&line);
            let commands: Vec<_> = driver.seen.iter().filter_map(|seen| seen.strip_prefix("P: ")).collect();
            prop_assert!(commands.len() <= 1, "{:?}", commands);
            prop_assert!(!commands.iter().any(|line| line.contains(['\r', '\n', '\0'])));
            let replies = driver.seen.iter().filter(|seen| seen.starts_with("S: ")).count();
            prop_assert_eq!(replies > 0, step == BackendStep::LoggedIn);
            if is_over {
                prop_assert!(step != BackendStep::LoggedIn && commands.is_empty());
            }
            is_over |= step != BackendStep::Continue;
        }
    }
}
