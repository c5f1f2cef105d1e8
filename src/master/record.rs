//! What a master passes to the program that takes its place in the process: values in a text, and
//! descriptors by number.

use std::fmt::{self, Display, Write};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::str::{FromStr, Split};
use std::time::Duration;

use crate::sys::fd;
use crate::sys::listen::adopt;

/// Between two values.
const END: char = ' ';

/// Writes values one behind the other.
#[derive(Default)]
pub struct Writer {
    text: String,
    /// Duplicates that stay open at `exec`.
    descriptors: Vec<OwnedFd>,
}

impl Writer {
    pub fn put(&mut self, value: impl Display) {
        for byte in value.to_string().bytes() {
            // Whatever is no part of numbers and paths as they usually are.
            if byte.is_ascii_graphic() && byte != b'%' {
                self.text.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(self.text, "%{byte:02x}");
            }
        }
        self.text.push(END);
    }

    pub fn time(&mut self, time: Duration) {
        self.put(time.as_nanos());
    }

    pub fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.put(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    pub fn list<T>(
        &mut self,
        values: impl IntoIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        for value in values {
            self.put(1);
            put(self, value);
        }
        self.put(0);
    }

    /// The same for what can fail.
    ///
    /// # Errors
    /// The first failure.
    pub fn try_list<T>(
        &mut self,
        values: impl IntoIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        for value in values {
            self.put(1);
            put(self, value)?;
        }
        self.put(0);
        Ok(())
    }

    /// # Errors
    /// No descriptors are left.
    pub fn descriptor(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.give(fd.try_clone_to_owned()?)
    }

    /// Passes the descriptor itself on.
    ///
    /// # Errors
    /// None that a caller could do anything about.
    pub fn give(&mut self, fd: OwnedFd) -> io::Result<()> {
        fd::keep_across_exec(fd.as_fd())?;
        self.put(fd.as_raw_fd());
        self.descriptors.push(fd);
        Ok(())
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The numbers of what was passed on.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.descriptors.iter().map(AsRawFd::as_raw_fd)
    }
}

/// What was read is not what was written.
#[derive(Debug)]
pub struct Malformed;

impl Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not what a master writes")
    }
}

impl From<io::Error> for Malformed {
    fn from(_: io::Error) -> Self {
        Self
    }
}

pub type Read<T> = Result<T, Malformed>;

/// Reads what a [`Writer`] has written, in the same order.
pub struct Reader<'a> {
    values: Split<'a, char>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { values: text.split(END) }
    }

    pub fn text(&mut self) -> Read<String> {
        let mut parts = self.values.next().ok_or(Malformed)?.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (number, rest) = part.split_at_checked(2).ok_or(Malformed)?;
            bytes.push(u8::from_str_radix(number, 16).map_err(|_| Malformed)?);
            bytes.extend(rest.as_bytes());
        }
        String::from_utf8(bytes).map_err(|_| Malformed)
    }

    pub fn number<T: FromStr>(&mut self) -> Read<T> {
        self.text()?.parse().map_err(|_| Malformed)
    }

    pub fn flag(&mut self) -> Read<bool> {
        self.number()
    }

    pub fn time(&mut self) -> Read<Duration> {
        let nanos: u128 = self.number()?;
        u64::try_from(nanos / 1_000_000_000)
            .ok()
            .zip(u32::try_from(nanos % 1_000_000_000).ok())
            .map(|(seconds, nanos)| Duration::new(seconds, nanos))
            .ok_or(Malformed)
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        match self.number()? {
            0_u8 => Ok(None),
            _ => read(self).map(Some),
        }
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut values = Vec::new();
        while let Some(value) = self.option(&mut read)? {
            values.push(value);
        }
        Ok(values)
    }

    pub fn descriptor(&mut self) -> Read<OwnedFd> {
        Ok(adopt(self.number()?)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let mut record = Writer::default();
        record.put("");
        record.put("a b%c\n\u{e9}");
        record.put(-7);
        record.put(true);
        record.time(Duration::MAX);
        record.option(Some(5), Writer::put);
        record.option(None::<i32>, Writer::put);
        record.list(["x", ""], Writer::put);
        let text = record.text().to_owned();
        assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text}");
        let mut reader = Reader::new(&text);
        assert_eq!(reader.text().unwrap(), "");
        assert_eq!(reader.text().unwrap(), "a b%c\n\u{e9}");
        assert_eq!(reader.number::<i32>().unwrap(), -7);
        assert!(reader.flag().unwrap());
        assert_eq!(reader.time().unwrap(), Duration::MAX);
        assert_eq!(reader.option(Reader::number::<i32>).unwrap(), Some(5));
        assert_eq!(reader.option(Reader::number::<i32>).unwrap(), None);
        assert_eq!(reader.list(Reader::text).unwrap(), ["x", ""]);
        assert!(reader.number::<u8>().is_err());
    }

    #[test]
    fn descriptors_are_passed_as_duplicates() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(5).unwrap();
        let mut record = Writer::default();
        record.descriptor(file.as_fd()).unwrap();
        let text = record.text().to_owned();
        assert_ne!(record.numbers().collect::<Vec<_>>(), [file.as_raw_fd()]);
        // As if `exec` had happened.
        let _ = record.descriptors.pop().map(IntoRawFd::into_raw_fd);
        let taken = Reader::new(&text).descriptor().unwrap();
        assert_eq!(std::fs::File::from(taken).metadata().unwrap().len(), 5);
        assert!(Reader::new(&text).descriptor().is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "%", "%4", "%zz", "%ff"] {
            assert!(Reader::new(text).number::<u8>().is_err(), "{text}");
        }
        assert!(Reader::new("340282366920938463463374607431768211455").time().is_err());
        assert!(Reader::new("1 a 1 b").list(Reader::text).is_err());
        assert!(Reader::new("-1").descriptor().is_err());
    }
}
