//! What the process that started the server has prepared for it.

use super::service::Service;
use crate::error::Error;
use crate::net::inherit::{self, Passed};
use crate::sys::process::Pid;

/// Sockets that were passed in, and a service manager that wants to be told how the service is.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub(super) passed: Vec<Passed>,
    pub(super) service: Service,
}

impl Surroundings {
    /// Reads the environment of this process, whose id is `pid`: to be called before it forks, since
    /// the variables say whom they are meant for.
    ///
    /// # Errors
    /// A variable has a value that it cannot have.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>, pid: Pid) -> Result<Self, Error> {
        let passed = inherit::read(variable, pid)?;
        Ok(Self { passed, service: Service::read(variable, pid) })
    }

    /// The variables that were read and that no process after this one must read again.
    pub fn variables(&self) -> Vec<&'static str> {
        let passed = if self.passed.is_empty() { &[][..] } else { &inherit::VARIABLES };
        [passed, self.service.variables()].concat()
    }

    /// Whether a service manager wants to be told how the service is.
    pub fn is_managed(&self) -> bool {
        self.service.is_managed()
    }
}
