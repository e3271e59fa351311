//! What was shown: each client notes what it has done, for the table that `interop-matrix` makes of a run.

use std::fs;
use std::path::PathBuf;

use gatepost_tests::Program;

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Clear,
    StartTls,
    Tls,
}

impl Security {
    pub(crate) const ALL: [Self; 3] = [Self::Clear, Self::StartTls, Self::Tls];

    fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::StartTls => "starttls",
            Self::Tls => "tls",
        }
    }

    /// This one of the words for clear, STARTTLS and TLS.
    pub(crate) fn pick(self, words: [&str; 3]) -> &str {
        let [clear, starttls, tls] = words;
        match self {
            Self::Clear => clear,
            Self::StartTls => starttls,
            Self::Tls => tls,
        }
    }
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Imap,
    Pop3,
    Smtp,
}

impl Spoken {
    fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
        }
    }

    /// The port of the front.
    pub(crate) fn port(self, security: Security) -> u16 {
        let [plain, tls] = match self {
            Self::Imap => [1143, 1993],
            Self::Pop3 => [1110, 1995],
            Self::Smtp => [1587, 1465],
        };
        if security == Security::Tls { tls } else { plain }
    }
}

/// Notes that `client` has done its work through `program`. To be called behind the assertions.
pub(crate) fn record(program: Program, client: &str, spoken: Spoken, security: Security) {
    // A file for each: tests of several processes and threads write at the same time.
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).expect("tests run in target/PROFILE/deps");
    let folder: PathBuf = target.join("interop");
    fs::create_dir_all(&folder).unwrap();
    let name = format!("{client},{},{},{}", spoken.name(), security.name(), program.name());
    fs::write(folder.join(name), "").unwrap();
}
