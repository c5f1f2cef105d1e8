//! Descriptors that copies of the master must not hold open which code of the user makes (`os.fork`,
//! `multiprocessing`): nobody could tell any more that the master is gone, or listen where it has.
//!
//! Close-on-exec does not help there, since such a copy goes on with the same program.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

static NUMBERS: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Such a descriptor. A process that the server itself forks has it as any other.
#[derive(Debug)]
pub struct Private(OwnedFd);

impl From<OwnedFd> for Private {
    fn from(fd: OwnedFd) -> Self {
        numbers().push(fd.as_raw_fd());
        Self(fd)
    }
}

impl AsFd for Private {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Private {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let own = self.0.as_raw_fd();
        numbers().retain(|number| *number != own);
    }
}

fn numbers() -> MutexGuard<'static, Vec<RawFd>> {
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In such a copy: lets go of what it must not hold. The numbers stay taken, by nothing of use.
pub fn let_go() {
    let numbers = match NUMBERS.try_lock() {
        Ok(numbers) => numbers,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Another thread had it when the process was copied, and will not give it back here.
        Err(TryLockError::WouldBlock) => return,
    };
    let Ok(nothing) = File::open("/dev/null") else { return };
    for number in numbers.iter() {
        // SAFETY: both are open. Whoever owns the number goes on owning it: only the file behind it changes.
        unsafe { libc::dup3(nothing.as_raw_fd(), *number, libc::O_CLOEXEC) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::in_child;

    #[test]
    fn a_copy_lets_go_of_it() {
        let (read, write) = std::io::pipe().unwrap();
        let write = Private::from(OwnedFd::from(write));
        in_child(|| {
            let_go();
            (nix::unistd::write(&write, b"x") == Err(nix::errno::Errno::EBADF))
                .then_some(())
                .ok_or_else(|| "it can be written".to_owned())
        });
        drop(write);
        assert_eq!(std::io::read_to_string(read).unwrap(), "");
    }
}
