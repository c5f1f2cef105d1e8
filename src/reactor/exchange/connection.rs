//! What an application can do with its connection beside responding.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::receiving::Received;
use super::sending::{Phase, Response};
use super::{Exchange, Progress, Refusal};
use crate::http::{BodyDecoder, HeaderBlock, Reject};
use crate::net::stream::Stream;
use crate::sys::socket::{self, Waited, Wanted};

/// How long to wait between two looks at a connection that cannot be waited for.
const WITHOUT_DESCRIPTOR: Duration = Duration::from_millis(10);

impl Exchange {
    /// Sends `103 Early Hints` with these headers.
    ///
    /// # Errors
    /// [`Refusal::Over`], [`Refusal::Gone`].
    pub fn early_hints(&self, serial: u64, headers: &HeaderBlock) -> Result<(), Refusal> {
        let mut response = self.lock();
        if response.serial != serial || response.phase == Phase::Over {
            return Err(Refusal::Over);
        }
        response.send_hints(headers)
    }

    /// Whether the client has closed the connection; also true when the request is over.
    pub fn client_gone(&self, serial: u64) -> bool {
        let response = self.lock();
        response.serial != serial
            || response.broken
            || response.stream.as_deref().is_none_or(Stream::is_closed_by_peer)
    }

    /// Reads a piece of a body that is read on demand.
    ///
    /// # Errors
    /// [`Refusal::Over`].
    pub fn receive(&self, serial: u64) -> Result<Received, Refusal> {
        let mut response = self.lock();
        let Response { incoming, stream, parser, serial: current, .. } = &mut *response;
        match (incoming, stream) {
            (Some(incoming), Some(stream)) if *current == serial => {
                Ok(incoming.receive(parser, stream))
            }
            _ => Err(Refusal::Over),
        }
    }

    /// Whether the body under way comes in chunks, so that its end would be marked.
    pub fn awaits_chunk(&self) -> bool {
        let response = self.lock();
        let incoming = response.incoming.as_ref();
        incoming.is_some_and(|incoming| matches!(incoming.decoder, BodyDecoder::Chunked(_)))
    }

    /// Blocks until the client has sent more of the body, or a signal came.
    ///
    /// # Errors
    /// [`Refusal::Over`]; [`Refusal::Invalid`] if nothing came for too long.
    pub fn wait_readable(&self) -> Result<(), Refusal<Reject>> {
        let patience = self.patience.body;
        match self.wait(Wanted::Input, patience).map_err(Refusal::widen)? {
            Waited::Ready | Waited::Interrupted => Ok(()),
            Waited::TimedOut => Err(Refusal::Invalid(Reject::body_timeout(patience.as_secs()))),
        }
    }

    /// Hands the socket to the application: a duplicate, in blocking mode unless a response is
    /// under way, which must not wait for its client.
    ///
    /// # Errors
    /// [`Refusal::Over`], or the error of dup(2).
    pub fn take_over(&self, serial: u64) -> Result<OwnedFd, Refusal<io::Error>> {
        self.send_held();
        let mut response = self.lock();
        let stream = match &response.stream {
            Some(stream) if response.serial == serial => stream,
            _ => return Err(Refusal::Over),
        };
        let fd = stream.as_fd().try_clone_to_owned().map_err(Refusal::Invalid)?;
        if matches!(response.phase, Phase::Waiting | Phase::Started) {
            stream.set_blocking(true).map_err(Refusal::Invalid)?;
        }
        response.taken_over = true;
        Ok(fd)
    }

    /// Whether the application has taken the socket.
    pub fn is_taken_over(&self) -> bool {
        self.lock().taken_over
    }

    /// Blocks until the client has taken more of the response, or a signal came; tells whether the
    /// application may go on.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when it took nothing for too long; [`Refusal::Over`].
    pub fn wait_writable(&self, serial: u64) -> Result<Progress, Refusal> {
        let waited = self.wait(Wanted::Room, self.patience.write)?;
        let mut response = self.lock();
        let response = &mut *response;
        let stream = match &response.stream {
            // A thread of the application may have waited for longer than its request has lasted.
            Some(stream) if response.serial == serial => stream,
            _ => return Err(Refusal::Over),
        };
        if waited == Waited::TimedOut || response.output.flush(stream).is_err() {
            response.broken = true;
            return Err(Refusal::Gone);
        }
        let drained = response.output.buffered() <= self.low_water;
        Ok(if drained { Progress::Open } else { Progress::Full })
    }

    /// Not locked while it waits: other threads of the application may ask for other things.
    fn wait(&self, wanted: Wanted, patience: Duration) -> Result<Waited, Refusal> {
        let fd = match &self.lock().stream {
            Some(stream) => stream.as_fd().try_clone_to_owned(),
            None => return Err(Refusal::Over),
        };
        let Ok(fd) = fd else {
            // No descriptor is left to wait on. The client is not to blame: look again soon.
            std::thread::sleep(WITHOUT_DESCRIPTOR);
            return Ok(Waited::Interrupted);
        };
        Ok(socket::wait(fd, wanted, patience))
    }
}
