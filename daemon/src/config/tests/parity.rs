//! The table of directives in docs/parity.md, tried on the reader.

use super::super::defaults;
use super::super::directive::{self, Context};
use super::*;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/parity.md");

/// One row: what a directive takes, and where.
struct Row {
    name: String,
    /// The cell that describes the arguments, with an example in backticks.
    arguments: String,
    contexts: Vec<String>,
    default: String,
}

impl Row {
    fn is_block(&self) -> bool {
        self.arguments == "block"
    }

    fn example(&self) -> &str {
        self.arguments.split('`').nth(1).unwrap_or_else(|| panic!("{}: no example", self.name))
    }

    /// How many arguments there may be: `1+ words`, `1–2 words`, `2 words`, and one otherwise.
    fn arity(&self) -> (usize, usize) {
        let number = |text: &str| text.parse().expect("a number");
        match self.arguments.split_once(" words") {
            None => (1, 1),
            Some((count, _)) if count.ends_with('+') => (number(&count[..count.len() - 1]), usize::MAX),
            Some((count, _)) => match count.split_once('–') {
                Some((low, high)) => (number(low), number(high)),
                None => (number(count), number(count)),
            },
        }
    }

    /// What the reader says to a word that is no value of this kind.
    fn complaint(&self) -> Option<&'static str> {
        match self.arguments.split(',').next()? {
            "flag" => Some("it must be \"on\" or \"off\""),
            "number" => Some("invalid number"),
            "size" | "time" | "seconds" => Some("directive invalid value"),
            _ => None,
        }
    }

    fn statement(&self, arguments: &str) -> String {
        if self.is_block() { format!("{} {{ }}", self.name) } else { format!("{} {arguments};", self.name) }
    }
}

fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(PAGE).expect("docs/parity.md");
    let table = page.split("\n## Directives\n").nth(1).expect("its table of directives");
    let table = table.split("\n## ").next().expect("a first part");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let contexts = cells[2].split(", ").map(str::to_owned).collect();
        let (name, arguments) = (cells[0].trim_matches('`').to_owned(), cells[1].to_owned());
        Row { name, arguments, contexts, default: cells[3].replace('`', "") }
    })
    .collect()
}

/// Reads a statement at one place of a file that is fine otherwise; the only error.
fn read_at(context: Context, statement: &str) -> Option<String> {
    let text = match context {
        Context::Main => format!("{statement} events {{ }}"),
        Context::Events => format!("events {{ {statement} }}"),
        Context::Mail => format!("events {{ }} mail {{ auth_http 127.0.0.1; {statement} }}"),
        Context::Server => in_server(statement),
    };
    let machine = machine().with_file("/i", "").with_file("/p", "sesame\n");
    read_on(machine, &text).config.err().map(|error| error.to_string())
}

const CONTEXTS: [(&str, Context); 4] = [
    ("main", Context::Main),
    ("events", Context::Events),
    ("mail", Context::Mail),
    ("server", Context::Server),
];

#[test]
fn every_directive_has_a_row() {
    let mut named: Vec<_> = rows().into_iter().map(|row| row.name).collect();
    let mut known: Vec<_> = directive::all().map(|directive| directive.name.to_owned()).collect();
    named.sort();
    known.sort();
    assert_eq!(named, known, "docs/parity.md needs one row for each directive");
}

#[test]
fn defaults_are_those_of_the_table() {
    let known = [defaults::MAIN, defaults::EVENTS, defaults::SERVER].concat();
    for Row { name, default, .. } in rows() {
        let found = known.iter().find(|(known, _)| *known == name).map(|(_, default)| *default);
        if let Some(defaults::Default::Is(arguments)) = found {
            assert_eq!(default, arguments, "{name}");
        }
    }
}

#[test]
fn directives_are_what_the_table_says() {
    for row in rows() {
        let name = &row.name;
        for (word, context) in CONTEXTS {
            let statement = row.statement(if row.is_block() { "" } else { row.example() });
            let error = read_at(context, &statement).unwrap_or_default();
            let is_refused = error.starts_with(&format!("\"{name}\" directive is not allowed here"));
            assert_eq!(is_refused, !row.contexts.iter().any(|own| own == word), "{name} in {word}: {error}");
        }
        if row.is_block() {
            continue;
        }
        let (_, context) =
            CONTEXTS.into_iter().find(|(word, _)| *word == row.contexts[0]).expect("a context");
        let example = row.example();
        assert_eq!(read_at(context, &row.statement(example)), None, "{name}");
        let (low, high) = row.arity();
        let counts = [low.checked_sub(1), high.checked_add(1)].into_iter().flatten();
        for arguments in counts.map(|count| "x ".repeat(count)) {
            let error = read_at(context, &row.statement(&arguments)).unwrap_or_default();
            let expected = format!("invalid number of arguments in \"{name}\" directive");
            assert!(error.starts_with(&expected), "{name} {arguments}: {error}");
        }
        if let Some(complaint) = row.complaint() {
            let error = read_at(context, &row.statement("maybe")).unwrap_or_default();
            assert!(error.contains(complaint), "{name}: {error}");
        }
        if !row.arguments.contains("repeats") {
            let error = read_at(context, &row.statement(example).repeat(2)).unwrap_or_default();
            assert!(error.starts_with(&format!("\"{name}\" directive is duplicate")), "{name}: {error}");
        }
    }
}
