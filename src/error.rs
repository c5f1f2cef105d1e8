//! The one error type of start-up and configuration, and the exit codes that go with it.

use std::any::Any;
use std::fmt;
use std::io;

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
    /// One of [`Exit`]'s, unless a conf file called `sys.exit` with another.
    status: i32,
    form: Form,
    message: String,
    /// More for somebody who does not know what to do about it, behind an empty line.
    hint: &'static str,
}

/// What stderr gets.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// `Error: ` in front.
    Sentence,
    /// The same, and an empty line behind it.
    Start,
    /// The message alone.
    Complete,
}

impl Error {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { status: exit as i32, form: Form::Sentence, message: message.into(), hint: "" }
    }

    /// A start-up or configuration error (exit status 1).
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// A command-line error (exit status 2); the message is complete, usage line included.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { form: Form::Complete, ..Self::new(Exit::Usage, message) }
    }

    /// An error whose message is already everything the user shall see, and the exit status that
    /// goes with it, which may be any (0 too: a conf file that calls `sys.exit(0)`).
    pub fn complete(status: i32, message: impl Into<String>) -> Self {
        Self { status, form: Form::Complete, ..Self::new(Exit::Config, message) }
    }

    /// The same error of a server whose configuration has been read, and that cannot start with it.
    #[must_use]
    pub fn of_start(mut self) -> Self {
        if self.form == Form::Sentence {
            self.form = Form::Start;
        }
        self
    }

    /// The same, and what to do about it: lines that are complete.
    #[must_use]
    pub fn with_hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// The same, with the place of the mistake behind what is said of it.
    #[must_use]
    pub fn found_in(mut self, place: &str) -> Self {
        let end = self.message.trim_end().len();
        self.message.insert_str(end, &format!(" (in {place})"));
        self
    }

    /// The exit status the program ends with.
    pub fn status(&self) -> i32 {
        self.status
    }

    /// The exact text for stderr when the program ends because of this error, in gunicorn's form.
    pub fn report(&self) -> String {
        let mut text = match self.form {
            Form::Sentence => format!("\nError: {}\n", self.message),
            Form::Start => format!("\nError: {}\n\n", self.message),
            Form::Complete => self.message.clone(),
        };
        if !self.hint.is_empty() {
            text.push('\n');
            text.push_str(self.hint);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What the system said, for a user: without the number that the standard library adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((before, rest)) => {
            let after = rest.split_once(')').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => text,
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_no_numbers() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(reason(&missing), "No such file or directory");
        let wrapped = io::Error::other(format!("{missing} at path \"/x\""));
        assert_eq!(reason(&wrapped), "No such file or directory at path \"/x\"");
        assert_eq!(reason(&io::Error::other("odd")), "odd");
    }

    #[test]
    fn reports_as_gunicorn_does() {
        assert_eq!(Error::config("no").report(), "\nError: no\n");
        assert_eq!(Error::config("no").with_hint("Do.\n").report(), "\nError: no\n\nDo.\n");
        assert_eq!(Error::usage("usage: x\n").report(), "usage: x\n");
        assert_eq!(Error::usage("usage: x\n").status(), 2);
        assert_eq!(Error::config("no").of_start().report(), "\nError: no\n\n");
        let left = Error::complete(7, "").of_start();
        assert_eq!((left.report().as_str(), left.status()), ("", 7));
    }
}
