//! Mail programs as people and providers run them: mbsync, getmail and fetchmail read, msmtp, swaks and mutt send.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost_tests::on_both;
use gatepost_tests::real::{are_installed, run, run_in_vain, run_with_input};

use tempfile::TempDir;

use crate::front::{Front, messages};
use crate::matrix::{Security, Spoken, record};

/// A message with what transports like to break: dots at line starts, an empty line at the end.
fn message(subject: &str) -> String {
    format!(
        "From: a@b.test\nTo: alice@example.test\nSubject: {subject}\n\n.\n..two dots\nFrom here on\n{}\n",
        "all work and no play ".repeat(3)
    )
}

/// Writes a client's configuration, which only its owner may read: there is a password in it.
fn configuration(front: &Front, name: &str, text: &str) -> PathBuf {
    let path = front.folder().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn maildir(path: &Path) -> PathBuf {
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(path.join(folder)).unwrap();
    }
    path.to_owned()
}

/// A folder with the Maildir `got`, which the user `mail` may write.
fn home_of_mail() -> TempDir {
    let home = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let got = maildir(&home.path().join("got"));
    let mail = nix::unistd::User::from_name("mail").unwrap().expect("Debian has the user mail");
    for folder in [got.clone(), got.join("cur"), got.join("new"), got.join("tmp")] {
        nix::unistd::chown(&folder, Some(mail.uid), Some(mail.gid)).unwrap();
    }
    home
}

/// Brings a message into alice's mailbox through the proxy.
fn deliver(front: &Front, subject: &str, count: usize) {
    run_with_input(
        msmtp(front, Security::Clear, front.password()).arg("alice@example.test"),
        &message(subject),
    );
    front.await_mail("alice", count);
}

fn has_subject(mail: &[String], subject: &str) -> bool {
    let mail: Vec<_> = mail.iter().filter(|text| text.contains(&format!("Subject: {subject}"))).collect();
    mail.len() == 1 && mail[0].replace('\r', "").contains("\n\n.\n..two dots\n")
}

fn msmtp(front: &Front, security: Security, password: &str) -> Command {
    let address = front.port(Spoken::Smtp.port(security));
    // In a file: the password has a space.
    let file = configuration(
        front,
        "msmtprc",
        &format!(
            "account default\nhost {}\nport {}\nfrom a@b.test\nauth plain\nuser alice\npassword {password}\n\
             tls {}\ntls_starttls {}\ntls_trust_file {}\ntls_host_override localhost\n",
            address.ip(),
            address.port(),
            security.pick(["off", "on", "on"]),
            security.pick(["off", "on", "off"]),
            front.certificate().display()
        ),
    );
    let mut command = Command::new("msmtp");
    command.arg("--file").arg(file);
    command
}

fn swaks(front: &Front, security: Security, password: &str) -> Command {
    let address = front.port(Spoken::Smtp.port(security));
    let mut command = Command::new("swaks");
    command
        .args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(["--from", "a@b.test", "--to", "alice@example.test", "--helo", "client.test"])
        .args(["--auth-user", "alice", "--auth-password", password]);
    match security {
        Security::Clear => {}
        Security::StartTls => drop(command.arg("--tls")),
        Security::Tls => drop(command.arg("--tls-on-connect")),
    }
    if security != Security::Clear {
        command.args(["--tls-verify", "--tls-sni", "localhost", "--tls-ca-path"]).arg(front.certificate());
    }
    command
}

/// mbsync between the account and a Maildir of this name.
fn mbsync(front: &Front, security: Security, password: &str, near: &str) -> Command {
    let address = front.port(Spoken::Imap.port(security));
    let near = front.folder().join(near);
    fs::create_dir_all(&near).unwrap();
    let near = near.display();
    let text = format!(
        "IMAPAccount proxy\nHost {}\nPort {}\nUser alice\nPass \"{password}\"\nAuthMechs LOGIN\n\
         SSLType {}\nSystemCertificates no\nCertificateFile {}\n\n\
         IMAPStore far\nAccount proxy\n\nMaildirStore near\nPath {near}/\nInbox {near}/INBOX\n\n\
         Channel mail\nFar :far:\nNear :near:\nCreate Near\nSyncState *\n",
        address.ip(),
        address.port(),
        security.pick(["None", "STARTTLS", "IMAPS"]),
        front.certificate().display()
    );
    let mut command = Command::new("mbsync");
    command.arg("--config").arg(configuration(front, "mbsyncrc", &text)).arg("mail");
    command
}

/// getmail from the account into a Maildir, written as the user `mail`: it delivers nothing as root.
fn getmail(front: &Front, got: &Path, spoken: Spoken, security: Security, password: &str) -> Command {
    let address = front.port(spoken.port(security));
    let protocol = if spoken == Spoken::Imap { "IMAP" } else { "POP3" };
    let (kind, more) = match security {
        Security::Tls => {
            let certificate = front.certificate();
            ("SSL", format!("ca_certs = {}\nssl_cert_hostname = localhost\n", certificate.display()))
        }
        Security::Clear | Security::StartTls => ("", String::new()),
    };
    let text = format!(
        "[retriever]\ntype = Simple{protocol}{kind}Retriever\nserver = {}\nport = {}\nusername = alice\n\
         password = {password}\n{more}\n[destination]\ntype = Maildir\npath = {}/\nuser = mail\n\n\
         [options]\nread_all = true\ndelete = false\nverbose = 2\n",
        address.ip(),
        address.port(),
        got.display()
    );
    let mut command = Command::new("getmail");
    command.arg("--rcfile").arg(configuration(front, "getmailrc", &text));
    command.arg("--getmaildir").arg(front.folder());
    command
}

/// fetchmail from the account, all messages into the file `fetched`.
fn fetchmail(front: &Front, spoken: Spoken, security: Security, password: &str) -> Command {
    let address = front.port(spoken.port(security));
    let protocol = if spoken == Spoken::Imap { "imap" } else { "pop3" };
    let certificate = front.certificate();
    let (certificate, folder) = (certificate.display(), front.folder().display());
    let check = format!("sslcertck sslcertfile \"{certificate}\" sslcommonname \"localhost\"");
    let tls = match security {
        Security::Clear => "sslproto \"\"".to_owned(),
        Security::StartTls => format!("sslproto \"TLS1.2+\" {check}"),
        Security::Tls => format!("ssl sslproto \"TLS1.2+\" {check}"),
    };
    let text = format!(
        "set idfile \"{folder}/ids\"\n\
         poll {} service {} protocol {protocol} auth password user \"alice\" password \"{password}\" {tls} \
         fetchall keep mda \"/bin/sh -c 'cat >> {folder}/fetched'\"\n",
        address.ip(),
        address.port(),
    );
    let mut command = Command::new("fetchmail");
    command.arg("--fetchmailrc").arg(configuration(front, "fetchmailrc", &text));
    command.args(["--nodetach", "--nosyslog", "--pidfile"]).arg(front.folder().join("fetchmail.pid"));
    command
}

/// mutt, which sends by SMTP and keeps a copy by IMAP.
fn mutt(front: &Front, security: Security, password: &str, subject: &str) -> Command {
    let (smtp, imap) = (front.port(Spoken::Smtp.port(security)), front.port(Spoken::Imap.port(security)));
    let s = security.pick(["", "", "s"]);
    let text = format!(
        "set from=a@b.test\nset use_envelope_from=yes\nset envelope_from_address=a@b.test\n\
         set smtp_url=\"smtp{s}://alice@{smtp}/\"\nset smtp_pass=\"{password}\"\n\
         set imap_user=alice\nset imap_pass=\"{password}\"\nset record=\"imap{s}://alice@{imap}/INBOX\"\nset copy=yes\n\
         set smtp_authenticators=plain\nset imap_authenticators=login\n\
         set ssl_starttls={}\nset ssl_force_tls={}\nset certificate_file=\"{}\"\n\
         set ssl_usesystemcerts=no\nset ssl_verify_host=no\n",
        security.pick(["no", "yes", "no"]),
        security.pick(["no", "yes", "yes"]),
        front.certificate().display()
    );
    let mut command = Command::new("mutt");
    command.arg("-n").arg("-F").arg(configuration(front, "muttrc", &text));
    command.args(["-s", subject, "--", "alice@example.test"]).env("HOME", front.folder());
    command
}

on_both! {
    fn msmtp_sends(program: Program) {
        if !are_installed(&["msmtp"]) { return }
        let Some(front) = Front::start(program) else { return };
        for (count, security) in Security::ALL.into_iter().enumerate() {
            let subject = format!("msmtp {security:?}");
            let refused = run_in_vain(msmtp(&front, security, "wrong").arg("alice@example.test"), &message(&subject));
            assert!(refused.contains("535 5.7.0 Invalid login or password"), "{refused}");
            run_with_input(msmtp(&front, security, front.password()).arg("alice@example.test"), &message(&subject));
            assert!(has_subject(&front.await_mail("alice", count + 1), &subject));
            record(program, "msmtp", Spoken::Smtp, security);
        }
    }

    fn swaks_sends(program: Program) {
        if !are_installed(&["swaks"]) { return }
        let Some(front) = Front::start(program) else { return };
        for (count, security) in Security::ALL.into_iter().enumerate() {
            for (index, mechanism) in ["PLAIN", "LOGIN"].into_iter().enumerate() {
                let subject = format!("swaks {security:?} {mechanism}");
                let data = configuration(&front, "message", &message(&subject));
                let sent = |password: &str| {
                    let mut swaks = swaks(&front, security, password);
                    swaks.args(["--auth", mechanism, "--data"]).arg(format!("@{}", data.display()));
                    swaks
                };
                let refused = run_in_vain(&mut sent("wrong"), "");
                assert!(refused.contains("535 5.7.0 Invalid login or password"), "{refused}");
                let dialogue = run(&mut sent(front.password()));
                assert!(dialogue.contains("235 2.0.0 OK"), "{dialogue}");
                assert!(has_subject(&front.await_mail("alice", 2 * count + index + 1), &subject));
            }
            record(program, "swaks", Spoken::Smtp, security);
        }
    }

    fn mutt_sends_and_keeps_a_copy(program: Program) {
        if !are_installed(&["mutt"]) { return }
        let Some(front) = Front::start(program) else { return };
        for (count, security) in Security::ALL.into_iter().enumerate() {
            let subject = format!("mutt {security:?}");
            run_in_vain(&mut mutt(&front, security, "wrong", &subject), "body\n");
            run_with_input(&mut mutt(&front, security, front.password(), &subject), "body\n");
            // One came by SMTP, the other by IMAP.
            let mail = front.await_mail("alice", 2 * (count + 1));
            let sent = mail.iter().filter(|text| text.contains(&subject));
            let (delivered, copied): (Vec<_>, Vec<_>) = sent.partition(|text| text.contains("Delivered-To:"));
            assert_eq!((delivered.len(), copied.len()), (1, 1), "{mail:?}");
            record(program, "mutt", Spoken::Smtp, security);
            record(program, "mutt", Spoken::Imap, security);
        }
    }

    fn mbsync_carries_both_ways(program: Program) {
        if !are_installed(&["mbsync"]) { return }
        let Some(front) = Front::start(program) else { return };
        for (count, security) in Security::ALL.into_iter().enumerate() {
            let (subject, near) = (format!("mbsync {security:?}"), format!("near-{security:?}"));
            run_in_vain(&mut mbsync(&front, security, "wrong", &near), "");
            let inbox = maildir(&front.folder().join(&near).join("INBOX"));
            fs::write(inbox.join("new").join("1"), message(&subject)).unwrap();
            run(&mut mbsync(&front, security, front.password(), &near));
            assert!(has_subject(&front.await_mail("alice", count + 1), &subject));
            // All that was there before has come here, too.
            assert_eq!(messages(&inbox).len(), count + 1);
            record(program, "mbsync", Spoken::Imap, security);
        }
    }

    fn getmail_reads(program: Program) {
        if !are_installed(&["getmail", "msmtp"]) { return }
        let Some(front) = Front::start(program) else { return };
        deliver(&front, "getmail", 1);
        for spoken in [Spoken::Imap, Spoken::Pop3] {
            for security in [Security::Clear, Security::Tls] {
                let home = home_of_mail();
                let got = home.path().join("got");
                let refused = run_in_vain(&mut getmail(&front, &got, spoken, security, "wrong"), "");
                assert!(refused.contains("Invalid login or password"), "{refused}");
                run(&mut getmail(&front, &got, spoken, security, front.password()));
                assert!(has_subject(&messages(&got), "getmail"), "{:?}", messages(&got));
                record(program, "getmail", spoken, security);
            }
        }
    }

    fn fetchmail_reads(program: Program) {
        if !are_installed(&["fetchmail", "msmtp"]) { return }
        let Some(front) = Front::start(program) else { return };
        deliver(&front, "fetchmail", 1);
        let fetched = front.folder().join("fetched");
        for spoken in [Spoken::Imap, Spoken::Pop3] {
            for security in Security::ALL {
                run_in_vain(&mut fetchmail(&front, spoken, security, "wrong"), "");
                let _ = fs::remove_file(&fetched);
                run(&mut fetchmail(&front, spoken, security, front.password()));
                assert!(has_subject(&[fs::read_to_string(&fetched).unwrap()], "fetchmail"));
                record(program, "fetchmail", spoken, security);
            }
        }
    }
}
