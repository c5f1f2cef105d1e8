//! The hand-off queue: connections on their way from one worker to another.
//!
//! One pair of sockets serves all workers of all generations; the kernel keeps the order, and gives
//! each message to one receiver. What is in it survives the death of any worker.

mod wire;

use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use crate::http::ProxyInfo;
use crate::sys::fd::ensure_room;
use crate::sys::scm::{self, Descriptors, MAX_DESCRIPTORS, Message};
use crate::sys::socket::Peer;

/// Bytes that may wait in the queue, as far as the system grants them. The kernel counts its own
/// memory, 1280 bytes for a request with a head of 300, and grants twice of what is asked for: 13108
/// such requests fit, or 333 in a process that may not exceed the usual `net.core.wmem_max`.
const SEND_BUFFER: usize = 8 << 20;

/// The longest message; a parcel with more in it takes a file in memory with it.
const MAX_MESSAGE: usize = 16 << 10;

/// No message takes more than this part of the queue.
const SHARE: usize = 64;

/// The queue of connections between workers: a `SOCK_SEQPACKET` socket pair (unix(7)), non-blocking
/// and closed on exec, made by the master before its first fork.
pub struct Queue {
    receiving: OwnedFd,
    sending: OwnedFd,
    /// The kernel takes a message as long as less than this is in the queue.
    limit: usize,
    /// The most bytes in a message behind its fixed part.
    inline: usize,
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// It is in the queue; the sender's descriptors can be closed.
    Done,
    /// No room, or the system is short of descriptors or of memory: try again after a while.
    Full,
}

/// A connection to hand over.
#[derive(Clone, Copy)]
pub struct Parcel<'a> {
    pub stream: BorrowedFd<'a>,
    pub peer: Peer,
    /// Address of the listener it came from, as text: generations of workers may number their
    /// listeners differently.
    pub listener: &'a str,
    /// What the PROXY protocol said of the client.
    pub proxy: Option<&'a ProxyInfo>,
    /// The PROXY protocol has yet to be looked for.
    pub proxy_due: bool,
    /// It has had a response.
    pub served: bool,
    /// A complete request head; empty if there is no request yet.
    pub head: &'a [u8],
    pub body: Payload<'a>,
    /// What was received behind the request, or part of a request.
    pub rest: &'a [u8],
    /// When the request was complete, by `CLOCK_MONOTONIC` in nanoseconds; 0 if there is none.
    pub ready_since: u64,
}

/// A request body to hand over, its transfer coding removed.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    Empty,
    Memory(&'a [u8]),
    /// So many bytes from the start of the file. The receiver shares its position with the sender and
    /// sets it to the start.
    File(BorrowedFd<'a>, u64),
}

/// A connection taken over: a [`Parcel`] on the other side.
#[derive(Debug)]
pub struct Arrival {
    pub stream: OwnedFd,
    pub peer: Peer,
    pub listener: String,
    pub proxy: Option<ProxyInfo>,
    pub proxy_due: bool,
    pub served: bool,
    pub head: Vec<u8>,
    pub body: Contents,
    pub rest: Vec<u8>,
    pub ready_since: u64,
}

/// A request body taken over.
#[derive(Debug)]
pub enum Contents {
    Empty,
    Memory(Vec<u8>),
    /// Positioned at its start; so many bytes.
    File(File, u64),
}

impl Queue {
    /// # Errors
    /// The error of socketpair(2).
    pub fn new() -> io::Result<Self> {
        Self::with_room(SEND_BUFFER)
    }

    /// As [`Self::new`], with room for so many bytes, as far as the system grants them.
    ///
    /// # Errors
    /// The error of socketpair(2).
    pub fn with_room(bytes: usize) -> io::Result<Self> {
        let (receiving, sending) = scm::pair()?;
        Self::of(receiving, sending, bytes)
    }

    /// The one that another program had in this process, of its [`Self::ends`].
    ///
    /// # Errors
    /// They are no sockets.
    pub fn adopt([receiving, sending]: [OwnedFd; 2]) -> io::Result<Self> {
        Self::of(receiving, sending, SEND_BUFFER)
    }

    /// Where connections come out, and where they are put in.
    #[must_use]
    pub fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.receiving.as_fd(), self.sending.as_fd()]
    }

    fn of(receiving: OwnedFd, sending: OwnedFd, bytes: usize) -> io::Result<Self> {
        let limit = scm::raise_send_buffer(&sending, bytes)?;
        let inline = (limit / SHARE).min(MAX_MESSAGE).saturating_sub(wire::HEADER);
        Ok(Self { receiving, sending, limit, inline })
    }

    /// Readable when a connection waits.
    #[must_use]
    pub fn incoming(&self) -> BorrowedFd<'_> {
        self.receiving.as_fd()
    }

    /// Puts a connection behind all others. The caller goes on owning its descriptors and closes them,
    /// without a shutdown of the connection, when the answer is [`Sent::Done`].
    ///
    /// # Errors
    /// The parcel cannot be sent, now or later. The caller still has the connection.
    pub fn send(&self, parcel: &Parcel<'_>) -> io::Result<Sent> {
        let sections = parcel.sections();
        let len: usize = sections.iter().map(|section| section.len()).sum();
        let spilled = len > self.inline;
        let header = wire::encode(parcel, spilled)?;
        let result = if spilled {
            // The file is not made in vain.
            if scm::unreceived(&self.sending)? >= self.limit {
                return Ok(Sent::Full);
            }
            spill(&sections)
                .and_then(|file| self.send_message(&header, &[], Some(file.as_fd()), parcel))
        } else {
            self.send_message(&header, &sections, None, parcel)
        };
        match result {
            Ok(()) => Ok(Sent::Done),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(
                    Errno::EAGAIN
                    | Errno::EINTR
                    | Errno::ETOOMANYREFS
                    | Errno::EMFILE
                    | Errno::ENFILE
                    | Errno::ENOBUFS
                    | Errno::ENOMEM
                    | Errno::ENOSPC,
                ) => Ok(Sent::Full),
                _ => Err(error),
            },
        }
    }

    fn send_message(
        &self,
        header: &[u8],
        sections: &[&[u8]],
        spill: Option<BorrowedFd<'_>>,
        parcel: &Parcel<'_>,
    ) -> io::Result<()> {
        let mut parts = [IoSlice::new(&[]); 1 + wire::SECTIONS];
        for (part, bytes) in parts.iter_mut().zip(std::iter::once(&header).chain(sections)) {
            *part = IoSlice::new(bytes);
        }
        let file = match parcel.body {
            Payload::File(file, _) => Some(file),
            Payload::Empty | Payload::Memory(_) => None,
        };
        let mut descriptors = [parcel.stream; MAX_DESCRIPTORS];
        let mut count = 1;
        for descriptor in spill.into_iter().chain(file) {
            descriptors[count] = descriptor;
            count += 1;
        }
        scm::send(&self.sending, &parts, &descriptors[..count])
    }

    /// Takes the connection that has waited longest; `None` if there is none.
    ///
    /// # Errors
    /// `EMFILE`: the process has no room for more descriptors, and the queue is as it was. Any other
    /// error: a connection was lost, for instance because the message is one of another version.
    pub fn receive(&self) -> io::Result<Option<Arrival>> {
        // The kernel takes a message out of the queue before it finds that there is no room for its
        // descriptors, which are lost then.
        ensure_room::<MAX_DESCRIPTORS>(&self.receiving)?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); MAX_MESSAGE];
        match scm::receive(&self.receiving, &mut buffer)? {
            Some(Message { bytes, descriptors }) => unpack(bytes, descriptors).map(Some),
            None => Ok(None),
        }
    }
}

impl<'a> Parcel<'a> {
    /// The parts of variable length.
    fn sections(&self) -> [&'a [u8]; wire::SECTIONS] {
        let body = match self.body {
            Payload::Memory(bytes) => bytes,
            Payload::Empty | Payload::File(..) => &[],
        };
        [self.listener.as_bytes(), self.head, body, self.rest]
    }
}

fn spill(sections: &[&[u8]]) -> io::Result<File> {
    let file = scm::memory_file("rgunicorn-handoff")?;
    let mut offset = 0;
    for section in sections {
        // Leaves the position at the start.
        file.write_all_at(section, offset)?;
        offset += section.len() as u64;
    }
    Ok(file)
}

/// Makes an arrival of a message.
fn unpack(bytes: &[u8], descriptors: Descriptors) -> io::Result<Arrival> {
    let (header, inline) = wire::decode(bytes)?;
    let mut descriptors = descriptors.into_iter().flatten();
    let stream = descriptors.next().ok_or_else(|| malformed("missing descriptor"))?;
    let spill = take_file(&mut descriptors, header.spilled)?;
    let file = take_file(&mut descriptors, header.body == wire::Body::File)?;
    if descriptors.next().is_some() {
        return Err(malformed("too many descriptors"));
    }
    let sections = match spill {
        Some(spill) => {
            let len = spill.metadata()?.len();
            if !inline.is_empty() {
                return Err(malformed("contents within it and in a file"));
            }
            read_sections(spill, len, &header)?
        }
        None => read_sections(inline, inline.len() as u64, &header)?,
    };
    let [listener, head, body, rest] = sections;
    let body = match (header.body, file) {
        (wire::Body::Memory, _) => Contents::Memory(body),
        (wire::Body::File, Some(mut file)) => {
            if file.metadata()?.len() < header.file_len {
                return Err(malformed("a file that is too short"));
            }
            file.seek(SeekFrom::Start(0))?;
            Contents::File(file, header.file_len)
        }
        _ => Contents::Empty,
    };
    let listener =
        String::from_utf8(listener).map_err(|_| malformed("a listener that is no text"))?;
    Ok(Arrival {
        stream,
        peer: header.peer,
        listener,
        proxy: header.proxy,
        proxy_due: header.proxy_due,
        served: header.served,
        head,
        body,
        rest,
        ready_since: header.ready_since,
    })
}

fn take_file(
    descriptors: &mut impl Iterator<Item = OwnedFd>,
    wanted: bool,
) -> io::Result<Option<File>> {
    if !wanted {
        return Ok(None);
    }
    match descriptors.next() {
        Some(descriptor) => Ok(Some(descriptor.into())),
        None => Err(malformed("missing descriptor")),
    }
}

/// Reads the parts of variable length from `source`, which must have them and nothing else.
fn read_sections(
    mut source: impl Read,
    len: u64,
    header: &wire::Header,
) -> io::Result<[Vec<u8>; wire::SECTIONS]> {
    let sum = header.lengths.iter().try_fold(0, |sum: u64, &len| sum.checked_add(len));
    if sum != Some(len) {
        return Err(malformed("lengths that do not add up"));
    }
    let mut sections = <[Vec<u8>; wire::SECTIONS]>::default();
    for (section, &len) in sections.iter_mut().zip(&header.lengths) {
        let capacity = usize::try_from(len).map_err(io::Error::other)?;
        section.try_reserve_exact(capacity).map_err(io::Error::other)?;
        (&mut source).take(len).read_to_end(section)?;
        if section.len() != capacity {
            return Err(malformed("missing contents"));
        }
    }
    Ok(sections)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed message: {what}"))
}

#[cfg(test)]
mod tests;
