//! Lookups of all addresses of a name.

use std::net::IpAddr;

use super::*;

impl Run<Addresses> {
    fn addresses(settings: Settings, name: &str) -> Self {
        let now = start();
        let mut resolver = Resolver::new(settings);
        let lookup = resolver.addresses(name, TIMEOUT, [0; 16], now);
        Self { resolver, lookup, now }
    }

    fn once_more(&mut self, name: &str, entropy: [u8; 16]) {
        self.lookup = self.resolver.addresses(name, TIMEOUT, entropy, self.now);
    }
}

fn ips(texts: &[&str]) -> Result<Vec<IpAddr>, DnsError> {
    Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn both_families_are_asked_for_and_ipv4_comes_first() {
    let mut run = Run::addresses(settings(1), "MX.example.");
    let name = "mx.example";
    run.serve(name, Rtype::A, Rcode::NOERROR, &[(name, Data::A("192.0.2.1")), (name, Data::A("192.0.2.2"))]);
    run.serve(name, Rtype::AAAA, Rcode::NOERROR, &[(name, Data::Aaaa("2001:db8::1"))]);
    assert_eq!(run.result(), ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
}

#[test]
fn addresses_are_remembered_and_who_comes_first_changes() {
    let mut run = Run::addresses(settings(1), "mx.example");
    let name = "mx.example";
    run.serve(name, Rtype::A, Rcode::NOERROR, &[(name, Data::A("192.0.2.1")), (name, Data::A("192.0.2.2"))]);
    run.serve(name, Rtype::AAAA, Rcode::NOERROR, &[(name, Data::Aaaa("2001:db8::1"))]);
    run.once_more("mx.EXAMPLE", [1; 16]);
    assert_eq!(run.result(), ips(&["192.0.2.2", "192.0.2.1", "2001:db8::1"]));
    run.once_more("mx.example", [2; 16]);
    assert_eq!(run.result(), ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
}

#[test]
fn a_family_that_is_off_is_not_asked_for() {
    let name = "mx.example";
    let mut run = Run::addresses(Settings { ipv6: false, ..settings(1) }, name);
    run.serve(name, Rtype::A, Rcode::NOERROR, &[(name, Data::A("192.0.2.1"))]);
    assert_eq!(run.result(), ips(&["192.0.2.1"]));
    let mut run = Run::addresses(Settings { ipv4: false, ..settings(1) }, name);
    run.serve(name, Rtype::AAAA, Rcode::NOERROR, &[(name, Data::Aaaa("2001:db8::1"))]);
    assert_eq!(run.result(), ips(&["2001:db8::1"]));
}

#[test]
fn one_family_is_enough() {
    let name = "mx.example";
    let mut run = Run::addresses(settings(1), name);
    run.serve(name, Rtype::A, Rcode::NOERROR, &[]);
    run.serve(name, Rtype::AAAA, Rcode::NOERROR, &[(name, Data::Aaaa("2001:db8::1"))]);
    assert_eq!(run.result(), ips(&["2001:db8::1"]));
    let mut run = Run::addresses(settings(1), name);
    run.serve(name, Rtype::A, Rcode::NOERROR, &[(name, Data::A("192.0.2.1"))]);
    run.serve(name, Rtype::AAAA, Rcode::SERVFAIL, &[]);
    assert_eq!(run.result(), ips(&["192.0.2.1"]));
}

#[test]
fn with_addresses_in_hand_the_other_family_has_one_try() {
    let name = "mx.example";
    let mut run = Run::addresses(settings(1), name);
    run.serve(name, Rtype::A, Rcode::NOERROR, &[(name, Data::A("192.0.2.1"))]);
    run.query();
    run.wait(4);
    assert!(matches!(run.lookup.poll(), Next::Wait(_)));
    run.wait(1);
    assert_eq!(run.result(), ips(&["192.0.2.1"]));
}

#[test]
fn without_an_address_the_first_failure_is_told() {
    let name = "mx.example";
    for (rcode, error) in [(Rcode::NXDOMAIN, DnsError::NotFound), (Rcode::REFUSED, DnsError::Refused)] {
        let mut run = Run::addresses(settings(1), name);
        run.serve(name, Rtype::A, rcode, &[]);
        run.serve(name, Rtype::AAAA, Rcode::SERVFAIL, &[]);
        assert_eq!(run.result(), Err(error));
    }
    let mut run = Run::addresses(settings(1), name);
    for _ in 0..2 {
        for _ in 0..6 {
            run.query();
            run.wait(5);
        }
    }
    assert_eq!(run.result(), Err(DnsError::TimedOut));
}

#[test]
fn aliases_lead_to_addresses() {
    let name = "mail.example";
    let mut run = Run::addresses(Settings { ipv6: false, ..settings(1) }, name);
    let records = [(name, Data::Cname("mx.example")), ("mx.example", Data::A("192.0.2.1"))];
    run.serve(name, Rtype::A, Rcode::NOERROR, &records);
    assert_eq!(run.result(), ips(&["192.0.2.1"]));
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    for name in ["", "a..b", ".", &"x".repeat(64), &"long.".repeat(60)] {
        assert_eq!(Run::addresses(settings(1), name).result(), Err(DnsError::NotFound), "{name:?}");
    }
}
