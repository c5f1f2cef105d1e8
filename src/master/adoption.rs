//! Telling the service manager anew whose child the master is, after it has taken over.
//!
//! systemd looks whether a main process is its own child when it is told which one that is. A new master is the child
//! of the old one then, and becomes systemd's when that ends. But of a main process that is not its child
//! systemd believes that it will not notice the end, and with `KillMode=mixed` it does not wait for it:
//! whoever stops the service later kills all of it at once. It looks again only if it is told of
//! another main process in between. For that a process is made that does nothing else than to pass the
//! office back: it has to be done by that process, since the manager listens to the main process alone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};

use crate::sys::notify::{barrier, notify};
use crate::sys::process::{self, Fork, Pid};
use crate::sys::signal;

/// How long that process waits, in milliseconds, until the manager has taken note.
const PATIENCE: u16 = 5000;

/// To be called by the main process when it has become a child of the manager that is reached at `place`.
///
/// # Errors
/// No process or no pipe can be made, or the manager cannot be reached.
pub fn ask_for(place: &str) -> io::Result<()> {
    let own = process::getpid();
    let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let blocked = signal::block_all();
    match process::fork()? {
        Fork::Child => {
            drop(tell);
            // Whether it works makes no difference to this process, and nobody else is there to know.
            let _ = pass_back(place, own, &told);
            process::exit_now(0)
        }
        Fork::Parent(other) => {
            drop(blocked);
            notify(place, &format!("MAINPID={other}"))?;
            drop(tell);
            Ok(())
        }
    }
}

/// In the process in between, with all signals blocked, so that none is taken for one to the master.
fn pass_back(place: &str, master: Pid, told: &OwnedFd) -> io::Result<()> {
    read(told, &mut [0])?;
    notify(place, &format!("MAINPID={master}"))?;
    // It has to be there until the manager has looked who it is that tells this.
    let done = barrier(place)?;
    let mut fds = [PollFd::new(done.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(PATIENCE))?;
    Ok(())
}
