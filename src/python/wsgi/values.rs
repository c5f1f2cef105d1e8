//! Header values that are used again: what browsers send in `Accept-Language` and the like is the same
//! from one request to the next, and often from one client to the next.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::names::ALIKE;
use crate::python::ffi;

/// Longer values, in bytes, are not worth the memory.
const MAX_VALUE: usize = 256;

/// The last value of each name in [`ALIKE`]. It knows one each, so that clients can make it neither
/// grow nor slow.
pub struct Values([Option<Py<PyString>>; ALIKE.len()]);

impl Values {
    pub const fn new() -> Self {
        Self([const { None }; ALIKE.len()])
    }

    /// A value as `str`: the one of the last request, if it is equal. `place` is what
    /// [`Known`](super::names::Known) says.
    pub fn string<'py>(
        &mut self,
        py: Python<'py>,
        place: Option<usize>,
        value: &[u8],
    ) -> PyResult<Bound<'py, PyString>> {
        let Some(last) = place.and_then(|place| self.0.get_mut(place)) else {
            return ffi::latin1(py, value);
        };
        if let Some(last) = last {
            let last = last.bind(py);
            if ffi::latin1_bytes(last) == Some(value) {
                return Ok(last.clone());
            }
        }
        let text = ffi::latin1(py, value)?;
        if value.len() <= MAX_VALUE {
            *last = Some(text.clone().unbind());
        }
        Ok(text)
    }
}
