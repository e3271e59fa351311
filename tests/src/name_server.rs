//! A mock name server: answers PTR and A from a table, anything else with "no such name"; by UDP, and by TCP where it
//! says so.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A running mock name server. It serves until the test program ends.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
}

impl NameServer {
    /// Serves on `address`: `reverse` names every 127.x.y.z client, `forward` are the addresses of any name.
    pub fn start(address: SocketAddr, reverse: &'static str, forward: Forward) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let answer = answer(&buffer[..length], reverse, forward);
                let _ = socket.send_to(&answer, peer);
            }
        });
        Self { address }
    }

    /// As [`start`](Self::start), but answers do not fit datagrams: they come by TCP alone.
    pub fn start_with_tcp(address: SocketAddr, reverse: &'static str, forward: Forward) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                let answer = answer(&query, reverse, forward);
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length, &answer[..]].concat()).unwrap();
            }
        });
        let socket = UdpSocket::bind(address).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let mut truncated = buffer[..length].to_vec();
                truncated[2] |= 0x82;
                let _ = socket.send_to(&truncated, peer);
            }
        });
        Self { address }
    }

    /// Hears queries and answers none; each is told of.
    pub fn start_silent(address: SocketAddr) -> (Self, Receiver<()>) {
        let socket = UdpSocket::bind(address).unwrap();
        let (tell, told) = channel();
        thread::spawn(move || while socket.recv_from(&mut [0; 512]).is_ok() && tell.send(()).is_ok() {});
        (Self { address }, told)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What names lead to.
#[derive(Clone, Copy, Debug)]
pub enum Forward {
    /// The address whose PTR was asked for last: all is well.
    Client(Ipv4Addr),
    /// Nothing.
    Missing,
}

/// The answer to one query with one question (RFC 1035 section 4).
fn answer(query: &[u8], reverse: &str, forward: Forward) -> Vec<u8> {
    let question_end = 12 + query[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
    let question = &query[12..question_end];
    let kind = u16::from_be_bytes([query[question_end - 4], query[question_end - 3]]);
    let data = match (kind, forward) {
        (12, _) => Some(encode(reverse)),
        (1, Forward::Client(address)) => Some(address.octets().to_vec()),
        _ => None,
    };
    let mut message = query[..2].to_vec();
    let code = if data.is_some() { 0 } else { 3 };
    message.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    message.extend(question);
    if let Some(data) = data {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    message
}

/// A name as labels.
fn encode(name: &str) -> Vec<u8> {
    let mut labels = Vec::new();
    for label in name.split('.') {
        labels.push(u8::try_from(label.len()).unwrap());
        labels.extend(label.as_bytes());
    }
    labels.push(0);
    labels
}
