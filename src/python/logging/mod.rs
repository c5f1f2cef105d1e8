//! Loggers in Python: in the place of our logs where a configuration asks for one, else beside them.
//!
//! Our own logs need no Python. Only `logging`'s loggers `gunicorn.error` and `gunicorn.access` are given
//! handlers that write to them ([`own`]).
//!
//! Where `logger_class` or one of the `logconfig` settings is set, all records go through the methods of a
//! Python object instead, whose handlers write files of their own. Where code of the user has changed something
//! about the two loggers ([`mod@follow`]), they go through the object too, and from our handlers back to our logs.
//!
//! A record may come from a thread that must not wait for the interpreter, or from one that holds a lock
//! somebody with the interpreter may wait for. So records are put into a queue, and who takes them out holds
//! nothing: in the master the main thread, right away; in a worker a thread of its own ([`attendant`]), or a
//! slot before it logs something itself, so that what belongs to a request stays together and in order.

mod access;
mod attendant;
mod changes;
mod follow;
mod own;
mod queue;
mod reach;
mod refused;
mod shown;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::support;
use crate::config::{Config, ErrorLogFormat};
use crate::error::Error;
use crate::http::Reject;
use crate::log::access::AccessLog;
use crate::log::{self, Foreign, Severity};
use crate::reactor::Request;
use crate::sys::process;
use queue::{Item, Queue};
use reach::{Reach, ReachCell};
use refused::Refused;
use shown::cfg;

pub use access::Access;
pub use attendant::attend;
pub use follow::{follow, follow_with};
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
    /// The configuration in force, of which the object is made when there is a need for it.
    config: Mutex<Option<Config>>,
    /// What goes to it.
    reach: ReachCell,
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
    /// What it was made of, although another object may have taken its place.
    class: Py<PyAny>,
}

impl PythonLog {
    const fn new() -> Self {
        Self {
            logger: Mutex::new(None),
            config: Mutex::new(None),
            reach: ReachCell::new(),
            queue: Queue::new(),
            taking: Mutex::new(()),
            least: AtomicU8::new(0),
            told: AtomicBool::new(false),
        }
    }

    fn reach(&self) -> Reach {
        self.reach.get()
    }

    /// The object, if one was made.
    pub fn logger<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.made(py).map(|made| made.logger.into_bound(py))
    }

    fn made(&self, py: Python<'_>) -> Option<Made> {
        let made = self.logger.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().map(|Made { logger, cfg, class }| Made {
            logger: logger.clone_ref(py),
            cfg: cfg.clone_ref(py),
            class: class.clone_ref(py),
        })
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
        let known = self.made(py).filter(|made| made.class.is(&class));
        let known = known.map(|made| made.logger.into_bound(py));
        let logger = match known {
            Some(logger) => {
                self.set_up(&logger, cfg)?;
                logger
            }
            None => class.call1((cfg,))?,
        };
        self.keep(&logger, cfg, &class);
        Ok(logger)
    }

    /// Has this be the object from now on.
    fn keep(&self, logger: &Bound<'_, PyAny>, cfg: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) {
        let (logger, cfg) = (logger.clone().unbind(), cfg.clone().unbind());
        let made = Made { logger, cfg, class: class.clone().unbind() };
        // What it was is let go of without the lock: that may run any code.
        let old = self.logger.lock().unwrap_or_else(PoisonError::into_inner).replace(made);
        drop(old);
    }

    /// Sets the object up with another configuration, or, if it does not take that, with the one it had.
    fn set_up(&self, logger: &Bound<'_, PyAny>, cfg: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = cfg.py();
        logger.call_method1("setup", (cfg,)).map(drop).inspect_err(|_| {
            let old = self.made(py).map(|made| logger.call_method1("setup", (made.cfg,)));
            if let Some(Err(error)) = old {
                log::say("Error: restoring the previous logger configuration failed");
                self.failed(py, &error);
            }
        })
    }

    /// Finds out what there is no need to tell the object.
    fn ask(&self, logger: &Bound<'_, PyAny>) {
        let py = logger.py();
        let wants = || -> PyResult<bool> {
            py.import("gunicorn._logs")?.call_method1("wants_debug", (logger,))?.extract()
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
                if let Err(error) = perform(py, logger.as_ref(), &item) {
                    self.failed(py, &error);
                    own_record(&item);
                }
                self.queue.done(&item);
            }
            drop(taking);
        }
        true
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
        if self.reach().requests {
            self.put(Item::Refused(Box::new(Refused::new(request, reject))));
        }
    }
}

/// Has the logger, if there is one, do one thing.
fn perform(py: Python<'_>, logger: Option<&Bound<'_, PyAny>>, item: &Item) -> PyResult<()> {
    let Some(logger) = logger else {
        return match item {
            Item::Reopen => own::reopen(py),
            Item::Record(..) | Item::Refused(_) => Ok(()),
        };
    };
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
            let was = self.reach.swap(if wanted { Reach::ALL } else { Reach::NONE });
            let lock = || self.config.lock().unwrap_or_else(PoisonError::into_inner);
            let before = lock().replace(config.clone());
            let configured = own::configure(py, config, wanted).and_then(|()| {
                if wanted || self.logger(py).is_some() {
                    let logger = self.make(&cfg(py, config)?)?;
                    self.ask(&logger);
                }
                self.look(py)
            });
            configured.map_err(|error| {
                self.reach.swap(was);
                // Let go of without the lock: that may run any code.
                let refused = std::mem::replace(&mut *lock(), before);
                drop(refused);
                refusal(py, &error)
            })
        })
    }

    fn takes_records(&self) -> bool {
        self.reach().records
    }

    fn wants(&self, severity: Severity) -> bool {
        severity as u8 >= self.least.load(Ordering::Relaxed)
    }

    fn record(&self, severity: Severity, message: &str) -> bool {
        // A process that the application has forked has no thread for it, and locks of the queue may have
        // been taken when it was forked.
        if !self.reach().records || process::is_copy() {
            return false;
        }
        self.put(Item::Record(severity, message.to_owned()));
        true
    }

    fn reopen(&self) {
        // Handlers of the application may have files too.
        if self.reach().instead || own::are_there() {
            self.put(Item::Reopen);
            attendant::call_one();
        }
    }

    fn flush(&self) {
        if !DIRECT.get() {
            self.queue.wait_empty(LAST);
        } else if !self.queue.is_empty() {
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

/// What an exception out of the set-up of a logger means to the user.
fn refusal(py: Python<'_>, error: &PyErr) -> Error {
    if error.get_type(py).is(py.get_type::<PyRuntimeError>()) {
        Error::config(error.value(py).to_string())
    } else {
        Error::complete(1, format!("{}\n", support::traceback(py, error)))
    }
}

/// Nothing goes to the logger any more: Python is about to end.
pub fn close(py: Python<'_>) {
    PYTHON.deliver(py);
    PYTHON.reach.swap(Reach::NONE);
}

/// Logs an exception: by the logger's `exception`, or with its traceback in our own log.
pub fn exception(py: Python<'_>, error: &PyErr, message: &str) {
    if !PYTHON.reach().records {
        own::exception(py, error, message);
        tracing::error!(target: log::EXCEPTION, "{message}\n{}", support::traceback(py, error));
        return;
    }
    PYTHON.deliver(py);
    let logged = PYTHON.logger(py).map_or(Ok(()), |logger| {
        let value = error.value(py);
        value.setattr("__traceback__", error.traceback(py))?;
        py.import("gunicorn._logs")?
            .call_method1("log_exception", (logger, value, message))
            .map(drop)
    });
    if let Err(failure) = logged {
        PYTHON.failed(py, &failure);
        let trace = support::traceback(py, error);
        log::record(Severity::Error, &format!("{message}\n{trace}"));
    }
}

/// Writes text of the application to the streams of the logger's handlers; `None` if it has nothing to say.
pub fn write_errors(
    py: Python<'_>,
    text: &Bound<'_, PyString>,
    stderr: bool,
) -> Option<PyResult<()>> {
    let write = || py.import("gunicorn._logs")?.call_method1("write_errors", (text, stderr));
    PYTHON.reach().records.then(|| write().map(drop))
}

/// Our own access log, if there is one and requests do not go to the Python logger.
pub fn own_access_log() -> Option<Arc<AccessLog>> {
    if PYTHON.reach().requests { None } else { log::access_log() }
}
