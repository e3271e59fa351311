//! Postfix as SMTP backend.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::find;
use crate::{Loopback, PATIENCE};

/// A running Postfix that delivers mail for `alice` and `bob` at `example.test` into Maildirs.
pub struct Postfix {
    child: Child,
    folder: TempDir,
    host: Loopback,
}

impl Postfix {
    /// Starts it on this address; `mail` holds the Maildirs.
    pub fn start(host: Loopback, mail: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("gatepost-postfix-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let owner =
            nix::unistd::User::from_name("postfix").unwrap().expect("the package makes the user postfix");
        nix::unistd::chown(&folder.path().join("data"), Some(owner.uid), None).unwrap();
        let etc = folder.path().join("etc");
        fs::write(etc.join("main.cf"), main_cf(folder.path(), mail)).unwrap();
        fs::write(etc.join("master.cf"), master_cf(host)).unwrap();
        fs::write(etc.join("mailboxes"), "alice@example.test alice/\nbob@example.test bob/\n").unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        // As the leader of a session of its own, as `start-fg` wants it outside a container.
        let child = Command::new("setsid")
            .arg("--wait")
            .arg(find("postfix").expect("checked before"))
            .arg("-c")
            .arg(&etc)
            .arg("start-fg")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let postfix = Self { child, folder, host };
        for address in [postfix.smtp(), postfix.smtp_proxied()] {
            super::dovecot::await_listen(address, &[postfix.log_path()]);
        }
        postfix
    }

    /// The SMTP port.
    pub fn smtp(&self) -> SocketAddr {
        self.host.port(1025)
    }

    /// An SMTP port where a PROXY protocol header comes first.
    pub fn smtp_proxied(&self) -> SocketAddr {
        self.host.port(2025)
    }

    /// What Postfix logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log holds `text`.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "Postfix never logged {text:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("maillog")
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let stopped = Command::new(find("postfix").expect("it was started"))
            .arg("-c")
            .arg(self.folder.path().join("etc"))
            .arg("stop")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn main_cf(folder: &Path, mail: &Path) -> String {
    let folder = folder.display();
    let mail = mail.display();
    let account = nix::unistd::User::from_name("mail").unwrap().expect("Debian has the user mail");
    let (uid, gid) = (account.uid, account.gid);
    format!(
        "compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file_prefixes = {folder}
maillog_file = {folder}/maillog
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = backend.example.test
mydestination =
mynetworks =
relay_domains =
virtual_mailbox_domains = example.test
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
mailbox_size_limit = 0
virtual_mailbox_limit = 0
message_size_limit = 67108864
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_recipient_restrictions = reject_unauth_destination
smtputf8_enable = no
alias_maps =
local_recipient_maps =
"
    )
}

fn master_cf(host: Loopback) -> String {
    let ip = host.ip();
    format!(
        "{ip}:1025 inet n - n - - smtpd
{ip}:2025 inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"
    )
}
