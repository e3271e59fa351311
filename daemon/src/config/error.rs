//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use gatepost_protocol::event::Level;
use thiserror::Error;

use super::directive::Words;
use super::excerpt::excerpt;
use super::written::Written;
use crate::log::one_line;

/// Why a configuration cannot be used: one line in nginx's words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}{place}")]
pub struct Error {
    message: String,
    place: Place,
    hint: Option<String>,
    /// Directives whose absence is the error.
    missing: Box<[String]>,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>, place: Place) -> Self {
        // Quoted words may hold line ends and worse.
        Self { message: one_line(&message.into()).into_owned(), place, hint: None, missing: Box::default() }
    }

    /// An error that belongs to no line.
    pub(crate) fn nowhere(message: impl Into<String>) -> Self {
        Self::new(message, Place::Nowhere)
    }

    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// As [`with_hint`](Self::with_hint), unless there is a better one already.
    pub(super) fn or_hint(mut self, hint: impl FnOnce() -> Option<String>) -> Self {
        self.hint = self.hint.or_else(hint);
        self
    }

    /// Says that there is no error if one of these directives is there.
    pub(super) fn for_lack_of(mut self, missing: &[&str]) -> Self {
        self.missing = missing.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Directives any of which would have kept this from being an error.
    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// What the operator may have meant, for a line of its own behind the error.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Where in the configuration. Prints as the end of a message: ` in FILE:LINE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File {
        name: Arc<str>,
        /// Counts from 1. Where words are on several lines it is that of the `;` or `{` behind them.
        line: usize,
        /// The bytes of the word that is meant; empty if there is none.
        word: Range<usize>,
    },
    /// The text of `-g`.
    CommandLine,
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, .. } => write!(f, " in {}:{line}", one_line(name)),
            Self::CommandLine => f.write_str(" in command line"),
            Self::Nowhere => Ok(()),
        }
    }
}

/// Why a directive's handler refused it.
#[derive(Debug)]
pub(super) enum Fault {
    /// `"NAME" directive TEXT`, at the directive.
    Directive(&'static str),
    /// This message, at the directive.
    Message(String),
    /// This message, at the directive, and a hint.
    Hinted(String, String),
    /// This error as it is.
    Error(Error),
    /// The file ended before the block; that has been told.
    Ended,
}

impl Fault {
    pub(super) const DUPLICATE: Self = Self::Directive("is duplicate");
    pub(super) const INVALID_VALUE: Self = Self::Directive("invalid value");
    pub(super) const INVALID_NUMBER: Self = Self::Directive("invalid number");

    /// `place` is that of the word with an index, the directive's name being 0.
    /// `None` for what has been told.
    pub(super) fn into_error(self, words: &Words, place: impl Fn(usize) -> Place) -> Option<Error> {
        let name = &words.name;
        let error = match self {
            Self::Directive(text) => {
                let index = usize::from(text.starts_with("invalid") && !words.arguments.is_empty());
                Error::new(format!("\"{name}\" directive {text}"), place(index))
            }
            Self::Message(message) => {
                let index = quoted_in(&message, words).map_or(0, |index| index + 1);
                Error::new(message, place(index))
            }
            Self::Hinted(message, hint) => {
                return Some(Self::Message(message).into_error(words, place)?.with_hint(Some(hint)));
            }
            Self::Error(error) => error,
            Self::Ended => return None,
        };
        Some(error)
    }
}

/// Which argument a message is about: the first that it quotes, or the end of it.
fn quoted_in(message: &str, words: &Words) -> Option<usize> {
    let quoted: Vec<&str> = message.split('"').skip(1).step_by(2).filter(|text| !text.is_empty()).collect();
    let is_meant = |word: &String| {
        !word.is_empty()
            && (message.ends_with(&format!(": {word}"))
                || quoted.iter().any(|text| word.ends_with(text) || text.ends_with(word.as_str())))
    };
    words.arguments.iter().position(is_meant)
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What reading a configuration found besides its outcome, errors or not.
#[derive(Debug, Default)]
pub struct Report {
    /// Warnings and notices, in their order.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read, each once, in the order of first use.
    pub files: Vec<ReadFile>,
    /// Whether the text was read to its end: what failed later is not a matter of syntax.
    pub is_syntax_ok: bool,
    /// The directives themselves, for [`explain`](Self::explain).
    pub(super) written: Written,
}

/// A remark that does not keep a configuration from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `Warn` or `Notice`.
    pub level: Level,
    /// One line, with its place.
    pub message: String,
}

/// One file of a configuration, for `-T`.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// As error messages name it.
    pub name: String,
    /// What is in it.
    pub content: Arc<[u8]>,
}

impl fmt::Debug for ReadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys may be in the content.
        f.debug_struct("ReadFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Report {
    /// The source line of an error with a caret and the hint, if it has one: two lines without an end.
    ///
    /// Not for logs: a line may have anything in it.
    pub fn excerpt(&self, error: &Error) -> Option<String> {
        match &error.place {
            Place::File { name, word, .. } => {
                let file = self.files.iter().find(|file| *file.name == **name)?;
                excerpt(&file.content, word, error.hint())
            }
            Place::CommandLine | Place::Nowhere => None,
        }
    }

    pub(crate) fn add(&mut self, level: Level, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic { level, message: one_line(&message.into()).into_owned() });
    }
}
