//! A request body on its way to the application: in memory while it is small, in an unlinked
//! temporary file beyond that.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// Larger bodies wait in a file.
const MEMORY_LIMIT: usize = 1 << 20;

/// A complete request body.
pub enum Body {
    Empty,
    Memory(Vec<u8>),
    /// Positioned at its start.
    File(File),
}

/// A body while it is received.
pub enum BodyBuffer {
    Memory(Vec<u8>),
    File(File),
}

impl BodyBuffer {
    /// With room for `expected` bytes, if that is known and not excessive.
    pub fn new(expected: Option<u64>) -> Self {
        let capacity = expected.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Self::Memory(Vec::with_capacity(capacity.min(MEMORY_LIMIT)))
    }

    /// # Errors
    /// The temporary file cannot be made or written, for instance because the disk is full.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(buffer) if buffer.len() + bytes.len() <= MEMORY_LIMIT => {
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            Self::Memory(buffer) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(buffer)?;
                file.write_all(bytes)?;
                *self = Self::File(file);
                Ok(())
            }
            Self::File(file) => file.write_all(bytes),
        }
    }

    /// # Errors
    /// The temporary file cannot be rewound.
    pub fn finish(self) -> io::Result<Body> {
        match self {
            Self::Memory(buffer) if buffer.is_empty() => Ok(Body::Empty),
            Self::Memory(buffer) => Ok(Body::Memory(buffer)),
            Self::File(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(Body::File(file))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_large_body_moves_to_a_file_whole() {
        let mut buffer = BodyBuffer::new(None);
        let piece: Vec<u8> = (0..100_000_u32).map(|i| (i % 253) as u8).collect();
        for _ in 0..15 {
            buffer.append(&piece).unwrap();
        }
        let Body::File(mut file) = buffer.finish().unwrap() else { panic!("not in a file") };
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        assert_eq!(all, piece.repeat(15));
    }

    #[test]
    fn a_small_body_stays_in_memory() {
        let mut buffer = BodyBuffer::new(Some(3));
        buffer.append(b"abc").unwrap();
        assert!(matches!(buffer.finish().unwrap(), Body::Memory(bytes) if bytes == b"abc"));
        assert!(matches!(BodyBuffer::new(None).finish().unwrap(), Body::Empty));
    }
}
