//! The master becomes a new program in the same process: to load a new application, which its interpreter
//! cannot, having loaded the old one. Process id, workers, sockets and whatever workers share with the
//! master stay; what must be known about them passes in an environment variable.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::check::fingerprint;
use super::commons::Commons;
use super::lanes::Lanes;
use super::pidfile::PidFile;
use super::record::{Malformed, Read, Reader, Writer};
use super::rescue::{self, Rescue};
use super::run::Master;
use super::seats::Seats;
use super::service::Service;
use super::sockets::Sockets;
use super::state::{Event, State};
use super::upgrade::{self, without};
use super::watch::Meanwhile;
use crate::app::{Invocation, Resumed};
use crate::error::{Error, reason};
use crate::log;
use crate::sys::process::{self, Pid};
use crate::sys::signal::{self, Pipe};
use crate::sys::{exec, fd};

/// What the program before this one in the process passes on.
const VARIABLE: &str = "RGUNICORN_RENEWAL";

/// What a master has for its workers, be it new or passed on.
pub struct Holdings {
    pub commons: Commons,
    pub sockets: Sockets,
    pub lanes: Lanes,
    pub seats: Seats,
    pub pidfile: Option<PidFile>,
    pub state: State,
    /// What has happened since it was passed on.
    pub meanwhile: Meanwhile,
    /// What hooks know of the past, if it was passed on.
    pub statistics: Option<String>,
}

/// What the program before this one in the process has left.
pub enum PassedOn {
    Holdings(Box<Holdings>),
    /// It was another version.
    Rescue(Rescue),
}

impl Holdings {
    /// What the environment holds, if this program is to go on with the work of another one. `take` takes a
    /// variable out of it. Signals arrive from now on, or are held back until they are let through.
    ///
    /// # Errors
    /// It holds something else, and nothing to do without it.
    pub fn read(
        take: &dyn Fn(&str) -> Option<OsString>,
        has_predecessor: bool,
        service: &mut Service,
    ) -> Result<Option<PassedOn>, Error> {
        let rescue = Rescue::read(take);
        let Some(text) = take(VARIABLE) else { return Ok(None) };
        let text = text.to_string_lossy();
        let mut record = Reader::new(&text);
        match (Self::restore(&mut record, has_predecessor, service), rescue) {
            (Ok(holdings), rescue) => {
                rescue.into_iter().for_each(Rescue::close);
                Ok(Some(PassedOn::Holdings(Box::new(holdings))))
            }
            (Err(_), Some(rescue)) => Ok(Some(PassedOn::Rescue(rescue))),
            (Err(malformed), None) => Err(Error::config(format!(
                "{VARIABLE} cannot be used: {malformed}. It is for a master that renews itself; remove it."
            ))),
        }
    }

    fn restore(
        record: &mut Reader<'_>,
        has_predecessor: bool,
        service: &mut Service,
    ) -> Read<Self> {
        let (writer, pid) = (record.text()?, record.number()?);
        if writer != fingerprint() || Pid::new(pid) != Some(process::getpid()) {
            return Err(Malformed);
        }
        Pipe::adopt([record.descriptor()?, record.descriptor()?]);
        let commons = Commons::restore(record)?;
        let seats = record.list(|record| Ok((record.number()?, record.number()?)))?;
        let holdings = Self {
            seats: Seats::with(commons.scoreboard.len(), &seats),
            commons,
            sockets: Sockets::restore(record)?,
            lanes: Lanes::restore(record)?,
            pidfile: record.option(Reader::text)?.map(PathBuf::from).map(PidFile::kept),
            statistics: record.option(Reader::text)?,
            state: State::restore(record, has_predecessor)?,
            meanwhile: Meanwhile::default(),
        };
        service.restore(record)?;
        Ok(holdings)
    }
}

impl Master<'_> {
    /// Becomes the program that a check has found to work; comes back only if that is not possible, with
    /// everything as it was.
    pub(super) fn renew(&mut self) -> Event {
        let invocation = self.host.invocation_of_itself();
        match self.try_renew(invocation) {
            Ok(never) => match never {},
            Err(error) => {
                self.service.reload_failed();
                let reason = reason(&error);
                Event::ConfigRefused(format!("The application cannot be loaded anew: {reason}"))
            }
        }
    }

    fn try_renew(&mut self, invocation: Invocation) -> io::Result<Infallible> {
        let Invocation { program, args, environment, directory, descriptors } = invocation;
        let mut record = Writer::default();
        self.save(&mut record)?;
        let mut environment = without(environment, &upgrade::VARIABLES);
        if let Some(predecessor) = &self.predecessor {
            environment.push((upgrade::PID.into(), predecessor.pid().to_string().into()));
        }
        environment.push((VARIABLE.into(), record.text().into()));
        let sockets = self.sockets.listeners().iter().chain(self.lanes.more()).map(AsFd::as_fd);
        let (life, activated) = (self.commons.life()?, self.sockets.are_activated());
        let rescue = Rescue::save(life, sockets, activated, record.numbers())?;
        environment.push((rescue::VARIABLE.into(), rescue.text().into()));
        let kept: Vec<_> = record.numbers().chain(rescue.numbers()).chain(descriptors).collect();
        // What comes from now on waits in the process, and what has come in the pipe.
        let blocked = signal::block_all();
        self.host.before_fork();
        log::flush();
        log::hand_back();
        let outcome = fd::close_others_at_exec(&kept)
            .and_then(|()| exec::enter(&directory))
            .and_then(|()| exec::replace(&program, &args, &environment));
        drop(blocked);
        self.host.after_fork_parent();
        self.host.restore(&self.config);
        super::reload::enforce_logs(&self.config);
        outcome
    }

    fn save(&mut self, record: &mut Writer) -> io::Result<()> {
        record.put(fingerprint());
        record.put(process::getpid());
        self.signals.ends().into_iter().try_for_each(|end| record.descriptor(end))?;
        self.commons.save(record)?;
        record.list(self.seats.taken(), |record, (slot, age)| {
            record.put(slot);
            record.put(age);
        });
        self.sockets.save(record)?;
        self.lanes.save(record)?;
        let path = self.pidfile.as_ref().and_then(|file| file.path().to_str());
        record.option(path, Writer::put);
        record.option(self.host.hooks().statistics(), Writer::put);
        self.state.save(record);
        self.service.save(record);
        Ok(())
    }

    /// Tells hooks, of which the program before this one had told its own, how things stand.
    /// Of workers that have `ended` since then they will be told.
    pub(super) fn resume_hooks(&mut self, statistics: Option<String>, ended: &[(u64, Pid)]) {
        let living = self.state.workers().iter();
        let living = living.filter_map(|worker| Some((worker.age, worker.pid?)));
        let mut workers: Vec<(u64, Pid)> = living.chain(ended.iter().copied()).collect();
        workers.sort_unstable();
        let workers = workers.into_iter().filter_map(|(age, pid)| {
            let (slot, _) = self.seats.taken().find(|(_, taken)| *taken == age)?;
            Some((age, pid, slot))
        });
        let resumed = Resumed {
            size: self.state.size(),
            passed: self.sockets.were_passed(),
            statistics,
            workers: workers.collect(),
            scoreboard: std::sync::Arc::clone(&self.commons.scoreboard),
        };
        self.host.hooks().resumed(resumed);
    }
}
