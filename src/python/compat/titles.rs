//! The package `setproctitle`, with which hooks and applications set titles of their own: `_titles.py`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The package's name.
pub const PACKAGE: &str = "setproctitle";

/// Finds it where Python does, with a loader that puts the server's functions into it.
pub fn find<'py>(
    py: Python<'py>,
    path: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let spec = own(py)?.call_method1("find", (PACKAGE, path))?;
    Ok((!spec.is_none()).then_some(spec))
}

/// Puts the server's functions into it if it is there already.
pub fn adopt(modules: &Bound<'_, PyDict>) -> PyResult<()> {
    match modules.get_item(PACKAGE)? {
        Some(module) => own(modules.py())?.call_method1("adopt", (module,)).map(drop),
        None => Ok(()),
    }
}

fn own(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("gunicorn._titles")
}
