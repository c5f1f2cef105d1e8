//! Signals on Python's side.
//!
//! A signal reaches a process of the server through its pipe. Python knows a handler for each too, which
//! puts the signal into the pipe: libraries and hooks chain to the one they replace.
//!
//! A worker looks into its pipe between requests. Three must not wait for the end
//! of the request: INT and QUIT (stop now) and ABRT (the request takes too long). While the
//! application runs, they are also delivered as Python delivers signals, and end the request by
//! `SystemExit`.

pub mod master;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use super::hooks::WorkerHooks;
use super::{ffi, interpreter, support};
use crate::log;
use crate::sys::signal::{self, Blocked, Pipe, Signal};
use crate::sys::{private, process};

/// The application is running on the main thread.
static IN_APPLICATION: AtomicBool = AtomicBool::new(false);

/// So is its import: there is nothing yet that could be finished.
static LOADING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Signals are held back while this thread forks.
    static FORKING: RefCell<Option<Blocked>> = const { RefCell::new(None) };
}

/// Signals that a worker acts upon.
const HANDLED: [Signal; 6] =
    [Signal::INT, Signal::QUIT, Signal::TERM, Signal::ABRT, Signal::USR1, Signal::WINCH];

/// Signals that only the master acts upon, and that a worker's Python is to know nothing of.
const MASTERS: [Signal; 3] = [Signal::HUP, Signal::USR2, Signal::CHLD];

/// What Python calls for signals of the server, in all processes.
static HANDLER: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();

/// What Python calls for a signal that ends the import of an application by a master.
static STOPPING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Forks of the user are followed.
static FOLLOWED: PyOnceLock<()> = PyOnceLock::new();

/// The hooks of this worker, if this is one and has some.
static HOOKS: OnceLock<Arc<WorkerHooks>> = OnceLock::new();

/// This process is a worker.
static IN_WORKER: AtomicBool = AtomicBool::new(false);

fn handler(py: Python<'_>) -> PyResult<&Bound<'_, PyCFunction>> {
    let make = || {
        let handle = |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            handle(args, HOOKS.get().map(AsRef::as_ref))
        };
        PyCFunction::new_closure(py, None, None, handle).map(Bound::unbind)
    };
    HANDLER.get_or_try_init(py, make).map(|handler| handler.bind(py))
}

/// The part of `signal` that is written in C: what is written in Python around it only makes numbers
/// into enums, and each worker would unshare the pages of those.
fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("_signal")
}

/// Sets up a worker's signal handling. Its pipe must be there already, and [`master::install`] have
/// run in the master.
///
/// # Errors
/// The `signal` module does not work.
pub fn install(py: Python<'_>, hooks: Option<Arc<WorkerHooks>>) -> PyResult<()> {
    dump_crashes(py);
    IN_WORKER.store(true, Ordering::Relaxed);
    if let Some(hooks) = hooks {
        // A process is one worker only.
        let _ = HOOKS.set(hooks);
    }
    let (handler, module) = (handler(py)?, module(py)?);
    let held = signal::block_all();
    for signal in HANDLED {
        module.call_method1("signal", (signal.raw(), handler))?;
    }
    let default = module.getattr("SIG_DFL")?;
    for signal in MASTERS {
        module.call_method1("signal", (signal.raw(), &default))?;
    }
    // Over those, ours: it also writes to the pipe. HUP is for a worker to ignore.
    Pipe::install(&HANDLED)?;
    Pipe::install(&[Signal::HUP])?;
    drop(held);
    signal::on_signal(Some(interrupt));
    Ok(())
}

/// Has the signals of a worker ignored, which is on its way out: when Python goes it gives those it
/// handles their default action, and the next USR1, for the log files, would kill the process.
pub fn retire(py: Python<'_>) {
    let ignore_all = || -> PyResult<()> {
        let module = py.import("signal")?;
        let ignore = module.getattr("SIG_IGN")?;
        for signal in HANDLED {
            module.call_method1("signal", (signal.raw(), &ignore))?;
        }
        Ok(())
    };
    if let Err(error) = ignore_all() {
        tracing::debug!("Signals can still end this worker: {error}");
    }
}

/// Code of the user forks a process of its own, which will hold our connections open as well. A
/// signal for it that came before [`forked`] is through would be taken for one for the server.
fn about_to_fork(_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>) {
    if interpreter::is_forking() {
        return;
    }
    if IN_WORKER.load(Ordering::Relaxed) {
        process::note_fork();
    }
    FORKING.set(Some(signal::block_all()));
}

fn has_forked(_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>) {
    FORKING.set(None);
}

/// In that process signals do what they do in any Python program, unless the user has set a handler
/// over the server's.
fn forked(args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    if interpreter::is_forking() {
        return Ok(());
    }
    let py = args.py();
    // Let go when that is done, or has failed.
    let _held = FORKING.take();
    if IN_WORKER.load(Ordering::Relaxed) {
        process::note_copy();
    } else {
        private::let_go();
        Pipe::leave();
    }
    signal::on_signal(None);
    master::leave(py)?;
    let ours = [Some(handler(py)?.as_any()), STOPPING.get(py).map(|stop| stop.bind(py))];
    let module = py.import("signal")?;
    for signal in HANDLED.iter().chain(&MASTERS).chain(&[Signal::TTIN, Signal::TTOU]) {
        let present = module.call_method1("getsignal", (signal.raw(),))?;
        if ours.iter().flatten().any(|ours| present.is(*ours)) {
            let name = if *signal == Signal::INT { "default_int_handler" } else { "SIG_DFL" };
            module.call_method1("signal", (signal.raw(), module.getattr(name)?))?;
        } else if !present.is_none() {
            // What Python knows of, which may have ours in front of it.
            module.call_method1("signal", (signal.raw(), present))?;
        }
    }
    Ok(())
}

/// Has Python tell when code of the user forks.
fn follow_forks(py: Python<'_>) -> PyResult<()> {
    FOLLOWED
        .get_or_try_init(py, || {
            let hooks = PyDict::new(py);
            hooks.set_item("before", PyCFunction::new_closure(py, None, None, about_to_fork)?)?;
            let parent = PyCFunction::new_closure(py, None, None, has_forked)?;
            hooks.set_item("after_in_parent", parent)?;
            hooks.set_item("after_in_child", PyCFunction::new_closure(py, None, None, forked)?)?;
            py.import("os")?.call_method("register_at_fork", (), Some(&hooks)).map(drop)
        })
        .copied()
}

/// Brackets a call of the application.
pub fn in_application<R>(call: impl FnOnce() -> R) -> R {
    IN_APPLICATION.store(true, Ordering::Relaxed);
    let result = call();
    IN_APPLICATION.store(false, Ordering::Relaxed);
    result
}

/// Brackets the import of the application in a worker.
pub fn in_worker<R>(load: impl FnOnce() -> R) -> R {
    in_import(|| {
        repeat();
        load()
    })
}

fn in_import<R>(load: impl FnOnce() -> R) -> R {
    LOADING.store(true, Ordering::Relaxed);
    let result = in_application(load);
    LOADING.store(false, Ordering::Relaxed);
    result
}

/// Has the signals that have come too early to interrupt anything do so now.
fn repeat() {
    let Some(pipe) = Pipe::of_process() else { return };
    let early: Vec<Signal> = std::iter::from_fn(|| pipe.read()).collect();
    for signal in early {
        signal::push(signal);
        interrupt(signal.raw());
    }
}

/// What ends the import of an application by a master that has workers: the end of the server, and another
/// reload.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

/// Brackets the import of the application in a master that has workers already, and whose signals, `signals`,
/// go into the pipe of the process. Until now they must have been held back; from now on they arrive, and one
/// of [`ENDING`] ends the import.
pub fn in_master<R>(py: Python<'_>, signals: &[Signal], load: impl FnOnce() -> R) -> R {
    let stop = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
        Err(PySystemExit::new_err(0))
    };
    let stopping = || -> PyResult<&Py<PyAny>> {
        follow_forks(py)?;
        let handler = STOPPING.get_or_try_init(py, || {
            PyCFunction::new_closure(py, None, None, stop).map(|stop| stop.into_any().unbind())
        })?;
        let module = py.import("signal")?;
        for signal in ENDING {
            module.call_method1("signal", (signal.raw(), handler))?;
        }
        Ok(handler)
    };
    let stopping = told(stopping());
    // Over those of Python, also where there are none.
    told(Pipe::install(signals));
    signal::on_signal(stopping.is_some().then_some(interrupt_import));
    signal::unblock_all();
    let result = in_import(load);
    let _blocked = signal::block_all();
    signal::on_signal(None);
    if let Some(stopping) = stopping {
        let restore = || -> PyResult<()> {
            let module = py.import("signal")?;
            for signal in ENDING {
                // Unless the application has one of its own.
                if module.call_method1("getsignal", (signal.raw(),))?.is(stopping) {
                    module.call_method1("signal", (signal.raw(), module.getattr("SIG_DFL")?))?;
                }
            }
            Ok(())
        };
        told(restore());
    }
    told(Pipe::install(signals));
    result
}

fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!("The server may not stop in time: {error}")).ok()
}

/// Runs in the signal handler: has Python call [`handle`] if a request is to be ended.
fn interrupt(number: i32) {
    let urgent = [Signal::INT, Signal::QUIT, Signal::ABRT].map(Signal::raw).contains(&number);
    let stop = number == Signal::TERM.raw() && LOADING.load(Ordering::Relaxed);
    if (urgent || stop) && IN_APPLICATION.load(Ordering::Relaxed) {
        ffi::interrupt(number);
    }
}

/// The same for a master.
fn interrupt_import(number: i32) {
    let ends = ENDING.map(Signal::raw).contains(&number);
    if ends && LOADING.load(Ordering::Relaxed) {
        ffi::interrupt(number);
    }
}

/// What Python calls for a signal: by itself, or because a handler of the user chains to us.
fn handle(args: &Bound<'_, PyTuple>, hooks: Option<&WorkerHooks>) -> PyResult<()> {
    let py = args.py();
    let number = Signal::from_raw(args.get_item(0)?.extract()?);
    signal::push(number);
    let abort = number == Signal::ABRT;
    let stop = number == Signal::TERM && LOADING.load(Ordering::Relaxed);
    let urgent = abort || stop || number == Signal::INT || number == Signal::QUIT;
    if !urgent || !IN_APPLICATION.load(Ordering::Relaxed) {
        return Ok(());
    }
    if abort {
        tracing::error!("Stacks of the worker when it was aborted:\n{}", support::stacks(py));
    }
    if let Some(hooks) = hooks.filter(|_| !stop) {
        hooks.signalled(py, number)?;
    }
    Err(PySystemExit::new_err(i32::from(abort)))
}

/// Has stacks written to the error log when the process crashes, and on the master's demand when it
/// is stuck where no Python handler can run.
fn dump_crashes(py: Python<'_>) {
    let Some(fd) = log::error_fd() else { return };
    let set_up = || -> PyResult<()> {
        let faulthandler = py.import("faulthandler")?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
        faulthandler.call_method1("enable", (number,))?;
        faulthandler.call_method1("register", (Signal::dump().raw(), number, true, false))?;
        Ok(())
    };
    if let Err(error) = set_up() {
        tracing::debug!("Crashes of workers will show no Python stack: {error}");
    }
}
