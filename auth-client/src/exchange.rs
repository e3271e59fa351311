//! One question to the auth server, from the request to the answer.

use gatepost_protocol::auth::{AuthFailure, AuthReply, AuthRequest};
use gatepost_protocol::config::Protocol;

use crate::body::Body;
use crate::reply::{Head, StatusLine};
use crate::request;
use crate::settings::{self, Settings};
use crate::wiped::WipedBuffer;

/// Bytes that status line, header lines and blank line may have together.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// One exchange on one connection. See the crate documentation for the order of the calls.
#[derive(Debug)]
pub struct Exchange {
    request: WipedBuffer,
    /// Whether only the answer can supply the password for the backend.
    needs_password: bool,
    keepalive: bool,
    host_names: bool,
    state: State,
    /// Whether the server has sent anything.
    is_answered: bool,
}

/// How far the response has come.
#[derive(Debug)]
enum State {
    /// Within the head.
    Head(Box<HeadReader>),
    /// The result has been given. The body matters if the server keeps the connection open.
    Body { body: Body, persistent: bool },
    /// Failed, or closed by the server.
    Over,
}

impl Exchange {
    /// Builds the request.
    pub fn new(request: &AuthRequest, settings: &Settings) -> Self {
        let mut bytes = WipedBuffer::new();
        request::write(request, settings, &mut bytes);
        Self {
            request: bytes,
            needs_password: request.protocol != Protocol::Smtp && request.credentials.password().is_none(),
            keepalive: settings.keepalive(),
            host_names: settings.host_names(),
            state: State::Head(Box::default()),
            is_answered: false,
        }
    }

    /// The bytes to write, all of them. Kept for another try until the exchange is dropped.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes what the server sent. `Some` once: with the blank line behind the headers, or with the first fault.
    pub fn handle_input(&mut self, mut bytes: &[u8]) -> Option<Result<AuthReply, AuthFailure>> {
        self.is_answered |= !bytes.is_empty();
        match &mut self.state {
            State::Head(reader) => match reader.read(&mut bytes) {
                Ok(true) => Some(self.finish(bytes)),
                Ok(false) => None,
                Err(failure) => {
                    self.state = State::Over;
                    Some(Err(failure))
                }
            },
            State::Body { body, .. } => {
                body.on_bytes(bytes);
                None
            }
            State::Over => None,
        }
    }

    /// The server has closed before there was a result. (After it, closing only means that the connection is gone.)
    pub fn handle_eof(&mut self) -> AuthFailure {
        self.state = State::Over;
        AuthFailure::Closed
    }

    /// Whether the server has sent anything. As long as it has not, a connection that failed is the likely cause, not
    /// the question: a server may close a kept-alive connection at the very moment the next request goes out, or go
    /// down. The request may then be sent again on a new connection, to this server or another.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the connection can carry another exchange now: both sides want to keep it, and the response's last
    /// byte has been seen, with none behind it. May turn true as the rest of a body is handed in, if the caller
    /// goes on reading; turns false if more comes than belongs to the response.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Body { body: Body::Complete, persistent: true })
    }

    /// Whether [`is_reusable`](Self::is_reusable) holds or may come to hold, as the rest of the body is handed in.
    pub fn may_become_reusable(&self) -> bool {
        matches!(
            self.state,
            State::Body { body: Body::Complete | Body::Length(_) | Body::Chunked(_), persistent: true }
        )
    }

    /// Turns the complete head into the result; `rest` is what came behind it.
    fn finish(&mut self, rest: &[u8]) -> Result<AuthReply, AuthFailure> {
        let State::Head(reader) = std::mem::replace(&mut self.state, State::Over) else {
            unreachable!("only a head that is being read becomes complete");
        };
        let head = reader.head;
        // Without a status line there is no version either, and such servers answer once and close.
        if let Some(line) = head.status_line {
            let offered = if line.minor_version == 0 { head.keep_alive } else { true };
            let mut body = Body::from_head(matches!(line.code, 204 | 304), &head.framing.framing());
            body.on_bytes(rest);
            self.state = State::Body { body, persistent: self.keepalive && offered && !head.close };
        }
        head.into_reply(self.needs_password, self.host_names)
    }
}

/// Reads a head line by line, so that only the present line and the values that matter are held.
#[derive(Debug, Default)]
struct HeadReader {
    head: Head,
    /// The present line, as far as it has come.
    line: WipedBuffer,
    /// Bytes of the head so far.
    length: usize,
    /// Whether the first line is complete.
    is_begun: bool,
}

impl HeadReader {
    /// Takes lines off the front of `bytes`; true with the blank line.
    fn read(&mut self, bytes: &mut &[u8]) -> Result<bool, AuthFailure> {
        while !bytes.is_empty() {
            let line_end = bytes.iter().position(|&byte| byte == b'\n');
            let (part, rest) = bytes.split_at(line_end.map_or(bytes.len(), |at| at + 1));
            self.length += part.len();
            if self.length > HEAD_LIMIT {
                return Err(AuthFailure::TooBig);
            }
            self.line.extend(part);
            *bytes = rest;
            if line_end.is_some() && self.on_line()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Judges the complete line in `self.line`; true if it is blank.
    fn on_line(&mut self) -> Result<bool, AuthFailure> {
        self.line.pop_if(b'\n');
        self.line.pop_if(b'\r');
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if self.line.is_empty() {
            return Ok(true);
        }
        if is_first && self.line.starts_with(b"HTTP/") {
            self.head.status_line = Some(self.status_line()?);
        } else {
            self.header_line()?;
        }
        self.line.clear();
        Ok(false)
    }

    fn status_line(&mut self) -> Result<StatusLine, AuthFailure> {
        self.line.extend(HEAD_END);
        let mut response = httparse::Response::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config.allow_multiple_spaces_in_response_status_delimiters(true);
        let parsed = config.parse_response(&mut response, &self.line);
        match (parsed, response.version, response.code) {
            (Ok(httparse::Status::Complete(_)), Some(minor_version), Some(code)) => {
                Ok(StatusLine { minor_version, code })
            }
            _ => Err(AuthFailure::InvalidResponse),
        }
    }

    fn header_line(&mut self) -> Result<(), AuthFailure> {
        let Some(colon) = self.line.iter().position(|&byte| byte == b':') else {
            // A name without a value: ignored, as nginx does.
            let is_name = self.line.iter().all(|&byte| settings::is_token_byte(byte));
            return if is_name { Ok(()) } else { Err(AuthFailure::InvalidHeader) };
        };
        // httparse takes no control byte in a value. Outside what goes to a backend they do no harm once removed; a
        // CR is not removed, because some other reader of this head may see the line end there.
        let is_unwanted = |byte: u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r');
        let damaged = self.line.remove_from(colon, is_unwanted);
        self.line.extend(HEAD_END);
        let mut headers = [httparse::EMPTY_HEADER];
        match httparse::parse_headers(&self.line, &mut headers) {
            Ok(httparse::Status::Complete((_, [header]))) => {
                self.head.on_header(header.name, header.value, damaged)
            }
            _ => Err(AuthFailure::InvalidHeader),
        }
    }
}

/// What httparse wants to see behind a line in order to call it complete.
const HEAD_END: &[u8] = b"\r\n\r\n";
