use gatepost_protocol::event::Level;

use super::*;

fn main_logs(text: &str) -> Vec<LogTarget> {
    good(&format!("{text} events {{ }}")).main.error_log
}

fn file(path: &str, level: Level) -> LogTarget {
    LogTarget { to: LogTo::File(path.into()), level }
}

#[test]
fn targets_and_levels() {
    assert_eq!(main_logs("error_log a;"), [file("/a", Level::Error)]);
    assert_eq!(main_logs("error_log /a info;"), [file("/a", Level::Info)]);
    assert_eq!(main_logs("error_log /a debug_mail debug_core;"), [file("/a", Level::Debug)]);
    assert_eq!(
        main_logs("error_log /a emerg; error_log /b notice;"),
        [file("/a", Level::Emerg), file("/b", Level::Notice)]
    );
    assert_eq!(main_logs("error_log '' warn;"), main_logs("error_log stderr warn;"));
    assert_eq!(main_logs("error_log stderr warn;"), [LogTarget { to: LogTo::Stderr, level: Level::Warn }]);
    assert_eq!(main_logs("error_log off;"), [file("/off", Level::Error)]);
    assert_eq!(
        warnings("error_log off; events { }"),
        ["\"error_log off\" does not turn logging off, it names a file \"off\" in /nginx.conf:1"]
    );
}

#[test]
fn syslog_alone_does_not_replace_the_default_log() {
    let syslog = |server: Peer, facility, tag: &str, hostname| {
        let to = LogTo::Syslog(Syslog { server, facility, tag: tag.into(), hostname });
        LogTarget { to, level: Level::Info }
    };
    let unix = Peer::Unix("/dev/log".into());
    let default = file("/logs/error.log", Level::Error);
    assert_eq!(
        main_logs("error_log syslog:server=unix:/dev/log info;"),
        [syslog(unix, 23, "nginx", true), default.clone()]
    );
    assert_eq!(
        main_logs("error_log syslog:server=192.0.2.7,facility=mail,severity=crit,tag=gp_1,nohostname info;"),
        [syslog(Peer::Inet(([192, 0, 2, 7], 514).into()), 2, "gp_1", false), default]
    );
}

#[test]
fn messages() {
    for (arguments, expected) in [
        ("a loud", "invalid log level \"loud\""),
        ("a INFO", "invalid log level \"INFO\""),
        ("a info warn", "duplicate log level \"warn\""),
        ("a info debug_mail", "invalid log level \"debug_mail\""),
        ("a debug debug_mail", "invalid log level \"debug_mail\""),
        ("a debug_mail info", "duplicate log level \"info\""),
        ("memory:32m", "nginx was built without debug support"),
        ("syslog:tag=a", "no syslog server specified"),
        ("syslog:", "unknown syslog parameter \"\""),
        ("syslog:server=unix:/a,server=unix:/b", "duplicate syslog \"server\""),
        ("syslog:server=unix:/a,tag=a,tag=b", "duplicate syslog \"tag\""),
        ("syslog:server=unix:/a,facility=none", "unknown syslog facility \"none\""),
        ("syslog:server=unix:/a,severity=loud", "unknown syslog severity \"loud\""),
        ("syslog:server=unix:/a,tag=123456789012345678901234567890123", "syslog tag length exceeds 32"),
        (
            "syslog:server=unix:/a,tag=a-b",
            "syslog \"tag\" only allows alphanumeric characters and underscore",
        ),
        ("syslog:server=unix:/a,colour=red", "unknown syslog parameter \"colour=red\""),
        ("syslog:server=no.example", "host not found in syslog server \"no.example\""),
        ("syslog:server=a:b", "invalid port in syslog server \"a:b\""),
    ] {
        assert_eq!(error(&format!("error_log {arguments};")), format!("{expected} in /nginx.conf:1"));
    }
}

#[test]
fn a_server_has_the_innermost_list_alone() {
    let logs = |main: &str, mail: &str, server: &str| {
        let text = format!(
            "events {{ }} mail {{ {mail} auth_http 127.0.0.1; server {{ listen 143; {server} }} }} {main}"
        );
        good(&text).binds[0].listens[0].server.error_log.clone()
    };
    let log = "error_log m1; error_log m2;";
    assert_eq!(logs("", "", ""), [file("/logs/error.log", Level::Error)]);
    assert_eq!(logs(log, "", ""), [file("/m1", Level::Error), file("/m2", Level::Error)]);
    assert_eq!(logs(log, "error_log a;", ""), [file("/a", Level::Error)]);
    assert_eq!(logs(log, "error_log a;", "error_log b info;"), [file("/b", Level::Info)]);
}

#[test]
fn a_server_has_the_innermost_format() {
    let format = |main: &str, mail: &str, server: &str| {
        let text = format!(
            "events {{ }} mail {{ {mail} auth_http 127.0.0.1; server {{ listen 143; {server} }} }} {main}"
        );
        let config = good(&text);
        (config.main.error_log_format, config.binds[0].listens[0].server.error_log_format)
    };
    let (text, json) = ("error_log_format text;", "error_log_format json;");
    assert_eq!(format("", "", ""), (LogFormat::Text, LogFormat::Text));
    assert_eq!(format(json, "", ""), (LogFormat::Json, LogFormat::Json));
    assert_eq!(format(json, text, ""), (LogFormat::Json, LogFormat::Text));
    assert_eq!(format("", text, json), (LogFormat::Text, LogFormat::Json));
    assert_eq!(error("error_log_format xml;"), "invalid value \"xml\" in /nginx.conf:1");
    assert_eq!(
        error("error_log_format text; error_log_format json;"),
        "\"error_log_format\" directive is duplicate in /nginx.conf:1"
    );
}
