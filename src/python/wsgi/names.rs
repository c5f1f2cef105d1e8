//! From header names to environ keys: `Accept-Language` is found as a ready `str`
//! `HTTP_ACCEPT_LANGUAGE`.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::python::ffi;

/// Slots of the table; a power of two.
const SLOTS: usize = 512;
/// How far from its place a name may lie.
const PROBES: usize = 4;
/// Longer names are not worth remembering.
const MAX_NAME: usize = 64;

struct Entry {
    /// The name as it was sent.
    name: Box<[u8]>,
    known: Known,
}

/// A header name with its environ key.
pub struct Known {
    pub key: Py<PyString>,
    /// The place of its last value in [`Values`](super::values::Values), if it has one.
    pub place: Option<usize>,
}

/// Names seen so far, as they were sent. It never grows: what finds no place is made anew each time,
/// so that a client that invents names costs others nothing.
pub struct Names {
    /// Empty until there is one.
    slots: Vec<Option<Entry>>,
}

impl Names {
    pub fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// With the names that every client sends already in it.
    pub fn common(py: Python<'_>) -> PyResult<Self> {
        let mut names = Self::new();
        for (place, name) in ALIKE.into_iter().enumerate() {
            names.add(py, name, Some(place))?;
        }
        for name in VARYING {
            names.add(py, name, None)?;
        }
        Ok(names)
    }

    /// Adds a name, also in lower case as HTTP/2 proxies send it.
    fn add(&mut self, py: Python<'_>, name: &str, place: Option<usize>) -> PyResult<()> {
        self.key(py, name.as_bytes(), place)?;
        self.key(py, name.to_ascii_lowercase().as_bytes(), place)?;
        Ok(())
    }

    /// The environ key of a header name, which is remembered.
    pub fn key<'py>(
        &mut self,
        py: Python<'py>,
        name: &[u8],
        place: Option<usize>,
    ) -> PyResult<Bound<'py, PyString>> {
        let free = match self.look_up(name) {
            Ok(known) => return Ok(known.key.bind(py).clone()),
            Err(free) => free,
        };
        let key = make(py, name)?;
        if let Some(index) = free
            && name.len() <= MAX_NAME
        {
            self.slots.resize_with(SLOTS, || None);
            self.slots[index] = Some(Entry {
                name: name.into(),
                known: Known { key: key.clone().unbind(), place },
            });
        }
        Ok(key)
    }

    /// A header name that is there.
    pub fn known(&self, name: &[u8]) -> Option<&Known> {
        self.look_up(name).ok()
    }

    /// The key, or else the slot in which it can be put.
    fn look_up(&self, name: &[u8]) -> Result<&Known, Option<usize>> {
        let start = hash(name);
        let mut free = None;
        for probe in 0..PROBES {
            let index = (start + probe) % SLOTS;
            match self.slots.get(index) {
                Some(Some(entry)) if *entry.name == *name => return Ok(&entry.known),
                Some(Some(_)) => {}
                _ => free = free.or(Some(index)),
            }
        }
        Err(free)
    }
}

/// Spreads names by length and four of their letters.
fn hash(name: &[u8]) -> usize {
    let len = name.len();
    let at = |index: usize| usize::from(*name.get(index).unwrap_or(&0));
    len.wrapping_mul(67)
        ^ at(0).wrapping_mul(31)
        ^ at(len / 2).wrapping_mul(131)
        ^ at(len.wrapping_sub(2)).wrapping_mul(17)
        ^ at(len.wrapping_sub(1)).wrapping_mul(257)
}

/// `HTTP_` and the name in upper case with `-` as `_`. Content-Type and Content-Length go without
/// the prefix, as in CGI (RFC 3875 section 4.1).
fn make<'py>(py: Python<'py>, name: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let mut key = Vec::with_capacity(5 + name.len());
    key.extend_from_slice(b"HTTP_");
    key.extend(name.iter().map(|byte| match byte {
        b'-' => b'_',
        other => other.to_ascii_uppercase(),
    }));
    let key = match &key[5..] {
        bare @ (b"CONTENT_TYPE" | b"CONTENT_LENGTH") if name.contains(&b'-') => bare,
        _ => &key[..],
    };
    // Interned, so that the look-up in the environ compares addresses.
    match std::str::from_utf8(key) {
        Ok(key) if key.len() <= 5 + MAX_NAME => Ok(PyString::intern(py, key)),
        _ => ffi::latin1(py, key),
    }
}

/// Names whose values are the same in most requests, and no secrets.
pub const ALIKE: [&str; 25] = [
    "Host",
    "User-Agent",
    "Accept",
    "Accept-Language",
    "Accept-Encoding",
    "Accept-Charset",
    "Connection",
    "Origin",
    "Content-Type",
    "Cache-Control",
    "Pragma",
    "Upgrade-Insecure-Requests",
    "DNT",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "X-Requested-With",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "Priority",
];

/// Other names that many clients send.
const VARYING: [&str; 15] = [
    "Cookie",
    "Referer",
    "Content-Length",
    "Authorization",
    "If-None-Match",
    "If-Modified-Since",
    "Range",
    "X-CSRFToken",
    "X-Forwarded-For",
    "X-Real-IP",
    "X-Request-ID",
    "Traceparent",
    "TE",
    "Transfer-Encoding",
    "Via",
];
