//! The importable `gunicorn` package: embedded sources, and the importer that finds them.
//!
//! It is there in the server's processes only, and always ours, whether or not gunicorn is installed:
//! its objects are about this server. Nothing in it is compiled before something imports it.

mod absent;
pub mod config;
mod loader;
mod native;
mod table;
mod titles;

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use loader::Loader;

/// The package's name.
const PACKAGE: &str = "gunicorn";

/// Makes the package importable, unless it is; returns the finder.
///
/// # Errors
/// `sys.meta_path` or `sys.modules` is not what Python makes it.
pub fn install(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // What the importer needs must be there: it is asked under a lock of the import system, under which
    // nothing can be imported that another thread is about to import.
    py.import("importlib.machinery")?;
    let sys = py.import("sys")?;
    let finders = sys.getattr("meta_path")?.cast_into::<PyList>()?;
    if let Some(own) = finders.iter().find(PyAnyMethods::is_instance_of::<Importer>) {
        return Ok(own);
    }
    // In front of the finder that would find an installed gunicorn, but behind those that a
    // `sitecustomize` has put in front to watch or wrap imports: they ask us like any other.
    let is_path_finder = |finder: &Bound<'_, PyAny>| {
        finder.getattr("__name__").is_ok_and(|name| name.eq("PathFinder").unwrap_or(false))
    };
    let at = finders.iter().position(|finder| is_path_finder(&finder)).unwrap_or(0);
    let own = Bound::new(py, Importer)?.into_any();
    finders.insert(at, &own)?;
    let modules = sys.getattr("modules")?.cast_into::<PyDict>()?;
    forget(&modules)?;
    titles::adopt(&modules)?;
    Ok(own)
}

/// Whether somebody may have wrapped classes of the package, or would if they were imported: one of its
/// modules is there, or a finder in front of ours that is neither
/// Python's nor the server's.
///
/// # Errors
/// `sys.meta_path` or `sys.modules` is not what Python makes it.
pub fn is_watched(py: Python<'_>) -> PyResult<bool> {
    let sys = py.import("sys")?;
    if sys.getattr("modules")?.contains(intern!(py, "gunicorn.app.base"))? {
        return Ok(true);
    }
    for finder in sys.getattr("meta_path")?.try_iter()? {
        let finder = finder?;
        if finder.is_instance_of::<Importer>() {
            return Ok(false);
        }
        let module = finder.getattr("__module__").and_then(|name| name.extract::<String>());
        let module = module.unwrap_or_default();
        if !["_frozen_importlib", "_distutils_hack", "rgunicorn"].contains(&module.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what a `sitecustomize` has imported of an installed gunicorn, so that there are not two.
fn forget(modules: &Bound<'_, PyDict>) -> PyResult<()> {
    for name in modules.keys() {
        let ours = name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(is_in_package));
        if ours {
            modules.del_item(name)?;
        }
    }
    Ok(())
}

/// Whether a module's name is that of the package or of something in it.
fn is_in_package(name: &str) -> bool {
    name.strip_prefix(PACKAGE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Finds the modules of the package (PEP 451), and has a look at one other.
#[pyclass(frozen, module = "rgunicorn")]
struct Importer;

#[pymethods]
impl Importer {
    #[staticmethod]
    #[pyo3(signature = (fullname, path=None, _target=None))]
    fn find_spec<'py>(
        py: Python<'py>,
        fullname: &str,
        path: Option<&Bound<'py, PyAny>>,
        _target: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if fullname == titles::PACKAGE {
            return titles::find(py, path);
        }
        if !is_in_package(fullname) {
            return Ok(None);
        }
        let Some(row) = table::find(fullname) else {
            return match absent::reason(fullname) {
                Some(reason) => Err(import_error(py, fullname, reason)),
                None => Ok(None),
            };
        };
        let options = PyDict::new(py);
        options.set_item("origin", row.file)?;
        options.set_item("is_package", row.is_package())?;
        let spec = py.import("importlib.machinery")?.getattr("ModuleSpec")?;
        spec.call((fullname, Loader::default()), Some(&options)).map(Some)
    }
}

/// The error for a module that is not there, with the reason.
fn import_error(py: Python<'_>, name: &str, reason: &str) -> PyErr {
    let error = PyImportError::new_err(format!("rgunicorn has no module {name}: {reason}."));
    // As the import system does. Without the attribute the error still says it all.
    let _ = error.value(py).setattr("name", name);
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::support;
    use pyo3::sync::OnceExt;
    use std::ffi::CString;
    use std::sync::Once;

    /// Runs statements in an interpreter that has the package.
    fn run(statements: &str) {
        static INSTALL: Once = Once::new();
        Python::initialize();
        Python::attach(|py| {
            INSTALL.call_once_py_attached(py, || drop(install(py).unwrap()));
            let code = CString::new(statements).unwrap();
            py.run(&code, Some(&PyDict::new(py)), None)
                .unwrap_or_else(|error| panic!("{}", support::traceback(py, &error)));
        });
    }

    #[test]
    fn every_module_can_be_imported_and_knows_where_it_is() {
        for module in table::MODULES {
            let (name, file) = (module.name, module.file);
            run(&format!(
                "import importlib, importlib.util, inspect\n\
                 module = importlib.import_module({name:?})\n\
                 assert module.__name__ == {name:?} and module.__file__ == {file:?}\n\
                 assert importlib.util.find_spec({name:?}).loader is module.__loader__\n\
                 assert hasattr(module, '__path__') == {}\n\
                 source = module.__loader__.get_source({name:?})\n\
                 assert source is None or inspect.getsource(module) == source",
                if module.is_package() { "True" } else { "False" }
            ));
        }
    }

    #[test]
    fn the_version_is_gunicorns_and_the_name_our_own() {
        run("import gunicorn\n\
             assert gunicorn.__version__ == '27.0.1' and gunicorn.version_info == (27, 0, 1)\n\
             assert gunicorn.SERVER == 'rgunicorn'\n\
             assert gunicorn.SERVER_SOFTWARE.startswith('rgunicorn/')");
    }

    #[test]
    fn tracebacks_show_the_lines_of_the_package() {
        run("import gunicorn, traceback\n\
             try: gunicorn.SERVER = 'a\\nb'\n\
             except ValueError as error: text = ''.join(traceback.format_exception(error))\n\
             assert '_native.set_server(value)' in text, text\n\
             assert 'cannot be sent in the Server header' in text, text\n\
             assert gunicorn.SERVER == 'rgunicorn'");
    }

    #[test]
    fn what_is_absent_says_why() {
        run("import importlib\n\
             def error(name):\n\
             \x20   try: importlib.import_module(name)\n\
             \x20   except ImportError as error: return type(error), str(error), error.name\n\
             assert error('gunicorn.dirty.client') == (ImportError, 'rgunicorn has no module \
             gunicorn.dirty: it has no dirty arbiters.', 'gunicorn.dirty'), error('gunicorn.dirty.client')\n\
             assert error('gunicorn.nothing')[:2] == (ModuleNotFoundError, \"No module named \
             'gunicorn.nothing'\")\n\
             try: from gunicorn import dirty\n\
             except ImportError as error: assert 'no dirty arbiters' in str(error)\n\
             else: raise AssertionError");
    }
}
