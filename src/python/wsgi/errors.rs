//! `wsgi.errors` (PEP 3333): text the application writes goes where the error log goes.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::log;
use crate::python::logging;

/// The object behind `wsgi.errors`.
#[pyclass(frozen, module = "rgunicorn")]
pub struct Errors {
    /// The error log is standard error: `sys.stderr` is used as the application sees it.
    stderr: bool,
}

impl Errors {
    pub fn new(stderr: bool) -> Self {
        Self { stderr }
    }
}

#[pymethods]
impl Errors {
    fn write(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<()> {
        if let Some(written) = logging::write_errors(py, text, self.stderr) {
            return written;
        }
        if self.stderr {
            let stderr = py.import("sys")?.getattr("stderr")?;
            if !stderr.is_none() {
                stderr.call_method1("write", (text,))?;
                stderr.call_method0("flush")?;
            }
        } else {
            let text = text.to_string_lossy();
            let mut rest = text.as_bytes();
            // A log that cannot be written to is no reason to fail a request.
            while let Some(fd) = log::error_fd()
                && let Ok(count @ 1..) = nix::unistd::write(fd, rest)
            {
                rest = &rest[count..];
            }
        }
        Ok(())
    }

    fn writelines(&self, py: Python<'_>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.write(py, line?.cast::<PyString>()?)?;
        }
        Ok(())
    }

    /// Nothing is held back, so there is nothing to flush.
    #[expect(clippy::unused_self, reason = "a method of a Python class")]
    fn flush(&self) {}
}
