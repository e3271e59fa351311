//! The generated configuration and what the demo says of itself.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::bind;
use super::certificate::Files;
use super::mailbox::{DOMAIN, USERS};

/// The ports of the proxy.
#[derive(Debug)]
pub(super) struct Ports {
    imap: u16,
    pub(super) imaps: u16,
    pop3: u16,
    pop3s: u16,
    smtp: u16,
    smtps: u16,
}

impl Ports {
    /// The well-known ports plus a thousand, or plus the next thousand at which all are free; else any free ones.
    pub(super) fn free() -> io::Result<Self> {
        let mut thousands = (1000..=30_000).step_by(1000);
        let ports = thousands.find_map(|thousands| available(WELL_KNOWN.map(|port| thousands + port)).ok());
        let [imap, imaps, pop3, pop3s, smtp, smtps] = ports.map_or_else(|| available([0; 6]), Ok)?;
        Ok(Self { imap, imaps, pop3, pop3s, smtp, smtps })
    }
}

/// In the order of [`Ports`]. No two have the same last three digits.
const WELL_KNOWN: [u16; 6] = [143, 993, 110, 995, 587, 465];

/// These ports, if all are free; 0 stands for any free one.
fn available(ports: [u16; 6]) -> io::Result<[u16; 6]> {
    // All are held until all are found, so that no two are the same.
    let listeners = ports.map(bind);
    let mut found = [0; 6];
    for (port, listener) in found.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(found)
}

/// The proxy's configuration file.
pub(super) fn configuration(directory: &Path, files: &Files, ports: &Ports, auth: SocketAddr) -> String {
    let mut servers = String::new();
    for (protocol, clear, secured) in [
        ("imap", ports.imap, ports.imaps),
        ("pop3", ports.pop3, ports.pop3s),
        ("smtp", ports.smtp, ports.smtps),
    ] {
        let _ = write!(
            servers,
            "
    server {{
        listen    127.0.0.1:{clear};
        listen    127.0.0.1:{secured} ssl;
        protocol  {protocol};
        starttls  on;
    }}
"
        );
    }
    format!(
        "# Written by --demo, and removed when it ends. Copy it to keep it.

daemon            off;
worker_processes  1;
pid               \"{directory}/gatepost.pid\";
error_log         stderr info;

events {{
    worker_connections  256;
}}

mail {{
    server_name          localhost;

    # Asked for every login: is the password right, and which backend has the mailbox?
    auth_http            {auth}/auth;

    ssl_certificate      \"{certificate}\";
    ssl_certificate_key  \"{key}\";
{servers}}}
",
        directory = directory.display(),
        certificate = files.certificate.display(),
        key = files.key.display(),
    )
}

/// What the user sees first.
pub(super) fn banner(configuration: &Path, files: &Files, ports: &Ports) -> String {
    let Ports { imap, imaps, pop3, pop3s, smtp, smtps } = ports;
    let [(alice, password), (bob, _)] = USERS;
    let users: Vec<String> =
        USERS.iter().map(|(name, password)| format!("{name} (password {password})")).collect();
    format!(
        "\
gatepost demo: a mail proxy, and behind it a mail server that lives in memory

  IMAP   127.0.0.1:{imap} (STARTTLS)   127.0.0.1:{imaps} (TLS)
  POP3   127.0.0.1:{pop3} (STLS)       127.0.0.1:{pop3s} (TLS)
  SMTP   127.0.0.1:{smtp} (STARTTLS)   127.0.0.1:{smtps} (TLS)

  users          {users}
  configuration  {configuration}
  certificate    {certificate}

Try it in another terminal:

  CA={certificate}

  # read the newest mail by IMAP, the first by POP3
  curl --cacert $CA -u {alice}:{password} 'imaps://127.0.0.1:{imaps}/INBOX;MAILINDEX=*'
  curl --cacert $CA -u {alice}:{password} pop3s://127.0.0.1:{pop3s}/1

  # send {alice} a mail, then list her mailbox
  printf 'From: {bob}@{DOMAIN}\\r\\nTo: {alice}@{DOMAIN}\\r\\nSubject: Hello\\r\\n\\r\\nHello {alice}!\\r\\n' |
    curl --cacert $CA -u {alice}:{password} --mail-from {bob}@{DOMAIN} --mail-rcpt {alice}@{DOMAIN} -T - smtps://127.0.0.1:{smtps}
  curl --cacert $CA -u {alice}:{password} --ssl-reqd imap://127.0.0.1:{imap}/INBOX -X 'FETCH 1:* (FLAGS RFC822.SIZE)'

  # see a wrong password refused; speak IMAP by hand (a1 LOGIN {alice} {password})
  curl --cacert $CA -u {alice}:wrong --ssl-reqd pop3://127.0.0.1:{pop3}/
  openssl s_client -quiet -crlf -CAfile $CA -starttls imap -connect 127.0.0.1:{imap}

Ctrl-C ends it and removes all files. What follows is the proxy's log.
",
        users = users.join(", "),
        configuration = configuration.display(),
        certificate = files.certificate.display(),
    )
}
