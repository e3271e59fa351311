//! SMTP: EHLO, HELO, XCLIENT, AUTH PLAIN, MAIL, RCPT; the login is over at whatever the proxy does last.

use super::{Behaviour, Conversation, Login, Talk};

/// Answers until the proxy has no further step: the last one depends on the directives, so the test names it by the
/// capability word `LAST=VERB` (EHLO, XCLIENT, AUTH or RCPT; EHLO where it is missing).
pub(super) fn login(talk: &mut Conversation, behaviour: &Behaviour) -> Talk<()> {
    let last = behaviour.capabilities.iter().find_map(|word| word.strip_prefix("LAST=")).unwrap_or("EHLO");
    let offered: Vec<_> = behaviour.capabilities.iter().filter(|word| !word.starts_with("LAST=")).collect();
    match &behaviour.login {
        Login::Greet(greeting) => talk.say(greeting)?,
        Login::Accept | Login::Refuse(_) | Login::Break(_) | Login::Close | Login::Reset | Login::Silence => {
            talk.say("220-mock")?;
            talk.say("220 mock ESMTP")?;
        }
    }
    let mut seen_xclient = false;
    let mut awaits_tls = behaviour.tls.as_ref().is_some_and(|tls| tls.starttls);
    loop {
        let line = talk.line()?;
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let refusal = |text: &str| text.to_owned();
        match verb.as_str() {
            "EHLO" => {
                let starttls = awaits_tls.then_some("STARTTLS");
                let words = offered.iter().map(|word| word.as_str()).chain(starttls);
                let lines: Vec<_> = ["mock"].into_iter().chain(words).collect();
                for (index, line) in lines.iter().enumerate() {
                    let separator = if index + 1 == lines.len() { ' ' } else { '-' };
                    talk.say(&format!("250{separator}{line}"))?;
                }
                if awaits_tls {
                    continue;
                }
            }
            "HELO" => talk.say("250 mock")?,
            "STARTTLS" if talk.upgrade(behaviour, "220 go")? => awaits_tls = false,
            "XCLIENT" => {
                seen_xclient = true;
                talk.say("220 mock ESMTP again")?;
            }
            "AUTH" => talk.judge(behaviour, "235 2.7.0 welcome", refusal)?,
            "MAIL" => talk.say("250 2.1.0 ok")?,
            "RCPT" => talk.judge(behaviour, "250 2.1.5 recipient ok", refusal)?,
            _ => {
                talk.say("502 5.5.2 unexpected")?;
                return talk.stop();
            }
        }
        let verb = if verb == "HELO" { "EHLO" } else { verb.as_str() };
        let is_first_ehlo_of_two =
            verb == "EHLO" && offered.iter().any(|word| word.starts_with("XCLIENT")) && !seen_xclient;
        if verb == last && !is_first_ehlo_of_two {
            return Ok(());
        }
    }
}
