//! Dovecot as IMAP, POP3 and submission backend.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::find;
use crate::{Authority, Loopback, PATIENCE};

/// A running Dovecot with users `alice` and `bob` and their Maildirs.
pub struct Dovecot {
    child: Child,
    folder: TempDir,
    host: Loopback,
}

/// The password of both users.
const PASSWORD: &str = "sesame {1}";

impl Dovecot {
    /// Starts it on an address of its own. What is submitted goes on to the SMTP server `relay`.
    pub fn start(relay: SocketAddr) -> Self {
        Self::start_with(relay, None)
    }

    /// The same with TLS, for its address, by this authority.
    pub fn start_secured(relay: SocketAddr, authority: &Authority) -> Self {
        Self::start_with(relay, Some(authority))
    }

    fn start_with(relay: SocketAddr, authority: Option<&Authority>) -> Self {
        let folder = tempfile::Builder::new().prefix("gatepost-dovecot-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mail = folder.path().join("mail");
        fs::create_dir(&mail).unwrap();
        fs::set_permissions(&mail, fs::Permissions::from_mode(0o777)).unwrap();
        let users = ["alice", "bob"].map(|user| format!("{user}:{{PLAIN}}{PASSWORD}::::::\n")).concat();
        fs::write(folder.path().join("users"), users).unwrap();
        let host = Loopback::new();
        let configuration = folder.path().join("dovecot.conf");
        let mut text = text(folder.path(), host, relay);
        if let Some(authority) = authority {
            let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
            authority.write_server(&[&host.ip().to_string()], &certificate, &key);
            text += &tls(&certificate, &key);
        }
        fs::write(&configuration, text).unwrap();
        let dovecot = Self { child: spawn(folder.path()), folder, host };
        dovecot.await_listen();
        if authority.is_some() {
            for address in [dovecot.imaps(), dovecot.pop3s()] {
                await_listen(address, &dovecot.log_files());
            }
        }
        dovecot
    }

    /// Ends it, with all of its sessions; [`resume`](Self::resume) starts it again.
    pub fn pause(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }

    /// Starts it again, on the same address with the same mail.
    pub fn resume(&mut self) {
        self.child = spawn(self.folder.path());
        self.await_listen();
    }

    fn await_listen(&self) {
        for address in [self.imap(), self.pop3(), self.submission(), self.imap_proxied(), self.pop3_proxied()]
        {
            await_listen(address, &self.log_files());
        }
    }

    /// The IMAP port.
    pub fn imap(&self) -> SocketAddr {
        self.host.port(1143)
    }

    /// The IMAP port with TLS from the first byte, where there is TLS.
    pub fn imaps(&self) -> SocketAddr {
        self.host.port(1993)
    }

    /// The same for POP3.
    pub fn pop3s(&self) -> SocketAddr {
        self.host.port(1995)
    }

    /// The POP3 port.
    pub fn pop3(&self) -> SocketAddr {
        self.host.port(1110)
    }

    /// The submission port.
    pub fn submission(&self) -> SocketAddr {
        self.host.port(1587)
    }

    /// An IMAP port where a PROXY protocol header comes first.
    pub fn imap_proxied(&self) -> SocketAddr {
        self.host.port(2143)
    }

    /// A POP3 port where a PROXY protocol header comes first.
    pub fn pop3_proxied(&self) -> SocketAddr {
        self.host.port(2110)
    }

    /// The password of `alice` and `bob`: it has a space and braces, which protocols must carry.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Where the Maildirs are, for a delivering SMTP server.
    pub fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.log_files().map(|log| fs::read_to_string(log).unwrap_or_default()).concat()
    }

    fn log_files(&self) -> [PathBuf; 2] {
        ["output", "dovecot.log"].map(|name| self.folder.path().join(name))
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.pause();
        }
    }
}

fn spawn(folder: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("output")).unwrap();
    Command::new(find("dovecot").expect("checked before"))
        .arg("-F")
        .arg("-c")
        .arg(folder.join("dovecot.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Waits until a server accepts; shows its logs if it never does.
pub(super) fn await_listen(address: SocketAddr, logs: &[PathBuf]) {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        let logs = || logs.iter().map(|log| fs::read_to_string(log).unwrap_or_default()).collect::<String>();
        assert!(Instant::now() < end, "{address} never listened:\n{}", logs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// What TLS adds: later settings replace earlier ones.
fn tls(certificate: &Path, key: &Path) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    format!(
        "ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
service imap-login {{
  inet_listener imaps {{
    port = 1993
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3s {{
    port = 1995
    ssl = yes
  }}
}}
"
    )
}

fn text(folder: &Path, host: Loopback, relay: SocketAddr) -> String {
    let folder = folder.display();
    let (ip, relay_ip, relay_port) = (host.ip(), relay.ip(), relay.port());
    format!(
        "protocols = imap pop3 submission
listen = {ip}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
login_trusted_networks = 127.0.0.0/8
haproxy_trusted_networks = 127.0.0.0/8
hostname = backend.example.test
submission_relay_host = {relay_ip}
submission_relay_port = {relay_port}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 100
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = 1143
  }}
  inet_listener imaps {{
    port = 0
  }}
  inet_listener imap_proxied {{
    port = 2143
    haproxy = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = 1110
  }}
  inet_listener pop3s {{
    port = 0
  }}
  inet_listener pop3_proxied {{
    port = 2110
    haproxy = yes
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = 1587
  }}
}}
"
    )
}
