//! The file that holds the master's process id.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, reason};
use crate::sys::process::{self, Pid};
use crate::sys::signal::Signal;
use crate::sys::untimely;

/// A pid file of this process. Removed by [`PidFile::remove`], not when dropped: a forked worker owns
/// a copy of this value.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the own process id to `path`, over whatever a process that is gone has left there.
    ///
    /// # Errors
    /// Another process is running by this file; the directory is missing or not writable.
    pub fn create(path: &str) -> Result<Self, Error> {
        Self::create_over(path, process::getpid())
    }

    /// The same; the file may also hold the id of the process `gone`, which has ended, although the
    /// system may still know it.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_over(path: &str, gone: Pid) -> Result<Self, Error> {
        let own = process::getpid();
        let path = PathBuf::from(path);
        let is_alive = |&pid: &Pid| pid != own && pid != gone && process::exists(pid);
        if let Some(pid) = holder(&path).filter(is_alive) {
            return Err(Error::config(format!(
                "Already running on PID {pid} (or pid file '{}' is stale)",
                path.display()
            )));
        }
        // A path without a directory part means the current directory.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        if !directory.is_dir() {
            return Err(Error::config(format!(
                "{} doesn't exist. Can't create pidfile.",
                directory.display()
            )));
        }
        write(directory, &path, own).map_err(|error| {
            Error::config(format!(
                "The pid file '{}' cannot be written: {}. Choose a place that this user may \
                 write to.",
                path.display(),
                reason(&error)
            ))
        })?;
        // The directory the process works in may change before the file is removed.
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Self { path })
    }

    /// The one that another program had in this process.
    pub fn kept(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `path`, as a user writes it, means this file.
    pub fn is_at(&self, path: &str) -> bool {
        std::path::absolute(path).is_ok_and(|path| path == self.path)
    }

    /// Has the file go also if a signal ends the process before it handles signals.
    ///
    /// # Errors
    /// That cannot be arranged.
    pub fn remove_if_ended(&self) -> io::Result<()> {
        const ENDING: [Signal; 5] =
            [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];
        untimely::remove_if_ended_by(&self.path, &ENDING)
    }

    /// Removes the file unless another process has taken it over.
    pub fn remove(&self) {
        if holder(&self.path) == Some(process::getpid()) {
            // If it cannot be removed it is stale from now on, and the next start overwrites it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The process id a pid file holds; `None` if there is no file or no number in it.
fn holder(path: &Path) -> Option<Pid> {
    Pid::new(fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

/// In one step for readers: they see the old content or the new one.
fn write(directory: &Path, path: &Path, pid: Pid) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(file, "{pid}")?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid").to_str().unwrap().to_owned();
        (directory, path)
    }

    #[test]
    fn holds_the_own_pid_until_it_is_removed() {
        let (_directory, path) = place();
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(file.is_at(&path));
        // A reload may create it again.
        PidFile::create(&path).unwrap();
        file.remove();
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn what_the_dead_left_is_overwritten() {
        for left in ["", "nonsense", "2147483647\n", "-1", "0"] {
            let (_directory, path) = place();
            fs::write(&path, left).unwrap();
            PidFile::create(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        }
    }

    #[test]
    fn a_living_holder_and_a_missing_directory_are_named() {
        let (_directory, path) = place();
        fs::write(&path, "1\n").unwrap();
        let text = PidFile::create(&path).unwrap_err().to_string();
        assert_eq!(text, format!("Already running on PID 1 (or pid file '{path}' is stale)"));
        let text = PidFile::create("/nowhere/x.pid").unwrap_err().to_string();
        assert_eq!(text, "/nowhere doesn't exist. Can't create pidfile.");
    }

    #[test]
    fn what_a_process_left_that_has_ended_is_overwritten() {
        let (_directory, path) = place();
        fs::write(&path, "1\n").unwrap();
        PidFile::create_over(&path, Pid::new(1).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_file_taken_over_by_another_process_stays() {
        let (_directory, path) = place();
        let file = PidFile::create(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        file.remove();
        assert!(Path::new(&path).exists());
    }
}
