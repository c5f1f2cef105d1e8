//! Where log lines go: a file or a standard stream, behind a descriptor whose number never changes.
//!
//! The number stays, so writing takes no lock, which a fork could leave locked in the child, and
//! others (the fatal error handler of Python) may keep it.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat, lstat};
use nix::unistd::write;

use crate::config::value::quoted;
use crate::error::{Error, reason};
use crate::sys::fd::redirect;

/// What a log setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Nothing,
    Stdout,
    Stderr,
    /// An absolute path: it is opened again later, perhaps from another directory.
    File(PathBuf),
}

impl Target {
    /// Reads `errorlog` or `accesslog`; `-` is the standard stream `dash`.
    pub fn parse(setting: Option<&str>, dash: Self) -> Self {
        match setting {
            None => Self::Nothing,
            Some("-") => dash,
            // Absolute paths fail for the empty one only, which is then reported as unwritable.
            Some(path) => Self::File(std::path::absolute(path).unwrap_or_default()),
        }
    }

    /// For messages.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Nothing => "/dev/null".into(),
            Self::Stdout => "standard output".into(),
            Self::Stderr => "standard error".into(),
            Self::File(path) => path.to_string_lossy(),
        }
    }

    /// Opens it; `stdout` and `stderr` are what the standard streams shall be.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(&self, stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        match self {
            Self::Nothing => append(Path::new("/dev/null")),
            Self::Stdout => stdout.try_clone_to_owned(),
            Self::Stderr => stderr.try_clone_to_owned(),
            Self::File(path) => append(path),
        }
    }
}

impl Target {
    /// Makes a file belong to those who shall be able to open it again. What is no regular file, or not
    /// ours to give, stays as it is.
    pub fn give_to(&self, fd: &OwnedFd, user: u32, group: u32) {
        if matches!(self, Self::File(_)) && regular(fd).is_some() {
            let _ = std::os::unix::fs::fchown(fd, Some(user), Some(group));
        }
    }

    /// Makes a file that was just made belong to those whom the `old` one belongs to: workers that act as
    /// somebody else are to open it after the master. Who may write to the directory must not get other
    /// files in this way, by a link, which is why it has to be empty and be no link.
    pub fn give_as(&self, fd: &OwnedFd, old: BorrowedFd<'_>) {
        let (Self::File(path), Some(old), Some(new)) = (self, regular(old), regular(fd)) else {
            return;
        };
        let found = lstat(path).ok();
        let made = found.is_some_and(|found| {
            (found.st_dev, found.st_ino, found.st_nlink) == (new.st_dev, new.st_ino, 1)
        });
        if made && new.st_size == 0 {
            self.give_to(fd, old.st_uid, old.st_gid);
        }
    }
}

/// The sentence for the user about a log that cannot be opened, by the name that the setting has for it.
pub fn unwritable(name: &str, error: &io::Error) -> Error {
    let class = match error.kind() {
        io::ErrorKind::NotFound => "FileNotFoundError",
        io::ErrorKind::PermissionDenied => "PermissionError",
        io::ErrorKind::IsADirectory => "IsADirectoryError",
        io::ErrorKind::NotADirectory => "NotADirectoryError",
        _ => "OSError",
    };
    let number = error.raw_os_error().map(|number| format!("{number}, ")).unwrap_or_default();
    let reason = quoted(&reason(error));
    Error::config(format!("Error: '{name}' isn't writable [{class}({number}{reason})]"))
}

/// What is known of a file, if it is a regular one.
fn regular(fd: impl AsFd) -> Option<FileStat> {
    let kind = |stat: &FileStat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    fstat(fd).ok().filter(|stat| kind(stat) == SFlag::S_IFREG)
}

/// `O_APPEND`, so that lines of several processes do not overwrite each other; close-on-exec is
/// what the standard library does anyway.
fn append(path: &Path) -> io::Result<OwnedFd> {
    let file = File::options().append(true).create(true).custom_flags(libc::O_NOCTTY).open(path)?;
    Ok(file.into())
}

#[derive(Debug)]
pub struct Output {
    fd: OwnedFd,
    /// The last record was written in part: the next one begins with a line of its own.
    torn: AtomicBool,
    target: Mutex<Target>,
}

impl Output {
    pub fn new(target: Target, fd: OwnedFd) -> Self {
        Self { fd, torn: AtomicBool::new(false), target: Mutex::new(target) }
    }

    pub fn target(&self) -> Target {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a whole record with one write(2), as long as the kernel takes it in one. Failures are
    /// nobody's business: a full disk must not hurt a request.
    pub fn write(&self, record: &[u8]) {
        if self.torn.load(Ordering::Relaxed) && self.write_all(b"\n") > 0 {
            self.torn.store(false, Ordering::Relaxed);
        }
        let written = self.write_all(record);
        if written > 0 && written < record.len() {
            self.torn.store(true, Ordering::Relaxed);
        }
    }

    /// How much of it was written.
    fn write_all(&self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            match write(&self.fd, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        bytes.len() - rest.len()
    }

    /// Sends what is written from now on to `fd`, which is `target` opened.
    pub fn redirect(&self, target: Target, fd: BorrowedFd<'_>) {
        // dup3(2) fails only for descriptors that are not open or identical.
        if redirect(self.fd.as_fd(), fd).is_ok() {
            self.torn.store(false, Ordering::Relaxed);
            *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
