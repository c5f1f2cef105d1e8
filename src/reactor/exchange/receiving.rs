//! Receiving: the body of a request that is handed to the application while the client sends it.

use crate::http::{BodyDecoder, Eof, HeadParser, Reject};
use crate::net::stream::Stream;
use crate::sys::socket::Io;

/// One read.
const READ_SIZE: usize = 16 * 1024;

/// A body that is read on demand.
pub struct Incoming {
    pub decoder: BodyDecoder,
    /// Received, framing and all, and not decoded yet.
    pub raw: Vec<u8>,
    /// The largest body that is accepted; 0 is any.
    pub limit: u64,
    pub taken: u64,
    pub complete: bool,
    /// What was wrong with it. Behind an error in the framing nobody knows what the rest means.
    fault: Option<Reject>,
}

/// What came of an attempt to read.
#[derive(Debug)]
pub enum Received {
    Data(Vec<u8>),
    /// The body is over.
    End,
    /// The client has yet to send more.
    Blocked,
    /// The client is gone in the middle of the body.
    Cut,
    /// The body breaks a rule.
    Refused(Reject),
}

impl Incoming {
    /// `raw` is what has been received of it; `limit` see [`Self::limit`].
    pub fn new(decoder: BodyDecoder, raw: Vec<u8>, limit: u64) -> Self {
        // No byte will come of which one could tell the end.
        let complete = matches!(decoder, BodyDecoder::Length(0));
        Self { decoder, raw, limit, taken: 0, complete, fault: None }
    }

    /// What there is of the body, in at most one read.
    pub fn receive(&mut self, parser: &HeadParser, stream: &Stream) -> Received {
        if let Some(reject) = &self.fault {
            return Received::Refused(reject.clone());
        }
        if self.complete {
            return Received::End;
        }
        if let Some(received) = self.decode(parser) {
            return received;
        }
        let mut buffer = [0; READ_SIZE];
        match stream.recv(&mut buffer) {
            Io::Done(0) => match self.decoder.eof() {
                Eof::Reject(reject) => Received::Refused(reject),
                Eof::Complete => Received::End,
                Eof::Truncated => Received::Cut,
            },
            Io::Done(count) => {
                self.raw.extend_from_slice(&buffer[..count]);
                self.decode(parser).unwrap_or(Received::Blocked)
            }
            Io::WouldBlock => Received::Blocked,
            Io::Failed(_) => Received::Cut,
        }
    }

    /// Decodes what has been received; `None` if that gives nothing.
    fn decode(&mut self, parser: &HeadParser) -> Option<Received> {
        if self.raw.is_empty() {
            return None;
        }
        let mut data = Vec::new();
        let progress = self.decoder.decode(parser, &self.raw, &mut |piece: &[u8]| {
            data.extend_from_slice(piece);
        });
        let progress = match progress {
            Ok(progress) => progress,
            Err(reject) => return Some(self.refuse(reject)),
        };
        self.raw.drain(..progress.consumed);
        self.complete = progress.done;
        self.taken += data.len() as u64;
        if self.limit > 0 && self.taken > self.limit {
            return Some(self.refuse(Reject::body_too_large(self.limit)));
        }
        match (data.is_empty(), progress.done) {
            (false, _) => Some(Received::Data(data)),
            (true, true) => Some(Received::End),
            (true, false) => None,
        }
    }

    fn refuse(&mut self, reject: Reject) -> Received {
        self.fault = Some(reject.clone());
        Received::Refused(reject)
    }

    /// Reads what is there of the rest of the body, up to `most` bytes, so that the connection can
    /// go on; whether that was all of it.
    pub fn skip(&mut self, parser: &HeadParser, stream: &Stream, most: u64) -> bool {
        let start = self.taken;
        while !self.complete && self.taken - start < most {
            match self.receive(parser, stream) {
                Received::Data(_) | Received::End => {}
                _ => return false,
            }
        }
        self.complete && self.fault.is_none()
    }
}
