//! The replies to the client, and what each of them costs it.

use super::command::{Command, Tag};
use crate::event::Event;
use crate::machine::{Context, Step};

pub(super) const COMPLETED: &[u8] = b"OK completed";
pub(super) const INVALID_COMMAND: &[u8] = b"BAD invalid command";
pub(super) const TOO_LONG: &[u8] = b"BAD command too long";
pub(super) const CANCELLED: &[u8] = b"BAD authentication cancelled";
/// RFC 5530 section 3 for the codes: PRIVACYREQUIRED asks for TLS, UNAVAILABLE asks the client not to blame the password.
pub(super) const STARTTLS_FIRST: &[u8] = b"NO [PRIVACYREQUIRED] STARTTLS is required before login";
pub(super) const UNAVAILABLE: &[u8] = b"NO [UNAVAILABLE] Temporary authentication failure";
pub(super) const INTERNAL_ERROR: &[u8] = b"NO [UNAVAILABLE] internal server error";

/// Writes one reply line, untagged where no tag is known.
pub(super) fn answer(tag: Option<&Tag>, text: &[u8], context: &mut Context<'_>) {
    context.reply.extend_from_slice(tag.map_or(b"*", Tag::as_bytes));
    context.reply.push(b' ');
    context.reply.extend_from_slice(text);
    context.reply.extend_from_slice(b"\r\n");
}

/// Writes the positive reply of a command behind its untagged lines, which have their CRLF.
pub(super) fn complete(tag: &Tag, untagged: &[u8], context: &mut Context<'_>) -> Step {
    context.reply.extend_from_slice(untagged);
    answer(Some(tag), COMPLETED, context);
    Step::Continue
}

/// Replies to a client error and counts it.
pub(super) fn reject(tag: Option<&Tag>, text: &[u8], context: &mut Context<'_>) -> Step {
    answer(tag, text, context);
    context.count_error()
}

/// Writes the last reply.
pub(super) fn close_with(tag: Option<&Tag>, text: &[u8], context: &mut Context<'_>) -> Step {
    answer(tag, text, context);
    Step::Close
}

/// Refuses a malformed line. If a client may have taken its end for the announcement of a literal that needs no
/// invitation, the bytes behind it are unsafe to read as commands.
pub(super) fn refuse_line(tag: Option<&Tag>, line: &[u8], context: &mut Context<'_>) -> Step {
    let step = reject(tag, INVALID_COMMAND, context);
    if line.trim_ascii_end().ends_with(b"+}") { Step::Close } else { step }
}

/// Ends the session for a command that with `more` bytes does not fit `imap_client_buffer`.
pub(super) fn too_long(command: &Command, more: usize, context: &mut Context<'_>) -> Step {
    log_too_long(command, more, context);
    close_with(Some(&command.tag), TOO_LONG, context)
}

pub(super) fn log_too_long(command: &Command, more: usize, context: &mut Context<'_>) {
    let verb = command.verb.name().as_bytes().to_vec();
    context.log(Event::TooLongCommand(verb, command.len().saturating_add(more)));
}
