//! The state machine against a simulated world that does whatever can happen, in any order.

use std::collections::BTreeMap;

use proptest::prelude::*;

mod reloads;
mod steps;

use steps::{Step, steps};

use super::*;
use crate::master::workers::{Busy, Doing};

/// A process of the simulated world.
#[derive(Debug)]
struct Process {
    age: u64,
    generation: u64,
    phase: Phase,
    busy: Option<Busy>,
    memory: u64,
    spent: bool,
    /// TERM, QUIT, ABRT or KILL, in this order.
    got: Vec<Signal>,
}

#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct World {
    state: State,
    now: Duration,
    processes: BTreeMap<Pid, Process>,
    next_pid: i32,
    config: Option<usize>,
    checks: bool,
    /// The latest is the last.
    checking: Vec<Pid>,
    fork_fails: bool,
    successor: Option<Pid>,
    predecessor: bool,
    last: bool,
    last_policy: usize,
    stopped: bool,
    left: Option<i32>,
}

const TIMEOUT: Duration = Duration::from_secs(30);
/// What a worker may use.
const MEMORY: u64 = 100;

fn policy(workers: usize) -> Policy {
    // Some stop at once, some do not.
    let shutdown_delay = Duration::from_secs(if workers.is_multiple_of(2) { 5 } else { 0 });
    let recycling = Recycling { memory: Some(MEMORY), most: 2, ..Recycling::default() };
    Policy {
        workers,
        timeout: Some(TIMEOUT),
        graceful_timeout: Duration::from_secs(10),
        boot_timeout: Some(4 * TIMEOUT),
        recycling,
        daemon: true,
        shutdown_delay,
    }
}

impl World {
    fn new(workers: usize, predecessor: bool) -> Self {
        let mut world = Self {
            state: State::new(policy(workers), predecessor),
            now: Duration::from_secs(100),
            processes: BTreeMap::new(),
            next_pid: 10,
            config: Some(workers),
            checks: false,
            checking: Vec::new(),
            fork_fails: false,
            successor: None,
            predecessor,
            last: false,
            last_policy: workers,
            stopped: false,
            left: None,
        };
        world.send(Event::Started);
        world
    }

    /// Feeds an event and does what it asks for, checking every step.
    fn send(&mut self, event: Event) {
        self.send_all(vec![event]);
    }

    /// The last one first.
    fn send_all(&mut self, mut events: Vec<Event>) {
        while let Some(event) = events.pop() {
            assert_eq!(self.left, None, "something happens after the end");
            let fewer =
                matches!(event, Event::Signal(Signal::TTOU | Signal::WINCH) | Event::Resized(_));
            let unproven = self.state.fallback.is_some();
            let actions = self.state.on(event, self.now);
            // The generation returned to may be larger than what was asked for meanwhile.
            let may_retire = fewer || !unproven || actions.contains(&Action::Rollback);
            for action in actions {
                assert_eq!(self.left, None, "an action after the last");
                match action {
                    Action::Spawn { age, generation } => events.push(self.spawn(age, generation)),
                    Action::Kill { pid, signal } => self.kill(pid, signal, may_retire),
                    Action::ReadConfig if self.checks => events.push(self.start_check()),
                    Action::ReadConfig => events.push(self.read_config()),
                    Action::TellCheck { how, .. } => assert_ne!(how, Ended::Exited(0)),
                    Action::AnnounceStop => assert!(!self.stopped, "announced too late"),
                    Action::StartSuccessor => events.push(self.start_successor()),
                    Action::Promote => assert!(!self.predecessor, "promoted too early"),
                    Action::SetLast(last) => self.last = last,
                    Action::CloseListeners => self.stopped = true,
                    Action::Exit(status) => self.left = Some(status),
                    Action::Log(_, text) => assert!(!text.is_empty()),
                    Action::Release { age, .. } => {
                        assert!(self.processes.values().all(|process| process.age != age));
                    }
                    Action::Resized(size) => assert_eq!(size, self.state.size),
                    Action::EndGroup(_)
                    | Action::Reap
                    | Action::ReopenLogs
                    | Action::Commit
                    | Action::Rollback => {}
                }
            }
        }
        self.check();
    }

    fn spawn(&mut self, age: u64, generation: u64) -> Event {
        assert!(!self.stopped, "a fork after the stop began");
        let stays = self.state.count_current(Worker::stays);
        let outgoing = self.state.outgoing();
        assert!(outgoing <= 2, "too many are replaced at a time");
        assert!(stays <= self.state.size + outgoing, "more than the size of the pool");
        if std::mem::take(&mut self.fork_fails) {
            return Event::ForkFailed { age, why: Some("no more processes".to_owned()) };
        }
        let pid = Pid::new(self.next_pid).unwrap();
        self.next_pid += 1;
        let process = Process {
            age,
            generation,
            phase: Phase::Booting,
            busy: None,
            memory: 0,
            spent: false,
            got: Vec::new(),
        };
        self.processes.insert(pid, process);
        Event::Forked { age, pid }
    }

    fn start_successor(&mut self) -> Event {
        assert!(!self.stopped, "a new master for a server that stops");
        assert!(self.successor.is_none() && !self.predecessor, "three masters");
        if std::mem::take(&mut self.fork_fails) {
            return Event::SuccessorFailed("no more processes".to_owned());
        }
        let pid = Pid::new(self.next_pid).unwrap();
        self.next_pid += 1;
        self.successor = Some(pid);
        Event::SuccessorStarted(pid)
    }

    fn kill(&mut self, pid: Pid, signal: Signal, may_retire: bool) {
        if self.checking.contains(&pid) {
            assert!([Signal::ABRT, Signal::KILL].contains(&signal), "{signal} for a check");
            return;
        }
        let replaced = self.processes.values().any(|process| {
            process.generation == self.state.generation && process.phase != Phase::Booting
        });
        let process = self.processes.get_mut(&pid).expect("only living children get signals");
        if [Signal::USR1, Signal::dump()].contains(&signal) {
            return;
        }
        // Who loads the application may not have noticed.
        let again = signal == Signal::TERM && process.phase == Phase::Booting;
        let once = [Signal::TERM, Signal::ABRT].contains(&signal) && !again;
        assert!(!once || !process.got.contains(&signal), "{signal} twice");
        if signal == Signal::TERM && !self.stopped && process.phase != Phase::Booting {
            // Retired for a reload: only when one of the new generation was ready before.
            assert!(may_retire || replaced, "the old generation is retired too early");
        }
        if signal == Signal::KILL {
            assert!(!process.got.is_empty(), "killed without a warning");
        }
        if signal == Signal::ABRT {
            let busy = process.busy.as_ref().map(|busy| busy.since + TIMEOUT);
            let booting = (process.phase == Phase::Booting)
                .then(|| self.state.workers.iter().find(|worker| worker.pid == Some(pid)))
                .flatten()
                .map(|worker| worker.started + 4 * TIMEOUT);
            let due = booting.or(busy).expect("aborted without a reason");
            assert!(self.now >= due, "aborted too early");
        }
        process.got.push(signal);
    }

    fn check(&self) {
        if self.left.is_some() {
            let unkillable = |process: &Process| process.got.contains(&Signal::KILL);
            assert!(self.processes.values().all(unkillable), "left while workers run");
            return;
        }
        let known: Vec<_> = self.state.workers.iter().filter_map(|worker| worker.pid).collect();
        let living: Vec<_> = self.processes.keys().copied().collect();
        assert_eq!(known, living, "children and book-keeping differ");
        let olds = self.state.workers.count(|w| w.generation != self.state.generation && w.stays());
        if self.state.fallback.is_none()
            && self.state.count_current(|w| w.stays() && w.was_ready()) >= self.state.size
        {
            assert_eq!(olds, 0, "old workers stay beside a full new generation");
        }
        let relatives = self.successor.is_some() || self.predecessor;
        assert_eq!(self.state.relatives().any(), relatives, "masters and book-keeping differ");
        assert!(self.stopped || self.last == (self.state.size == 0), "who is the last?");
        let due = self.state.missing() > 0 && !self.stopped;
        assert!(!due || self.state.backoff.until().is_some(), "nothing will fork what is missing");
    }

    fn look(&mut self) {
        let sights = self.processes.values().map(|process| Sight {
            age: process.age,
            phase: process.phase,
            busy: process.busy.clone(),
            spent: process.spent,
            memory: Some(process.memory),
        });
        let sights = sights.collect();
        self.send(Event::Seen(sights));
        if self.left.is_none() {
            let deadline = self.state.deadline();
            assert!(deadline.is_none_or(|deadline| deadline > self.now), "it would spin");
            let late = |process: &Process| {
                process.busy.as_ref().is_some_and(|busy| self.now >= busy.since + TIMEOUT)
            };
            let left = |process: &Process| late(process) && process.got.is_empty();
            assert!(self.stopped || !self.processes.values().any(left), "left past the timeout");
        }
    }

    fn pick(&mut self, which: usize) -> Option<(&Pid, &mut Process)> {
        let count = self.processes.len().max(1);
        self.processes.iter_mut().nth(which % count)
    }

    /// Gets the worker busy with this, or idle if it was busy.
    fn toggle(&mut self, which: usize, doing: Doing) {
        let since = self.now;
        if let Some((_, process)) = self.pick(which).filter(|(_, p)| p.phase != Phase::Booting) {
            process.busy = if process.busy.is_some() { None } else { Some(Busy { since, doing }) };
            self.look();
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Signal(signal) => self.send(Event::Signal(signal)),
            Step::Boots(which) => {
                if let Some((_, process)) = self.pick(which) {
                    if process.phase == Phase::Booting {
                        process.phase = Phase::Ready;
                    }
                    self.look();
                }
            }
            Step::Request(which) => self.toggle(which, Doing::Request("GET /".to_owned())),
            Step::Waits(which) => self.toggle(which, Doing::ThreadWaiting { oldest: None }),
            Step::Tires(which) => {
                if let Some((_, process)) =
                    self.pick(which).filter(|(_, p)| p.phase == Phase::Ready)
                {
                    process.spent = true;
                    self.look();
                }
            }
            Step::Retires(which) => {
                if let Some((_, process)) =
                    self.pick(which).filter(|(_, p)| p.phase == Phase::Ready)
                {
                    process.phase = Phase::Retiring;
                    self.look();
                }
            }
            Step::Grows(which) => {
                if let Some((_, process)) = self.pick(which) {
                    process.memory = if process.memory == 0 { MEMORY + 1 } else { 0 };
                }
                // Time for as many looks as it takes.
                for _ in 0..3 {
                    if self.left.is_none() {
                        self.now += Duration::from_secs(2);
                        self.look();
                    }
                }
            }
            Step::Ends(which, how) => {
                if let Some(pid) = self.pick(which).map(|(pid, _)| *pid) {
                    self.processes.remove(&pid);
                    self.send(Event::Ended { pid, how });
                }
            }
            Step::Config(outcome) => self.config = outcome,
            Step::Checks(checks) => self.checks = checks,
            Step::CheckEnds(latest, how) => {
                let which = if latest { self.checking.len().saturating_sub(1) } else { 0 };
                if which < self.checking.len() {
                    let pid = self.checking.remove(which);
                    self.send(Event::Ended { pid, how });
                }
            }
            Step::Renew => self.renew(),
            Step::NoFork => self.fork_fails = true,
            Step::Resize(size) => self.send(Event::Resized(size)),
            Step::Fail => self.send(Event::Failed(255)),
            Step::SuccessorEnds(how) => {
                if let Some(pid) = self.successor.take() {
                    self.send(Event::Ended { pid, how });
                }
            }
            Step::PredecessorEnds => {
                if std::mem::take(&mut self.predecessor) {
                    self.send(Event::PredecessorEnded);
                }
            }
            Step::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                self.look();
            }
            Step::Sleep => {
                if let Some(deadline) = self.state.deadline() {
                    self.now = self.now.max(deadline);
                    self.look();
                }
            }
        }
    }

    /// From now on everything goes well: forks succeed, workers boot, obey and answer quickly.
    fn calm_down(&mut self) {
        self.fork_fails = false;
        for _ in 0..200 {
            // Nor is there any need to look at their memory.
            self.state.policy.recycling.memory = None;
            if let Some(fallback) = &mut self.state.fallback {
                fallback.policy.recycling.memory = None;
            }
            if self.left.is_some() {
                return;
            }
            if let Some(pid) = self.checking.pop() {
                self.send(Event::Ended { pid, how: Ended::Exited(0) });
                continue;
            }
            self.renew();
            let obedient = self
                .processes
                .iter()
                .find(|(_, process)| !process.got.is_empty() || process.phase == Phase::Retiring);
            if let Some(pid) = obedient.map(|(pid, _)| *pid) {
                self.processes.remove(&pid);
                self.send(Event::Ended { pid, how: Ended::Exited(0) });
                continue;
            }
            for process in self.processes.values_mut() {
                process.phase = Phase::Ready;
                process.busy = None;
                process.memory = 0;
            }
            self.look();
            let settled =
                |process: &Process| process.got.is_empty() && process.phase == Phase::Ready;
            if !self.processes.values().all(settled) {
                continue;
            }
            match self.state.deadline() {
                Some(deadline) => self.now = self.now.max(deadline),
                None => break,
            }
        }
        assert!(self.left.is_none() || self.stopped);
        if self.left.is_none() {
            assert!(!self.stopped, "a stop never ends");
            assert_eq!(self.state.deadline(), None, "an idle master has nothing to wake up for");
            assert_eq!(self.processes.len(), self.state.size, "the pool has not its size");
            let current = |process: &Process| process.generation == self.state.generation;
            assert!(self.processes.values().all(current), "old workers are left");
            assert!(self.state.check.is_none() && self.state.dropped_checks.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_sequence_of_events_keeps_the_promises(
        workers in 1_usize..6,
        predecessor: bool,
        steps in steps(),
    ) {
        let mut world = World::new(workers, predecessor);
        for step in steps {
            if world.left.is_some() {
                break;
            }
            world.step(&step);
        }
        world.calm_down();
    }

    #[test]
    fn reloads_without_accidents_never_lose_capacity(
        workers in 1_usize..6,
        reloads in proptest::collection::vec((1_usize..6, 0_usize..8), 1..6),
    ) {
        let mut world = World::new(workers, false);
        for process in world.processes.values_mut() {
            process.phase = Phase::Ready;
        }
        world.look();
        let mut least = workers;
        for (size, boots) in reloads {
            least = least.min(size);
            world.config = Some(size);
            world.send(Event::Signal(Signal::HUP));
            for _ in 0..boots {
                let booting = world.processes.values_mut().find(|process| {
                    process.phase == Phase::Booting && process.got.is_empty()
                });
                if let Some(process) = booting {
                    process.phase = Phase::Ready;
                }
                world.look();
                let serving = world.processes.values().filter(|process| {
                    process.phase == Phase::Ready && process.got.is_empty()
                });
                prop_assert!(serving.count() >= least);
            }
        }
        world.calm_down();
        prop_assert_eq!(world.processes.len(), world.last_policy);
    }
}
