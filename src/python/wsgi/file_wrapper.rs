//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

use std::fs::File;
use std::io::Seek;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use crate::sys::fd;

/// An iterable over the blocks of a file-like object; when the object is a real file the server
/// sends it without reading it.
#[pyclass(frozen, module = "rgunicorn")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self { filelike, blksize }
    }

    /// `close` exists if and only if the wrapped object has it.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        if name == "close" {
            return self.filelike.bind(py).getattr("close");
        }
        Err(PyAttributeError::new_err(format!("'FileWrapper' object has no attribute '{name}'")))
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self.filelike.bind(py).call_method1("read", (self.blksize,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    /// The sequence protocol of old, which some middleware still uses.
    fn __getitem__<'py>(&self, py: Python<'py>, _key: usize) -> PyResult<Bound<'py, PyAny>> {
        let block = self.filelike.bind(py).call_method1("read", (self.blksize,))?;
        if block.is_truthy()? {
            return Ok(block);
        }
        Err(pyo3::exceptions::PyIndexError::new_err("no more blocks"))
    }
}

/// A regular file to send from `offset` on.
pub struct Range {
    pub file: File,
    pub offset: u64,
    pub count: u64,
}

impl FileWrapper {
    /// The file behind the wrapper, as a descriptor of our own; `None` if it is not a regular
    /// file. The file's position is where sending begins and stays as it is.
    pub fn range(&self, py: Python<'_>) -> Option<Range> {
        let filelike = self.filelike.bind(py);
        let number: i32 = filelike.call_method0("fileno").ok()?.extract().ok()?;
        let mut file = fd::duplicate(number).ok()?;
        let offset: u64 = match filelike.getattr_opt("tell").ok()? {
            // A buffered reader is ahead of its descriptor: its own idea of the position counts.
            Some(tell) => tell.call0().ok()?.extract().ok()?,
            None => file.stream_position().ok()?,
        };
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() {
            return None;
        }
        Some(Range { count: metadata.len().saturating_sub(offset), file, offset })
    }
}
