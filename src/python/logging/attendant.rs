//! Who takes a worker's records to the Python logger.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use pyo3::prelude::*;

use super::{DIRECT, LAST, PYTHON, PythonLog, changes};
use crate::python::support;
use crate::sys::signal;

/// Somebody takes what comes.
static THERE: AtomicBool = AtomicBool::new(false);

/// The thread that takes a worker's records to the logger.
pub struct Attendant {
    ended: Receiver<()>,
}

/// The worker serves from now on: the calling thread leaves records to others. Starts a thread for them, if
/// there is a Python logger.
pub fn attend(py: Python<'_>) -> Option<Attendant> {
    let ours = PYTHON.reach().is_none();
    changes::settle(ours);
    if ours {
        DIRECT.set(false);
        return None;
    }
    PYTHON.deliver(py);
    // The application may have changed the logger's level.
    if let Some(logger) = PYTHON.logger(py) {
        PYTHON.ask(&logger);
    }
    PYTHON.queue.set_over(false);
    let (ending, ended) = channel::<()>();
    let started = start(move || {
        PYTHON.attend();
        drop(ending);
    });
    if started {
        DIRECT.set(false);
        THERE.store(true, Ordering::Release);
    }
    started.then_some(Attendant { ended })
}

/// Something was put into the queue in a process that has nobody for it, perhaps.
pub fn call_one() {
    if DIRECT.get() || THERE.load(Ordering::Acquire) {
        return;
    }
    start(|| {
        Python::attach(|py| PYTHON.deliver(py));
    });
}

/// Starts a thread, to which no signal goes.
fn start(live: impl FnOnce() + Send + 'static) -> bool {
    let held = signal::block_all();
    let started = thread::Builder::new().name("log".into()).spawn(live);
    drop(held);
    if let Err(error) = &started {
        tracing::error!("Records wait for requests to come: {error}");
    }
    started.is_ok()
}

impl Attendant {
    /// Ends the thread. Records are the calling thread's own again.
    pub fn dismiss(self, py: Python<'_>) {
        PYTHON.queue.set_over(true);
        // It ends by dropping its end.
        let _ = py.detach(move || self.ended.recv_timeout(LAST));
        THERE.store(false, Ordering::Release);
        DIRECT.set(true);
    }
}

impl PythonLog {
    /// Delivers what comes, until it is over.
    fn attend(&self) {
        Python::attach(|py| support::name_thread(py, "log"));
        while self.queue.wait() {
            if !Python::attach(|py| self.deliver(py)) {
                // Whoever is at it does the rest too.
                drop(self.taking.lock());
            }
        }
    }
}
