//! A request body that is read from the client while the application asks for it
//! (`request_buffering = False`).

use std::sync::Arc;

use pyo3::prelude::*;

use super::start_response::{ClientGone, RefusedBody, error_of};
use crate::reactor::{Exchange, Received, Refusal};

/// The rest of a body, and what was received beyond what the application asked for.
pub struct OnDemand {
    exchange: Arc<Exchange>,
    serial: u64,
    ahead: Vec<u8>,
    over: bool,
}

impl OnDemand {
    pub fn new(exchange: &Arc<Exchange>, serial: u64) -> Self {
        Self { exchange: Arc::clone(exchange), serial, ahead: Vec::new(), over: false }
    }

    /// Up to `size` bytes, less only at the end.
    pub fn read(&mut self, py: Python<'_>, size: usize) -> PyResult<Vec<u8>> {
        while self.ahead.len() < size && self.receive(py)? {}
        let count = self.ahead.len().min(size);
        Ok(self.take(count))
    }

    /// Up to and including the next newline, at most `size` bytes.
    pub fn line(&mut self, py: Python<'_>, size: usize) -> PyResult<Vec<u8>> {
        let mut searched = 0;
        loop {
            let window = &self.ahead[..self.ahead.len().min(size)];
            if let Some(at) = memchr::memchr(b'\n', &window[searched..]) {
                return Ok(self.take(searched + at + 1));
            }
            searched = window.len();
            if searched == size || !self.receive(py)? {
                return Ok(self.take(searched));
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Waits for more; `false` at the end of the body, also when the client has cut it short, as
    /// with gunicorn.
    fn receive(&mut self, py: Python<'_>) -> PyResult<bool> {
        while !self.over {
            match self.exchange.receive(self.serial).map_err(|over| error_of(over.widen()))? {
                Received::Data(data) => {
                    self.ahead.extend_from_slice(&data);
                    return Ok(true);
                }
                Received::Cut if self.exchange.awaits_chunk() => {
                    return Err(ClientGone::new_err("the client closed the connection"));
                }
                Received::End | Received::Cut => self.over = true,
                Received::Refused(reject) => return Err(RefusedBody::raise(py, reject)),
                Received::Blocked => {
                    match py.detach(|| self.exchange.wait_readable()) {
                        Ok(()) => {}
                        Err(Refusal::Invalid(late)) => return Err(RefusedBody::raise(py, late)),
                        Err(_) => return Err(error_of(Refusal::Over)),
                    }
                    py.check_signals()?;
                }
            }
        }
        Ok(false)
    }
}
