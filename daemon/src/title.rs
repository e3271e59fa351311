//! What `ps` shows of a process, in nginx's words (spec/auth-http-and-ops.md section 9).

use crate::sys;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role<'a> {
    /// With the command line it was started by.
    Master(&'a str),
    Worker,
    /// A worker whose sessions are to end.
    Leaving,
}

/// Shows `name` and the role of this process.
pub(crate) fn show(name: &str, role: Role<'_>) {
    sys::set_title(&match role {
        Role::Master(arguments) => format!("{name}: master process {arguments}"),
        Role::Worker => format!("{name}: worker process"),
        Role::Leaving => format!("{name}: worker process is shutting down"),
    });
}
