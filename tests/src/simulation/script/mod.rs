//! What one session is going to be: drawn from the seed and the session's number alone, so that no other session has a
//! part in it.

mod draw;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use gatepost_protocol::config::{Protocol, ProxyProtocol, ProxySsl};

use self::draw::{
    absence, backend, backend_tls, gaps, manner, mechanism, nonsense, relay, tls_fault, weather,
};
use crate::simulation::network::Weather;

/// Addresses of the auth server.
pub(super) const ADDRESSES: usize = 3;

/// Everything that the peers of one session do, and how their connections behave.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) protocol: Protocol,
    pub(super) server: Server,
    pub(super) mechanism: Mechanism,
    /// When the client connects.
    pub(super) start: Duration,
    pub(super) manner: Manner,
    /// How the auth server takes each attempt to log in.
    pub(super) attempts: Vec<AuthPlan>,
    /// Which of its addresses cannot be reached in each attempt, though the auth server works.
    gaps: Vec<[Option<Absence>; ADDRESSES]>,
    /// What becomes of the login at the backend, if an attempt gets that far.
    pub(super) backend: BackendPlan,
    /// Whether the auth server gives the backend's name instead of its address.
    pub(super) is_named: bool,
    /// How the backend speaks TLS.
    pub(super) backend_tls: ProxySsl,
    pub(super) relay: RelayPlan,
    /// Harmless commands before the login.
    pub(super) chatter: usize,
    /// Whether the client sends commands without awaiting replies.
    pub(super) is_pipelining: bool,
    /// The longest pause of a peer between two things it does, in milliseconds.
    pub(super) pause_ms: u64,
    pub(super) client_weather: Weather,
    pub(super) backend_weather: Weather,
    pub(super) auth_weather: Weather,
}

/// Which `server` of the configuration the client comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Asks the auth server on a new connection each time, and hides what backends say.
    Plain,
    /// Keeps connections to the auth server, shows what backends say, and takes them to speak TLS.
    Kept,
    /// SMTP: looks up the client's name, and takes mail without a login.
    Open,
    /// Offers STARTTLS, wants it of backends, and asks the auth server under TLS.
    Secured,
    /// Is under TLS from the first byte on.
    Implicit,
    /// Has a balancer in front of it, which says by a PROXY header who the client is.
    Balanced,
}

impl Server {
    pub(super) const ALL: [Self; 6] =
        [Self::Plain, Self::Kept, Self::Open, Self::Secured, Self::Implicit, Self::Balanced];

    /// Whether its clients speak TLS, sooner or later.
    pub(super) fn is_secured(self) -> bool {
        matches!(self, Self::Secured | Self::Implicit)
    }

    /// How many addresses of the auth server it knows.
    pub(super) fn auth_addresses(self) -> usize {
        match self {
            Self::Plain | Self::Open | Self::Secured | Self::Balanced => 1,
            Self::Implicit => 2,
            Self::Kept => ADDRESSES,
        }
    }

    /// Whether it asks the auth server under TLS.
    pub(super) fn asks_under_tls(self) -> bool {
        self == Self::Secured
    }

    /// Its `proxy_ssl`, which the auth server's answer may change for one login.
    pub(super) fn proxy_ssl(self) -> ProxySsl {
        match self {
            Self::Plain | Self::Open | Self::Implicit | Self::Balanced => ProxySsl::Off,
            Self::Kept => ProxySsl::On,
            Self::Secured => ProxySsl::StartTls,
        }
    }

    /// Its `proxy_protocol`: the header that its backends get.
    pub(super) fn proxy_protocol(self) -> ProxyProtocol {
        match self {
            Self::Plain | Self::Kept => ProxyProtocol::Off,
            Self::Open | Self::Secured => ProxyProtocol::V1,
            Self::Implicit | Self::Balanced => ProxyProtocol::V2,
        }
    }

    /// Whether it has a `resolver`.
    pub(super) fn has_resolver(self, protocol: Protocol) -> bool {
        self == Self::Open || self == Self::Kept && protocol != Protocol::Smtp
    }

    /// Its `smtp_greeting_delay`.
    pub(super) fn greeting_delay(self) -> Duration {
        Duration::from_secs(if self == Self::Kept { 2 } else { 0 })
    }
}

/// How the client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// USER and PASS, or LOGIN with quoted strings.
    Command,
    /// IMAP: LOGIN with literals; of the non-synchronizing kind.
    Literals {
        plus: bool,
    },
    /// `AUTH PLAIN`.
    Plain {
        initial: bool,
    },
    /// `AUTH LOGIN`.
    Login,
    CramMd5,
    External,
    /// POP3.
    Apop,
    /// SMTP: MAIL and RCPT.
    Envelope,
}

impl Mechanism {
    /// Whether the auth server learns a password, which then opens the backend.
    pub(super) fn has_password(self) -> bool {
        match self {
            Self::Command | Self::Literals { .. } | Self::Plain { .. } | Self::Login => true,
            Self::CramMd5 | Self::External | Self::Apop | Self::Envelope => false,
        }
    }
}

/// What kind of client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Logs in as well as it can, relays, leaves.
    Proper,
    /// Never says a word.
    Silent,
    /// Stops in the middle of a command.
    HalfCommand,
    /// Never says a word again after a failed login.
    FallsSilent,
    /// Leaves before it has logged in.
    LeavesEarly { by_reset: bool },
    /// Leaves while its login is under way.
    LeavesDuringLogin { by_reset: bool },
    /// Talks nonsense until it is cut off.
    Garbage,
    /// Sends a command longer than any buffer.
    Endless,
    /// Is a browser.
    Browser,
    /// Sends a command in clear right behind STARTTLS.
    InjectsBehindStartTls,
    /// Speaks before it is greeted, where greetings are delayed.
    Hasty,
    /// Has no balancer, or a broken one.
    BrokenHeader,
}

/// How the auth server takes an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthPlan {
    /// Lets the client in, maybe as somebody else.
    Accepts { user: bool, password: bool, waits: u32 },
    /// Says no; with a wait the session goes on.
    Refuses { wait_s: u64 },
    /// Gives no usable answer, and may be asked again.
    Away(Absence),
    /// Answers nonsense.
    Nonsense(Nonsense),
}

/// Ways of an auth server to be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    FailsAtOnce,
    FailsLater,
    NeverConnects,
    Silent,
    StopsInHead,
    ClosesInHead,
    Resets,
}

/// Ways of an auth server to talk nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonsense {
    StatusLine,
    Header,
    TooBig,
    NoStatus,
    Error500,
    BadServer,
    BadPort,
    NoServer,
}

/// What becomes of a login at the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackendPlan {
    Works,
    FailsAtOnce,
    FailsLater,
    NeverConnects,
    /// Says nothing instead of its nth reply.
    Silent(usize),
    Closes(usize),
    Resets(usize),
    Nonsense(usize),
    Endless(usize),
    /// Refuses the client's credentials.
    Refuses,
    /// Cannot be had under TLS.
    Tls(TlsFault),
}

/// What is wrong with the TLS of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsFault {
    /// It shows another backend's certificate.
    WrongName,
    /// It speaks in clear where a handshake is due.
    Clear,
    /// Right behind its answer to STARTTLS it speaks in clear, as somebody in between would.
    ClearBehindStartTls,
    /// SMTP: it does not offer STARTTLS.
    NotOffered,
    /// Where a handshake is due it says nothing.
    Silent,
    Closes,
    Resets,
}

/// The bytes after the login.
#[derive(Clone, Copy, Debug)]
pub(super) struct RelayPlan {
    /// Bytes from the client, and how many of them leave together with the login.
    pub(super) up: usize,
    pub(super) early: usize,
    /// Bytes from the backend, and how many of them leave together with its last reply.
    pub(super) down: usize,
    pub(super) surplus: usize,
    pub(super) end: RelayEnd,
    /// How long the slower reader stops in the middle.
    pub(super) stop: Duration,
}

/// How a relay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayEnd {
    /// The client ends its direction when it has sent all; the backend when it has got all and sent all.
    ClientFirst,
    /// The other way round.
    BackendFirst,
    ClientResets,
    BackendResets,
    /// Nobody ends anything: `proxy_timeout` does.
    Idle,
}

/// Sessions start within this time.
const STARTS_MS: u64 = 6_000;

impl Script {
    /// The script of one session of a seed.
    pub(super) fn draw(seed: u64, session: usize) -> Self {
        let mut random = random_of(seed, session, 0);
        let random = &mut random;
        let protocol = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp][random.usize(..3)];
        let manner = manner(random);
        let mut server = if random.bool() { Server::Plain } else { Server::Kept };
        if protocol == Protocol::Smtp && random.u8(..3) == 0 {
            server = Server::Open;
        }
        if random.u8(..5) == 0 {
            server = [Server::Secured, Server::Implicit, Server::Balanced][random.usize(..3)];
        }
        let (server, protocol) = match manner {
            Manner::InjectsBehindStartTls => (Server::Secured, protocol),
            Manner::Hasty => (Server::Kept, Protocol::Smtp),
            Manner::BrokenHeader => (Server::Balanced, protocol),
            _ => (server, protocol),
        };
        let mechanism = mechanism(random, protocol, server);
        let mut script = Self {
            protocol,
            server,
            mechanism,
            start: Duration::from_millis(random.u64(..STARTS_MS)),
            manner,
            attempts: Vec::new(),
            gaps: Vec::new(),
            backend: backend(random, protocol),
            is_named: server.has_resolver(protocol) && random.u8(..3) == 0,
            backend_tls: backend_tls(random),
            relay: relay(random),
            chatter: random.usize(..4),
            is_pipelining: random.bool(),
            pause_ms: [0, 0, 5, 200, 1_500][random.usize(..5)],
            client_weather: weather(random),
            backend_weather: weather(random),
            auth_weather: weather(random),
        };
        script.draw_attempts(random);
        if script.backend_tls != ProxySsl::Off && random.u8(..4) == 0 {
            script.backend = BackendPlan::Tls(tls_fault(random, protocol, script.backend_tls));
        }
        script.agree();
        script
    }

    fn draw_attempts(&mut self, random: &mut Rng) {
        // While it is away the auth server keeps an attempt for up to twenty seconds.
        for _ in 0..[0, 0, 0, 1, 2][random.usize(..5)] {
            self.attempts.push(match random.u8(..3) {
                0 => AuthPlan::Refuses { wait_s: random.u64(1..=4) },
                _ => AuthPlan::Away(absence(random)),
            });
        }
        let last = match random.u8(..20) {
            0 => AuthPlan::Refuses { wait_s: 0 },
            1 => AuthPlan::Refuses { wait_s: random.u64(1..=4) },
            2 => AuthPlan::Away(absence(random)),
            3 => AuthPlan::Nonsense(nonsense(random)),
            kind => AuthPlan::Accepts {
                user: random.bool(),
                password: random.bool() || !self.mechanism.has_password(),
                waits: match kind {
                    4 => random.u32(1..=3),
                    5 => 11,
                    _ => 0,
                },
            },
        };
        self.attempts.push(last);
        self.gaps = self.attempts.iter().map(|_| gaps(random, self.server.auth_addresses())).collect();
    }

    /// Takes back what cannot go together.
    fn agree(&mut self) {
        if self.server == Server::Kept && self.backend.is_rude() {
            // What such a backend says would be shown to the client, which could make nothing of it.
            self.backend = BackendPlan::Works;
        }
        if self.mechanism == Mechanism::Envelope && self.backend == BackendPlan::Refuses {
            // The reply to RCPT is the client's, whatever it is.
            self.backend = BackendPlan::Works;
        }
        if self.manner == Manner::FallsSilent {
            self.attempts = vec![AuthPlan::Refuses { wait_s: 2 }];
        }
        if self.manner == Manner::InjectsBehindStartTls {
            // What is injected arrives in one piece with STARTTLS.
            self.client_weather = Weather { split: 0, short: 0, stall: 0, ..self.client_weather };
        }
        // A backend that cannot write all at once, and reads nothing meanwhile, and a client that does the same, could
        // wait for each other for ever.
        self.relay.surplus = self.relay.surplus.min(self.backend_weather.capacity - 300);
        if self.backend == BackendPlan::Tls(TlsFault::ClearBehindStartTls) {
            // What is injected arrives in one piece with the answer.
            self.backend_weather = Weather { split: 0, short: 0, stall: 0, ..self.backend_weather };
        }
        if !self.is_let_in() || self.manner != Manner::Proper {
            self.relay.early = 0;
        }
    }

    /// How an address of the auth server is away in an attempt, if it is: alone, or with all the others.
    pub(super) fn absence_of(&self, attempt: usize, address: usize) -> Option<Absence> {
        match self.attempts.get(attempt) {
            Some(AuthPlan::Away(absence)) => Some(*absence),
            _ => self.gaps.get(attempt).and_then(|gaps| gaps[address]),
        }
    }

    /// Whether client and backend are to meet.
    pub(super) fn is_let_in(&self) -> bool {
        self.backend == BackendPlan::Works
            && matches!(self.attempts.last(), Some(AuthPlan::Accepts { waits: ..=10, .. }))
    }

    /// What the client calls itself.
    pub(super) fn login(&self, session: usize) -> String {
        if self.mechanism == Mechanism::Envelope { String::new() } else { format!("user{session}") }
    }
}

impl BackendPlan {
    fn is_rude(self) -> bool {
        matches!(self, Self::Nonsense(_) | Self::Endless(_))
    }
}

/// The session's own chance; different for each use.
pub(super) fn random_of(seed: u64, session: usize, purpose: u64) -> Rng {
    let session = session as u64 + 1;
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ session.wrapping_mul(0xD1B5_4A32_D192_ED03);
    Rng::with_seed(mixed.wrapping_add(purpose.wrapping_mul(0x8CB9_2BA7_2F3D_8DD7)))
}

/// What a session's client or, where the auth server rewrites it, backend knows as password in an attempt. Whoever
/// sees one knows where it belongs.
pub(super) fn password(session: usize, attempt: usize, is_for_backend: bool) -> String {
    let kind = if is_for_backend { 'b' } else { 'c' };
    // Some need quoting in one place or the other.
    let odd = if session.is_multiple_of(7) { " 50%\"x\\" } else { "" };
    format!("{MARK}{session:04x}-{attempt}-{kind}{odd}")
}

/// How every password begins.
pub(super) const MARK: &str = "Sesame-";

/// The client's address; it names the session.
pub(super) fn client_address(session: usize) -> SocketAddr {
    SocketAddr::from((address(10, session), 40_000))
}

/// The address of the balancer that the client comes through, which names the session, too.
pub(super) fn balancer_address(session: usize) -> SocketAddr {
    SocketAddr::from((address(30, session), 30_000))
}

/// The backend's address; it names the session.
pub(super) fn backend_address(session: usize) -> SocketAddr {
    SocketAddr::from((address(20, session), 2_000))
}

fn address(net: u8, session: usize) -> Ipv4Addr {
    let [.., high, low] = session.to_be_bytes();
    Ipv4Addr::new(10, net, high, low)
}

/// An address that the backend's name may have as well, and where nobody answers.
pub(super) fn dead_address(session: usize) -> SocketAddr {
    SocketAddr::from((address(21, session), 2_000))
}

/// What the backend is called.
pub(super) fn backend_name(session: usize) -> String {
    format!("backend-{session}.example")
}

/// The addresses of a backend's name.
pub(super) fn addresses_of(name: &str) -> Option<Vec<Ipv4Addr>> {
    let session: usize = name.strip_prefix("backend-")?.parse().ok()?;
    let own = address(20, session);
    Some(if session.is_multiple_of(2) { vec![address(21, session), own] } else { vec![own] })
}

/// The session that an address of either kind names.
pub(super) fn session_of(address: Ipv4Addr) -> Option<usize> {
    match address.octets() {
        [10, 10 | 20 | 30, high, low] => Some(usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}
