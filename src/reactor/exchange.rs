//! The response side of one request: from `start_response` to the last byte.
//!
//! A slot has one exchange and uses it for request after request. The application side reaches it
//! through callables that may outlive the request: they carry a serial number, which is renewed
//! whenever the application may have kept one, and a call with an old number is refused.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::output::{Flush, Output, Shared};
use crate::http::{
    CHUNK_END, DateCache, HeaderBlock, LAST_CHUNK, Plan, ResponseBody, chunk_prefix, encode_head,
    error_page,
};
use crate::net::stream::Stream;
use crate::sys::{socket::Io, time};

/// Pieces up to this size are copied into one buffer with what goes before them; larger ones are
/// sent from where they are.
const COPY_LIMIT: usize = 16 * 1024;
/// An application that is ahead of its client by more than this waits.
const HIGH_WATER: usize = 1 << 20;
/// It goes on when so much is left.
const LOW_WATER: usize = HIGH_WATER / 4;

/// What the request says about its response.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The request is HTTP/1.`minor`.
    pub minor: u8,
    /// The request method is HEAD.
    pub head: bool,
    /// Both sides are willing to keep the connection.
    pub keep_alive: bool,
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
    /// The caller should [`Exchange::wait`] before it goes on.
    Full,
}

/// What is left of an exchange when its request is over.
pub struct Ending {
    pub stream: Stream,
    pub output: Output,
    /// The connection can carry another request.
    pub reusable: bool,
    /// The connection broke.
    pub broken: bool,
}

/// What the access log wants to know of a response.
pub struct Summary<'a> {
    /// As the application gave it; `None` if it gave none.
    pub status: Option<&'a [u8]>,
    pub headers: &'a HeaderBlock,
    /// Body bytes, before chunking.
    pub sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Over,
    /// Nothing from the application yet.
    Waiting,
    /// Status and headers are known but not sent.
    Started,
    /// The head is sent, the body under way.
    Body,
    /// The body is complete.
    Complete,
}

struct Inner {
    serial: u64,
    phase: Phase,
    facts: Facts,
    stream: Option<Stream>,
    status: Vec<u8>,
    headers: HeaderBlock,
    code: u16,
    /// Decided when the head is sent.
    plan: Option<Plan>,
    /// What is left of the announced Content-Length.
    remaining: u64,
    sent: u64,
    /// A body was dropped because the response must have none, and that was said.
    dropped: bool,
    /// The connection must not be used again, whatever was announced.
    closing: bool,
    broken: bool,
    output: Output,
    scratch: Vec<u8>,
    date: DateCache,
}

/// See the module documentation.
pub struct Exchange(Mutex<Inner>);

impl Exchange {
    pub fn new() -> Self {
        Self(Mutex::new(Inner {
            serial: 0,
            phase: Phase::Over,
            facts: Facts { minor: 1, head: false, keep_alive: false },
            stream: None,
            status: Vec::new(),
            headers: HeaderBlock::new(),
            code: 0,
            plan: None,
            remaining: 0,
            sent: 0,
            dropped: false,
            closing: false,
            broken: false,
            output: Output::default(),
            scratch: Vec::with_capacity(2 * COPY_LIMIT),
            date: DateCache::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere ends the worker; until then the state is as good as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the exchange of a request; `output` is what its connection still has to send.
    pub fn begin(&self, stream: Stream, output: Output, facts: Facts) {
        let mut inner = self.lock();
        inner.phase = Phase::Waiting;
        inner.facts = facts;
        inner.stream = Some(stream);
        inner.output = output;
        inner.remaining = 0;
        inner.sent = 0;
        inner.dropped = false;
        inner.closing = false;
        inner.broken = false;
        inner.plan = None;
        inner.status.clear();
        inner.headers.clear();
    }

    /// Ends the exchange and gives the connection back.
    pub fn end(&self) -> Option<Ending> {
        let mut inner = self.lock();
        let complete = inner.phase == Phase::Complete;
        inner.phase = Phase::Over;
        let closing = inner.closing || inner.plan.is_none_or(|plan| plan.close);
        let reusable = complete && !closing && !inner.broken;
        let stream = inner.stream.take()?;
        let output = std::mem::take(&mut inner.output);
        Some(Ending { stream, output, reusable, broken: inner.broken })
    }

    /// A new serial number, which makes callables with earlier ones useless.
    pub fn renew(&self) -> u64 {
        let mut inner = self.lock();
        inner.serial += 1;
        inner.serial
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
        let mut inner = self.lock();
        if inner.serial != serial {
            return Err(Refusal::Over);
        }
        if filled.is_ok() {
            inner.status.clear();
            inner.code = status.0;
            inner.status.extend_from_slice(status.1);
            inner.phase = Phase::Started;
        } else {
            headers.clear();
        }
        inner.headers = headers;
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
        hold: impl FnOnce() -> Shared,
    ) -> Result<Progress, Refusal> {
        let mut inner = self.lock();
        inner.ready(serial)?;
        inner.send(bytes, false, hold)
    }

    /// Sends the only or last piece of the body.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn write_last(
        &self,
        serial: u64,
        bytes: &[u8],
        hold: impl FnOnce() -> Shared,
    ) -> Result<(), Refusal> {
        let mut inner = self.lock();
        inner.ready(serial)?;
        inner.send(bytes, true, hold).map(drop)
    }

    /// Sends what is left to send: the head if there was no body, the end of a chunked body.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn finish(&self, serial: u64) -> Result<(), Refusal> {
        self.write_last(serial, b"", || Box::new([]))
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
        let mut inner = self.lock();
        inner.ready(serial)?;
        inner.send_file(file, offset, count)
    }

    /// The Content-Length that the application announced.
    pub fn content_length(&self) -> Option<u64> {
        self.lock().headers.content_length()
    }

    /// Whether the announced Content-Length has been sent in full.
    pub fn length_reached(&self) -> bool {
        let inner = self.lock();
        inner.phase == Phase::Body
            && matches!(inner.plan, Some(Plan { body: ResponseBody::Length(_), .. }))
            && inner.remaining == 0
    }

    /// Answers with an error page in place of a response that was not begun, and gives up the
    /// connection.
    pub fn fail(&self, status: u16, reason: &str, message: &str) {
        let mut inner = self.lock();
        if matches!(inner.phase, Phase::Waiting | Phase::Started) {
            inner.status.clear();
            inner.headers.clear();
            inner.status.extend_from_slice(status.to_string().as_bytes());
            inner.phase = Phase::Complete;
            inner.closing = true;
            inner.sent = 0;
            inner.scratch.clear();
            inner.scratch.extend_from_slice(&error_page(status, reason, message));
            // A broken connection is noted; nobody is left to tell.
            let _ = inner.transmit(b"", b"", || Box::new([]));
        }
    }

    /// Gives up a response that has begun: the client sees the connection close early.
    pub fn abandon(&self) {
        let mut inner = self.lock();
        inner.closing = true;
    }

    /// Blocks until the client has taken enough for the response to go on.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when it took nothing for `patience`.
    pub fn wait(&self, patience: Duration) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let mut deadline = Instant::now() + patience;
        while inner.output.buffered() > LOW_WATER {
            let Some(stream) = &inner.stream else { return Err(Refusal::Over) };
            let before = inner.output.buffered();
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            stream.wait_writable(u16::try_from(left).unwrap_or(u16::MAX));
            let flushed = inner.output.flush(stream);
            if inner.output.buffered() < before {
                deadline = Instant::now() + patience;
            }
            if flushed.is_err() || Instant::now() >= deadline {
                inner.broken = true;
                return Err(Refusal::Gone);
            }
        }
        Ok(())
    }

    /// Shows what is known of the response so far.
    pub fn inspect<R>(&self, look: impl FnOnce(Summary<'_>) -> R) -> R {
        let inner = self.lock();
        let status = (!inner.status.is_empty()).then_some(&inner.status[..]);
        look(Summary { status, headers: &inner.headers, sent: inner.sent })
    }
}

impl Inner {
    /// Checks that `start_response` may be called and takes the header block out to be filled.
    fn begin_start<E>(&mut self, serial: u64, replace: bool) -> Result<HeaderBlock, Refusal<E>> {
        match (self.phase, replace) {
            _ if self.serial != serial => Err(Refusal::Over),
            (Phase::Over, _) => Err(Refusal::Over),
            (Phase::Started, false) => Err(Refusal::AlreadyStarted),
            (Phase::Body | Phase::Complete, true) => Err(Refusal::HeadSent),
            (Phase::Body | Phase::Complete, false) => Err(Refusal::AlreadyStarted),
            (Phase::Waiting, _) | (Phase::Started, true) => {
                self.phase = Phase::Waiting;
                self.status.clear();
                let mut headers = std::mem::take(&mut self.headers);
                headers.clear();
                Ok(headers)
            }
        }
    }

    /// Whether body bytes of request `serial` may be sent.
    fn ready(&self, serial: u64) -> Result<(), Refusal> {
        match self.phase {
            _ if self.serial != serial => Err(Refusal::Over),
            Phase::Over | Phase::Complete => Err(Refusal::Over),
            Phase::Waiting => Err(Refusal::NotStarted),
            Phase::Started | Phase::Body if self.broken => Err(Refusal::Gone),
            Phase::Started | Phase::Body => Ok(()),
        }
    }

    /// Decides about the response when its first byte is due and puts the head into the scratch
    /// buffer.
    fn plan(&mut self) -> Plan {
        self.scratch.clear();
        if let Some(plan) = self.plan {
            return plan;
        }
        let Facts { minor, head, keep_alive } = self.facts;
        let plan = Plan::new(minor, head, self.code, &self.headers, keep_alive);
        if let ResponseBody::Length(length) = plan.body {
            self.remaining = length;
        }
        let date = self.date.get(time::realtime_seconds().unsigned_abs());
        encode_head(&mut self.scratch, &plan, &self.status, date, &self.headers);
        self.phase = Phase::Body;
        self.plan = Some(plan);
        plan
    }

    fn send(
        &mut self,
        bytes: &[u8],
        last: bool,
        hold: impl FnOnce() -> Shared,
    ) -> Result<Progress, Refusal> {
        let mut body = bytes;
        let mut suffix: &[u8] = b"";
        match self.plan().body {
            ResponseBody::Forbidden => {
                self.note_dropped(bytes);
                body = b"";
            }
            ResponseBody::Length(_) => {
                let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX);
                body = &bytes[..bytes.len().min(limit)];
                self.remaining -= body.len() as u64;
            }
            ResponseBody::UntilClose => {}
            ResponseBody::Chunked => {
                if !bytes.is_empty() {
                    chunk_prefix(&mut self.scratch, bytes.len());
                }
                suffix = match (bytes.is_empty(), last) {
                    (false, false) => CHUNK_END,
                    (false, true) => b"\r\n0\r\n\r\n",
                    (true, true) => LAST_CHUNK,
                    (true, false) => b"",
                };
            }
        }
        self.sent += body.len() as u64;
        if last {
            self.complete();
        }
        self.transmit(body, suffix, hold)?;
        Ok(if self.output.buffered() > HIGH_WATER { Progress::Full } else { Progress::Open })
    }

    fn send_file(&mut self, file: File, offset: u64, mut count: u64) -> Result<(), Refusal> {
        let body = self.plan().body;
        match body {
            ResponseBody::Forbidden => count = 0,
            ResponseBody::Length(_) => {
                count = count.min(self.remaining);
                self.remaining -= count;
            }
            ResponseBody::UntilClose => {}
            ResponseBody::Chunked if count == 0 => self.scratch.extend_from_slice(LAST_CHUNK),
            ResponseBody::Chunked => {
                chunk_prefix(&mut self.scratch, usize::try_from(count).unwrap_or(usize::MAX));
            }
        }
        self.sent += count;
        self.complete();
        self.output.push_bytes(&self.scratch);
        self.output.push_file(file, offset, count);
        if body == ResponseBody::Chunked && count > 0 {
            self.output.push_bytes(CHUNK_END);
            self.output.push_bytes(LAST_CHUNK);
        }
        self.flush()
    }

    /// Notes that the body is over; one that is shorter than announced spoils the connection.
    fn complete(&mut self) {
        self.phase = Phase::Complete;
        if self.remaining > 0 {
            self.closing = true;
        }
    }

    fn note_dropped(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && !self.dropped {
            self.dropped = true;
            tracing::warn!(
                "WSGI app sent body bytes on a no-body response (method={} status={}); dropping \
                 per RFC 9110.",
                if self.facts.head { "HEAD" } else { "any" },
                String::from_utf8_lossy(&self.status)
            );
        }
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        let Some(stream) = &self.stream else { return Err(Refusal::Over) };
        match self.output.flush(stream) {
            Ok(Flush::Drained | Flush::Blocked) => Ok(()),
            Err(error) => Err(self.broke(&error)),
        }
    }

    fn broke(&mut self, error: &io::Error) -> Refusal {
        tracing::debug!("Closing connection: {error}");
        self.broken = true;
        Refusal::Gone
    }

    /// Sends head and framing from the scratch buffer, the body and what goes behind it, in one
    /// call to the kernel; what it does not take is queued.
    fn transmit(
        &mut self,
        body: &[u8],
        suffix: &[u8],
        hold: impl FnOnce() -> Shared,
    ) -> Result<(), Refusal> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = if body.len() <= COPY_LIMIT {
            scratch.extend_from_slice(body);
            scratch.extend_from_slice(suffix);
            self.transmit_parts([&scratch, b"", b""], hold)
        } else {
            self.transmit_parts([&scratch, body, suffix], hold)
        };
        scratch.clear();
        self.scratch = scratch;
        result
    }

    fn transmit_parts(
        &mut self,
        parts: [&[u8]; 3],
        hold: impl FnOnce() -> Shared,
    ) -> Result<(), Refusal> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total == 0 {
            return Ok(());
        }
        if !self.output.is_empty() {
            self.flush()?;
        }
        let mut sent = 0;
        if self.output.is_empty() {
            let Some(stream) = &self.stream else { return Err(Refusal::Over) };
            let outcome = if parts[1].is_empty() {
                stream.send(parts[0])
            } else {
                stream.send_vectored(&parts.map(IoSlice::new))
            };
            match outcome {
                Io::Done(count) => sent = count,
                Io::WouldBlock => {}
                Io::Failed(error) => return Err(self.broke(&error)),
            }
        }
        if sent < total {
            let skip = |part: &[u8], before: usize| sent.saturating_sub(before).min(part.len());
            let [head, body, suffix] = parts;
            self.output.push_bytes(&head[skip(head, 0)..]);
            if !body.is_empty() {
                self.output.push_shared(hold(), skip(body, head.len()));
            }
            self.output.push_bytes(&suffix[skip(suffix, head.len() + body.len())..]);
        }
        Ok(())
    }
}
