//! What directives say where nobody writes them, in the order in which settings are shown.

/// The value of a directive that is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// These arguments, as a configuration would have them.
    Is(&'static str),
    /// What no arguments can say; shown as a remark.
    Told(&'static str),
    /// It depends on the machine, the command line or other directives.
    Found,
    /// Without it there is nothing.
    Nothing,
    /// The directive does nothing, so its default is not shown either.
    Ignored,
}

use self::Default::{Found, Ignored, Is, Nothing, Told};

/// The main level.
pub(super) const MAIN: &[(&str, Default)] = &[
    ("load_module", Ignored),
    ("user", Told("whoever started the program")),
    ("daemon", Is("on")),
    ("master_process", Is("on")),
    ("pid", Found),
    ("error_log", Found),
    ("env", Nothing),
    ("working_directory", Nothing),
    ("worker_processes", Is("1")),
    ("worker_cpu_affinity", Nothing),
    ("worker_priority", Is("0")),
    ("worker_rlimit_core", Nothing),
    ("worker_rlimit_nofile", Nothing),
    ("worker_shutdown_timeout", Told("for ever")),
    ("debug_points", Ignored),
    ("google_perftools_profiles", Ignored),
    ("lock_file", Ignored),
    ("pcre_jit", Ignored),
    ("quic_bpf", Ignored),
    ("ssl_engine", Ignored),
    ("ssl_object_cache_inheritable", Ignored),
    ("thread_pool", Ignored),
    ("timer_resolution", Ignored),
    ("http", Ignored),
    ("stream", Ignored),
];

/// `events {}`.
pub(super) const EVENTS: &[(&str, Default)] = &[
    ("worker_connections", Is("512")),
    ("accept_mutex_delay", Is("500ms")),
    ("debug_connection", Nothing),
    ("accept_mutex", Ignored),
    ("epoll_events", Ignored),
    ("multi_accept", Ignored),
    ("use", Ignored),
    ("worker_aio_requests", Ignored),
];

/// `server {}`, what it has from `mail {}` included.
pub(super) const SERVER: &[(&str, Default)] = &[
    ("listen", Nothing),
    ("protocol", Found),
    ("server_name", Found),
    ("error_log", Found),
    ("timeout", Is("60s")),
    ("max_errors", Is("5")),
    ("so_keepalive", Nothing),
    ("resolver", Is("off")),
    ("resolver_timeout", Is("30s")),
    ("auth_http", Nothing),
    ("auth_http_backup", Nothing),
    ("auth_http_header", Nothing),
    ("auth_http_timeout", Is("60s")),
    ("auth_http_keepalive", Is("off")),
    ("auth_http_pass_client_cert", Is("off")),
    ("imap_auth", Is("plain")),
    ("imap_capabilities", Is("IMAP4 IMAP4rev1 UIDPLUS SASL-IR LITERAL+")),
    ("imap_client_buffer", Is("4k")),
    ("pop3_auth", Is("plain")),
    ("pop3_capabilities", Is("TOP USER UIDL")),
    ("pop3_client_buffer", Is("4k")),
    ("smtp_auth", Is("plain login")),
    ("smtp_capabilities", Nothing),
    ("smtp_client_buffer", Is("4k")),
    ("smtp_greeting_delay", Is("0")),
    ("proxy", Ignored),
    ("proxy_buffer", Is("4k")),
    ("proxy_timeout", Is("24h")),
    ("proxy_pass_error_message", Is("off")),
    ("proxy_protocol", Is("off")),
    ("proxy_smtp_auth", Is("off")),
    ("proxy_ssl", Is("off")),
    ("proxy_ssl_trusted_certificate", Nothing),
    ("proxy_ssl_verify", Is("on")),
    ("proxy_ssl_verify_depth", Is("1")),
    ("proxy_ssl_crl", Nothing),
    ("proxy_ssl_name", Told("the address of the backend")),
    ("proxy_ssl_server_name", Is("on")),
    ("proxy_ssl_certificate", Nothing),
    ("proxy_ssl_certificate_key", Nothing),
    ("proxy_ssl_protocols", Is("TLSv1.2 TLSv1.3")),
    ("proxy_ssl_ciphers", Is("HIGH:!aNULL:!MD5")),
    ("proxy_ssl_session_reuse", Is("on")),
    ("xclient", Told("where the backend offers it")),
    ("set_real_ip_from", Nothing),
    ("starttls", Is("off")),
    ("ssl", Nothing),
    ("ssl_certificate", Nothing),
    ("ssl_certificate_key", Nothing),
    ("ssl_password_file", Nothing),
    ("ssl_certificate_compression", Ignored),
    ("ssl_protocols", Is("TLSv1.2 TLSv1.3")),
    ("ssl_ciphers", Is("HIGH:!aNULL:!MD5")),
    ("ssl_prefer_server_ciphers", Is("off")),
    ("ssl_ecdh_curve", Is("auto")),
    ("ssl_dhparam", Ignored),
    ("ssl_conf_command", Nothing),
    ("ssl_session_cache", Is("none")),
    ("ssl_session_timeout", Is("5m")),
    ("ssl_session_tickets", Is("on")),
    ("ssl_session_ticket_key", Nothing),
    ("ssl_verify_client", Is("off")),
    ("ssl_verify_depth", Is("1")),
    ("ssl_client_certificate", Nothing),
    ("ssl_trusted_certificate", Nothing),
    ("ssl_crl", Nothing),
];
