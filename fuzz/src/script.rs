//! The input of a session target, as a script that people can write and a fuzzer can mutate.
//!
//! The bytes are split at each FF, which no mail protocol uses. The first byte of a piece is what happens, the rest is
//! the detail. Bytes of protocols stay together that way, so that dictionaries work.

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// `C`: the client sends these bytes, under TLS once it has begun a handshake.
    Client(&'a [u8]),
    /// `R`: the same bytes are on the wire, whatever was there before.
    ClientWire(&'a [u8]),
    /// `T`: the client begins a TLS handshake.
    ClientHandshake,
    /// `N`: the client ends TLS by a close_notify.
    ClientCloseNotify,
    /// `B`: the backend sends these bytes.
    Backend(&'a [u8]),
    /// `A`: the operation under way ends in this way; see `session.rs`.
    Outcome(&'a [u8]),
    /// `D`: time passes to the deadline.
    Deadline,
    /// `d`: a wake-up before the deadline.
    EarlyWakeUp,
    /// `E`, `e`: the client, the backend sends no more.
    ClientEof,
    BackendEof,
    /// `F`, `f`: the client's, the backend's socket fails.
    ClientFailure,
    BackendFailure,
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
        b'R' => Step::ClientWire(detail),
        b'T' => Step::ClientHandshake,
        b'N' => Step::ClientCloseNotify,
        b'B' => Step::Backend(detail),
        b'A' => Step::Outcome(detail),
        b'D' => Step::Deadline,
        b'd' => Step::EarlyWakeUp,
        b'E' => Step::ClientEof,
        b'e' => Step::BackendEof,
        b'F' => Step::ClientFailure,
        b'f' => Step::BackendFailure,
        b'S' => Step::Shutdown,
        // `C`, and whatever a mutation made of it.
        _ => Step::Client(detail),
    }
}
