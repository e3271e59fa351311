//! `metrics`: the counters for whoever asks by HTTP. One request a connection.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use gatepost_protocol::event::Level;

use super::Worker;
use crate::log::lines::error_text;
use crate::runtime::{Stream, System, Watch};
use crate::sys;

/// For how long one that asks is borne.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that a request may have.
const LARGEST_REQUEST: usize = 8192;

/// Answers on one listening socket for as long as it is polled.
pub(super) async fn run<R: System>(worker: Rc<Worker<R>>, listener: R::Watch, pause: Duration) {
    loop {
        match listener.when_readable(sys::accept).await {
            Ok((socket, _)) => admit(&worker, socket),
            Err(error) => {
                let message = format!("accept4() for \"metrics\" failed {}", error_text(&error));
                worker.tell(Level::Alert, None, &message);
                worker.sleep(pause).await;
            }
        }
    }
}

/// Without a free slot, or where the system refuses, the connection is closed.
fn admit<R: System>(worker: &Rc<Worker<R>>, socket: OwnedFd) {
    let (Ok(slot), Ok(mut stream)) = (worker.take_slot(), worker.runtime.adopt(socket)) else { return };
    let asked = Rc::clone(worker);
    worker.runtime.spawn(async move {
        // Whoever is too slow, or leaves, wants no answer.
        drop(asked.within(PATIENCE, answer(&asked, &mut stream)).await);
        drop(slot);
    });
}

async fn answer<R: System>(worker: &Worker<R>, stream: &mut R::Stream) -> io::Result<()> {
    let request = read_request(stream).await?;
    let response = response(&request, || worker.metrics.render());
    let mut rest = response.as_bytes();
    while !rest.is_empty() {
        let count = poll_fn(|cx| stream.poll_write(cx, rest)).await?;
        rest = &rest[count..];
    }
    stream.shutdown()?;
    // A close with unread input would destroy the answer on its way.
    let mut buffer = [0; 512];
    while poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await? > 0 {}
    Ok(())
}

/// All up to the empty line, or as much as is borne.
async fn read_request<S: Stream>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while request.len() < LARGEST_REQUEST && !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
        if count == 0 {
            break;
        }
        request.extend_from_slice(&buffer[..count]);
    }
    Ok(request)
}

/// The whole response to a request.
fn response(request: &[u8], metrics: impl FnOnce() -> String) -> String {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let is_http = version.is_some_and(|version| version.starts_with(b"HTTP/1."));
    let path = target.and_then(|target| target.split(|byte| *byte == b'?').next());
    let (status, body) = match (method, path) {
        _ if !is_http => ("400 Bad Request", "bad request\n".to_owned()),
        (Some(b"GET" | b"HEAD"), Some(b"/metrics")) => ("200 OK", metrics()),
        (Some(b"GET" | b"HEAD"), _) => ("404 Not Found", "the counters are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET and HEAD only\n".to_owned()),
    };
    let shown = if method == Some(b"HEAD") { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{shown}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_page_is_there() {
        for (request, status, body) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "counters\n"),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK", "counters\n"),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "200 OK", ""),
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found", "the counters are at /metrics\n"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "GET and HEAD only\n"),
            ("GET /metrics\r\n\r\n", "400 Bad Request", "bad request\n"),
            ("\u{16}\u{3}\u{1}", "400 Bad Request", "bad request\n"),
            ("", "400 Bad Request", "bad request\n"),
        ] {
            let response = response(request.as_bytes(), || "counters\n".into());
            assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {response}");
            let (head, rest) = response.split_once("\r\n\r\n").expect("a head");
            assert_eq!(rest, body, "{request:?}");
            assert!(
                request.starts_with("HEAD") || head.contains(&format!("Content-Length: {}\r\n", body.len()))
            );
        }
    }
}
