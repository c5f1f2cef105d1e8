//! Conf files: executed in the embedded interpreter, their names turned into neutral values.

use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyAttributeError, PyModuleNotFoundError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyModule};

use crate::config::setting::Refers;
use crate::config::value::{Value, quoted};
use crate::config::{ConfFile, Definitions, Object, is_setting};
use crate::error::{Error, reason};
use crate::log;
use crate::python::{interpreter, objects, values};

/// The name a conf file has as a module.
const MODULE: &str = "__config__";

/// Executes conf files in the interpreter, which must have been initialised.
pub struct PythonConf {
    start: PathBuf,
    /// The module imported by the last `python:MODULE`.
    imported: Option<String>,
}

impl PythonConf {
    /// `start` is the directory the program was started in: conf files are executed there.
    pub fn new(start: PathBuf) -> Self {
        Self { start, imported: None }
    }
}

impl ConfFile for PythonConf {
    fn load(&mut self, location: &str) -> Result<Definitions, Error> {
        enter(&self.start)?;
        Python::attach(|py| {
            let module = match location.strip_prefix("python:") {
                Some(name) => {
                    let again = self.imported.replace(name.into()).as_deref() == Some(name);
                    import(py, name, again)
                }
                None => execute(py, location.strip_prefix("file:").unwrap_or(location)),
            };
            interpreter::flush(py);
            definitions(&module?).map_err(|error| failure(py, location, &error))
        })
    }

    fn resolve(&mut self, refers: Refers, value: Value) -> Result<Value, String> {
        match (refers, &value) {
            (Refers::Callable, Value::Str(path)) => Python::attach(|py| import_object(py, path)),
            (Refers::Class, Value::Object(object))
                if ["function", "method"].contains(&object.type_name.as_str()) =>
            {
                Python::attach(|py| call(py, object))
            }
            (Refers::Files, _) => {
                for pattern in Python::attach(|py| unmatched(py, &value)) {
                    self.tell(&format!(
                        "RuntimeWarning: Pattern {pattern} currently matches no files."
                    ));
                }
                Ok(value)
            }
            _ => Ok(value),
        }
    }

    fn tell(&mut self, line: &str) {
        log::say(line);
    }
}

/// Changes the working directory and makes it the first place where Python looks for modules,
/// unless Python looks there already: then it returns `false`.
///
/// # Errors
/// The directory cannot be entered.
pub fn enter(directory: &Path) -> Result<bool, Error> {
    let shown = || quoted(&directory.to_string_lossy());
    std::env::set_current_dir(directory).map_err(|error| {
        Error::config(format!("can't chdir to {}: {}", shown(), reason(&error)))
    })?;
    Python::attach(|py| {
        let path = py.import("sys")?.getattr("path")?;
        let is_new = !path.contains(directory.as_os_str())?;
        if is_new {
            path.call_method1("insert", (0, directory.as_os_str()))?;
        }
        Ok(is_new)
    })
    .map_err(|error: PyErr| Error::config(format!("can't put {} in sys.path: {error}", shown())))
}

/// Has Python no longer look for modules in a directory.
///
/// # Errors
/// `sys.path` is not what Python makes it.
pub fn leave(directory: &Path) -> Result<(), Error> {
    Python::attach(|py| {
        let path = py.import("sys")?.getattr("path")?;
        while path.contains(directory.as_os_str())? {
            path.call_method1("remove", (directory.as_os_str(),))?;
        }
        Ok(())
    })
    .map_err(|error: PyErr| Error::config(format!("sys.path cannot be restored: {error}")))
}

/// Imports the module of `python:MODULE`; anew, if an earlier call has imported it.
fn import<'py>(py: Python<'py>, name: &str, again: bool) -> Result<Bound<'py, PyModule>, Error> {
    let location = format!("python:{name}");
    replacing(py, name, again, || {
        py.import("importlib")?.call_method0("invalidate_caches")?;
        py.import(name)
    })
    .map_err(|error| {
        if is_missing(py, &error, name) {
            Error::config(error.value(py).to_string())
        } else {
            failure(py, &location, &error)
        }
    })
}

/// Whether an import failed because the module itself, or a package it is in, does not exist.
fn is_missing(py: Python<'_>, error: &PyErr, name: &str) -> bool {
    let missing = || error.value(py).getattr("name").ok()?.extract::<String>().ok();
    error.is_instance_of::<PyModuleNotFoundError>(py)
        && missing().is_some_and(|missing| {
            name.strip_prefix(&missing).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

/// Executes a file as the module `__config__`.
fn execute<'py>(py: Python<'py>, path: &str) -> Result<Bound<'py, PyModule>, Error> {
    if !Path::new(path).exists() {
        return Err(Error::config(format!("{} doesn't exist", quoted(path))));
    }
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    let compiled = extension == Some("pyc");
    if !compiled && extension != Some("py") {
        log::say(
            "!!!\n!!! WARNING: configuration file should have a valid Python extension.\n!!!\n",
        );
    }
    replacing(py, MODULE, true, || run(py, path, compiled))
        .map_err(|error| failure(py, path, &error))
}

/// Compiles the file from its source each time: Python's cache of compiled files knows a change only
/// by whole seconds and size, and would miss an edit made just before HUP.
fn run<'py>(py: Python<'py>, path: &str, compiled: bool) -> PyResult<Bound<'py, PyModule>> {
    let machinery = py.import("importlib.machinery")?;
    let kind = if compiled { "SourcelessFileLoader" } else { "SourceFileLoader" };
    let loader = machinery.getattr(kind)?.call1((MODULE, path))?;
    let options = PyDict::new(py);
    options.set_item("loader", &loader)?;
    let util = py.import("importlib.util")?;
    let spec = util.call_method("spec_from_file_location", (MODULE, path), Some(&options))?;
    let module = util.call_method1("module_from_spec", (&spec,))?.cast_into::<PyModule>()?;
    let code = if compiled {
        loader.call_method1("get_code", (MODULE,))?
    } else {
        let source = loader.call_method1("get_data", (path,))?;
        loader.call_method1("source_to_code", (source, spec.getattr("origin")?))?
    };
    modules(py)?.set_item(MODULE, &module)?;
    py.import("builtins")?.call_method1("exec", (code, module.dict()))?;
    Ok(module)
}

/// Runs `make`, which puts a module called `name` into `sys.modules`; if `anew`, without the one that
/// is there. When it fails the old one is put back: it stays in force.
fn replacing<'py>(
    py: Python<'py>,
    name: &str,
    anew: bool,
    make: impl FnOnce() -> PyResult<Bound<'py, PyModule>>,
) -> PyResult<Bound<'py, PyModule>> {
    let modules = modules(py)?;
    let old = modules.get_item(name).ok().filter(|_| anew);
    if old.is_some() {
        modules.del_item(name)?;
    }
    make().inspect_err(|_| {
        if let Some(old) = old {
            // The failure that is being reported matters more than this one.
            let _ = modules.set_item(name, old);
        }
    })
}

fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("sys")?.getattr("modules")
}

/// The error of a conf file that raised: its `sys.exit`, or the traceback.
fn failure(py: Python<'_>, location: &str, error: &PyErr) -> Error {
    if error.is_instance_of::<PySystemExit>(py) {
        return exit(py, error);
    }
    let traceback = traceback(py, error).unwrap_or_else(|_| format!("{error}\n"));
    Error::complete(1, format!("Failed to read config file: {location}\n{traceback}"))
}

/// `sys.exit(code)` as the interpreter treats it: None is 0, a number is itself, anything else is
/// printed and means 1.
fn exit(py: Python<'_>, error: &PyErr) -> Error {
    match error.value(py).getattr("code") {
        Ok(code) if code.is_none() => Error::complete(0, ""),
        Ok(code) => match code.extract::<i32>() {
            Ok(status) => Error::complete(status, ""),
            Err(_) if code.is_instance_of::<PyInt>() => Error::complete(1, ""),
            Err(_) => Error::complete(1, format!("{code}\n")),
        },
        Err(_) => Error::complete(1, ""),
    }
}

fn traceback(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let lines = py.import("traceback")?.call_method1(
        "format_exception",
        (error.get_type(py), error.value(py), error.traceback(py)),
    )?;
    Ok(lines.extract::<Vec<String>>()?.concat())
}

/// What a module defines.
fn definitions(module: &Bound<'_, PyModule>) -> PyResult<Definitions> {
    let mut definitions = Definitions::default();
    // A copy: the text of an object, which is asked for, may be made by code that adds to the module.
    for (name, value) in module.dict().copy()? {
        let Ok(name) = name.extract::<String>() else { continue };
        if is_setting(&name) {
            definitions.settings.push((name, values::convert(&value)?));
        } else if may_be_meant(module, &name, &value) {
            definitions.others.push(name);
        }
    }
    Ok(definitions)
}

/// Whether a name that is no setting could be meant as one.
fn may_be_meant(module: &Bound<'_, PyModule>, name: &str, value: &Bound<'_, PyAny>) -> bool {
    let own = || {
        let home = value.getattr("__module__").and_then(|home| home.extract::<String>());
        home.is_ok_and(|home| module.name().is_ok_and(|name| name == home.as_str()))
    };
    !name.starts_with('_') && !value.is_instance_of::<PyModule>() && (!value.is_callable() || own())
}

/// The object that a dotted path names, with gunicorn's messages.
fn import_object(py: Python<'_>, path: &str) -> Result<Value, String> {
    let Some((module, name)) = path.rsplit_once('.') else {
        return Err(format!(
            "Value '{path}' is not import string. Format: module[.submodules...].object"
        ));
    };
    let found = py
        .import("importlib")
        .and_then(|importlib| importlib.call_method1("import_module", (module,)))
        .and_then(|module| module.getattr(name))
        .and_then(|found| values::convert(&found));
    found.map_err(|error| {
        if error.is_instance_of::<PyAttributeError>(py) {
            format!("Can not load '{name}' from '{module}'")
        } else {
            error.value(py).to_string()
        }
    })
}

/// The patterns of a value that no file matches.
fn unmatched(py: Python<'_>, value: &Value) -> Vec<String> {
    let texts = match value {
        Value::List(items) | Value::Tuple(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let matched = |pattern: &str| -> PyResult<bool> {
        let options = PyDict::new(py);
        options.set_item("recursive", true)?;
        let paths = py.import("glob")?.call_method("iglob", (pattern,), Some(&options))?;
        Ok(paths.try_iter()?.next().transpose()?.is_some())
    };
    let texts = texts.iter().filter_map(|text| match text {
        Value::Str(text) => Some(text.trim()),
        _ => None,
    });
    texts
        .filter(|text| text.contains(['*', '?', '[']))
        // A pattern that cannot be looked for matches nothing.
        .filter(|text| !matched(text).unwrap_or(false))
        .map(str::to_owned)
        .collect()
}

/// What a function without parameters returns.
fn call(py: Python<'_>, function: &Object) -> Result<Value, String> {
    objects::get(py, function)
        .and_then(|function| function.call0())
        .and_then(|result| values::convert(&result))
        .map_err(|error| error.value(py).to_string())
}

#[cfg(test)]
mod argparse;
#[cfg(test)]
mod tests;
