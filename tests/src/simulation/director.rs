//! The course of a simulation: clients come, a new configuration may come, the worker may be told to go.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use gatepost_daemon::Service;
use gatepost_daemon::config::{Config, Report};
use gatepost_daemon::runtime::Peer;
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::config::{Protocol, ProxyProtocol, ProxySsl};

use super::client;
use super::counters;
use super::executor::Step;
use super::identity;
use super::runtime::Simulated;
use super::script::{self, Server};
use super::trace::{Leg, What};
use super::verdict;
use super::world::{AUTH_SERVERS, Arrangement, NAME_SERVER, World};

/// Steps without any time passing, after which somebody turns in circles.
const STEPS_AT_ONCE: usize = 20_000;

/// Virtual time after which every deadline has long passed.
const LONGEST: Duration = Duration::from_secs(7_200);

/// When what happens to the workers.
struct Course {
    reload: Option<Duration>,
    /// The last service drains, too; otherwise its sessions end by themselves.
    drain: Option<Duration>,
    /// How long relays may outlast their worker's draining (`worker_shutdown_timeout`).
    patience: Option<Duration>,
}

impl Course {
    fn draw(seed: u64) -> Self {
        let mut random = script::random_of(seed, usize::MAX - 1, 5);
        let millis = |random: &mut Rng, range: std::ops::Range<u64>| Duration::from_millis(random.u64(range));
        Self {
            reload: (random.u8(..3) > 0).then(|| millis(&mut random, 500..8_000)),
            drain: (random.u8(..3) == 0).then(|| millis(&mut random, 8_000..40_000)),
            patience: random.bool().then(|| millis(&mut random, 500..60_000)),
        }
    }
}

/// Plays a seed from the first client to the last event, and judges it.
pub(super) fn play(world: &Rc<World>, seed: u64) {
    let services = Rc::new(RefCell::new(Vec::new()));
    begin(world, &services);
    let course = Course::draw(seed);
    for session in 0..world.scripts.len() {
        world.executor.as_owner(Some(session), || {
            world.executor.spawn(arrive(Rc::clone(world), Rc::clone(&services), session));
        });
    }
    if let Some(at) = course.reload {
        world.executor.spawn(reload(Rc::clone(world), Rc::clone(&services), at, course.patience));
    }
    if let Some(at) = course.drain {
        world.executor.spawn(drain_last(Rc::clone(world), Rc::clone(&services), at, course.patience));
    }
    run(world);
    let ledger = &world.ledger;
    for (session, script) in world.scripts.iter().enumerate() {
        let broken = verdict::judge(script, session, &ledger.borrow());
        for text in broken {
            ledger.borrow_mut().complain(Some(session), world.passed(), text);
        }
    }
    check_rest(world, &services.borrow());
}

type Services = Rc<RefCell<Vec<Rc<Service<Simulated>>>>>;

/// Polls tasks and moves the clock until nothing is left to do.
fn run(world: &Rc<World>) {
    let (mut steps, mut instant) = (0, Duration::ZERO);
    while let Some(step) = world.executor.step() {
        steps += 1;
        if let Step::Task(task, owner) = step {
            world.executor.as_owner(owner, || world.note(What::Poll { task }));
        }
        if world.passed() > LONGEST {
            return world.complain("there is no end");
        }
        if world.passed() > instant {
            (steps, instant) = (0, world.passed());
        }
        if steps > STEPS_AT_ONCE {
            let owner = if let Step::Task(_, owner) = step { owner } else { None };
            return world.executor.as_owner(owner, || world.complain("tasks wake each other for ever"));
        }
    }
}

/// Nothing is left but, for each worker, the task of its deadlines.
fn check_rest(world: &World, services: &[Rc<Service<Simulated>>]) {
    let left = world.executor.left();
    if left != services.len() {
        world.complain(format!("{left} tasks are left of {} workers", services.len()));
    }
    for (number, service) in services.iter().enumerate() {
        let broken = counters::judge(&service.metrics(), number, &world.scripts, &world.ledger.borrow());
        for text in broken {
            world.complain(text);
        }
    }
}

fn begin(world: &Rc<World>, services: &Services) {
    let logger = Rc::downgrade(world);
    let log = move |line: &str| {
        if let Some(world) = logger.upgrade() {
            world.on_log(line);
        }
    };
    let config = Config::parse(configuration(world.slots.limit()), identity::files(), &mut Report::default())
        .expect("it is good");
    let service = Service::new(Simulated(Rc::clone(world)), config, log).expect("there is memory");
    services.borrow_mut().push(Rc::new(service));
    let mut ledger = world.ledger.borrow_mut();
    ledger.drained_at.push(None);
    ledger.expired_at.push(None);
}

/// A client comes to the service that accepts clients then, if any does.
async fn arrive(world: Rc<World>, services: Services, session: usize) {
    let script = &world.scripts[session];
    world.executor.sleep(script.start).await;
    let number = services.borrow().len() - 1;
    if world.ledger.borrow().drained_at[number].is_some() {
        return;
    }
    let service = Rc::clone(&services.borrow()[number]);
    {
        let record = &mut world.ledger.borrow_mut().records[session];
        record.armed_at = world.passed();
        record.service = number;
        record.open = 1;
    }
    let now = Arrangement::Answers(world.passed());
    let (socket, conn) = world.link(Leg::Client, script.client_weather, now);
    let listen = listen_address(script.protocol, script.server);
    let local = ClientAddr::Inet(listen);
    let client = ClientAddr::Inet(match script.server {
        Server::Balanced => script::balancer_address(session),
        _ => script::client_address(session),
    });
    if !service.accept(&Peer::Inet(listen), socket, client, local) {
        return world.on_no_slot();
    }
    world.ledger.borrow_mut().records[session].accepted_at = Some(world.passed());
    world.executor.spawn(client::run(conn, session));
}

async fn reload(world: Rc<World>, services: Services, at: Duration, patience: Option<Duration>) {
    world.executor.sleep(at).await;
    world.note(What::Stage("reload"));
    let old = services.borrow().len() - 1;
    begin(&world, &services);
    drain(&world, &services, old, patience).await;
}

async fn drain_last(world: Rc<World>, services: Services, at: Duration, patience: Option<Duration>) {
    world.executor.sleep(at).await;
    let last = services.borrow().len() - 1;
    drain(&world, &services, last, patience).await;
}

/// Lets a service end, and waits for it.
async fn drain(world: &Rc<World>, services: &Services, number: usize, patience: Option<Duration>) {
    world.note(What::Stage("drain"));
    world.ledger.borrow_mut().drained_at[number] = Some(world.passed());
    let service = Rc::clone(&services.borrow()[number]);
    service.drain();
    if let Some(patience) = patience {
        world.executor.sleep(patience).await;
        world.note(What::Stage("expire"));
        world.ledger.borrow_mut().expired_at[number] = Some(world.passed());
        service.expire();
    }
    poll_fn(|cx| service.poll_empty(cx)).await;
    world.note(What::Stage("empty"));
    let is_open = |record: &super::ledger::Record| record.service == number && record.open > 0;
    if world.ledger.borrow().records.iter().any(is_open) {
        world.complain("a worker that has drained still has sessions");
    }
}

/// Where a server listens.
pub(super) fn listen_address(protocol: Protocol, server: Server) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 1_000 + 10 * protocol as u16 + server as u16))
}

/// The configuration, the same before and after a reload.
fn configuration(connections: usize) -> String {
    let mut servers = String::new();
    for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Smtp] {
        for server in Server::ALL {
            let listen = listen_address(protocol, server);
            let mechanisms = match protocol {
                Protocol::Imap => "imap_auth plain login cram-md5 external;",
                Protocol::Pop3 => "pop3_auth plain apop cram-md5 external;",
                Protocol::Smtp if server == Server::Open => "smtp_auth none;",
                Protocol::Smtp => "smtp_auth plain login cram-md5 external; proxy_smtp_auth on;",
            };
            let more = match server {
                Server::Plain => String::new(),
                Server::Kept => "auth_http_keepalive on; proxy_pass_error_message on;".to_owned(),
                Server::Open => String::new(),
                Server::Secured => format!(
                    "starttls on; auth_http https://{}/auth; auth_http_ssl_session_reuse off;",
                    AUTH_SERVERS[0]
                ),
                Server::Implicit => String::new(),
                Server::Balanced => "set_real_ip_from 10.30.0.0/16;".to_owned(),
            };
            let parameter = match server {
                Server::Implicit => "ssl",
                Server::Balanced => "proxy_protocol",
                _ => "",
            };
            let header = match server.proxy_protocol() {
                ProxyProtocol::Off => "",
                ProxyProtocol::V1 => "proxy_protocol on;",
                ProxyProtocol::V2 => "proxy_protocol v2;",
            };
            let delay = match server.greeting_delay().as_secs() {
                delay if delay > 0 && protocol == Protocol::Smtp => format!("smtp_greeting_delay {delay}s;"),
                _ => String::new(),
            };
            let proxy_ssl = match server.proxy_ssl() {
                ProxySsl::Off => "",
                ProxySsl::On => "proxy_ssl on;",
                ProxySsl::StartTls => "proxy_ssl starttls;",
            };
            let backups = match AUTH_SERVERS[1..server.auth_addresses()].join(" ") {
                none if none.is_empty() => none,
                backups => format!("auth_http_backup {backups};"),
            };
            let resolver = match server.has_resolver(protocol) {
                true => format!("resolver {NAME_SERVER};"),
                false => String::new(),
            };
            servers.push_str(&format!(
                "server {{ listen {listen} {parameter}; protocol {protocol}; {mechanisms} {more} {proxy_ssl}
                           {backups} {header} {delay} {resolver} }}\n"
            ));
        }
    }
    let [auth_server, ..] = AUTH_SERVERS;
    format!(
        "error_log stderr info; events {{ worker_connections {connections}; }}
         mail {{ auth_http {auth_server}/auth; auth_http_timeout 20s; timeout 60s; proxy_timeout 300s;
                 server_name mx.example; imap_client_buffer 4k; proxy_buffer 4k;
                 ssl_certificate /certificate.pem; ssl_certificate_key /key.pem;
                 proxy_ssl_trusted_certificate /backends.pem;
                 auth_http_ssl_trusted_certificate /backends.pem;
                 {servers} }}"
    )
}
