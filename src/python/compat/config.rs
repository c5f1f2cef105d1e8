//! The configuration for Python code: the rows that `gunicorn.config` makes its settings of, and the
//! object that hooks and loggers get.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};

use pyo3::exceptions::{PyLookupError, PySystemExit, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::config::cli::{self, Parsed};
use crate::config::layers::{self, ConfFile as _};
use crate::config::reference::help::Page;
use crate::config::setting::{Scope, Setting, Shape};
use crate::config::settings::{TABLE, find};
use crate::config::value::Value;
use crate::config::{Config, start_directory};
use crate::python::conf::PythonConf;
use crate::python::values;

/// A `gunicorn.config.Config` with the values of this configuration. `environ` is the environment as
/// it was before the server changed any of it.
///
/// # Errors
/// A value whose object is no longer there.
pub fn to_python<'py>(
    py: Python<'py>,
    config: &Config,
    environ: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let known = PyDict::new(py);
    for setting in TABLE {
        known.set_item(setting.name, values::to_python(py, &(setting.get)(config))?)?;
    }
    let class = py.import("gunicorn.config")?.getattr("Config")?;
    class.call_method1("from_native", (known, environ))
}

/// The server's settings, each with the attributes that its class has in Python.
#[pyfunction]
pub fn settings(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let variable = |name: &str| env::var(name).ok();
    let start =
        start_directory(&variable).map_err(|error| PyValueError::new_err(error.to_string()));
    let defaults = layers::from_environment(&variable, &start?);
    let defaults = defaults.map_err(|error| PyValueError::new_err(error.to_string()))?;
    TABLE.iter().map(|setting| row(py, setting, &defaults)).collect()
}

fn row<'py>(py: Python<'py>, setting: &Setting, defaults: &Config) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("name", setting.name)?;
    row.set_item("section", setting.section.title())?;
    row.set_item("cli", (!setting.flags.is_empty()).then_some(setting.flags))?;
    row.set_item("meta", (!setting.metavar.is_empty()).then_some(setting.metavar))?;
    row.set_item("default", values::to_python(py, &(setting.default)())?)?;
    row.set_item("value", values::to_python(py, &(setting.get)(defaults))?)?;
    let lines: Vec<&str> = setting.doc.iter().map(|line| line.trim_end()).collect();
    row.set_item("desc", lines.join("\n"))?;
    // As argparse has it.
    let (action, argument) = match setting.shape {
        Shape::Switch(true) => (Some("store_true"), None),
        Shape::Switch(false) => {
            (Some("store_const"), Some(("const", false.into_pyobject(py)?.to_owned().into_any())))
        }
        Shape::Int => (None, Some(("type", py.import("builtins")?.getattr("int")?))),
        Shape::Many => (Some("append"), None),
        Shape::Optional(word) => {
            row.set_item("nargs", "?")?;
            (None, Some(("const", word.into_pyobject(py)?.into_any())))
        }
        Shape::None | Shape::One | Shape::IntOr(_) | Shape::Bits => (None, None),
    };
    row.set_item("action", action)?;
    if let Some((name, value)) = argument {
        row.set_item(name, value)?;
    }
    Ok(row)
}

/// The options of a command line by the names of their settings, and its application, in a list that
/// may be empty. Texts that a command prints (`--help`) and what is wrong end the program.
#[pyfunction]
pub fn parse_options<'py>(
    words: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyDict>, Vec<String>)> {
    let py = words.py();
    match cli::parse(&words.extract::<Vec<OsString>>()?) {
        Ok(Parsed::Flags(flags)) => {
            let values = flags.values.into_iter().map(|(name, value)| (name.to_owned(), value));
            Ok((dictionary(py, values)?, flags.app.into_iter().collect()))
        }
        Ok(Parsed::Exit(question)) => {
            let page = Page::of_stdout(&|name| env::var(name).ok());
            Err(leave(&mut io::stdout(), &question.answer(page), 0))
        }
        Err(error) => Err(leave(&mut io::stderr(), &error.report(), error.status())),
    }
}

/// The settings of a conf file: the one named, else the one in the working directory, if there is one.
#[pyfunction]
#[pyo3(signature = (location=None))]
pub fn read_conf_file<'py>(
    py: Python<'py>,
    location: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let read = || {
        let start = start_directory(&|name| env::var(name).ok())?;
        layers::read_file(location, &start, &mut PythonConf::new(start.clone()))
    };
    match read() {
        Ok(values) => dictionary(py, values),
        Err(error) => Err(leave(&mut io::stderr(), &error.report(), error.status())),
    }
}

fn dictionary(
    py: Python<'_>,
    values: impl IntoIterator<Item = (String, Value)>,
) -> PyResult<Bound<'_, PyDict>> {
    let dictionary = PyDict::new(py);
    for (name, value) in values {
        dictionary.set_item(name, values::to_python(py, &value)?)?;
    }
    Ok(dictionary)
}

/// Has the program end with this status, and `text` as its last word.
fn leave(stream: &mut dyn Write, text: &str, status: i32) -> PyErr {
    // If the stream is gone the exit status has to do.
    let _ = stream.write_all(text.as_bytes());
    PySystemExit::new_err(status)
}

/// What the server makes of a value for a setting.
#[pyfunction]
pub fn validate<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let setting =
        find(name).ok_or_else(|| PyLookupError::new_err(format!("there is no setting {name}")))?;
    let start = env::current_dir()?;
    let scope = Scope { start: &start, conf_file: true };
    let (py, value) = (value.py(), values::convert(value)?);
    let mut config = Config::default();
    let value = PythonConf::new(start.clone())
        .resolve(setting.refers, value)
        .map_err(PyTypeError::new_err)?;
    (setting.set)(&mut config, &value, &scope).map_err(|message| refusal(py, message))?;
    values::to_python(py, &(setting.get)(&config))
}

/// The exception that gunicorn raises with this message.
fn refusal(py: Python<'_>, message: String) -> PyErr {
    const OF_TYPE: [&str; 6] = [
        "Not a string",
        "Invalid type",
        "Value is not",
        "Value must have an arity",
        "Value must be one of",
        "int() can't",
    ];
    const OF_THE_WORLD: [&str; 4] = ["No such ", "can't chdir", "Invalid reload_engine", "h2"];
    let begins = |starts: &[&str]| starts.iter().any(|start| message.starts_with(start));
    if begins(&OF_TYPE) {
        return PyTypeError::new_err(message);
    }
    if begins(&OF_THE_WORLD) {
        let class = py.import("gunicorn.errors").and_then(|errors| errors.getattr("ConfigError"));
        return match class.and_then(|class| class.call1((message,))) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        };
    }
    PyValueError::new_err(message)
}
