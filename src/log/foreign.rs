//! A logger outside of this program, in Python, that takes the place of our logs.

use super::error::Severity;
use crate::config::Config;
use crate::error::Error;

/// What takes records where a configuration asks for a logger of another kind. There is one for the
/// whole life of the process.
pub trait Foreign: Send + Sync {
    /// Whether a configuration asks for it instead of our own logs.
    fn is_wanted(&self, config: &Config) -> bool;
    /// Makes itself as `config` wants it, which may be to have our own logs do the work.
    ///
    /// # Errors
    /// The sentence for the user. What was in force stays in force.
    fn configure(&self, config: &Config) -> Result<(), Error>;
    /// Whether records go to it at this moment: because it is wanted, or because it has them go
    /// through other hands before it has our own log write them.
    fn takes_records(&self) -> bool;
    /// Whether somebody wants records of this severity.
    fn wants(&self, severity: Severity) -> bool;
    /// Takes a record, from any thread. Waits neither for the interpreter nor for whoever reads the
    /// log. `false` if the record is ours to write.
    fn record(&self, severity: Severity, message: &str) -> bool;
    /// Opens files again under their names: its own, and those that are not the server's.
    fn reopen(&self);
    /// The process ends: sees to it that what was taken reaches the logger, or our own log if the
    /// logger does not take it in time.
    fn flush(&self);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::log;
    use crate::sys::testing::alone;

    /// Is wanted by configurations with a `logconfig`, and refuses `bad`.
    struct Other {
        notes: Mutex<Vec<String>>,
        takes: AtomicBool,
    }

    impl Other {
        fn note(&self, text: String) {
            self.notes.lock().expect("notes").push(text);
        }
    }

    impl Foreign for Other {
        fn is_wanted(&self, config: &Config) -> bool {
            config.logconfig.is_some()
        }

        fn configure(&self, config: &Config) -> Result<(), Error> {
            match config.logconfig.as_deref() {
                Some("bad") => Err(Error::config("bad")),
                name => {
                    self.takes.store(name.is_some(), Ordering::Relaxed);
                    Ok(())
                }
            }
        }

        fn takes_records(&self) -> bool {
            self.takes.load(Ordering::Relaxed)
        }

        fn wants(&self, severity: Severity) -> bool {
            severity >= Severity::Warning
        }

        fn record(&self, severity: Severity, message: &str) -> bool {
            self.note(format!("{severity:?} {message}"));
            message != "yours"
        }

        fn reopen(&self) {
            self.note("reopen".into());
        }

        fn flush(&self) {
            self.note("flush".into());
        }
    }

    static OTHER: Other = Other { notes: Mutex::new(Vec::new()), takes: AtomicBool::new(false) };

    #[test]
    fn it_takes_the_place_of_our_logs() {
        alone("log::foreign::tests::it_takes_the_place_of_our_logs", || {
            let place = tempfile::tempdir().expect("tempdir");
            let path = place.path().join("error.log");
            let ours = Config { errorlog: Some(path.display().to_string()), ..Config::default() };
            let foreign = |name: &str| Config { logconfig: Some(name.into()), ..ours.clone() };
            log::install(&foreign("good"), Some(&OTHER)).expect("install");
            tracing::info!("not wanted");
            tracing::warn!("one");
            tracing::error!("yours");
            log::reopen();
            assert!(!path.exists(), "it writes files of its own");
            log::configure(&ours).expect("ours");
            tracing::info!("two");
            log::configure(&foreign("bad")).expect_err("bad");
            tracing::info!("three");
            OTHER.takes.store(true, Ordering::Relaxed);
            tracing::callsite::rebuild_interest_cache();
            tracing::warn!("through others");
            tracing::error!("yours");
            log::configure(&foreign("good")).expect("good");
            log::flush();
            let noted = OTHER.notes.lock().expect("notes").clone();
            assert_eq!(
                noted,
                [
                    "Warning one",
                    "Error yours",
                    "reopen",
                    "Warning through others",
                    "Error yours",
                    "flush"
                ]
            );
            let text = std::fs::read_to_string(path).expect("our log");
            let words: Vec<_> =
                text.lines().filter_map(|line| line.split(' ').next_back()).collect();
            assert_eq!(words, ["two", "three", "yours"]);
        });
    }
}
