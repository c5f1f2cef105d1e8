//! The `req` and `resp` that hooks and loggers are given.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::python::ffi;
use crate::reactor::{ConnectionId, Outcome, Peer, Request};

/// Makes them.
pub struct Objects {
    cfg: Py<PyAny>,
    request_class: Py<PyAny>,
    response_class: Py<PyAny>,
    /// By connection key: whose requests were counted, and how many there were.
    counts: Mutex<Vec<Option<(ConnectionId, u32)>>>,
}

impl Objects {
    /// # Errors
    /// The classes cannot be imported.
    pub fn new(py: Python<'_>, cfg: Py<PyAny>) -> PyResult<Self> {
        Ok(Self {
            cfg,
            request_class: py.import("gunicorn.http.message")?.getattr("Request")?.unbind(),
            response_class: py.import("gunicorn.http.wsgi")?.getattr("Response")?.unbind(),
            counts: Mutex::default(),
        })
    }

    /// The object of a request whose body is read from `body`.
    ///
    /// # Errors
    /// Python is out of memory.
    pub fn request<'py>(
        &self,
        py: Python<'py>,
        request: &Request<'_>,
        body: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let new = self.request_class.bind(py).getattr(intern!(py, "__new__"))?;
        let req = new.call1((&self.request_class,))?;
        let facts = facts(py, request)?;
        facts.set_item(intern!(py, "req_number"), self.count(request.connection))?;
        facts.set_item(intern!(py, "body"), body)?;
        facts.set_item(intern!(py, "cfg"), &self.cfg)?;
        req.getattr(intern!(py, "__dict__"))?.call_method1(intern!(py, "update"), (facts,))?;
        Ok(req)
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

    /// The object of the response to `req`.
    ///
    /// # Errors
    /// Python is out of memory.
    pub fn response<'py>(
        &self,
        py: Python<'py>,
        req: &Bound<'py, PyAny>,
        outcome: Outcome,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Outcome { status, headers, sent, length, head_sent, chunked, close, upgrade } = outcome;
        let status = status.map(|status| ffi::latin1(py, &status)).transpose()?;
        let list = PyList::empty(py);
        for (name, value) in headers.iter() {
            list.append((ffi::latin1(py, name)?, ffi::latin1(py, value)?))?;
        }
        let facts = (head_sent, chunked, close, upgrade);
        let arguments = (req, &self.cfg, status, facts, list, sent, length);
        self.response_class.bind(py).call_method1(intern!(py, "_make"), arguments)
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
