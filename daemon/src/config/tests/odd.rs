//! Odd input: nothing in a file may be a panic, and every error is one line that says where.

use proptest::prelude::*;

use super::*;
use crate::config::directive::Context;

/// Arguments at the limits of what the values allow, or past them.
const ODD: [&str; 40] = [
    "\"\"",
    "0",
    "1",
    "-1",
    "65536",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999",
    "9223372036854775807k",
    "9007199254740991k",
    "1ms",
    "106751991167d",
    "292277026596y",
    "9223372036854775s",
    "on",
    "off",
    "auto",
    "*",
    "*:1-65535",
    "1-65535",
    "65535-65535",
    "[",
    "[]",
    "[::]",
    "[::]:1",
    "[::1]:1-2",
    "unix:",
    "unix:x:y",
    "u",
    "\u{e9}\u{2014}x",
    "\u{1f4e7}nix:a",
    "http://",
    "http://[::1]/a b",
    "two.example/x",
    "10.0.0.0/0",
    "::/129",
    "syslog:",
    "syslog:server=one.example,tag=",
    "data:",
    "\"a\nb\"",
];

fn is_one_line(error: &Error) -> bool {
    let text = error.to_string();
    !text.is_empty() && !text.contains(char::is_control)
}

/// A file with these statements in a context.
fn in_context(context: Context, statements: &str) -> String {
    match context {
        Context::Main => format!("events {{}} {statements}"),
        Context::Events => format!("events {{ {statements} }}"),
        Context::Mail => in_mail(&format!("{statements} server {{ listen 143; }}")),
        Context::Server => in_server(statements),
    }
}

#[test]
fn odd_arguments_are_taken_or_refused_in_one_line() {
    for directive in directive::all() {
        let end = if directive.is_block { "{ }" } else { ";" };
        for context in [Context::Main, Context::Events, Context::Mail, Context::Server] {
            if !directive.contexts.contains(context) {
                continue;
            }
            for (index, first) in ODD.iter().enumerate() {
                let second = ODD[(index * 7 + 3) % ODD.len()];
                for arguments in
                    [(*first).to_owned(), format!("{first} {second}"), format!("{second} {first}")]
                {
                    let text = in_context(context, &format!("{} {arguments}{end}", directive.name));
                    if let Err(error) = read(&text).config {
                        assert!(is_one_line(&error), "{error}\n{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn odd_parameters_of_listen_are_taken_or_refused_in_one_line() {
    for name in ["backlog=", "rcvbuf=", "sndbuf=", "ipv6only=", "so_keepalive=", "so_keepalive=1:", ""] {
        for value in ODD.iter().filter(|value| !value.starts_with('"')) {
            let text = in_mail(&format!("server {{ protocol imap; listen [::]:143 {name}{value}; }}"));
            if let Err(error) = read(&text).config {
                assert!(is_one_line(&error), "{error}\n{text}");
            }
        }
    }
}

/// A statement of the language, with mostly the right arguments.
fn statement() -> impl Strategy<Value = String> {
    let names: Vec<_> = directive::all().map(|directive| directive.name).collect();
    (prop::sample::select(names), prop::collection::vec(prop::sample::select(&ODD[..]), 0..3), any::<bool>())
        .prop_map(|(name, arguments, is_block)| {
            let end = if is_block { " {" } else { ";" };
            format!("{name} {}{end}\n", arguments.join(" "))
        })
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut report = Report::default();
        if let Err(errors) = Config::parse(bytes, machine(), &mut report) {
            prop_assert!(errors.iter().all(is_one_line), "{errors:?}");
        }
    }

    #[test]
    fn no_order_of_statements_is_a_panic(
        statements in prop::collection::vec(prop_oneof![statement(), Just("}\n".to_owned())], 0..12),
    ) {
        for text in [statements.concat(), in_mail(&statements.concat()), in_server(&statements.concat())] {
            let errors = read(&text).errors;
            prop_assert!(errors.iter().all(is_one_line), "{errors:?}\n{text}");
        }
    }
}
