//! Walks files, blocks and includes, and hands each directive to its handler (spec/config.md sections 1, 2 and 4).

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_protocol::event::Level;

use super::directive::{Context, Directive, Words};
use super::environment::Environment;
use super::error::{Error, Fault, Place, ReadFile, Report};
use super::errors::{Damage, Errors, Found};
use super::layer::Layer;
use super::lexer::{Item, LexError, LexErrorKind, Lexer};
use super::mail::{MailBlock, ServerBlock};
use super::main_block::{EventsBlock, MainBlock};
use super::written::Statement;
use super::{Config, Request, directive, hint};
use crate::log::lines::error_text;

/// Why a directive is ignored that tunes what is not there.
pub(super) const NO_EFFECT: &str = "no effect";

/// How deep files may include files.
const DEEPEST_INCLUDE: usize = 10;

/// Reads `-g`, then the file, then puts together what they say.
pub(super) fn read(
    request: &Request,
    environment: &dyn Environment,
    report: &mut Report,
) -> Result<Config, Errors> {
    let path = request.path();
    let mut reader = Reader {
        environment,
        report,
        prefix: request.prefix.clone(),
        conf_prefix: path.parent().map_or_else(|| "/".into(), Path::to_owned),
        input: Input { lexer: Lexer::new([].into()), name: None },
        context: Context::Main,
        includes: 0,
        errors: Found::default(),
        damage: Damage::default(),
        warned: BTreeSet::new(),
        main: MainBlock::default(),
        events: None,
        mail: None,
    };
    if let Some(text) = &request.directives {
        reader.read_parameter(text);
    }
    if let Err(error) = reader.read_file(&path, &Place::Nowhere) {
        reader.damage.add("include");
        reader.errors.add(error.with_hint(hint::file(request)));
    }
    reader.report.is_syntax_ok = reader.errors.is_empty();
    reader.finish(request)
}

/// The state of reading one configuration. Handlers of directives fill in the blocks.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a dyn Environment,
    pub(super) report: &'a mut Report,
    pub(super) prefix: PathBuf,
    pub(super) conf_prefix: PathBuf,
    input: Input,
    context: Context,
    includes: usize,
    pub(super) errors: Found,
    /// Of the main level and `events`.
    pub(super) damage: Damage,
    /// Directives whose lack of effect has been told, and warnings that have been given.
    warned: BTreeSet<String>,
    pub(super) main: MainBlock,
    pub(super) events: Option<EventsBlock>,
    pub(super) mail: Option<MailBlock>,
}

/// A text on its way through the lexer.
#[derive(Clone, Debug)]
struct Input {
    lexer: Lexer,
    /// The file's name; the text of `-g` has none.
    name: Option<Arc<str>>,
}

/// What ends a run of statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    File,
    Block,
}

/// A file whose reading ended before its end, for an error that has been told.
struct Ended;

impl From<Ended> for Fault {
    fn from(Ended: Ended) -> Self {
        Self::Ended
    }
}

impl Reader<'_> {
    /// Reads the statements of the block whose `{` was read last.
    pub(super) fn read_block(&mut self, context: Context) -> Result<(), Fault> {
        let outer = std::mem::replace(&mut self.context, context);
        let outcome = self.read_statements(End::Block);
        self.context = outer;
        Ok(outcome?)
    }

    /// Passes over the block whose `{` was read last.
    pub(super) fn skip_block(&mut self, words: &Words) -> Result<(), Fault> {
        self.write_down(words, true);
        self.ignore("skipped");
        Ok(self.skip_to(self.input.lexer.depth() - 1, &words.name)?)
    }

    /// Passes over what is left of a block; afterwards this many are open.
    fn skip_to(&mut self, depth: usize, name: &str) -> Result<(), Ended> {
        let line = self.input.lexer.line();
        self.input.lexer.skip_to(depth).map_err(|error| {
            let hint = format!("the block \"{name}\" of line {line} cannot be skipped");
            self.end(self.lex_error(&error).with_hint(Some(hint)))
        })
    }

    /// Reads one more file in the place of the directive that names it.
    pub(super) fn include(&mut self, name: &str) -> Result<(), Fault> {
        let pattern = super::absolute(&self.conf_prefix, name);
        let place = self.place_of(1);
        if self.includes == DEEPEST_INCLUDE {
            let message = format!("\"include\" of \"{}\" is nested too deeply", pattern.display());
            return Err(Fault::Message(message));
        }
        let paths = match name.contains(['*', '?', '[']) {
            true => self.environment.glob(&pattern.to_string_lossy()),
            false => vec![pattern],
        };
        self.includes += 1;
        let outcome = paths.iter().try_for_each(|path| self.read_file(path, &place));
        self.includes -= 1;
        Ok(outcome?)
    }

    /// The content of a file that a directive names. Errors read as `open() "P" failed (2: ...)`.
    pub(super) fn content(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.environment.read(path).map_err(|error| open_failed(path, &error))
    }

    /// The settings of the innermost mail block.
    pub(super) fn layer(&mut self) -> &mut Layer {
        let mail = self.mail.get_or_insert_default();
        match (&mut mail.current, self.context) {
            (Some(server), Context::Server) => &mut server.layer,
            _ => &mut mail.layer,
        }
    }

    /// The line that has been reached.
    pub(super) fn place(&self) -> Place {
        self.place_of(0)
    }

    /// The same, with the word of this index in the last statement.
    fn place_of(&self, index: usize) -> Place {
        self.place_at(self.input.lexer.line(), self.input.lexer.span(index))
    }

    pub(super) fn context(&self) -> Context {
        self.context
    }

    /// A warning at the present line.
    pub(super) fn warn(&mut self, message: impl Into<String>) {
        let message = message.into() + &self.place().to_string();
        self.report.add(Level::Warn, message);
    }

    /// A notice at the present line.
    pub(super) fn note(&mut self, message: impl Into<String>) {
        let message = message.into() + &self.place().to_string();
        self.report.add(Level::Notice, message);
    }

    /// Says why the directive that is being read does nothing.
    pub(super) fn ignore(&mut self, reason: &'static str) {
        if let Some(statement) = self.report.written.level(self.context).last_mut() {
            statement.ignored = Some(reason);
        }
    }

    /// A warning about a directive, the first time it is met.
    pub(super) fn warn_once(&mut self, name: &str, message: &str) {
        if self.warned.insert(name.to_owned()) {
            self.warn(message);
        }
    }

    /// A warning about what stands elsewhere, once however many servers it concerns.
    pub(super) fn warn_at(&mut self, place: &Place, message: impl Into<String>) {
        let message = message.into() + &place.to_string();
        if self.warned.insert(message.clone()) {
            self.report.add(Level::Warn, message);
        }
    }

    /// Adds what is wrong with a server as a whole, unless that comes of an error in it or around it.
    pub(super) fn fail_server(&mut self, server: &ServerBlock, error: Error) {
        let context = self.context;
        if !self.damage().explains(&error, context) && !server.damage.explains(&error, Context::Server) {
            self.errors.add(error);
        }
    }

    /// What the errors of the innermost block have kept from being read.
    fn damage(&mut self) -> &mut Damage {
        match (self.context, &mut self.mail) {
            (Context::Mail, Some(mail)) => &mut mail.damage,
            (Context::Server, Some(MailBlock { current: Some(server), .. })) => &mut server.damage,
            _ => &mut self.damage,
        }
    }

    fn read_parameter(&mut self, text: &str) {
        let input = Input { lexer: Lexer::new(text.as_bytes().into()), name: None };
        self.read_input(input);
    }

    /// Reads a file; `place` is where it is named. The error is that it cannot be opened: those in it have been told.
    fn read_file(&mut self, path: &Path, place: &Place) -> Result<(), Error> {
        let content: Arc<[u8]> = match self.environment.read(path) {
            Ok(content) => content.into(),
            Err(error) => return Err(Error::new(open_failed(path, &error), place.clone())),
        };
        let name: Arc<str> = path.to_string_lossy().into();
        if !self.report.files.iter().any(|file| *file.name == *name) {
            let content = Arc::clone(&content);
            self.report.files.push(ReadFile { name: name.to_string(), content });
        }
        let input = Input { lexer: Lexer::new(content), name: Some(name) };
        self.read_input(input);
        Ok(())
    }

    /// Reads a text to its end, or to what makes the rest unreadable.
    fn read_input(&mut self, input: Input) {
        let outer = std::mem::replace(&mut self.input, input);
        if let Err(Ended) = self.read_statements(End::File) {
            self.damage().add("include");
        }
        self.input = outer;
    }

    fn read_statements(&mut self, end: End) -> Result<(), Ended> {
        loop {
            let item = match self.input.lexer.next() {
                Ok(item) => item,
                Err(error) => return Err(self.end(self.lex_error(&error))),
            };
            match (item, end) {
                (Item::Simple(words), _) => self.run(words, false)?,
                (Item::Open(words), _) => self.run(words, true)?,
                (Item::Close, End::Block) | (Item::End, End::File) => return Ok(()),
                (Item::Close, End::File) => return Err(self.end(self.error("unexpected \"}\""))),
                (Item::End, End::Block) => {
                    return Err(self.end(self.error("unexpected end of file, expecting \"}\"")));
                }
            }
        }
    }

    /// Tells what makes the rest of a file unreadable.
    fn end(&mut self, error: Error) -> Ended {
        self.errors.add(error);
        Ended
    }

    /// Runs one statement. An error in it is told, and what belongs to it passed over.
    fn run(&mut self, words: Vec<Vec<u8>>, is_block: bool) -> Result<(), Ended> {
        let depth = self.input.lexer.depth() - usize::from(is_block);
        let (name, fault) = match self.decode(words) {
            Ok(words) => match self.dispatch(&words, is_block) {
                Ok(()) => return Ok(()),
                Err(error) => (words.name, error),
            },
            Err(error) => (String::new(), Some(error)),
        };
        self.errors.add(fault.ok_or(Ended)?);
        self.damage().add(&name);
        self.skip_to(depth, &name)
    }

    /// Hands a statement to its directive. The error is `None` where it has been told.
    fn dispatch(&mut self, words: &Words, is_block: bool) -> Result<(), Option<Error>> {
        let directive = self.directive(words, is_block)?;
        if !is_block && words.name != "include" {
            self.write_down(words, false);
        }
        (directive.run)(self, words).map_err(|fault| {
            let error = fault.into_error(words, |index| self.place_of(index))?;
            Some(error.or_hint(|| hint::semicolon(words)))
        })
    }

    fn write_down(&mut self, words: &Words, is_block: bool) {
        let statement = Statement::new(words, is_block, self.place());
        self.report.written.level(self.context).push(statement);
    }

    /// The directive of a statement, if it may stand here as it does.
    fn directive(&self, words: &Words, is_block: bool) -> Result<&'static Directive, Error> {
        let name = words.name.as_str();
        if is_block && self.input.name.is_none() {
            return Err(self.error("block directives are not supported in -g option"));
        }
        let Some(directive) = directive::find(name) else {
            return Err(match hint::is_foreign(name) {
                true => self.misplaced(name, Some(hint::FOREIGN.into())),
                false => self.error(format!("unknown directive \"{name}\"")).with_hint(hint::closest(name)),
            });
        };
        if !directive.contexts.contains(self.context) {
            return Err(self.misplaced(name, hint::home(directive)));
        }
        if is_block && !directive.is_block {
            return Err(self.error(format!("directive \"{name}\" is not terminated by \";\"")));
        }
        if !is_block && directive.is_block {
            return Err(self.error(format!("directive \"{name}\" has no opening \"{{\"")));
        }
        if !directive.arity.contains(&words.arguments.len()) {
            let error = self.error(format!("invalid number of arguments in \"{name}\" directive"));
            return Err(error.with_hint(hint::semicolon(words)));
        }
        Ok(directive)
    }

    fn decode(&self, words: Vec<Vec<u8>>) -> Result<Words, Error> {
        let mut decoded = Vec::with_capacity(words.len());
        for word in words {
            let word = String::from_utf8(word).map_err(|error| {
                self.error(format!("invalid UTF-8 in \"{}\"", crate::log::escape(error.as_bytes())))
            })?;
            decoded.push(word);
        }
        let mut decoded = decoded.into_iter();
        Ok(Words { name: decoded.next().unwrap_or_default(), arguments: decoded.collect() })
    }

    fn misplaced(&self, name: &str, hint: Option<String>) -> Error {
        self.error(format!("\"{name}\" directive is not allowed here")).with_hint(hint)
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(message, self.place())
    }

    fn lex_error(&self, error: &LexError) -> Error {
        let is_parameter = self.input.name.is_none();
        let message = match error.kind == LexErrorKind::End && is_parameter {
            true => "unexpected end of parameter, expecting \";\"".to_owned(),
            false => error.to_string(),
        };
        Error::new(message, self.place_at(error.line, error.span.clone()))
    }

    fn place_at(&self, line: usize, word: Range<usize>) -> Place {
        match &self.input.name {
            Some(name) => Place::File { name: Arc::clone(name), line, word },
            None => Place::CommandLine,
        }
    }
}

fn open_failed(path: &Path, error: &io::Error) -> String {
    format!("open() \"{}\" failed {}", path.display(), error_text(error))
}
