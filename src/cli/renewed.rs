//! A master that goes on with the work of the program before it in the same process: it loads configuration and
//! application, of which a check has found that they can be loaded.

use pyo3::prelude::*;

use super::{Program, explain, share_memory};
use crate::config::{Config, Loaded};
use crate::error::Error;
use crate::log;
use crate::master::{self, Surroundings, Unable};
use crate::python::{conf, logging, signals};

/// Goes on, and returns the exit status.
pub fn run(py: Python<'_>, program: &mut Program, mut surroundings: Surroundings) -> i32 {
    let variables = surroundings.variables();
    let has_predecessor = surroundings.has_predecessor();
    let (config, unable) = surroundings.meanwhile(|| {
        signals::in_master(py, &master::SIGNALS, || match configure(py, program, &variables) {
            Ok(config) => {
                // Not only when the application is there, which may take long.
                master::show_title(&config, has_predecessor);
                let loaded = program.preload(py, &config);
                let unable = loaded.err().map(|error| Unable::Application(explain(py, error)));
                (config, unable)
            }
            Err(error) => {
                let config = Config { chdir: program.start.clone(), ..Config::default() };
                // If that was what is wrong with the other one, standard error still is there.
                let _ = log::install(&config, None);
                (config, Some(Unable::Configuration(error.to_string())))
            }
        })
    });
    share_memory(py, &config);
    master::resume(config, unable, surroundings, program)
}

fn configure(py: Python<'_>, program: &mut Program, variables: &[&str]) -> Result<Config, Error> {
    conf::enter(&program.start)?;
    let Loaded::Run(config) = program.load()? else {
        return Err(Error::config("The command line asks for something else than to run."));
    };
    log::install(&config, Some(&logging::PYTHON))?;
    // The hooks are told when it is known how things stand.
    program.equip(py, &config, variables, |_, _| Ok(()))?;
    Ok(*config)
}
