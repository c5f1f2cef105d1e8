//! Checking that the program would work if it were started now, for a master that is about to
//! become it.

use std::os::fd::AsRawFd;

use pyo3::prelude::*;

use super::{Launch, Program, explain, variable};
use crate::config::{self, Loaded};
use crate::error::{Error, Exit};
use crate::log;
use crate::master::{Report, check_identity};
use crate::python::conf;
use crate::python::{interpreter, logging};
use crate::sys::{fd, process};

/// Does what a start does, up to the application, and returns the exit status.
pub fn run(launch: &Launch<'_>, mut report: Report) -> i32 {
    let checked = report
        .compare()
        .and_then(|()| check(launch, &report).unwrap_or_else(|error| Err(error.to_string())));
    match checked {
        Ok(()) => process::exit_now(Exit::Ok as i32),
        Err(why) => {
            report.tell(&why);
            process::exit_now(Exit::Config as i32)
        }
    }
}

fn check(launch: &Launch<'_>, report: &Report) -> Result<Result<(), String>, Error> {
    let start = config::start_directory(&variable)?;
    let venv = launch.early(&start)?.venv.map(|venv| start.join(venv));
    // Otherwise it stays as it is, as in the master.
    let _ = fd::raise_limit();
    launch.open(venv.as_deref())?;
    let invoked = launch.start(&start);
    check_with_python(launch, Program::new(launch.options, start, invoked), report)
}

/// A function of its own: see [`super::serve`].
#[inline(never)]
fn check_with_python(
    launch: &Launch<'_>,
    mut program: Program,
    report: &Report,
) -> Result<Result<(), String>, Error> {
    launch.tell_who_starts();
    Python::attach(|py| {
        let checked = load(py, &mut program, report);
        // Threads that the application has started may never end.
        interpreter::wind_up(py);
        checked
    })
}

fn load(
    py: Python<'_>,
    program: &mut Program,
    report: &Report,
) -> Result<Result<(), String>, Error> {
    conf::enter(&program.start)?;
    show_where_it_hangs(py, report);
    let Loaded::Run(config) = program.load()? else { return Ok(Ok(())) };
    check_identity(&config)?;
    log::install(&config, Some(&logging::PYTHON))?;
    // Hooks are called by the master, when the reload is under way.
    program.equip(py, &config, &[], |_, _| Ok(()))?;
    Ok(program.preload(py, &config).map_err(|error| explain(py, error)))
}

/// Has the stacks of all threads reported if the process crashes, or is ended because it takes too long.
fn show_where_it_hangs(py: Python<'_>, report: &Report) {
    let enabled = py
        .import("faulthandler")
        .and_then(|module| module.call_method1("enable", (report.fd().as_raw_fd(),)));
    if let Err(error) = enabled {
        tracing::debug!("A check that takes too long will show no stacks: {error}");
    }
}
