//! Section "Config File", and the Python that executes it.

use std::path::PathBuf;

use crate::config::kinds::{Kind, Text};
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;

macro_rules! config_file {
    ($($chain:tt)*) => { settings! { $($chain)* ConfigFile {
        /// The conf file: `PATH`, `file:PATH` or `python:MODULE`.
        ///
        /// It is executed as Python code; every module-level name that is a setting's name sets it. A
        /// file whose name ends in `.toml` is not executed: its keys are settings, and names that are
        /// none are errors; functions and classes are given by their dotted path. Without the flag,
        /// `gunicorn.conf.py`, `rgunicorn.toml` or the table `[tool.rgunicorn]` of `pyproject.toml` in
        /// the start directory is taken, whichever exists. Only one file is read: `-c` of the command
        /// line goes before `-c` in `GUNICORN_CMD_ARGS`.
        config: Option<String> = Text {
            flags: ["-c", "--config"],
            metavar: "CONFIG",
            default: "./gunicorn.conf.py",
            reload: Restart,
        }

        /// The application, `MODULE[:CALLABLE]`, when the command line names none.
        wsgi_app: Option<String> = Text {
            flags: [],
            metavar: "",
            default: Value::None,
            reload: Workers,
        }

        /// The virtual environment whose Python runs the application.
        ///
        /// rgunicorn's own; gunicorn runs in the environment it is installed in. Default: the active
        /// one (`VIRTUAL_ENV`), or that of the directory the program is installed in. It cannot be
        /// set in a conf file in Python, because that is executed by this very Python; in TOML it can.
        venv: Option<PathBuf> = Venv {
            flags: ["--venv"],
            metavar: "DIR",
            default: Value::None,
            reload: Restart,
        }
    } } };
}
pub(super) use config_file;

/// A directory that must be known before any conf file is executed.
pub struct Venv;

impl Kind for Venv {
    type Out = Option<PathBuf>;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "directory";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        if scope.conf_file {
            return Err("a conf file cannot choose the Python that executes it; use the flag \
                        --venv, on the command line or in GUNICORN_CMD_ARGS"
                .into());
        }
        Ok(Text::parse(value, scope)?.filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    fn value(out: &Self::Out) -> Value {
        out.as_ref().map_or(Value::None, |path| path.to_string_lossy().as_ref().into())
    }
}
