//! The environ of a request as the access log sees it, when the request is over.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::app::Variables;
use crate::log::access::Value;
use crate::python::ffi;

/// The variables of an environ.
pub struct Shown<'a, 'py>(pub &'a Bound<'py, PyDict>);

impl Variables for Shown<'_, '_> {
    fn find(&self, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let found = match usual(self.0.py(), name) {
            Some(key) => self.0.get_item(key).ok().flatten(),
            None => self.in_any_case(name),
        };
        let Some(value) = found else { return false };
        let is_text = value.is_instance_of::<PyString>();
        let Ok(text) = value.str() else { return false };
        if !is_text {
            show(Value::Object(&text.to_string_lossy()));
            return true;
        }
        match ffi::latin1_bytes(&text) {
            Some(bytes) => show(Value::Bytes(bytes)),
            None => show(Value::Text(&text.to_string_lossy())),
        }
        true
    }
}

/// The keys that the usual formats ask for, made once.
fn usual<'py>(py: Python<'py>, name: &str) -> Option<&'py Bound<'py, PyString>> {
    Some(match name {
        "REMOTE_ADDR" => intern!(py, "REMOTE_ADDR"),
        "REQUEST_METHOD" => intern!(py, "REQUEST_METHOD"),
        "RAW_URI" => intern!(py, "RAW_URI"),
        "SERVER_PROTOCOL" => intern!(py, "SERVER_PROTOCOL"),
        "PATH_INFO" => intern!(py, "PATH_INFO"),
        "QUERY_STRING" => intern!(py, "QUERY_STRING"),
        "HTTP_HOST" => intern!(py, "HTTP_HOST"),
        "HTTP_REFERER" => intern!(py, "HTTP_REFERER"),
        "HTTP_USER_AGENT" => intern!(py, "HTTP_USER_AGENT"),
        "HTTP_AUTHORIZATION" => intern!(py, "HTTP_AUTHORIZATION"),
        _ => return None,
    })
}

impl<'py> Shown<'_, 'py> {
    fn in_any_case(&self, name: &str) -> Option<Bound<'py, PyAny>> {
        let exact = self.0.get_item(name).ok().flatten();
        exact.or_else(|| {
            self.0.iter().find_map(|(key, value)| {
                let key = key.cast_into::<PyString>().ok()?;
                key.to_string_lossy().eq_ignore_ascii_case(name).then_some(value)
            })
        })
    }
}
