//! The response side of one request: from `start_response` to the last byte.
//!
//! A slot has one exchange and uses it for request after request. The application side reaches it
//! through callables that may outlive the request: they carry a serial number, which is renewed
//! whenever the application may have kept one, and a call with an old number is refused.

mod connection;
mod outcome;
mod receiving;
mod sending;

use std::fs::File;
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::outcome::Outcome;
pub use self::receiving::{Incoming, Received};
pub use self::sending::When;
use self::sending::{Phase, Response};
use super::output::{Output, Shared};
use crate::http::{HeadParser, HeaderBlock, Reject, error_page};
use crate::net::stream::Stream;
use crate::sys::socket::Peer;

/// What the request says about its response.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Facts {
    /// The request is HTTP/1.`minor`.
    pub minor: u8,
    /// The request method is HEAD.
    pub head: bool,
    /// Both sides are willing to keep the connection.
    pub keep_alive: bool,
    /// The client sends nothing more: the connection is closed as soon as the response is out.
    pub at_once: bool,
    /// A small response may wait for others when it is complete.
    pub hold: bool,
}

/// Why a call of the application side was refused.
#[derive(Debug)]
pub enum Refusal<E = std::convert::Infallible> {
    /// The request is over.
    Over,
    /// `start_response` was called twice.
    AlreadyStarted,
    /// The head is with the client already.
    HeadSent,
    /// `start_response` was not called.
    NotStarted,
    /// The client is gone.
    Gone,
    /// What was to be sent is not valid.
    Invalid(E),
}

impl Refusal {
    /// The same refusal where another kind of invalidity is possible.
    pub fn widen<E>(self) -> Refusal<E> {
        match self {
            Self::Over => Refusal::Over,
            Self::AlreadyStarted => Refusal::AlreadyStarted,
            Self::HeadSent => Refusal::HeadSent,
            Self::NotStarted => Refusal::NotStarted,
            Self::Gone => Refusal::Gone,
            Self::Invalid(never) => match never {},
        }
    }
}

/// How far ahead of the client the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More may follow at once.
    Open,
    /// The caller should [`Exchange::wait_writable`] before it goes on.
    Full,
    /// The response is complete and waits for others.
    Held,
}

/// What becomes of a connection behind its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can carry another request.
    Keep,
    /// It is closed in order.
    Leave,
    /// It broke.
    Broken,
    /// The application has the socket, and no response was sent.
    TakenOver,
}

/// What is left of an exchange when its request is over.
pub struct Ending {
    pub stream: Arc<Stream>,
    pub output: Output,
    pub fate: Fate,
    /// The request body has been received to its end.
    pub all_read: bool,
    /// What was received behind a body that the application read from the connection.
    pub rest: Vec<u8>,
    /// The output was held back.
    pub held: bool,
}

/// What the access log wants to know of a response.
pub struct Summary<'a> {
    /// As the application gave it; `None` if it gave none.
    pub status: Option<&'a [u8]>,
    pub headers: &'a HeaderBlock,
    /// Body bytes, before chunking.
    pub sent: u64,
    /// The response waits for others.
    pub held: bool,
    /// The request was given up, and logged then.
    pub given_up: bool,
}

/// See the module documentation.
pub struct Exchange {
    response: Mutex<Response>,
    /// A complete response waits in its output.
    holds: AtomicBool,
    /// How long a client may take nothing of a response, or send nothing of a body.
    patience: Patience,
    /// An application that waits for its client goes on when so much is left to send.
    low_water: usize,
}

/// How long clients may make no progress; zero is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub write: Duration,
    pub body: Duration,
}

/// The most of an unread body that is skipped to keep its connection.
const SKIP_LIMIT: u64 = 64 * 1024;

impl Exchange {
    /// `high_water` is how many bytes an application may be ahead of its client.
    pub fn new(parser: HeadParser, high_water: usize, patience: Patience) -> Self {
        let response = Mutex::new(Response::new(parser, high_water));
        Self { response, holds: AtomicBool::new(false), patience, low_water: high_water / 4 }
    }

    fn lock(&self) -> MutexGuard<'_, Response> {
        // A panic elsewhere ends the worker; until then the state is as good as it was.
        self.response.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the exchange of a request; `output` is what its connection still has to send,
    /// `incoming` the body if it is to be read on demand.
    pub fn begin(
        &self,
        stream: Arc<Stream>,
        output: Output,
        facts: Facts,
        incoming: Option<Incoming>,
    ) {
        let mut response = self.lock();
        response.phase = Phase::Waiting;
        response.facts = facts;
        response.stream = Some(stream);
        response.output = output;
        response.incoming = incoming;
        response.taken_over = false;
        response.remaining = 0;
        response.sent = 0;
        response.dropped = false;
        response.closing = false;
        response.close_follows = false;
        response.broken = false;
        response.given_up = false;
        response.plan = None;
        response.status.clear();
        response.headers.clear();
        response.scratch.clear();
    }

    /// Ends the exchange and gives the connection back.
    pub fn end(&self) -> Option<Ending> {
        let mut response = self.lock();
        let response = &mut *response;
        let phase = std::mem::replace(&mut response.phase, Phase::Over);
        let stream = response.stream.take()?;
        let output = take(&mut response.output);
        let held = self.holds.load(Ordering::Relaxed);
        if held {
            self.holds.store(false, Ordering::Relaxed);
        }
        let (mut all_read, mut rest) = (true, Vec::new());
        if let Some(mut incoming) = response.incoming.take() {
            // What comes on a connection that was taken over is not for us, and is waited for.
            all_read = !response.taken_over && incoming.skip(&response.parser, &stream, SKIP_LIMIT);
            rest = incoming.raw;
        }
        let complete = phase == Phase::Complete;
        let closing = response.closing || response.plan.is_none_or(|plan| plan.close);
        let fate = if response.broken {
            Fate::Broken
        } else if response.taken_over {
            if complete {
                // An error page leaves it as it was made for the application.
                let _ = stream.set_blocking(false);
                Fate::Leave
            } else {
                Fate::TakenOver
            }
        } else if complete && !closing && all_read {
            Fate::Keep
        } else {
            Fate::Leave
        };
        Some(Ending { stream, output, fate, all_read, rest, held })
    }

    /// A new serial number, which makes callables with earlier ones useless.
    pub fn renew(&self) -> u64 {
        let mut response = self.lock();
        response.serial += 1;
        response.serial
    }

    /// Whether the response has begun to go out.
    pub fn head_sent(&self) -> bool {
        matches!(self.lock().phase, Phase::Body | Phase::Complete)
    }

    /// Whether the application has given a status.
    pub fn started(&self) -> bool {
        self.lock().phase != Phase::Waiting
    }

    /// Sets status (code and text) and headers. `fill` validates and adds the headers. With `replace` an earlier
    /// call is overruled as long as its head was not sent (PEP 3333, `exc_info`).
    ///
    /// # Errors
    /// See [`Refusal`]; an invalid status or header leaves the exchange as if not started.
    pub fn start<E>(
        &self,
        serial: u64,
        status: (u16, &[u8]),
        replace: bool,
        fill: impl FnOnce(&mut HeaderBlock) -> Result<(), E>,
    ) -> Result<(), Refusal<E>> {
        let mut headers = self.lock().begin_start(serial, replace)?;
        // Not locked here: an odd list of headers may run any Python code.
        let filled = fill(&mut headers);
        let mut response = self.lock();
        if response.serial != serial || response.phase == Phase::Over {
            return Err(Refusal::Over);
        }
        if response.phase != Phase::Waiting {
            // That code has called us, or another thread has.
            return Err(Refusal::AlreadyStarted);
        }
        if filled.is_ok() {
            response.status.clear();
            response.code = status.0;
            response.status.extend_from_slice(status.1);
            response.phase = Phase::Started;
        } else {
            headers.clear();
        }
        response.headers = headers;
        filled.map_err(Refusal::Invalid)
    }

    /// Sends a piece of the body; `hold` makes a reference to it in case it cannot go out at once.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn write(
        &self,
        serial: u64,
        bytes: &[u8],
        when: When,
        hold: impl FnOnce() -> Shared,
    ) -> Result<Progress, Refusal> {
        let mut response = self.lock();
        response.ready(serial)?;
        let progress = response.send(bytes, when, hold)?;
        if progress == Progress::Held {
            self.holds.store(true, Ordering::Relaxed);
        }
        Ok(progress)
    }

    /// Sends a complete response that was held back while its application still is at something.
    pub fn send_held(&self) {
        if self.holds.load(Ordering::Relaxed) {
            let mut response = self.lock();
            self.holds.store(false, Ordering::Relaxed);
            // A broken connection is noted; nobody is left to tell.
            let _ = response.flush();
        }
    }

    /// Sends what is left to send: the head if there was no body, the end of a chunked body.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn finish(&self, serial: u64) -> Result<(), Refusal> {
        self.write(serial, b"", When::Last, || Box::new([])).map(drop)
    }

    /// Sends `count` bytes of a file from `offset` as the whole body.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn write_file(
        &self,
        serial: u64,
        file: File,
        offset: u64,
        count: u64,
    ) -> Result<(), Refusal> {
        let mut response = self.lock();
        response.ready(serial)?;
        response.send_file(file, offset, count)
    }

    /// The status code of a response whose body was dropped because it must have none.
    pub fn dropped_body(&self) -> Option<u16> {
        let response = self.lock();
        response.dropped.then_some(response.code)
    }

    /// Answers with the page of a refusal in place of a response that was not begun.
    pub fn refuse(&self, reject: &Reject) {
        self.fail(reject.status, reject.reason, &reject.page_message());
    }

    /// Answers with an error page in place of a response that was not begun, and gives up the
    /// connection.
    pub fn fail(&self, status: u16, reason: &str, message: &str) {
        let mut response = self.lock();
        if matches!(response.phase, Phase::Waiting | Phase::Started) {
            response.status.clear();
            response.headers.clear();
            response.status.extend_from_slice(format!("{status} {reason}").as_bytes());
            response.phase = Phase::Complete;
            response.closing = true;
            response.sent = 0;
            response.scratch.clear();
            response.scratch.extend_from_slice(&error_page(status, reason, message));
            // A broken connection is noted; nobody is left to tell.
            let _ = response.transmit(b"", b"", || Box::new([]));
        }
    }

    /// Gives up a request whose application does not come back: the client gets this answer if it has
    /// none yet, and the end of the connection.
    pub fn give_up(&self, reject: &Reject) {
        self.refuse(reject);
        let mut response = self.lock();
        response.closing = true;
        response.given_up = true;
        if let Some(stream) = &response.stream {
            stream.shutdown_write();
        }
    }

    /// Who the client is and whether it speaks HTTP/1.`n`, while there is one.
    pub fn client(&self) -> Option<(Peer, u8)> {
        let response = self.lock();
        Some((response.stream.as_ref()?.peer(), response.facts.minor))
    }

    /// Gives up a response that has begun: the client sees the connection close early.
    pub fn abandon(&self) {
        let mut response = self.lock();
        response.closing = true;
        // What was held back to go out with the next piece. A broken connection is noted.
        let _ = response.transmit(b"", b"", || Box::new([]));
    }

    /// Shows what is known of the response so far. For the slot, when nothing more is added to it.
    pub fn inspect(&self, look: impl FnOnce(Summary<'_>)) {
        let mut response = self.lock();
        let (status, headers) = (take(&mut response.status), take(&mut response.headers));
        let (sent, given_up) = (response.sent, response.given_up);
        drop(response);
        let held = self.holds.load(Ordering::Relaxed);
        let shown = (!status.is_empty()).then_some(&status[..]);
        // Not locked here: showing a variable of the environ may run any Python code.
        look(Summary { status: shown, headers: &headers, sent, held, given_up });
        let mut response = self.lock();
        response.status = status;
        response.headers = headers;
    }
}
