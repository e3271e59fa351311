//! Where lines go: several logs at once, logs of one server, syslog, and the level `debug`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{Client, Loopback, PATIENCE, Proxy, await_that, on_both};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Uid, User, chown, mkfifo};

use crate::setup::Plan;

/// A file of root's beside a folder that belongs to somebody who would like to write to it.
fn tempting_folder() -> (tempfile::TempDir, std::path::PathBuf) {
    assert!(Uid::effective().is_root(), "only root can be led to files of root's");
    let folder = Proxy::folder();
    let (logs, victim) = (folder.path().join("logs"), folder.path().join("victim"));
    fs::create_dir(&logs).unwrap();
    let nobody = User::from_name("nobody").unwrap().expect("a user nobody");
    chown(&logs, Some(nobody.uid), None).unwrap();
    fs::write(&victim, "mine\n").unwrap();
    (folder, victim)
}

/// The value of a member that is a string without escapes, or a number.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = object.split_once(&format!("\"{name}\":"))?;
    rest.split([',', '}']).next().map(|value| value.trim_matches('"'))
}

const REFUSED: &str = "failed (40: Too many levels of symbolic links)";
const NO_FILE: &str = "failed (6: No such device or address)";
const OTHER_NAMES: &str = "failed (31: Too many links: the file has other names, remove this one)";

on_both! {
    /// CVE-2016-1247: whoever owns the folder replaces the log by a link.
    fn root_follows_no_link_in_a_folder_of_others(program: Program) {
        let (folder, victim) = tempting_folder();
        let host = Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
        let main = "worker_processes 1; error_log logs/a.log info;";
        let proxy = Proxy::start_with(program, folder, main, &mail, &[host.port(1000)]);
        // It listens before it takes signals.
        proxy.await_log_at("logs/a.log", "start worker process ");
        let logs = proxy.path().join("logs");
        fs::rename(logs.join("a.log"), logs.join("a.log.1")).unwrap();
        symlink(&victim, logs.join("a.log")).unwrap();
        proxy.signal(Signal::SIGUSR1);
        proxy.await_log_at("logs/a.log.1", REFUSED);
        proxy.signal(Signal::SIGHUP);
        let reloaded = || fs::read_to_string(logs.join("a.log.1")).unwrap().matches(REFUSED).count() == 2;
        await_that("a reload in vain", reloaded);
        // The log goes on where it was.
        Client::connect(host.port(1000)).expect("+OK POP3 ready");
        proxy.await_log_at("logs/a.log.1", "connected to");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
    }

    /// As by a symbolic link, where the system lets others give files of root's another name.
    fn root_writes_to_no_file_by_another_name(program: Program) {
        let (folder, victim) = tempting_folder();
        let host = Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
        let main = "worker_processes 1; error_log logs/a.log info;";
        let proxy = Proxy::start_with(program, folder, main, &mail, &[host.port(1000)]);
        proxy.await_workers(1);
        let log = proxy.path().join("logs/a.log");
        fs::rename(&log, proxy.path().join("logs/a.log.1")).unwrap();
        fs::hard_link(&victim, &log).unwrap();
        proxy.signal(Signal::SIGUSR1);
        proxy.await_log_at("logs/a.log.1", OTHER_NAMES);
        Client::connect(host.port(1000)).expect("+OK POP3 ready");
        proxy.await_log_at("logs/a.log.1", "connected to");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
        // What the message asks for helps.
        fs::remove_file(&log).unwrap();
        proxy.signal(Signal::SIGUSR1);
        await_that("a new log", || log.exists());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
    }

    fn a_start_takes_only_files_in_a_folder_of_others(program: Program) {
        let refusals = [REFUSED, NO_FILE, OTHER_NAMES];
        for (name, refused) in ["a.log", "pid"].into_iter().flat_map(|name| refusals.map(|text| (name, text))) {
            let (folder, victim) = tempting_folder();
            let path = folder.path().join("logs").join(name);
            match refused {
                REFUSED => symlink(&victim, &path).unwrap(),
                NO_FILE => mkfifo(&path, Mode::S_IRWXU).unwrap(),
                _ => fs::hard_link(&victim, &path).unwrap(),
            }
            let host = Loopback::new();
            let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
            Proxy::configure(&folder, "error_log logs/a.log info;", &mail);
            let conf = folder.path().join("gatepost.conf");
            let text = fs::read_to_string(&conf).unwrap();
            fs::write(&conf, text.replace("pid gatepost.pid;", "pid logs/pid;")).unwrap();
            let message = format!(" [emerg] open() \"{}\" {refused}", path.display());
            let tested = Proxy::test(program, &folder);
            let said = String::from_utf8(tested.stderr).unwrap();
            assert!(!tested.status.success() && said.contains(&message), "{said}");
            let mut proxy = Proxy::start_configured(program, folder, &[], &[]);
            assert_eq!(proxy.await_exit().code(), Some(1));
            let stderr = fs::read_to_string(proxy.path().join("stderr")).unwrap();
            assert!(stderr.contains(&message), "{stderr}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
        }
    }

    /// Nobody reads from it, so it would wait for ever.
    fn a_fifo_does_not_hold_root_up(program: Program) {
        let (folder, _) = tempting_folder();
        let host = Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
        let main = "worker_processes 1; error_log logs/a.log info;";
        let mut proxy = Proxy::start_with(program, folder, main, &mail, &[host.port(1000)]);
        // By then signals are obeyed.
        proxy.await_workers(1);
        let logs = proxy.path().join("logs");
        fs::rename(logs.join("a.log"), logs.join("a.log.1")).unwrap();
        mkfifo(&logs.join("a.log"), Mode::S_IRWXU).unwrap();
        proxy.signal(Signal::SIGUSR1);
        proxy.await_log_at("logs/a.log.1", NO_FILE);
        proxy.signal(Signal::SIGTERM);
        assert_eq!(proxy.await_exit().code(), Some(0));
    }

    fn a_link_in_a_folder_of_root_is_followed(program: Program) {
        let folder = Proxy::folder();
        symlink(folder.path().join("elsewhere"), folder.path().join("a.log")).unwrap();
        let host = Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
        let main = "worker_processes 1; error_log a.log info;";
        let proxy = Proxy::start_with(program, folder, main, &mail, &[host.port(1000)]);
        proxy.await_log_at("elsewhere", "connected to");
    }

    fn one_client_can_be_logged_in_detail(program: Program) {
        for (network, is_detailed) in [("127.0.0.0/8", true), ("unix:", false)] {
            let mut setup = Plan::new(Protocol::Imap)
                .main(if is_detailed {
                    "worker_processes 1; events { debug_connection 127.0.0.0/8; }"
                } else {
                    "worker_processes 1; events { debug_connection unix:; }"
                })
                .directives("error_log server.log error;")
                .start(program);
            let mut client = setup.client();
            client.say("a1 LOGIN alice sesame", "a1 OK logged in");
            client.say("a2 NOOP", "echo a2 NOOP");
            client.finish();
            client.expect_eof();
            setup.proxy.signal(Signal::SIGTERM);
            setup.proxy.await_exit();
            let log = fs::read_to_string(setup.proxy.path().join("server.log")).unwrap();
            assert_eq!(log.contains("[info]") && log.contains("client logged in, client: "), is_detailed, "{network}: {log}");
            let step = "received 9 bytes from the client while proxying, client: ";
            assert_eq!(log.contains("[debug]") && log.contains(step), is_detailed, "{network}: {log}");
            assert!(!log.contains("sesame"), "{log}");
        }
    }

    fn a_line_goes_to_each_log_of_its_list(program: Program) {
        let folder = Proxy::folder();
        let path = folder.path().join("syslog");
        let syslog = UnixDatagram::bind(&path).unwrap();
        syslog.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = Loopback::new();
        let mail = format!(
            "auth_http {}; error_log mail.log info; error_log mail.log error; error_log mail-alerts.log alert;
             error_log syslog:server=unix:{},facility=mail,tag=gp,nohostname,severity=notice info;
             server {{ listen {}; protocol pop3; error_log server.log info; }}
             server {{ listen {}; protocol pop3; }}",
            host.port(1), path.display(), host.port(1000), host.port(1001)
        );
        let proxy = Proxy::start_with(program, folder, "user root; worker_processes 1;", &mail, &[host.port(1000), host.port(1001)]);
        let log = |name: &str| fs::read_to_string(proxy.path().join(name)).unwrap();
        let connected = |port| format!("connected to {}\n", host.port(port));
        await_that("lines in all logs", || {
            log("server.log").contains(&connected(1000)) && log("mail.log").contains(&connected(1001))
        });
        // A list hides those further out.
        assert!(!proxy.log().contains("connected to") && !log("mail.log").contains(&connected(1000)));
        assert_eq!(log("mail-alerts.log"), "");
        let mut buffer = [0; 2000];
        let count = syslog.recv(&mut buffer).expect("a datagram");
        let datagram = String::from_utf8_lossy(&buffer[..count]).into_owned();
        // Facility 2, level info; the time; the tag; then the line without its end.
        assert!(datagram.starts_with("<22>"), "{datagram}");
        let (_, line) = datagram.split_once(" gp: ").expect("the tag");
        assert!(line.contains(" [info] ") && line.ends_with(connected(1001).trim_end()), "{datagram}");
    }

    fn lines_that_syslog_loses_are_told_once(program: Program) {
        let folder = Proxy::folder();
        let host = Loopback::new();
        let path = folder.path().join("syslog");
        let mail = format!(
            "auth_http {}; error_log syslog:server=unix:{} info; server {{ listen {}; protocol pop3; }}",
            host.port(1), path.display(), host.port(1000)
        );
        let proxy = Proxy::start_with(program, folder, "user root; worker_processes 1;", &mail, &[host.port(1000)]);
        for _ in 0..3 {
            Client::connect(host.port(1000)).expect("+OK POP3 ready");
        }
        let told = format!("failed (2: No such file or directory) while logging to syslog, server: unix:{}\n", path.display());
        let log = proxy.await_log(&told);
        let line = log.lines().find(|line| line.contains("while logging")).unwrap();
        assert!(line.contains(" [alert] ") && line.contains("#0: connect() failed"), "{line}");
        // Once it is there, it is used, and nothing more is told.
        let syslog = UnixDatagram::bind(&path).unwrap();
        syslog.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::connect(host.port(1000)).expect("+OK POP3 ready");
        let mut buffer = [0; 2000];
        let count = syslog.recv(&mut buffer).expect("a datagram");
        assert!(String::from_utf8_lossy(&buffer[..count]).contains(" nginx: "));
        assert_eq!(proxy.log().matches("while logging to syslog").count(), 1, "{}", proxy.log());
    }

    fn programs_read_objects(program: Program) {
        let setup = Plan::new(Protocol::Imap)
            .main("worker_processes 1; error_log_format json; error_log stderr info;")
            .directives("proxy_session_log on;")
            .start(program);
        let mut client = setup.client();
        client.say("a1 AUTHENTICATE PLAIN", "+ ");
        // `al"i\ce`, and a byte that a terminal would obey.
        client.say("AGFsImlcY2UbAHNlc2FtZQ==", "a1 OK logged in");
        client.say("a2 NOOP", "echo a2 NOOP");
        client.finish();
        client.expect_eof();
        let log = setup.proxy.await_log("proxied session done");
        for line in log.lines() {
            assert!(line.starts_with("{\"time\":\"2") && line.ends_with('}'), "{line}");
            assert!(member(line, "pid").unwrap().parse::<u32>().is_ok(), "{line}");
        }
        assert!(!log.contains("sesame"), "{log}");
        let line = |text: &str| {
            let message = format!("\"message\":\"{text}");
            log.lines().find(|line| line.contains(&message)).unwrap_or_else(|| panic!("no {text} in {log}"))
        };
        assert_eq!(member(line("start worker processes"), "level"), Some("notice"));
        assert_eq!(member(line("start worker processes"), "connection"), None);
        let done = line("proxied session done\",");
        let who = format!(
            "\"client\":\"127.0.0.1\",\"client_port\":{},\"server\":\"{}\",\"login\":\"al\\\"i\\\\ce\\u001b\",\"upstream\":\"{}\"",
            member(done, "client_port").unwrap(),
            setup.listen(),
            setup.backend.address()
        );
        assert!(done.contains(&who), "{who}\n{done}");
        assert!(done.contains(",\"bytes_from_client\":9,\"bytes_to_client\":14,\"session_time\":"), "{done}");
        let took = line("auth http server ");
        assert_eq!(member(took, "action"), Some("in http auth state"));
        assert_eq!(member(took, "auth_server"), Some(setup.auth.address().to_string().as_str()));
        assert!(member(took, "auth_time").unwrap().parse::<f64>().is_ok(), "{took}");
        let id = member(done, "session").unwrap();
        assert!(id.ends_with(&format!("-{}", member(done, "connection").unwrap())), "{done}");
        assert_eq!(member(line("client logged in"), "session"), Some(id));
        // Standard error has the same.
        setup.proxy.await_log_at("stderr", done);
    }

    fn objects_reach_syslog_and_logs_of_one_server(program: Program) {
        let folder = Proxy::folder();
        let path = folder.path().join("syslog");
        let syslog = UnixDatagram::bind(&path).unwrap();
        syslog.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = Loopback::new();
        let mail = format!(
            "auth_http {};
             server {{ listen {}; protocol pop3; error_log_format json; error_log syslog:server=unix:{},tag=gp,nohostname info; }}
             server {{ listen {}; protocol pop3; }}",
            host.port(1), host.port(1000), path.display(), host.port(1001)
        );
        let proxy = Proxy::start_with(program, folder, "user root; worker_processes 1;", &mail, &[host.port(1000), host.port(1001)]);
        let mut buffer = [0; 2000];
        let count = syslog.recv(&mut buffer).expect("a datagram");
        let datagram = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(datagram.contains(" gp: {\"time\":\"") && datagram.ends_with('}'), "{datagram}");
        assert_eq!(member(&datagram, "level"), Some("info"));
        // The other server and the processes have nginx's lines.
        let log = proxy.await_log(&format!(" connected to {}\n", host.port(1001)));
        assert!(log.lines().all(|line| line.contains("#0: ")), "{log}");
    }
}
