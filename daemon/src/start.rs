//! From the command line to the first worker.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::rc::Rc;

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::ForkResult;

use crate::cli::{self, Options};
use crate::config::{self, Config, Machine, Report, Request};
use crate::inherited::Inherited;
use crate::log::lines::{errno_text, error_text};
use crate::log::{Log, LogFiles, Target, level_name};
use crate::master::{self, Binary, Load, LoadError, Start};
use crate::plan::Plan;
use crate::probe::{probe, probe_pid_file, probe_working_directory};
use crate::{control, demo, sys};

/// The whole program: reads the command line and does what it says. `program` is its name, for messages; `start` runs a
/// worker on the program's runtime.
pub fn run(program: &'static str, start: Start) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let invoked = arguments.first().cloned().unwrap_or_default();
    let options = match cli::parse(arguments.iter().skip(1).cloned()) {
        Ok(options) => options,
        Err(error) => {
            let name = shown_name(program, &invoked);
            print_error(&format!("{name}: {error}\n{name}: -h shows all options\n"));
            return ExitCode::FAILURE;
        }
    };
    let name = shown_name(program, &invoked);
    let starter = Starter { program, name, start, binary: Binary::new(arguments) };
    starter.run(options)
}

/// Scripts that know the program as `nginx` match its messages, too.
fn shown_name(program: &'static str, invoked: &OsStr) -> &'static str {
    if Path::new(invoked).file_name() == Some(OsStr::new("nginx")) { "nginx" } else { program }
}

struct Starter {
    program: &'static str,
    /// What messages begin with.
    name: &'static str,
    start: Start,
    binary: Binary,
}

impl Starter {
    fn run(&self, options: Options) -> ExitCode {
        if options.demo {
            return self.demo();
        }
        if options.version {
            self.show_version(&options);
            if !options.test {
                return ExitCode::SUCCESS;
            }
        }
        let request = request(&options);
        if options.test {
            return self.test(&request, &options);
        }
        if let Some(signal) = options.signal {
            return self.signal(&request, &self.startup_log(&options, &request), signal);
        }
        // Before anything is opened whose number the environment might name.
        let inherited = Inherited::take();
        self.serve(&request, self.startup_log(&options, &request), inherited)
    }

    fn show_version(&self, options: &Options) {
        let (name, program, version) = (self.name, self.program, env!("CARGO_PKG_VERSION"));
        let mut text = format!("{name} version: {program}/{version}\n");
        if options.help {
            text.push_str(&cli::usage(name));
        }
        if options.build {
            text.push_str(&cli::build());
        }
        print_error(&text);
    }

    fn serve(&self, request: &Request, log: Log, inherited: Inherited) -> ExitCode {
        // One for all configurations: some of what they share is kept over a reload.
        let machine = Machine::default();
        let (plan, report) = load(request, &machine);
        self.tell_all(&log, &report);
        let plan = match plan {
            Ok(plan) => plan,
            Err(refusal) => return self.refuse(&log, &refusal),
        };
        // From here on there is the plan's. The report has all files, with what is secret in them.
        drop(log);
        drop(report);
        if let Err(error) = probe_pid_file(&plan.pid_path) {
            return self.refuse(&plan.log, &error.into());
        }
        if let Err(error) = probe_working_directory(plan.working_directory.as_deref()) {
            return self.refuse(&plan.log, &error.into());
        }
        let request = request.clone();
        let load: Load = Rc::new(move |log| {
            let (plan, report) = load(&request, &machine);
            report.diagnostics.iter().for_each(|diagnostic| log.note(diagnostic.level, &diagnostic.message));
            let plan = plan.map_err(|refusal| refusal.first)?;
            probe_working_directory(plan.working_directory.as_deref())?;
            Ok(plan)
        });
        let say = |log: &Log, level, message: &str| self.tell(log, level, message);
        let Self { program: name, name: shown_name, start, ref binary } = *self;
        let program = master::Program { name, shown_name, binary, start, say: &say, load };
        master::run(program, plan, inherited)
    }

    /// `-t`: reads everything, and finds out what could keep it from being served, without leaving a trace.
    fn test(&self, request: &Request, options: &Options) -> ExitCode {
        let mut report = Report::default();
        let config = Config::load(request, &Machine::default(), &mut report);
        self.tell_all(&Log::default(), &report);
        if !options.quiet {
            // There is no log that they could go to.
            let notices = report.diagnostics.iter().filter(|diagnostic| diagnostic.level == Level::Notice);
            notices.for_each(|notice| print_error(&format!("{}: [notice] {}\n", self.name, notice.message)));
        }
        let file = request.path();
        let file = file.display();
        let outcome = config.map_err(|errors| Refusal::new(&errors, &report));
        if report.is_syntax_ok && !options.quiet {
            print_error(&format!("{}: the configuration file {file} syntax is ok\n", self.name));
        }
        if let Err(refusal) = outcome.and_then(|config| Refusal::of_all(probe(&config))) {
            let code = self.refuse(&Log::default(), &refusal);
            print_error(&format!("{}: configuration file {file} test failed\n", self.name));
            return code;
        }
        if !options.quiet {
            print_error(&format!("{}: configuration file {file} test is successful\n", self.name));
        }
        if options.dump && dump(&report).is_err() {
            return ExitCode::FAILURE;
        }
        if options.explain {
            print(&report.explain().unwrap_or_default());
        }
        ExitCode::SUCCESS
    }

    /// `-s`: the configuration says where the pid file is. It must be good as a whole.
    fn signal(&self, request: &Request, log: &Log, signal: Signal) -> ExitCode {
        let (plan, report) = load(request, &Machine::default());
        self.tell_all(log, &report);
        let plan = match plan {
            Ok(plan) => plan,
            Err(refusal) => return self.refuse(log, &refusal),
        };
        plan.log.note(Level::Notice, "signal process started");
        match control::send(&plan.pid_path, signal) {
            Ok(()) => ExitCode::SUCCESS,
            Err((level, message)) => {
                self.tell(&plan.log, level, &message);
                print_error(&format!("{}: is it running? \"pid\" says which file names it\n", self.name));
                ExitCode::FAILURE
            }
        }
    }

    /// `--demo`: the services in a child, the proxy in front of them here.
    fn demo(&self) -> ExitCode {
        let failed = |text: &str| {
            self.tell(&Log::default(), Level::Emerg, text);
            ExitCode::FAILURE
        };
        let demo = match demo::prepare() {
            Ok(demo) => demo,
            Err(error) => return failed(&format!("cannot prepare the demo {}", error_text(&error))),
        };
        print(demo.banner());
        let (folder, file) = (demo.directory().to_owned(), demo.configuration().to_owned());
        let child = match sys::fork() {
            Ok(ForkResult::Parent { child }) => child,
            Ok(ForkResult::Child) => process::exit(i32::from(demo::serve(demo).is_err())),
            Err(errno) => {
                demo::remove(&folder);
                return failed(&format!("fork() failed {}", errno_text(errno as i32)));
            }
        };
        // Its listeners are the child's from now on.
        drop(demo);
        let options = Options { file: Some(file), error_log: Some("stderr".into()), ..Options::default() };
        let outcome = self.run(options);
        // It may have got the same Ctrl-C; then there is only its end to wait for.
        let _: Result<(), Errno> = kill(child, Signal::SIGKILL);
        while waitpid(child, None) == Err(Errno::EINTR) {}
        demo::remove(&folder);
        outcome
    }

    /// Where messages go before the configuration says where. A default that is not there is nobody's mistake.
    fn startup_log(&self, options: &Options, request: &Request) -> Log {
        let stderr = || Log::new([(Level::Notice, Target::Stderr)]);
        if request.error_log.as_os_str() == "stderr" {
            return stderr();
        }
        let path = request.prefix.join(&request.error_log);
        match LogFiles::default().open(&path) {
            Ok(file) => Log::new([(Level::Notice, Target::File(file))]),
            Err(_) if options.error_log.is_none() => Log::default(),
            Err(error) => {
                let (path, text) = (path.display(), error_text(&error));
                let message = format!("could not open error log file: open() \"{path}\" failed {text}");
                self.tell(&Log::default(), Level::Alert, &message);
                stderr()
            }
        }
    }

    /// Tells why a configuration cannot be used, and what may have been meant. The log gets what nginx would say,
    /// whoever started the program all errors.
    fn refuse(&self, log: &Log, refusal: &Refusal) -> ExitCode {
        self.tell(log, Level::Emerg, &refusal.first.message);
        self.explain(&refusal.first);
        for error in &refusal.others {
            self.tell(&Log::default(), Level::Emerg, &error.message);
            self.explain(error);
        }
        if refusal.omitted > 0 {
            print_error(&format!("{}: ... and {} more\n", self.name, refusal.omitted));
        }
        ExitCode::FAILURE
    }

    fn explain(&self, error: &LoadError) {
        match (&error.excerpt, &error.hint) {
            (Some(excerpt), _) => print_error(&format!("{excerpt}\n")),
            (None, Some(hint)) => print_error(&format!("{}: {hint}\n", self.name)),
            (None, None) => {}
        }
    }

    fn tell_all(&self, log: &Log, report: &Report) {
        for diagnostic in &report.diagnostics {
            self.tell(log, diagnostic.level, &diagnostic.message);
        }
    }

    /// Tells the log and, of what matters, whoever started the program.
    fn tell(&self, log: &Log, level: Level, message: &str) {
        log.note(level, message);
        if level <= Level::Warn && !log.has_stderr(level) {
            print_error(&format!("{}: [{}] {message}\n", self.name, level_name(level)));
        }
    }
}

fn request(options: &Options) -> Request {
    let or = |path: &Option<PathBuf>, default: &str| path.clone().unwrap_or_else(|| default.into());
    Request {
        prefix: or(&options.prefix, cli::PREFIX),
        file: or(&options.file, cli::FILE),
        directives: options.directives.clone(),
        error_log: or(&options.error_log, cli::ERROR_LOG),
        pid: cli::PID.into(),
    }
}

fn load(request: &Request, machine: &Machine) -> (Result<Plan, Refusal>, Report) {
    let mut report = Report::default();
    let config = Config::load(request, machine, &mut report).map_err(|errors| Refusal::new(&errors, &report));
    let plan = config.and_then(|config| Plan::new(config).map_err(|error| LoadError::new(error).into()));
    (plan, report)
}

/// All that keeps a configuration from being used.
struct Refusal {
    first: LoadError,
    others: Vec<LoadError>,
    /// How many there are besides.
    omitted: usize,
}

impl Refusal {
    fn new(errors: &config::Errors, report: &Report) -> Self {
        let others = errors.iter().skip(1).map(|error| load_error(error, report));
        Self {
            first: load_error(errors.first(), report),
            others: others.collect(),
            omitted: errors.omitted(),
        }
    }

    /// For any failure at all.
    fn of_all(failures: Vec<LoadError>) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => {
                let others: Vec<_> = failures.by_ref().take(config::MOST_ERRORS - 1).collect();
                Err(Self { first, others, omitted: failures.count() })
            }
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(first: LoadError) -> Self {
        Self { first, others: Vec::new(), omitted: 0 }
    }
}

fn load_error(error: &config::Error, report: &Report) -> LoadError {
    LoadError {
        message: error.to_string(),
        hint: error.hint().map(str::to_owned),
        excerpt: report.excerpt(error),
    }
}

/// `-T`: all files, each once.
fn dump(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for file in &report.files {
        writeln!(out, "# configuration file {}:", file.name)?;
        out.write_all(&file.content)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn print(text: &str) {
    // Whoever closed standard output does not want to know.
    drop(io::stdout().write_all(text.as_bytes()));
}

fn print_error(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_options_leave_out_has_a_default() {
        let asked = request(&Options::default());
        assert_eq!(asked.prefix, PathBuf::from("/usr/local/gatepost/"));
        assert_eq!(asked.file, PathBuf::from("conf/nginx.conf"));
        assert_eq!(asked.error_log, PathBuf::from("logs/error.log"));
        assert_eq!(asked.pid, PathBuf::from("logs/nginx.pid"));
    }
}
