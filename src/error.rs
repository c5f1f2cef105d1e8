//! The one error type of start-up and configuration, and the exit codes that go with it.

use std::fmt;

/// Exit statuses of the program, as gunicorn has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Normal end.
    Ok = 0,
    /// Configuration or start-up failed.
    Config = 1,
    /// The command line could not be parsed.
    Usage = 2,
    /// A worker failed to boot.
    WorkerBoot = 3,
    /// A worker could not find the application object.
    AppLoad = 4,
}

/// A failure the user has to act on: a sentence, and the exit status the program ends with.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
}

impl Error {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// A start-up or configuration error (exit status 1).
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// A command-line error (exit status 2); the message is complete, usage line included.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
