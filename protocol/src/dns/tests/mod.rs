//! Whole lookups against scripted name servers.

mod addresses;
mod hostile;

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::{A, Aaaa, Cname, Ptr};

use super::*;
use crate::action::{DnsError, LookupFailure};
use crate::tests::start;

const CLIENT: &str = "192.0.2.25";
const POINTER: &str = "25.2.0.192.in-addr.arpa";
const TIMEOUT: Duration = Duration::from_secs(30);

fn settings(servers: usize) -> Settings {
    Settings { servers: NonZeroUsize::new(servers).unwrap(), ipv4: true, ipv6: true, valid: None }
}

/// A lookup with its resolver and its clock.
struct Run<G: Goal = ClientName> {
    resolver: Resolver,
    lookup: Lookup<G>,
    now: Instant,
}

impl Run {
    fn new(settings: Settings, client: &str) -> Self {
        let now = start();
        let mut resolver = Resolver::new(settings);
        let lookup = resolver.lookup(client.parse().unwrap(), TIMEOUT, [7; 16], now);
        Self { resolver, lookup, now }
    }

    /// Another lookup by the same resolver.
    fn again(&mut self, client: &str) {
        self.lookup = self.resolver.lookup(client.parse().unwrap(), TIMEOUT, [8; 16], self.now);
    }
}

impl<G: Goal> Run<G>
where
    G::Outcome: std::fmt::Debug,
{
    fn query(&mut self) -> Query {
        let Next::Ask(query) = self.lookup.poll() else {
            panic!("no query");
        };
        assert!(matches!(self.lookup.poll(), Next::Wait(_)));
        query
    }

    fn input(&mut self, bytes: &[u8]) {
        self.lookup.handle_input(bytes, &mut self.resolver, self.now);
    }

    /// Expects a query for this name and type, and answers it.
    fn serve(&mut self, name: &str, rtype: Rtype, rcode: Rcode, records: &[(&str, Data)]) {
        let query = self.query();
        assert_eq!(asked(&query.bytes), (name.to_owned(), rtype));
        let answer = answer(&query.bytes, rcode, records);
        self.input(&answer);
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.lookup.handle_deadline(&mut self.resolver, self.now);
    }

    fn result(&mut self) -> G::Outcome {
        match self.lookup.poll() {
            Next::Done(outcome) => outcome,
            next @ (Next::Ask(_) | Next::Wait(_)) => panic!("{next:?}"),
        }
    }
}

#[derive(Clone, Copy)]
enum Data {
    A(&'static str),
    Aaaa(&'static str),
    Cname(&'static str),
    Ptr(&'static str),
}

fn name(text: &str) -> Name<Vec<u8>> {
    Name::vec_from_str(text).unwrap()
}

fn asked(query: &[u8]) -> (String, Rtype) {
    let message = Message::from_slice(query).unwrap();
    let question = message.sole_question().unwrap();
    assert!(message.header().rd() && !message.header().qr());
    assert_eq!(question.qclass(), Class::IN);
    (question.qname().to_string().to_lowercase(), question.qtype())
}

/// An answer to `query`; all records live for 100 s.
fn answer(query: &[u8], rcode: Rcode, records: &[(&str, Data)]) -> Vec<u8> {
    answer_with(query, rcode, |answer| {
        for (owner, data) in records {
            let (owner, ttl) = (name(owner), Ttl::from_secs(100));
            match *data {
                Data::A(address) => answer.push((owner, ttl, A::new(address.parse().unwrap()))),
                Data::Aaaa(address) => answer.push((owner, ttl, Aaaa::new(address.parse().unwrap()))),
                Data::Cname(target) => answer.push((owner, ttl, Cname::new(name(target)))),
                Data::Ptr(target) => answer.push((owner, ttl, Ptr::new(name(target)))),
            }
            .unwrap();
        }
    })
}

fn answer_with(query: &[u8], rcode: Rcode, push: impl FnOnce(&mut AnswerBuilder<Vec<u8>>)) -> Vec<u8> {
    let mut answer =
        MessageBuilder::new_vec().start_answer(Message::from_slice(query).unwrap(), rcode).unwrap();
    push(&mut answer);
    answer.finish()
}

const PTR: &[(&str, Data)] = &[(POINTER, Data::Ptr("Mail.Example"))];

#[test]
fn a_name_that_leads_back_is_confirmed() {
    let mut run = Run::new(settings(1), CLIENT);
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
    let records = [("mail.example", Data::A("198.51.100.1")), ("MAIL.example", Data::A(CLIENT))];
    run.serve("mail.example", Rtype::A, Rcode::NOERROR, &records);
    assert_eq!(run.result(), Ok("mail.example".into()));
    assert_eq!(run.result(), Ok("mail.example".into()));
    // Late input is harmless.
    run.input(b"noise");
    run.wait(60);
    assert_eq!(run.result(), Ok("mail.example".into()));
}

#[test]
fn ipv6_clients_are_confirmed_by_aaaa() {
    let mut run = Run::new(settings(1), "2001:db8::1");
    let pointer = format!("1{}8.b.d.0.1.0.0.2.ip6.arpa", ".0".repeat(23) + ".");
    run.serve(&pointer, Rtype::PTR, Rcode::NOERROR, &[(&pointer, Data::Ptr("six.example"))]);
    let records = [("six.example", Data::Aaaa("2001:db8::1"))];
    run.serve("six.example", Rtype::AAAA, Rcode::NOERROR, &records);
    assert_eq!(run.result(), Ok("six.example".into()));
}

#[test]
fn mapped_clients_are_looked_up_as_ipv4() {
    let mut run = Run::new(settings(1), "::ffff:192.0.2.25");
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
    run.serve("mail.example", Rtype::A, Rcode::NOERROR, &[("mail.example", Data::A(CLIENT))]);
    assert_eq!(run.result(), Ok("mail.example".into()));
}

/// The bytes of RFC 1035 section 4, written by hand.
#[test]
fn a_query_is_one_question() {
    let mut run = Run::new(settings(1), CLIENT);
    let query = run.query();
    assert_eq!((query.server, query.transport), (0, Transport::Udp));
    let expected = b"\x01\0\0\x01\0\0\0\0\0\0\x0225\x012\x010\x03192\x07in-addr\x04arpa\0\0\x0c\0\x01";
    assert_eq!(&query.bytes[2..], expected);
}

#[test]
fn failures_are_told_by_step_and_code() {
    for (rcode, error) in [
        (Rcode::FORMERR, DnsError::Format),
        (Rcode::SERVFAIL, DnsError::ServerFailure),
        (Rcode::NXDOMAIN, DnsError::NotFound),
        (Rcode::NOTIMP, DnsError::Unimplemented),
        (Rcode::REFUSED, DnsError::Refused),
        (Rcode::NOTAUTH, DnsError::ServerFailure),
        (Rcode::NOERROR, DnsError::NotFound),
    ] {
        let mut run = Run::new(settings(1), CLIENT);
        run.serve(POINTER, Rtype::PTR, rcode, &[]);
        assert_eq!(run.result(), Err(LookupFailure::Address(error)));

        let mut run = Run::new(settings(1), CLIENT);
        run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
        run.serve("mail.example", Rtype::A, rcode, &[]);
        assert_eq!(run.result(), Err(LookupFailure::Name("mail.example".into(), error)));
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_a_mismatch() {
    let mut run = Run::new(settings(1), CLIENT);
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
    let records = [("mail.example", Data::A("192.0.2.26")), ("other.example", Data::A(CLIENT))];
    run.serve("mail.example", Rtype::A, Rcode::NOERROR, &records);
    assert_eq!(run.result(), Err(LookupFailure::Mismatch));
}

#[test]
fn a_family_that_is_off_confirms_nothing() {
    let mut run = Run::new(Settings { ipv4: false, ..settings(1) }, CLIENT);
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
    assert_eq!(run.result(), Err(LookupFailure::Mismatch));
}

#[test]
fn truncated_answers_are_asked_for_again_over_tcp() {
    let mut run = Run::new(settings(2), CLIENT);
    let query = run.query();
    let mut truncated = answer(&query.bytes, Rcode::NOERROR, &[]);
    truncated[2] |= 2;
    run.input(&truncated);
    let query = run.query();
    assert_eq!((query.server, query.transport), (0, Transport::Tcp));
    let (length, message) = query.bytes.split_first_chunk().unwrap();
    assert_eq!(usize::from(u16::from_be_bytes(*length)), message.len());
    let answer = answer(message, Rcode::NOERROR, PTR);
    let stream = [&(answer.len() as u16).to_be_bytes(), &answer[..]].concat();
    for byte in stream.chunks(1) {
        assert!(matches!(run.lookup.poll(), Next::Wait(_)));
        run.input(byte);
    }
    let query = run.query();
    assert_eq!((asked(&query.bytes).1, query.transport), (Rtype::A, Transport::Udp));
}

#[test]
fn aliases_are_followed_in_any_order() {
    let alias = "25.0-63.2.0.192.in-addr.arpa";
    let mut records =
        [(POINTER, Data::Cname("25.0-63.2.0.192.in-addr.arpa")), (alias, Data::Ptr("a.example"))];
    for _ in 0..2 {
        let mut run = Run::new(settings(1), CLIENT);
        run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, &records);
        let mut chain = [
            ("a.example", Data::Cname("b.example")),
            ("b.example", Data::Cname("c.example")),
            ("c.example", Data::A(CLIENT)),
        ];
        chain.reverse();
        run.serve("a.example", Rtype::A, Rcode::NOERROR, &chain);
        assert_eq!(run.result(), Ok("a.example".into()));
        records.reverse();
    }
}

#[test]
fn aliases_without_records_are_asked_for() {
    let mut run = Run::new(settings(1), CLIENT);
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
    run.serve("mail.example", Rtype::A, Rcode::NOERROR, &[("mail.example", Data::Cname("b.example"))]);
    run.serve("b.example", Rtype::A, Rcode::NOERROR, &[("b.example", Data::A(CLIENT))]);
    assert_eq!(run.result(), Ok("mail.example".into()));
}

#[test]
fn silent_servers_are_asked_in_turn_until_the_time_is_up() {
    let mut run = Run::new(settings(3), CLIENT);
    for server in [0, 1, 2, 0, 1, 2] {
        assert_eq!(run.query().server, server);
        assert_eq!(run.lookup.poll(), Next::Wait(run.now + Duration::from_secs(5)));
        run.wait(4);
        assert!(matches!(run.lookup.poll(), Next::Wait(_)));
        run.wait(1);
    }
    assert_eq!(run.result(), Err(LookupFailure::Address(DnsError::TimedOut)));
    // Silence is not remembered, and the next lookup begins with the next server.
    run.again(CLIENT);
    assert_eq!(run.query().server, 1);
}

#[test]
fn each_step_has_its_own_time() {
    let mut run = Run::new(settings(1), CLIENT);
    for _ in 0..5 {
        let _ = run.query();
        run.wait(5);
    }
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
    for _ in 0..6 {
        assert_eq!(asked(&run.query().bytes).0, "mail.example");
        run.wait(5);
    }
    assert_eq!(run.result(), Err(LookupFailure::Name("mail.example".into(), DnsError::TimedOut)));
}

#[test]
fn servers_that_fail_are_passed_over() {
    let mut run = Run::new(settings(3), CLIENT);
    assert_eq!(run.query().server, 0);
    run.lookup.handle_failure(&mut run.resolver, run.now);
    let query = run.query();
    assert_eq!(query.server, 1);
    run.input(&answer(&query.bytes, Rcode::REFUSED, &[]));
    let query = run.query();
    assert_eq!(query.server, 2);
    run.input(&answer(&query.bytes, Rcode::NOERROR, PTR));
    assert_eq!(asked(&run.query().bytes).0, "mail.example");
    for _ in 0..3 {
        run.lookup.handle_failure(&mut run.resolver, run.now);
        run.lookup.poll();
    }
    assert_eq!(run.result(), Err(LookupFailure::Name("mail.example".into(), DnsError::ServerFailure)));
}

#[test]
fn answers_are_remembered_for_their_time() {
    for (valid, lasts) in [(None, 100), (Some(Duration::from_secs(7)), 7)] {
        let mut run = Run::new(Settings { valid, ..settings(1) }, CLIENT);
        run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
        run.serve("mail.example", Rtype::A, Rcode::NOERROR, &[("mail.example", Data::A(CLIENT))]);
        run.wait(lasts - 1);
        run.again(CLIENT);
        assert_eq!(run.result(), Ok("mail.example".into()));
        run.wait(1);
        run.again(CLIENT);
        assert_eq!(asked(&run.query().bytes).1, Rtype::PTR);
    }
}

#[test]
fn an_answer_lasts_no_longer_than_the_aliases_that_led_to_it() {
    // The shorter time stands at each place of the chain once; the last alias takes another query.
    for times in [[7, 90, 90], [90, 7, 90], [90, 90, 7]] {
        let [first, second, last] = times.map(Ttl::from_secs);
        let mut run = Run::new(settings(1), CLIENT);
        let [owner, alias, target] = [POINTER, "a.example", "b.example"].map(name);
        let query = run.query();
        run.input(&answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            answer.push((&owner, first, Cname::new(&alias))).unwrap();
            answer.push((&alias, second, Cname::new(&target))).unwrap();
        }));
        let query = run.query();
        run.input(&answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            answer.push((&target, last, Ptr::new(name("mail.example")))).unwrap();
        }));
        run.serve("mail.example", Rtype::A, Rcode::NOERROR, &[("mail.example", Data::A(CLIENT))]);
        assert!(run.result().is_ok());
        run.wait(6);
        run.again(CLIENT);
        assert!(run.result().is_ok());
        run.wait(1);
        run.again(CLIENT);
        assert_eq!(asked(&run.query().bytes).1, Rtype::PTR, "{times:?}");
    }
}

#[test]
fn records_of_another_class_do_not_count() {
    let mut run = Run::new(settings(1), CLIENT);
    let query = run.query();
    run.input(&answer_with(&query.bytes, Rcode::NOERROR, |answer| {
        let ptr = Ptr::new(name("mail.example"));
        answer.push((name(POINTER), Class::CH, Ttl::from_secs(1), ptr)).unwrap();
    }));
    assert_eq!(run.result(), Err(LookupFailure::Address(DnsError::NotFound)));
}

#[test]
fn what_is_not_there_is_remembered_for_half_a_minute() {
    for rcode in [Rcode::NXDOMAIN, Rcode::SERVFAIL] {
        let mut run = Run::new(settings(1), CLIENT);
        run.serve(POINTER, Rtype::PTR, rcode, &[]);
        let result = run.result();
        run.wait(29);
        run.again(CLIENT);
        assert_eq!(run.result(), result);
        run.wait(1);
        run.again(CLIENT);
        let _ = run.query();
    }
    // Servers that could not be reached said nothing to remember.
    let mut run = Run::new(settings(1), CLIENT);
    run.lookup.handle_failure(&mut run.resolver, run.now);
    assert_eq!(run.result(), Err(LookupFailure::Address(DnsError::ServerFailure)));
    run.again(CLIENT);
    let _ = run.query();
}
