//! The Python module `rgunicorn._rgunicorn`: the program, for an interpreter that runs already.

use pyo3::prelude::*;

/// The server forks, and a worker has a slot per thread: it relies on the interpreter's lock, which a
/// free-threaded Python turns on for modules that say so.
#[pymodule(gil_used = true)]
fn _rgunicorn(module: &Bound<'_, PyModule>) -> PyResult<()> {
    rgunicorn::extension::fill(module)
}
