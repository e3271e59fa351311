//! Limits, rights and place of a worker process (spec/config.md section 6).

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Pid, geteuid};

use crate::log::lines::{errno_text, error_text};
use crate::plan::Plan;
use crate::{privileges, sys};

/// Makes this process the worker of this number, counted from 0.
///
/// # Errors
/// What must not be otherwise. The rest is an alert, and the worker serves all the same.
pub(super) fn take(number: usize, plan: &Plan) -> Result<(), String> {
    let alert = |call: &str, errno: Errno| {
        plan.log.note(Level::Alert, &format!("{call} failed {}", errno_text(errno as i32)));
    };
    if plan.priority != 0
        && let Err(errno) = sys::set_priority(plan.priority)
    {
        alert(&format!("setpriority({})", plan.priority), errno);
    }
    let limits = [
        (Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE", plan.open_files),
        (Resource::RLIMIT_CORE, "RLIMIT_CORE", plan.core_size),
    ];
    for (resource, name, limit) in limits {
        if let Some(limit) = limit
            && let Err(errno) = setrlimit(resource, limit, limit)
        {
            alert(&format!("setrlimit({name}, {limit})"), errno);
        }
    }
    if let Some(account) = &plan.account
        && geteuid().is_root()
    {
        privileges::drop_to(account).map_err(|error| error.to_string())?;
        // A process that was root leaves no core unless it says so. Ours hold passwords: only on demand.
        if plan.core_size.is_some()
            && let Err(errno) = prctl::set_dumpable(true)
        {
            alert("prctl(PR_SET_DUMPABLE)", errno);
        }
    }
    let processors = plan.affinity.as_ref().map_or(&[][..], |affinity| affinity.of(number));
    if let Err(errno) = settle_on(processors, plan) {
        alert("sched_setaffinity()", errno);
    }
    if let Some(folder) = &plan.working_directory {
        std::env::set_current_dir(folder)
            .map_err(|error| format!("chdir(\"{}\") failed {}", folder.display(), error_text(&error)))?;
    }
    Ok(())
}

/// Runs on these processors from here on; on any if there are none.
fn settle_on(processors: &[usize], plan: &Plan) -> nix::Result<()> {
    if processors.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for processor in processors {
        plan.log.note(Level::Notice, &format!("sched_setaffinity(): using cpu #{processor}"));
        set.set(*processor)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
}
