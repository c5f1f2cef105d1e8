//! The state on its way to the program that takes the master's place in its process.

use super::checking::Check;
use super::{Fallback, Policy, Recycling, Relatives, State};
use crate::master::record::{Malformed, Read, Reader, Writer};
use crate::master::suspects::Suspects;
use crate::master::workers::{Doing, Killed, Phase, Stuck, Worker};
use crate::sys::process::Pid;

impl State {
    /// To be called when [`Self::may_renew`].
    pub fn save(&self, record: &mut Writer) {
        save_policy(record, &self.policy);
        record.put(self.size);
        // All that were decided on have been forked, or have not.
        let known = self.workers.iter().filter_map(|worker| Some((worker, worker.pid?)));
        record.list(known, |record, (worker, pid)| save_worker(record, worker, pid));
        record.put(self.last_age);
        record.put(self.generation);
        record.put(self.last_generation);
        record.option(self.fallback.as_ref(), |record, fallback| {
            record.put(fallback.generation);
            save_policy(record, &fallback.policy);
            record.put(fallback.size);
        });
        record.put(self.failed_boots);
        record.put(self.ever_ready);
        record.option(self.relatives.successor(), Writer::put);
        record.put(self.last);
        self.suspects.save(record);
        record.list(&self.dropped_checks, Writer::put);
    }

    /// As it was when the check had passed: [`Event::ConfigRead`] or [`Event::ConfigRefused`] is due, then
    /// [`Event::Started`]. `has_predecessor` as for [`Self::new`].
    ///
    /// [`Event::ConfigRead`]: super::Event::ConfigRead
    /// [`Event::ConfigRefused`]: super::Event::ConfigRefused
    /// [`Event::Started`]: super::Event::Started
    pub fn restore(record: &mut Reader<'_>, has_predecessor: bool) -> Read<Self> {
        let mut state = Self::new(restore_policy(record)?, has_predecessor);
        state.check = Some(Check::Passed);
        state.size = record.number()?;
        for worker in record.list(restore_worker)? {
            state.workers.push(worker);
        }
        state.last_age = record.number()?;
        state.generation = record.number()?;
        state.last_generation = record.number()?;
        state.fallback = record.option(|record| {
            Ok(Fallback {
                generation: record.number()?,
                policy: restore_policy(record)?,
                size: record.number()?,
            })
        })?;
        state.failed_boots = record.number()?;
        state.ever_ready = record.flag()?;
        state.relatives = Relatives::new(has_predecessor);
        if let Some(pid) = record.option(restore_pid)? {
            state.relatives.successor_started(pid);
        }
        state.last = record.flag()?;
        state.suspects = Suspects::restore(record)?;
        state.dropped_checks = record.list(restore_pid)?;
        Ok(state)
    }
}

fn save_policy(record: &mut Writer, policy: &Policy) {
    let Policy { workers, timeout, graceful_timeout, boot_timeout, recycling, .. } = policy;
    record.put(workers);
    record.option(*timeout, Writer::time);
    record.time(*graceful_timeout);
    record.option(*boot_timeout, Writer::time);
    record.option(recycling.memory, Writer::put);
    record.option(recycling.lifetime, Writer::time);
    record.time(recycling.jitter);
    record.put(recycling.most);
    record.put(policy.daemon);
    record.time(policy.shutdown_delay);
}

fn restore_policy(record: &mut Reader<'_>) -> Read<Policy> {
    Ok(Policy {
        workers: record.number()?,
        timeout: record.option(Reader::time)?,
        graceful_timeout: record.time()?,
        boot_timeout: record.option(Reader::time)?,
        recycling: Recycling {
            memory: record.option(Reader::number)?,
            lifetime: record.option(Reader::time)?,
            jitter: record.time()?,
            most: record.number()?,
        },
        daemon: record.flag()?,
        shutdown_delay: record.time()?,
    })
}

fn restore_pid(record: &mut Reader<'_>) -> Read<Pid> {
    Pid::new(record.number()?).ok_or(Malformed)
}

fn save_worker(record: &mut Writer, worker: &Worker, pid: Pid) {
    record.put(worker.age);
    record.put(worker.generation);
    record.put(pid);
    record.time(worker.started);
    record.put(match worker.phase {
        Phase::Booting => 0,
        Phase::Ready => 1,
        Phase::Retiring => 2,
    });
    record.put(worker.dismissed);
    record.option(worker.kill_at, Writer::time);
    record.option(worker.stuck, |record, stuck| match stuck {
        Stuck::Aborted { due } => {
            record.put(0);
            record.time(due);
        }
        Stuck::Dumped { due } => {
            record.put(1);
            record.time(due);
        }
        Stuck::Killed => record.put(2),
    });
    record.option(worker.overdue.as_ref(), |record, doing| match doing {
        Doing::Starting => record.put(0),
        Doing::Request(line) => {
            record.put(1);
            record.put(line);
        }
        Doing::Waiting => record.put(2),
        Doing::ThreadWaiting { oldest } => {
            record.put(3);
            record.option(oldest.as_ref(), Writer::put);
        }
    });
    record.option(worker.killed, |record, killed| {
        record.option(
            match killed {
                Killed::Timeout => None,
                Killed::Grace(seconds) => Some(seconds),
            },
            Writer::put,
        );
    });
    record.put(worker.oversized);
    record.put(worker.outgoing);
}

fn restore_worker(record: &mut Reader<'_>) -> Read<Worker> {
    let (age, generation, pid) = (record.number()?, record.number()?, restore_pid(record)?);
    let started = record.time()?;
    Ok(Worker {
        pid: Some(pid),
        phase: match record.number()? {
            0 => Phase::Booting,
            1 => Phase::Ready,
            2 => Phase::Retiring,
            _ => return Err(Malformed),
        },
        dismissed: record.flag()?,
        kill_at: record.option(Reader::time)?,
        stuck: record.option(|record| {
            Ok(match record.number()? {
                0 => Stuck::Aborted { due: record.time()? },
                1 => Stuck::Dumped { due: record.time()? },
                2 => Stuck::Killed,
                _ => return Err(Malformed),
            })
        })?,
        overdue: record.option(|record| {
            Ok(match record.number()? {
                0 => Doing::Starting,
                1 => Doing::Request(record.text()?),
                2 => Doing::Waiting,
                3 => Doing::ThreadWaiting { oldest: record.option(Reader::text)? },
                _ => return Err(Malformed),
            })
        })?,
        killed: record.option(|record| {
            let grace = record.option(Reader::number)?;
            Ok(grace.map_or(Killed::Timeout, Killed::Grace))
        })?,
        oversized: record.number()?,
        outgoing: record.flag()?,
        ..Worker::new(age, generation, started)
    })
}
