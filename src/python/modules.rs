//! The files that the running code comes from, for those who watch them.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::support;

/// What there is to watch at the moment.
#[derive(Debug, Default)]
pub struct Files {
    /// Files of imported modules.
    pub modules: Vec<PathBuf>,
    /// Files that the user has named, patterns expanded.
    pub named: Vec<PathBuf>,
}

/// Where an import that failed can be cured.
#[derive(Debug, Default)]
pub struct Places {
    /// Files that were involved.
    pub files: Vec<PathBuf>,
    /// Directories in which a module may be missing.
    pub directories: Vec<PathBuf>,
}

/// How many modules are imported.
///
/// # Errors
/// `sys.modules` is not usable.
pub fn count(py: Python<'_>) -> PyResult<usize> {
    py.import("sys")?.getattr("modules")?.len()
}

/// The files of all imported modules, and those that `extra`, paths and patterns, names by now.
///
/// # Errors
/// `sys.modules` is not usable.
pub fn files(py: Python<'_>, extra: &[String]) -> PyResult<Files> {
    let found = support::module(py)?.call_method1("watched_files", (extra,))?;
    let (modules, named): (Vec<PathBuf>, Vec<PathBuf>) = found.extract()?;
    Ok(Files { modules: modules.into_iter().map(source).collect(), named })
}

/// The directories in which files matching the patterns of `extra` can turn up, and whether their
/// subdirectories count as well.
///
/// # Errors
/// There is no working directory.
pub fn pattern_roots(py: Python<'_>, extra: &[String]) -> PyResult<Vec<(PathBuf, bool)>> {
    support::module(py)?.call_method1("pattern_roots", (extra,))?.extract()
}

/// # Errors
/// The exception is not one of Python's own making.
pub fn places(py: Python<'_>, error: &PyErr) -> PyResult<Places> {
    let found = support::module(py)?.call_method1("failure_places", (error.value(py),))?;
    let (files, directories) = found.extract()?;
    Ok(Places { files, directories })
}

/// The source of a compiled file, if it is there.
fn source(file: PathBuf) -> PathBuf {
    let compiled = file.extension().is_some_and(|extension| extension == "pyc");
    let source = file.with_extension("py");
    if compiled && source.exists() { source } else { file }
}
