//! What the configuration says about the form of the processes, for the calls that need it.

use crate::config::Config;
use crate::error::Error;
use crate::net::listener::{Opening, Owner};
use crate::sys::account::{effective_gid, effective_uid};

/// Makes sure that workers can become whom the configuration wants them to be.
///
/// # Errors
/// This process may not change to that.
pub fn check_identity(config: &Config) -> Result<(), Error> {
    if config.identity().is_within_reach() {
        return Ok(());
    }
    let (uid, gid) = (effective_uid(), effective_gid());
    Err(Error::config(format!(
        "workers cannot act as user {} and group {}: the server runs as user {uid} and group {gid} and may \
         not change that. Start it as root with the capabilities CAP_SETUID and CAP_SETGID, or leave out \
         'user', 'group' and 'initgroups'.",
        config.user, config.group
    )))
}

/// How sockets are to be opened.
pub fn sockets(config: &Config) -> Opening {
    let owner = Owner {
        uid: config.socket_user.unwrap_or(config.user),
        gid: config.socket_group.unwrap_or(config.group),
    };
    Opening {
        mode: config.socket_mode.unwrap_or(0o777 & !config.umask),
        owner: Some(owner),
        reuse_port: config.reuse_port,
        ..Opening::with_backlog(config.backlog)
    }
}
