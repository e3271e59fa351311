//! Who the workers are.

use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, initgroups, setgid, setuid};
use thiserror::Error;

use crate::config;

/// `user USER [GROUP]`, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// For the additional groups.
    pub(crate) name: CString,
    pub(crate) user: Uid,
    pub(crate) group: Gid,
}

impl From<config::Account> for Account {
    fn from(account: config::Account) -> Self {
        let config::Account { name, user, group } = account;
        Self { name, user: Uid::from_raw(user), group: Gid::from_raw(group) }
    }
}

/// A step that failed: the worker must not serve with more rights than it should have.
#[derive(Debug, Error)]
#[error("{call} failed {}", crate::log::lines::errno_text(*.errno as i32))]
pub(crate) struct PrivilegeError {
    call: String,
    errno: Errno,
}

/// Becomes this account for good: group, additional groups, user, in the order in which each is still allowed.
pub(crate) fn drop_to(account: &Account) -> Result<(), PrivilegeError> {
    let Account { name, user, group } = account;
    let failed = |call: String| move |errno| PrivilegeError { call, errno };
    setgid(*group).map_err(failed(format!("setgid({group})")))?;
    initgroups(name, *group).map_err(failed(format!("initgroups({}, {group})", name.to_string_lossy())))?;
    setuid(*user).map_err(failed(format!("setuid({user})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_call_as_the_log_wants_it() {
        let error = PrivilegeError { call: "setuid(33)".into(), errno: Errno::EPERM };
        assert_eq!(error.to_string(), "setuid(33) failed (1: Operation not permitted)");
    }
}
