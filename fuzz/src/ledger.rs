//! What a caller knows of a session from its actions, and what it may rely on.

use gatepost_auth_client::Exchange;
use gatepost_protocol::action::{Action, Output, Side};

use crate::question;

/// An operation that a session has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Auth { needs_password: bool },
    Resolve,
    Connect,
}

/// The state of legs and operations.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) under_way: Option<Operation>,
    /// Where the auth server is asked: the question on the wire.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) is_accepted: bool,
    pub(crate) is_client_open: bool,
    pub(crate) is_backend_open: bool,
    pub(crate) is_finished: bool,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            under_way: None,
            exchange: None,
            is_accepted: false,
            is_client_open: true,
            is_backend_open: false,
            is_finished: false,
        }
    }

    pub(crate) fn is_open(&self, side: Side) -> bool {
        match side {
            Side::Client => self.is_client_open,
            Side::Backend => self.is_backend_open,
        }
    }

    /// Bytes leave only for legs that are open.
    pub(crate) fn on_output(&self, out: &Output) {
        assert!(self.is_client_open || out.client.is_empty(), "output for a client that is gone");
        assert!(self.is_backend_open || out.backend.is_empty(), "output for a backend that is not there");
    }

    /// Takes one action and judges its place.
    pub(crate) fn on_action(&mut self, action: &Action) {
        assert!(!self.is_finished, "{action:?} behind Finish");
        match action {
            Action::Authenticate(request) => {
                let is_smtp = request.protocol == gatepost_protocol::config::Protocol::Smtp;
                let needs_password = !is_smtp && request.credentials.password().is_none();
                assert!(!request.credentials.login().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                self.exchange = Some(question::ask(request));
                self.begin(Operation::Auth { needs_password });
            }
            Action::Resolve(_) => self.begin(Operation::Resolve),
            Action::Connect(_) => {
                assert!(self.is_accepted, "a backend that the auth server did not name");
                assert!(!self.is_backend_open, "a second backend");
                self.begin(Operation::Connect);
            }
            Action::Cancel => assert!(self.under_way.take().is_some(), "nothing to cancel"),
            Action::Relay => assert!(self.is_client_open && self.is_backend_open && self.under_way.is_none()),
            Action::Shutdown(side) => assert!(self.is_open(*side), "{side:?} is not open"),
            Action::Close(Side::Client) | Action::Abort(Side::Client) => {
                assert!(std::mem::take(&mut self.is_client_open), "the client is closed twice");
            }
            Action::Close(Side::Backend) | Action::Abort(Side::Backend) => {
                assert!(std::mem::take(&mut self.is_backend_open), "no backend to close");
            }
            Action::Log(_, stage) => assert!(stage.is_none_or(|stage| !stage.text().is_empty())),
            Action::Finish => {
                assert!(!self.is_client_open && !self.is_backend_open, "a leg is left open");
                assert_eq!(self.under_way, None, "an operation is left under way");
                self.is_finished = true;
            }
        }
    }

    fn begin(&mut self, operation: Operation) {
        assert_eq!(self.under_way.replace(operation), None, "one operation at a time");
    }
}
