//! One scenario per promise of the supervisor.

mod checking;
mod recycling;
mod upgrade;

use super::*;
use crate::master::workers::{Busy, Doing, Stuck};

mod stopping;

const SECOND: Duration = Duration::from_secs(1);

fn policy(workers: usize) -> Policy {
    Policy {
        workers,
        timeout: Some(30 * SECOND),
        graceful_timeout: 10 * SECOND,
        boot_timeout: None,
        recycling: Recycling::default(),
        daemon: false,
        shutdown_delay: Duration::ZERO,
    }
}

/// A state machine whose forks succeed at once, with pid = 100 + age.
struct Bench {
    state: State,
    now: Duration,
}

impl Bench {
    fn start(workers: usize) -> Self {
        let state = State::new(policy(workers), false);
        let mut bench = Self { state, now: Duration::from_secs(1000) };
        bench.on(Event::Started);
        bench
    }

    /// Started, and all workers ready for long.
    fn serving(workers: usize) -> Self {
        let mut bench = Self::start(workers);
        for age in 1..=workers as u64 {
            bench.ready(age);
        }
        bench.now += 60 * SECOND;
        bench
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.state.on(event, self.now);
        for action in actions.clone() {
            if let Action::Spawn { age, .. } = action {
                actions.extend(self.state.on(Event::Forked { age, pid: pid(age) }, self.now));
            }
        }
        actions
    }

    fn signal(&mut self, signal: Signal) -> Vec<Action> {
        self.on(Event::Signal(signal))
    }

    fn see(&mut self, age: u64, phase: Phase, busy: Option<Busy>) -> Vec<Action> {
        self.on(Event::Seen(vec![Sight { age, phase, busy, spent: false, memory: None }]))
    }

    fn ready(&mut self, age: u64) -> Vec<Action> {
        self.see(age, Phase::Ready, None)
    }

    fn exits(&mut self, age: u64, status: i32) -> Vec<Action> {
        self.on(Event::Ended { pid: pid(age), how: Ended::Exited(status) })
    }

    fn dies_of(&mut self, age: u64, signal: Signal) -> Vec<Action> {
        let how = Ended::Signaled { signal, core_dumped: false };
        self.on(Event::Ended { pid: pid(age), how })
    }

    fn reload(&mut self, workers: usize) -> Vec<Action> {
        assert!(self.signal(Signal::HUP).contains(&Action::ReadConfig));
        self.on(Event::ConfigRead(policy(workers)))
    }

    /// Sleeps until the deadline, which must not be later than `at_most` from now.
    fn sleep(&mut self, at_most: Duration) -> Vec<Action> {
        let deadline = self.state.deadline().expect("a deadline");
        assert!(deadline > self.now && deadline <= self.now + at_most, "{deadline:?}");
        self.now = deadline;
        self.on(Event::Seen(Vec::new()))
    }
}

fn pid(age: u64) -> Pid {
    Pid::new(100 + i32::try_from(age).unwrap()).unwrap()
}

fn kill(age: u64, signal: Signal) -> Action {
    Action::Kill { pid: pid(age), signal }
}

fn spawned(actions: &[Action]) -> Vec<u64> {
    let age = |action: &Action| match action {
        Action::Spawn { age, .. } => Some(*age),
        _ => None,
    };
    actions.iter().filter_map(age).collect()
}

fn killed(actions: &[Action]) -> Vec<Action> {
    actions.iter().filter(|action| matches!(action, Action::Kill { .. })).cloned().collect()
}

fn logged(actions: &[Action], level: Level, text: &str) -> bool {
    actions
        .iter()
        .any(|action| matches!(action, Action::Log(l, t) if *l == level && t.contains(text)))
}

#[test]
fn starts_the_pool_and_sleeps_without_a_deadline() {
    let mut state = State::new(policy(3), false);
    assert_eq!(state.deadline(), None);
    let actions = state.on(Event::Started, SECOND);
    assert_eq!(spawned(&actions), [1, 2, 3]);
    assert!(logged(&actions, Level::Debug, "3 workers"));
    let mut bench = Bench::serving(3);
    assert_eq!(bench.state.deadline(), None);
    assert_eq!(bench.signal(Signal::WINCH).len(), 2);
}

#[test]
fn a_healthy_worker_is_replaced_at_once_however_it_dies() {
    let mut bench = Bench::serving(2);
    let actions = bench.dies_of(1, Signal::KILL);
    assert_eq!(spawned(&actions), [3]);
    assert!(actions.contains(&Action::Release { age: 1, exited: true }));
    assert!(logged(&actions, Level::Error, "Perhaps out of memory?"));
    assert_eq!(spawned(&bench.exits(2, 9)), [4]);
    // Even a young one, if it was killed from outside.
    bench.ready(3);
    assert_eq!(spawned(&bench.dies_of(3, Signal::KILL)), [5]);
}

#[test]
fn workers_that_die_at_birth_are_replaced_ever_more_slowly() {
    let mut bench = Bench::start(2);
    let actions = bench.exits(1, 9);
    assert!(spawned(&actions).is_empty());
    assert!(logged(&actions, Level::Warning, "(pid:101) died before it was ready"));
    // The second of the same round says and changes nothing more.
    assert!(!logged(&bench.exits(2, 9), Level::Warning, "died"));
    assert_eq!(spawned(&bench.sleep(SECOND / 10)), [3, 4]);
    bench.exits(3, 9);
    bench.exits(4, 9);
    assert_eq!(spawned(&bench.sleep(SECOND / 5)), [5, 6]);
    bench.ready(5);
    bench.ready(6);
    // Ready is not healthy yet.
    let actions = bench.exits(5, 9);
    assert!(logged(&actions, Level::Warning, "less than a second after its start"));
    assert_eq!(spawned(&bench.sleep(SECOND * 2 / 5)), [7]);
    bench.ready(7);
    bench.sleep(SECOND);
    assert_eq!(bench.state.deadline(), None);
    assert!(logged(
        &{
            bench.now += SECOND;
            bench.exits(7, 9)
        },
        Level::Error,
        "code 9"
    ));
    bench.exits(8, 9);
    assert_eq!(spawned(&bench.sleep(SECOND / 10)), [9]);
}

#[test]
fn boot_failures_halt_only_while_nobody_was_ever_ready() {
    for (status, reason) in [(3, "Worker failed to boot."), (4, "App failed to load.")] {
        let mut bench = Bench::start(2);
        let actions = bench.exits(1, status);
        assert!(logged(&actions, Level::Error, &format!("exited with code {status}.")));
        assert_eq!(killed(&actions), [kill(2, Signal::TERM)]);
        let actions = bench.exits(2, status);
        assert!(logged(&actions, Level::Error, "Shutting down: Master"));
        assert!(logged(&actions, Level::Error, &format!("Reason: {reason}")));
        assert_eq!(actions.last(), Some(&Action::Exit(status)));

        let mut bench = Bench::start(2);
        bench.ready(1);
        let actions = bench.exits(2, status);
        assert!(logged(&actions, Level::Warning, "died before it was ready"));
        assert!(killed(&actions).is_empty());
        assert_eq!(spawned(&bench.sleep(SECOND)), [3]);
    }
}

#[test]
fn reload_retires_one_old_worker_per_new_one_that_is_ready() {
    let mut bench = Bench::serving(2);
    let actions = bench.reload(3);
    assert_eq!(spawned(&actions), [3, 4, 5]);
    assert!(killed(&actions).is_empty());
    let actions = bench.ready(4);
    assert!(actions.contains(&Action::Commit));
    // Two of three are still to be had from the old generation.
    assert!(killed(&actions).is_empty());
    assert_eq!(killed(&bench.ready(3)), [kill(1, Signal::TERM)]);
    assert_eq!(killed(&bench.ready(5)), [kill(2, Signal::TERM)]);
    assert!(spawned(&bench.exits(1, 0)).is_empty());
    assert!(spawned(&bench.exits(2, 0)).is_empty());
    assert_eq!(bench.state.workers().len(), 3);
    assert_eq!(bench.state.deadline(), None);
}

#[test]
fn a_reload_that_cannot_boot_leaves_the_old_generation_serving() {
    let mut bench = Bench::serving(2);
    bench.reload(3);
    assert!(!bench.exits(3, 3).contains(&Action::Rollback));
    bench.exits(4, 4);
    let actions = bench.dies_of(5, Signal::KILL);
    assert!(actions.contains(&Action::Rollback));
    assert!(logged(&actions, Level::Error, "The reload failed"));
    assert!(killed(&actions).is_empty() && spawned(&actions).is_empty());
    assert_eq!(bench.state.deadline(), None);
    // The pool has its old size, and the next HUP tries again.
    assert_eq!(spawned(&bench.exits(1, 0)), [6]);
    assert_eq!(spawned(&bench.reload(1)), [7]);
    let actions = bench.ready(7);
    assert_eq!(killed(&actions), [kill(2, Signal::TERM), kill(6, Signal::TERM)]);
}

#[test]
fn a_reload_does_not_weaken_the_generation_to_return_to() {
    let mut bench = Bench::start(2);
    bench.ready(1);
    // The second worker still boots.
    let actions = bench.reload(2);
    assert!(killed(&actions).is_empty());
    bench.exits(3, 3);
    assert!(bench.exits(4, 3).contains(&Action::Rollback));
    assert!(spawned(&bench.ready(2)).is_empty());
    assert_eq!(bench.state.workers().len(), 2);
}

#[test]
fn one_accident_does_not_abandon_a_reload() {
    let mut bench = Bench::serving(2);
    bench.reload(2);
    assert!(spawned(&bench.dies_of(3, Signal::KILL)).is_empty());
    let actions = bench.ready(4);
    assert_eq!(spawned(&actions), [5]);
    assert_eq!(killed(&actions), [kill(1, Signal::TERM)]);
    assert_eq!(killed(&bench.ready(5)), [kill(2, Signal::TERM)]);
}

#[test]
fn a_second_reload_takes_the_place_of_the_first() {
    let mut bench = Bench::serving(1);
    bench.reload(1);
    let actions = bench.reload(1);
    assert_eq!(killed(&actions), [kill(2, Signal::TERM)]);
    assert_eq!(spawned(&actions), [3]);
    // An interrupted boot is no failure of the newest generation.
    assert!(!bench.exits(2, 3).contains(&Action::Rollback));
    // When the second fails too, the configuration that served is the one to return to.
    assert!(bench.exits(3, 3).contains(&Action::Rollback));
    assert_eq!(spawned(&bench.exits(1, 0)), [4]);
    // One that does not react to TERM while it boots is killed.
    bench.reload(1);
    bench.reload(1);
    // It is reminded before: the signal may have come right before a call that blocks.
    for _ in 0..9 {
        assert_eq!(killed(&bench.sleep(SECOND)), [kill(5, Signal::TERM)]);
    }
    bench.sleep(SECOND);
    assert_eq!(bench.state.workers().iter().filter(|worker| worker.killed.is_some()).count(), 1);
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let mut bench = Bench::serving(2);
    bench.signal(Signal::HUP);
    let actions = bench.on(Event::ConfigRefused("No such file.".to_owned()));
    assert!(logged(&actions, Level::Error, "No such file."));
    assert!(killed(&actions).is_empty() && spawned(&actions).is_empty());
}

#[test]
fn ttin_and_ttou_change_the_size() {
    let mut bench = Bench::serving(2);
    assert_eq!(spawned(&bench.signal(Signal::TTIN)), [3]);
    assert_eq!(killed(&bench.signal(Signal::TTOU)), [kill(1, Signal::TERM)]);
    assert_eq!(killed(&bench.signal(Signal::TTOU)), [kill(2, Signal::TERM)]);
    assert!(killed(&bench.signal(Signal::TTOU)).is_empty());
    bench.exits(1, 0);
    assert!(spawned(&bench.exits(2, 0)).is_empty());
    assert_eq!(bench.state.workers().len(), 1);
}

#[test]
fn usr1_is_passed_on() {
    let mut bench = Bench::serving(2);
    let actions = bench.signal(Signal::USR1);
    assert!(actions.contains(&Action::ReopenLogs));
    assert_eq!(killed(&actions), [kill(1, Signal::USR1), kill(2, Signal::USR1)]);
}

#[test]
fn a_request_past_the_timeout_is_logged_aborted_dumped_and_killed() {
    let mut bench = Bench::serving(1);
    let doing = || Doing::Request("GET /slow".to_owned());
    let busy = || Some(Busy { since: Duration::from_secs(1060), doing: doing() });
    assert!(killed(&bench.see(1, Phase::Ready, busy())).is_empty());
    assert_eq!(bench.state.deadline(), Some(Duration::from_secs(1090)));
    bench.now = Duration::from_secs(1091);
    let actions = bench.see(1, Phase::Ready, busy());
    assert!(logged(&actions, Level::Critical, "WORKER TIMEOUT (pid:101)"));
    let text = "Worker (pid:101) has been handling GET /slow for 31.0 s (timeout 30 s)";
    assert!(logged(&actions, Level::Error, text));
    assert_eq!(killed(&actions), [kill(1, Signal::ABRT)]);
    // Its place is filled before it is gone.
    assert_eq!(spawned(&actions), [2]);
    assert_eq!(killed(&bench.sleep(2 * SECOND)), [kill(1, Signal::dump())]);
    assert_eq!(killed(&bench.sleep(SECOND)), [kill(1, Signal::KILL)]);
    assert_eq!(bench.state.deadline(), None);
    let actions = bench.dies_of(1, Signal::KILL);
    assert!(logged(&actions, Level::Error, "its request ran into the timeout"));
    assert!(spawned(&actions).is_empty());
}

#[test]
fn a_wait_for_the_interpreter_past_the_timeout_is_told_as_such() {
    let oldest = Some("GET /x".to_owned());
    for (doing, expected) in [
        (
            Doing::Waiting,
            "Worker (pid:101) has been waiting for the interpreter lock, which a thread of the \
             application holds, for 30.0 s (timeout 30 s)",
        ),
        (
            Doing::ThreadWaiting { oldest },
            "A thread of worker (pid:101) has been waiting for the interpreter lock, which another \
             thread holds, for 30.0 s (timeout 30 s). The oldest request in progress is GET /x",
        ),
        (Doing::ThreadWaiting { oldest: None }, "(timeout 30 s). No request is in progress"),
    ] {
        let mut bench = Bench::serving(1);
        let busy = Some(Busy { since: bench.now, doing });
        assert!(killed(&bench.see(1, Phase::Ready, busy.clone())).is_empty());
        bench.now += 30 * SECOND;
        let actions = bench.see(1, Phase::Ready, busy);
        assert!(logged(&actions, Level::Critical, "WORKER TIMEOUT (pid:101)"));
        assert!(logged(&actions, Level::Error, expected), "{actions:?}");
        assert_eq!(killed(&actions), [kill(1, Signal::ABRT)]);
        let actions = bench.dies_of(1, Signal::ABRT);
        assert!(logged(
            &actions,
            Level::Warning,
            "its wait for the interpreter ran into the timeout"
        ));
    }
}

#[test]
fn booting_workers_are_never_timed_out() {
    let mut bench = Bench::start(1);
    let busy = Busy { since: Duration::from_secs(1), doing: Doing::Waiting };
    assert!(killed(&bench.see(1, Phase::Booting, Some(busy))).is_empty());
    assert_eq!(bench.state.deadline(), None);
    assert!(bench.state.workers().iter().all(|worker| worker.stuck != Some(Stuck::Killed)));
}

#[test]
fn a_retiring_worker_is_replaced_before_it_is_gone() {
    let mut bench = Bench::serving(2);
    assert_eq!(spawned(&bench.see(1, Phase::Retiring, None)), [3]);
    let actions = bench.exits(1, 0);
    assert!(spawned(&actions).is_empty());
    assert!(!logged(&actions, Level::Warning, ""));
}

#[test]
fn a_fork_that_fails_is_tried_again_later() {
    let mut state = State::new(policy(1), false);
    state.on(Event::Started, SECOND);
    let why = Some("no more processes".to_owned());
    let actions = state.on(Event::ForkFailed { age: 1, why }, SECOND);
    assert!(logged(&actions, Level::Error, "Cannot start a worker: no more processes"));
    assert!(actions.contains(&Action::Release { age: 1, exited: false }));
    let retry = state.deadline().unwrap();
    assert_eq!(spawned(&state.on(Event::Seen(Vec::new()), retry)), [2]);
}

#[test]
fn strangers_are_reaped_without_a_word_at_info() {
    let mut bench = Bench::serving(1);
    assert_eq!(bench.signal(Signal::CHLD).last(), Some(&Action::Reap));
    let actions = bench.exits(50, 1);
    assert!(logged(&actions, Level::Debug, "Reaped unknown child process (pid:150, status:256)"));
    assert_eq!(actions.len(), 1);
}

#[test]
fn a_hook_sets_the_size_of_the_pool() {
    let mut bench = Bench::serving(1);
    assert_eq!(spawned(&bench.on(Event::Resized(3))), [2, 3]);
    bench.ready(2);
    bench.ready(3);
    let actions = bench.on(Event::Resized(1));
    assert_eq!(killed(&actions), [kill(1, Signal::TERM), kill(2, Signal::TERM)]);
    // The hook that has asked knows; signals count from there.
    assert!(!actions.iter().any(|action| matches!(action, Action::Resized(_))));
    assert!(bench.signal(Signal::TTIN).contains(&Action::Resized(2)));
    // A trial that fails returns to the size asked for meanwhile.
    bench.ready(4);
    bench.reload(3);
    assert_eq!(bench.state.size(), 3);
    bench.on(Event::Resized(2));
    for age in 5..=7 {
        bench.exits(age, 3);
    }
    assert!(bench.state.standing() != Standing::Reloading);
    assert_eq!(bench.state.size(), 2);
}

#[test]
fn a_hook_that_fails_ends_the_server_quickly() {
    let mut bench = Bench::serving(2);
    let actions = bench.on(Event::Failed(255));
    assert!(actions.contains(&Action::CloseListeners));
    assert_eq!(killed(&actions), [kill(1, Signal::QUIT), kill(2, Signal::QUIT)]);
    bench.exits(1, 0);
    let actions = bench.exits(2, 0);
    assert!(actions.contains(&Action::Release { age: 2, exited: true }));
    assert_eq!(actions.last(), Some(&Action::Exit(255)));
    // During a stop it only changes the status.
    let mut bench = Bench::serving(1);
    bench.signal(Signal::TERM);
    assert!(killed(&bench.on(Event::Failed(1))).is_empty());
    assert_eq!(bench.exits(1, 0).last(), Some(&Action::Exit(1)));
}

#[test]
fn a_server_that_gives_up_does_not_tell_of_the_workers_that_made_it() {
    for status in [3, 4] {
        let mut bench = Bench::start(2);
        let actions = bench.exits(1, status);
        assert!(actions.contains(&Action::Release { age: 1, exited: false }));
        let actions = bench.exits(2, status);
        assert!(actions.contains(&Action::Release { age: 2, exited: true }));
    }
    let mut bench = Bench::serving(1);
    assert!(bench.exits(1, 3).contains(&Action::Release { age: 1, exited: true }));
}

#[test]
fn whoever_was_told_late_has_as_much_time() {
    let mut bench = Bench::serving(2);
    assert!(killed(&bench.signal(Signal::TERM)).contains(&kill(1, Signal::TERM)));
    // The logger has taken its time.
    bench.now += 60 * SECOND;
    assert!(killed(&bench.on(Event::Delayed(60 * SECOND))).is_empty());
    assert!(killed(&bench.sleep(10 * SECOND)).contains(&kill(1, Signal::KILL)));

    let mut bench = Bench::serving(1);
    let doing = Doing::Request("GET /".to_owned());
    let busy = Busy { since: bench.now, doing };
    bench.now += 31 * SECOND;
    let actions = bench.see(1, Phase::Ready, Some(busy));
    assert_eq!(killed(&actions), [kill(1, Signal::ABRT)]);
    bench.now += 60 * SECOND;
    assert!(killed(&bench.on(Event::Delayed(60 * SECOND))).is_empty());
    assert_eq!(killed(&bench.sleep(2 * SECOND)), [kill(1, Signal::dump())]);
}

#[test]
fn nobody_is_blamed_for_the_time_in_which_all_were_frozen() {
    let mut bench = Bench::serving(1);
    let busy = Busy { since: bench.now, doing: Doing::Request("GET /".to_owned()) };
    bench.see(1, Phase::Ready, Some(busy.clone()));
    bench.now += 3600 * SECOND;
    assert!(killed(&bench.on(Event::Absent(3570 * SECOND))).is_empty());
    assert!(killed(&bench.see(1, Phase::Ready, Some(busy.clone()))).is_empty());
    bench.now += 30 * SECOND;
    assert_eq!(killed(&bench.see(1, Phase::Ready, Some(busy))), [kill(1, Signal::ABRT)]);
}
