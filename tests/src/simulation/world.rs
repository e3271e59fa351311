//! What all of one simulation share: clock, chance, trace, ledger, and where connections lead.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use gatepost_protocol::config::ProxySsl;
use nix::libc;

use super::executor::{Executor, Slot};
use super::failover::Failover;
use super::ledger::Ledger;
use super::network::{Link, Weather};
use super::peer::Conn;
use super::runtime::Socket;
use super::script::{self, ADDRESSES, Absence, AuthPlan, BackendPlan, Script};
use super::secured::Secured;
use super::slots::Slots;
use super::trace::{Leg, Trace, What};
use super::{auth_server, backend, name_server};

/// Where the auth server listens, for servers that know all of its addresses.
pub(super) const AUTH_SERVERS: [&str; ADDRESSES] = ["10.0.0.1:80", "10.0.0.4:80", "10.0.0.5:80"];
/// Where the name server listens.
pub(super) const NAME_SERVER: &str = "10.0.0.53:53";

/// One simulation.
pub(super) struct World {
    pub(super) executor: Executor,
    seed: u64,
    pub(super) scripts: Vec<Script>,
    pub(super) trace: RefCell<Trace>,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) failover: RefCell<Failover>,
    /// What the proxy takes for chance.
    pub(super) entropy: RefCell<Rng>,
    /// For the peers' pauses.
    pub(super) chance: RefCell<Rng>,
    next_stream: Cell<usize>,
    pub(super) slots: Slots,
}

/// What comes of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    Answers(Duration),
    Fails(Duration, i32),
    Never,
}

impl World {
    pub(super) fn new(seed: u64, scripts: Vec<Script>) -> Rc<Self> {
        let random = |purpose| RefCell::new(script::random_of(seed, usize::MAX - 1, purpose));
        Rc::new(Self {
            executor: Executor::new(random(1).into_inner()),
            seed,
            ledger: RefCell::new(Ledger::new(scripts.len())),
            scripts,
            trace: RefCell::default(),
            failover: RefCell::default(),
            entropy: random(2),
            chance: random(3),
            next_stream: Cell::default(),
            slots: Slots::draw(&mut random(6).into_inner()),
        })
    }

    pub(super) fn passed(&self) -> Duration {
        self.executor.passed()
    }

    pub(super) fn note(&self, what: What) {
        self.trace.borrow_mut().push(self.executor.passed(), self.executor.owner(), what);
    }

    /// A rule is broken.
    pub(super) fn complain(&self, text: impl Into<String>) {
        let at = self.executor.passed();
        self.ledger.borrow_mut().complain(self.executor.owner(), at, text.into());
    }

    /// Whether the relays of the session's worker were ended.
    pub(super) fn is_expired(&self) -> bool {
        self.executor.owner().is_some_and(|owner| self.ledger.borrow().is_expired(owner))
    }

    /// Whether this leg is under TLS, whose bytes differ from run to run.
    pub(super) fn is_secret(&self, leg: Leg) -> bool {
        let Some(owner) = self.executor.owner() else { return false };
        let script = &self.scripts[owner];
        match leg {
            Leg::Client => script.server.is_secured(),
            Leg::Backend => script.backend_tls != ProxySsl::Off,
            Leg::Auth => script.server.asks_under_tls(),
            Leg::Names => false,
        }
    }

    /// Whether the proxy may well give up TLS with this peer.
    pub(super) fn may_break_tls(&self, leg: Leg) -> bool {
        let Some(owner) = self.executor.owner() else { return false };
        match leg {
            Leg::Backend => matches!(self.scripts[owner].backend, BackendPlan::Tls(_)),
            // The alert may come when the next attempt has begun.
            Leg::Auth => {
                let is_there = |plan: &AuthPlan| matches!(plan, AuthPlan::Away(Absence::StopsInHead));
                self.scripts[owner].attempts.iter().any(is_there)
            }
            Leg::Client | Leg::Names => false,
        }
    }

    /// How an address of the auth server is away in the session's present attempt, if it is.
    pub(super) fn present_absence(&self, session: usize, address: usize) -> Option<Absence> {
        let attempt = self.ledger.borrow().records[session].attempt;
        self.scripts[session].absence_of(attempt, address)
    }

    /// A connection, with the proxy's end of it and the peer's.
    pub(super) fn link(
        self: &Rc<Self>,
        leg: Leg,
        weather: Weather,
        arrangement: Arrangement,
    ) -> (Socket, Conn) {
        let number = self.next_stream.replace(self.next_stream.get() + 1);
        let random = script::random_of(self.seed, number, 4);
        let link = Rc::new(RefCell::new(Link::new(weather, random)));
        self.note(What::Open { stream: number, leg });
        let service = self.on_socket_opened();
        let conn = Conn::new(self, &link, leg);
        let connecting = Slot::default();
        (Socket { world: Rc::clone(self), link, number, leg, service, arrangement, connecting }, conn)
    }

    /// The proxy connects.
    pub(super) fn connect(self: &Rc<Self>, address: SocketAddr) -> io::Result<Socket> {
        let Some(owner) = self.executor.owner() else {
            self.complain(format!("a connection to {address} for nobody"));
            return Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        };
        let text = address.to_string();
        if let Some(address) = AUTH_SERVERS.iter().position(|known| *known == text) {
            return self.connect_auth_server(owner, address);
        }
        if text == NAME_SERVER {
            self.on_lookup();
            return Ok(self.connect_name_server());
        }
        if address == script::dead_address(owner) && self.scripts[owner].is_named {
            return self.connect_dead_address(owner);
        }
        if address != script::backend_address(owner) {
            self.complain(format!("connects to {address}, which is not its own backend"));
        }
        self.connect_backend(owner)
    }

    fn connect_auth_server(self: &Rc<Self>, owner: usize, address: usize) -> io::Result<Socket> {
        self.on_auth_asked(owner, address, true);
        let script = &self.scripts[owner];
        let arrangement = match self.present_absence(owner, address) {
            Some(Absence::FailsAtOnce) => {
                self.on_address_failed(address, false);
                self.on_auth_refused();
                return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
            }
            Some(Absence::FailsLater) => Arrangement::Fails(self.soon(3_000), libc::ECONNREFUSED),
            Some(Absence::NeverConnects) => Arrangement::Never,
            _ => Arrangement::Answers(self.soon(300)),
        };
        let (socket, conn) = self.link(Leg::Auth, script.auth_weather, arrangement);
        self.on_auth_opened(owner, socket.number, address);
        if let Arrangement::Answers(_) = arrangement {
            let tls = script.server.asks_under_tls().then(|| Secured::auth_server(owner));
            self.executor.spawn(auth_server::serve(conn, address, tls));
        }
        Ok(socket)
    }

    fn connect_backend(self: &Rc<Self>, owner: usize) -> io::Result<Socket> {
        self.on_backend_asked(owner);
        let script = &self.scripts[owner];
        let arrangement = match script.backend {
            BackendPlan::FailsAtOnce => return Err(io::Error::from_raw_os_error(libc::EHOSTUNREACH)),
            BackendPlan::FailsLater => Arrangement::Fails(self.soon(3_000), libc::ECONNREFUSED),
            BackendPlan::NeverConnects => Arrangement::Never,
            BackendPlan::Works
            | BackendPlan::Silent(_)
            | BackendPlan::Closes(_)
            | BackendPlan::Resets(_)
            | BackendPlan::Nonsense(_)
            | BackendPlan::Endless(_)
            | BackendPlan::Refuses
            | BackendPlan::Tls(_) => Arrangement::Answers(self.soon(script.pause_ms)),
        };
        let (socket, conn) = self.link(Leg::Backend, script.backend_weather, arrangement);
        self.ledger.borrow_mut().records[owner].open += 1;
        if let Arrangement::Answers(at) = arrangement {
            self.executor.spawn(backend::serve(conn, owner, at));
        }
        Ok(socket)
    }

    /// Nobody answers there, in one of several ways.
    fn connect_dead_address(self: &Rc<Self>, owner: usize) -> io::Result<Socket> {
        self.on_backend_asked(owner);
        let script = &self.scripts[owner];
        // Half of the time that a login may take would not be enough for the slowest backends.
        let is_slow = script.pause_ms > 500;
        let arrangement = match owner % 3 {
            0 => {
                self.ledger.borrow_mut().records[owner].dead_ends += 1;
                return Err(io::Error::from_raw_os_error(libc::EHOSTUNREACH));
            }
            1 if !is_slow => Arrangement::Never,
            _ => {
                self.ledger.borrow_mut().records[owner].dead_ends += 1;
                Arrangement::Fails(self.soon(3_000), libc::ECONNREFUSED)
            }
        };
        let (socket, _) = self.link(Leg::Backend, script.backend_weather, arrangement);
        self.ledger.borrow_mut().records[owner].open += 1;
        Ok(socket)
    }

    fn connect_name_server(self: &Rc<Self>) -> Socket {
        let weather = Weather { is_datagram: false, ..name_server::WEATHER };
        let (socket, conn) = self.link(Leg::Names, weather, Arrangement::Answers(self.soon(100)));
        self.executor.spawn(name_server::serve_stream(conn));
        socket
    }

    /// The proxy opens a datagram socket.
    pub(super) fn datagram(self: &Rc<Self>, server: SocketAddr) -> io::Result<Socket> {
        if server.to_string() != NAME_SERVER {
            self.complain(format!("datagrams for {server}"));
        }
        self.on_lookup();
        let now = Arrangement::Answers(self.passed());
        let (socket, conn) = self.link(Leg::Names, name_server::WEATHER, now);
        self.executor.spawn(name_server::serve_datagrams(conn));
        Ok(socket)
    }

    fn soon(&self, most_ms: u64) -> Duration {
        self.passed() + Duration::from_millis(self.chance.borrow_mut().u64(..=most_ms))
    }

    /// The script of the session that is being worked for, which a client's address names.
    pub(super) fn session_at(&self, address: &str) -> Option<usize> {
        let IpAddr::V4(address) = address.parse().ok()? else { return None };
        script::session_of(address).filter(|session| *session < self.scripts.len())
    }
}
