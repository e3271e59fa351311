//! IMAP: LOGIN with literals of both kinds.

use super::{Behaviour, Conversation, Login, Talk};

pub(super) fn login(talk: &mut Conversation, behaviour: &Behaviour) -> Talk<()> {
    match &behaviour.login {
        Login::Greet(greeting) => talk.say(greeting)?,
        Login::Accept | Login::Refuse(_) | Login::Break(_) | Login::Close | Login::Reset | Login::Silence
            if behaviour.capabilities.is_empty() =>
        {
            talk.say("* OK mock ready")?;
        }
        Login::Accept | Login::Refuse(_) | Login::Break(_) | Login::Close | Login::Reset | Login::Silence => {
            talk.say(&format!(
                "* OK [CAPABILITY IMAP4rev1 {}] mock ready",
                behaviour.capabilities.join(" ")
            ))?;
        }
    }
    if matches!(&behaviour.login, Login::Greet(greeting) if greeting.starts_with("* PREAUTH")) {
        return Ok(());
    }
    let mut line = talk.line()?;
    if let Some(tag) = line.strip_suffix(" STARTTLS") {
        if !talk.upgrade(behaviour, &format!("{tag} OK begin"))? {
            return talk.stop();
        }
        line = talk.line()?;
        if let Some(tag) = line.strip_suffix(" CAPABILITY") {
            talk.say(&format!("* CAPABILITY IMAP4rev1 {}", behaviour.capabilities.join(" ")))?;
            talk.say(&format!("{tag} OK done"))?;
            line = talk.line()?;
        }
    }
    let Some((tag, "LOGIN")) = line.rsplit_once(' ').and_then(|(head, _)| head.split_once(' ')) else {
        talk.say("* BAD unexpected")?;
        return talk.stop();
    };
    let tag = tag.to_owned();
    literal(talk, &line)?;
    let between = talk.line()?;
    literal(talk, &between)?;
    talk.line()?;
    talk.judge(behaviour, &format!("{tag} OK logged in"), |text| format!("{tag} NO {text}"))
}

/// Reads the literal that `line` announces at its end.
fn literal(talk: &mut Conversation, line: &str) -> Talk<()> {
    let announced = line.rsplit_once('{').and_then(|(_, rest)| rest.strip_suffix('}'));
    let Some(announced) = announced else {
        talk.say("* BAD literal expected")?;
        return talk.stop();
    };
    let length = announced.strip_suffix('+').unwrap_or(announced);
    if !announced.ends_with('+') {
        talk.say("+ go on")?;
    }
    let length = length.parse().map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
    talk.literal(length).map(drop)
}
