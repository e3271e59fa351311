//! Dialogues with a backend: `S:` are its lines, `C:` what we send, `R:` what the client gets, `@` the stage if it
//! changes, `=` the step, `L:` a logged fact; `! secured` is the end of a TLS handshake.

use proptest::prelude::*;

use super::super::tests::server;
use super::*;
use crate::action::Action;
use crate::address::ClientAddr;
use crate::config::{Server, StartTls};

fn login(login: &str, password: Option<&str>) -> BackendLogin {
    BackendLogin {
        login: login.into(),
        password: password.map(|password| password.as_bytes().into()),
        client: ClientAddr::Unix,
        client_host: "".into(),
        starttls: false,
    }
}

fn begin(with: BackendLogin) -> Login {
    Login::new(Tag::parse(b"a1").expect("a valid tag"), with)
}

struct Outcome {
    command: Vec<u8>,
    reply: Vec<u8>,
    stage: Stage,
    log: Vec<Action>,
    step: BackendStep,
}

fn say(login: &mut Login, server: &Server, line: &[u8]) -> Outcome {
    outcome(server, |context| login.on_line(line, context))
}

fn outcome(server: &Server, call: impl FnOnce(&mut BackendContext<'_>) -> BackendStep) -> Outcome {
    let (mut command, mut reply, mut log) = (Vec::new(), Vec::new(), Vec::new());
    let mut stage = Stage::Connecting;
    let mut context =
        BackendContext { server, command: &mut command, reply: &mut reply, stage: &mut stage, log: &mut log };
    let step = call(&mut context);
    Outcome { command, reply, stage, log, step }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.command.is_empty() {
            writeln!(f, "C: {}", self.command.escape_ascii())?;
        }
        if !self.reply.is_empty() {
            writeln!(f, "R: {}", self.reply.escape_ascii())?;
        }
        if self.stage != Stage::ReadingResponse {
            writeln!(f, "@ {:?}", self.stage)?;
        }
        for action in &self.log {
            let Action::Log(event, _) = action else { panic!("{action:?}") };
            writeln!(f, "L: {event:?}")?;
        }
        match &self.step {
            BackendStep::Continue => Ok(()),
            BackendStep::StartTls => writeln!(f, "= TLS"),
            BackendStep::LoggedIn => writeln!(f, "= logged in"),
            BackendStep::Failed => writeln!(f, "= failed"),
            BackendStep::Refused(BackendRefusal { reply, text, grounds }) => {
                let (reply, text) = (reply.escape_ascii(), text.escape_ascii());
                let grounds = match grounds {
                    Grounds::Credentials => "cleanly",
                    Grounds::Otherwise => "otherwise",
                    Grounds::Disorder => "badly",
                };
                writeln!(f, "= refused {grounds} '{text}' '{reply}'")
            }
        }
    }
}

/// Plays the backend's lines of a dialogue and compares all that happens.
#[track_caller]
fn check_with(with: BackendLogin, dialogue: &str) {
    let server = server(StartTls::Off, &[]);
    let mut login = begin(with);
    let mut happened = String::new();
    for line in dialogue.lines().map(str::trim_start) {
        if let Some(said) = line.strip_prefix("S: ") {
            happened += &format!("{line}\n{}", say(&mut login, &server, said.as_bytes()));
        } else if line == "! secured" {
            let outcome = outcome(&server, |context| login.on_secured(context));
            happened += &format!("{line}\n{outcome}");
        } else if line == "! quit" {
            let mut command = Vec::new();
            login.on_quit(&mut command);
            happened += &format!("{line}\nC: {}\n", command.escape_ascii());
        }
    }
    let expected: String = dialogue.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    assert_eq!(happened, expected);
}

#[track_caller]
fn check(dialogue: &str) {
    check_with(login("joe", Some("pw")), dialogue);
}

/// The dialogue up to the password, and `rest`.
#[track_caller]
fn check_end(rest: &str) {
    check(&format!(
        r"S: * OK ready
        C: a1 LOGIN {{3}}\r\n
        @ SendingLogin
        S: + OK
        C: joe {{2}}\r\n
        @ SendingUser
        S: +
        C: pw\r\n
        @ SendingPassword
        {rest}"
    ));
}

#[test]
fn starttls_forgets_what_came_in_clear() {
    let check =
        |dialogue: &str| check_with(BackendLogin { starttls: true, ..login("joe", Some("pw")) }, dialogue);
    check(
        r"S: * OK [CAPABILITY IMAP4rev1 LITERAL+] ready
        C: starttls STARTTLS\r\n
        @ SendingStartTls
        S: * 1 EXISTS
        S: starttls OK begin
        = TLS
        ! secured
        C: capability CAPABILITY\r\n
        @ SendingCapability
        S: * OK [ALERT] maintenance
        S: * CAPABILITY IMAP4rev1
        S: capability OK done
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: +
        C: joe {2}\r\n
        @ SendingUser
        S: +
        C: pw\r\n
        @ SendingPassword
        S: a1 OK done
        R: * OK [ALERT] maintenance\r\na1 OK done\r\n
        = logged in",
    );
    check(
        r"S: * PREAUTH ready
        = refused badly '* PREAUTH ready' '* PREAUTH ready\r\n'
        ! quit
        C: logout LOGOUT\r\n",
    );
    for line in ["+ go on", "a1 OK begin", "starttls NO", "* BYE", "capability OK"] {
        check(&format!(
            r"S: * OK ready
            C: starttls STARTTLS\r\n
            @ SendingStartTls
            S: {line}
            = refused badly '{line}' '{line}\r\n'
            ! quit
            C: logout LOGOUT\r\n"
        ));
    }
}

#[test]
fn by_synchronizing_literals() {
    check_end(
        r"S: a1 OK [CAPABILITY IMAP4rev1 IDLE] Logged in
        R: a1 OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n
        = logged in",
    );
    check_with(
        login("joe", Some("")),
        r"S: * ok
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: + go on
        C: joe {0}\r\n
        @ SendingUser
        S: +
        C: \r\n
        @ SendingPassword
        S: a1 OK
        R: a1 OK\r\n
        = logged in",
    );
}

#[test]
fn in_one_write_where_the_greeting_allows_it() {
    for code in ["CAPABILITY IMAP4rev1 LITERAL+", "capability literal+ X", "CAPABILITY LITERAL-"] {
        check(&format!(
            r"S: * OK [{code}] ready
            C: a1 LOGIN {{3+}}\r\njoe {{2+}}\r\npw\r\n
            @ SendingLogin
            S: a1 OK done
            R: a1 OK done\r\n
            = logged in"
        ));
    }
    for greeting in [
        "* OK",
        "* OK LITERAL+",
        "* OK [CAPABILITY IMAP4rev1] LITERAL+",
        "* OK [CAPABILITY LITERAL+",
        "* OK [ALERT LITERAL+] x",
        "* OK [CAPABILITY LITERAL+X]",
        "* OK x [CAPABILITY LITERAL+]",
    ] {
        check(&format!("S: {greeting}\nC: a1 LOGIN {{3}}\\r\\n\n@ SendingLogin"));
    }
}

#[test]
fn literal_minus_is_for_short_ones() {
    let (fits, longer) = ("x".repeat(4096), "x".repeat(4097));
    check_with(
        login("joe", Some(&fits)),
        &format!(
            "S: * OK [CAPABILITY LITERAL-]\nC: a1 LOGIN {{3+}}\\r\\njoe {{4096+}}\\r\\n{fits}\\r\\n\n@ SendingLogin"
        ),
    );
    for (name, password) in [("joe", &*longer), (&*longer, "pw")] {
        check_with(
            login(name, Some(password)),
            &format!("S: * OK [CAPABILITY LITERAL-]\nC: a1 LOGIN {{{}}}\\r\\n\n@ SendingLogin", name.len()),
        );
    }
    check_with(
        login("joe", Some(&longer)),
        &format!(
            "S: * OK [CAPABILITY LITERAL- LITERAL+]\nC: a1 LOGIN {{3+}}\\r\\njoe {{4097+}}\\r\\n{longer}\\r\\n\n@ SendingLogin"
        ),
    );
}

#[test]
fn untagged_lines_reach_the_client_in_front_of_the_tagged_one() {
    check(
        r"S: * OK ready
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: * CAPABILITY IMAP4rev1
        S: + OK
        C: joe {2}\r\n
        @ SendingUser
        S: * OK still here
        S: + OK
        C: pw\r\n
        @ SendingPassword
        S: * NO disk is nearly full
        S: * CAPABILITY IMAP4rev1 IDLE
        S: a1 OK done
        R: * CAPABILITY IMAP4rev1\r\n* OK still here\r\n* NO disk is nearly full\r\n* CAPABILITY IMAP4rev1 IDLE\r\na1 OK done\r\n
        = logged in",
    );
}

#[test]
fn preauth_needs_no_login() {
    check("S: * PREAUTH welcome\nR: a1 OK completed\\r\\n\n= logged in");
}

#[test]
fn bye_is_a_failure_at_any_step() {
    check(
        "S: * BYE too busy\n= refused badly '* BYE too busy' '* BYE too busy\\r\\n'\n! quit\nC: logout LOGOUT\\r\\n",
    );
    check(
        r"S: * OK ready
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: * bye
        = refused badly '* bye' '* bye\r\n'",
    );
    check_end("S: * OK x\nS: * BYE y\n= refused badly '* BYE y' '* OK x\\r\\n* BYE y\\r\\n'");
}

#[test]
fn a_negative_answer_to_the_login_is_clean() {
    check_end(
        r"S: * OK x
        S: a1 NO [AUTHENTICATIONFAILED] wrong
        = refused cleanly 'NO [AUTHENTICATIONFAILED] wrong' '* OK x\r\na1 NO [AUTHENTICATIONFAILED] wrong\r\n'
        ! quit
        C: logout LOGOUT\r\n",
    );
    check(
        r"S: * OK ready
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: a1 NO not here
        = refused cleanly 'NO not here' 'a1 NO not here\r\n'
        ! quit
        C: logout LOGOUT\r\n",
    );
}

/// RFC 5530.
#[test]
fn a_code_tells_what_a_negative_answer_is_about() {
    for (text, grounds) in [
        ("", "cleanly"),
        (" wrong", "cleanly"),
        (" [authenticationfailed] wrong", "cleanly"),
        (" [AUTHORIZATIONFAILED] not as him", "cleanly"),
        (" [EXPIRED] too old", "cleanly"),
        (" [ALERT] wrong, and people should know", "cleanly"),
        (" [UNAVAILABLE] no user database", "otherwise"),
        (" [PRIVACYREQUIRED] TLS first", "otherwise"),
        (" [LIMIT] too many connections", "otherwise"),
        (" [INUSE] locked", "otherwise"),
        (" [CONTACTADMIN] call us", "otherwise"),
        (" [AUTH", "cleanly"),
        (" [AUTHENTICATION] x", "otherwise"),
        (" [", "otherwise"),
    ] {
        let line = format!("a1 NO{text}");
        check_end(&format!("S: {line}\n= refused {grounds} 'NO{text}' '{line}\\r\\n'"));
    }
}

#[test]
fn all_else_is_refused() {
    for greeting in ["+OK ready", "220 ready", "* OKAY", "* NO", "*", "", "a1 OK"] {
        check(&format!("S: {greeting}\n= refused badly '{greeting}' '{greeting}\\r\\n'"));
    }
    check_end("S: a1 BAD what\n= refused badly 'BAD what' 'a1 BAD what\\r\\n'");
    check_end("S: a1 OKAY\n= refused badly 'OKAY' 'a1 OKAY\\r\\n'");
    for line in ["+ again", "a10 OK", "A1 OK", "a1", "a1OK", "b NO"] {
        check_end(&format!("S: {line}\n= refused badly '{line}' '{line}\\r\\n'"));
    }
    check(
        r"S: * OK ready
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: a1 OK too early
        = refused badly 'OK too early' 'a1 OK too early\r\n'",
    );
}

#[test]
fn literals_in_untagged_lines_are_refused() {
    for line in ["* X {5}", "* X {5+}", "* LIST () \"/\" {3}"] {
        let shown = line.as_bytes().escape_ascii();
        check_end(&format!("S: {line}\n= refused badly '{shown}' '{shown}\\r\\n'"));
    }
}

#[test]
fn untagged_lines_fit_proxy_buffer() {
    let server = server(StartTls::Off, &[]);
    let mut login = begin(login("joe", Some("pw")));
    say(&mut login, &server, b"* OK ready");
    let line = [b"* ".as_slice(), &[b'x'; 252]].concat();
    for _ in 0..2 {
        assert_eq!(say(&mut login, &server, &line).step, BackendStep::Continue);
    }
    let last = say(&mut login, &server, b"* x");
    assert_eq!(last.step, BackendStep::Failed);
    let event = Event::BackendReplyTooLong(b"* x".to_vec());
    assert_eq!(last.log, [Action::Log(event, Some(Stage::ReadingResponse))]);
}

#[test]
fn nothing_is_sent_without_fit_credentials() {
    check_with(login("joe", None), "S: * OK ready\nL: NoPassword\n= failed\n! quit\nC: logout LOGOUT\\r\\n");
    for (name, password) in [("jo\re", "pw"), ("joe", "p\nw"), ("joe", "p\0w")] {
        check_with(login(name, Some(password)), "S: * OK ready\nL: InvalidCredentials\n= failed");
    }
}

#[test]
fn no_logout_into_a_literal() {
    check("! quit\nC: logout LOGOUT\\r\\n");
    check("S: * OK ready\nC: a1 LOGIN {3}\\r\\n\n@ SendingLogin\n! quit\nC: ");
    check(
        r"S: * OK ready
        C: a1 LOGIN {3}\r\n
        @ SendingLogin
        S: junk
        = refused badly 'junk' 'junk\r\n'
        ! quit
        C: ",
    );
    check_end("! quit\nC: logout LOGOUT\\r\\n");
}

#[test]
fn the_password_is_gone_once_sent() {
    let server = server(StartTls::Off, &[]);
    let mut login = begin(login("joe", Some("pw")));
    for line in ["* OK ready", "+", "+"] {
        assert!(!format!("{login:?}").contains("pw"));
        say(&mut login, &server, line.as_bytes());
    }
    assert!(matches!(login.state, State::PasswordSent));
}

proptest! {
    #[test]
    fn any_backend_is_answered(
        lines in proptest::collection::vec(
            prop_oneof![
                Just(b"* OK [CAPABILITY LITERAL+]".to_vec()),
                Just(b"* OK ready".to_vec()),
                Just(b"+ ".to_vec()),
                Just(b"a1 OK".to_vec()),
                Just(b"a1 NO".to_vec()),
                Just(b"* x".to_vec()),
                proptest::collection::vec(any::<u8>().prop_filter("no LF", |&byte| byte != b'\n'), 0..300),
            ],
            0..12,
        ),
    ) {
        let server = server(StartTls::Off, &[]);
        let mut login = begin(login("joe", Some("pw")));
        for line in lines {
            let outcome = say(&mut login, &server, &line);
            prop_assert!(login.untagged.len() <= server.proxy_buffer);
            if outcome.step != BackendStep::Continue {
                break;
            }
            prop_assert!(outcome.reply.is_empty());
        }
    }
}
