//! `proxy_auth_failure`: a backend's refusal of the password, told as a failed login.

use std::time::{Duration, Instant};

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour, Login};
use gatepost_tests::{AuthAnswer, Client, Program, on_both};

use crate::setup::{Plan, Setup};

/// The commands of a login with this password, but for the last; the last; and the answer to a good one.
fn login(protocol: Protocol, tag: &str, password: &str) -> (Vec<String>, String, String) {
    match protocol {
        Protocol::Imap => {
            (Vec::new(), format!("{tag} LOGIN alice {password}"), format!("{tag} OK logged in"))
        }
        Protocol::Pop3 => {
            (vec!["USER alice".to_owned()], format!("PASS {password}"), "+OK mailbox open".to_owned())
        }
        Protocol::Smtp => {
            let response = data_encoding::BASE64.encode(format!("\0alice\0{password}").as_bytes());
            (vec!["EHLO laptop".to_owned()], format!("AUTH PLAIN {response}"), "235 2.0.0 OK".to_owned())
        }
    }
}

/// Sends a login, whose last command is answered so.
fn log_in(client: &mut Client, protocol: Protocol, tag: &str, password: &str, reply: Option<&str>) {
    let (first, last, accepted) = login(protocol, tag, password);
    for command in first {
        client.send(format!("{command}\r\n"));
        while client.line().as_bytes().get(3) == Some(&b'-') {}
    }
    client.say(&last, reply.unwrap_or(&accepted));
}

/// The backend refuses everybody; another one takes whoever has the right password.
fn start(program: Program, protocol: Protocol, directives: &str) -> (Setup, Backend) {
    let code = if protocol == Protocol::Smtp { "535 5.7.8 " } else { "" };
    let refusing = Behaviour {
        login: Login::Refuse(format!("{code}no such user")),
        capabilities: capabilities(protocol),
        ..Behaviour::default()
    };
    let plan = Plan::new(protocol).behaviour(refusing);
    let good = Behaviour { capabilities: capabilities(protocol), ..Behaviour::default() };
    let good = Backend::start(protocol, plan.host().port(2001), good);
    let address = good.address();
    let plan = plan.rule(move |request, refusing| match request.header("Auth-Pass") {
        Some("right") => AuthAnswer::accept(address),
        Some(_) | None => AuthAnswer::accept(refusing),
    });
    (plan.directives("proxy_smtp_auth on; xclient off;").directives(directives).start(program), good)
}

fn capabilities(protocol: Protocol) -> Vec<String> {
    if protocol == Protocol::Smtp { vec!["LAST=AUTH".to_owned()] } else { Vec::new() }
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];

on_both! {
    fn a_refused_password_is_a_failed_login(program: Program) {
        for protocol in PROTOCOLS {
            let (setup, good) = start(program, protocol, "proxy_auth_failure on;");
            let mut client = setup.client();
            let refusal = match protocol {
                Protocol::Imap => "a1 NO [AUTHENTICATIONFAILED] invalid login or password",
                Protocol::Pop3 => "-ERR invalid login or password",
                Protocol::Smtp => "535 5.7.8 invalid login or password",
            };
            let start = Instant::now();
            log_in(&mut client, protocol, "a1", "wrong", Some(refusal));
            assert!(start.elapsed() >= Duration::from_millis(1900), "the refusal came at once");
            let log = setup.proxy.await_log("upstream sent invalid response: \"");
            let line = log.lines().find(|line| line.contains("upstream sent invalid response: \"")).unwrap();
            assert!(line.contains(" [info] ") && line.contains("no such user\" while "), "{line}");
            // The client may try again, and the backend's words were not for it.
            log_in(&mut client, protocol, "a2", "right", None);
            client.say("NOOP", "echo NOOP");
            assert_eq!(good.records().len(), 1);
            let attempts: Vec<_> =
                setup.auth.requests().iter().map(|request| request.header("Auth-Login-Attempt").unwrap().to_owned()).collect();
            assert_eq!(attempts, ["1", "2"]);
        }
    }

    fn without_the_directive_it_is_an_internal_error(program: Program) {
        for protocol in PROTOCOLS {
            for directives in ["", "proxy_auth_failure off;"] {
                let (setup, _good) = start(program, protocol, directives);
                let mut client = setup.client();
                let internal_error = match protocol {
                    Protocol::Imap => "a1 NO [UNAVAILABLE] internal server error",
                    Protocol::Pop3 => "-ERR internal server error",
                    Protocol::Smtp => "451 4.3.2 Internal server error",
                };
                log_in(&mut client, protocol, "a1", "wrong", Some(internal_error));
                if protocol == Protocol::Imap {
                    client.expect("* BYE internal server error");
                }
                client.expect_eof();
                let log = setup.proxy.await_log("upstream sent invalid response: \"");
                assert!(log.contains("[error]"), "{log}");
            }
        }
    }

    fn the_words_of_the_backend_go_before_it(program: Program) {
        let directives = "proxy_auth_failure on; proxy_pass_error_message on;";
        for (protocol, refusal) in
            [(Protocol::Imap, "a1 NO no such user"), (Protocol::Pop3, "-ERR no such user"), (Protocol::Smtp, "535 5.7.8 no such user")]
        {
            let (setup, _good) = start(program, protocol, directives);
            let mut client = setup.client();
            log_in(&mut client, protocol, "a1", "wrong", Some(refusal));
            log_in(&mut client, protocol, "a2", "right", None);
        }
    }

    fn an_outage_of_the_backend_is_no_wrong_password(program: Program) {
        for (protocol, refusal, reply) in [
            (Protocol::Imap, "[UNAVAILABLE] no user database", "a1 NO [UNAVAILABLE] internal server error"),
            (Protocol::Pop3, "[SYS/TEMP] no user database", "-ERR internal server error"),
            (Protocol::Smtp, "530 5.7.0 Must issue a STARTTLS command first", "451 4.3.2 Internal server error"),
        ] {
            let behaviour = Behaviour {
                login: Login::Refuse(refusal.to_owned()),
                capabilities: capabilities(protocol),
                ..Behaviour::default()
            };
            let directives = "proxy_smtp_auth on; xclient off; proxy_auth_failure on;";
            let setup = Plan::new(protocol).behaviour(behaviour).directives(directives).start(program);
            let mut client = setup.client();
            log_in(&mut client, protocol, "a1", "right", Some(reply));
            if protocol == Protocol::Imap {
                client.expect("* BYE internal server error");
            }
            client.expect_eof();
            let log = setup.proxy.await_log("upstream sent invalid response: \"");
            assert!(log.contains("[error]") && log.contains(refusal), "{log}");
        }
    }

    fn only_a_clean_refusal_of_the_password_counts(program: Program) {
        // Nobody was asked for a password when the backend said no.
        let behaviour = Behaviour { login: Login::Greet("-ERR busy".to_owned()), ..Behaviour::default() };
        let setup = Plan::new(Protocol::Pop3).behaviour(behaviour).directives("proxy_auth_failure on;").start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS wrong", "-ERR internal server error");
        client.expect_eof();
    }
}
