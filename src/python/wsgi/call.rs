//! One request through the application: call, iterate, close (PEP 3333).

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::environ::{Environ, Settings};
use super::file_wrapper::FileWrapper;
use super::start_response::{self, ClientGone, More, StartResponse};
use crate::app::{AccessSink, App};
use crate::http::Reject;
use crate::python::ffi::{self, HeldBytes};
use crate::python::loader::exit_status;
use crate::python::{interpreter, support};
use crate::reactor::{Exchange, Refusal, Request, Shared};
use crate::sys::process;

/// A loaded WSGI application and what is reused from request to request.
pub struct Wsgi {
    app: Py<PyAny>,
    environ: Environ,
    responder: Option<Responder>,
    sendfile: bool,
}

/// `start_response` of the current request, and of the next one if the application let it go.
struct Responder {
    object: Py<StartResponse>,
    method: Py<PyAny>,
    serial: u64,
}

impl Responder {
    fn new(py: Python<'_>, exchange: &Arc<Exchange>) -> PyResult<Self> {
        let serial = exchange.renew();
        let object = Py::new(py, StartResponse::new(py, exchange, serial)?)?;
        let method = object.getattr(py, intern!(py, "start_response"))?;
        Ok(Self { object, method, serial })
    }

    /// Nobody else can call it any more, nor the `write` it gives out.
    fn is_free(&self, py: Python<'_>) -> bool {
        let object = self.object.bind(py);
        // One reference to the object is ours, the other the method's.
        ffi::references(self.method.bind(py)) == 1
            && ffi::references(object) == 2
            && object.get().write_is_free(py)
    }
}

impl Wsgi {
    /// # Errors
    /// Python is out of memory.
    pub fn new(
        py: Python<'_>,
        app: Py<PyAny>,
        settings: &Settings,
        sendfile: bool,
    ) -> PyResult<Self> {
        Ok(Self { app, environ: Environ::new(py, settings)?, responder: None, sendfile })
    }

    fn responder(&mut self, py: Python<'_>, exchange: &Arc<Exchange>) -> PyResult<&Responder> {
        if !self.responder.as_ref().is_some_and(|responder| responder.is_free(py)) {
            self.responder = None;
        }
        match &mut self.responder {
            Some(responder) => Ok(responder),
            none => Ok(none.insert(Responder::new(py, exchange)?)),
        }
    }
}

impl App for Wsgi {
    fn call(
        &mut self,
        mut request: Request<'_>,
        exchange: &Arc<Exchange>,
        access: Option<&mut dyn AccessSink>,
    ) {
        Python::attach(|py| {
            let environ = match self.environ.build(py, &mut request) {
                Ok(Ok(environ)) => environ,
                Ok(Err(outside)) => {
                    let reject = Reject::script_name(&outside.path, &outside.script_name);
                    refuse(&reject, &request, exchange, access);
                    return;
                }
                Err(error) => {
                    return Turn { py, request: &request, exchange, access }.failed(&error, None);
                }
            };
            let mut turn = Turn { py, request: &request, exchange, access };
            let sendfile = self.sendfile;
            let (start, serial) = match self.responder(py, exchange) {
                Ok(responder) => (responder.method.clone_ref(py), responder.serial),
                Err(error) => return turn.failed(&error, Some(&environ)),
            };
            let called = worker_only(py, self.app.bind(py).call1((&environ, start)));
            let result = called.and_then(|iterable| {
                let sent = send_body(&iterable, exchange, serial, sendfile);
                turn.tell_dropped();
                if sent.is_ok() {
                    turn.log(Some(&environ));
                }
                close(&iterable, &mut turn, sent.is_ok());
                sent
            });
            if let Err(error) = result {
                turn.failed(&error, Some(&environ));
            }
        });
    }
}

/// The surroundings of one call, for what is to be said about it.
struct Turn<'a, 's, 'r, 'py> {
    py: Python<'py>,
    request: &'a Request<'r>,
    exchange: &'a Exchange,
    access: Option<&'s mut (dyn AccessSink + 's)>,
}

impl Turn<'_, '_, '_, '_> {
    /// Tells of a body that the response must not have.
    fn tell_dropped(&self) {
        let Some(status) = self.exchange.dropped_body() else { return };
        tracing::warn!(
            "WSGI app sent body bytes on a no-body response (method={} status={status}); dropping \
             per RFC 9110.",
            String::from_utf8_lossy(self.request.head.method())
        );
    }

    /// Writes the access log line.
    fn log(&mut self, environ: Option<&Bound<'_, PyDict>>) {
        let Some(access) = &mut self.access else { return };
        let variable = |name: &str| environ.and_then(|environ| variable(environ, name));
        self.exchange.inspect(|summary| access.line(self.request, &summary, &variable));
    }

    /// Tells client and log of an exception that came out of the application.
    fn failed(&mut self, error: &PyErr, environ: Option<&Bound<'_, PyDict>>) {
        let py = self.py;
        if error.is_instance_of::<ClientGone>(py) {
            tracing::debug!("Ignored premature client disconnection.");
            self.exchange.abandon();
            return;
        }
        if self.exchange.head_sent() {
            tracing::error!("Error handling request\n{}", support::traceback(py, error));
            self.exchange.abandon();
        } else {
            tracing::error!(
                "Error handling request {}\n{}",
                describe(self.request),
                support::traceback(py, error)
            );
            self.exchange.fail(500, "Internal Server Error", "");
        }
        self.log(environ);
    }
}

/// `METHOD URI` for the log.
fn describe(request: &Request<'_>) -> String {
    let head = &request.head;
    format!("{} {}", String::from_utf8_lossy(head.method()), String::from_utf8_lossy(head.target()))
}

/// Answers a request that does not reach the application.
fn refuse(
    reject: &Reject,
    request: &Request<'_>,
    exchange: &Exchange,
    access: Option<&mut dyn AccessSink>,
) {
    tracing::warn!("Invalid request from ip={}: {}", request.peer, reject.message);
    exchange.fail(reject.status, reject.reason, &reject.message);
    if let Some(access) = access {
        exchange.inspect(|summary| access.line(request, &summary, &|_| None));
    }
}

/// The environ variable called `name`, in any case, as Latin-1 bytes.
fn variable(environ: &Bound<'_, PyDict>, name: &str) -> Option<Vec<u8>> {
    let exact = environ.get_item(name).ok().flatten();
    let value = exact.or_else(|| {
        environ.iter().find_map(|(key, value)| {
            let key = key.cast_into::<PyString>().ok()?;
            key.to_string_lossy().eq_ignore_ascii_case(name).then_some(value)
        })
    })?;
    let value = value.str().ok()?;
    let latin1 = ffi::latin1_bytes(&value).map(<[u8]>::to_vec);
    Some(latin1.unwrap_or_else(|| value.to_string_lossy().into_owned().into_bytes()))
}

/// Sends what the application returned.
fn send_body(
    iterable: &Bound<'_, PyAny>,
    exchange: &Exchange,
    serial: u64,
    sendfile: bool,
) -> PyResult<()> {
    let py = iterable.py();
    if let Ok(list) = iterable.cast_exact::<PyList>() {
        if list.len() == 1 {
            return send_only(&list.get_item(0)?, exchange, serial);
        }
        // They are all there, so nothing is delayed by sending them together.
        for item in list {
            let bytes = start_response::bytes(&item)?;
            start_response::send(py, exchange, serial, bytes, More::AtOnce)?;
        }
        return exchange.finish(serial).map_err(refused);
    } else if let Ok(tuple) = iterable.cast_exact::<PyTuple>()
        && tuple.len() == 1
    {
        return send_only(&tuple.get_item(0)?, exchange, serial);
    } else if sendfile
        && let Ok(wrapper) = iterable.cast_exact::<FileWrapper>()
        && exchange.started()
        && let Some(range) = wrapper.get().range(py)
    {
        let sent = exchange.write_file(serial, range.file, range.offset, range.count);
        return sent.map_err(refused);
    }
    let mut items = iterable.try_iter()?;
    while let Some(item) = worker_only(py, items.next().transpose())? {
        let bytes = start_response::bytes(&item)?;
        start_response::send(py, exchange, serial, bytes, More::Unknown)?;
    }
    exchange.finish(serial).map_err(refused)
}

/// What came out of the application, if this still is the worker. A process that the application has
/// forked and let return from here ends as a Python program does: the client, the listeners and the
/// event loop are the worker's.
fn worker_only<T>(py: Python<'_>, outcome: PyResult<T>) -> PyResult<T> {
    if !process::is_copy() {
        return outcome;
    }
    let status = outcome.err().map_or(0, |error| {
        exit_status(py, &error).unwrap_or_else(|| {
            tracing::error!(
                "Error in a process forked by the application\n{}",
                support::traceback(py, &error)
            );
            1
        })
    });
    interpreter::finalize(py);
    process::exit_now(status)
}

fn refused(refusal: Refusal) -> PyErr {
    start_response::error_of(refusal.widen())
}

fn send_only(item: &Bound<'_, PyAny>, exchange: &Exchange, serial: u64) -> PyResult<()> {
    let bytes = start_response::bytes(item)?;
    let hold = || Box::new(HeldBytes::new(bytes)) as Shared;
    exchange.write_last(serial, bytes.as_bytes(), hold).map_err(refused)
}

/// Calls `close` if the iterable has it, whatever happened before.
fn close(iterable: &Bound<'_, PyAny>, turn: &mut Turn<'_, '_, '_, '_>, complete: bool) {
    let py = iterable.py();
    if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
        return;
    }
    let closed = match iterable.getattr_opt(intern!(py, "close")) {
        Ok(None) => return,
        Ok(Some(close)) => close.call0().map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = closed {
        tracing::error!("Error handling request\n{}", support::traceback(py, &error));
        if !complete {
            turn.exchange.abandon();
        }
    }
}
