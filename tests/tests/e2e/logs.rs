//! Where lines go: several logs at once, logs of one server, syslog, and the level `debug`.

use std::fs;
use std::os::unix::net::UnixDatagram;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{Loopback, PATIENCE, Proxy, on_both};

use crate::setup::Plan;

on_both! {
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
            setup.proxy.signal(nix::sys::signal::Signal::SIGTERM);
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
        let proxy = Proxy::start_with(program, folder, "worker_processes 1;", &mail, &[host.port(1000), host.port(1001)]);
        let log = |name: &str| fs::read_to_string(proxy.path().join(name)).unwrap();
        let connected = |port| format!("connected to {}\n", host.port(port));
        gatepost_tests::await_that("lines in all logs", || {
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
}
