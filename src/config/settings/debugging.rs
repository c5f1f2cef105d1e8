//! Section "Debugging".

use crate::config::kinds::{Kind, Strings};
use crate::config::setting::{Refers, Scope, Shape};
use crate::config::value::Value;

macro_rules! debugging {
    ($($chain:tt)*) => { settings! { $($chain)* Debugging {
        /// Replace the workers when a file of the application changes. For development.
        ///
        /// Code that cannot be loaded is answered for with a page that shows the traceback, until it can
        /// be. Nothing is loaded before the workers are forked, whatever `preload_app` says.
        reload: bool = Switch {
            flags: ["--reload"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// How changes of files are found: auto, poll or inotify.
        ///
        /// With inotify, which auto means, the system tells. poll looks at all files every second, which
        /// file systems over a network may need.
        reload_engine: ReloadEngine = ReloadEngines {
            flags: ["--reload-engine"],
            metavar: "STRING",
            default: "auto",
            reload: Workers,
        }

        /// A file, or a pattern of files, that `reload` looks at as well; may be given several times.
        ///
        /// In a pattern, `**` stands for any directories. A file that newly matches it counts as a change.
        reload_extra_files: Vec<String> = Files {
            flags: ["--reload-extra-file"],
            metavar: "FILES",
            default: Value::List(Vec::new()),
            reload: Workers,
        }

        /// Print every line of Python that is executed.
        ///
        /// On standard output, as `MODULE:LINE: TEXT`, for all threads.
        spew: bool = Switch {
            flags: ["--spew"],
            metavar: "",
            default: false,
            reload: Restart,
        }

        /// Check the configuration, import the application, and exit.
        ///
        /// Exit status 0 and no output if all is well, else 1 and the reason.
        check_config: bool = Switch {
            flags: ["--check-config"],
            metavar: "",
            default: false,
            reload: Restart,
        }

        /// Print the configuration as it results from all layers, check it, and exit.
        print_config: bool = Switch {
            flags: ["--print-config"],
            metavar: "",
            default: false,
            reload: Restart,
        }
    } } };
}
pub(super) use debugging;

/// How changes of files are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReloadEngine {
    /// The best there is.
    #[default]
    Auto,
    /// By looking at their times again and again.
    Poll,
    /// By being told by the kernel.
    Inotify,
}

/// The choice of a [`ReloadEngine`], spelled exactly.
pub struct ReloadEngines;

impl Kind for ReloadEngines {
    type Out = ReloadEngine;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "auto, poll or inotify";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::Str(word) if word == "auto" => Ok(ReloadEngine::Auto),
            Value::Str(word) if word == "poll" => Ok(ReloadEngine::Poll),
            Value::Str(word) if word == "inotify" => Ok(ReloadEngine::Inotify),
            other => Err(format!("Invalid reload_engine: {}", other.repr())),
        }
    }

    fn value(out: &Self::Out) -> Value {
        match out {
            ReloadEngine::Auto => "auto",
            ReloadEngine::Poll => "poll",
            ReloadEngine::Inotify => "inotify",
        }
        .into()
    }
}

/// Files that exist, and patterns with `*`, `?` or `[`.
pub struct Files;

impl Kind for Files {
    type Out = Vec<String>;
    const SHAPE: Shape = Shape::Many;
    const REFERS: Refers = Refers::Files;
    const ACCEPTS: &'static str = "path or list of paths, which may be patterns";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let entries = Strings::parse(value, scope)?;
        let missing = |entry: &&String| !is_pattern(entry) && !scope.start.join(entry).exists();
        match entries.iter().find(missing) {
            Some(entry) => Err(format!("File {entry} does not exists.")),
            None => Ok(entries),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.as_slice().into()
    }
}

/// Whether a path is a pattern that stands for the files that match it.
fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn engines_are_spelled_exactly() {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        let parse = |value: Value| ReloadEngines::parse(&value, &scope);
        assert_eq!(parse("inotify".into()), Ok(ReloadEngine::Inotify));
        assert_eq!(parse("Poll".into()), Err("Invalid reload_engine: 'Poll'".into()));
        assert_eq!(parse(Value::None), Err("Invalid reload_engine: None".into()));
    }

    #[test]
    fn files_exist_or_are_patterns() {
        let start = tempfile::tempdir().unwrap();
        std::fs::write(start.path().join("a.ini"), "").unwrap();
        let scope = Scope { start: start.path(), conf_file: true };
        let parse = |value: Value| Files::parse(&value, &scope);
        assert_eq!(parse(["a.ini", "*.yml"].into()), Ok(vec!["a.ini".into(), "*.yml".into()]));
        assert_eq!(parse("b.ini".into()), Err("File b.ini does not exists.".into()));
    }
}
