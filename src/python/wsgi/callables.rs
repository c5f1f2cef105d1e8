//! What an application can call or use of a request: made once, and used for request after request
//! as long as no application keeps a piece of it.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;

use super::socket::ClientSocket;
use super::start_response::Responder;
use crate::python::ffi;
use crate::reactor::Exchange;

/// The objects of the current request, and of the next one if they are free then.
pub struct Callables {
    responder: Py<Responder>,
    /// `start_response`.
    pub start: Py<PyAny>,
    /// `wsgi.early_hints`.
    pub early_hints: Py<PyAny>,
    /// `rgunicorn.client_gone`.
    pub client_gone: Py<PyAny>,
    /// `gunicorn.socket`.
    pub socket: Py<ClientSocket>,
    pub serial: u64,
}

impl Callables {
    pub fn new(py: Python<'_>, exchange: &Arc<Exchange>) -> PyResult<Self> {
        let serial = exchange.renew();
        let responder = Py::new(py, Responder::new(py, exchange, serial)?)?;
        Ok(Self {
            start: responder.getattr(py, intern!(py, "start_response"))?,
            early_hints: responder.getattr(py, intern!(py, "early_hints"))?,
            client_gone: responder.getattr(py, intern!(py, "client_gone"))?,
            responder,
            socket: Py::new(py, ClientSocket::new(exchange, serial))?,
            serial,
        })
    }

    /// Whether nobody else can use them. `prepared` is the number of prepared environs, which hold
    /// the ones that go into an environ.
    pub fn are_free(&self, py: Python<'_>, prepared: isize) -> bool {
        let responder = self.responder.bind(py);
        // Ours, and those of the three methods.
        ffi::references(responder) == 4
            && ffi::references(self.start.bind(py)) == 1
            && ffi::references(self.early_hints.bind(py)) == 1 + prepared
            && ffi::references(self.client_gone.bind(py)) == 1 + prepared
            && ffi::references(self.socket.bind(py)) == 1 + prepared
            && responder.get().write_is_free(py)
            && self.socket.get().is_untouched()
    }
}
