//! Changes that code makes to `gunicorn.glogging.Logger` itself, instead of deriving a class from it: to
//! its formats or its methods. They are as good a reason for a logger in Python as a class of one's own.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

/// Another class stands in its place.
static CLASS: AtomicBool = AtomicBool::new(false);
/// Something was assigned to an attribute of it.
static METHODS: AtomicBool = AtomicBool::new(false);
/// Nobody looks at these any more, and the logs are ours.
static SETTLED: AtomicBool = AtomicBool::new(false);

/// Whether there were any.
pub fn any() -> bool {
    CLASS.load(Ordering::Relaxed) || of_methods()
}

/// Whether there were any to attributes of the class. Those take effect on a logger that is there.
pub fn of_methods() -> bool {
    METHODS.load(Ordering::Relaxed)
}

/// A worker serves from now on; `ours` says whether the logs are.
pub fn settle(ours: bool) {
    SETTLED.store(ours, Ordering::Relaxed);
}

/// Takes note of a change: of an attribute, or else of the class.
#[pyfunction]
pub fn logger_changed(name: &str, attribute: bool) {
    let change = if attribute { &METHODS } else { &CLASS };
    change.store(true, Ordering::Relaxed);
    if attribute && SETTLED.load(Ordering::Relaxed) {
        tracing::warn!(
            "{name} was assigned while requests are served, which has no effect: assign it in the conf \
             file, in a hook or where the application is imported, or set logger_class."
        );
    }
}
