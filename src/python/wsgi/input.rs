//! `wsgi.input`: the request body as a stream (PEP 3333).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyList};

use super::on_demand::OnDemand;
use crate::reactor::{Body, Exchange};

enum Source {
    Empty,
    Memory {
        bytes: Vec<u8>,
        position: usize,
    },
    File {
        reader: BufReader<File>,
        /// Bytes that were not read yet.
        left: u64,
    },
    OnDemand(OnDemand),
}

/// The object behind `wsgi.input`.
#[pyclass(frozen, module = "rgunicorn")]
pub struct Input(Mutex<Source>);

impl Input {
    /// The body of the request that `serial` stands for.
    pub fn new(body: Body, exchange: &Arc<Exchange>, serial: u64) -> Self {
        Self(Mutex::new(match body {
            Body::Empty => Source::Empty,
            Body::Memory(bytes) => Source::Memory { bytes, position: 0 },
            Body::File(file, left) => {
                Source::File { reader: BufReader::with_capacity(64 * 1024, file), left }
            }
            Body::Stream => Source::OnDemand(OnDemand::new(exchange, serial)),
        }))
    }

    pub fn empty() -> Self {
        Self(Mutex::new(Source::Empty))
    }

    fn lock<'a>(&'a self, py: Python<'a>) -> MutexGuard<'a, Source> {
        // Another thread of the application may be reading: it must be able to finish.
        self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Up to `size` bytes, less only at the end.
    fn read<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Empty => Ok(PyBytes::new(py, b"")),
            Self::Memory { bytes, position } => {
                let rest = &bytes[*position..];
                let piece = &rest[..rest.len().min(size)];
                *position += piece.len();
                Ok(PyBytes::new(py, piece))
            }
            Self::File { reader, left } => {
                let size = usize::try_from(*left).unwrap_or(usize::MAX).min(size);
                *left -= size as u64;
                PyBytes::new_with(py, size, |piece| {
                    reader.read_exact(piece).map_err(PyOSError::new_err)
                })
            }
            Self::OnDemand(body) => Ok(PyBytes::new(py, &body.read(py, size)?)),
        }
    }

    /// Up to and including the next newline, at most `size` bytes.
    fn line<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Empty => Ok(PyBytes::new(py, b"")),
            Self::Memory { bytes, position } => {
                let rest = &bytes[*position..];
                let rest = &rest[..rest.len().min(size)];
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                *position += end;
                Ok(PyBytes::new(py, &rest[..end]))
            }
            Self::File { reader, left } => {
                let mut line = Vec::new();
                let read = reader.take(size as u64).read_until(b'\n', &mut line);
                *left -= read.map_err(PyOSError::new_err)? as u64;
                Ok(PyBytes::new(py, &line))
            }
            Self::OnDemand(body) => Ok(PyBytes::new(py, &body.line(py, size)?)),
        }
    }
}

/// The size argument of the read methods: `None` and negative numbers mean no limit.
fn limit(size: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
    let Some(size) = size.filter(|size| !size.is_none()) else { return Ok(usize::MAX) };
    let size: i64 =
        size.extract().map_err(|_| PyTypeError::new_err("size must be an integer type"))?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

#[pymethods]
impl Input {
    /// `read([size])`
    #[pyo3(signature = (size=None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let size = limit(size)?;
        self.lock(py).read(py, size)
    }

    /// `readline([size])`
    #[pyo3(signature = (size=None))]
    fn readline<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let size = limit(size)?;
        self.lock(py).line(py, size)
    }

    /// `readlines([size])`; the size is ignored, as PEP 3333 allows.
    #[pyo3(signature = (size=None))]
    fn readlines<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let _ = size;
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
