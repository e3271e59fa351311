//! What one idle relayed session costs in heap, all of it: engine, tasks, sockets of the runtime, shares of the worker.
//!
//! A worker's loop runs on a thread of its own, on the real runtimes and real sockets; an allocator counts what that
//! thread holds. The budgets are promises of the architecture: 2.5 KB in clear, 7 KB with TLS to the client, 11 KB with
//! TLS on both sides. Not counted, because it is not in Rust's heap: what the kernel keeps per socket, and what aws-lc
//! allocates in C for a TLS session.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

use std::alloc::{GlobalAlloc, Layout, System as Heap};
use std::cell::Cell;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;
use std::time::Duration;

use gatepost_daemon::Service;
use gatepost_daemon::config::{Config, Memory, Report};
use gatepost_daemon::runtime::{Peer, System, Watch};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour, Secured};
use gatepost_tests::{AuthServer, Authority, Certificate, Client, Loopback, Program, on_both};
use rustls::version::TLS13;

/// Counts the bytes held by each thread that asked for it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNTER: Cell<Option<&'static AtomicIsize>> = const { Cell::new(None) };
}

fn count(bytes: isize) {
    if let Ok(Some(counter)) = COUNTER.try_with(Cell::get) {
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be written without it")]
// SAFETY: every call goes unchanged to the system's allocator, which keeps the contract; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { Heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { Heap.dealloc(pointer, layout) }
    }
}

/// A worker's loop on a thread of its own, which lasts as long as the test program. Returns what it holds, counted.
fn start(program: Program, text: String, files: Memory, listen: TcpListener) -> &'static AtomicIsize {
    let held: &'static AtomicIsize = Box::leak(Box::new(AtomicIsize::new(0)));
    thread::spawn(move || {
        COUNTER.set(Some(held));
        match program {
            Program::Tokio => gatepost_tokio::block_on(|runtime| serve(runtime, text, files, listen)),
            Program::Smol => gatepost_smol::block_on(|runtime| serve(runtime, text, files, listen)),
        }
        .expect("the worker serves on");
    });
    held
}

/// Accepts for ever.
async fn serve<R: System + Clone>(
    runtime: R,
    text: String,
    files: Memory,
    listen: TcpListener,
) -> io::Result<()> {
    let config = Config::parse(text, files, &mut Report::default()).expect("the configuration is good");
    let service = Service::new(runtime.clone(), config, |_| {}).expect("there is memory");
    let local = listen.local_addr()?;
    listen.set_nonblocking(true)?;
    let acceptor = listen.try_clone()?;
    let watch = runtime.watch(OwnedFd::from(listen))?;
    loop {
        let (stream, peer) = watch.when_readable(|_| acceptor.accept()).await?;
        stream.set_nonblocking(true)?;
        let stream = runtime.adopt(OwnedFd::from(stream))?;
        assert!(service.accept(&Peer::Inet(local), stream, ClientAddr::Inet(peer), ClientAddr::Inet(local)));
    }
}

/// Logs `count` clients in and returns them, idle.
fn log_in(count: usize, connect: impl Fn() -> Client) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| connect()).collect();
    for client in &mut clients {
        client.expect("+OK POP3 ready");
        client.send("USER alice\r\nPASS sesame\r\n");
    }
    for client in &mut clients {
        client.expect("+OK");
        client.expect("+OK mailbox open");
        client.say("NOOP", "echo NOOP");
    }
    clients
}

/// Waits until the worker has nothing more to do, then says what it holds.
fn settled(held: &AtomicIsize) -> isize {
    loop {
        let before = held.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(300));
        if held.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

/// Which legs are under TLS.
#[derive(Clone, Copy, PartialEq)]
enum Legs {
    InClear,
    Client,
    Both,
}

/// The heap per session: the slope between a hundred idle sessions and four hundred.
fn heap_per_session(program: Program, legs: Legs) -> isize {
    const FEW: usize = 100;
    const MORE: usize = 300;
    let host = Loopback::new();
    let address = host.port(2000);
    let authority = Authority::new("Trusted");
    let config = authority.server(&[&address.ip().to_string()]).server_config();
    let tls = (legs == Legs::Both).then(|| Secured::from_the_start(config));
    let backend = Backend::start(Protocol::Pop3, address, Behaviour { tls, ..Behaviour::default() });
    let auth = AuthServer::accepting(host.port(8080), backend.address());
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::write(folder.path());
    authority.write(&folder.path().join("ca.pem"));
    let files = Memory::default()
        .with_file("/ca.pem", std::fs::read(folder.path().join("ca.pem")).unwrap())
        .with_file("/certificate.pem", std::fs::read(&certificate.certificate).unwrap())
        .with_file("/key.pem", std::fs::read(&certificate.key).unwrap());
    let listen = host.port(1000);
    let is_secured = legs != Legs::InClear;
    let text = format!(
        "events {{ worker_connections 4096; }}
         mail {{ auth_http {}; ssl_certificate certificate.pem; ssl_certificate_key key.pem;
                 proxy_ssl_trusted_certificate ca.pem; proxy_ssl {};
                 server {{ listen {listen}{}; protocol pop3; }} }}",
        auth.address(),
        if legs == Legs::Both { "on" } else { "off" },
        if is_secured { " ssl" } else { "" }
    );
    let held = start(program, text, files, TcpListener::bind(listen).unwrap());
    let tls = certificate.client(&[&TLS13]);
    let connect = || if is_secured { Client::connect_tls(listen, &tls) } else { Client::connect(listen) };
    let few = log_in(FEW, connect);
    let before = settled(held);
    let more = log_in(MORE, connect);
    let after = settled(held);
    drop((few, more));
    (after - before) / isize::try_from(MORE).unwrap()
}

/// Shows the figure past the capture of test output, and holds it against the budget.
#[track_caller]
fn hold(program: Program, kind: &str, bytes: isize, budget: isize) {
    let _ = writeln!(
        io::stdout(),
        "heap per idle relayed session, {}, {kind}: {bytes} of {budget} bytes",
        program.name()
    );
    assert!(bytes > 0, "nothing was counted");
    assert!(bytes <= budget, "{bytes} bytes per session are over the budget of {budget}");
}

on_both! {
    fn an_idle_session_in_clear(program: Program) {
        hold(program, "in clear", heap_per_session(program, Legs::InClear), 2560);
    }

    fn an_idle_session_with_tls_to_the_client(program: Program) {
        hold(program, "TLS to the client", heap_per_session(program, Legs::Client), 7168);
    }

    fn an_idle_session_with_tls_on_both_sides(program: Program) {
        hold(program, "TLS on both sides", heap_per_session(program, Legs::Both), 11264);
    }
}
