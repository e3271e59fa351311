//! What an operator may have meant by a name that does not fit.

use super::Request;
use super::directive::{self, Context, Directive, Words};

/// What the names of [`is_foreign`] have in common.
pub(super) const FOREIGN: &str = "this directive belongs to http or stream; gatepost serves mail";

/// Directives of nginx's other modules that turn up in mail configurations.
const FOREIGN_NAMES: [&str; 52] = [
    "access_log",
    "add_header",
    "alias",
    "allow",
    "auth_basic",
    "auth_request",
    "client_body_timeout",
    "client_header_timeout",
    "client_max_body_size",
    "default_type",
    "deny",
    "error_page",
    "expires",
    "gzip",
    "http2",
    "index",
    "internal",
    "keepalive_timeout",
    "limit_conn",
    "limit_conn_zone",
    "limit_req",
    "limit_req_zone",
    "location",
    "log_format",
    "log_not_found",
    "map",
    "preread_buffer_size",
    "preread_timeout",
    "proxy_bind",
    "proxy_buffers",
    "proxy_connect_timeout",
    "proxy_http_version",
    "proxy_next_upstream",
    "proxy_pass",
    "proxy_read_timeout",
    "proxy_send_timeout",
    "proxy_set_header",
    "real_ip_header",
    "return",
    "rewrite",
    "root",
    "sendfile",
    "server_tokens",
    "set",
    "split_clients",
    "ssl_alpn",
    "ssl_buffer_size",
    "ssl_early_data",
    "ssl_reject_handshake",
    "ssl_stapling",
    "try_files",
    "upstream",
];

/// Whether nginx knows the name, but not in `mail`.
pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN_NAMES.contains(&name)
}

/// The directive whose name is almost this one.
pub(super) fn closest(name: &str) -> Option<String> {
    closest_of(name, directive::all().map(|directive| directive.name))
}

/// The word of these that is almost this one.
pub(super) fn closest_of<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // Longer names would cost time and match nothing.
    if name.len() > 64 {
        return None;
    }
    let limit = (name.len() / 3).min(2);
    let (_, closest) =
        known.map(|known| (distance(name, known), known)).filter(|(distance, _)| *distance <= limit).min()?;
    Some(format!("did you mean \"{closest}\"?"))
}

/// Where a directive may stand.
pub(super) fn home(directive: &Directive) -> Option<String> {
    let blocks = [
        (Context::Main, "at the main level"),
        (Context::Events, "in \"events\""),
        (Context::Mail, "in \"mail\""),
        (Context::Server, "in \"server\""),
    ];
    let places: Vec<&str> = blocks
        .iter()
        .filter(|(context, _)| directive.contexts.contains(*context))
        .map(|(_, place)| *place)
        .collect();
    Some(format!("it belongs {}", places.join(" or ")))
}

/// A directive among the arguments of another: the one before it was not ended.
pub(super) fn semicolon(words: &Words) -> Option<String> {
    // Directives that are parameters of "listen", too.
    let is_parameter = |word: &str| matches!(word, "ssl" | "proxy_protocol");
    let is_directive = |word: &&String| directive::find(word).is_some() && !is_parameter(word);
    let swallowed = words.arguments.iter().skip(1).find(is_directive)?;
    Some(format!("is there a \";\" missing before \"{swallowed}\"?"))
}

/// How the configuration file came by its full name, where nobody wrote that.
pub(super) fn file(request: &Request) -> Option<String> {
    let (file, prefix) = (request.file.display(), request.prefix.display());
    let is_relative = request.file.is_relative();
    is_relative.then(|| format!("\"{file}\" is looked for in \"{prefix}\" (-p); -c names another file"))
}

/// How many bytes must be inserted, removed or replaced to come from one name to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, byte) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [("", "", 0), ("abc", "abc", 0), ("", "ab", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(from, to), expected);
            assert_eq!(distance(to, from), expected);
        }
    }

    #[test]
    fn close_names_are_found_and_far_ones_are_not() {
        assert_eq!(closest("lisen"), Some("did you mean \"listen\"?".into()));
        assert_eq!(closest("proxy_timout"), Some("did you mean \"proxy_timeout\"?".into()));
        assert_eq!(closest("xyz"), None);
        assert_eq!(closest(&"x".repeat(65)), None);
    }

    #[test]
    fn only_a_name_that_nobody_wrote_in_full_is_explained() {
        let request = |file: &str| Request {
            prefix: "/prefix/".into(),
            file: file.into(),
            directives: None,
            error_log: "stderr".into(),
            pid: "pid".into(),
        };
        let hint = file(&request("mail.conf")).expect("a hint");
        assert_eq!(hint, "\"mail.conf\" is looked for in \"/prefix/\" (-p); -c names another file");
        assert_eq!(file(&request("/etc/mail.conf")), None);
    }

    #[test]
    fn foreign_names_are_sorted_and_not_ours() {
        assert!(FOREIGN_NAMES.is_sorted());
        assert!(FOREIGN_NAMES.iter().all(|name| directive::find(name).is_none()));
    }
}
