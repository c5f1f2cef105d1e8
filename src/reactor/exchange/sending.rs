//! Sending: what the application gives becomes bytes on the connection.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::receiving::Incoming;
use super::{Facts, Progress, Refusal};
use crate::http::{
    CHUNK_END, DateCache, HeadParser, HeaderBlock, LAST_CHUNK, Plan, ResponseBody, chunk_prefix,
    encode_early_hints, encode_head,
};
use crate::net::stream::Stream;
use crate::reactor::output::{Flush, Output, Shared};
use crate::reactor::server_name;
use crate::sys::{socket::Io, time};

/// Pieces up to this size are copied into one buffer with what goes before them; larger ones are
/// sent from where they are.
const COPY_LIMIT: usize = 16 * 1024;
/// Responses up to this size may be held back.
const HOLD_LIMIT: usize = 4 * 1024;
/// When a piece of a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With the next piece, which is there already.
    Later,
    /// At once: the application takes its time for the next piece.
    Now,
    /// At once, and no piece comes behind it.
    Last,
    /// Like `Last`, and the application has nothing left to do for the request: if the connection
    /// is to be closed, the close may leave in the same packet.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
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

#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Response {
    pub(super) serial: u64,
    pub(super) phase: Phase,
    pub(super) facts: Facts,
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) status: Vec<u8>,
    pub(super) headers: HeaderBlock,
    pub(super) code: u16,
    /// Decided when the head is sent.
    pub(super) plan: Option<Plan>,
    /// What is left of the announced Content-Length.
    pub(super) remaining: u64,
    pub(super) sent: u64,
    /// A body was dropped because the response must have none.
    pub(super) dropped: bool,
    /// The connection must not be used again, whatever was announced.
    pub(super) closing: bool,
    pub(super) broken: bool,
    /// Nobody waits for the application any more.
    pub(super) given_up: bool,
    /// The application has the socket, to speak another protocol over it.
    pub(super) taken_over: bool,
    /// The rest of a request body that is read on demand.
    pub(super) incoming: Option<Incoming>,
    pub(super) parser: HeadParser,
    /// An application that is ahead of its client by more than this waits.
    pub(super) high_water: usize,
    pub(super) output: Output,
    /// Nothing happens between the last bytes and the close of the connection.
    pub(super) close_follows: bool,
    /// Bytes that go out with the next call to the kernel.
    pub(super) scratch: Vec<u8>,
    pub(super) date: DateCache,
}

impl Response {
    pub(super) fn new(parser: HeadParser, high_water: usize) -> Self {
        Self {
            serial: 0,
            phase: Phase::Over,
            facts: Facts { minor: 1, head: false, keep_alive: false, at_once: false, hold: false },
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
            given_up: false,
            taken_over: false,
            incoming: None,
            parser,
            high_water,
            output: Output::default(),
            close_follows: false,
            scratch: Vec::with_capacity(2 * COPY_LIMIT),
            date: DateCache::new(),
        }
    }

    /// Checks that `start_response` may be called and takes the header block out to be filled.
    pub(super) fn begin_start<E>(
        &mut self,
        serial: u64,
        replace: bool,
    ) -> Result<HeaderBlock, Refusal<E>> {
        match (self.phase, replace) {
            _ if self.serial != serial => Err(Refusal::Over),
            (Phase::Over, _) => Err(Refusal::Over),
            (Phase::Body | Phase::Complete, true) => Err(Refusal::HeadSent),
            (Phase::Started | Phase::Body | Phase::Complete, false) => Err(Refusal::AlreadyStarted),
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
    pub(super) fn ready(&self, serial: u64) -> Result<(), Refusal> {
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
        if let Some(plan) = self.plan {
            return plan;
        }
        if self.taken_over
            && let Some(stream) = &self.stream
        {
            // It was made blocking for the application, and now it is ours again. If that fails the
            // connection is gone.
            let _ = stream.set_blocking(false);
        }
        let Facts { minor, head, keep_alive, .. } = self.facts;
        let keep_alive = keep_alive && !self.taken_over;
        let plan = Plan::new(minor, head, self.code, &self.headers, keep_alive);
        if let ResponseBody::Length(length) = plan.body {
            self.remaining = length;
        }
        let date = self.date.get(time::realtime_seconds().unsigned_abs());
        server_name::with(|server| {
            encode_head(&mut self.scratch, &plan, &self.status, server, date, &self.headers);
        });
        // What follows 101 is another protocol, which we do not speak.
        self.closing |= self.code == 101;
        self.phase = Phase::Body;
        self.plan = Some(plan);
        plan
    }

    /// Sends a piece of the body, or with `When::Later` keeps a small one to go out with the next.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        when: When,
        hold: impl FnOnce() -> Shared,
    ) -> Result<Progress, Refusal> {
        let last = matches!(when, When::Last | When::End);
        let mut body = bytes;
        let mut suffix: &[u8] = b"";
        match self.plan().body {
            ResponseBody::Forbidden => {
                self.dropped |= !bytes.is_empty();
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
        if when == When::Later && self.scratch.len() + body.len() <= COPY_LIMIT {
            self.scratch.extend_from_slice(body);
            self.scratch.extend_from_slice(suffix);
            return Ok(Progress::Open);
        }
        if self.facts.hold
            && !self.taken_over
            && self.is_whole()
            && self.scratch.len() + body.len() <= HOLD_LIMIT
        {
            // Pushed as a whole, so that it lies in a buffer of just its size.
            self.scratch.extend_from_slice(body);
            self.scratch.extend_from_slice(suffix);
            self.output.push_bytes(&self.scratch);
            self.scratch.clear();
            return Ok(Progress::Held);
        }
        self.close_follows = when == When::End && self.facts.at_once;
        self.transmit(body, suffix, hold)?;
        Ok(if self.output.buffered() > self.high_water { Progress::Full } else { Progress::Open })
    }

    /// Whether the client needs nothing more than what is there already.
    fn is_whole(&self) -> bool {
        let body = self.plan.map(|plan| plan.body);
        self.phase == Phase::Complete
            || self.remaining == 0
                && matches!(body, Some(ResponseBody::Length(_) | ResponseBody::Forbidden))
    }

    /// Sends `103 Early Hints` (RFC 8297), which is only of use before the response, and to clients
    /// that know interim responses.
    pub(super) fn send_hints(&mut self, headers: &HeaderBlock) -> Result<(), Refusal> {
        if self.facts.minor == 0 || !matches!(self.phase, Phase::Waiting | Phase::Started) {
            return Ok(());
        }
        encode_early_hints(&mut self.scratch, headers);
        self.transmit(b"", b"", || Box::new([]))
    }

    pub(super) fn send_file(
        &mut self,
        file: File,
        offset: u64,
        mut count: u64,
    ) -> Result<(), Refusal> {
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
        self.scratch.clear();
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

    pub(super) fn flush(&mut self) -> Result<(), Refusal> {
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
    pub(super) fn transmit(
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
            let outcome = if parts[1].is_empty() && self.close_follows {
                stream.send_before_close(parts[0])
            } else if parts[1].is_empty() {
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
