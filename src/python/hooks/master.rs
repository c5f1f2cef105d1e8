//! Hooks of the master, and the `server` that they are given.

use std::sync::Arc;

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

use super::failure::failure;
use super::functions::{self, Function, MasterFunctions};
use super::handles::{MasterHandle, WorkerHandle};
use super::surroundings;
use super::worker::WorkerHooks;
use crate::app::{self, Birth, Called, HookFailed, Resumed, Wishes};
use crate::config::Config;
use crate::error::Error;
use crate::net::listener::Listener;
use crate::python::logging;
use crate::scoreboard::Scoreboard;
use crate::sys::process::Pid;

/// The hooks of this process and of its workers-to-be.
#[derive(Default)]
pub struct Hooks {
    /// There from the first configuration on that has a hook.
    objects: Option<Objects>,
    workers: Vec<Worker>,
    size: usize,
    /// The listening sockets were passed in.
    passed: bool,
    /// The masters before and after this one.
    relatives: (Option<Pid>, Option<Pid>),
    /// What the master has loaded.
    app: Option<Py<PyAny>>,
    /// Of the program before this one in the process.
    statistics: Option<String>,
}

/// What is there only if somebody may be called.
struct Objects {
    wishes: Arc<Wishes>,
    arbiter: Py<PyAny>,
    functions: MasterFunctions,
}

/// A worker that lives, or is about to.
struct Worker {
    age: u64,
    pid: Option<Pid>,
    scoreboard: Arc<Scoreboard>,
    slot: usize,
    object: Option<(Py<PyAny>, Py<WorkerHandle>)>,
}

impl Worker {
    /// Makes the object of a worker, unless it is there.
    fn object(&mut self, arbiter: &Bound<'_, PyAny>) -> PyResult<&(Py<PyAny>, Py<WorkerHandle>)> {
        let made = if let Some(made) = self.object.take() {
            made
        } else {
            let handle = WorkerHandle::new(&self.scoreboard, self.slot, self.age);
            let handle = Py::new(arbiter.py(), handle)?;
            let worker = arbiter.call_method1("_new_worker", (self.age, &handle))?;
            (worker.unbind(), handle)
        };
        Ok(self.object.insert(made))
    }
}

impl Objects {
    fn new(py: Python<'_>, config: &Config, size: usize) -> PyResult<Self> {
        let wishes = Arc::new(Wishes::new()?);
        let handle = Py::new(py, MasterHandle::new(Arc::clone(&wishes)))?;
        let app = surroundings::application(py, config)?;
        let arbiter = py.import("gunicorn.arbiter")?.getattr("Arbiter")?;
        let arbiter = arbiter.call_method1("_make", (handle, app))?;
        let functions = MasterFunctions::of(py, config)?;
        configure(&arbiter, config, size, &functions)?;
        Ok(Self { wishes, arbiter: arbiter.unbind(), functions })
    }

    /// Has the object show this configuration.
    fn configure(&mut self, py: Python<'_>, config: &Config, size: usize) -> PyResult<()> {
        let functions = MasterFunctions::of(py, config)?;
        configure(self.arbiter.bind(py), config, size, &functions)?;
        self.functions = functions;
        Ok(())
    }

    /// Calls a hook, if it is set, and looks what it has done to the loggers.
    fn call<'py>(
        &self,
        py: Python<'py>,
        function: &Function,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<()> {
        let Some(function) = function else { return Ok(()) };
        let called = function.bind(py).call1(arguments).map(drop);
        logging::follow_with(py, &self.arbiter.bind(py).getattr("log")?);
        called
    }

    fn listen(&self, py: Python<'_>, listeners: &[Listener]) -> PyResult<()> {
        let arbiter = self.arbiter.bind(py);
        let sockets = surroundings::sockets(arbiter, listeners)?;
        arbiter.call_method1("_listen", (sockets,)).map(drop)
    }
}

/// Has the `server` show this configuration.
fn configure(
    arbiter: &Bound<'_, PyAny>,
    config: &Config,
    size: usize,
    functions: &MasterFunctions,
) -> PyResult<()> {
    let py = arbiter.py();
    let (cfg, log) = logging::PYTHON.objects(py, config)?;
    let class = surroundings::worker_class(py, config)?;
    let arguments = (cfg, log, class, size, &functions.nworkers_changed);
    arbiter.call_method1("_configure", arguments).map(drop)
}

/// Attached, with what may have failed as the master takes it.
fn attached(with: impl FnOnce(Python<'_>) -> PyResult<()>) -> Called {
    Python::attach(|py| with(py).map_err(|error| failure(py, &error)))
}

impl Hooks {
    /// The configuration is read, nothing else is there: `nworkers_changed`.
    ///
    /// # Errors
    /// The hook raised: the program ends with this.
    pub fn begin(&mut self, config: &Config) -> Result<(), Error> {
        self.size = size(config);
        if !functions::any(config) {
            return Ok(());
        }
        let begun = attached(|py| {
            let objects = self.objects.insert(Objects::new(py, config, self.size)?);
            let changed = &objects.functions.nworkers_changed;
            objects.call(py, changed, (&objects.arbiter, self.size, py.None()))
        });
        begun.map_err(HookFailed::into_error)
    }

    /// Tells of the application, which the master has loaded.
    pub fn preloaded(&mut self, py: Python<'_>, app: &Py<PyAny>) -> PyResult<()> {
        self.app = Some(app.clone_ref(py));
        self.show_app(py)
    }

    fn show_app(&self, py: Python<'_>) -> PyResult<()> {
        let (Some(objects), Some(app)) = (&self.objects, &self.app) else { return Ok(()) };
        objects.arbiter.getattr(py, "app")?.setattr(py, "callable", app)
    }

    /// The hooks of a worker, in the worker.
    ///
    /// # Errors
    /// Python is out of memory.
    pub fn in_worker(
        &mut self,
        py: Python<'_>,
        age: u64,
        config: &Config,
    ) -> PyResult<Option<WorkerHooks>> {
        let Some(objects) = &self.objects else { return Ok(None) };
        let Some(born) = self.workers.iter_mut().find(|worker| worker.age == age) else {
            return Ok(None);
        };
        let (worker, handle) = born.object(objects.arbiter.bind(py))?;
        let (server, worker) = (objects.arbiter.clone_ref(py), worker.clone_ref(py));
        WorkerHooks::new(py, config, server, worker, handle.clone_ref(py)).map(Some)
    }

    /// Has objects from now on, if the configuration asks for them.
    fn wake_up(&mut self, py: Python<'_>, config: &Config) -> PyResult<()> {
        if self.objects.is_some() || !functions::any(config) {
            return Ok(());
        }
        let objects = Objects::new(py, config, self.size)?;
        let arbiter = objects.arbiter.bind(py);
        arbiter.call_method1("_start", (self.passed,))?;
        relate(arbiter, self.relatives)?;
        for worker in &mut self.workers {
            let pid = worker.pid;
            let (object, _) = worker.object(arbiter)?;
            if let Some(pid) = pid {
                arbiter.call_method1("_forked", (object, pid.get()))?;
            }
        }
        if let Some(statistics) = &self.statistics {
            arbiter.call_method1("_recall", (statistics,))?;
        }
        self.objects = Some(objects);
        self.show_app(py)
    }
}

/// Shows other masters.
fn relate(
    arbiter: &Bound<'_, PyAny>,
    (predecessor, successor): (Option<Pid>, Option<Pid>),
) -> PyResult<()> {
    let number = |pid: Option<Pid>| pid.map_or(0, Pid::get);
    arbiter.call_method1("_relate", (number(predecessor), number(successor))).map(drop)
}

fn size(config: &Config) -> usize {
    usize::try_from(config.workers).unwrap_or(usize::MAX)
}

/// Says what went wrong with an object that hooks would see; the server goes on without.
fn tell(outcome: PyResult<()>) {
    if let Err(error) = outcome {
        tracing::error!("What hooks see of the server is out of date: {error}");
    }
}

impl app::Hooks for Hooks {
    fn wishes(&self) -> Option<Arc<Wishes>> {
        self.objects.as_ref().map(|objects| Arc::clone(&objects.wishes))
    }

    fn related(&mut self, predecessor: Option<Pid>, successor: Option<Pid>) {
        let relatives = (predecessor, successor);
        if std::mem::replace(&mut self.relatives, relatives) != relatives
            && let Some(objects) = &self.objects
        {
            tell(Python::attach(|py| relate(objects.arbiter.bind(py), relatives)));
        }
    }

    fn starting(&mut self) -> Called {
        let Some(objects) = &self.objects else { return Ok(()) };
        attached(|py| {
            objects.arbiter.call_method1(py, "_start", (false,))?;
            relate(objects.arbiter.bind(py), self.relatives)?;
            objects.call(py, &objects.functions.on_starting, (&objects.arbiter,))
        })
    }

    fn ready(&mut self, listeners: &[Listener], passed: bool) -> Called {
        self.passed = passed;
        let Some(objects) = &self.objects else { return Ok(()) };
        attached(|py| {
            objects.arbiter.setattr(py, "systemd", passed)?;
            objects.listen(py, listeners)?;
            objects.call(py, &objects.functions.when_ready, (&objects.arbiter,))
        })
    }

    fn statistics(&self) -> Option<String> {
        let objects = self.objects.as_ref()?;
        let remembered = |py: Python<'_>| -> PyResult<String> {
            objects.arbiter.call_method0(py, "_remember")?.extract(py)
        };
        Python::attach(remembered).ok()
    }

    fn resumed(&mut self, resumed: Resumed) {
        let Resumed { size, passed, statistics, workers, scoreboard } = resumed;
        (self.size, self.passed, self.statistics) = (size, passed, statistics);
        let workers = workers.into_iter().map(|(age, pid, slot)| Worker {
            age,
            pid: Some(pid),
            scoreboard: Arc::clone(&scoreboard),
            slot,
            object: None,
        });
        self.workers = workers.collect();
    }

    fn before_worker(&mut self, birth: &Birth<'_>) -> Called {
        let worker = Worker {
            age: birth.age,
            pid: None,
            scoreboard: Arc::clone(birth.scoreboard),
            slot: birth.slot,
            object: None,
        };
        self.workers.push(worker);
        let (Some(objects), Some(worker)) = (&self.objects, self.workers.last_mut()) else {
            return Ok(());
        };
        attached(|py| {
            let (object, _) = worker.object(objects.arbiter.bind(py))?;
            objects.call(py, &objects.functions.pre_fork, (&objects.arbiter, object))
        })
    }

    fn worker_forked(&mut self, age: u64, pid: Pid) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.age == age) else { return };
        worker.pid = Some(pid);
        if let (Some(objects), Some((object, _))) = (&self.objects, &worker.object) {
            tell(Python::attach(|py| {
                objects.arbiter.call_method1(py, "_forked", (object, pid.get())).map(drop)
            }));
        }
    }

    fn worker_aborted(&mut self, pid: Pid) {
        let worker = self.workers.iter().find(|worker| worker.pid == Some(pid));
        if let Some((object, _)) = worker.and_then(|worker| worker.object.as_ref()) {
            tell(Python::attach(|py| object.setattr(py, "aborted", true)));
        }
    }

    fn worker_gone(&mut self, age: u64, exited: bool) -> Called {
        let Some(index) = self.workers.iter().position(|worker| worker.age == age) else {
            return Ok(());
        };
        let worker = self.workers.remove(index);
        let (Some(objects), Some((object, handle))) = (&self.objects, worker.object) else {
            return Ok(());
        };
        handle.get().keep();
        attached(|py| {
            objects.arbiter.call_method1(py, "_gone", (&object,))?;
            let hook = &objects.functions.child_exit;
            if exited { objects.call(py, hook, (&objects.arbiter, &object)) } else { Ok(()) }
        })
    }

    fn resized(&mut self, new: usize) -> Called {
        let old = std::mem::replace(&mut self.size, new);
        let Some(objects) = &self.objects else { return Ok(()) };
        attached(|py| {
            objects.arbiter.setattr(py, "_num_workers", new)?;
            objects.call(py, &objects.functions.nworkers_changed, (&objects.arbiter, new, old))
        })
    }

    fn reloaded(&mut self, config: &Config, listeners: &[Listener]) -> Called {
        attached(|py| {
            self.wake_up(py, config)?;
            let (new, old) = (size(config), std::mem::replace(&mut self.size, size(config)));
            let Some(objects) = &mut self.objects else { return Ok(()) };
            objects.configure(py, config, new)?;
            objects.listen(py, listeners)?;
            objects.arbiter.call_method0(py, "_count_reload")?;
            objects.call(py, &objects.functions.nworkers_changed, (&objects.arbiter, new, old))?;
            objects.call(py, &objects.functions.on_reload, (&objects.arbiter,))
        })
    }

    fn returned(&mut self, config: &Config, listeners: &[Listener], size: usize) {
        self.size = size;
        tell(Python::attach(|py| {
            self.wake_up(py, config)?;
            let Some(objects) = &mut self.objects else { return Ok(()) };
            objects.configure(py, config, size)?;
            objects.listen(py, listeners)
        }));
    }

    fn stopping(&mut self) {
        let Some(objects) = &self.objects else { return };
        tell(Python::attach(|py| objects.listen(py, &[])));
    }

    fn before_exec(&mut self) -> Called {
        let Some(objects) = &self.objects else { return Ok(()) };
        attached(|py| objects.call(py, &objects.functions.pre_exec, (&objects.arbiter,)))
    }

    fn exiting(&mut self) -> Called {
        let Some(objects) = &self.objects else { return Ok(()) };
        attached(|py| objects.call(py, &objects.functions.on_exit, (&objects.arbiter,)))
    }
}
