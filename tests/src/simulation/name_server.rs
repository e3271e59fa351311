//! The simulated name server: datagrams that are lost, doubled, late, truncated, or not what was asked for; streams for
//! those who ask again. Every client has a name that leads back to it, and backends have names, too.

use std::net::Ipv4Addr;

use super::network::Weather;
use super::peer::Conn;
use super::script;

/// How datagrams travel.
pub(super) const WEATHER: Weather = Weather {
    delay_us: (100, 900_000),
    split: 30,
    short: 0,
    stall: 0,
    stall_ms: 0,
    capacity: 65_536,
    is_datagram: true,
    loss: 15,
};

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;

/// Answers the queries of one datagram socket.
pub(super) async fn serve_datagrams(conn: Conn) {
    while let Ok(query) = conn.read(4_096).await {
        let kind = conn.world.chance.borrow_mut().u8(..20);
        let mut answer = answer(&query);
        match kind {
            0 => continue,
            // Truncated: to be asked for again, over a stream.
            1..4 => {
                answer[2] |= 0x02;
                answer.truncate(query.len());
                answer[6..12].fill(0);
            }
            // Somebody else's.
            4 => answer[0] ^= 0xff,
            5 => answer.truncate(5),
            // The server fails.
            6 => answer[3] = 0x82,
            _ => {}
        }
        if conn.write(&answer).await.is_err() {
            return;
        }
    }
}

/// Answers the query of one stream.
pub(super) async fn serve_stream(conn: Conn) {
    let Ok(length) = conn.read_exactly(2).await else { return };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let Ok(query) = conn.read_exactly(length).await else { return };
    if conn.world.chance.borrow_mut().u8(..8) == 0 {
        return;
    }
    let answer = answer(&query);
    let length = u16::try_from(answer.len()).unwrap_or_default().to_be_bytes();
    // Whoever asked may have lost patience.
    let _ = conn.write(&[&length[..], &answer].concat()).await;
}

/// The answer to one query with one question (RFC 1035 section 4).
fn answer(query: &[u8]) -> Vec<u8> {
    let Some(labels) = query.get(12..).and_then(labels) else { return vec![0; 12] };
    let end = 12 + labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1 + 4;
    let kind = query.get(end - 4..end - 2).map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
    let records = records(&labels, kind);
    let mut answer = query[..2].to_vec();
    let code = if records.is_some() { 0 } else { 3 };
    let records = records.unwrap_or_default();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend(&query[12..end.min(query.len())]);
    for data in records {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
        answer.extend(data);
    }
    answer
}

fn labels(mut name: &[u8]) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    loop {
        let (length, rest) = name.split_first()?;
        if *length == 0 {
            return Some(labels);
        }
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        name = rest;
    }
}

/// `4.3.2.1.in-addr.arpa` is called `host-1-2-3-4`, and that leads back; backends have names, too. `None`: no such name.
fn records(labels: &[String], kind: u16) -> Option<Vec<Vec<u8>>> {
    if kind == TYPE_PTR {
        let octets: Vec<_> = labels.iter().take(4).rev().map(String::as_str).collect();
        let name = format!("host-{}", octets.join("-"));
        return Some(vec![[&[name.len() as u8], name.as_bytes(), &[0]].concat()]);
    }
    let name = labels.first()?;
    let addresses = match name.strip_prefix("host-") {
        Some(octets) => vec![octets.replace('-', ".").parse::<Ipv4Addr>().ok()?],
        None => script::addresses_of(name)?,
    };
    let addresses = addresses.into_iter().filter(|_| kind == TYPE_A);
    Some(addresses.map(|address| address.octets().to_vec()).collect())
}
