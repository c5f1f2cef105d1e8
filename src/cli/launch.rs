//! How the program came to run: as a process of its own, or in an interpreter that has imported it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use pyo3::prelude::*;

use super::start::Start;
use super::variable;
use crate::config::{self, Early};
use crate::error::Error;
use crate::python::{environment, interpreter, library, program};
use crate::sys::{env, process, proctitle};

/// See the module documentation.
pub struct Launch<'a> {
    /// The command line without the program's name.
    pub options: &'a [OsString],
    /// The command line that starts the program as it is then.
    pub again: &'a [OsString],
    /// The one that starts the program that runs, whatever is in its place by then.
    pub itself: &'a [OsString],
    /// The Python program that starts the server and decides about its settings, if it is not the command.
    pub program: Option<&'a Bound<'a, PyAny>>,
    pub home: Home<'a>,
}

/// Whose interpreter the program runs in.
#[derive(Clone, Copy)]
pub enum Home<'a> {
    /// It makes one, with this command line.
    Made(&'a [OsString]),
    /// One is there.
    Found,
}

impl Launch<'_> {
    /// What must be known before there is Python.
    ///
    /// # Errors
    /// A command line that cannot be parsed, or a wrong file.
    pub(super) fn early(&self, start: &Path) -> Result<Early, Error> {
        match self.program {
            // It reads what it wants to.
            Some(_) => Ok(Early { venv: None, exit: None }),
            None => config::early(self.options, &variable, start),
        }
    }

    pub(super) fn start(&self, directory: &Path) -> Start {
        Start::new(self.again, self.itself, directory)
    }

    /// Takes a variable out of the environment.
    pub(super) fn take(&self, name: &str) -> Option<OsString> {
        match self.home {
            Home::Made(_) => env::take(name),
            Home::Found => Python::attach(|py| environment::take(py, name)),
        }
    }

    /// # Errors
    /// As [`proctitle::init`].
    pub(super) fn make_room_for_titles(&self) -> io::Result<()> {
        match self.home {
            Home::Made(args) => proctitle::init(args),
            Home::Found => {
                // As after its start: a master that has become a new program was started as `python`.
                let name = self.again.first().map(Path::new).and_then(Path::file_name);
                process::set_name(name.unwrap_or_default())?;
                proctitle::take_over()
            }
        }
    }

    /// Sees to it that Python can be used.
    ///
    /// # Errors
    /// libpython is not there, or it is another environment than `venv`, or the wrong thread.
    pub(super) fn open(&self, venv: Option<&Path>) -> Result<(), Error> {
        match self.home {
            Home::Made(args) => {
                library::open()?;
                initialize(venv, args)
            }
            Home::Found => Python::attach(|py| interpreter::adopt(py, venv)),
        }
    }

    /// Tells the rest who starts the server.
    pub(super) fn tell_who_starts(&self) {
        if let Some(program) = self.program {
            program::start(program);
        }
    }

    /// The end of the master. Its interpreter goes on if it is somebody else's.
    pub(super) fn end(&self, py: Python<'_>, status: i32) -> i32 {
        match self.home {
            Home::Made(_) => {
                // Runs `atexit` functions and flushes Python's streams, like the end of any Python program.
                interpreter::finalize(py);
                process::exit_now(status)
            }
            Home::Found => status,
        }
    }
}

/// A function of its own, as nothing of Python may be looked at before libpython is there.
#[inline(never)]
fn initialize(venv: Option<&Path>, args: &[OsString]) -> Result<(), Error> {
    interpreter::initialize(venv, args)
}
