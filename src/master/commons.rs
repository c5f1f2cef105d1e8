//! What master and workers have in common.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::record::{Read, Reader, Writer};
use crate::net::handoff::Queue;
use crate::scoreboard::{Bell, Scoreboard, StopFlag};
use crate::sys::private::Private;

pub struct Commons {
    /// Hooks keep it, too.
    pub scoreboard: Arc<Scoreboard>,
    pub bell: Bell,
    pub stop_flag: StopFlag,
    /// Held open here, it survives any worker.
    pub queue: Queue,
    /// A pipe that workers read.
    lifeline: OwnedFd,
    /// Its other end: it closes when the master dies. The master's alone.
    life: Option<Private>,
    /// The same for workers of another version of the program, which go when there are others.
    elders: Option<Private>,
}

impl Commons {
    /// With so many places for workers.
    ///
    /// # Errors
    /// The system is out of something.
    pub fn new(slots: usize) -> io::Result<Self> {
        let (lifeline, life) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        Ok(Self {
            scoreboard: Arc::new(Scoreboard::new(slots)?),
            bell: Bell::new()?,
            stop_flag: StopFlag::new()?,
            queue: Queue::new()?,
            lifeline,
            life: Some(life.into()),
            elders: None,
        })
    }

    pub fn lifeline(&self) -> BorrowedFd<'_> {
        self.lifeline.as_fd()
    }

    /// What keeps workers from going.
    ///
    /// # Errors
    /// This is no master.
    pub fn life(&self) -> io::Result<BorrowedFd<'_>> {
        let life = self.life.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(life.as_fd())
    }

    /// Keeps the workers that watch the other end.
    pub fn keep_elders(&mut self, life: Option<OwnedFd>) {
        self.elders = life.map(Private::from);
    }

    /// Lets them go: others serve.
    pub fn release_elders(&mut self) {
        self.elders = None;
    }

    /// In a process just forked: closes what is not for it. It must not be forgotten, else the workers would
    /// not see the master die.
    pub fn leave_master(&mut self) {
        (self.life, self.elders) = (None, None);
        self.scoreboard.close();
        self.bell.close();
        self.stop_flag.close();
    }

    /// # Errors
    /// The scoreboard cannot be passed on, or the system is out of descriptors.
    pub fn save(&self, record: &mut Writer) -> io::Result<()> {
        record.put(self.scoreboard.len());
        record.give(self.scoreboard.file()?)?;
        for part in self.bell.parts()? {
            record.give(part)?;
        }
        record.give(self.stop_flag.file()?)?;
        for end in self.queue.ends() {
            record.descriptor(end)?;
        }
        record.descriptor(self.lifeline.as_fd())?;
        self.life.iter().try_for_each(|life| record.descriptor(life.as_fd()))
    }

    pub fn restore(record: &mut Reader<'_>) -> Read<Self> {
        let slots = record.number()?;
        Ok(Self {
            scoreboard: Arc::new(Scoreboard::adopt(record.descriptor()?, slots)?),
            bell: Bell::adopt([record.descriptor()?, record.descriptor()?])?,
            stop_flag: StopFlag::adopt(record.descriptor()?)?,
            queue: Queue::adopt([record.descriptor()?, record.descriptor()?])?,
            lifeline: record.descriptor()?,
            life: Some(record.descriptor()?.into()),
            elders: None,
        })
    }
}
