//! Telling the service manager anew whose child the master is, after it has taken over.
//!
//! systemd looks whether a main process is its own child when it is told which one that is. A new master is the child
//! of the old one then, and becomes systemd's when that ends. But of a main process that is not its child
//! systemd believes that it will not notice the end, and with `KillMode=mixed` it does not wait for it:
//! whoever stops the service later kills all of it at once. It looks again only if it is told of
//! another main process in between. For that a process is made that does nothing else than to pass the
//! office back: it has to be done by that process, since the manager listens to the main process alone.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::sys::notify::{barrier, notify};
use crate::sys::process::{self, Fork, Pid};
use crate::sys::signal;

/// How long to wait, in milliseconds, until the manager has taken note.
const PATIENCE: u16 = 5000;

/// To be called by the main process when it has become a child of the manager that is reached at `place`.
/// It is the main process again when this returns, or soon after if the manager takes its time.
///
/// # Errors
/// No process or no sockets can be made, or the manager cannot be reached.
pub fn ask_for(place: &str) -> io::Result<()> {
    let own = process::getpid();
    let (here, there) = UnixStream::pair()?;
    let blocked = signal::block_all();
    match process::fork()? {
        Fork::Child => {
            drop(here);
            // Whether it works makes no difference to this process, and nobody else is there to know.
            let _ = pass_back(place, own, &there);
            process::exit_now(0)
        }
        Fork::Parent(other) => {
            drop(blocked);
            drop(there);
            notify(place, &format!("MAINPID={other}"))?;
            write(&here, &[0])?;
            // Its end closes the other side.
            wait_for(&here);
            Ok(())
        }
    }
}

/// In the process in between, with all signals blocked, so that none is taken for one to the master.
fn pass_back(place: &str, master: Pid, told: &UnixStream) -> io::Result<()> {
    if read(told, &mut [0])? == 1 {
        notify(place, &format!("MAINPID={master}"))?;
        // It has to be there until the manager has looked who it is that tells this.
        wait_until_heard(place)?;
    }
    Ok(())
}

/// Waits until the manager has dealt with what it was told.
///
/// # Errors
/// It cannot be reached.
pub fn wait_until_heard(place: &str) -> io::Result<()> {
    wait_for(&barrier(place)?);
    Ok(())
}

fn wait_for(end: &impl AsFd) {
    let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    // A signal in between waits in the pipe.
    while poll(&mut fds, PollTimeout::from(PATIENCE)) == Err(Errno::EINTR) {}
}
