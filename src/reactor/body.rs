//! A request body on its way to the application: in memory while it is small, in an unlinked
//! temporary file beyond that.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A request body, as the application gets it.
pub enum Body {
    Empty,
    Memory(Vec<u8>),
    /// Positioned at its start; so many bytes.
    File(File, u64),
    /// To be read through the exchange while the client sends it.
    Stream,
}

/// Where bodies wait.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Bytes of a body kept in memory; a larger one moves to a file.
    pub memory: usize,
    /// The directory of such files.
    pub directory: PathBuf,
}

/// A body while it is received.
pub enum BodyBuffer {
    Memory(Vec<u8>),
    File(File, u64),
}

impl BodyBuffer {
    /// With room for `expected` bytes, if that is known and not excessive.
    pub fn new(expected: Option<u64>, storage: &Storage) -> Self {
        let capacity = expected.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Self::Memory(Vec::with_capacity(capacity.min(storage.memory)))
    }

    /// # Errors
    /// The temporary file cannot be made or written, for instance because the disk is full.
    pub fn append(&mut self, bytes: &[u8], storage: &Storage) -> io::Result<()> {
        match self {
            Self::Memory(buffer) if buffer.len() + bytes.len() <= storage.memory => {
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            Self::Memory(buffer) => {
                let mut file = tempfile::tempfile_in(&storage.directory)?;
                file.write_all(buffer)?;
                file.write_all(bytes)?;
                *self = Self::File(file, (buffer.len() + bytes.len()) as u64);
                Ok(())
            }
            Self::File(file, len) => {
                *len += bytes.len() as u64;
                file.write_all(bytes)
            }
        }
    }

    /// Bytes received so far.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(buffer) => buffer.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// # Errors
    /// The temporary file cannot be rewound.
    pub fn finish(self) -> io::Result<Body> {
        match self {
            Self::Memory(buffer) if buffer.is_empty() => Ok(Body::Empty),
            Self::Memory(buffer) => Ok(Body::Memory(buffer)),
            Self::File(mut file, len) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(Body::File(file, len))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn storage() -> Storage {
        Storage { memory: 1 << 20, directory: std::env::temp_dir() }
    }

    #[test]
    fn a_large_body_moves_to_a_file_whole() {
        let mut buffer = BodyBuffer::new(None, &storage());
        let piece: Vec<u8> = (0..100_000_u32).map(|i| (i % 253) as u8).collect();
        for _ in 0..15 {
            buffer.append(&piece, &storage()).unwrap();
        }
        assert_eq!(buffer.len(), 1_500_000);
        let Body::File(mut file, len) = buffer.finish().unwrap() else { panic!("not in a file") };
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        assert_eq!((all.len() as u64, all), (len, piece.repeat(15)));
    }

    #[test]
    fn a_small_body_stays_in_memory() {
        let mut buffer = BodyBuffer::new(Some(3), &storage());
        buffer.append(b"abc", &storage()).unwrap();
        assert!(matches!(buffer.finish().unwrap(), Body::Memory(bytes) if bytes == b"abc"));
        assert!(matches!(BodyBuffer::new(None, &storage()).finish().unwrap(), Body::Empty));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let storage = Storage { memory: 1, directory: "/nonexistent/spool".into() };
        assert!(BodyBuffer::new(None, &storage).append(b"abc", &storage).is_err());
    }
}
