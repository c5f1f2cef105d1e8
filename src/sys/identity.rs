//! Whom a process acts as, and giving that up for another identity.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{self, Gid, Uid, User};

use super::account::{effective_gid, effective_uid};

/// `CAP_SETGID` and `CAP_SETUID` of capabilities(7).
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;

/// Whom a process is to act as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Whether it is to be in all groups that the group database names for the user.
    pub all_groups: bool,
}

/// A step of [`Identity::assume`] that failed.
#[derive(Debug)]
pub enum Refused {
    Groups(io::Error),
    Group(io::Error),
    User(io::Error),
}

impl Identity {
    /// Whether this process may take that identity, as far as that can be told before.
    #[must_use]
    pub fn is_within_reach(self) -> bool {
        let group = self.gid == effective_gid() && !self.changes_groups();
        (self.uid == effective_uid() || has_capability(CAP_SETUID))
            && (group || has_capability(CAP_SETGID))
    }

    /// Whether it is not that of this process.
    #[must_use]
    pub fn is_another(self) -> bool {
        self.uid != effective_uid() || self.gid != effective_gid()
    }

    /// A process that becomes another user must not keep the groups of the one that started it.
    fn changes_groups(self) -> bool {
        self.all_groups || self.uid != effective_uid()
    }

    /// Makes this process (all its threads) that user's for good: there is no way back.
    ///
    /// If the user changes, the process is in no groups but its own, unless `all_groups` adds those of
    /// the group database. A user without a name has none there.
    ///
    /// # Errors
    /// Which step the system refused. The process may be half changed then, and should end.
    pub fn assume(self) -> Result<(), Refused> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if self.changes_groups() {
            let name = self.all_groups.then(|| name_of(uid)).flatten();
            let set = match &name {
                Some(name) => unistd::initgroups(name, gid),
                None => unistd::setgroups(&[gid]),
            };
            set.map_err(|error| Refused::Groups(error.into()))?;
        }
        if self.gid != effective_gid() {
            unistd::setresgid(gid, gid, gid).map_err(|error| Refused::Group(error.into()))?;
        }
        if self.uid != effective_uid() {
            unistd::setresuid(uid, uid, uid).map_err(|error| Refused::User(error.into()))?;
        }
        Ok(())
    }
}

fn name_of(uid: Uid) -> Option<CString> {
    CString::new(User::from_uid(uid).ok().flatten()?.name).ok()
}

/// Whether a capability is in effect; if the system does not tell, it may be.
fn has_capability(number: u32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> number & 1 == 1)
}

/// Gives a file to a user and a group (`chown(2)`). What belongs to them already is left alone, so
/// that those without the right to give files away may call this too.
///
/// # Errors
/// As `chown(2)`.
pub fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let found = std::fs::symlink_metadata(path)?;
    if (found.uid(), found.gid()) != (uid, gid) {
        unistd::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::in_child;

    const NOBODY: u32 = 65534;

    fn own() -> Identity {
        Identity { uid: effective_uid(), gid: effective_gid(), all_groups: false }
    }

    #[test]
    fn ones_own_identity_is_always_within_reach_and_changes_nothing() {
        let own = own();
        assert!(own.is_within_reach() && !own.is_another());
        in_child(|| {
            let before = unistd::getgroups().map_err(|error| error.to_string())?;
            own.assume().map_err(|error| format!("{error:?}"))?;
            let after = unistd::getgroups().map_err(|error| error.to_string())?;
            if before == after { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
        });
    }

    /// With the privileges the change is made and there is no way back; without them it is refused.
    #[test]
    fn another_identity_takes_privileges() {
        let other = Identity { uid: NOBODY, gid: NOBODY, all_groups: false };
        let privileged = has_capability(CAP_SETUID) && has_capability(CAP_SETGID);
        let own = own();
        assert_eq!(other.is_another(), own != other);
        if own.uid == NOBODY {
            return assert!(!privileged);
        }
        assert_eq!(other.is_within_reach(), privileged);
        in_child(|| match (privileged, other.assume()) {
            (false, Err(Refused::Groups(_))) => Ok(()),
            (true, Ok(())) => {
                let groups = unistd::getgroups().map_err(|error| error.to_string())?;
                let now = (effective_uid(), effective_gid());
                if groups != [Gid::from_raw(NOBODY)] || now != (NOBODY, NOBODY) {
                    return Err(format!("still in {groups:?} as {now:?}"));
                }
                if own.is_within_reach() || own.assume().is_ok() {
                    return Err("there was a way back".to_owned());
                }
                Ok(())
            }
            (_, result) => Err(format!("privileged: {privileged}, but {result:?}")),
        });
    }

    #[test]
    fn files_are_given_away_if_they_are_not_theirs_already() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = file.as_file().metadata().unwrap();
        give(file.path(), found.uid(), found.gid()).unwrap();
        let given = give(file.path(), NOBODY, found.gid()).is_ok();
        let now = file.as_file().metadata().unwrap().uid();
        assert_eq!(now, if given { NOBODY } else { found.uid() });
        assert!(give(Path::new("/nowhere/x"), 0, 0).is_err());
    }
}
