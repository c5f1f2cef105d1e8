//! A random sequence of all that operators and accidents do to a server, under load.
//!
//! `CHAOS_SEED` repeats a sequence, `CHAOS_SECONDS` (8) sets how long it takes. The seed is printed
//! when the test fails.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{APP, changeable};
use crate::harness::cases::on_rgunicorn;
use crate::harness::load::{Failure, Load};
use crate::harness::wait::poll;
use crate::harness::{BOUND, Server, ServerKind, process, until};

on_rgunicorn!(
    any_sequence_of_operations_and_accidents_leaves_a_whole_server,
    with_a_preloaded_application_as_well
);

const CLIENTS: usize = 12;
const MOST_WORKERS: usize = 5;
/// How soon the right number of workers serves again once it is quiet.
const QUIET: Duration = Duration::from_secs(2);
/// How much later than the kill of its worker a client may notice, on a machine with much to do.
const NOTICE: Duration = Duration::from_secs(1);

/// What the conf file says when a reload has taken it over.
const RELOADED: &str = "note: reloaded";

#[derive(Clone, Copy, Debug)]
enum Step {
    Reload,
    ReloadBrokenApplication,
    ReloadBrokenConfiguration,
    ReloadTwice,
    More,
    Fewer,
    ReopenLogs,
    Kill,
    Abort,
    Segfault,
    Leave,
    TakeOver,
    RollBack,
    KillNewMaster,
    KillOldMaster,
}

const STEPS: [Step; 15] = [
    Step::Reload,
    Step::ReloadBrokenApplication,
    Step::ReloadBrokenConfiguration,
    Step::ReloadTwice,
    Step::More,
    Step::Fewer,
    Step::ReopenLogs,
    Step::Kill,
    Step::Abort,
    Step::Segfault,
    Step::Leave,
    Step::TakeOver,
    Step::RollBack,
    Step::KillNewMaster,
    Step::KillOldMaster,
];

/// What may happen while there are two masters, to the old one or to workers of either.
const BETWEEN: [Step; 7] = [
    Step::Reload,
    Step::ReloadBrokenConfiguration,
    Step::More,
    Step::Fewer,
    Step::ReopenLogs,
    Step::Kill,
    Step::Segfault,
];

/// `SplitMix64`: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = usize::try_from((z ^ (z >> 31)) >> 33).expect("31 bits");
        z % limit
    }
}

/// Tells of the seed when the test fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with CHAOS_SEED={}", self.0);
        }
    }
}

struct Chaos {
    server: Server,
    master: i32,
    /// The one that is to take its place, or not.
    second: Option<i32>,
    dice: Dice,
    /// How many workers there should be.
    wanted: usize,
    /// What HUP makes of it.
    configured: usize,
    /// When a worker was made to die.
    deaths: Vec<Instant>,
    steps: Vec<Step>,
    /// The most that the master may have open.
    descriptors: usize,
    /// The part of the log that was looked at.
    read: usize,
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn any_sequence_of_operations_and_accidents_leaves_a_whole_server(kind: ServerKind) {
    go_through(kind, &[]);
}

fn with_a_preloaded_application_as_well(kind: ServerKind) {
    go_through(kind, &["--preload"]);
}

fn go_through(kind: ServerKind, args: &[&str]) {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = variable("CHAOS_SEED")
        .unwrap_or_else(|| u64::from(clock.expect("after 1970").subsec_nanos()));
    let _told = Told(seed);
    let length = Duration::from_secs(variable("CHAOS_SECONDS").unwrap_or(8));
    let (builder, _) = changeable(kind, &configuration(3));
    let server = builder
        .args(args)
        .args(["-p", "chaos.pid", "--max-requests", "20000", "--max-requests-jitter", "20000"])
        .start();
    server.wait_workers(3);
    let mut chaos = Chaos {
        master: server.pid(),
        server,
        second: None,
        dice: Dice(seed),
        wanted: 3,
        configured: 3,
        deaths: Vec::new(),
        steps: Vec::new(),
        descriptors: 0,
        read: 0,
    };
    let load = Load::start(chaos.server.addr, CLIENTS);
    load.wait_more(100);
    chaos.descriptors = process::descriptors(chaos.master).len();
    let end = Instant::now() + length;
    while Instant::now() < end {
        for _ in 0..=chaos.dice.below(3) {
            chaos.step();
        }
        load.wait_more(50);
        chaos.check();
    }
    let tally = load.finish();
    chaos.check_failures(&tally.failures);
    assert!(tally.answered.len() > 500, "only {} requests were answered", tally.answered.len());
    process::signal(chaos.master, Signal::SIGTERM);
    process::until_gone(chaos.master);
    assert!(!chaos.server.dir().join("chaos.pid").exists());
    chaos.server.assert_nothing_left();
}

fn configuration(workers: usize) -> String {
    format!(
        "workers = {workers}\nimport os\ndef on_reload(server):\n    os.write(2, b'{RELOADED}\\n')\n"
    )
}

impl Chaos {
    fn step(&mut self) {
        let step = STEPS[self.dice.below(STEPS.len())];
        self.take(step);
    }

    fn take(&mut self, step: Step) {
        self.steps.push(step);
        match step {
            Step::Reload => {
                self.configured = 2 + self.dice.below(3);
                self.write("gunicorn.conf.py", &configuration(self.configured));
                self.reload(1);
            }
            Step::ReloadTwice => self.reload(2),
            Step::ReloadBrokenApplication => {
                self.check();
                self.write("served.py", "def (");
                self.hang_up("The reload failed: ");
                self.write("served.py", APP);
            }
            Step::ReloadBrokenConfiguration => {
                self.write("gunicorn.conf.py", "workers = nothing\n");
                self.hang_up("NameError: name 'nothing' is not defined");
                self.write("gunicorn.conf.py", &configuration(self.configured));
            }
            Step::More if self.wanted < MOST_WORKERS => {
                self.wanted += 1;
                self.signal(Signal::SIGTTIN, "Handling signal: ttin");
            }
            Step::Fewer if self.wanted > 1 => {
                self.wanted -= 1;
                self.signal(Signal::SIGTTOU, "Handling signal: ttou");
            }
            Step::More | Step::Fewer => {}
            Step::ReopenLogs => self.signal(Signal::SIGUSR1, "Handling signal: usr1"),
            Step::Kill => self.strike(Signal::SIGKILL),
            Step::Abort => self.strike(Signal::SIGABRT),
            Step::Segfault => self.die("/segfault"),
            Step::Leave => self.die("/leave?7"),
            Step::TakeOver => self.upgrade(Signal::SIGTERM, true),
            Step::RollBack => self.upgrade(Signal::SIGTERM, false),
            Step::KillOldMaster => self.upgrade(Signal::SIGKILL, true),
            Step::KillNewMaster => self.upgrade(Signal::SIGKILL, false),
        }
    }

    /// Starts a second master, and ends it or the first one.
    fn upgrade(&mut self, signal: Signal, take_over: bool) {
        let mark = self.server.log.mark();
        let configured = self.configured;
        process::signal(self.master, Signal::SIGUSR2);
        let second = self.server.new_master(mark);
        self.second = Some(second);
        // Perhaps before it serves.
        if self.dice.below(2) == 1 {
            until(BOUND, "the new workers", || {
                (process::children(second).len() == configured).then_some(())
            });
            let step = BETWEEN[self.dice.below(BETWEEN.len())];
            self.take(step);
        }
        self.second = None;
        let (goes, stays) = if take_over { (self.master, second) } else { (second, self.master) };
        process::signal(goes, signal);
        process::until_gone(goes);
        self.master = stays;
        if signal == Signal::SIGKILL && !take_over {
            // Which it could not do itself; the next one would write over it.
            fs::remove_file(self.server.dir().join("chaos.pid.2")).expect("it was there");
        }
        if take_over {
            self.wanted = configured;
        }
    }

    /// The workers of the first master.
    fn workers(&self) -> Vec<i32> {
        let mut all = process::children(self.master);
        all.retain(|pid| Some(*pid) != self.second);
        all
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.server.dir().join(name), text).expect("the directory is writable");
    }

    /// Sends a signal to the master and waits until it has dealt with it.
    fn signal(&self, signal: Signal, line: &str) {
        let mark = self.server.log.mark();
        process::signal(self.master, signal);
        self.server.log.wait_until(BOUND, mark, line, |text| text.contains(line).then_some(()));
    }

    fn hang_up(&self, line: &str) {
        self.signal(Signal::SIGHUP, line);
    }

    /// Reloads so many times in a row, and waits until the last one has read the configuration.
    fn reload(&mut self, times: usize) {
        for _ in 0..times {
            self.hang_up("Hang up: Master");
        }
        // While an application is loaded to check it, another reload begins anew.
        self.server.log.wait_until(BOUND, 0, RELOADED, |text| {
            text.rsplit("Hang up: Master").next()?.contains(RELOADED).then_some(())
        });
        self.wanted = self.configured;
    }

    /// Sends a signal to a worker.
    fn strike(&mut self, signal: Signal) {
        let workers = self.workers();
        if let Some(victim) = workers.get(self.dice.below(workers.len().max(1))) {
            process::signal(*victim, signal);
            self.deaths.push(Instant::now());
        }
    }

    /// Has a request end its worker.
    fn die(&mut self, target: &str) {
        let mut client = self.server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        assert_eq!(client.read_to_end(), b"", "{target} was answered");
        self.deaths.push(Instant::now());
    }

    /// What has to be true a moment after the last step.
    fn check(&mut self) {
        let start = Instant::now();
        let (server, master) = (&self.server, self.master);
        // What the processes of the server wait for a CPU on a busy machine is not theirs.
        let mut waited: HashMap<i32, Duration> = HashMap::new();
        let before: HashMap<i32, Duration> = process::members(server.pid())
            .into_iter()
            .filter_map(|pid| Some((pid, process::waited(pid)?)))
            .collect();
        let written = |name| fs::read_to_string(server.dir().join(name)).ok();
        let seen = || {
            let open = process::descriptors(master).len();
            let pids = (written("chaos.pid"), written("chaos.pid.2"));
            (self.workers().len(), process::zombies(master), open, pids)
        };
        let expected = (Some(format!("{master}\n")), None);
        let whole = poll(BOUND, || {
            for pid in process::members(server.pid()) {
                waited.extend(process::waited(pid).map(|time| (pid, time)));
            }
            let (workers, zombies, open, pids) = seen();
            let whole = workers == self.wanted && zombies == 0 && open <= self.descriptors;
            (whole && pids == expected).then_some(())
        });
        assert!(
            whole.is_some(),
            "workers, zombies, descriptors, pid files: {:?}, wanted {:?}, after {:?}",
            seen(),
            (self.wanted, 0, self.descriptors, expected),
            self.steps
        );
        // After accidents in a row the master waits, and says for how long.
        let log = server.log.since(self.read);
        let announced = log.split("the next one is started in ").skip(1).filter_map(|rest| {
            Some(Duration::from_secs_f64(rest.split_once(" s")?.0.parse().ok()?))
        });
        let waited = waited
            .iter()
            .map(|(pid, time)| time.saturating_sub(before.get(pid).copied().unwrap_or_default()));
        let busy: Duration = waited.sum();
        let patience = QUIET + announced.max().unwrap_or_default() + busy;
        self.read += log.len();
        let taken = start.elapsed();
        assert!(taken < patience, "{taken:?} of {patience:?} after {:?}", self.steps);
        let answer = server.get("/pid");
        assert_eq!(answer.status, 200);
    }

    /// Only requests inside of a worker that was made to die may be lost.
    fn check_failures(&self, failures: &[Failure]) {
        for failure in failures {
            let explained = self.deaths.iter().any(|at| {
                let gap = failure.failed.checked_duration_since(*at);
                gap.map_or_else(|| *at - failure.failed < NOTICE, |gap| gap < NOTICE)
            });
            assert!(explained, "no worker was made to die when {failure:?}: {:?}", self.steps);
        }
    }
}
