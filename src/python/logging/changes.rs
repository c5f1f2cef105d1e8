//! Changes that code makes to `gunicorn.glogging.Logger` itself, instead of deriving a class from it: to
//! its formats or its methods. They are as good a reason for a logger in Python as a class of one's own.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

static CHANGED: AtomicBool = AtomicBool::new(false);
/// The logs are configured, and they are ours.
static OURS: AtomicBool = AtomicBool::new(false);

/// Whether there were any.
pub fn any() -> bool {
    CHANGED.load(Ordering::Relaxed)
}

/// Takes note that the logs are configured, and whether a logger in Python has taken their place.
pub fn configured(foreign: bool) {
    OURS.store(!foreign, Ordering::Relaxed);
}

/// Takes note of a change. What comes when the logs are in use has no effect on them.
#[pyfunction]
pub fn logger_changed(name: &str) {
    CHANGED.store(true, Ordering::Relaxed);
    if OURS.load(Ordering::Relaxed) {
        tracing::warn!(
            "{name} was assigned after the logs were opened, which has no effect: assign it in the conf \
             file, or set logger_class."
        );
    }
}
