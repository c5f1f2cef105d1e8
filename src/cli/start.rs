//! How the program was started, so that it can be started once more.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::app::Invocation;
use crate::error::Error;
use crate::sys::fd;

/// Taken down before anything is changed.
#[derive(Clone, Debug)]
pub struct Start {
    args: Vec<OsString>,
    /// Those of the program that runs, which a script is not.
    itself: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    /// Where the program was found by the system, if what it was called does not say where it is.
    executable: Option<PathBuf>,
    /// What else was open.
    descriptors: Vec<RawFd>,
}

/// Leads to the program that runs, even if it has been removed (proc(5)).
const ITSELF: &str = "/proc/self/exe";

impl Start {
    /// `args` start the program as it is then, `itself` the one that runs.
    pub fn new(args: &[OsString], itself: &[OsString], directory: &Path) -> Self {
        let mut start = Self {
            args: args.to_vec(),
            itself: itself.to_vec(),
            environment: std::env::vars_os().collect(),
            directory: directory.to_owned(),
            executable: None,
            descriptors: fd::open_across_exec().unwrap_or_default(),
        };
        if start.program().is_none() {
            start.executable = std::env::current_exe().ok();
        }
        start
    }

    /// The same with the program that is there now.
    ///
    /// # Errors
    /// There is none.
    pub fn invocation(&self) -> Result<Invocation, Error> {
        let program = self.program().ok_or_else(|| {
            let name = self.name().display();
            Error::config(format!("The program '{name}' cannot be found, or not be executed."))
        })?;
        Ok(self.with(program, &self.args))
    }

    /// The same with the program that runs, by its name as long as that leads there.
    pub fn invocation_of_itself(&self) -> Invocation {
        let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let own = identity(Path::new(ITSELF)).ok();
        let is_it = |path: &PathBuf| own.is_some() && identity(path).ok() == own;
        let named = self.itself.first().and_then(|name| self.find(name));
        let named = named.or_else(|| self.running()).filter(is_it);
        self.with(named.unwrap_or_else(|| ITSELF.into()), &self.itself)
    }

    fn with(&self, program: PathBuf, args: &[OsString]) -> Invocation {
        Invocation {
            program,
            args: args.to_vec(),
            environment: self.environment.clone(),
            directory: self.directory.clone(),
            descriptors: self.descriptors.clone(),
        }
    }

    fn name(&self) -> &OsStr {
        self.args.first().map(OsString::as_os_str).unwrap_or_default()
    }

    fn program(&self) -> Option<PathBuf> {
        self.find(self.name()).or_else(|| self.running())
    }

    fn running(&self) -> Option<PathBuf> {
        self.executable.clone().filter(|path| is_executable(path))
    }

    /// Finds a program as a shell does.
    fn find(&self, name: &OsStr) -> Option<PathBuf> {
        if Path::new(name).components().count() > 1 {
            return Some(self.directory.join(name)).filter(|path| is_executable(path));
        }
        let (_, path) = self.environment.iter().find(|(name, _)| name == "PATH")?;
        std::env::split_paths(path)
            .map(|place| self.directory.join(place).join(name))
            .find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is found under this name when `place` has an executable `bin/x` and another file `bin/y`.
    fn found(place: &Path, name: &str, path: Option<&str>) -> Result<PathBuf, String> {
        let environment = path.map(|path| ("PATH".into(), path.into()));
        let start = Start {
            args: vec![name.into(), "a".into()],
            itself: Vec::new(),
            environment: environment.into_iter().collect(),
            directory: place.to_owned(),
            executable: None,
            descriptors: Vec::new(),
        };
        let invocation = start.invocation().map_err(|error| error.to_string())?;
        assert_eq!(invocation.args, [name, "a"]);
        assert_eq!(invocation.directory, place);
        Ok(invocation.program)
    }

    #[test]
    fn the_program_is_looked_for_where_it_was_started() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        fs::create_dir(place.join("bin")).unwrap();
        for (name, mode) in [("bin/x", 0o755), ("bin/y", 0o644)] {
            fs::write(place.join(name), "").unwrap();
            fs::set_permissions(place.join(name), Permissions::from_mode(mode)).unwrap();
        }
        let program = place.join("bin/x");
        let absolute = program.to_str().unwrap();
        for (name, path) in [
            ("bin/x", None),
            ("./bin/x", None),
            (absolute, None),
            ("x", Some("/nowhere:bin")),
            ("x", Some(program.parent().unwrap().to_str().unwrap())),
        ] {
            let found = found(place, name, path).unwrap();
            assert_eq!(found.canonicalize().unwrap(), program.canonicalize().unwrap(), "{name}");
        }
        for (name, path) in [("x", None), ("y", Some("bin")), ("bin", Some(".")), ("bin/z", None)] {
            let error = found(place, name, path).unwrap_err();
            assert_eq!(error, format!("The program '{name}' cannot be found, or not be executed."));
        }
    }

    #[test]
    fn the_program_that_runs_is_found_even_if_another_one_has_its_name() {
        let start = Start::new(&["/bin/sh".into()], &["/bin/sh".into()], Path::new("/"));
        assert_eq!(start.invocation_of_itself().program, Path::new(ITSELF));
    }

    #[test]
    fn a_program_of_another_name_is_the_running_one() {
        let start = Start::new(&["no-such-program".into()], &[], Path::new("/"));
        assert_eq!(start.invocation_of_itself().program, std::env::current_exe().unwrap());
        assert_eq!(start.invocation().unwrap().program, std::env::current_exe().unwrap());
    }
}
