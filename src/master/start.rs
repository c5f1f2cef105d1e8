//! What the process that started the server has prepared for it.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};

use super::renewal::{Holdings, PassedOn};
use super::rescue::Rescue;
use super::service::Service;
use super::upgrade::{self, Predecessor};
use super::watch::Watch;
use crate::error::Error;
use crate::net::inherit::{self, Passed};
use crate::sys::process::Pid;

/// Sockets that were passed in, a master to follow, and a service manager that wants to be told how the service is.
#[derive(Default)]
pub struct Surroundings {
    pub(super) passed: Vec<Passed>,
    pub(super) predecessor: Option<Predecessor>,
    /// Its sockets.
    pub(super) passed_on: Vec<RawFd>,
    pub(super) service: Service,
    /// The variables that say so.
    read: Vec<&'static str>,
    /// The work that this program is to go on with.
    pub(super) holdings: Option<Box<Holdings>>,
    /// What keeps the workers of a program whose work this one cannot go on with.
    pub(super) elders: Option<OwnedFd>,
}

impl Surroundings {
    /// Reads the environment of this process, whose id is `pid`: to be called before it forks, since
    /// the variables say whom they are meant for. `take` takes out a variable.
    ///
    /// # Errors
    /// A variable has a value that it cannot have.
    pub fn read(
        variable: &dyn Fn(&str) -> Option<String>,
        take: &dyn Fn(&str) -> Option<OsString>,
        pid: Pid,
    ) -> Result<Self, Error> {
        let passed = inherit::read(variable, pid)?;
        let mut read = Vec::new();
        if passed.is_some() {
            read.extend(inherit::VARIABLES);
        }
        let predecessor = Predecessor::read(variable)?;
        let passed_on =
            if predecessor.is_some() { upgrade::passed_on(variable)? } else { Vec::new() };
        if !passed_on.is_empty() {
            read.push(upgrade::FDS);
        }
        let mut service = Service::read(variable, pid, predecessor.is_none());
        read.extend(service.variables());
        let before = Holdings::read(take, predecessor.is_some(), &mut service)?;
        if before.is_some() {
            // Some may be left of how the program before this one was started.
            read.extend(inherit::VARIABLES);
        }
        let passed = passed.unwrap_or_default();
        let mut surroundings =
            Self { passed, predecessor, passed_on, service, read, ..Self::default() };
        match before {
            Some(PassedOn::Holdings(holdings)) => surroundings.holdings = Some(holdings),
            Some(PassedOn::Rescue(rescue)) => surroundings.rescue(rescue),
            None => {}
        }
        Ok(surroundings)
    }

    /// The sockets are there, and nothing else.
    fn rescue(&mut self, mut rescue: Rescue) {
        let sockets = rescue.take_sockets();
        if rescue.activated {
            self.passed = sockets.into_iter().map(|fd| Passed { fd, name: None }).collect();
            self.passed_on.clear();
        } else {
            self.passed_on = sockets;
        }
        self.elders = Some(rescue.life);
    }

    /// The variables that were read and that no process after this one must read again.
    pub fn variables(&self) -> Vec<&'static str> {
        self.read.clone()
    }

    /// Whether this program goes on with the work of another one in the same process.
    pub fn is_renewed(&self) -> bool {
        self.holdings.is_some()
    }

    /// Whether there is another master, which has started this one.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Whether it starts anew in a process that had another program.
    pub fn is_rescued(&self) -> bool {
        self.elders.is_some()
    }

    /// Does something that may take a while, during which workers that are there are watched, and the service
    /// manager does not think that the server hangs.
    pub fn meanwhile<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let holdings = self.holdings.as_deref_mut();
        match holdings.and_then(|holdings| Watch::new(holdings, &mut self.service)) {
            Some(watch) => watch.during(work),
            None => work(),
        }
    }

    /// Whether a service manager wants to be told how the service is.
    pub fn is_managed(&self) -> bool {
        self.service.is_managed()
    }
}
