//! Queries and answers as bytes (RFC 1035 section 4), by the codec of the `domain` crate.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::{Opcode, Rcode, Rtype};
use domain::base::name::ToName;
use domain::base::wire::ParseError;
use domain::base::{Message, MessageBuilder, Name, ParsedRecord};
use domain::rdata::{A, Aaaa, Cname, Ptr};

use crate::action::DnsError;

/// A name in wire form, at most 255 bytes.
pub(super) type WireName = Name<Vec<u8>>;

/// What a message means for the query it may answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It answers another question, or is no answer at all: to be ignored.
    Foreign,
    /// It does not fit a datagram: to be asked again over TCP.
    Truncated,
    /// The server has no answer.
    Failed(DnsError),
    /// The server followed aliases up to this name, or did not, and knows no records of it.
    Nothing { name: WireName, aliases: usize, time: Duration },
    /// The records asked for.
    Records { records: Records, time: Duration },
}

/// Records of the type that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Records {
    /// The first of the PTR records: the labels with dots between, lower-cased.
    Name(Vec<u8>),
    /// The A or AAAA records.
    Addresses(Vec<IpAddr>),
}

/// A query for the records of a name.
pub(super) fn query(id: u16, name: &WireName, rtype: Rtype) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question.push((name, rtype)).expect("a vector takes a question");
    question.finish()
}

/// Reads `bytes` as the answer to `query`, following at most `aliases` more CNAME records.
pub(super) fn read(bytes: &[u8], query: &[u8], aliases: usize) -> Reading {
    let (Ok(message), Ok(query)) = (Message::from_slice(bytes), Message::from_slice(query)) else {
        return Reading::Foreign;
    };
    if !message.is_answer(query) || message.header().opcode() != Opcode::QUERY {
        return Reading::Foreign;
    }
    if message.header().tc() {
        return Reading::Truncated;
    }
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::FORMERR => return Reading::Failed(DnsError::Format),
        Rcode::NXDOMAIN => return Reading::Failed(DnsError::NotFound),
        Rcode::NOTIMP => return Reading::Failed(DnsError::Unimplemented),
        Rcode::REFUSED => return Reading::Failed(DnsError::Refused),
        _ => return Reading::Failed(DnsError::ServerFailure),
    }
    match follow(message, aliases) {
        Ok(reading) => reading,
        Err(ParseError::ShortInput | ParseError::Form(_)) => Reading::Failed(DnsError::Format),
    }
}

/// Walks through the answer section: from alias to alias, then to the records.
fn follow(message: &Message<[u8]>, limit: usize) -> Result<Reading, ParseError> {
    let question = message.sole_question()?;
    let mut name: WireName = question.qname().to_vec();
    let mut found = Found::default();
    let mut aliases = 0;
    // Aliases nearly always stand in their order, and one pass is enough; else each pass follows at least one.
    loop {
        let before = aliases;
        for record in message.answer()?.take(RECORD_LIMIT) {
            let record = record?;
            if record.owner() != name || record.class() != question.qclass() {
                continue;
            }
            let ttl = Duration::from_secs(record.ttl().as_secs().into());
            if record.rtype() == question.qtype() {
                found.take(&record)?;
            } else if record.rtype() == Rtype::CNAME
                && let Some(cname) = record.to_record::<Cname<_>>()?
            {
                aliases += 1;
                if aliases > limit {
                    return Ok(Reading::Failed(DnsError::ServerFailure));
                }
                name = cname.data().cname().to_vec();
            } else {
                continue;
            }
            found.time = found.time.min(ttl);
        }
        if let Some(records) = found.records {
            return Ok(Reading::Records { records, time: found.time });
        }
        if aliases == before {
            return Ok(Reading::Nothing { name, aliases, time: found.time });
        }
    }
}

/// The records found so far, and for how long all of what led to them is good.
struct Found {
    records: Option<Records>,
    time: Duration,
}

impl Default for Found {
    fn default() -> Self {
        Self { records: None, time: Duration::MAX }
    }
}

impl Found {
    fn take(&mut self, record: &ParsedRecord<'_, [u8]>) -> Result<(), ParseError> {
        let address = match record.rtype() {
            Rtype::PTR => {
                if self.records.is_none()
                    && let Some(ptr) = record.to_record::<Ptr<_>>()?
                {
                    self.records = Some(Records::Name(text(ptr.data().ptrdname())));
                }
                return Ok(());
            }
            Rtype::A => record.to_record::<A>()?.map(|a| IpAddr::V4(a.data().addr())),
            _ => record.to_record::<Aaaa>()?.map(|aaaa| IpAddr::V6(aaaa.data().addr())),
        };
        let Records::Addresses(addresses) = self.records.get_or_insert(Records::Addresses(Vec::new())) else {
            return Ok(());
        };
        if addresses.len() < ADDRESS_LIMIT {
            addresses.extend(address);
        }
        Ok(())
    }
}

/// The labels with dots between and none at the end; empty for the root.
fn text(name: &impl ToName) -> Vec<u8> {
    let mut text = Vec::new();
    for label in name.iter_labels().filter(|label| !label.is_root()) {
        if !text.is_empty() {
            text.push(b'.');
        }
        text.extend(label.as_slice().to_ascii_lowercase());
    }
    text
}

/// More records of one answer are not looked at: each pass reads all of them, and there may be one for each alias.
const RECORD_LIMIT: usize = 512;
/// More addresses of one name are not looked at.
const ADDRESS_LIMIT: usize = 256;
