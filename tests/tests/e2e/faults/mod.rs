//! What machines and peers do at their worst: nothing is lost but what must be, and nobody else notices.

mod exhaustion;
mod machine;
mod tls;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::{AuthServer, Certificate, Client, Loopback, Program, Proxy};

/// A POP3 front, in clear and with TLS, with its peers.
struct Front {
    proxy: Proxy,
    backend: Backend,
    certificate: Certificate,
    host: Loopback,
    /// Kept for its requests to be answered.
    _auth: AuthServer,
}

impl Front {
    /// With these directives on the main level and in `mail`.
    fn start(program: Program, main: &str, mail: &str, behaviour: Behaviour) -> Self {
        Self::start_in(program, &[], main, mail, behaviour)
    }

    /// The same, with environment variables.
    fn start_in(
        program: Program,
        environment: &[(&str, &str)],
        main: &str,
        mail: &str,
        behaviour: Behaviour,
    ) -> Self {
        let host = Loopback::new();
        let backend = Backend::start(Protocol::Pop3, host.port(2000), behaviour);
        let auth = AuthServer::accepting(host.port(8080), backend.address());
        let folder = Proxy::folder();
        let certificate = Certificate::write(folder.path());
        let listens = [host.port(1110), host.port(1995)];
        let mail = format!(
            "server_name mx.example.test; auth_http {}/auth; ssl_certificate certificate.pem;
             ssl_certificate_key key.pem; {mail}
             server {{ protocol pop3; listen {}; listen {} ssl; }}",
            auth.address(),
            listens[0],
            listens[1],
        );
        Proxy::configure(&folder, main, &mail);
        let proxy = Proxy::start_configured(program, folder, environment, &listens);
        Self { proxy, backend, certificate, host, _auth: auth }
    }

    fn plain(&self) -> SocketAddr {
        self.host.port(1110)
    }

    fn secured(&self) -> SocketAddr {
        self.host.port(1995)
    }

    /// A new client that is logged in.
    fn log_in(&self) -> Client {
        let mut client = Client::connect(self.plain());
        client.expect("+OK POP3 ready");
        log_in(&mut client);
        client
    }
}

/// Behind the greeting.
fn log_in(client: &mut Client) {
    client.send("USER alice\r\nPASS sesame\r\n");
    client.expect("+OK");
    client.expect("+OK mailbox open");
}

/// A test that takes most of what a process or the machine has waits for the others of its kind.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
