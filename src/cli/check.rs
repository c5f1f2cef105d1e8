//! Checking that the program would work if it were started now, for a master that is about to
//! become it.

use std::ffi::OsString;
use std::os::fd::AsRawFd;

use pyo3::prelude::*;

use super::start::Start;
use super::{Program, explain, variable};
use crate::config::{self, Loaded};
use crate::error::{Error, Exit};
use crate::log;
use crate::master::{Report, check_identity};
use crate::python::conf;
use crate::python::{interpreter, logging};
use crate::sys::{fd, process};

/// Does what a start does, up to the application, and returns the exit status.
pub fn run(args: &[OsString], mut report: Report) -> i32 {
    let checked = report
        .compare()
        .and_then(|()| check(args, &report).unwrap_or_else(|error| Err(error.to_string())));
    match checked {
        Ok(()) => process::exit_now(Exit::Ok as i32),
        Err(why) => {
            report.tell(&why);
            process::exit_now(Exit::Config as i32)
        }
    }
}

fn check(args: &[OsString], report: &Report) -> Result<Result<(), String>, Error> {
    let options = args.get(1..).unwrap_or_default();
    let start = config::start_directory(&variable)?;
    let venv = config::early(options, &variable, &start)?.venv.map(|venv| start.join(venv));
    // Otherwise it stays as it is, as in the master.
    let _ = fd::raise_limit();
    interpreter::initialize(venv.as_deref(), args)?;
    Python::attach(|py| {
        let program = &mut Program::new(options, start.clone(), Start::new(args, &start));
        let checked = load(py, program, report);
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
