//! All that is wrong with a configuration, without what only follows from it.

use std::fmt;

use super::directive::{self, Context};
use super::error::Error;

/// Errors that are kept and shown; more are counted.
pub(crate) const MOST_ERRORS: usize = 20;

/// Why a configuration cannot be used: one error or more. Prints as the first, which is the one nginx stops at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    first: Box<Error>,
    others: Vec<Error>,
    omitted: usize,
}

impl Errors {
    /// The error that nginx would name.
    pub fn first(&self) -> &Error {
        &self.first
    }

    /// Up to twenty errors in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(&*self.first).chain(&self.others)
    }

    /// How many there are besides.
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)
    }
}

impl std::error::Error for Errors {}

impl From<Error> for Errors {
    fn from(first: Error) -> Self {
        Self { first: Box::new(first), others: Vec::new(), omitted: 0 }
    }
}

/// Errors on their way in.
#[derive(Debug, Default)]
pub(super) struct Found {
    errors: Option<Errors>,
}

impl Found {
    /// Adds an error. Servers that share a setting have the same one; it counts once.
    pub(super) fn add(&mut self, error: Error) {
        match &mut self.errors {
            None => self.errors = Some(error.into()),
            Some(errors) if errors.iter().any(|known| *known == error) => {}
            Some(errors) if errors.others.len() + 1 == MOST_ERRORS => errors.omitted += 1,
            Some(errors) => errors.others.push(error),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_none()
    }

    pub(super) fn into_errors(self) -> Option<Errors> {
        self.errors
    }
}

/// What one level does not say because of errors in it.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Directives that were refused.
    names: Vec<String>,
    /// Whether anything may be missing.
    is_total: bool,
}

impl Damage {
    /// A directive was refused. What a misspelt one or a file should have said is not known.
    pub(super) fn add(&mut self, name: &str) {
        match name == "include" || directive::find(name).is_none() {
            true => self.is_total = true,
            false => self.names.push(name.to_owned()),
        }
    }

    /// Whether what is missing may be so for an error in this level alone, which is of this kind.
    pub(super) fn explains(&self, error: &Error, context: Context) -> bool {
        let may_stand_here = |name: &String| {
            directive::find(name).is_some_and(|directive| directive.contexts.contains(context))
        };
        let is_refused = |name: &String| self.names.contains(name);
        let mut missing = error.missing().iter();
        missing.any(|name| is_refused(name) || self.is_total && may_stand_here(name))
    }
}
