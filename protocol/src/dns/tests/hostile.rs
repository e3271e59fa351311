//! Name servers, or those who play them, that lie or break.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

#[test]
fn odd_names_are_invalid() {
    for (wire, text) in [
        (&b"\0"[..], &b""[..]),
        (b"\x0ba\r\nb: c\x00\xff!!\0", b"a\r\nb: c\x00\xff!!"),
        (b"\x03a b\x07example\0", b"a b.example"),
        (b"\x03A_b\0", b"a_b"),
        (b"\x04a..b\0", b"a..b"),
        (b"\x02\xc3\xa9\0", b"\xc3\xa9"),
    ] {
        let mut run = Run::new(settings(1), CLIENT);
        let query = run.query();
        let target = Name::from_octets(wire.to_vec()).unwrap();
        let bytes = answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            answer.push((name(POINTER), Ttl::from_secs(1), Ptr::new(target))).unwrap();
        });
        run.input(&bytes);
        assert_eq!(run.result(), Err(LookupFailure::InvalidName(text.to_vec())));
    }
}

#[test]
fn forged_answers_are_ignored() {
    let mut run = Run::new(settings(1), CLIENT);
    let query = run.query();
    let good = answer(&query.bytes, Rcode::NOERROR, PTR);
    let other_name =
        answer(&message::query(0, &name("26.2.0.192.in-addr.arpa"), Rtype::PTR), Rcode::NOERROR, PTR);
    let other_type = answer(&message::query(0, &name(POINTER), Rtype::A), Rcode::NOERROR, PTR);
    for mut bad in [good.clone(), other_name, other_type] {
        bad[..2].copy_from_slice(&query.bytes[..2]);
        if bad == good {
            bad[1] ^= 1;
        }
        run.input(&bad);
        assert!(matches!(run.lookup.poll(), Next::Wait(_)));
    }
    let mut question = good.clone();
    question[2] &= 0x7f;
    let mut update = good.clone();
    update[2] |= 5 << 3;
    for bad in [&b""[..], &good[..11], &query.bytes, &question, &update] {
        run.input(bad);
        assert!(matches!(run.lookup.poll(), Next::Wait(_)));
    }
    run.input(&good);
    assert_eq!(asked(&run.query().bytes).1, Rtype::A);
}

#[test]
fn ids_differ_from_query_to_query_and_from_lookup_to_lookup() {
    let mut ids = Vec::new();
    let mut run = Run::new(settings(1), CLIENT);
    for _ in 0..5 {
        ids.push(run.query().bytes[..2].to_vec());
        run.wait(5);
    }
    run.again(CLIENT);
    ids.push(run.query().bytes[..2].to_vec());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn a_stream_that_brings_something_else_fails_its_server() {
    let mut run = Run::new(settings(2), CLIENT);
    let query = run.query();
    let mut truncated = answer(&query.bytes, Rcode::NOERROR, &[]);
    truncated[2] |= 2;
    run.input(&truncated);
    let _ = run.query();
    run.input(b"\0\x03abc");
    let query = run.query();
    assert_eq!((query.server, query.transport), (1, Transport::Udp));
    run.lookup.handle_failure(&mut run.resolver, run.now);
    assert_eq!(run.result(), Err(LookupFailure::Address(DnsError::ServerFailure)));
}

#[test]
fn fifty_aliases_are_the_limit() {
    for (length, expected) in [
        (50, Ok("mail.example".into())),
        (51, Err(LookupFailure::Name("mail.example".into(), DnsError::ServerFailure))),
    ] {
        let mut run = Run::new(settings(1), CLIENT);
        run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
        let mut owner = name("mail.example");
        // Half of them one by one, the others in one message.
        for at in 0..25 {
            let query = run.query();
            let target = name(&format!("x{at}.example"));
            let bytes = answer_with(&query.bytes, Rcode::NOERROR, |answer| {
                answer.push((&owner, Ttl::from_secs(1), Cname::new(&target))).unwrap();
            });
            run.input(&bytes);
            owner = target;
        }
        let query = run.query();
        let bytes = answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            for at in 25..length {
                let target = name(&format!("x{at}.example"));
                answer.push((&owner, Ttl::from_secs(1), Cname::new(&target))).unwrap();
                owner = target;
            }
            answer.push((&owner, Ttl::from_secs(1), A::new(CLIENT.parse().unwrap()))).unwrap();
        });
        run.input(&bytes);
        assert_eq!(run.result(), expected);
    }
}

#[test]
fn alias_loops_end() {
    let mut run = Run::new(settings(1), CLIENT);
    let records = [(POINTER, Data::Cname("a.example")), ("a.example", Data::Cname(POINTER))];
    run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, &records);
    assert_eq!(run.result(), Err(LookupFailure::Address(DnsError::ServerFailure)));

    let mut run = Run::new(settings(1), CLIENT);
    let mut queries = 0;
    while let Next::Ask(query) = run.lookup.poll() {
        queries += 1;
        let owner = name(&asked(&query.bytes).0);
        let bytes = answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            answer.push((&owner, Ttl::from_secs(1), Cname::new(&owner))).unwrap();
        });
        run.input(&bytes);
    }
    assert_eq!((queries, run.result()), (1, Err(LookupFailure::Address(DnsError::ServerFailure))));
}

#[test]
fn malformed_answers_are_format_errors() {
    let header_and_question = |query: &[u8]| answer(query, Rcode::NOERROR, &[]);
    let rr = |owner: &[u8], data: &[u8]| {
        [owner, &[0, 12, 0, 1, 0, 0, 0, 9], &(data.len() as u16).to_be_bytes(), data].concat()
    };
    let question_end = POINTER.len() + 2 + 12 + 4;
    for record in [
        // Owner and target as compression pointers: to themselves, to each other, forwards, and cut off.
        rr(&[0xc0, question_end as u8], &[0]),
        rr(&[0xc0, 12], &[0xc0, question_end as u8 + 12]),
        rr(&[0xc0, 12], &[1, b'a', 0xc0, question_end as u8 + 12]),
        rr(&[0xc0, 12], &[0xc0, 0xff]),
        rr(&[0xc0, 12], &[0xc0]),
        rr(&[0xc0, 12], &[5, b'a']),
        rr(&[0xc0, 12], &[0x40, b'a', 0]),
        rr(&[0xc0, 12], &[])[..11].to_vec(),
        Vec::new(),
    ] {
        let mut run = Run::new(settings(1), CLIENT);
        let query = run.query();
        let mut bytes = header_and_question(&query.bytes);
        assert_eq!(bytes.len(), question_end);
        bytes[7] = 1;
        bytes.extend(&record);
        run.input(&bytes);
        assert_eq!(run.result(), Err(LookupFailure::Address(DnsError::Format)), "{record:x?}");
    }
}

#[test]
fn only_so_many_records_are_looked_at() {
    for (others, expected) in [
        (511, Ok("mail.example".into())),
        (512, Err(LookupFailure::Name("mail.example".into(), DnsError::NotFound))),
    ] {
        let mut run = Run::new(settings(1), CLIENT);
        run.serve(POINTER, Rtype::PTR, Rcode::NOERROR, PTR);
        let mut records = vec![("other.example", Data::A(CLIENT)); others];
        records.push(("mail.example", Data::A(CLIENT)));
        run.serve("mail.example", Rtype::A, Rcode::NOERROR, &records);
        assert_eq!(run.result(), expected);
    }
}

#[test]
fn debug_shows_no_ids() {
    let run = Run::new(settings(1), CLIENT);
    assert_eq!(
        format!("{:?}", run.lookup),
        "Lookup { goal: ClientName { client: 192.0.2.25 }, queries: 1, .. }"
    );
}

proptest! {
    #[test]
    fn noise_never_panics(client: IpAddr, bytes: Vec<u8>, tcp: bool) {
        let mut run = Run::new(settings(1), &client.to_string());
        let query = run.query();
        if tcp {
            let mut truncated = answer(&query.bytes, Rcode::NOERROR, &[]);
            truncated[2] |= 2;
            run.input(&truncated);
            let _ = run.query();
        }
        run.input(&bytes);
        run.lookup.poll();
    }

    #[test]
    fn damaged_answers_never_panic(at in 2..400usize, byte: u8, cut in 0..400usize) {
        let mut run = Run::new(settings(1), CLIENT);
        let query = run.query();
        let mut bytes = answer(&query.bytes, Rcode::NOERROR, &[
            (POINTER, Data::Cname("a.b.c.example")),
            ("a.b.c.example", Data::Ptr("mail.example")),
            ("mail.example", Data::A("192.0.2.1")),
        ]);
        if let Some(spot) = bytes.get_mut(at) {
            *spot = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        run.input(&bytes);
        run.lookup.poll();
    }

    #[test]
    fn any_ipv4_client_is_confirmed_by_its_own_address(octets: [u8; 4]) {
        let client = Ipv4Addr::from(octets);
        let mut run = Run::new(settings(1), &client.to_string());
        let query = run.query();
        let owner = name(&asked(&query.bytes).0);
        let bytes = answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            answer.push((owner, Ttl::from_secs(1), Ptr::new(name("mail.example")))).unwrap();
        });
        run.input(&bytes);
        let query = run.query();
        let bytes = answer_with(&query.bytes, Rcode::NOERROR, |answer| {
            answer.push((name("mail.example"), Ttl::from_secs(1), A::new(client))).unwrap();
        });
        run.input(&bytes);
        prop_assert_eq!(run.result(), Ok("mail.example".into()));
    }
}
