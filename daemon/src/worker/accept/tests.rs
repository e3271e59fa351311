use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::*;
use gatepost_protocol::config::ProxyProtocol;

use crate::config::{Config, Memory, Report};
use crate::fake::{self, Fake};
use crate::log::Log;

/// Where a client of a server with these directives is said to have connected to, and where it has.
fn identified(directives: &str, proxy_protocol: ProxyProtocol) -> (ClientAddr, ClientAddr) {
    let fake = Fake::new();
    let worker = fake::worker(&fake, &Log::default());
    let text =
        format!("events {{}} mail {{ auth_http 192.0.2.9; server {{ protocol pop3; {directives} }} }}");
    let config = Config::parse(text, Memory::default(), &mut Report::default()).expect("a configuration");
    let mut inlet = fake::inlet(&Log::default(), false, None);
    let own = Rc::get_mut(&mut inlet).expect("nobody else has it");
    own.binds = config.binds.clone().into();
    Arc::get_mut(&mut own.listener.server).expect("nobody else has it").proxy_protocol = proxy_protocol;
    let inlets = Inlets { bind: config.binds[0].clone(), each: vec![inlet] };

    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("its address");
    let _client = TcpStream::connect(address).expect("a connection");
    let (socket, peer) = listener.accept().expect("a client");
    let (_, origin) = identify(&worker, &inlets, &socket.into(), &peer.into()).expect("a client");
    (origin.local, ClientAddr::Inet(address))
}

#[test]
fn where_clients_connect_to_is_asked_for_where_it_matters() {
    use ProxyProtocol::{Off, V1, V2};

    for (listens, proxy_protocol, matters) in [
        // What a wildcard has besides tells a backend from the proxy itself.
        ("listen 9;", Off, true),
        ("listen [::]:9;", Off, true),
        ("listen 127.0.0.1:9; listen 10;", Off, true),
        ("listen 127.0.0.1:9;", V1, true),
        ("listen 127.0.0.1:9;", V2, true),
        ("listen 127.0.0.1:9;", Off, false),
        ("listen unix:/s;", Off, false),
    ] {
        let (said, address) = identified(listens, proxy_protocol);
        assert_eq!(said, if matters { address } else { ClientAddr::Unix }, "{listens}");
    }
}
