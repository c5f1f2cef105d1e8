//! Response bytes that the kernel has not taken yet.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};

use crate::net::stream::Stream;
use crate::sys::socket::Io;

/// Bytes that somebody else owns, kept by reference.
pub type Shared = Box<dyn AsRef<[u8]> + Send>;

enum Segment {
    Own { bytes: Vec<u8>, sent: usize },
    Shared { bytes: Shared, sent: usize },
    File { file: File, offset: u64, left: u64 },
}

impl Segment {
    fn left(&self) -> u64 {
        match self {
            Self::Own { bytes, sent } => (bytes.len() - sent) as u64,
            Self::Shared { bytes, sent } => ((**bytes).as_ref().len() - sent) as u64,
            Self::File { left, .. } => *left,
        }
    }
}

/// How far a flush came.
#[derive(Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything is with the kernel.
    Drained,
    /// The kernel's buffer is full.
    Blocked,
}

/// A queue of segments, written in order.
#[derive(Default)]
pub struct Output {
    segments: VecDeque<Segment>,
    /// Bytes in memory that are not written yet; files do not count.
    buffered: usize,
}

/// The most that one call hands to the kernel from a file; sendfile(2) caps it too.
const FILE_STEP: u64 = 1 << 30;
/// Slices per writev(2).
const SLICES: usize = 16;

impl Output {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes waiting in memory.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    pub fn push_bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.buffered += bytes.len();
        // Small pieces share a buffer, so that they cost one slice of a writev.
        if let Some(Segment::Own { bytes: last, .. }) = self.segments.back_mut()
            && last.len() + bytes.len() <= 64 * 1024
        {
            last.extend_from_slice(bytes);
            return;
        }
        self.segments.push_back(Segment::Own { bytes: bytes.to_vec(), sent: 0 });
    }

    /// Queues `bytes` without their first `sent` bytes.
    pub fn push_shared(&mut self, bytes: Shared, sent: usize) {
        let left = (*bytes).as_ref().len() - sent;
        if left > 0 {
            self.buffered += left;
            self.segments.push_back(Segment::Shared { bytes, sent });
        }
    }

    pub fn push_file(&mut self, file: File, offset: u64, count: u64) {
        if count > 0 {
            self.segments.push_back(Segment::File { file, offset, left: count });
        }
    }

    /// Writes as much as the kernel takes.
    ///
    /// # Errors
    /// The connection is broken, or a file is shorter than announced.
    pub fn flush(&mut self, stream: &Stream) -> io::Result<Flush> {
        while let Some(first) = self.segments.front_mut() {
            let outcome = if let Segment::File { file, offset, left } = first {
                let step = usize::try_from((*left).min(FILE_STEP)).unwrap_or(usize::MAX);
                match stream.send_file(&*file, offset, step) {
                    Io::Done(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Io::Done(count) => {
                        *left -= count as u64;
                        Io::Done(0)
                    }
                    other => other,
                }
            } else {
                self.write_memory(stream)
            };
            match outcome {
                Io::Done(count) => self.advance(count),
                Io::WouldBlock => return Ok(Flush::Blocked),
                Io::Failed(error) => return Err(error),
            }
        }
        Ok(Flush::Drained)
    }

    fn write_memory(&self, stream: &Stream) -> Io {
        if let (1, Some(Segment::Own { bytes, sent })) =
            (self.segments.len(), self.segments.front())
        {
            // Cheaper than writev(2).
            return stream.send(&bytes[*sent..]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = match segment {
                Segment::Own { bytes, sent } => IoSlice::new(&bytes[*sent..]),
                Segment::Shared { bytes, sent } => IoSlice::new(&(**bytes).as_ref()[*sent..]),
                Segment::File { .. } => break,
            };
            used += 1;
        }
        stream.send_vectored(&slices[..used])
    }

    /// Drops what `count` bytes of memory were, and finished segments.
    fn advance(&mut self, mut count: usize) {
        self.buffered -= count;
        while let Some(first) = self.segments.front_mut() {
            let left = first.left();
            if let Segment::Own { sent, .. } | Segment::Shared { sent, .. } = first {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(count);
                *sent += step;
                count -= step;
            }
            if first.left() > 0 {
                return;
            }
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Stream, UnixStream) {
        let (left, right) = UnixStream::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        (Stream::new(left.into()), right)
    }

    #[test]
    fn segments_of_all_kinds_leave_in_order() {
        let (stream, mut peer) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut output = Output::default();
        output.push_bytes(b"head ");
        output.push_bytes(b"more ");
        output.push_shared(Box::new(b"xxshared ".to_vec()), 2);
        output.push_file(file, 3, 4);
        output.push_bytes(b" end");
        assert_eq!(output.buffered(), 5 + 5 + 7 + 4);
        assert_eq!(output.flush(&stream).unwrap(), Flush::Drained);
        assert!(output.is_empty());
        assert_eq!(output.buffered(), 0);
        drop(stream);
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "head more shared 3456 end");
    }

    #[test]
    fn a_full_kernel_buffer_blocks_and_nothing_is_lost_or_doubled() {
        let (stream, mut peer) = pair();
        let body: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut output = Output::default();
        output.push_bytes(&body[..100_000]);
        output.push_shared(Box::new(body[100_000..].to_vec()), 0);
        let mut received = Vec::new();
        let mut buffer = vec![0; 50_000];
        let mut blocked = 0;
        while output.flush(&stream).unwrap() == Flush::Blocked {
            blocked += 1;
            let count = peer.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..count]);
        }
        drop(stream);
        peer.read_to_end(&mut received).unwrap();
        assert!(blocked > 0);
        assert_eq!(received, body);
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let (stream, _peer) = pair();
        let mut output = Output::default();
        output.push_file(tempfile::tempfile().unwrap(), 0, 10);
        assert_eq!(output.flush(&stream).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
