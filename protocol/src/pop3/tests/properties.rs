//! Whatever a client sends.

use proptest::prelude::*;

use super::*;

/// Lines near the grammar, and lines of any bytes but LF.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "USER",
        "PASS",
        "APOP",
        "AUTH",
        "CAPA",
        "NOOP",
        "STLS",
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "EXTERNAL",
        "joe",
        "=",
        "*",
        "",
        "AGpvZQBwdw==",
        "am9l",
        "cHc",
        "\0",
        "\r",
        "\u{fc}",
        "-",
    ]);
    prop_oneof![
        4 => prop::collection::vec(word, 0..5).prop_map(|words| words.join(" ").into_bytes()),
        1 => prop::collection::vec(any::<u8>().prop_filter("ends a line", |&byte| byte != b'\n'), 0..40),
    ]
}

fn any_server() -> impl Strategy<Value = Server> {
    let starttls = prop::sample::select(vec![StartTls::Off, StartTls::On, StartTls::Only]);
    (starttls, any::<[bool; 4]>(), 1..20_u32).prop_map(
        |(starttls, [plain, cram_md5, external, apop], max_errors)| {
            let mechanisms: Vec<Mechanism> = [
                plain.then_some(Mechanism::Plain),
                cram_md5.then_some(Mechanism::CramMd5),
                external.then_some(Mechanism::External),
            ]
            .into_iter()
            .flatten()
            .collect();
            Server { max_errors, ..server(starttls, &mechanisms, apop) }
        },
    )
}

/// Feeds the lines to a session that answers every login with a refusal, until the machine closes. Gives each line's
/// reply and step.
fn run(driver: &mut Driver<'_>, lines: &[Vec<u8>]) -> Vec<(String, Step)> {
    let mut replies = Vec::new();
    driver.input("CONNECT");
    for line in lines {
        driver.seen.clear();
        let step = driver.call(|machine, context| machine.on_line(line, context));
        let reply: Vec<&str> = driver.seen.iter().filter_map(|seen| seen.strip_prefix("S: ")).collect();
        let reply = reply.join("\n");
        if let Step::Authenticate(_) = step {
            driver.input("AUTH SERVER refuses: no");
        } else if step == Step::StartTls {
            driver.input("TLS");
        }
        let is_over = step == Step::Close;
        replies.push((reply, step));
        if is_over {
            break;
        }
    }
    replies
}

proptest! {
    #[test]
    fn every_line_has_one_reply(server in any_server(), lines in prop::collection::vec(any_line(), 0..30)) {
        for (reply, step) in run(&mut Driver::new(&server), &lines) {
            if let Step::Authenticate(_) = step {
                prop_assert_eq!(reply, "");
                continue;
            }
            let is_list = reply.starts_with("+OK Capability list follows\n")
                || reply.starts_with("+OK methods supported:\n");
            if is_list {
                prop_assert!(reply.ends_with("\n."));
            } else {
                prop_assert!(!reply.contains('\n'));
                let status = ["+OK", "-ERR ", "+ "].iter().any(|status| reply.starts_with(status));
                prop_assert!(status, "{}", reply);
            }
        }
    }

    #[test]
    fn errors_are_counted_and_bounded(server in any_server(), lines in prop::collection::vec(any_line(), 0..60)) {
        let mut driver = Driver::new(&server);
        let replies = run(&mut driver, &lines);
        let errors = replies.iter().filter(|(reply, _)| reply.starts_with("-ERR")).count();
        prop_assert_eq!(errors, driver.errors as usize);
        prop_assert!(driver.errors <= server.max_errors);
        let last = replies.last().map(|(reply, step)| (reply.as_str(), step));
        let is_closed_for_errors = matches!(last, Some((reply, Step::Close)) if reply.starts_with("-ERR"));
        prop_assert_eq!(is_closed_for_errors, driver.errors == server.max_errors);
    }

    #[test]
    fn a_login_is_one_the_server_allows(server in any_server(), lines in prop::collection::vec(any_line(), 0..30)) {
        let mut driver = Driver::new(&server);
        let settings = settings(&server);
        let mut secured = false;
        for (_, step) in run(&mut driver, &lines) {
            secured |= step == Step::StartTls;
            let Step::Authenticate(credentials) = step else { continue };
            prop_assert!(secured || server.starttls != StartTls::Only);
            prop_assert!(!sasl::has_line_end(credentials.login()));
            let secret = match &credentials {
                Credentials::Plain { password, .. } => password.expose(),
                Credentials::Apop { digest, .. } => {
                    prop_assert!(settings.is_apop_enabled());
                    digest.expose()
                }
                Credentials::CramMd5 { digest, .. } => {
                    prop_assert!(settings.mechanisms().contains(Mechanism::CramMd5));
                    digest.expose()
                }
                Credentials::External { .. } => {
                    prop_assert!(settings.mechanisms().contains(Mechanism::External));
                    b""
                }
                Credentials::Envelope(_) => panic!("POP3 has no envelope"),
            };
            prop_assert!(!sasl::has_line_end(secret));
        }
    }

    #[test]
    fn debug_and_log_show_no_password(password in "[A-Z]{12,20}", by_user in any::<bool>()) {
        let server = plain();
        let mut driver = Driver::new(&server);
        let last = if by_user {
            driver.input("C: USER joe");
            format!("PASS {password}")
        } else {
            driver.input("C: AUTH LOGIN am9l");
            data_encoding::BASE64.encode(password.as_bytes())
        };
        driver.seen.clear();
        let step = driver.call(|machine, context| machine.on_line(last.as_bytes(), context));
        let debug = format!("{step:?} {:?} {:?}", driver.machine, driver.seen);
        let numbers = format!("{:?}", password.as_bytes());
        prop_assert!(matches!(step, Step::Authenticate(_)));
        prop_assert!(!debug.contains(&password) && !debug.contains(numbers.trim_matches(['[', ']'])));
        prop_assert!(!debug.contains(&last));
    }
}
