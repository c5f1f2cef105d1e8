//! Loggers in Python: in the place of our logs where a configuration asks for one, else beside them.
//!
//! Our own logs need no Python. Only `logging`'s loggers `gunicorn.error` and `gunicorn.access` are given
//! handlers that write to them ([`own`]).
//!
//! Where `logger_class` or one of the `logconfig` settings is set, all records go through the methods of a
//! Python object instead. A record may come from a thread that must not wait for the interpreter, or from one
//! that holds a lock somebody with the interpreter may wait for. So records are put into a queue, and who takes
//! them out holds nothing: in the master the main thread, right away; in a worker a thread of its own, or a
//! slot before it logs something itself, so that what belongs to a request stays together and in order.

mod access;
mod changes;
mod own;
mod queue;
mod refused;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::{compat, support};
use crate::config::{Config, ErrorLogFormat};
use crate::error::Error;
use crate::http::Reject;
use crate::log::{self, Foreign, Severity};
use crate::reactor::Request;
use crate::sys::{process, signal};
use queue::{Item, Queue};
use refused::Refused;

pub use access::Access;
pub use own::{fill, watch};

/// How long a process that ends waits for the logger.
const LAST: Duration = Duration::from_secs(2);

/// The logger of this process.
pub static PYTHON: PythonLog = PythonLog::new();

thread_local! {
    /// This thread may run the logger whenever it likes: it is attached, and holds no lock.
    static DIRECT: Cell<bool> = const { Cell::new(false) };
}

/// See the module documentation.
pub struct PythonLog {
    /// The object, and the configuration it was set up with, once there was a need for one.
    logger: Mutex<Option<Made>>,
    /// Records go to it.
    in_force: AtomicBool,
    queue: Queue,
    /// Held by whoever takes items out of the queue. Nobody waits for it.
    taking: Mutex<()>,
    /// The least severity that anybody wants.
    least: AtomicU8,
    /// A failure has been shown.
    told: AtomicBool,
}

struct Made {
    logger: Py<PyAny>,
    cfg: Py<PyAny>,
}

/// The last configuration that was shown to Python code, so that all of it sees the same object.
static SHOWN: Mutex<Option<(Config, Py<PyAny>)>> = Mutex::new(None);

impl PythonLog {
    const fn new() -> Self {
        Self {
            logger: Mutex::new(None),
            in_force: AtomicBool::new(false),
            queue: Queue::new(),
            taking: Mutex::new(()),
            least: AtomicU8::new(0),
            told: AtomicBool::new(false),
        }
    }

    fn is_in_force(&self) -> bool {
        self.in_force.load(Ordering::Acquire)
    }

    /// The object, if one was made.
    pub fn logger<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let made = self.logger.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().map(|made| made.logger.bind(py).clone())
    }

    /// Configuration and logger as Python code sees them, although the logs may be ours.
    ///
    /// # Errors
    /// What the logger's class raises.
    pub fn objects<'py>(
        &self,
        py: Python<'py>,
        config: &Config,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let cfg = cfg(py, config)?;
        let logger = self.logger(py).map_or_else(|| self.make(&cfg), Ok)?;
        Ok((cfg, logger))
    }

    /// Makes the object or sets it up anew.
    fn make<'py>(&self, cfg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = cfg.py();
        let class = cfg.getattr("logger_class")?;
        let known = self.logger(py).filter(|logger| logger.get_type().is(&class));
        let logger = match known {
            Some(logger) => {
                self.set_up(&logger, cfg)?;
                logger
            }
            None => class.call1((cfg,))?,
        };
        let made = Made { logger: logger.clone().unbind(), cfg: cfg.clone().unbind() };
        // What it was is let go of without the lock: that may run any code.
        let old = self.logger.lock().unwrap_or_else(PoisonError::into_inner).replace(made);
        drop(old);
        Ok(logger)
    }

    /// Sets the object up with another configuration, or, if it does not take that, with the one it had.
    fn set_up(&self, logger: &Bound<'_, PyAny>, cfg: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = cfg.py();
        logger.call_method1("setup", (cfg,)).map(drop).inspect_err(|_| {
            let made = self.logger.lock().unwrap_or_else(PoisonError::into_inner);
            let old = made.as_ref().map(|made| made.cfg.clone_ref(py));
            drop(made);
            if let Some(Err(error)) = old.map(|old| logger.call_method1("setup", (old,)).map(drop))
            {
                log::say("Error: restoring the previous logger configuration failed");
                self.failed(py, &error);
            }
        })
    }

    /// Finds out what there is no need to tell the object.
    fn ask(&self, logger: &Bound<'_, PyAny>) {
        let py = logger.py();
        let wants = || -> PyResult<bool> {
            py.import("gunicorn.glogging")?.call_method1("_wants_debug", (logger,))?.extract()
        };
        let least = if wants().unwrap_or(true) { Severity::Debug } else { Severity::Info };
        if self.least.swap(least as u8, Ordering::Relaxed) != least as u8 {
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// Puts something into the queue and sees to it that it is dealt with; what the logger cannot take is
    /// shown by our own log.
    fn put(&self, item: Item) {
        if let Err(item) = self.queue.push(item) {
            self.say_once("The Python logger takes nothing; what it misses is written here.");
            own_record(&item);
        } else if DIRECT.get() {
            Python::attach(|py| self.deliver(py));
        }
    }

    /// Has the logger do what waits; `false` if somebody is at it.
    fn deliver(&self, py: Python<'_>) -> bool {
        while !self.queue.is_empty() {
            let Ok(taking) = self.taking.try_lock() else { return false };
            let logger = self.logger(py);
            while let Some(item) = self.queue.front() {
                let done = match &logger {
                    Some(logger) => perform(logger, &item),
                    None => Ok(()),
                };
                if let Err(error) = done {
                    self.failed(py, &error);
                    own_record(&item);
                }
                self.queue.done(&item);
            }
            drop(taking);
        }
        true
    }

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

    /// The logger has raised. That is shown, once, and does no harm.
    fn failed(&self, py: Python<'_>, error: &PyErr) {
        let trace = support::traceback(py, error);
        self.say_once(&format!(
            "The Python logger failed; what it misses is written here.\n{trace}"
        ));
    }

    fn say_once(&self, text: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            log::record(Severity::Error, text);
        }
    }

    /// Notes a request that was refused, for its access line.
    pub fn refused(&self, request: &Request<'_>, reject: &Reject) {
        if self.is_in_force() {
            self.put(Item::Refused(Box::new(Refused::new(request, reject))));
        }
    }
}

/// Has the logger do one thing.
fn perform(logger: &Bound<'_, PyAny>, item: &Item) -> PyResult<()> {
    let py = logger.py();
    match item {
        Item::Record(severity, message) => {
            let method = match severity {
                Severity::Debug => intern!(py, "debug"),
                Severity::Info => intern!(py, "info"),
                Severity::Warning => intern!(py, "warning"),
                Severity::Error => intern!(py, "error"),
                Severity::Critical => intern!(py, "critical"),
            };
            logger.call_method1(method, (message,)).map(drop)
        }
        Item::Refused(refused) => access::refused(py, refused),
        Item::Reopen => logger.call_method0("reopen_files").map(drop),
    }
}

/// Shows in our own log what the logger has not taken.
fn own_record(item: &Item) {
    if let Item::Record(severity, message) = item {
        log::record(*severity, message);
    }
}

impl Foreign for PythonLog {
    fn is_wanted(&self, config: &Config) -> bool {
        let class = config.logger_class.path();
        let stock = matches!(class.as_deref(), Some("simple" | "gunicorn.glogging.Logger"));
        let named = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
        !stock
            || changes::any()
            || named(&config.logconfig)
            || named(&config.logconfig_json)
            || !config.logconfig_dict.is_falsy()
    }

    fn configure(&self, config: &Config) -> Result<(), Error> {
        DIRECT.set(true);
        let wanted = self.is_wanted(config);
        if wanted {
            check(config)?;
        }
        Python::attach(|py| {
            let was = self.in_force.swap(wanted, Ordering::AcqRel);
            let configured = own::configure(py, config, wanted).and_then(|()| {
                if !wanted && self.logger(py).is_none() {
                    return Ok(());
                }
                let logger = self.make(&cfg(py, config)?)?;
                self.ask(&logger);
                Ok(())
            });
            changes::configured(wanted);
            configured.map_err(|error| {
                self.in_force.store(was, Ordering::Release);
                refusal(py, &error)
            })
        })
    }

    fn wants(&self, severity: Severity) -> bool {
        severity as u8 >= self.least.load(Ordering::Relaxed)
    }

    fn record(&self, severity: Severity, message: &str) -> bool {
        // A process that the application has forked has no thread for it, and locks of the queue may have
        // been taken when it was forked.
        if !self.is_in_force() || process::is_copy() {
            return false;
        }
        self.put(Item::Record(severity, message.to_owned()));
        true
    }

    fn reopen(&self) {
        if self.is_in_force() {
            self.put(Item::Reopen);
        }
    }

    fn flush(&self) {
        if !DIRECT.get() {
            self.queue.wait_empty(LAST);
        } else if self.is_in_force() {
            Python::attach(|py| self.deliver(py));
        }
        for item in self.queue.clear() {
            own_record(&item);
        }
    }
}

/// Refuses what a Python logger does not do.
fn check(config: &Config) -> Result<(), Error> {
    let refuse = |setting: &str| {
        Err(Error::config(format!(
            "{setting} = \"json\" is for the server's own logs. With logger_class or a logconfig \
             setting, use a formatter that writes JSON"
        )))
    };
    if config.access_log_format == "json" {
        return refuse("access_log_format");
    }
    if config.error_log_format == ErrorLogFormat::Json {
        return refuse("error_log_format");
    }
    Ok(())
}

/// The configuration as Python code sees it.
fn cfg<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyAny>> {
    static ENVIRON: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let lock = || SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = |(shown, cfg): &(Config, Py<PyAny>)| (shown == config).then(|| cfg.clone_ref(py));
    let known = lock().as_ref().and_then(known);
    if let Some(cfg) = known {
        return Ok(cfg.into_bound(py));
    }
    // The first time is before the server has changed anything.
    let environ = ENVIRON.get_or_try_init(py, || {
        let environ = py.import("os")?.getattr("environ")?.call_method0("copy")?;
        Ok::<_, PyErr>(environ.cast_into::<PyDict>()?.unbind())
    })?;
    let cfg = compat::config::to_python(py, config, environ.bind(py))?;
    let old = lock().replace((config.clone(), cfg.clone().unbind()));
    drop(old);
    Ok(cfg)
}

/// What an exception out of the set-up of a logger means to the user.
fn refusal(py: Python<'_>, error: &PyErr) -> Error {
    if error.get_type(py).is(py.get_type::<PyRuntimeError>()) {
        Error::config(format!("{}\n", error.value(py)))
    } else {
        Error::complete(1, format!("{}\n", support::traceback(py, error)))
    }
}

/// Nothing goes to the logger any more: Python is about to end.
pub fn close(py: Python<'_>) {
    PYTHON.deliver(py);
    PYTHON.in_force.store(false, Ordering::Release);
}

/// Logs an exception: by the logger's `exception`, or with its traceback in our own log.
pub fn exception(py: Python<'_>, error: &PyErr, message: &str) {
    if !PYTHON.is_in_force() {
        own::exception(py, error, message);
        tracing::error!(target: log::EXCEPTION, "{message}\n{}", support::traceback(py, error));
        return;
    }
    PYTHON.deliver(py);
    let logged = PYTHON.logger(py).map_or(Ok(()), |logger| {
        let value = error.value(py);
        value.setattr("__traceback__", error.traceback(py))?;
        py.import("gunicorn.glogging")?
            .call_method1("_log_exception", (logger, value, message))
            .map(drop)
    });
    if let Err(failure) = logged {
        PYTHON.failed(py, &failure);
        let trace = support::traceback(py, error);
        log::record(Severity::Error, &format!("{message}\n{trace}"));
    }
}

/// Writes text of the application to the streams of the logger's handlers; `None` if the logs are ours.
pub fn write_errors(
    py: Python<'_>,
    text: &Bound<'_, PyString>,
    stderr: bool,
) -> Option<PyResult<()>> {
    let write = || py.import("gunicorn.glogging")?.call_method1("_write_errors", (text, stderr));
    PYTHON.is_in_force().then(|| write().map(drop))
}

/// The thread that takes a worker's records to the logger.
pub struct Attendant {
    ended: Receiver<()>,
}

/// Starts it, if there is a Python logger. From now on the calling thread leaves records to it.
pub fn attend(py: Python<'_>) -> Option<Attendant> {
    if !PYTHON.is_in_force() {
        return None;
    }
    PYTHON.deliver(py);
    // The application may have changed the logger's level.
    if let Some(logger) = PYTHON.logger(py) {
        PYTHON.ask(&logger);
    }
    PYTHON.queue.set_over(false);
    let (ending, ended) = channel::<()>();
    let live = move || {
        PYTHON.attend();
        drop(ending);
    };
    let held = signal::block_all();
    let started = thread::Builder::new().name("log".into()).spawn(live);
    drop(held);
    match started {
        Ok(_) => {
            DIRECT.set(false);
            Some(Attendant { ended })
        }
        Err(error) => {
            tracing::error!("Records wait for requests to come: {error}");
            None
        }
    }
}

impl Attendant {
    /// Ends the thread. Records are the calling thread's own again.
    pub fn dismiss(self, py: Python<'_>) {
        PYTHON.queue.set_over(true);
        // It ends by dropping its end.
        let _ = py.detach(move || self.ended.recv_timeout(LAST));
        DIRECT.set(true);
    }
}
