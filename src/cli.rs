//! The command: wires configuration, interpreter, master and workers.

mod check;
mod complaint;
mod launch;
mod renewed;
mod start;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;

use crate::app::{self, Called, Host, Invocation, Seat};
use crate::config::{self, Config, Early, Loaded, reference};
use crate::error::{Error, Exit, reason};
use crate::log;
use crate::master::{self, Report, Surroundings};
use crate::python::conf::{self, PythonConf};
use crate::python::hooks::Hooks;
use crate::python::loader::{self, LoadError};
use crate::python::signals::master::{self as handlers, Wake};
use crate::python::{environment, interpreter, lines, logging, program, support, wsgi};
use crate::sys::detach::{self, Detached, Streams};
use crate::sys::signal::Signal;
use crate::sys::{fd, heap, process, untimely};
use crate::worker;
pub(crate) use launch::{Home, Launch};
use start::Start;

/// As gunicorn says it.
const UNDER_A_MANAGER: &str = "Warning: you shouldn't specify `daemon = True` when launching by systemd \
                               with `Type = notify`\n";

/// Runs the program and returns its exit status. In the processes that it forks it does not return.
#[must_use]
pub fn main() -> i32 {
    let args: Vec<OsString> = std::env::args_os().collect();
    let options = args.get(1..).unwrap_or_default();
    enter(&Launch { options, again: &args, itself: &args, program: None, home: Home::Made(&args) })
}

/// Runs the program, or does what a master that is about to become it asks it for.
pub(crate) fn enter(launch: &Launch<'_>) -> i32 {
    let take = |name: &str| launch.take(name);
    if let Some(report) = Report::asked_for(&take) {
        return check::run(launch, report);
    }
    run(launch, &take).unwrap_or_else(|error| {
        // If stderr is gone the exit status has to do.
        let _ = write!(std::io::stderr(), "{}", complaint::text(&error, &variable));
        error.status()
    })
}

fn run(launch: &Launch<'_>, take: &dyn Fn(&str) -> Option<OsString>) -> Result<i32, Error> {
    let surroundings = Surroundings::read(&variable, take, process::getpid())?;
    let start = config::start_directory(&variable)?;
    let invoked = launch.start(&start);
    let venv = match launch.early(&start) {
        Ok(Early { exit: Some(text), .. }) => return Ok(print(&text)),
        Ok(early) => early.venv,
        // Told of when the configuration is read in full.
        Err(_) if surroundings.is_renewed() => None,
        Err(error) => return Err(error),
    };
    // Until the master takes signals, which may be long with a preloaded application. Python sees to INT.
    if process::getpid().get() == 1 && !surroundings.is_renewed() {
        let _ = untimely::end_by(&[Signal::TERM, Signal::QUIT, Signal::HUP]);
    }
    // Otherwise the processes keep the name they were started by.
    let _ = launch.make_room_for_titles();
    // Otherwise it stays as it is, and running out of descriptors is told when it happens.
    let _ = fd::raise_limit();
    let venv = venv.map(|venv| start.join(venv));
    launch.open(venv.as_deref())?;
    Ok(serve(launch, Program::new(launch.options, start, invoked), surroundings))
}

/// A function of its own: nothing of it, such as the addresses of what it calls, may be looked at before
/// libpython is there.
#[inline(never)]
fn serve(launch: &Launch<'_>, mut program: Program, surroundings: Surroundings) -> i32 {
    launch.tell_who_starts();
    Python::attach(|py| {
        let status = if surroundings.is_renewed() {
            Ok(renewed::run(py, &mut program, surroundings))
        } else {
            with_python(py, &mut program, surroundings)
        };
        let status = status.unwrap_or_else(|error| {
            detach::say(&complaint::text(&error, &variable));
            error.status()
        });
        detach::settle(status);
        handlers::retire(py, &master::SIGNALS);
        launch.end(py, status)
    })
}

fn with_python(
    py: Python<'_>,
    program: &mut Program,
    surroundings: Surroundings,
) -> Result<i32, Error> {
    conf::enter(&program.start)?;
    let config = match program.load()? {
        Loaded::Run(config) => *config,
        Loaded::Exit(text) => return Ok(print(&text)),
    };
    if config.print_config {
        print(&reference::print(&config, std::io::stdout().is_terminal()));
    }
    if config.print_config || config.check_config {
        return Ok(check_config(py, &config));
    }
    // A new master that takes over from a daemon is one already, and so is one in the place of another version.
    if config.daemon && variable("GUNICORN_PID").is_none() && !surroundings.is_rescued() {
        if surroundings.is_managed() {
            detach::say(UNDER_A_MANAGER);
        }
        go_to_background(py, &config)?;
    }
    log::install(&config, Some(&logging::PYTHON))?;
    program.equip(py, &config, &surroundings.variables(), Hooks::begin)?;
    if config.preload_app && config.reload {
        tracing::warn!(
            "preload_app has no effect while reload is on: what the master has loaded could not be \
             loaded anew."
        );
    }
    match program.preload(py, &config) {
        Ok(()) => {}
        Err(LoadError::Exit(status)) => return Ok(status),
        Err(error) => {
            // A preloaded application that cannot be imported ends the start.
            detach::say(&format!("{}\n", explain(py, error)));
            return Ok(Exit::Config as i32);
        }
    }
    share_memory(py, &config);
    Ok(master::run(config, surroundings, program))
}

/// What an import that has failed has to say.
fn explain(py: Python<'_>, error: LoadError) -> String {
    match error {
        LoadError::Exit(status) => {
            format!("The application ended the program with status {status} while it was loaded.")
        }
        LoadError::NotFound(message) => message,
        LoadError::Failed { error, .. } => support::traceback(py, &error),
    }
}

/// Goes on in a daemon; the command that was started ends in here.
fn go_to_background(py: Python<'_>, config: &Config) -> Result<(), Error> {
    let streams =
        if config.enable_stdio_inheritance { Streams::Inherited } else { Streams::Dropped };
    // What was printed until now is the command's.
    interpreter::flush(py);
    interpreter::before_fork(py);
    match detach::detach(streams) {
        Ok(Detached::Daemon) => {
            interpreter::after_fork_child(py);
            Ok(())
        }
        Ok(Detached::Command(status)) => process::exit_now(status),
        Err(error) => {
            interpreter::after_fork_parent(py);
            let reason = reason(&error);
            Err(Error::config(format!("the server cannot go to the background: {reason}")))
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn print(text: &str) -> i32 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Ok as i32,
        Err(_) => Exit::Config as i32,
    }
}

/// Makes in the master what each worker would else make for itself, if there are several. One that becomes
/// somebody else may not be able to read what the server needs from Python.
fn share_memory(py: Python<'_>, config: &Config) {
    if config.workers > 1 || config.identity().is_another() {
        if !config.preload_app {
            loader::import_common(py);
        }
        if let Err(error) = wsgi::share(py) {
            tracing::debug!("What requests need is not shared: {error}");
        }
    }
    heap::trim();
}

/// Makes sure that large request bodies can be stored where the user wants them.
fn check_spill_directory(config: &Config) -> Result<(), Error> {
    let Some(directory) = config.spill_directory() else {
        return Ok(());
    };
    match tempfile::tempfile_in(directory) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::config(format!(
            "no temporary file can be made in '{directory}': {}. Large request bodies would be \
             stored there (tmp_upload_dir, else worker_tmp_dir).",
            reason(&error)
        ))),
    }
}

/// Imports the application and tells whether that works.
fn check_config(py: Python<'_>, config: &Config) -> i32 {
    let failed = |text: &str| {
        let _ = write!(std::io::stderr(), "\nError while loading the application:\n\n{text}\n");
        Exit::Config as i32
    };
    match loader::load(py, config.application().unwrap_or_default()) {
        Ok(_) => Exit::Ok as i32,
        Err(LoadError::Exit(status)) => status,
        Err(LoadError::NotFound(message)) => failed(&message),
        Err(LoadError::Failed { error, .. }) => failed(&support::traceback(py, &error)),
    }
}

/// Puts the directories of `pythonpath` at the front of `sys.path`; the last one ends up first.
fn add_paths(py: Python<'_>, paths: Option<&str>) -> Result<(), Error> {
    let Some(paths) = paths else { return Ok(()) };
    let insert = || -> PyResult<()> {
        let path = py.import("sys")?.getattr("path")?;
        for entry in paths.split(',') {
            let entry = py.import("os.path")?.call_method1("abspath", (entry.trim(),))?;
            if !path.contains(&entry)? {
                path.call_method1("insert", (0, entry))?;
            }
        }
        Ok(())
    };
    insert().map_err(|error| Error::config(format!("pythonpath cannot be used: {error}")))
}

/// The running program, as the master sees it.
struct Program {
    /// The command line without the program's name.
    options: Vec<OsString>,
    start: PathBuf,
    invoked: Start,
    files: PythonConf,
    /// The preloaded application.
    app: Option<Py<PyAny>>,
    environment: environment::Exports,
    hooks: Hooks,
    /// The directory that a configuration has added to Python's search path.
    entered: Option<PathBuf>,
    /// How Python wakes the master.
    wake: Option<Wake>,
}

impl Program {
    fn new(options: &[OsString], start: PathBuf, invoked: Start) -> Self {
        Self {
            options: options.to_vec(),
            files: PythonConf::new(start.clone()),
            start,
            invoked,
            app: None,
            environment: environment::Exports::default(),
            hooks: Hooks::default(),
            entered: None,
            wake: None,
        }
    }

    /// Makes the process what a configuration wants it to be, but for its logs. The application must not see
    /// `variables`.
    fn equip(
        &mut self,
        py: Python<'_>,
        config: &Config,
        variables: &[&str],
        begin: impl FnOnce(&mut Hooks, &Config) -> Result<(), Error>,
    ) -> Result<(), Error> {
        add_paths(py, config.pythonpath.as_deref())?;
        logging::watch(py)
            .map_err(|error| Error::config(format!("sys.meta_path cannot be used: {error}")))?;
        environment::export(py, "SERVER_SOFTWARE", wsgi::identity::SERVER_SOFTWARE)?;
        begin(&mut self.hooks, config)?;
        environment::remove(py, variables)?;
        self.environment.apply(py, &config.env()?)?;
        if config.spew {
            lines::start(py)
                .map_err(|error| Error::config(format!("spew does not work: {error}")))?;
        }
        Ok(())
    }

    /// Loads the application for the workers, if the master is to do that.
    fn preload(&mut self, py: Python<'_>, config: &Config) -> Result<(), LoadError> {
        if config.preload_app && !config.reload {
            let app = loader::load(py, config.application().unwrap_or_default())?;
            let kept = self.hooks.preloaded(py, &app);
            kept.map_err(|error| LoadError::from_exception(py, &error))?;
            self.app = Some(app);
        }
        Ok(())
    }

    /// Reads the configuration and goes to the directory it names.
    fn load(&mut self) -> Result<Loaded, Error> {
        let start: &Path = &self.start;
        let settings = Python::attach(|py| program::get(py).map(program::settings).transpose())?;
        let loaded = match settings {
            None => Config::load(&self.options, &variable, start, &mut self.files)?,
            Some(settings) => {
                let config = Config::of_program(settings, &variable, start, &mut self.files)?;
                Loaded::Run(Box::new(config))
            }
        };
        if let Loaded::Run(config) = &loaded {
            if conf::enter(&config.chdir)? {
                self.entered = Some(config.chdir.clone());
            }
            if !config.print_config {
                check_spill_directory(config)?;
            }
        }
        Ok(loaded)
    }
}

impl Host for Program {
    fn before_fork(&mut self) {
        Python::attach(interpreter::before_fork);
    }

    fn after_fork_parent(&mut self) {
        Python::attach(interpreter::after_fork_parent);
    }

    fn after_fork_child(&mut self) {
        Python::attach(|py| {
            interpreter::after_fork_child(py);
            if let Err(error) = handlers::leave(py) {
                tracing::debug!("Signals still wake the master: {error}");
            }
        });
        self.wake = None;
    }

    fn show_signals(&mut self, signals: &[Signal]) -> Result<(), Error> {
        let wake = Python::attach(|py| handlers::install(py, signals));
        let wake = wake.map_err(|error| Error::config(format!("signals do not work: {error}")))?;
        self.wake = Some(wake);
        Ok(())
    }

    fn unlocked(&mut self, wait: &mut (dyn FnMut(Option<BorrowedFd<'_>>) + Send)) -> Called {
        Python::attach(|py| {
            let fd = self.wake.as_ref().map(Wake::fd);
            py.detach(|| wait(fd));
            self.wake.as_ref().map_or(Ok(()), |wake| wake.deliver(py))
        })
    }

    fn read_config(&mut self) -> Result<Config, Error> {
        Python::attach(|py| {
            self.environment.undo(py)?;
            if let Some(program) = program::get(py) {
                program::reload(program)?;
            }
            match self.load()? {
                Loaded::Run(config) => {
                    self.environment.apply(py, &config.env()?)?;
                    Ok(*config)
                }
                Loaded::Exit(_) => Err(Error::config("the configuration cannot be read again")),
            }
        })
    }

    fn restore(&mut self, config: &Config) {
        let restored = Python::attach(|py| {
            self.environment.undo(py)?;
            if let Some(entered) = self.entered.take_if(|entered| *entered != config.chdir) {
                conf::leave(&entered)?;
            }
            conf::enter(&config.chdir)?;
            self.environment.apply(py, &config.env()?)
        });
        if let Err(error) = restored {
            tracing::error!("Workers started from now on may fail: {error}");
        }
    }

    fn hooks(&mut self) -> &mut dyn app::Hooks {
        &mut self.hooks
    }

    fn invocation(&self) -> Result<Invocation, Error> {
        self.invoked.invocation()
    }

    fn invocation_of_itself(&self) -> Invocation {
        self.invoked.invocation_of_itself()
    }

    fn forget(&mut self, variables: &[&str]) {
        if let Err(error) = Python::attach(|py| environment::remove(py, variables)) {
            tracing::warn!("Workers will find variables that are not for them: {error}");
        }
    }

    fn work(&mut self, seat: Seat<'_>) -> i32 {
        let hooks = Python::attach(|py| self.hooks.in_worker(py, seat.age, seat.config));
        worker::run(&seat, self.app.as_ref(), hooks)
    }
}
