//! The directives: name, places, number of arguments, handler (spec/config.md sections 2 and 6 to 16).

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::Fault;
use super::reader::Reader;
use super::{hint, mail, main_block, value};

/// One directive.
pub(super) struct Directive {
    pub(super) name: &'static str,
    pub(super) contexts: Contexts,
    /// How many arguments it takes.
    pub(super) arity: RangeInclusive<usize>,
    /// Whether `{` follows instead of `;`.
    pub(super) is_block: bool,
    pub(super) run: Run,
}

/// What a directive does. Its context, form and number of arguments have been checked.
pub(super) type Run = fn(&mut Reader<'_>, &Words) -> Result<(), Fault>;

/// The kinds of blocks; the file itself is `Main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Main = 1,
    Events = 2,
    Mail = 4,
    Server = 8,
}

/// A set of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contexts(u8);

pub(super) const MAIN: Contexts = Contexts(Context::Main as u8);
pub(super) const EVENTS: Contexts = Contexts(Context::Events as u8);
pub(super) const MAIL: Contexts = Contexts(Context::Mail as u8);
pub(super) const SERVER: Contexts = Contexts(Context::Server as u8);
pub(super) const MAIL_SERVER: Contexts = Contexts(MAIL.0 | SERVER.0);
pub(super) const LOGGED: Contexts = Contexts(MAIN.0 | MAIL_SERVER.0);
pub(super) const ANYWHERE: Contexts = Contexts(LOGGED.0 | EVENTS.0);

/// One or more arguments.
pub(super) const MANY: RangeInclusive<usize> = 1..=usize::MAX;

impl Contexts {
    pub(super) fn contains(self, context: Context) -> bool {
        self.0 & context as u8 != 0
    }
}

impl Directive {
    /// A directive with this many arguments and `;`.
    pub(super) const fn new(
        name: &'static str,
        contexts: Contexts,
        arity: RangeInclusive<usize>,
        run: Run,
    ) -> Self {
        Self { name, contexts, arity, is_block: false, run }
    }

    /// A directive with one argument.
    pub(super) const fn one(name: &'static str, contexts: Contexts, run: Run) -> Self {
        Self::new(name, contexts, 1..=1, run)
    }

    /// A directive without arguments and with `{`.
    pub(super) const fn block(name: &'static str, contexts: Contexts, run: Run) -> Self {
        Self { name, contexts, arity: 0..=0, is_block: true, run }
    }
}

/// All directives.
pub(super) fn all() -> impl Iterator<Item = &'static Directive> {
    main_block::TABLES.iter().chain(mail::TABLES).copied().flatten()
}

pub(super) fn find(name: &str) -> Option<&'static Directive> {
    all().find(|directive| directive.name == name)
}

/// A directive as written. Has no `Debug`: keys may be in it.
pub(super) struct Words {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

impl Words {
    /// The first argument; empty where there is none.
    pub(super) fn first(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    pub(super) fn string(&self) -> Result<String, Fault> {
        Ok(self.first().to_owned())
    }

    pub(super) fn flag(&self) -> Result<bool, Fault> {
        let word = self.first();
        if word.eq_ignore_ascii_case("on") {
            Ok(true)
        } else if word.eq_ignore_ascii_case("off") {
            Ok(false)
        } else {
            let name = &self.name;
            let message =
                format!("invalid value \"{word}\" in \"{name}\" directive, it must be \"on\" or \"off\"");
            Err(Fault::Message(message))
        }
    }

    pub(super) fn number(&self) -> Result<u64, Fault> {
        value::number(self.first()).ok_or(Fault::INVALID_NUMBER)
    }

    pub(super) fn size(&self) -> Result<u64, Fault> {
        value::size(self.first()).ok_or(Fault::INVALID_VALUE)
    }

    pub(super) fn time_ms(&self) -> Result<Duration, Fault> {
        value::time_ms(self.first()).ok_or(Fault::INVALID_VALUE)
    }

    pub(super) fn time_s(&self) -> Result<Duration, Fault> {
        value::time_s(self.first()).ok_or(Fault::INVALID_VALUE)
    }

    /// One of these words, in any case.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Fault> {
        choose(self.first(), choices)
    }
}

/// The value of one of these words, in any case.
pub(super) fn choose<T: Copy>(word: &str, choices: &[(&str, T)]) -> Result<T, Fault> {
    let found = choices.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let closest = hint::closest_of(word, names.iter().copied());
        let hint = closest.unwrap_or_else(|| format!("known values: {}", names.join(", ")));
        Fault::Hinted(format!("invalid value \"{word}\""), hint)
    })
}

/// Sets what may be set only once in a block.
pub(super) fn once<T>(slot: &mut Option<T>, value: Result<T, Fault>) -> Result<(), Fault> {
    // That it is there again is the first thing to say, whatever the value.
    if slot.is_some() {
        return Err(Fault::DUPLICATE);
    }
    *slot = Some(value?);
    Ok(())
}
