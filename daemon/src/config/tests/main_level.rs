use gatepost_protocol::config::Network;

use super::*;
use crate::runtime::Peer;

fn events(text: &str) -> String {
    format!("events {{ }} {text}")
}

#[test]
fn defaults() {
    let config = good("events { }");
    let main = &config.main;
    assert!(config.binds.is_empty() && main.account.is_none() && main.environment.is_empty());
    assert!(main.daemon && main.master_process);
    assert_eq!((main.worker_processes, main.worker_connections), (1, 512));
    assert_eq!(main.accept_mutex_delay, Duration::from_millis(500));
    assert_eq!(main.pid, Path::new("/logs/nginx.pid"));
    assert_eq!((main.worker_rlimit_nofile, main.worker_rlimit_core), (None, None));
    assert_eq!((main.worker_shutdown_timeout, main.working_directory.clone()), (None, None));
    assert_eq!(
        main.error_log,
        [LogTarget {
            to: LogTo::File("/logs/error.log".into()),
            level: gatepost_protocol::event::Level::Error
        }]
    );
}

#[test]
fn values() {
    let main = good(
        "daemon off; master_process OFF; worker_processes 3; worker_rlimit_nofile 4096; worker_rlimit_core 1g;
         worker_shutdown_timeout 10s; working_directory /tmp; pid /run/x.pid; env A=b=c; env TZ;
         events { worker_connections 100; accept_mutex_delay 2s; }",
    )
    .main;
    assert!(!main.daemon && !main.master_process);
    assert_eq!((main.worker_processes, main.worker_connections), (3, 100));
    assert_eq!(main.accept_mutex_delay, Duration::from_secs(2));
    assert_eq!((main.worker_rlimit_nofile, main.worker_rlimit_core), (Some(4096), Some(1 << 30)));
    assert_eq!(main.worker_shutdown_timeout, Some(Duration::from_secs(10)));
    assert_eq!(main.working_directory.as_deref(), Some(Path::new("/tmp")));
    assert_eq!(main.pid, Path::new("/run/x.pid"));
    assert_eq!(main.environment, [("A".to_owned(), Some("b=c".to_owned())), ("TZ".to_owned(), None)]);
    assert_eq!(good(&events("worker_processes auto;")).main.worker_processes, 4);
}

#[test]
fn messages() {
    for (text, expected) in [
        ("worker_processes 0;", "\"worker_processes\" directive invalid value in /nginx.conf:1"),
        ("worker_processes x;", "\"worker_processes\" directive invalid value in /nginx.conf:1"),
        (
            "worker_processes 1; worker_processes 1;",
            "\"worker_processes\" directive is duplicate in /nginx.conf:1",
        ),
        ("worker_rlimit_nofile x;", "\"worker_rlimit_nofile\" directive invalid number in /nginx.conf:1"),
        ("worker_rlimit_core 1t;", "\"worker_rlimit_core\" directive invalid value in /nginx.conf:1"),
        (
            "worker_shutdown_timeout 1y;",
            "\"worker_shutdown_timeout\" directive invalid value in /nginx.conf:1",
        ),
        ("worker_priority x;", "\"worker_priority\" directive invalid number in /nginx.conf:1"),
        ("worker_cpu_affinity 0102;", "invalid character \"2\" in \"worker_cpu_affinity\" in /nginx.conf:1"),
        (
            "worker_cpu_affinity auto 1 1;",
            "invalid number of arguments in \"worker_cpu_affinity\" directive in /nginx.conf:1",
        ),
        (
            "worker_cpu_affinity 1; worker_cpu_affinity 1;",
            "\"worker_cpu_affinity\" directive is duplicate in /nginx.conf:1",
        ),
        ("env =x;", "\"env\" directive invalid value in /nginx.conf:1"),
        ("debug_points x;", "invalid value \"x\" in /nginx.conf:1"),
        ("thread_pool a threads=0;", "invalid threads value \"threads=0\" in /nginx.conf:1"),
        ("thread_pool a threads=1 max_queue=x;", "invalid max_queue value \"max_queue=x\" in /nginx.conf:1"),
        ("thread_pool a max_queue=1;", "\"thread_pool\" must have \"threads\" parameter in /nginx.conf:1"),
        (
            "thread_pool a threads=1; thread_pool b threads=1; thread_pool a threads=2;",
            "duplicate thread pool \"a\" in /nginx.conf:1",
        ),
        ("timer_resolution x;", "\"timer_resolution\" directive invalid value in /nginx.conf:1"),
        ("pcre_jit on; pcre_jit on;", "\"pcre_jit\" directive is duplicate in /nginx.conf:1"),
        ("load_module x;", "\"load_module\" directive is specified too late in /nginx.conf:1"),
        ("events { }", "\"events\" directive is duplicate in /nginx.conf:1"),
        ("mail { } mail { }", "\"mail\" directive is duplicate in /nginx.conf:1"),
    ] {
        assert_eq!(error(&events(text)), expected, "{text:?}");
    }
    for (text, expected) in [
        ("events { worker_connections x; }", "invalid number \"x\" in /nginx.conf:1"),
        ("events { use carrots; }", "invalid event type \"carrots\" in /nginx.conf:1"),
        ("events { use kqueue; }", "invalid event type \"kqueue\" in /nginx.conf:1"),
        (
            "events { multi_accept 1; }",
            "invalid value \"1\" in \"multi_accept\" directive, it must be \"on\" or \"off\" in /nginx.conf:1",
        ),
        ("", "no \"events\" section in configuration"),
        (
            "events { worker_connections 1; } mail { auth_http 127.0.0.1; server { listen 143; } }",
            "1 worker_connections are not enough for 1 listening sockets",
        ),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
}

#[test]
fn what_has_no_effect_is_accepted() {
    let silent = "lock_file x; timer_resolution 100ms; pcre_jit on;
        thread_pool a threads=2; ssl_object_cache_inheritable on; quic_bpf on; debug_points stop;
        google_perftools_profiles x;
        events { use epoll; multi_accept on; accept_mutex on; epoll_events 9;
                 worker_aio_requests 9; }";
    assert_eq!(warnings(silent), [""; 0]);
    assert_eq!(
        warnings("load_module a.so;\nevents { debug_connection 127.0.0.1/8; } ssl_engine x;"),
        [
            "\"load_module\" is ignored: \"a.so\" is not loaded in /nginx.conf:1",
            "low address bits of 127.0.0.1/8 are meaningless in /nginx.conf:2",
            "\"ssl_engine\" has no effect: keys are used in software in /nginx.conf:2",
        ]
    );
}

#[test]
fn workers_are_given_processors_by_their_number() {
    let affinity =
        |words: &str| good(&events(&format!("worker_cpu_affinity {words};"))).main.worker_cpu_affinity;
    let of = |words: &str| {
        let affinity = affinity(words).expect("an affinity");
        [0, 1, 2].map(|worker| affinity.of(worker).to_vec())
    };
    // The machine of the tests has four processors.
    assert_eq!(of("auto"), [vec![0], vec![1], vec![2]]);
    assert_eq!(of("auto 1010"), [vec![1], vec![3], vec![1]]);
    assert_eq!(of("auto 0"), [vec![], vec![], vec![]]);
    assert_eq!(of("0101"), [vec![0, 2], vec![0, 2], vec![0, 2]]);
    assert_eq!(of("01 '1 0'"), [vec![0], vec![1], vec![1]]);
    assert_eq!(good("events { }").main.worker_cpu_affinity, None);
    let long = "1".repeat(1025);
    let expected = "\"worker_cpu_affinity\" supports up to 1024 CPUs only in /nginx.conf:1";
    assert_eq!(error(&events(&format!("worker_cpu_affinity {long};"))), expected);
}

#[test]
fn masks_that_do_not_fit_the_workers_are_a_warning() {
    let expected = "the number of \"worker_processes\" is not equal to the number of \"worker_cpu_affinity\" masks, \
                    using last mask for remaining worker processes";
    assert_eq!(warnings(&events("worker_processes 3; worker_cpu_affinity 01 10;")), [expected]);
    for fine in [
        "worker_processes 3; worker_cpu_affinity 01;",
        "worker_processes 2; worker_cpu_affinity 01 10;",
        "worker_processes 3; worker_cpu_affinity auto 01;",
    ] {
        assert_eq!(warnings(&events(fine)), [""; 0], "{fine}");
    }
}

#[test]
fn metrics_have_an_address_of_their_own() {
    let metrics = |text: &str| good(&events(text)).main.metrics;
    let inet = |text: &str| Some(Peer::Inet(text.parse().expect("an address")));
    assert_eq!(metrics(""), None);
    assert_eq!(metrics("metrics 127.0.0.1;"), inet("127.0.0.1:9145"));
    assert_eq!(metrics("metrics [::1]:99;"), inet("[::1]:99"));
    assert_eq!(metrics("metrics unix:/run/metrics;"), Some(Peer::Unix("/run/metrics".into())));
    let expected = "\"metrics\" are shown to everybody who can connect to this address in /nginx.conf:1";
    assert_eq!(warnings(&events("metrics 192.0.2.1:99;")), [expected]);
    assert_eq!(warnings(&events("metrics 127.0.0.1:99;")), [""; 0]);
    assert_eq!(
        error(&events("metrics 127.0.0.1:x;")),
        "invalid port in \"127.0.0.1:x\" of the \"metrics\" directive in /nginx.conf:1"
    );
    assert_eq!(
        error(&events("metrics 127.0.0.1; metrics 127.0.0.1;")),
        "\"metrics\" directive is duplicate in /nginx.conf:1"
    );
    let same =
        "metrics 127.0.0.1:99; mail { auth_http 127.0.0.1; server { listen 127.0.0.1:99; protocol imap; } }";
    assert_eq!(error(&events(same)), "\"metrics\" and \"listen\" have the same address 127.0.0.1:99");
}

#[test]
fn clients_to_debug_are_networks_and_names() {
    let text = "events { debug_connection 192.0.2.7; debug_connection 2001:db8::/32; debug_connection unix:;
                debug_connection mail.example; }";
    let machine = machine().with_host("mail.example", &["192.0.2.1", "2001:db8::1"]);
    let networks = read_on(machine, text).config.expect("a good configuration").main.debug_connections;
    let inet =
        |address: &str, prefix| Network::Inet { address: address.parse().expect("an address"), prefix };
    let expected = [
        inet("192.0.2.7", 32),
        inet("2001:db8::", 32),
        Network::Unix,
        inet("192.0.2.1", 32),
        inet("2001:db8::1", 128),
    ];
    assert_eq!(networks, expected);
    let unknown = "host not found in debug_connection \"no.example\" in /nginx.conf:1";
    assert_eq!(error("events { debug_connection no.example; }"), unknown);
}

#[test]
fn priorities_have_a_sign() {
    for (word, expected) in [("5", 5), ("+5", 5), ("-20", -20)] {
        assert_eq!(good(&events(&format!("worker_priority {word};"))).main.worker_priority, expected);
    }
}

#[test]
fn too_many_connections_are_a_warning() {
    let limit = "events { worker_connections 2000; }";
    let expected = "2000 worker_connections exceed open file resource limit: 1024";
    assert_eq!(warnings(limit), [expected]);
    assert_eq!(warnings(&format!("worker_rlimit_nofile 3000; {limit}")), [""; 0]);
}

#[test]
fn only_root_becomes_somebody_else() {
    let expected = "the \"user\" directive makes sense only if the master process runs with super-user privileges, \
                    ignored in /nginx.conf:1";
    assert_eq!(warnings("user nobody; events { }"), [expected]);

    let mut root = machine();
    root.is_root = true;
    let account = |user: &str| {
        let outcome = read_on(root.clone(), &format!("user {user}; events {{ }}"));
        outcome.config.map(|config| config.main.account).map_err(|error| error.to_string())
    };
    let mail = Account { name: c"mail".into(), user: 8, group: 12 };
    assert_eq!(account("mail"), Ok(Some(mail.clone())));
    assert_eq!(account("mail mail"), Ok(Some(mail)));
    assert_eq!(account("joe"), Err("getpwnam(\"joe\") failed in /nginx.conf:1".into()));
    assert_eq!(account("mail joe"), Err("getgrnam(\"joe\") failed in /nginx.conf:1".into()));
    assert_eq!(account("mail; user mail"), Err("\"user\" directive is duplicate in /nginx.conf:1".into()));
}

#[test]
fn workers_of_root_are_nobody_unless_it_is_written() {
    let mut root = machine();
    root.is_root = true;
    let account = |machine: &Memory, text: &str| {
        let outcome = read_on(machine.clone(), &format!("{text} events {{ }}"));
        outcome.config.map(|config| config.main.account).map_err(|error| error.to_string())
    };
    assert_eq!(account(&root, ""), Err("getpwnam(\"nobody\") failed".into()));
    assert!(account(&root, "user mail;").is_ok());
    let nobody = Account { name: c"nobody".into(), user: 65534, group: 65533 };
    root = root.with_user(nobody.clone());
    assert_eq!(account(&root, ""), Ok(Some(nobody)));
    root.is_root = false;
    assert_eq!(account(&root, ""), Ok(None));
}
