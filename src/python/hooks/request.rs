//! The hooks around each request, and the `req` and `resp` that they are given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::functions::RequestFunctions;
use super::handles::WorkerHandle;
use crate::python::{ffi, logging};
use crate::reactor::{ConnectionId, Exchange, Outcome, Peer, Request};

/// Who is called, with what is the same for all requests of a worker.
pub struct RequestHooks {
    functions: RequestFunctions,
    worker: Py<PyAny>,
    handle: Py<WorkerHandle>,
    cfg: Py<PyAny>,
    request_class: Py<PyAny>,
    response_class: Py<PyAny>,
    /// By connection key: whose requests were counted, and how many there were.
    counts: Mutex<Vec<Option<(ConnectionId, u32)>>>,
}

/// A request between the two hooks.
pub struct Current<'py> {
    hooks: Arc<RequestHooks>,
    req: Bound<'py, PyAny>,
}

impl RequestHooks {
    pub(super) fn new(
        py: Python<'_>,
        functions: RequestFunctions,
        worker: Py<PyAny>,
        handle: Py<WorkerHandle>,
    ) -> PyResult<Self> {
        Ok(Self {
            functions,
            cfg: worker.getattr(py, "cfg")?,
            worker,
            handle,
            request_class: py.import("gunicorn.http.message")?.getattr("Request")?.unbind(),
            response_class: py.import("gunicorn.http.wsgi")?.getattr("Response")?.unbind(),
            counts: Mutex::default(),
        })
    }

    /// Whether there is a `pre_request` hook.
    pub fn precede(&self) -> bool {
        self.functions.pre.is_some()
    }

    /// The object of a request whose body is read from `body`.
    pub fn begin<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        request: &Request<'_>,
        body: &Bound<'py, PyAny>,
    ) -> PyResult<Current<'py>> {
        let new = self.request_class.bind(py).getattr(intern!(py, "__new__"))?;
        let req = new.call1((&self.request_class,))?;
        let facts = facts(py, request)?;
        facts.set_item(intern!(py, "req_number"), self.count(request.connection))?;
        facts.set_item(intern!(py, "body"), body)?;
        facts.set_item(intern!(py, "cfg"), &self.cfg)?;
        req.getattr(intern!(py, "__dict__"))?.call_method1(intern!(py, "update"), (facts,))?;
        Ok(Current { hooks: Arc::clone(self), req })
    }

    /// Which request of its connection this is, as far as this worker knows.
    fn count(&self, connection: ConnectionId) -> u32 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let index = connection.key as usize;
        if counts.len() <= index {
            counts.resize(index + 1, None);
        }
        let before = counts[index].filter(|(known, _)| *known == connection);
        let count = before.map_or(1, |(_, count)| count.saturating_add(1));
        counts[index] = Some((connection, count));
        count
    }
}

impl<'py> Current<'py> {
    /// Calls `pre_request`.
    ///
    /// # Errors
    /// The hook raised.
    pub fn pre_request(&self, py: Python<'py>) -> PyResult<()> {
        let Some(hook) = &self.hooks.functions.pre else { return Ok(()) };
        self.req.call_method0(intern!(py, "_remember"))?;
        let _uncounted = self.hooks.handle.get().hold_back();
        hook.call1(py, (&self.hooks.worker, &self.req)).map(drop)
    }

    /// Has what `pre_request` has changed about the request take effect.
    ///
    /// # Errors
    /// It is not what a request can have.
    pub fn amend(
        &self,
        py: Python<'py>,
        environ: &Bound<'py, PyDict>,
        exchange: &Exchange,
    ) -> PyResult<()> {
        if self.hooks.functions.pre.is_none() {
            return Ok(());
        }
        if self.req.getattr(intern!(py, "must_close"))?.is_truthy()? {
            exchange.close_after();
        }
        self.req.call_method1(intern!(py, "_amend"), (environ,)).map(drop)
    }

    /// Calls `post_request`. `environ` is there if the application was called.
    pub fn post_request(
        &self,
        py: Python<'py>,
        environ: Option<&Bound<'py, PyDict>>,
        exchange: &Exchange,
    ) {
        let Some((hook, arity)) = &self.hooks.functions.post else { return };
        let called = || -> PyResult<()> {
            let (hook, worker) = (hook.bind(py), &self.hooks.worker);
            let given = || environ.cloned().unwrap_or_else(|| PyDict::new(py));
            match arity {
                2 => hook.call1((worker, &self.req)),
                3 => hook.call1((worker, &self.req, given())),
                _ => {
                    let resp = environ.map(|_| self.response(py, exchange)).transpose()?;
                    hook.call1((worker, &self.req, given(), resp))
                }
            }
            .map(drop)
        };
        if let Err(error) = called() {
            logging::exception(py, &error, "Exception in post_request hook");
        }
    }

    fn response(&self, py: Python<'py>, exchange: &Exchange) -> PyResult<Bound<'py, PyAny>> {
        let Outcome { status, headers, sent, length, head_sent, chunked, close, upgrade } =
            exchange.outcome();
        let status = status.map(|status| ffi::latin1(py, &status)).transpose()?;
        let list = PyList::empty(py);
        for (name, value) in headers.iter() {
            list.append((ffi::latin1(py, name)?, ffi::latin1(py, value)?))?;
        }
        let facts = (head_sent, chunked, close, upgrade);
        let arguments = (&self.req, &self.hooks.cfg, status, facts, list, sent, length);
        self.hooks.response_class.bind(py).call_method1(intern!(py, "_make"), arguments)
    }
}

/// The attributes of a request.
fn facts<'py>(py: Python<'py>, request: &Request<'_>) -> PyResult<Bound<'py, PyDict>> {
    let head = &request.head;
    let text = |bytes: &[u8]| ffi::latin1(py, bytes);
    let target = head.target();
    let (path, query) = head.path_and_query();
    let fragment = memchr::memchr(b'#', target).map_or(&b""[..], |at| &target[at + 1..]);
    let facts = PyDict::new(py);
    facts.set_item(intern!(py, "method"), text(head.method())?)?;
    facts.set_item(intern!(py, "uri"), text(target)?)?;
    facts.set_item(intern!(py, "path"), text(path)?)?;
    facts.set_item(intern!(py, "query"), text(query)?)?;
    facts.set_item(intern!(py, "fragment"), text(fragment)?)?;
    facts.set_item(intern!(py, "version"), head.version())?;
    let headers = PyList::empty(py);
    for (name, value) in head.fields() {
        headers.append((text(&name.to_ascii_uppercase())?, text(value)?))?;
    }
    facts.set_item(intern!(py, "headers"), headers)?;
    facts.set_item(intern!(py, "trailers"), PyList::empty(py))?;
    let scheme = if head.scheme_https() == Some(true) { "https" } else { "http" };
    facts.set_item(intern!(py, "scheme"), scheme)?;
    let peer = match request.peer {
        Peer::Inet(address) => address_tuple(py, address)?.into_any(),
        Peer::Unix => PyString::new(py, "").into_any(),
    };
    facts.set_item(intern!(py, "peer_addr"), &peer)?;
    let proxy = proxy_info(py, request)?;
    let remote = match request.proxy.and_then(|proxy| proxy.source) {
        Some(source) => (source.ip().to_string(), source.port()).into_pyobject(py)?.into_any(),
        None => peer,
    };
    facts.set_item(intern!(py, "remote_addr"), remote)?;
    facts.set_item(intern!(py, "proxy_protocol_info"), proxy)?;
    facts.set_item(intern!(py, "must_close"), false)?;
    facts.set_item(intern!(py, "_keep_alive"), head.keep_alive())?;
    Ok(facts)
}

/// An address as Python's sockets have it.
fn address_tuple(py: Python<'_>, address: SocketAddr) -> PyResult<Bound<'_, PyTuple>> {
    let (host, port) = (address.ip().to_string(), address.port());
    match address {
        SocketAddr::V4(_) => (host, port).into_pyobject(py),
        SocketAddr::V6(v6) => (host, port, v6.flowinfo(), v6.scope_id()).into_pyobject(py),
    }
}

/// What the PROXY protocol says of the client.
fn proxy_info<'py>(py: Python<'py>, request: &Request<'_>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(proxy) = request.proxy else { return Ok(None) };
    let info = PyDict::new(py);
    info.set_item("proxy_protocol", proxy.protocol)?;
    let parts = |address: Option<SocketAddr>| {
        (address.map(|known| known.ip().to_string()), address.map(|known| known.port()))
    };
    let (host, port) = parts(proxy.source);
    info.set_item("client_addr", host)?;
    info.set_item("client_port", port)?;
    let (host, port) = parts(proxy.destination);
    info.set_item("proxy_addr", host)?;
    info.set_item("proxy_port", port)?;
    Ok(Some(info))
}
