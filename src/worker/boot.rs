//! The steps of a worker after the fork, in order.

use std::sync::Arc;

use pyo3::prelude::*;

use super::end::End;
use super::options::options;
use super::reloader::{Reloader, Watching};
use super::requests::Requests;
use super::serve::{FAILED, serve};
use crate::app::Seat;
use crate::config::{Config, ReloadEngine};
use crate::error::{Error, Exit, reason};
use crate::log;
use crate::net::listener::Listener;
use crate::python::hooks::WorkerHooks;
use crate::python::interpreter;
use crate::python::loader::{self, LoadError};
use crate::python::logging;
use crate::python::signals;
use crate::python::support;
use crate::python::wsgi::{Errors, Settings, Wsgi};
use crate::reactor::Reactor;
use crate::sys::heap;
use crate::sys::identity::Refused;
use crate::sys::signal::{self, Signal};

/// Bodies up to the default of `request_buffer_size` come and go without the system being asked.
const FREED: usize = 2 << 20;

/// Lives the life of a worker and returns its exit status. `app` is there if it was preloaded.
pub fn run(seat: &Seat<'_>, app: Option<&Py<PyAny>>, hooks: PyResult<Option<WorkerHooks>>) -> i32 {
    Python::attach(|py| {
        let (hooks, made) = match hooks {
            Ok(hooks) => (hooks.map(Arc::new), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let end = End::new(hooks);
        support::keep_measurements(py);
        let mut reloader = None;
        let booted = made
            .map_err(Failure::Python)
            .and_then(|()| boot(py, seat, app, end.hooks(), &mut reloader));
        let (status, served) = match booted {
            Ok(booted) => {
                let attendant = logging::attend(py);
                let status = serve(py, seat, booted, &end).unwrap_or_else(|error| {
                    tracing::error!("The worker cannot serve: {error}");
                    FAILED
                });
                if let Some(attendant) = attendant {
                    attendant.dismiss(py);
                }
                (status, true)
            }
            Err(failure) => (failure.report(py), false),
        };
        end.farewell(py, served);
        let alone = reloader.is_none_or(|reloader| reloader.stop(py));
        signals::retire(py);
        logging::close(py);
        if alone {
            interpreter::finalize(py);
        } else {
            interpreter::wind_up(py);
        }
        status
    })
}

/// Why a worker cannot serve.
enum Failure {
    Python(PyErr),
    Load(LoadError),
    Start(Error),
}

impl Failure {
    /// Tells of the failure as gunicorn does; returns the exit status.
    fn report(self, py: Python<'_>) -> i32 {
        match self {
            Self::Load(LoadError::NotFound(message)) => {
                log::say(&message);
                Exit::AppLoad as i32
            }
            Self::Load(LoadError::Exit(status)) => status,
            Self::Load(LoadError::Failed { message, error }) => {
                logging::exception(py, &error, "Exception in worker process");
                log::say(&message);
                Exit::WorkerBoot as i32
            }
            Self::Python(error) => {
                let failed = LoadError::from_exception(py, &error);
                Self::Load(failed).report(py)
            }
            Self::Start(error) => {
                tracing::error!("Exception in worker process: {error}");
                Exit::WorkerBoot as i32
            }
        }
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Start(error)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// What a worker serves with.
pub struct Booted<'a> {
    /// One for each slot.
    pub apps: Vec<Wsgi>,
    pub reactor: Reactor<'a>,
    /// How many requests it takes before it retires.
    pub max_requests: Option<u64>,
}

fn boot<'a>(
    py: Python<'_>,
    seat: &Seat<'a>,
    app: Option<&Py<PyAny>>,
    hooks: Option<&Arc<WorkerHooks>>,
    reloader: &mut Option<Reloader>,
) -> Result<Booted<'a>, Failure> {
    let config = seat.config;
    if let Some(hooks) = hooks {
        hooks.post_fork(py)?;
    }
    take_identity(config)?;
    signals::install(py, hooks.cloned())?;
    *reloader = config.reload.then(|| start_reloader(config, hooks)).transpose()?;
    // Code of the user, for which a stop need not wait.
    let app = signals::in_worker(|| load(py, seat, app, hooks, reloader.as_ref()))?;
    let settings = Settings {
        multithread: config.is_threaded(),
        multiprocess: config.workers > 1,
        servers: seat.listeners.iter().map(server).collect(),
        errors: Py::new(py, Errors::new(config.errorlog.as_deref() == Some("-")))?.into_any(),
    };
    let apps = (0..config.slots())
        .map(|_| {
            let around = hooks.and_then(|hooks| hooks.requests()).cloned();
            let sendfile = config.uses_sendfile(&|name| std::env::var(name).ok());
            Wsgi::new(py, app.clone_ref(py), &settings, sendfile, around)
        })
        .collect::<PyResult<Vec<_>>>()?;
    let reactor = Reactor::new(seat.listeners, seat.queue, options(config)?).map_err(|error| {
        Error::config(format!("the event loop cannot be set up: {}", reason(&error)))
    })?;
    let max_requests = match hooks {
        Some(hooks) => hooks.max_requests(py)?,
        None => Requests::limit(config),
    };
    heap::keep(FREED);
    Ok(Booted { apps, reactor, max_requests })
}

/// Loads the application, unless the master or a hook has.
fn load(
    py: Python<'_>,
    seat: &Seat<'_>,
    preloaded: Option<&Py<PyAny>>,
    hooks: Option<&Arc<WorkerHooks>>,
    reloader: Option<&Reloader>,
) -> Result<Py<PyAny>, Failure> {
    let known = match (preloaded, hooks) {
        (Some(app), _) => Some(app.clone_ref(py)),
        (None, Some(hooks)) => hooks.application(py)?,
        (None, None) => None,
    };
    let uri = seat.config.application().unwrap_or_default();
    let (app, places) = match (known, reloader) {
        (Some(app), _) => (app, None),
        (None, None) => (loader::load(py, uri)?, None),
        (None, Some(_)) => loader::load_or_explain(py, uri)?,
    };
    if let Some(reloader) = reloader {
        reloader.loaded(py, places);
    }
    match hooks {
        Some(hooks) => Ok(hooks.post_worker_init(py, &app)?),
        None => Ok(app),
    }
}

/// Becomes the user that the application is to run as, before any of its code is loaded.
fn take_identity(config: &Config) -> Result<(), Error> {
    config.identity().assume().map_err(|refused| {
        let (what, error) = match refused {
            Refused::Groups(error) => ("groups", error),
            Refused::Group(error) => ("group", error),
            Refused::User(error) => ("user", error),
        };
        Error::config(format!(
            "the worker cannot change its {what} to become user {} in group {}: {}. See the settings \
             'user', 'group' and 'initgroups'.",
            config.user,
            config.group,
            reason(&error)
        ))
    })
}

/// Starts the thread that has the worker replaced when its files change.
fn start_reloader(config: &Config, hooks: Option<&Arc<WorkerHooks>>) -> Result<Reloader, Failure> {
    tracing::warn!("Reloader is on. Use in development only!");
    let hooks = hooks.cloned();
    let watching = Watching {
        polling: config.reload_engine == ReloadEngine::Poll,
        extra: config.reload_extra_files.clone(),
        on_change: Box::new(move || {
            if let Some(hooks) = hooks {
                Python::attach(|py| {
                    if let Err(error) = hooks.signalled(py, Signal::INT) {
                        let traceback = support::traceback(py, &error);
                        tracing::error!("The hook worker_int failed:\n{traceback}");
                    }
                });
            }
            // As if the master had told the worker to go: it finishes what it has.
            signal::push(Signal::TERM);
        }),
    };
    Reloader::start(watching).map_err(|error| {
        let reason = reason(&error);
        Failure::Start(Error::config(format!("the reloader cannot be started: {reason}")))
    })
}

fn server(listener: &Listener) -> (String, Option<String>) {
    let port = (!listener.is_unix()).then(|| listener.server_port.clone());
    (listener.server_name.clone(), port)
}
