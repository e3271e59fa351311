//! One proxied server with its mock peers.

use std::net::SocketAddr;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::{AuthAnswer, AuthServer, Client, Loopback, Program, Proxy, Request};

/// The proxy, what it asks and where it sends.
pub(crate) struct Setup {
    pub(crate) proxy: Proxy,
    pub(crate) auth: AuthServer,
    pub(crate) backend: Backend,
    listen: SocketAddr,
}

/// Decides an answer of the auth server, given the request and the backend's address.
type Rule = Box<dyn Fn(&Request, SocketAddr) -> AuthAnswer + Send + Sync>;

/// What differs between setups; the rest has defaults.
pub(crate) struct Plan {
    protocol: Protocol,
    behaviour: Behaviour,
    listen: &'static str,
    directives: String,
    main: &'static str,
    rule: Option<Rule>,
    host: Loopback,
}

impl Plan {
    /// Everybody is accepted and sent to a mock backend that accepts.
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            behaviour: Behaviour::default(),
            listen: "",
            directives: String::new(),
            main: "worker_processes 1;",
            rule: None,
            host: Loopback::new(),
        }
    }

    /// The address of all that is started: the proxy is at port 1000, the backend at 2000, the auth server at 8080.
    pub(crate) fn host(&self) -> Loopback {
        self.host
    }

    pub(crate) fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Adds parameters to the `listen`.
    pub(crate) fn listen(mut self, parameters: &'static str) -> Self {
        self.listen = parameters;
        self
    }

    /// Adds directives to the `server` block; `$auth` in them becomes the auth server's address, `$listen` the proxy's.
    pub(crate) fn directives(mut self, directives: &str) -> Self {
        self.directives.push_str(directives);
        self
    }

    /// Directives of the main level instead of `worker_processes 1;`.
    pub(crate) fn main(mut self, directives: &'static str) -> Self {
        self.main = directives;
        self
    }

    /// Decides the auth server's answers; the rule gets the backend's address.
    pub(crate) fn rule(
        mut self,
        rule: impl Fn(&Request, SocketAddr) -> AuthAnswer + Send + Sync + 'static,
    ) -> Self {
        self.rule = Some(Box::new(rule));
        self
    }

    /// Starts everything.
    pub(crate) fn start(self, program: Program) -> Setup {
        let host = self.host;
        let backend = Backend::start(self.protocol, host.port(2000), self.behaviour);
        let address = backend.address();
        let rule = self.rule.unwrap_or_else(|| Box::new(|_, backend| AuthAnswer::accept(backend)));
        let auth = AuthServer::start(host.port(8080), move |request| rule(request, address));
        let listen = host.port(1000);
        let mail = format!(
            "server_name mx.example.test;\nauth_http {}/auth;\nserver {{\nlisten {listen} {};\nprotocol {};\n{}\n}}",
            auth.address(),
            self.listen,
            self.protocol,
            self.directives
                .replace("$auth", &auth.address().to_string())
                .replace("$listen", &listen.to_string())
        );
        let proxy = Proxy::start_with(program, Proxy::folder(), self.main, &mail, &[listen]);
        Setup { proxy, auth, backend, listen }
    }
}

impl Setup {
    /// A new client, its greeting read.
    pub(crate) fn client(&self) -> Client {
        let mut client = self.connect();
        client.line();
        client
    }

    /// A new client that has read nothing yet.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.listen)
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }
}

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];

/// A new client that has sent alice's login and got this reply.
#[track_caller]
pub(crate) fn log_in(listen: SocketAddr, protocol: Protocol, reply: &str) -> Client {
    let commands: &[_] = match protocol {
        Protocol::Imap => &["a1 LOGIN alice sesame"],
        Protocol::Pop3 => &["USER alice", "PASS sesame"],
        Protocol::Smtp => &["HELO laptop", "AUTH PLAIN AGFsaWNlAHNlc2FtZQ=="],
    };
    let mut client = Client::connect(listen);
    client.line();
    let (last, first) = commands.split_last().unwrap();
    for command in first {
        client.send(format!("{command}\r\n"));
        client.line();
    }
    client.say(last, reply);
    client
}

/// The reply to a login that went well.
pub(crate) fn accepted(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "a1 OK logged in",
        Protocol::Pop3 => "+OK mailbox open",
        Protocol::Smtp => "235 2.0.0 OK",
    }
}

/// The reply where the auth server has not answered.
pub(crate) fn unavailable(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "a1 NO [UNAVAILABLE] Temporary authentication failure",
        Protocol::Pop3 => "-ERR [SYS/TEMP] Temporary authentication failure",
        Protocol::Smtp => "454 4.7.0 Temporary authentication failure",
    }
}
