//! `start_response`, the `write` callable it returns (PEP 3333), and the other functions of a request.

use std::sync::Arc;

use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::http::{HeadError, HeaderBlock, Reject, check_status};
use crate::python::ffi::{self, HeldBytes};
use crate::reactor::{Exchange, Progress, Refusal, Shared, When};

/// The object whose methods applications call.
#[pyclass(frozen, module = "rgunicorn")]
pub struct Responder {
    exchange: Arc<Exchange>,
    serial: u64,
    write: Py<Write>,
}

/// The `write` callable.
#[pyclass(frozen, module = "rgunicorn")]
pub struct Write {
    exchange: Arc<Exchange>,
    serial: u64,
}

impl Responder {
    pub fn new(py: Python<'_>, exchange: &Arc<Exchange>, serial: u64) -> PyResult<Self> {
        let write = Py::new(py, Write { exchange: Arc::clone(exchange), serial })?;
        Ok(Self { exchange: Arc::clone(exchange), serial, write })
    }

    /// Nobody else holds the `write` callable.
    pub fn write_is_free(&self, py: Python<'_>) -> bool {
        ffi::references(self.write.bind(py)) == 1
    }
}

#[pymethods]
impl Responder {
    /// `start_response(status, headers, exc_info=None)`
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn start_response<'py>(
        &self,
        py: Python<'py>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<Write>> {
        let exc_info = exc_info.filter(|info| !info.is_none());
        let status = text(status)?;
        let status_bytes = ffi::latin1_bytes(status)
            .ok_or_else(|| PyValueError::new_err(format!("Invalid status {}", shown(status))))?;
        let code = check_status(status_bytes).map_err(|error| invalid(&error))?;
        let fill = |block: &mut HeaderBlock| collect(headers, block);
        match self.exchange.start(self.serial, (code, status_bytes), exc_info.is_some(), fill) {
            Ok(()) => Ok(self.write.clone_ref(py)),
            Err(Refusal::HeadSent) => Err(match exc_info {
                Some(info) => reraise(info),
                None => PyAssertionError::new_err("Response headers already set!"),
            }),
            Err(refusal) => Err(error_of(refusal)),
        }
    }

    /// `wsgi.early_hints(headers)`: sends `103 Early Hints` ahead of the response.
    fn early_hints(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut block = HeaderBlock::new();
        for pair in headers.try_iter()? {
            let [name, value] = unpack(&pair?)?;
            add_texts(&decoded(name)?, &decoded(value)?, &mut block)?;
        }
        self.exchange.early_hints(self.serial, &block).map_err(|refusal| error_of(refusal.widen()))
    }

    /// `rgunicorn.client_gone()`: whether the client has closed the connection.
    fn client_gone(&self) -> bool {
        self.exchange.client_gone(self.serial)
    }
}

#[pymethods]
impl Write {
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = bytes(data)?;
        send(py, &self.exchange, self.serial, data, When::Now)
    }
}

/// Creates the types of this module.
pub fn create_types(py: Python<'_>) {
    py.get_type::<Responder>();
    py.get_type::<Write>();
    py.get_type::<RefusedBody>();
    py.get_type::<ClientGone>();
}

/// Sends one piece of the body and waits if the client is far behind.
pub fn send(
    py: Python<'_>,
    exchange: &Exchange,
    serial: u64,
    data: &Bound<'_, PyBytes>,
    when: When,
) -> PyResult<()> {
    let hold = || Box::new(HeldBytes::new(data)) as Shared;
    let written = exchange.write(serial, data.as_bytes(), when, hold);
    let mut progress = written.map_err(|refusal| error_of(refusal.widen()))?;
    while progress == Progress::Full {
        let waited = py.detach(|| exchange.wait_writable(serial));
        progress = waited.map_err(|refusal| error_of(refusal.widen()))?;
        // A signal that ends the request also ends the wait.
        py.check_signals()?;
    }
    Ok(())
}

/// A body item must be `bytes`.
pub fn bytes<'a, 'py>(item: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyBytes>> {
    item.cast::<PyBytes>()
        .map_err(|_| PyTypeError::new_err(format!("{} is not a byte", shown(item))))
}

/// The exception for a call that the exchange refused.
pub fn error_of(refusal: Refusal<PyErr>) -> PyErr {
    match refusal {
        Refusal::Over => PyRuntimeError::new_err("this request is over"),
        Refusal::AlreadyStarted | Refusal::HeadSent => {
            PyAssertionError::new_err("Response headers already set!")
        }
        Refusal::NotStarted => {
            PyAssertionError::new_err("the application did not call start_response")
        }
        Refusal::Gone => ClientGone::new_err("the client closed the connection"),
        Refusal::Invalid(error) => error,
    }
}

/// The request body, read on demand, breaks a rule. If the application lets it through, the client
/// is told.
#[pyclass(frozen, extends = PyValueError, module = "rgunicorn")]
pub struct RefusedBody(pub Reject);

#[pymethods]
impl RefusedBody {
    fn __str__(&self) -> &str {
        &self.0.message
    }
}

impl RefusedBody {
    pub fn raise(py: Python<'_>, reject: Reject) -> PyErr {
        match Py::new(py, Self(reject)) {
            Ok(error) => PyErr::from_value(error.into_bound(py).into_any()),
            Err(error) => error,
        }
    }
}

pyo3::create_exception!(
    rgunicorn,
    ClientGone,
    pyo3::exceptions::PyConnectionError,
    "The client went away while its response was being sent."
);

fn collect(headers: &Bound<'_, PyAny>, block: &mut HeaderBlock) -> PyResult<()> {
    if let Ok(list) = headers.cast_exact::<PyList>() {
        for pair in list {
            add(&pair, block)?;
        }
        return Ok(());
    }
    for pair in headers.try_iter()? {
        add(&pair?, block)?;
    }
    Ok(())
}

fn add(pair: &Bound<'_, PyAny>, block: &mut HeaderBlock) -> PyResult<()> {
    let (name, value);
    if let Ok(tuple) = pair.cast_exact::<PyTuple>()
        && tuple.len() == 2
    {
        name = tuple.get_item(0)?;
        value = tuple.get_item(1)?;
    } else {
        [name, value] = unpack(pair)?;
    }
    add_texts(text(&name)?, text(&value)?, block)
}

fn add_texts(
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyString>,
    block: &mut HeaderBlock,
) -> PyResult<()> {
    let wrong_name = || invalid_header(name, "InvalidResponseHeaderName");
    // Without the value, which may be a secret.
    let wrong_value = || invalid_header(name, "InvalidResponseHeader");
    let name_bytes = ffi::latin1_bytes(name).ok_or_else(wrong_name)?;
    let value_bytes = ffi::latin1_bytes(value).ok_or_else(wrong_value)?;
    block.push(name_bytes, value_bytes).map_err(|error| match error {
        HeadError::Name(_) => wrong_name(),
        HeadError::Value(_) => wrong_value(),
        HeadError::Status(_) | HeadError::Length(_) => invalid(&error),
    })
}

/// gunicorn's exception for a header that cannot be sent.
fn invalid_header(name: &Bound<'_, PyString>, class: &str) -> PyErr {
    let make = || {
        let class = name.py().import("gunicorn.http.errors")?.getattr(class)?;
        class.call1((shown(name),)).map(PyErr::from_value)
    };
    make().unwrap_or_else(|error| error)
}

/// Name and value of a header from whatever Python can unpack into two: PEP 3333 says tuples, but
/// some applications have lists.
fn unpack<'py>(pair: &Bound<'py, PyAny>) -> PyResult<[Bound<'py, PyAny>; 2]> {
    let parts = pair.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    parts.try_into().map_err(|_| {
        PyValueError::new_err(format!("a header is a name and a value, not {}", shown(pair)))
    })
}

fn invalid(error: &HeadError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn text<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyString>> {
    object
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("{} is not a string", shown(object))))
}

/// Text, or bytes as text of Latin-1.
fn decoded(object: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyString>> {
    let object = if object.is_instance_of::<PyBytes>() {
        object.call_method1("decode", ("latin-1",))?
    } else {
        object
    };
    text(&object).cloned()
}

fn shown(object: &Bound<'_, PyAny>) -> String {
    object.repr().map_or_else(|_| "?".to_owned(), |repr| repr.to_string_lossy().into_owned())
}

/// The exception that `sys.exc_info()` described.
fn reraise(info: &Bound<'_, PyAny>) -> PyErr {
    match info.get_item(1) {
        Ok(value) if !value.is_none() => PyErr::from_value(value),
        Ok(_) => PyAssertionError::new_err("Response headers already set!"),
        Err(error) => error,
    }
}
