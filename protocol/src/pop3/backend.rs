//! The login to a POP3 backend (spec/protocols.md section 9.3).
//!
//! ```text
//! backend                      we
//! +OK ... (greeting)           STLS, if so configured
//! +OK ...                      (TLS handshake)
//!                              USER login
//! +OK ...                      PASS password
//! +OK ... (to the client)      relay
//! ```
//!
//! A greeting's APOP timestamp is of no use here: the password is known, and USER and PASS work everywhere.

use crate::event::{Event, Stage};
use crate::machine::{BackendContext, BackendLogin, BackendRefusal, BackendStep, Grounds};
use crate::sasl;
use crate::secret::Secret;

/// The login while it is under way. The password is dropped as soon as it is sent.
#[derive(Debug)]
pub(crate) struct Login(State);

/// What the next line of the backend answers.
#[derive(Debug, Default)]
enum State {
    Connected(Connected),
    StlsSent(Connected),
    /// The handshake is under way, or about to begin.
    Securing(Connected),
    UserSent(UserSent),
    PassSent,
    #[default]
    Over,
}

#[derive(Debug)]
struct Connected {
    login: Vec<u8>,
    password: Option<Secret>,
    starttls: bool,
}

#[derive(Debug)]
struct UserSent {
    password: Secret,
}

impl Login {
    /// Waits for the greeting of a backend that has just been connected.
    pub(super) fn new(login: BackendLogin) -> Self {
        let BackendLogin { login, password, client: _, client_host: _, starttls } = login;
        Self(State::Connected(Connected { login, password, starttls }))
    }

    /// Takes one line without its end. A step that writes a command answers all that the backend may have said so
    /// far: bytes behind the line are then a protocol error, which only the session can see.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        *context.stage = Stage::ReadingResponse;
        let state = std::mem::take(&mut self.0);
        if !matches!(state, State::Over) && !line.starts_with(b"+OK") {
            return state.refuse(line);
        }
        match state {
            State::Connected(connected) if connected.starttls => {
                *context.stage = Stage::SendingStartTls;
                context.command.extend_from_slice(b"STLS\r\n");
                self.0 = State::StlsSent(connected);
                BackendStep::Continue
            }
            State::Connected(connected) => self.send_user(connected, context),
            State::StlsSent(connected) => {
                self.0 = State::Securing(connected);
                BackendStep::StartTls
            }
            State::UserSent(user) => self.send_pass(&user, context),
            State::PassSent => {
                context.reply.extend_from_slice(line);
                context.reply.extend_from_slice(b"\r\n");
                BackendStep::LoggedIn
            }
            State::Securing(_) | State::Over => BackendStep::Failed,
        }
    }

    /// STLS has done its work; there is no second greeting.
    pub(crate) fn on_secured(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        match std::mem::take(&mut self.0) {
            State::Securing(connected) => self.send_user(connected, context),
            State::Connected(_) | State::StlsSent(_) | State::UserSent(_) | State::PassSent | State::Over => {
                BackendStep::Failed
            }
        }
    }

    /// Takes leave of the backend, at whatever step.
    pub(crate) fn on_quit(&mut self, command: &mut Vec<u8>) {
        self.0 = State::Over;
        command.extend_from_slice(b"QUIT\r\n");
    }

    fn send_user(&mut self, connected: Connected, context: &mut BackendContext<'_>) -> BackendStep {
        let Some(password) = connected.password else {
            context.log(Event::NoPassword);
            return BackendStep::Failed;
        };
        // Machines and auth client refuse these bytes where they come in; this is the last gate before the wire.
        if sasl::has_line_end(&connected.login) || sasl::has_line_end(password.expose()) {
            context.log(Event::InvalidCredentials);
            return BackendStep::Failed;
        }
        *context.stage = Stage::SendingUser;
        send(b"USER ", &connected.login, context.command);
        self.0 = State::UserSent(UserSent { password });
        BackendStep::Continue
    }

    fn send_pass(&mut self, user: &UserSent, context: &mut BackendContext<'_>) -> BackendStep {
        *context.stage = Stage::SendingPassword;
        send(b"PASS ", user.password.expose(), context.command);
        self.0 = State::PassSent;
        BackendStep::Continue
    }
}

impl State {
    /// USER counts as a step with credentials like PASS: backends refuse unknown users at either.
    fn refuse(self, line: &[u8]) -> BackendStep {
        let has_sent_credentials = match self {
            Self::UserSent(_) | Self::PassSent => true,
            Self::Connected(_) | Self::StlsSent(_) | Self::Securing(_) | Self::Over => false,
        };
        let grounds = match line.strip_prefix(b"-ERR") {
            Some(text) if has_sent_credentials => Grounds::of_text(text.trim_ascii_start()),
            Some(_) | None => Grounds::Disorder,
        };
        BackendStep::Refused(BackendRefusal { reply: [line, b"\r\n"].concat(), text: line.to_vec(), grounds })
    }
}

fn send(verb: &[u8], argument: &[u8], command: &mut Vec<u8>) {
    // Growing behind a password would leave a copy of it in freed memory.
    command.reserve(verb.len() + argument.len() + 2);
    command.extend_from_slice(verb);
    command.extend_from_slice(argument);
    command.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::Action;
    use crate::address::ClientAddr;
    use crate::config::Server;
    use crate::pop3::tests::plain;

    /// A login of joe, and what its last step wrote.
    struct Dialogue {
        server: Server,
        login: Login,
        stage: Stage,
        command: Vec<u8>,
        reply: Vec<u8>,
        log: Vec<Action>,
    }

    impl Dialogue {
        fn new(login: &str, password: Option<&str>) -> Self {
            let login = BackendLogin {
                login: login.into(),
                password: password.map(|password| password.as_bytes().into()),
                client: ClientAddr::Unix,
                client_host: "".into(),
                starttls: false,
            };
            Self {
                server: plain(),
                login: Login::new(login),
                stage: Stage::Connecting,
                command: Vec::new(),
                reply: Vec::new(),
                log: Vec::new(),
            }
        }

        fn joe() -> Self {
            Self::new("joe", Some("pw"))
        }

        fn on_line(&mut self, line: &[u8]) -> BackendStep {
            self.command.clear();
            self.login.on_line(
                line,
                &mut BackendContext {
                    server: &self.server,
                    command: &mut self.command,
                    reply: &mut self.reply,
                    stage: &mut self.stage,
                    log: &mut self.log,
                },
            )
        }

        #[track_caller]
        fn expect(&mut self, line: &str, command: &str, stage: Stage) {
            assert_eq!(self.on_line(line.as_bytes()), BackendStep::Continue);
            assert_eq!(self.command, command.as_bytes());
            assert_eq!(self.stage, stage);
        }
    }

    #[test]
    fn a_login() {
        let mut joe = Dialogue::new("joe smith ", Some(" p w"));
        joe.expect("+OK Dovecot ready. <1.2@host>", "USER joe smith \r\n", Stage::SendingUser);
        joe.expect("+OK", "PASS  p w\r\n", Stage::SendingPassword);
        assert_eq!(joe.on_line(b"+OK 2 messages \xfc"), BackendStep::LoggedIn);
        assert_eq!(
            (joe.command.as_slice(), joe.reply.as_slice()),
            (&b""[..], &b"+OK 2 messages \xfc\r\n"[..])
        );
        assert!(joe.log.is_empty());
    }

    #[test]
    fn refusals() {
        for (accepted, line, grounds) in [
            (0, "-ERR busy", Grounds::Disorder),
            (0, "", Grounds::Disorder),
            (0, "220 mx ESMTP", Grounds::Disorder),
            (1, "-ERR no such user", Grounds::Credentials),
            (1, "-ERR [SYS/TEMP] no user database", Grounds::Otherwise),
            (1, "+", Grounds::Disorder),
            (2, "-ERR", Grounds::Credentials),
            (2, "-ERR [AUTH] Authentication failed.", Grounds::Credentials),
            (2, "-ERR [in-use] locked", Grounds::Otherwise),
            (2, "-ERR [LOGIN-DELAY] wait", Grounds::Otherwise),
            (2, "-ERR [SYS/PERM] gone", Grounds::Otherwise),
            (2, "* BYE", Grounds::Disorder),
            (2, "-err", Grounds::Disorder),
        ] {
            let mut joe = Dialogue::joe();
            for _ in 0..accepted {
                assert_eq!(joe.on_line(b"+OK"), BackendStep::Continue);
            }
            let refusal =
                BackendRefusal { reply: format!("{line}\r\n").into(), text: line.as_bytes().into(), grounds };
            assert_eq!(joe.on_line(line.as_bytes()), BackendStep::Refused(refusal), "{line:?}");
            assert_eq!(joe.stage, Stage::ReadingResponse);
            assert!(joe.command.is_empty() && joe.reply.is_empty());
        }
    }

    #[test]
    fn what_could_be_a_command_is_never_sent() {
        for (login, password, event) in [
            ("joe\r\nDELE 1", Some("pw"), Event::InvalidCredentials),
            ("joe", Some("pw\nDELE 1"), Event::InvalidCredentials),
            ("joe", Some("p\0w"), Event::InvalidCredentials),
            ("joe", None, Event::NoPassword),
        ] {
            let mut dialogue = Dialogue::new(login, password);
            assert_eq!(dialogue.on_line(b"+OK"), BackendStep::Failed);
            assert!(dialogue.command.is_empty());
            assert_eq!(dialogue.log, [Action::Log(event, Some(Stage::ReadingResponse))]);
            for line in [&b"+OK"[..], b"-ERR"] {
                assert_eq!(dialogue.on_line(line), BackendStep::Failed, "and stays so");
            }
        }
    }

    #[test]
    fn leave_is_taken_at_any_step() {
        for accepted in 0..3 {
            let mut joe = Dialogue::joe();
            for _ in 0..accepted {
                joe.on_line(b"+OK");
            }
            let mut command = Vec::new();
            joe.login.on_quit(&mut command);
            assert_eq!(command, b"QUIT\r\n");
            assert_eq!(joe.on_line(b"+OK"), BackendStep::Failed);
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let mut joe = Dialogue::new("joe", Some("hunter2"));
        let before = format!("{:?}", joe.login);
        joe.on_line(b"+OK");
        for shown in [before, format!("{:?}", joe.login)] {
            assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn any_backend_hears_two_lines_at_most(lines in prop::collection::vec(
            prop_oneof![Just(b"+OK".to_vec()), Just(b"-ERR".to_vec()), any::<Vec<u8>>()], 0..6,
        )) {
            let mut joe = Dialogue::joe();
            let mut said = Vec::new();
            for line in lines {
                let step = joe.on_line(&line);
                said.extend_from_slice(&joe.command);
                match step {
                    BackendStep::Continue => prop_assert!(joe.command.ends_with(b"\r\n")),
                    BackendStep::LoggedIn => {
                        prop_assert_eq!(&said, b"USER joe\r\nPASS pw\r\n");
                        prop_assert!(joe.reply.starts_with(b"+OK") && joe.reply.ends_with(b"\r\n"));
                        return Ok(());
                    }
                    BackendStep::StartTls | BackendStep::Refused(_) | BackendStep::Failed => {
                        prop_assert!(joe.reply.is_empty());
                        return Ok(());
                    }
                }
            }
            prop_assert!(b"USER joe\r\nPASS pw\r\n".starts_with(said.as_slice()));
        }
    }
}
