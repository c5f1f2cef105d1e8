//! Becoming a daemon: a process in a session of its own, without a terminal.
//!
//! The command that was started waits until the daemon has started too, or has failed to, and ends with
//! its exit status; what the daemon says about a failure until then, the command says on its terminal.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{pipe2, setsid};

use super::fd::redirect;
use super::process::{Fork, fork};

/// The way to the command that waits, while it does. Its messages are text, and at last [`OVER`] and the
/// exit status.
static WAITING: Mutex<Option<File>> = Mutex::new(None);

/// Not in any text.
const OVER: u8 = 0;

/// What the daemon does with its standard output and error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// They go nowhere.
    Dropped,
    /// They stay where they go, unless that is a terminal.
    Inherited,
}

/// Which side of [`detach`] the caller finds itself on.
#[derive(Debug)]
pub enum Detached {
    /// The daemon.
    Daemon,
    /// The command: it is to end with this status, without a further word.
    Command(i32),
}

/// Makes the daemon, and waits in the command until it has called [`settle`] or is gone.
///
/// # Errors
/// There cannot be another process, or /dev/null cannot be opened.
pub fn detach(streams: Streams) -> io::Result<Detached> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    if let Fork::Parent(_) = fork()? {
        drop(write);
        return Ok(Detached::Command(wait(read)));
    }
    drop(read);
    let mut write = File::from(write);
    match leave(&null, streams) {
        Ok(()) => {
            *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = Some(write);
            Ok(Detached::Daemon)
        }
        Err(error) => {
            // The command says it.
            let _ = write!(write, "\nError: the server cannot become a daemon: {error}\n");
            Ok(Detached::Command(1))
        }
    }
}

/// Leaves session, terminal and standard streams behind. A second fork sees to it that the process,
/// which leads no session then, never gets a terminal again.
fn leave(null: &File, streams: Streams) -> io::Result<()> {
    setsid()?;
    if let Fork::Parent(_) = fork()? {
        super::process::exit_now(0);
    }
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    redirect(io::stdin().as_fd(), null.as_fd())?;
    let dropped = |terminal| streams == Streams::Dropped || terminal;
    if dropped(io::stdout().is_terminal()) {
        redirect(io::stdout().as_fd(), null.as_fd())?;
    }
    if dropped(io::stderr().is_terminal()) {
        redirect(io::stderr().as_fd(), null.as_fd())?;
    }
    Ok(())
}

/// Says what the daemon says until it has settled; returns its exit status.
fn wait(pipe: OwnedFd) -> i32 {
    let mut said = Vec::new();
    // What was read before an error has been said.
    let _ = File::from(pipe).read_to_end(&mut said);
    let (text, status) = match said.as_slice() {
        [text @ .., OVER, status] => (text, i32::from(*status)),
        text => (text, 1),
    };
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text);
    if status == 1 && text.is_empty() {
        let _ = stderr.write_all(b"\nError: the daemon ended before it had started.\n");
    }
    status
}

/// Writes `text` to standard error, and on the terminal of the command that waits, if there is one. If
/// neither can be written to, the exit status has to do.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
    if let Some(pipe) = &mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = pipe.write_all(text.replace('\0', "").as_bytes());
    }
}

/// The daemon has started (0) or ends (its exit status): the command that waits, if there is one, ends
/// too. Only the first call has an effect.
pub fn settle(status: i32) {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut pipe) = waiting {
        let _ = pipe.write_all(&[OVER, u8::try_from(status & 0xff).unwrap_or(1)]);
    }
}
