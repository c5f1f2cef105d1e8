//! One request through the application: call, iterate, close (PEP 3333).

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::callables::Callables;
use super::environ::{Environ, Settings};
use super::file_wrapper::FileWrapper;
use super::input::Input;
use super::start_response::{self, ClientGone, RefusedBody};
use super::variables::Shown;
use crate::app::{AccessSink, App, Variables};
use crate::http::Reject;
use crate::python::ffi::HeldBytes;
use crate::python::hooks::{Current, RequestHooks};
use crate::python::loader::exit_status;
use crate::python::{interpreter, logging, support};
use crate::reactor::{Exchange, Refusal, Request, Shared, When};
use crate::sys::process;

/// A loaded WSGI application and what is reused from request to request.
pub struct Wsgi {
    app: Py<PyAny>,
    environ: Environ,
    callables: Option<Callables>,
    sendfile: bool,
    /// Where a logger in Python writes the access log.
    access: Option<Arc<logging::Access>>,
    hooks: Option<Arc<RequestHooks>>,
}

impl Wsgi {
    /// # Errors
    /// Python is out of memory.
    pub fn new(
        py: Python<'_>,
        app: Py<PyAny>,
        settings: &Settings,
        sendfile: bool,
        hooks: Option<Arc<RequestHooks>>,
    ) -> PyResult<Self> {
        let environ = Environ::new(py, settings)?;
        let access = logging::Access::new(py)?.map(Arc::new);
        Ok(Self { app, environ, callables: None, sendfile, access, hooks })
    }

    /// The callables of the next request.
    fn callables(&mut self, py: Python<'_>, exchange: &Arc<Exchange>) -> PyResult<&Callables> {
        let prepared = self.environ.prepared();
        if !self.callables.as_ref().is_some_and(|callables| callables.are_free(py, prepared)) {
            let callables = Callables::new(py, exchange)?;
            self.environ.put(py, &callables)?;
            self.callables = Some(callables);
        }
        self.callables.as_ref().ok_or_else(|| PyRuntimeError::new_err("no callables"))
    }
}

impl Wsgi {
    /// A connection that was taken over ends with the application's last use of it, not with the
    /// next request.
    fn let_go_of_socket(&mut self, py: Python<'_>, exchange: &Arc<Exchange>) {
        if self.callables.as_ref().is_some_and(|callables| !callables.socket.get().is_untouched()) {
            self.callables = None;
            if let Err(error) = self.callables(py, exchange) {
                // They are made again for the next request, which will tell.
                tracing::debug!("Cannot prepare the next request: {error}");
            }
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
        let python = self.access.clone().map(|access| (access, Instant::now()));
        Python::attach(|py| {
            let prepared = self.prepare(py, &mut request, exchange);
            let mut turn =
                Turn { py, request: &request, exchange, access, python, hooked: None, req: None };
            let outcome = match &prepared {
                Ok(prepared) => self.answer(&mut turn, prepared),
                Err(error) => Err(Failed { error: error.clone_ref(py), environ: None }),
            };
            if let Err(Failed { error, environ }) = outcome {
                turn.failed(&error, environ.as_ref());
            }
            self.let_go_of_socket(py, exchange);
        });
    }
}

/// What a request is answered with.
struct Prepared {
    start: Py<PyAny>,
    serial: u64,
    /// Its body, if it has one.
    input: Option<Py<Input>>,
}

/// An exception that came out of the application, or of a hook before it, with the environ if there
/// was one.
struct Failed<'py> {
    error: PyErr,
    environ: Option<Bound<'py, PyDict>>,
}

impl From<PyErr> for Failed<'_> {
    fn from(error: PyErr) -> Self {
        Self { error, environ: None }
    }
}

impl Wsgi {
    fn prepare(
        &mut self,
        py: Python<'_>,
        request: &mut Request<'_>,
        exchange: &Arc<Exchange>,
    ) -> PyResult<Prepared> {
        let callables = self.callables(py, exchange)?;
        let (start, serial) = (callables.start.clone_ref(py), callables.serial);
        Ok(Prepared { start, serial, input: Environ::input(py, request, exchange, serial)? })
    }

    fn answer<'py>(
        &mut self,
        turn: &mut Turn<'_, '_, '_, 'py>,
        prepared: &Prepared,
    ) -> Result<(), Failed<'py>> {
        let Self { app, environ, sendfile, hooks, .. } = self;
        let Prepared { start, serial, input } = prepared;
        let py = turn.py;
        if let Some(hooks) = hooks {
            let body = input.as_ref().unwrap_or(environ.empty_input());
            let current = turn.hooked.insert(hooks.begin(py, turn.request, body.bind(py))?);
            turn.req = Some(current.req().clone());
            worker_only(py, current.pre_request(py))?;
            if let Some((_, started)) = &mut turn.python {
                *started = Instant::now();
            }
        }
        let environ = match environ.build(py, turn.request, input.as_ref())? {
            Ok(environ) => environ,
            Err(outside) => {
                let reject = Reject::script_name(&outside.path, &outside.script_name);
                turn.after(None);
                turn.refused(&reject, None);
                return Ok(());
            }
        };
        if let Some(current) = &turn.hooked {
            current.amend(py, &environ, turn.exchange)?;
        }
        let called = worker_only(py, app.bind(py).call1((&environ, start)));
        let result = called.and_then(|iterable| {
            let sent = send_body(&iterable, turn.exchange, *serial, *sendfile);
            turn.tell_dropped();
            if sent.is_ok() {
                turn.log(Some(&environ));
            }
            close(&iterable, turn, sent.is_ok());
            sent
        });
        match result {
            Ok(()) => {
                turn.after(Some(&environ));
                Ok(())
            }
            Err(error) => Err(Failed { error, environ: Some(environ) }),
        }
    }
}

/// The surroundings of one call, for what is to be said about it.
struct Turn<'a, 's, 'r, 'py> {
    py: Python<'py>,
    request: &'a Request<'r>,
    exchange: &'a Exchange,
    access: Option<&'s mut (dyn AccessSink + 's)>,
    /// A logger in Python, and when the request began.
    python: Option<(Arc<logging::Access>, Instant)>,
    /// For the hook behind the request.
    hooked: Option<Current<'py>>,
    /// The object of the request that hooks have been given.
    req: Option<Bound<'py, PyAny>>,
}

impl<'py> Turn<'_, '_, '_, 'py> {
    /// Tells of a body that the response must not have.
    fn tell_dropped(&self) {
        let Some(status) = self.exchange.dropped_body() else { return };
        tracing::warn!(
            "WSGI app sent body bytes on a no-body response (method={} status={status}); dropping \
             per RFC 9110.",
            String::from_utf8_lossy(self.request.head.method())
        );
    }

    /// Calls the hook `post_request`, once.
    fn after(&mut self, environ: Option<&Bound<'_, PyDict>>) {
        if let Some(current) = self.hooked.take() {
            current.post_request(self.py, environ, self.exchange);
        }
    }

    /// Writes the access log line.
    fn log(&mut self, environ: Option<&Bound<'py, PyDict>>) {
        if let Some((python, started)) = &self.python {
            let (outcome, elapsed) = (self.exchange.outcome(), started.elapsed());
            python.log(self.py, self.request, self.req.as_ref(), outcome, environ, elapsed);
        }
        let Some(access) = &mut self.access else { return };
        let shown = environ.map(Shown);
        let variables = shown.as_ref().map(|shown| shown as &dyn Variables);
        self.exchange.inspect(|summary| access.line(self.request, &summary, variables));
    }

    /// Answers a request that is refused, by us or because the application did not handle what was
    /// wrong with its body.
    fn refused(&mut self, reject: &Reject, environ: Option<&Bound<'py, PyDict>>) {
        tracing::warn!("Invalid request from ip={}: {}", self.request.peer, reject.message);
        self.exchange.refuse(reject);
        self.log(environ);
    }

    /// Tells client and log of an exception that came out of the application.
    fn failed(&mut self, error: &PyErr, environ: Option<&Bound<'py, PyDict>>) {
        // Before the answer, which would change what the hook sees of the application's.
        self.after(environ);
        let py = self.py;
        if error.is_instance_of::<ClientGone>(py) {
            tracing::debug!("Ignored premature client disconnection.");
            self.exchange.abandon();
            return;
        }
        if error.is_instance_of::<PyStopIteration>(py) && self.exchange.is_taken_over() {
            tracing::debug!("Closing connection. The application has taken it over.");
            return;
        }
        if let Ok(refused) = error.value(py).cast::<RefusedBody>()
            && !self.exchange.head_sent()
        {
            return self.refused(&refused.get().0, environ);
        }
        if self.exchange.head_sent() {
            logging::exception(py, error, "Error handling request");
            self.exchange.abandon();
        } else {
            let message = format!("Error handling request {}", describe(self.request));
            logging::exception(py, error, &message);
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
            start_response::send(py, exchange, serial, bytes, When::Later)?;
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
        start_response::send(py, exchange, serial, bytes, When::Now)?;
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
    exchange.write(serial, bytes.as_bytes(), When::End, hold).map(drop).map_err(refused)
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
        logging::exception(py, &error, "Error handling request");
        if !complete {
            turn.exchange.abandon();
        }
    }
}
