//! The environ of a request (PEP 3333, "environ Variables").

use std::net::SocketAddr;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString};

use super::callables::Callables;
use super::file_wrapper::FileWrapper;
use super::identity;
use super::input::Input;
use super::names::Names;
use super::values::Values;
use crate::http::{Head, ProxyInfo, percent_decode};
use crate::python::ffi;
use crate::reactor::{Body, ConnectionId, Exchange, Peer, Request};

/// What stays the same for all requests of a worker.
pub struct Settings {
    pub multithread: bool,
    pub multiprocess: bool,
    /// Name and port of each listener, for `SERVER_NAME` and `SERVER_PORT`; `None` as the port
    /// marks a unix socket.
    pub servers: Vec<(String, Option<String>)>,
    pub errors: Py<PyAny>,
}

/// Keys and values that are made once and used for every request.
struct Fixed {
    request_method: Py<PyString>,
    query_string: Py<PyString>,
    raw_uri: Py<PyString>,
    path_info: Py<PyString>,
    server_protocol: Py<PyString>,
    remote_addr: Py<PyString>,
    remote_port: Py<PyString>,
    input: Py<PyString>,
    http_host: Py<PyString>,
    script_name: Py<PyString>,
    get: Py<PyString>,
    post: Py<PyString>,
    http_10: Py<PyString>,
    empty: Py<PyString>,
    empty_input: Py<Input>,
}

static KEYS: PyOnceLock<Keys> = PyOnceLock::new();

/// What all environs of the server are built from.
pub struct Keys {
    fixed: Fixed,
    common: Names,
}

impl Keys {
    /// Makes them at the first call: before workers are forked if there will be several. Each worker
    /// that made its own would write to pages all over the memory that it shares with the others, to
    /// those of the strings and to those of Python's table of interned strings.
    pub fn shared(py: Python<'_>) -> PyResult<&'static Self> {
        KEYS.get_or_try_init(py, || Ok(Self { fixed: Fixed::new(py)?, common: Names::common(py)? }))
    }
}

impl Fixed {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let string = |text: &str| PyString::intern(py, text).unbind();
        Ok(Self {
            request_method: string("REQUEST_METHOD"),
            query_string: string("QUERY_STRING"),
            raw_uri: string("RAW_URI"),
            path_info: string("PATH_INFO"),
            server_protocol: string("SERVER_PROTOCOL"),
            remote_addr: string("REMOTE_ADDR"),
            remote_port: string("REMOTE_PORT"),
            input: string("wsgi.input"),
            http_host: string("HTTP_HOST"),
            script_name: string("SCRIPT_NAME"),
            get: string("GET"),
            post: string("POST"),
            http_10: string("HTTP/1.0"),
            empty: string(""),
            empty_input: Py::new(py, Input::empty())?,
        })
    }
}

/// The strings of a client address, kept while its connection lasts.
struct Address {
    connection: ConnectionId,
    host: Py<PyString>,
    port: Py<PyString>,
}

/// Builds the environ of each request from a prepared one.
pub struct Environ {
    fixed: &'static Fixed,
    common: &'static Names,
    /// Those that are not common.
    names: Names,
    values: Values,
    /// One per listener.
    prepared: Vec<Prepared>,
    /// By connection key.
    addresses: Vec<Option<Address>>,
    /// Where the application is mounted unless a trusted proxy says otherwise.
    script_name: String,
}

/// A request path outside the place where the application is mounted.
pub struct OutsideScriptName {
    pub path: Vec<u8>,
    pub script_name: Vec<u8>,
}

struct Prepared {
    dict: Py<PyDict>,
    unix: bool,
}

impl Environ {
    pub fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        let Keys { fixed, common } = Keys::shared(py)?;
        let script_name = std::env::var("SCRIPT_NAME").unwrap_or_default();
        let prepared = settings
            .servers
            .iter()
            .map(|(name, port)| {
                let dict = prepare(py, settings, fixed, name, port.as_deref(), &script_name)?;
                Ok(Prepared { dict: dict.unbind(), unix: port.is_none() })
            })
            .collect::<PyResult<Vec<_>>>()?;
        Ok(Self {
            fixed,
            common,
            names: Names::new(),
            values: Values::new(),
            prepared,
            addresses: Vec::new(),
            script_name,
        })
    }

    /// How many prepared environs there are.
    pub fn prepared(&self) -> isize {
        isize::try_from(self.prepared.len()).unwrap_or(isize::MAX)
    }

    /// Puts the callables that all requests from now on get into the prepared environs.
    pub fn put(&self, py: Python<'_>, callables: &Callables) -> PyResult<()> {
        for prepared in &self.prepared {
            let dict = prepared.dict.bind(py);
            dict.set_item("wsgi.early_hints", &callables.early_hints)?;
            dict.set_item("rgunicorn.client_gone", &callables.client_gone)?;
            dict.set_item("gunicorn.socket", &callables.socket)?;
        }
        Ok(())
    }

    /// What the body of a request is read from, taken out of it; `None` if it has none.
    pub fn input(
        py: Python<'_>,
        request: &mut Request<'_>,
        exchange: &Arc<Exchange>,
        serial: u64,
    ) -> PyResult<Option<Py<Input>>> {
        match std::mem::replace(&mut request.body, Body::Empty) {
            Body::Empty => Ok(None),
            body => Py::new(py, Input::new(body, exchange, serial)).map(Some),
        }
    }

    /// What a request without a body has for it.
    pub fn empty_input(&self) -> &Py<Input> {
        &self.fixed.empty_input
    }

    /// The environ of one request.
    pub fn build<'py>(
        &mut self,
        py: Python<'py>,
        request: &Request<'_>,
        input: Option<&Py<Input>>,
    ) -> PyResult<Result<Bound<'py, PyDict>, OutsideScriptName>> {
        let head = &request.head;
        let fixed = self.fixed;
        let prepared = &self.prepared[request.listener];
        let environ = prepared.dict.bind(py).copy()?;

        match head.method() {
            // The prepared value.
            b"GET" => {}
            b"POST" => environ.set_item(&fixed.request_method, &fixed.post)?,
            other => environ.set_item(&fixed.request_method, ffi::latin1(py, other)?)?,
        }
        match head.version() {
            (1, 1) => {}
            (1, 0) => environ.set_item(&fixed.server_protocol, &fixed.http_10)?,
            (major, minor) => {
                environ.set_item(&fixed.server_protocol, format!("HTTP/{major}.{minor}"))?;
            }
        }
        if let Err(outside) = self.set_target(py, &environ, head)? {
            return Ok(Err(outside));
        }
        self.set_peer(py, &environ, request.connection, request.peer)?;
        if let Some(proxy) = request.proxy {
            set_proxy(py, &environ, self.fixed, proxy)?;
        }
        if let Some(https) = head.scheme_https() {
            let scheme = if https { intern!(py, "https") } else { intern!(py, "http") };
            environ.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
        }
        // Else the prepared value: nothing can be changed about an empty stream.
        if let Some(input) = input {
            environ.set_item(&self.fixed.input, input)?;
        }
        self.set_headers(py, &environ, head)?;
        if self.prepared[request.listener].unix {
            set_server_from_host(py, &environ, head)?;
        }
        Ok(Ok(environ))
    }

    fn set_target(
        &self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        head: &Head<'_>,
    ) -> PyResult<Result<(), OutsideScriptName>> {
        let fixed = self.fixed;
        let raw = ffi::latin1(py, head.target())?;
        let (mut path, query) = head.path_and_query();
        if !query.is_empty() {
            environ.set_item(&fixed.query_string, ffi::latin1(py, query)?)?;
        }
        // Underscores in names are only let through from where they are trusted.
        let mounted = head.fields().filter(|(name, _)| is_script_name(name)).last();
        let script_name = mounted.map_or(self.script_name.as_bytes(), |(_, value)| value);
        if !script_name.is_empty() {
            let Some(rest) = path.strip_prefix(script_name) else {
                let (path, script_name) = (path.to_vec(), script_name.to_vec());
                return Ok(Err(OutsideScriptName { path, script_name }));
            };
            path = rest;
        }
        if script_name != self.script_name.as_bytes() {
            environ.set_item(&fixed.script_name, ffi::latin1(py, script_name)?)?;
        }
        let path = percent_decode(path);
        if *path == *head.target() {
            environ.set_item(&fixed.path_info, &raw)?;
        } else {
            environ.set_item(&fixed.path_info, ffi::latin1(py, &path)?)?;
        }
        environ.set_item(&fixed.raw_uri, raw)?;
        Ok(Ok(()))
    }

    fn set_peer(
        &mut self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        connection: ConnectionId,
        peer: Peer,
    ) -> PyResult<()> {
        let Peer::Inet(address) = peer else {
            // The prepared empty address; a unix socket has no port.
            return Ok(());
        };
        let index = connection.key as usize;
        if index >= self.addresses.len() {
            self.addresses.resize_with(index + 1, || None);
        }
        let known = match &self.addresses[index] {
            Some(known) if known.connection == connection => known,
            _ => self.addresses[index].insert(Address::new(py, connection, address)),
        };
        environ.set_item(&self.fixed.remote_addr, &known.host)?;
        environ.set_item(&self.fixed.remote_port, &known.port)
    }

    fn set_headers(
        &mut self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        head: &Head<'_>,
    ) -> PyResult<()> {
        let mut host_seen = false;
        for (name, value) in head.fields() {
            let (key, place) = match self.common.known(name) {
                Some(known) => (known.key.bind(py).clone(), known.place),
                None => (self.names.key(py, name, None)?, None),
            };
            let value = self.values.string(py, place, value)?;
            if !host_seen && key.is(&self.fixed.http_host) {
                // Replaces the prepared empty value; a second Host was refused.
                host_seen = true;
                environ.set_item(key, value)?;
                continue;
            }
            let count = environ.len();
            let found = ffi::set_default(environ, &key, &value)?;
            // Not told by the value: Python has but one object for each string of one character.
            if environ.len() == count {
                // A repeated header: joined as RFC 9110 section 5.3 allows.
                let joined = found.add(intern!(py, ",")).and_then(|text| text.add(&value))?;
                environ.set_item(key, joined)?;
            }
        }
        if !host_seen {
            environ.del_item(&self.fixed.http_host)?;
        }
        Ok(())
    }
}

impl Address {
    fn new(py: Python<'_>, connection: ConnectionId, address: SocketAddr) -> Self {
        Self {
            connection,
            host: PyString::new(py, &address.ip().to_string()).unbind(),
            port: PyString::new(py, itoa::Buffer::new().format(address.port())).unbind(),
        }
    }
}

/// The environ of a `GET` in HTTP/1.1 on one listener, with a value for every key that each request
/// sets: a copy has room for them and changing a value is cheaper than adding one.
fn prepare<'py>(
    py: Python<'py>,
    settings: &Settings,
    fixed: &Fixed,
    name: &str,
    port: Option<&str>,
    script_name: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let empty = &fixed.empty;
    dict.set_item("wsgi.version", (1, 0))?;
    dict.set_item("wsgi.url_scheme", "http")?;
    dict.set_item("wsgi.errors", &settings.errors)?;
    dict.set_item("wsgi.multithread", PyBool::new(py, settings.multithread))?;
    dict.set_item("wsgi.multiprocess", PyBool::new(py, settings.multiprocess))?;
    dict.set_item("wsgi.run_once", PyBool::new(py, false))?;
    dict.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
    dict.set_item("wsgi.input_terminated", PyBool::new(py, true))?;
    dict.set_item("wsgi.input", &fixed.empty_input)?;
    identity::set_in(py, &dict)?;
    dict.set_item(&fixed.request_method, &fixed.get)?;
    dict.set_item(&fixed.query_string, empty)?;
    dict.set_item(&fixed.raw_uri, empty)?;
    dict.set_item(&fixed.server_protocol, "HTTP/1.1")?;
    dict.set_item("SERVER_NAME", name)?;
    dict.set_item("SERVER_PORT", port.unwrap_or_default())?;
    dict.set_item(&fixed.script_name, script_name)?;
    dict.set_item(&fixed.path_info, empty)?;
    dict.set_item(&fixed.remote_addr, empty)?;
    if port.is_some() {
        dict.set_item(&fixed.remote_port, empty)?;
    }
    dict.set_item(&fixed.http_host, empty)?;
    Ok(dict)
}

/// What the PROXY protocol says of the client takes the place of the proxy's own address.
fn set_proxy(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    fixed: &Fixed,
    proxy: &ProxyInfo,
) -> PyResult<()> {
    environ.set_item("PROXY_PROTOCOL", proxy.protocol)?;
    if let Some(source) = proxy.source {
        let host = PyString::new(py, &source.ip().to_string());
        let port = PyString::new(py, itoa::Buffer::new().format(source.port()));
        environ.set_item(&fixed.remote_addr, host)?;
        environ.set_item(&fixed.remote_port, port)?;
    }
    if let Some(destination) = proxy.destination {
        environ.set_item("PROXY_ADDR", destination.ip().to_string())?;
        environ.set_item("PROXY_PORT", itoa::Buffer::new().format(destination.port()))?;
    }
    Ok(())
}

fn is_script_name(name: &[u8]) -> bool {
    name.len() == 11 && name.eq_ignore_ascii_case(b"SCRIPT_NAME")
}

/// On a unix socket the Host header names the server.
fn set_server_from_host(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    head: &Head<'_>,
) -> PyResult<()> {
    let Some(host) = head.host().filter(|host| !host.is_empty()) else { return Ok(()) };
    // The colons of an IPv6 address are between brackets. Others than the one before the port are in
    // no valid host; what is behind them belongs to nothing.
    let address = if host[0] == b'[' { memchr::memchr(b']', host).unwrap_or(0) } else { 0 };
    let (name, port) = match memchr::memchr(b':', &host[address..]) {
        Some(colon) => {
            let (name, port) = host.split_at(address + colon);
            let port = port[1..].split(|&byte| byte == b':').next().unwrap_or_default();
            (name, ffi::latin1(py, port)?)
        }
        None if head.scheme_https() == Some(true) => (host, PyString::new(py, "443")),
        None => (host, PyString::new(py, "80")),
    };
    environ.set_item("SERVER_NAME", ffi::latin1(py, name)?)?;
    environ.set_item("SERVER_PORT", port)
}
