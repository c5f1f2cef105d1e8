//! Environment variables that the configuration sets, in `os.environ`.

use std::ffi::OsString;

use pyo3::prelude::*;

use crate::error::Error;

/// Variables set on behalf of the configuration, and what they were before.
#[derive(Default)]
pub struct Exports(Vec<(String, Option<String>)>);

impl Exports {
    /// Sets variables, in order.
    ///
    /// # Errors
    /// A name or value that the system does not take.
    pub fn apply(&mut self, py: Python<'_>, variables: &[(String, String)]) -> Result<(), Error> {
        for (name, value) in variables {
            let before = set(py, name, Some(value)).map_err(|error| {
                Error::config(format!("environment setting '{name}={value}' invalid: {error}"))
            })?;
            self.0.push((name.clone(), before));
        }
        Ok(())
    }

    /// Takes back what was set.
    ///
    /// # Errors
    /// `os.environ` is not usable.
    pub fn undo(&mut self, py: Python<'_>) -> Result<(), Error> {
        while let Some((name, before)) = self.0.pop() {
            set(py, &name, before.as_deref()).map_err(|error| {
                Error::config(format!("environment variable {name} cannot be restored: {error}"))
            })?;
        }
        Ok(())
    }
}

/// Sets a variable for good.
///
/// # Errors
/// `os.environ` is not usable.
pub fn export(py: Python<'_>, name: &str, value: &str) -> Result<(), Error> {
    set(py, name, Some(value)).map(drop).map_err(|error| {
        Error::config(format!("environment variable {name} cannot be set: {error}"))
    })
}

/// Removes variables for good.
///
/// # Errors
/// `os.environ` is not usable.
pub fn remove(py: Python<'_>, names: &[&str]) -> Result<(), Error> {
    names.iter().try_for_each(|name| {
        set(py, name, None).map(drop).map_err(|error| {
            Error::config(format!("environment variable {name} cannot be removed: {error}"))
        })
    })
}

/// Removes a variable for good and returns what it was, if it can be read.
pub fn take(py: Python<'_>, name: &str) -> Option<OsString> {
    let environ = py.import("os").and_then(|os| os.getattr("environ")).ok()?;
    environ.call_method1("pop", (name, py.None())).ok()?.extract().ok()?
}

/// Sets or removes one variable and returns what it was.
fn set(py: Python<'_>, name: &str, value: Option<&str>) -> PyResult<Option<String>> {
    let environ = py.import("os")?.getattr("environ")?;
    let before = environ.call_method1("get", (name,))?.extract()?;
    match value {
        Some(value) => environ.set_item(name, value)?,
        None => drop(environ.call_method1("pop", (name, py.None()))?),
    }
    Ok(before)
}
