//! `wsgi.input`: the complete request body as a stream (PEP 3333).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyList};

use crate::reactor::Body;

enum Source {
    Empty,
    Memory { bytes: Vec<u8>, position: usize },
    File(BufReader<File>),
}

/// The object behind `wsgi.input`.
#[pyclass(frozen, module = "rgunicorn")]
pub struct Input(Mutex<Source>);

impl Input {
    pub fn new(body: Body) -> Self {
        Self(Mutex::new(match body {
            Body::Empty => Source::Empty,
            Body::Memory(bytes) => Source::Memory { bytes, position: 0 },
            Body::File(file) => Source::File(BufReader::with_capacity(64 * 1024, file)),
        }))
    }

    fn lock<'a>(&'a self, py: Python<'a>) -> MutexGuard<'a, Source> {
        // Another thread of the application may be reading: it must be able to finish.
        self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Up to `size` bytes, less only at the end.
    fn read<'py>(&mut self, py: Python<'py>, size: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Empty => Ok(PyBytes::new(py, b"")),
            Self::Memory { bytes, position } => {
                let rest = &bytes[*position..];
                let piece = &rest[..rest.len().min(size.unwrap_or(usize::MAX))];
                *position += piece.len();
                Ok(PyBytes::new(py, piece))
            }
            Self::File(reader) => {
                let mut piece = Vec::new();
                let limit = size.map_or(u64::MAX, |size| size as u64);
                reader.take(limit).read_to_end(&mut piece).map_err(PyOSError::new_err)?;
                Ok(PyBytes::new(py, &piece))
            }
        }
    }

    /// Up to and including the next newline, at most `size` bytes.
    fn line<'py>(&mut self, py: Python<'py>, size: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Empty => Ok(PyBytes::new(py, b"")),
            Self::Memory { bytes, position } => {
                let rest = &bytes[*position..];
                let rest = &rest[..rest.len().min(size.unwrap_or(usize::MAX))];
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                *position += end;
                Ok(PyBytes::new(py, &rest[..end]))
            }
            Self::File(reader) => {
                let mut line = Vec::new();
                let limit = size.map_or(u64::MAX, |size| size as u64);
                reader.take(limit).read_until(b'\n', &mut line).map_err(PyOSError::new_err)?;
                Ok(PyBytes::new(py, &line))
            }
        }
    }
}

/// The size argument of the read methods: `None` and negative numbers mean no limit.
fn limit(size: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(size) = size.filter(|size| !size.is_none()) else { return Ok(None) };
    let size: i64 =
        size.extract().map_err(|_| PyTypeError::new_err("size must be an integer type"))?;
    Ok(usize::try_from(size).ok())
}

#[pymethods]
impl Input {
    /// `read([size])`
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let size = limit(size)?;
        self.lock(py).read(py, size)
    }

    /// `readline([size])`
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let size = limit(size)?;
        self.lock(py).line(py, size)
    }

    /// `readlines([hint])`; the hint is ignored, as PEP 3333 allows.
    #[pyo3(signature = (_hint=None, /))]
    fn readlines<'py>(
        &self,
        py: Python<'py>,
        _hint: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        loop {
            let line = self.readline(py, None)?;
            if line.as_bytes().is_empty() {
                return Ok(lines);
            }
            lines.append(line)?;
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}
