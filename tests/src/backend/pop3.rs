//! POP3: USER, PASS.

use super::{Behaviour, Conversation, Login, Talk};

pub(super) fn login(talk: &mut Conversation, behaviour: &Behaviour) -> Talk<()> {
    match &behaviour.login {
        Login::Greet(greeting) => talk.say(greeting)?,
        Login::Accept | Login::Refuse(_) | Login::Break(_) | Login::Close | Login::Reset | Login::Silence => {
            talk.say("+OK mock ready <1.2@mock>")?
        }
    }
    loop {
        let line = talk.line()?;
        if line.starts_with("USER ") {
            talk.say("+OK")?;
        } else if line == "STLS" && talk.upgrade(behaviour, "+OK begin")? {
            continue;
        } else if line.starts_with("PASS ") {
            return talk.judge(behaviour, "+OK mailbox open", |text| format!("-ERR {text}"));
        } else {
            talk.say("-ERR unexpected")?;
            return talk.stop();
        }
    }
}
