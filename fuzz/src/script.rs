//! The input of a session target, as a script that people can write and a fuzzer can mutate.
//!
//! The bytes are split at each FF, which no mail protocol uses. The first byte of a piece is what happens, the rest is
//! the detail. Bytes of protocols stay together that way, so that dictionaries work.

use gatepost_protocol::action::Side;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// `C`, `B`: the client, the backend sends these bytes, under TLS once it has begun.
    Says(Side, &'a [u8]),
    /// `R`, `r`: the same bytes are on the wire, whatever was there before.
    Wire(Side, &'a [u8]),
    /// `T`, `H`: the client begins a TLS handshake, the backend answers one, and says these bytes as soon as it may.
    Handshake(Side, &'a [u8]),
    /// `N`, `n`: TLS is ended by a close_notify behind these bytes.
    CloseNotify(Side, &'a [u8]),
    /// `A`: the operation under way ends in this way; see `outcome.rs`.
    Outcome(&'a [u8]),
    /// `D`: time passes to the deadline.
    Deadline,
    /// `d`: a wake-up before the deadline.
    EarlyWakeUp,
    /// `E`, `e`: the client, the backend sends no more.
    Eof(Side),
    /// `F`, `f`: the client's, the backend's socket fails: with `s` in sending, with anything else in receiving; without
    /// detail the client's in receiving, the backend's in sending.
    Failure(Side, &'a [u8]),
    /// `S`: the worker shuts down.
    Shutdown,
}

/// The letters of a first piece that begins with `#`, and the steps.
pub(crate) fn parse(data: &[u8]) -> (&[u8], Vec<Step<'_>>) {
    let mut pieces = data.split(|&byte| byte == 0xff).peekable();
    let settings = pieces.next_if(|piece| piece.starts_with(b"#")).unwrap_or_default();
    (settings, pieces.filter(|piece| !piece.is_empty()).map(step).collect())
}

fn step(piece: &[u8]) -> Step<'_> {
    let (kind, detail) = (piece[0], &piece[1..]);
    match kind {
        b'R' => Step::Wire(Side::Client, detail),
        b'r' => Step::Wire(Side::Backend, detail),
        b'T' => Step::Handshake(Side::Client, detail),
        b'H' => Step::Handshake(Side::Backend, detail),
        b'N' => Step::CloseNotify(Side::Client, detail),
        b'n' => Step::CloseNotify(Side::Backend, detail),
        b'B' => Step::Says(Side::Backend, detail),
        b'A' => Step::Outcome(detail),
        b'D' => Step::Deadline,
        b'd' => Step::EarlyWakeUp,
        b'E' => Step::Eof(Side::Client),
        b'e' => Step::Eof(Side::Backend),
        b'F' => Step::Failure(Side::Client, detail),
        b'f' => Step::Failure(Side::Backend, detail),
        b'S' => Step::Shutdown,
        // `C`, and whatever a mutation made of it.
        _ => Step::Says(Side::Client, detail),
    }
}
