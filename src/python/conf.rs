//! Conf files: executed in the embedded interpreter, their names turned into neutral values.

use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyAttributeError, PyModuleNotFoundError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyModule};

use crate::config::setting::Refers;
use crate::config::value::{Value, quoted};
use crate::config::{ConfFile, Object, is_setting};
use crate::error::{Error, reason};
use crate::log;
use crate::python::{objects, values};

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
    fn load(&mut self, location: &str) -> Result<Vec<(String, Value)>, Error> {
        enter(&self.start)?;
        Python::attach(|py| {
            let module = match location.strip_prefix("python:") {
                Some(name) => {
                    let again = self.imported.replace(name.into()).as_deref() == Some(name);
                    import(py, name, again)
                }
                None => execute(py, location.strip_prefix("file:").unwrap_or(location)),
            };
            flush(py);
            settings(&module?).map_err(|error| failure(py, location, &error))
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
            _ => Ok(value),
        }
    }

    fn tell(&mut self, line: &str) {
        log::say(line);
    }
}

/// Changes the working directory and makes it the first place where Python looks for modules,
/// unless Python looks there already.
///
/// # Errors
/// The directory cannot be entered.
pub fn enter(directory: &Path) -> Result<(), Error> {
    let shown = || quoted(&directory.to_string_lossy());
    std::env::set_current_dir(directory).map_err(|error| {
        Error::config(format!("can't chdir to {}: {}", shown(), reason(&error)))
    })?;
    Python::attach(|py| {
        let path = py.import("sys")?.getattr("path")?;
        if !path.contains(directory.as_os_str())? {
            path.call_method1("insert", (0, directory.as_os_str()))?;
        }
        Ok(())
    })
    .map_err(|error: PyErr| Error::config(format!("can't put {} in sys.path: {error}", shown())))
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

/// What the file printed must be out before the workers are forked, or each of them prints it again.
fn flush(py: Python<'_>) {
    let Ok(sys) = py.import("sys") else { return };
    for name in ["stdout", "stderr"] {
        // Either may be None, closed, or the file's own object without such a method.
        let _ = sys.getattr(name).and_then(|stream| stream.call_method0("flush"));
    }
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

/// The module's names that are settings, in the order of their definition.
fn settings(module: &Bound<'_, PyModule>) -> PyResult<Vec<(String, Value)>> {
    let mut settings = Vec::new();
    for (name, value) in module.dict() {
        let Ok(name) = name.extract::<String>() else { continue };
        if is_setting(&name) {
            settings.push((name, values::convert(&value)?));
        }
    }
    Ok(settings)
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

/// What a function without parameters returns.
fn call(py: Python<'_>, function: &Object) -> Result<Value, String> {
    objects::get(py, function)
        .and_then(|function| function.call0())
        .and_then(|result| values::convert(&result))
        .map_err(|error| error.value(py).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::number::{self, Base, NotInt};
    use proptest::prelude::*;
    use pyo3::types::PyString;
    use std::sync::{Mutex, PoisonError};

    /// `sys.modules["__config__"]` and `sys.path` are one for all tests.
    static INTERPRETER: Mutex<()> = Mutex::new(());

    fn with_python<T>(test: impl FnOnce(&mut PythonConf) -> T) -> T {
        let _guard = INTERPRETER.lock().unwrap_or_else(PoisonError::into_inner);
        Python::initialize();
        test(&mut PythonConf::new(std::env::current_dir().unwrap()))
    }

    /// Loads a conf file with this text.
    fn load(text: &str) -> Result<Vec<(String, Value)>, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.py");
        std::fs::write(&path, text).unwrap();
        with_python(|conf| conf.load(path.to_str().unwrap()))
    }

    #[test]
    fn settings_come_in_the_order_of_their_definition() {
        let text = "import os\nWORKERS = 9\nworker = 4\ntimeout = 5\nbind = ('a', 'b')\n\
                    workers = 2\ntimeout = 6\ndef post_fork(server, worker): pass\n\
                    secure_scheme_headers = {'A': 'b'}\npreload_app = True\nkeepalive = 1.5\n\
                    pidfile = None\nraw_env = (f'{x}=1' for x in 'AB')\n";
        let values = load(text).unwrap();
        let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "timeout",
            "bind",
            "workers",
            "post_fork",
            "secure_scheme_headers",
            "preload_app",
            "keepalive",
            "pidfile",
            "raw_env",
        ];
        assert_eq!(names, expected);
        let value = |name: &str| &values.iter().find(|(other, _)| other == name).unwrap().1;
        assert_eq!(value("timeout"), &6.into());
        assert_eq!(value("bind").text(), "('a', 'b')");
        assert_eq!(value("secure_scheme_headers").text(), "{'A': 'b'}");
        assert_eq!(value("preload_app"), &true.into());
        assert_eq!(value("keepalive"), &Value::Float(1.5));
        assert_eq!(value("pidfile"), &Value::None);
        assert_eq!(value("raw_env"), &["A=1", "B=1"].into());
        let Value::Object(hook) = value("post_fork") else { panic!("not an object") };
        assert_eq!((hook.type_name.as_str(), &hook.arity), ("function", &Some(Ok(2))));
    }

    #[test]
    fn the_file_is_the_module_config_and_is_executed_anew_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.py");
        let location = format!("file:{}", path.to_str().unwrap());
        let text = "import sys\nassert sys.modules['__config__'].__file__ == __file__\n\
                    assert __name__ == '__config__'\nproc_name = __file__\nworkers = 2\n";
        with_python(|conf| {
            std::fs::write(&path, text).unwrap();
            let values = conf.load(&location).unwrap();
            assert_eq!(values[0].1.text(), path.to_str().unwrap());
            assert_eq!(values[1].1, 2.into());
            // Same size, most likely the same second.
            std::fs::write(&path, text.replace('2', "3")).unwrap();
            assert_eq!(conf.load(&location).unwrap()[1].1, 3.into());
            // A file that fails leaves the module of the last good one.
            std::fs::write(&path, "1/0").unwrap();
            conf.load(&location).unwrap_err();
            Python::attach(|py| {
                let module = modules(py).unwrap().get_item(MODULE).unwrap();
                assert_eq!(module.getattr("workers").unwrap().extract::<i32>().unwrap(), 3);
            });
        });
        assert!(!directory.path().join("__pycache__").exists());
    }

    #[test]
    fn failures_are_reported_as_gunicorn_does() {
        let error = load("x = 1\n1/0\n").unwrap_err();
        let report = error.report();
        assert_eq!(error.status(), 1);
        assert!(report.starts_with("Failed to read config file: /"), "{report}");
        assert!(
            report.contains("c.py\nTraceback (most recent call last):\n  File \"/"),
            "{report}"
        );
        assert!(report.ends_with("\nZeroDivisionError: division by zero\n"), "{report}");
        assert!(load("def f(:").unwrap_err().report().ends_with("SyntaxError: invalid syntax\n"));

        let error = with_python(|conf| conf.load("no.py").unwrap_err());
        assert_eq!(error.report(), "\nError: 'no.py' doesn't exist\n");
    }

    #[test]
    fn a_file_may_exit() {
        for (text, status, report) in [
            ("import sys; sys.exit(7)", 7, ""),
            ("import sys; sys.exit()", 0, ""),
            ("import sys; sys.exit('bye')", 1, "bye\n"),
        ] {
            let error = load(text).unwrap_err();
            assert_eq!((error.status(), error.report().as_str()), (status, report), "{text}");
        }
    }

    #[test]
    fn any_extension_is_executed_and_a_directory_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.conf");
        std::fs::write(&path, "workers = 5").unwrap();
        with_python(|conf| {
            assert_eq!(conf.load(path.to_str().unwrap()).unwrap()[0].1, 5.into());
            let report = conf.load(directory.path().to_str().unwrap()).unwrap_err().report();
            assert!(report.contains("IsADirectoryError"), "{report}");
        });
    }

    #[test]
    fn modules_are_imported_and_anew_the_second_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rg_conf_module.py");
        with_python(|conf| {
            Python::attach(|py| {
                let sys = py.import("sys").unwrap();
                sys.setattr("dont_write_bytecode", true).unwrap();
                let search = sys.getattr("path").unwrap();
                search.call_method1("insert", (0, directory.path().as_os_str())).unwrap();
            });
            std::fs::write(&path, "workers = 1\nthreads = 1\n").unwrap();
            assert_eq!(conf.load("python:rg_conf_module").unwrap().len(), 2);
            std::fs::write(&path, "workers = 2\n").unwrap();
            let again = conf.load("python:rg_conf_module").unwrap();
            assert_eq!(again, [("workers".to_owned(), 2.into())]);

            std::fs::write(&path, "import rg_nowhere\n").unwrap();
            let report = conf.load("python:rg_conf_module").unwrap_err().report();
            assert!(report.starts_with("Failed to read config file: python:rg_conf_module\nTrace"));
            for name in ["rg_nowhere", "rg_nowhere.sub"] {
                let error = conf.load(&format!("python:{name}")).unwrap_err();
                assert_eq!(error.report(), "\nError: No module named 'rg_nowhere'\n");
            }
        });
    }

    #[test]
    fn the_start_directory_is_looked_in_first_and_only_once() {
        with_python(|_| {
            let here = std::env::current_dir().unwrap();
            enter(&here).unwrap();
            enter(&here).unwrap();
            Python::attach(|py| {
                let path = py.import("sys").unwrap().getattr("path").unwrap();
                let count = path.call_method1("count", (here.as_os_str(),)).unwrap();
                assert_eq!(count.extract::<usize>().unwrap(), 1);
            });
            let error = enter(Path::new("/nowhere")).unwrap_err();
            assert!(error.to_string().starts_with("can't chdir to '/nowhere': "), "{error}");
        });
    }

    /// What Python's own `int` says, as our reader words it.
    fn python_int(py: Python<'_>, text: &str, base: u32) -> Result<i64, NotInt> {
        let int = py.import("builtins").unwrap().getattr("int").unwrap();
        let number = int.call1((text, base)).map_err(|_| NotInt::Form)?;
        number.extract().map_err(|_| NotInt::Range)
    }

    proptest! {
        #[test]
        fn integers_are_read_as_python_reads_them(
            text in "[ \t\x1c]{0,1}[-+]{0,1}(0[xXoObB]{0,1}){0,1}[_0-9a-f]{0,21}[ \n]{0,1}"
        ) {
            with_python(|_| Python::attach(|py| {
                prop_assert_eq!(number::int(&text, Base::Auto), python_int(py, &text, 0));
                prop_assert_eq!(number::int(&text, Base::Ten), python_int(py, &text, 10));
                Ok(())
            }))?;
        }

        #[test]
        fn text_is_quoted_as_python_quotes_it(text in "[ -~\t\r\n\0\u{7f}-\u{ff}\u{200b}\u{2028}\u{feff}'\"]{0,12}") {
            with_python(|_| Python::attach(|py| {
                let repr = PyString::new(py, &text).repr().unwrap().to_string();
                prop_assert_eq!(quoted(&text), repr);
                Ok(())
            }))?;
        }
    }
}
