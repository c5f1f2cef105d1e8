//! `gunicorn.socket`: the client's socket, for applications that take a connection over to speak
//! another protocol (websockets).

use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::IntoPyDict;

use super::start_response::error_of;
use crate::reactor::{Exchange, Refusal};

/// Stands for the socket until something is asked of it; then it becomes a `socket.socket` of its
/// own, and the connection is not used for another request.
#[pyclass(frozen, module = "rgunicorn")]
pub struct ClientSocket {
    exchange: Arc<Exchange>,
    serial: u64,
    real: PyOnceLock<Py<PyAny>>,
}

impl ClientSocket {
    pub fn new(exchange: &Arc<Exchange>, serial: u64) -> Self {
        Self { exchange: Arc::clone(exchange), serial, real: PyOnceLock::new() }
    }

    /// Nothing has been asked of it.
    pub fn is_untouched(&self) -> bool {
        Python::attach(|py| self.real.get(py).is_none())
    }

    fn real<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        let real = self.real.get_or_try_init(py, || {
            let fd = match self.exchange.take_over(self.serial) {
                Ok(fd) => fd,
                Err(Refusal::Invalid(error)) => return Err(PyOSError::new_err(error)),
                Err(_) => return Err(error_of(Refusal::Over)),
            };
            let class = py.import("socket")?.getattr("socket")?;
            let arguments = [("fileno", fd.as_raw_fd())].into_py_dict(py)?;
            let socket = class.call((), Some(&arguments))?;
            // The object owns the descriptor from here on.
            let _ = fd.into_raw_fd();
            Ok(socket.unbind())
        })?;
        Ok(real.bind(py))
    }
}

#[pymethods]
impl ClientSocket {
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.real(py)?.getattr(name)
    }

    fn __repr__(&self) -> String {
        format!("<client socket of request {}>", self.serial)
    }
}
