//! Runs all transcripts of a protocol against one proxy and notes what the three peers saw.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::Backend;
use gatepost_tests::real::Nginx;
use gatepost_tests::{AuthAnswer, AuthServer, Certificate, Client, Loopback, PATIENCE, Program, Proxy};
use nix::sys::signal::Signal;
use rustls::ClientConfig;

use super::normal;
use super::transcript::{Answer, Step, Transcript};

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// Debian's nginx.
    Nginx,
    /// One of the two programs.
    Gatepost(Program),
}

/// What the peers of one session saw, with what must vary made equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Bytes to the client.
    pub(crate) client: String,
    /// Whether the proxy closed before the client did.
    pub(crate) closed: bool,
    /// Whether a line the client waited for never came.
    pub(crate) missed: bool,
    /// The lines of each auth request.
    pub(crate) requests: Vec<Vec<String>>,
    /// What each connection to the backend brought: the login line by line, then the rest.
    pub(crate) backend: Vec<Vec<String>>,
    /// The session's lines in the error log, at level info: level and text.
    pub(crate) log: Vec<String>,
}

/// A transcript in one form of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Each step in one write.
    Whole,
    /// Each byte in a write of its own.
    Bytes,
}

/// How long a client waits for a line that a difference may have swallowed.
const LINE_PATIENCE: Duration = Duration::from_secs(4);
/// How long nothing must come for the session to count as quiet.
const QUIET: Duration = Duration::from_millis(400);
/// Sessions at one time.
const SESSIONS: usize = 32;

/// Observations of one transcript: whole, and in single bytes where it is run so.
pub(crate) type Observations = Vec<(Delivery, Observation)>;

/// Runs all transcripts; the result is in their order.
pub(crate) fn observe(subject: Subject, protocol: Protocol, transcripts: &[Transcript]) -> Vec<Observations> {
    let host = Loopback::new();
    let folder = Proxy::folder();
    let tls = Certificate::write(folder.path()).client(rustls::ALL_VERSIONS);
    let mut mail = "server_name mx.example.test;\nssl_certificate certificate.pem;\n\
         ssl_certificate_key key.pem;\n\
         ssl_protocols TLSv1.2 TLSv1.3;\n"
        .to_owned();
    let stages: Vec<_> = transcripts
        .iter()
        .enumerate()
        .map(|(index, transcript)| Stage::new(host, protocol, index, transcript, &tls))
        .collect();
    for stage in &stages {
        mail.push_str(&stage.server(protocol));
    }
    let listens: Vec<_> = stages.iter().map(|stage| stage.listen).collect();
    // PROXY protocol listeners take the connection that asks whether they listen for one without a header: harmless.
    let running = match subject {
        Subject::Nginx => Running::Nginx(Nginx::start(folder, &mail, &listens)),
        Subject::Gatepost(program) => Running::Gatepost(Proxy::start(program, folder, &mail, &listens)),
    };
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Vec<Session>>> = Mutex::new((0..stages.len()).map(|_| Vec::new()).collect());
    thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                while let Some((index, stage)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    stages.get(index).map(|stage| (index, stage))
                } {
                    let seen = stage.run_all();
                    results.lock().unwrap()[index] = seen;
                }
            });
        }
    });
    let log = running.end();
    let sessions = results.into_inner().unwrap();
    let with_log = |(sessions, stage): (Vec<Session>, &Stage<'_>)| {
        let names = [(stage.auth.address(), "AUTH"), (stage.backend.address(), "BACKEND")];
        let mut logs = normal::session_logs(&log, stage.listen, &names);
        // The first asked whether anybody listens; its port may have come again.
        logs.remove(0);
        sessions.into_iter().map(|session| session.with_log(&mut logs)).collect()
    };
    sessions.into_iter().zip(&stages).map(with_log).collect()
}

enum Running {
    Nginx(Nginx),
    Gatepost(Proxy),
}

impl Running {
    /// Ends the proxy, so that its log is complete, and returns the log.
    fn end(self) -> String {
        match self {
            Self::Nginx(mut nginx) => {
                nginx.quit();
                nginx.log()
            }
            Self::Gatepost(mut proxy) => {
                proxy.signal(Signal::SIGQUIT);
                proxy.await_exit();
                proxy.log()
            }
        }
    }
}

/// One session as its peers saw it; the log is read when all are over.
struct Session {
    delivery: Delivery,
    /// Tells the session's lines from others.
    client: SocketAddr,
    seen: Observation,
}

impl Session {
    /// Takes the first of the logs that is of this client: a port may come again.
    fn with_log(self, logs: &mut Vec<(SocketAddr, Vec<String>)>) -> (Delivery, Observation) {
        let own = logs.iter().position(|(client, _)| *client == self.client);
        let log = own.map(|index| logs.remove(index).1).unwrap_or_default();
        (self.delivery, Observation { log, ..self.seen })
    }
}

/// The peers of one transcript.
struct Stage<'a> {
    transcript: &'a Transcript,
    host: Loopback,
    listen: SocketAddr,
    auth: AuthServer,
    answered: Arc<AtomicUsize>,
    backend: Backend,
    tls: &'a Arc<ClientConfig>,
}

impl<'a> Stage<'a> {
    fn new(
        host: Loopback,
        protocol: Protocol,
        index: usize,
        transcript: &'a Transcript,
        tls: &'a Arc<ClientConfig>,
    ) -> Self {
        let port = |base: usize| host.port(u16::try_from(base + index).unwrap());
        let backend = Backend::start(protocol, port(30_000), transcript.behaviour.clone());
        let answered = Arc::new(AtomicUsize::new(0));
        let (count, address) = (Arc::clone(&answered), backend.address());
        let answers = transcript.answers.clone();
        let auth = AuthServer::start(port(20_000), move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let answer = answers.get(number).or_else(|| answers.last());
            answer.map_or_else(|| AuthAnswer::accept(address), |answer| render(answer, address))
        });
        Self { transcript, host, listen: port(10_000), auth, answered, backend, tls }
    }

    fn server(&self, protocol: Protocol) -> String {
        let mut text = String::new();
        let Transcript { listen, directives, .. } = self.transcript;
        writeln!(
            text,
            "server {{ listen {} {listen}; protocol {protocol}; auth_http {}/auth; {directives} }}",
            self.listen,
            self.auth.address()
        )
        .unwrap();
        text
    }

    fn run_all(&self) -> Vec<Session> {
        let mut seen = vec![self.run(Delivery::Whole)];
        if !self.transcript.whole_only {
            seen.push(self.run(Delivery::Bytes));
        }
        seen
    }

    fn run(&self, delivery: Delivery) -> Session {
        let (old_requests, old_records) = (self.auth.requests().len(), self.backend.records().len());
        self.answered.store(0, Ordering::SeqCst);
        let client = Client::connect(self.listen);
        let address = client.address();
        let (client, closed, missed) = self.play(client, delivery);
        let requests = self.auth.requests().split_off(old_requests);
        let backend = self.backend_since(old_records);
        let normalise = |text: &str| normal::text(text, self.host.ip().into());
        let seen = Observation {
            client: normalise(&String::from_utf8_lossy(&client)),
            closed,
            missed,
            requests: requests
                .iter()
                .map(|request| request.lines.iter().map(|line| normalise(line)).collect())
                .collect(),
            backend: backend
                .into_iter()
                .map(|lines| lines.iter().map(|line| normalise(line)).collect())
                .collect(),
            log: Vec::new(),
        };
        Session { delivery, client: address, seen }
    }

    /// Plays the client's part: what came, whether the proxy closed first, and whether a line was missed.
    fn play(&self, mut client: Client, delivery: Delivery) -> (Vec<u8>, bool, bool) {
        let mut steps = self.transcript.steps.iter().peekable();
        if steps.next_if(|step| matches!(step, Step::StartTls)).is_some() {
            client = client.start_tls(self.tls);
        }
        let speaks_first = self.transcript.early || self.transcript.listen.contains("proxy_protocol");
        let mut expected = usize::from(!speaks_first);
        let mut received = Vec::new();
        await_lines(&mut client, &received, expected);
        for step in steps {
            match step {
                Step::Send { bytes, lines } => {
                    // The proxy may have closed: then there is nothing left to wait for either.
                    let sent = match delivery {
                        Delivery::Whole => client.try_send(bytes),
                        Delivery::Bytes => bytes.iter().try_for_each(|&byte| client.try_send([byte])),
                    };
                    expected += lines;
                    if sent.is_err() || !await_lines(&mut client, &received, expected) {
                        break;
                    }
                }
                Step::StartTls => {
                    received.append(&mut client.take());
                    client = client.start_tls(self.tls);
                }
                Step::Finish => {
                    client.finish();
                    await_end(&mut client);
                }
                Step::Wait => await_end(&mut client),
                Step::Reset => {
                    received.append(&mut client.take());
                    client.reset();
                    return (received, false, false);
                }
            }
        }
        let closed = settle(&mut client);
        let missed = lines(&received) + lines(client.unread()) < expected;
        if !closed {
            client.finish();
            await_end(&mut client);
        }
        received.append(&mut client.take());
        (received, closed, missed)
    }

    /// The connections to the backend from this one on, once all have ended and no new one comes.
    fn backend_since(&self, first: usize) -> Vec<Vec<String>> {
        let end = Instant::now() + PATIENCE;
        let mut known = None;
        loop {
            let records = self.backend.records().split_off(first);
            let is_over = records.iter().all(|record| record.ended);
            assert!(Instant::now() < end, "{:?}: a backend connection never ended", self.transcript.name);
            if is_over && known == Some(records.len()) {
                return records.into_iter().map(lines_of).collect();
            }
            known = is_over.then_some(records.len());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn lines_of(record: gatepost_tests::backend::Record) -> Vec<String> {
    let mut lines = record.lines;
    lines.push(format!("then {:?}", String::from_utf8_lossy(&record.bytes)));
    lines
}

fn render(answer: &Answer, backend: SocketAddr) -> AuthAnswer {
    let fill = |line: &String| {
        line.replace("{ip}", &backend.ip().to_string()).replace("{port}", &backend.port().to_string())
    };
    match answer {
        Answer::Accept(lines) => {
            lines.iter().fold(AuthAnswer::accept(backend), |all, line| all.with(&fill(line)))
        }
        Answer::Headers(lines) => AuthAnswer::Headers(lines.iter().map(fill).collect()),
        Answer::Silence => AuthAnswer::Silence,
        Answer::Raw(bytes) => {
            AuthAnswer::Raw(fill(&String::from_utf8_lossy(bytes).into_owned()).into_bytes())
        }
    }
}

fn await_end(client: &mut Client) {
    while client.arrival(PATIENCE).is_some_and(|count| count > 0) {}
}

/// Waits until this many lines have come in all; `false` at the end.
fn await_lines(client: &mut Client, before: &[u8], expected: usize) -> bool {
    let end = Instant::now() + LINE_PATIENCE;
    while lines(before) + lines(client.unread()) < expected && Instant::now() < end {
        if client.arrival(LINE_PATIENCE) == Some(0) {
            return false;
        }
    }
    true
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Waits until the session is quiet; whether it ended.
fn settle(client: &mut Client) -> bool {
    loop {
        match client.arrival(QUIET) {
            Some(0) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}
