//! Sessions without a daemon around them: the real loop for whoever brings connections of his own.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use gatepost_protocol::address::{ClientAddr, Origin};

use super::Worker;
use crate::config::Config;
use crate::drive;
use crate::inlet::Inlets;
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::runtime::{Peer, Runtime};
use crate::sessions::Phase;
use crate::slots::Slots;

/// A worker on any runtime, simulated ones included. It opens no listener, file or signal descriptor; its clients are
/// handed in, and its log lines go to a function.
pub struct Service<R: Runtime> {
    worker: Rc<Worker<R>>,
    inlets: Vec<Rc<Inlets>>,
}

impl<R: Runtime> Service<R> {
    /// Serves what `config` configures; `log` gets each line as the error log would have it, without the LF.
    ///
    /// # Errors
    /// A message, where there is no memory for the shared counters.
    pub fn new(runtime: R, config: Config, log: impl Fn(&str) + 'static) -> Result<Self, String> {
        let plan = Plan::with_log_function(config, Rc::new(log))?;
        let metrics = Metrics::new(0).map_err(|errno| errno.desc().to_owned())?;
        let slots = Slots::new(plan.connections, plan.inlets.len() + 1);
        let worker = Worker::new(runtime, slots, plan.log, plan.debug_connections, metrics);
        worker.runtime.spawn(Rc::clone(&worker.deadlines).run(Rc::clone(&worker)));
        drive::install_hook();
        Ok(Self { worker, inlets: plan.inlets })
    }

    /// Begins the session of a client at `peer` that connected to `local`, through the `listen` with the address
    /// `listen`. False if there is none, or if no connection slot is free: the connection is closed then.
    pub fn accept(&self, listen: &Peer, stream: R::Stream, peer: ClientAddr, local: ClientAddr) -> bool {
        let inlets = self.inlets.iter().find(|inlets| inlets.bind.address == *listen);
        let inlet = inlets.and_then(|inlets| inlets.select(|| Ok(local)).ok());
        let (Some(inlet), Ok(slot)) = (inlet, self.worker.take_slot()) else { return false };
        let passed = self.worker.runtime.wall_clock().duration_since(UNIX_EPOCH);
        let unix_time = passed.map_or(0, |passed| passed.as_secs());
        let origin = Origin { peer, local, unix_time, entropy: self.worker.entropy() };
        drive::start(&self.worker, Rc::clone(inlet), stream, &origin, slot);
        true
    }

    /// Lets sessions end as a worker that was told to quit does: those that wait for a command now, the others when
    /// they are done.
    pub fn drain(&self) {
        self.worker.sessions.enter(Phase::Draining);
    }

    /// Ends the relays that are left (`worker_shutdown_timeout`).
    pub fn expire(&self) {
        self.worker.sessions.enter(Phase::Expired);
    }

    /// The counters, as `metrics` shows them. Whoever is refused by [`accept`](Self::accept) is not among them.
    pub fn metrics(&self) -> String {
        self.worker.metrics.render()
    }

    /// Ready when no session is left.
    pub fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        self.worker.sessions.poll_empty(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::config::{Memory, Report};
    use crate::fake::{Fake, Pipe};

    const CONFIG: &str = "error_log stderr info; worker_shutdown_timeout 5s; events {} mail {
        auth_http 192.0.2.1:9000; proxy_timeout 1h; timeout 60s; server_name mx.example;
        server { listen 0.0.0.0:110; protocol pop3; } }";

    struct Bench {
        fake: Fake,
        service: Service<Fake>,
        log: Rc<RefCell<Vec<String>>>,
    }

    fn address(text: &str) -> std::net::SocketAddr {
        text.parse().expect("an address")
    }

    impl Bench {
        fn new() -> Self {
            Self::with(CONFIG)
        }

        fn with(text: &str) -> Self {
            let fake = Fake::new();
            let config =
                Config::parse(text, Memory::default(), &mut Report::default()).expect("a configuration");
            let log = Rc::<RefCell<Vec<String>>>::default();
            let lines = Rc::clone(&log);
            let service =
                Service::new(fake.clone(), config, move |line| lines.borrow_mut().push(line.into()));
            Self { fake, service: service.expect("memory"), log }
        }

        fn client(&self) -> Pipe {
            let client = Pipe::open();
            let (peer, local) = (ClientAddr::Inet(address("192.0.2.7:4000")), ClientAddr::Unix);
            assert!(self.service.accept(&Peer::Inet(address("0.0.0.0:110")), client.clone(), peer, local));
            client
        }

        /// The next connection that is opened leads there.
        fn peer(&self) -> Pipe {
            let pipe = Pipe::open();
            self.fake.peers.borrow_mut().push_back(pipe.clone());
            pipe
        }

        fn log_in(&self) -> (Pipe, Pipe) {
            let (client, auth, backend) = (self.client(), self.peer(), self.peer());
            client.bring(b"USER joe\r\nPASS secret\r\n");
            auth.bring(
                b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 192.0.2.2\r\nAuth-Port: 110\r\n\r\n",
            );
            for reply in ["+OK hello\r\n", "+OK\r\n", "+OK welcome\r\n"] {
                self.fake.turn();
                backend.bring(reply.as_bytes());
            }
            self.fake.turn();
            self.fake.turn();
            assert!(client.written().ends_with("+OK welcome\r\n"), "{}", client.written());
            (client, backend)
        }

        fn messages(&self) -> Vec<String> {
            let log = self.log.borrow();
            let message = |line: &String| line.split_once("#0: ").map(|(_, message)| message.to_owned());
            log.iter().filter_map(message).collect()
        }

        fn is_empty(&self) -> bool {
            self.service.poll_empty(&Context::from_waker(Waker::noop())).is_ready()
        }
    }

    #[test]
    fn a_session_from_greeting_to_end() {
        let bench = Bench::new();
        let (client, backend) = bench.log_in();
        assert_eq!(backend.written(), "USER joe\r\nPASS secret\r\n");
        client.bring(b"STAT\r\n");
        bench.fake.turn();
        backend.bring(b"+OK 0 0\r\n");
        bench.fake.turn();
        assert!(backend.written().ends_with("STAT\r\n") && client.written().ends_with("+OK 0 0\r\n"));
        client.bring(b"");
        bench.fake.turn();
        assert!(backend.0.borrow().is_shut_down && !bench.is_empty());
        backend.bring(b"");
        bench.fake.turn();
        assert!(bench.is_empty());
        let context = "client: 192.0.2.7, server: 0.0.0.0:110, login: \"joe\", upstream: 192.0.2.2:110";
        let expected = [
            "*1 client 192.0.2.7:4000 connected to 0.0.0.0:110".to_owned(),
            "*1 auth http server 192.0.2.1:9000 took 0.000 s while in http auth state, client: 192.0.2.7, \
             server: 0.0.0.0:110, login: \"joe\""
                .to_owned(),
            format!("*1 client logged in, {context}"),
            format!("*1 proxied session done, {context}"),
        ];
        assert_eq!(bench.messages(), expected);
        assert!(!bench.log.borrow().concat().contains("secret"));
    }

    #[test]
    fn an_auth_server_that_is_passed_over_is_no_failed_login() {
        let two = CONFIG.replace(":9000;", ":9000; auth_http_backup 192.0.2.3:9000;");
        let bench = Bench::with(&two);
        bench.peer().bring(b"");
        bench.log_in();
        let messages = bench.messages();
        let is_told = |line: &&String| line.contains("auth http server 192.0.2.1:9000 prematurely closed");
        assert_eq!(messages.iter().filter(is_told).count(), 1, "{messages:?}");
        let metrics = bench.service.metrics();
        for (result, expected) in [("ok", 1), ("auth_error", 0), ("backend_error", 0)] {
            let line = format!("gatepost_logins_total{{protocol=\"pop3\",result=\"{result}\"}} {expected}");
            assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
        }
    }

    #[test]
    fn details_are_logged_on_demand_and_no_password_is_one() {
        let levels = CONFIG.replace("stderr info;", "stderr debug;");
        let client = CONFIG.replace("events {}", "events { debug_connection 192.0.2.0/24; }");
        let other = CONFIG.replace("events {}", "events { debug_connection 192.0.2.8; }");
        for (text, is_detailed) in [(levels, true), (client, true), (other, false)] {
            let bench = Bench::with(&text);
            let (client, backend) = bench.log_in();
            client.bring(b"STAT\r\n");
            bench.fake.turn();
            client.bring(b"");
            backend.bring(b"");
            bench.fake.turn();
            let log = bench.log.borrow().join("\n");
            for step in [
                "*1 received 23 bytes from the client while in auth state, client: 192.0.2.7, server: ",
                "*1 ask the auth server, login attempt 1 while in http auth state, client: ",
                "*1 wait, 60000 ms at most while reading response from upstream, client: ",
                "*1 the auth server has accepted the login while in http auth state, client: ",
                "*1 send 10 bytes to the upstream while sending user name to upstream, client: ",
                "*1 the login is complete while ",
                "*1 received 6 bytes from the client while proxying, client: ",
                "*1 the client sends no more while proxying, client: ",
                "*1 the session is over, 6 bytes relayed from the client, 0 bytes to it while proxying, client: ",
            ] {
                let is_there = log.lines().any(|line| line.contains(step) && line.contains(" [debug] "));
                assert_eq!(is_there, is_detailed, "{step}\n{log}");
            }
            assert!(!log.contains("secret"), "{log}");
        }
    }

    #[test]
    fn draining_ends_who_waits_and_spares_who_works() {
        let bench = Bench::new();
        let (client, backend) = bench.log_in();
        let idle = bench.client();
        bench.fake.turn();
        bench.service.drain();
        bench.fake.turn();
        // Both were heard a moment ago and might have been about to log in.
        bench.fake.advance(Duration::from_secs(5));
        bench.fake.turn();
        idle.bring(b"");
        bench.fake.turn();
        assert!(idle.0.borrow().is_shut_down && !client.0.borrow().is_shut_down);
        client.bring(b"NOOP\r\n");
        bench.fake.turn();
        assert!(backend.written().ends_with("NOOP\r\n"));
        bench.service.expire();
        bench.fake.turn();
        for pipe in [&client, &backend] {
            pipe.bring(b"");
        }
        bench.fake.turn();
        bench.fake.turn();
        assert!(bench.is_empty());
        let messages = bench.messages();
        assert!(messages.iter().any(|line| line.contains("shutdown timeout while proxying")), "{messages:?}");
    }

    #[test]
    fn a_login_that_has_arrived_is_not_cut_off_by_draining() {
        let bench = Bench::new();
        let (client, _auth) = (bench.client(), bench.peer());
        bench.fake.turn();
        client.bring(b"USER joe\r\nPASS secret\r\n");
        bench.service.drain();
        bench.fake.turn();
        assert!(!client.0.borrow().is_shut_down && !bench.is_empty());
    }

    #[test]
    fn a_client_that_never_logs_in_is_timed_out() {
        let bench = Bench::new();
        let client = bench.client();
        bench.fake.turn();
        bench.fake.advance(Duration::from_secs(60));
        bench.fake.turn();
        client.bring(b"");
        bench.fake.turn();
        assert!(bench.is_empty());
        assert!(bench.messages()[1].starts_with(
            "*1 client timed out (110: Connection timed out) while in auth state, client: 192.0.2.7"
        ));
    }
}
