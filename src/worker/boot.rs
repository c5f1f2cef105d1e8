//! The steps of a worker after the fork, in order.

use pyo3::prelude::*;

use super::options::options;
use super::serve::{FAILED, serve};
use crate::app::Seat;
use crate::config::Config;
use crate::error::{Error, Exit, reason};
use crate::log;
use crate::net::listener::Listener;
use crate::python::interpreter;
use crate::python::loader::{self, LoadError};
use crate::python::logging;
use crate::python::signals;
use crate::python::wsgi::{Errors, Settings, Wsgi};
use crate::reactor::Reactor;
use crate::scoreboard::State;
use crate::sys::identity::Refused;
use crate::sys::process;

/// Lives the life of a worker and returns its exit status. `app` is there if it was preloaded.
pub fn run(seat: &Seat<'_>, app: Option<&Py<PyAny>>) -> i32 {
    Python::attach(|py| {
        let status = match boot(py, seat, app) {
            Ok((apps, reactor)) => {
                let attendant = logging::attend(py);
                let status = serve(py, seat, reactor, apps).unwrap_or_else(|error| {
                    tracing::error!("The worker cannot wait for events: {error}");
                    FAILED
                });
                if let Some(attendant) = attendant {
                    attendant.dismiss(py);
                }
                status
            }
            Err(failure) => failure.report(py),
        };
        tracing::info!("Worker exiting (pid: {})", process::getpid());
        signals::retire(py);
        logging::close(py);
        interpreter::finalize(py);
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

fn boot<'a>(
    py: Python<'_>,
    seat: &Seat<'a>,
    app: Option<&Py<PyAny>>,
) -> Result<(Vec<Wsgi>, Reactor<'a>), Failure> {
    let config = seat.config;
    take_identity(config)?;
    signals::install(py)?;
    let app = if let Some(app) = app {
        app.clone_ref(py)
    } else {
        // The application's code, as in a request: a quick stop need not wait for it.
        let uri = config.application().unwrap_or_default();
        signals::in_application(|| loader::load(py, uri))?
    };
    let settings = Settings {
        multithread: config.is_threaded(),
        multiprocess: config.workers > 1,
        servers: seat.listeners.iter().map(server).collect(),
        errors: Py::new(py, Errors::new(config.errorlog.as_deref() == Some("-")))?.into_any(),
    };
    let apps = (0..config.slots())
        .map(|_| {
            Wsgi::new(
                py,
                app.clone_ref(py),
                &settings,
                config.uses_sendfile(&|name| std::env::var(name).ok()),
            )
        })
        .collect::<PyResult<Vec<_>>>()?;
    let reactor = Reactor::new(seat.listeners, seat.queue, options(config)?).map_err(|error| {
        Error::config(format!("the event loop cannot be set up: {}", reason(&error)))
    })?;
    seat.slot.set_state(State::Ready);
    seat.bell.ring();
    Ok((apps, reactor))
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

fn server(listener: &Listener) -> (String, Option<String>) {
    let port = (!listener.is_unix()).then(|| listener.server_port.clone());
    (listener.server_name.clone(), port)
}
