//! The loader of the package's modules (PEP 451).

use pyo3::prelude::*;

use super::import_error;
use super::table::{self, Body, Module};

/// Executes one module. Each has its own, with attributes that may be set: monitoring agents put
/// methods of theirs in the place of these.
#[pyclass(frozen, dict, module = "rgunicorn")]
#[derive(Default)]
pub struct Loader {}

#[pymethods]
impl Loader {
    /// Leaves it to the import system, which makes an ordinary module.
    #[staticmethod]
    fn create_module(_spec: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
        None
    }

    fn exec_module(slf: &Bound<'_, Self>, module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        let row = known(py, module.name()?.to_str()?)?;
        module.setattr("__file__", row.file)?;
        match row.body {
            Body::Source(_) => {
                let code = slf.call_method1("get_code", (row.name,))?;
                py.import("builtins")?.call_method1("exec", (code, module.dict())).map(drop)
            }
            Body::Native(fill) => fill(module),
        }
    }

    /// For `linecache`, which is where tracebacks get their lines from, and `inspect`.
    #[staticmethod]
    fn get_source(py: Python<'_>, fullname: &str) -> PyResult<Option<&'static str>> {
        Ok(known(py, fullname)?.source())
    }

    #[staticmethod]
    fn get_code<'py>(py: Python<'py>, fullname: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let row = known(py, fullname)?;
        row.source().map(|source| compile(py, row, source)).transpose()
    }

    #[staticmethod]
    fn get_filename(py: Python<'_>, fullname: &str) -> PyResult<&'static str> {
        Ok(known(py, fullname)?.file)
    }

    #[staticmethod]
    fn is_package(py: Python<'_>, fullname: &str) -> PyResult<bool> {
        Ok(known(py, fullname)?.is_package())
    }
}

fn known(py: Python<'_>, name: &str) -> PyResult<&'static Module> {
    table::find(name).ok_or_else(|| import_error(py, name, "the package has no such module"))
}

fn compile<'py>(py: Python<'py>, row: &Module, source: &str) -> PyResult<Bound<'py, PyAny>> {
    // Of no `from __future__` but its own.
    py.import("builtins")?.call_method1("compile", (source, row.file, "exec", 0, true))
}
