//! The simulated auth server: one task for each connection. It knows every password, and does what the scripts say.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_protocol::config::{Protocol, ProxySsl};

use super::ledger::Record;
use super::peer::{Conn, Farewell, Gone};
use super::script::{self, Absence, AuthPlan, Mechanism, Nonsense, Script, Server};
use super::secured::Secured;

/// Bytes of a request at most.
const LONGEST_REQUEST: usize = 16_384;

/// Serves one connection to one of the addresses until it ends, under TLS if that is how it is asked.
pub(super) async fn serve(conn: Conn, address: usize, tls: Option<Secured>) {
    if let Some(tls) = tls
        && secure(&conn, address, tls).await.is_err()
    {
        return;
    }
    while let Some(request) = Request::read(&conn).await {
        let Some(session) = request.value("Client-IP").and_then(|address| conn.world.session_at(address))
        else {
            return conn.world.complain("an auth request of no known client");
        };
        if let Err(text) = check(&conn, session, &request) {
            conn.world.complain(format!("auth request of session {session}: {text}"));
        }
        let keeps = request.value("Connection") == Some("keep-alive");
        if !matches!(answer(&conn, session, address, keeps).await, Ok(true)) {
            return;
        }
    }
}

/// Shakes hands. Whoever is away may be so already then.
async fn secure(conn: &Conn, address: usize, tls: Secured) -> Result<(), Gone> {
    let Some(session) = conn.world.executor.owner() else { return Err(Gone::Ended) };
    let absence = conn.world.present_absence(session, address);
    match absence.filter(|_| conn.world.chance.borrow_mut().bool()) {
        Some(Absence::Silent) => Err(conn.read_to_end().await),
        Some(Absence::Resets) => {
            conn.reset();
            Err(Gone::Reset)
        }
        Some(Absence::ClosesInHead) => {
            // Perhaps it only speaks in clear.
            if conn.world.chance.borrow_mut().bool() {
                conn.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
            }
            Err(Gone::Ended)
        }
        Some(Absence::StopsInHead) => {
            conn.secure(Secured::backend(session), Farewell::Proper).await?;
            conn.world.complain("an auth server that shows another's certificate is trusted");
            Err(Gone::Ended)
        }
        Some(Absence::NeverConnects | Absence::FailsAtOnce | Absence::FailsLater) | None => {
            let is_proper = conn.world.chance.borrow_mut().bool();
            conn.secure(tls, if is_proper { Farewell::Proper } else { Farewell::EndAlone }).await
        }
    }
}

/// A request's header lines.
struct Request(Vec<(String, String)>);

impl Request {
    async fn read(conn: &Conn) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend_from_slice(&conn.read(4_096).await.ok()?);
            if head.len() > LONGEST_REQUEST {
                conn.world.complain("an auth request is endless");
                return None;
            }
        }
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.split("\r\n");
        if !lines.next().is_some_and(|line| line.starts_with("GET /auth HTTP/1.")) {
            conn.world.complain(format!("an auth request is malformed: {text:?}"));
        }
        let headers = lines.filter_map(|line| line.split_once(": "));
        Some(Self(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether the request is this session's own, with the credentials of its present attempt.
fn check(conn: &Conn, session: usize, request: &Request) -> Result<(), String> {
    let script = &conn.world.scripts[session];
    let record = conn.world.ledger.borrow().records[session].clone();
    let expect = |name: &str, wanted: &str| match request.value(name) {
        Some(value) if unescape(value) == wanted => Ok(()),
        value => Err(format!("{name} is {value:?} instead of {wanted:?}")),
    };
    expect("Auth-Protocol", script.protocol.name())?;
    expect("Auth-Login-Attempt", &(record.attempt + 1).to_string())?;
    expect("Auth-User", &script.login(session))?;
    let client = script::client_address(session);
    expect("Client-IP", &client.ip().to_string())?;
    if script.server == Server::Balanced {
        expect("Proxy-Protocol-Addr", &client.ip().to_string())?;
        expect("Proxy-Protocol-Port", &client.port().to_string())?;
    }
    let (method, password) = match script.mechanism {
        Mechanism::Command | Mechanism::Literals { .. } | Mechanism::Plain { .. } | Mechanism::Login => {
            ("plain", script::password(session, record.attempt, false))
        }
        Mechanism::CramMd5 => ("cram-md5", digest_for(&record.challenge)),
        Mechanism::Apop => ("apop", digest_for(&record.challenge)),
        Mechanism::External => ("external", String::new()),
        Mechanism::Envelope => {
            expect("Auth-SMTP-From", &mail_command(session))?;
            expect("Auth-SMTP-To", &rcpt_command(session))?;
            ("none", String::new())
        }
    };
    expect("Auth-Method", method)?;
    expect("Auth-Pass", &password)?;
    match script.mechanism {
        Mechanism::CramMd5 | Mechanism::Apop => expect("Auth-Salt", &record.challenge),
        _ => Ok(()),
    }
}

/// What a client makes of a challenge. Nobody here can compute MD5, and nobody has to.
pub(super) fn digest_for(challenge: &str) -> String {
    let digest = super::trace::digest(challenge.as_bytes());
    format!("{digest:016x}{:016x}", digest.rotate_left(13))
}

/// The envelope of a session.
pub(super) fn mail_command(session: usize) -> String {
    format!("MAIL FROM:<sender{session}@example.com>")
}

/// The recipient who asks.
pub(super) fn rcpt_command(session: usize) -> String {
    format!("RCPT TO:<recipient{session}@example.com>")
}

fn unescape(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers as the script says; whether the connection lives on.
async fn answer(conn: &Conn, session: usize, address: usize, keeps: bool) -> Result<bool, Gone> {
    let script = &conn.world.scripts[session];
    let attempt = conn.world.ledger.borrow().records[session].attempt;
    let plan = script.attempts.get(attempt).copied().unwrap_or(AuthPlan::Refuses { wait_s: 0 });
    conn.pause(script.pause_ms).await;
    if script.absence_of(attempt, address) == Some(Absence::Resets) {
        conn.reset();
        return Ok(false);
    }
    match plan {
        AuthPlan::Accepts { user, password, waits } => {
            let headers = accept(conn, script, session, (user, password), waits);
            respond(conn, &headers, keeps).await
        }
        AuthPlan::Refuses { wait_s } => {
            let wait = if wait_s > 0 { format!("Auth-Wait: {wait_s}\r\n") } else { String::new() };
            respond(conn, &format!("Auth-Status: {}\r\n{wait}", refusal(session)), keeps).await
        }
        AuthPlan::Away(absence) => {
            stay_away(conn, absence).await;
            Ok(false)
        }
        AuthPlan::Nonsense(nonsense) => {
            conn.write(talk_nonsense(nonsense).as_bytes()).await?;
            // It may close at once, or wait for the other to do so.
            if conn.world.chance.borrow_mut().bool() {
                conn.read_to_end().await;
            }
            Ok(false)
        }
    }
}

/// What a refused client reads.
pub(super) fn refusal(session: usize) -> String {
    format!("no entry for {session}")
}

fn accept(conn: &Conn, script: &Script, session: usize, rewrites: (bool, bool), waits: u32) -> String {
    let record: &mut Record = &mut conn.world.ledger.borrow_mut().records[session];
    if record.waits < waits {
        record.waits += 1;
        record.is_asked = false;
        return "Auth-Status: WAIT\r\nAuth-Wait: 1\r\n".to_owned();
    }
    record.let_in = Some(record.attempt);
    let SocketAddr::V4(address) = script::backend_address(session) else { unreachable!("all are IPv4") };
    let host = if script.is_named { script::backend_name(session) } else { address.ip().to_string() };
    let mut headers = format!("Auth-Status: OK\r\nAuth-Server: {host}\r\nAuth-Port: {}\r\n", address.port());
    if let Some(choice) = tls_choice(conn, script) {
        headers.push_str(&format!("Auth-Server-SSL: {choice}\r\n"));
    }
    if rewrites.0 && script.protocol != Protocol::Smtp {
        headers.push_str(&format!("Auth-User: {}\r\n", rewritten_user(session)));
    }
    if rewrites.1 {
        headers.push_str(&format!("Auth-Pass: {}\r\n", script::password(session, record.attempt, true)));
    }
    headers
}

/// How the backend is to be spoken to, where the configuration does not say so; and sometimes where it does.
fn tls_choice(conn: &Conn, script: &Script) -> Option<&'static str> {
    let is_said = script.backend_tls != script.server.proxy_ssl() || conn.world.chance.borrow_mut().bool();
    is_said.then_some(match script.backend_tls {
        ProxySsl::Off => "off",
        ProxySsl::On => "on",
        ProxySsl::StartTls => "starttls",
    })
}

/// Whom the auth server makes of a client, where it does.
pub(super) fn rewritten_user(session: usize) -> String {
    format!("mailbox{session}")
}

/// Sends a head and, in one of several forms, a body; whether the connection lives on.
async fn respond(conn: &Conn, headers: &str, keeps: bool) -> Result<bool, Gone> {
    let form = conn.world.chance.borrow_mut().u8(..if keeps { 8 } else { 3 });
    let (head, body) = match form {
        0 => (format!("HTTP/1.0 200 OK\r\n{headers}\r\n"), String::new()),
        1 => (format!("{headers}\r\n"), String::new()),
        2 => (format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n"), "ignored".to_owned()),
        3 | 4 => (format!("HTTP/1.1 204 No Content\r\n{headers}\r\n"), String::new()),
        5 => (format!("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n{headers}\r\n"), "ignored".to_owned()),
        6 => (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"),
            "3\r\nign\r\n4\r\nored\r\n0\r\n\r\n".to_owned(),
        ),
        _ => {
            let length = LATE_BODY.len();
            (format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n"), LATE_BODY.to_owned())
        }
    };
    // A head that dawdles.
    let cut = conn.world.chance.borrow_mut().usize(..=head.len());
    conn.write(&head.as_bytes()[..cut]).await?;
    conn.pause(if cut.is_multiple_of(5) { 2_000 } else { 0 }).await;
    conn.write(&head.as_bytes()[cut..]).await?;
    if form == 7 {
        return finish_late(conn, &body).await;
    }
    conn.write(body.as_bytes()).await?;
    if form <= 2 {
        return Ok(false);
    }
    // An idle connection may be closed at any time.
    if conn.world.chance.borrow_mut().u8(..4) == 0 {
        conn.pause(3_000).await;
        return Ok(conn.world.chance.borrow_mut().bool());
    }
    Ok(true)
}

/// What a client would take for a success of its own, if it read it as a reply.
const LATE_BODY: &str = "Auth-Status: OK\r\nAuth-Server: 10.0.0.99\r\nAuth-Port: 99\r\n\r\n";

/// Sends the body later than the head, sometimes never to its end. Until then nobody may ask anything here.
async fn finish_late(conn: &Conn, body: &str) -> Result<bool, Gone> {
    let (wait_ms, is_finished) = {
        let mut chance = conn.world.chance.borrow_mut();
        (chance.u64(1..3_000), chance.bool())
    };
    match conn.within(Duration::from_millis(wait_ms), conn.read(4_096)).await {
        None => {}
        Some(Ok(_)) => {
            conn.world
                .complain("a connection to the auth server is used before the answer on it is complete");
            return Ok(false);
        }
        Some(Err(gone)) => return Err(gone),
    }
    if is_finished {
        conn.write(body.as_bytes()).await?;
    }
    Ok(is_finished)
}

async fn stay_away(conn: &Conn, absence: Absence) {
    match absence {
        Absence::Silent | Absence::NeverConnects => {
            conn.read_to_end().await;
        }
        Absence::StopsInHead => {
            if conn.write(b"HTTP/1.0 200 OK\r\nAuth-Status: O").await.is_ok() {
                conn.read_to_end().await;
            }
        }
        Absence::ClosesInHead => {
            let _ = conn.write(b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n").await;
        }
        Absence::Resets => conn.reset(),
        // Asked on a kept connection: the next attempt is on a new one.
        Absence::FailsAtOnce | Absence::FailsLater => {}
    }
}

fn talk_nonsense(nonsense: Nonsense) -> String {
    const GOOD: &str = "Auth-Status: OK\r\nAuth-Server: 10.0.0.99\r\nAuth-Port: 99\r\n";
    match nonsense {
        Nonsense::StatusLine => format!("HTTP/9.x OK\r\n{GOOD}\r\n"),
        Nonsense::Header => format!("HTTP/1.0 200 OK\r\n(: )\r\n{GOOD}\r\n"),
        Nonsense::TooBig => format!("HTTP/1.0 200 OK\r\nX: {}\r\n{GOOD}\r\n", "x".repeat(20_000)),
        Nonsense::NoStatus => "HTTP/1.0 200 OK\r\nAuth-Server: 10.0.0.99\r\nAuth-Port: 99\r\n\r\n".to_owned(),
        Nonsense::Error500 => format!("HTTP/1.0 500 Broken\r\n{GOOD}\r\n"),
        Nonsense::BadServer => {
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: mail\r\nAuth-Port: 99\r\n\r\n".to_owned()
        }
        Nonsense::BadPort => {
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 10.0.0.99\r\nAuth-Port: x\r\n\r\n".to_owned()
        }
        Nonsense::NoServer => "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Port: 99\r\n\r\n".to_owned(),
    }
}
