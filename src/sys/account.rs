//! Users and groups: getpwnam(3), getgrnam(3), geteuid(2), getegid(2).

use nix::unistd::{Gid, Group, Uid, User};

/// The user id this process acts with.
pub fn effective_uid() -> u32 {
    Uid::effective().as_raw()
}

/// The group id this process acts with.
pub fn effective_gid() -> u32 {
    Gid::effective().as_raw()
}

/// The id of a user, if the system knows the name.
pub fn uid_of(name: &str) -> Option<u32> {
    Some(User::from_name(name).ok()??.uid.as_raw())
}

/// The id of a group, if the system knows the name.
pub fn gid_of(name: &str) -> Option<u32> {
    Some(Group::from_name(name).ok()??.gid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_by_that_name() {
        assert_eq!((uid_of("root"), gid_of("root")), (Some(0), Some(0)));
        assert_eq!((uid_of("no such name"), gid_of("\0")), (None, None));
    }
}
