//! A configuration as it acts, in the language of configurations: each server with all it has, and where from.

use std::fmt::Write;

use gatepost_protocol::config::Protocol;

use super::defaults::{self, Default};
use super::error::Report;
use super::written::{FoundServer, Statement, Written, WrittenServer, quoted};
use crate::log::one_line;

/// Where the remark behind a directive begins.
const COLUMN: usize = 56;

const DEFAULT: &str = "default";

impl Report {
    /// The settings of a configuration that was accepted, one to a line, with their places as remarks; what does
    /// nothing is a remark as a whole. It can be read back where the configuration's file is, but for what is secret:
    /// that is left out, as are bytes that no terminal should get.
    pub fn explain(&self) -> Option<String> {
        let found = self.written.found.as_ref()?;
        let mut page = Page { text: String::new(), written: &self.written };
        page.level(defaults::MAIN, 0, |name| {
            let own = self.written.main.iter().filter(|statement| statement.name == name);
            let mut lines: Vec<_> = own.map(Line::written).collect();
            match (name, &found.error_log) {
                ("pid", _) if lines.is_empty() => lines.push(Line::default(name, &quoted(&found.pid))),
                ("error_log", Some(path)) => lines.push(Line::default(name, &quoted(path))),
                _ => {}
            }
            lines
        });
        page.open("events", 0, "");
        page.level(defaults::EVENTS, 1, |name| {
            let own = self.written.events.iter().filter(|statement| statement.name == name);
            own.map(Line::written).collect()
        });
        page.close(0);
        if let Some(mail) = &self.written.mail {
            page.open("mail", 0, "");
            for server in &self.written.servers {
                page.server(server, mail, found.error_log.as_deref());
            }
            page.close(0);
        }
        Some(page.text)
    }
}

/// One directive to be shown.
struct Line {
    text: String,
    remark: String,
    is_ignored: bool,
}

impl Line {
    fn written(statement: &Statement) -> Self {
        let place = statement.place.to_string();
        let mut remark = place.strip_prefix(" in ").unwrap_or(&place).to_owned();
        if let Some(reason) = statement.ignored {
            remark = format!("{remark}: {reason}");
        }
        Self { text: statement.to_string(), remark, is_ignored: statement.ignored.is_some() }
    }

    fn default(name: &str, arguments: &str) -> Self {
        Self { text: format!("{name} {arguments};"), remark: DEFAULT.into(), is_ignored: false }
    }

    fn unwritten(name: &str, default: Default) -> Option<Self> {
        match default {
            Default::Is(arguments) => Some(Self::default(name, arguments)),
            Default::Told(what) => {
                let remark = format!("{DEFAULT}: {what}");
                Some(Self { text: format!("{name};"), remark, is_ignored: true })
            }
            Default::Found | Default::Nothing | Default::Ignored => None,
        }
    }

    fn without_effect(mut self, reason: &str) -> Self {
        if !self.is_ignored {
            self.remark = format!("{}: {reason}", self.remark);
            self.is_ignored = true;
        }
        self
    }
}

struct Page<'a> {
    text: String,
    written: &'a Written,
}

impl Page<'_> {
    /// The directives of one level. `lines` gives what is written of one, and its default where no table has it.
    fn level(&mut self, table: &[(&str, Default)], depth: usize, lines: impl Fn(&str) -> Vec<Line>) {
        for (name, default) in table {
            let mut lines = lines(name);
            if lines.is_empty() {
                lines.extend(Line::unwritten(name, *default));
            }
            lines.iter().for_each(|line| self.line(line, depth));
        }
    }

    fn server(&mut self, server: &WrittenServer, mail: &[Statement], main_log: Option<&str>) {
        let Some(found) = &server.found else { return };
        let place = server.place.to_string();
        self.open("server", 1, place.strip_prefix(" in ").unwrap_or(&place));
        // What does nothing in this server need not have a default either.
        let table: Vec<_> = defaults::SERVER
            .iter()
            .map(|&(name, default)| match idle(name, found) {
                Some(_) => (name, Default::Ignored),
                None => (name, default),
            })
            .collect();
        let main = &self.written.main;
        self.level(&table, 2, |name| {
            let of = |statements: &[Statement]| {
                let own = statements.iter().filter(|statement| statement.name == name);
                own.map(Line::written).collect::<Vec<_>>()
            };
            let mut lines = of(&server.statements);
            if lines.is_empty() && !is_replaced(name, server) {
                lines = of(mail);
            }
            match name {
                _ if !lines.is_empty() => {}
                "protocol" => lines.push(Line {
                    remark: "by the port".into(),
                    ..Line::default(name, found.protocol.name())
                }),
                "error_log_format" => lines = of(main),
                "error_log" => {
                    lines = of(main);
                    lines.extend(main_log.map(|path| Line::default(name, &quoted(path))));
                }
                _ => {}
            }
            if name == "server_name" && lines.iter().all(|line| line.text == "server_name \"\";") {
                lines = vec![Line::default(name, &quoted(&found.name))];
            }
            match idle(name, found) {
                Some(reason) => lines.into_iter().map(|line| line.without_effect(&reason)).collect(),
                None => lines,
            }
        });
        self.close(1);
    }

    fn line(&mut self, line: &Line, depth: usize) {
        let (indent, mark) = ("    ".repeat(depth), if line.is_ignored { "# " } else { "" });
        let text = one_line(&line.text).into_owned();
        self.put(&format!("{indent}{mark}{text}"), &line.remark);
    }

    fn open(&mut self, name: &str, depth: usize, remark: &str) {
        let indent = "    ".repeat(depth);
        self.put(&format!("{indent}{name} {{"), remark);
    }

    fn close(&mut self, depth: usize) {
        let indent = "    ".repeat(depth);
        self.put(&format!("{indent}}}"), "");
    }

    fn put(&mut self, text: &str, remark: &str) {
        let outcome = match remark {
            "" => writeln!(self.text, "{text}"),
            _ => writeln!(self.text, "{text:COLUMN$} # {}", one_line(remark)),
        };
        debug_assert!(outcome.is_ok(), "a string takes all");
    }
}

/// Whether a server's other directives keep it from having this one of `mail`: stand-ins are those of one auth server.
fn is_replaced(name: &str, server: &WrittenServer) -> bool {
    name == "auth_http_backup" && server.statements.iter().any(|statement| statement.name == "auth_http")
}

/// Why a directive does nothing in a server, if so.
fn idle(name: &str, server: &FoundServer) -> Option<String> {
    let wanted = match name {
        _ if name.starts_with("imap_") => Some(Protocol::Imap),
        _ if name.starts_with("pop3_") => Some(Protocol::Pop3),
        _ if name.starts_with("smtp_") => Some(Protocol::Smtp),
        "resolver" | "resolver_timeout" | "xclient" | "proxy_smtp_auth" => Some(Protocol::Smtp),
        _ => None,
    };
    if wanted.is_some_and(|wanted| wanted != server.protocol) {
        return Some(format!("no effect with {}", server.protocol));
    }
    if name.starts_with("ssl_") && !server.has_tls {
        return Some("no effect without TLS".into());
    }
    if name.starts_with("proxy_ssl_") && !server.has_backend_tls {
        return Some("no effect without \"proxy_ssl\"".into());
    }
    if name.starts_with("auth_http_ssl_") && !server.has_auth_tls {
        return Some("no effect without \"https://\" in \"auth_http\"".into());
    }
    (name == "set_real_ip_from" && !server.has_proxy_protocol)
        .then(|| "no effect without \"listen ... proxy_protocol\"".into())
}
