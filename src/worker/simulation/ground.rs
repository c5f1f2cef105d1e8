//! What all workers of a run share, and what tests need around it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::Seat;
use crate::config::Config;
use crate::net::address::Address;
use crate::net::handoff::Queue;
use crate::net::listener::{Listener, Opening};
use crate::reactor::{Exchange, Options};
use crate::scoreboard::{Bell, Scoreboard, StopFlag};
use crate::worker::options::options;

/// Workers that a run may have, one after another.
pub const LIVES: usize = 40;
/// How much was done.
#[derive(Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub checks: u64,
    pub answers: u64,
    pub sent: u64,
    pub received: u64,
    pub killed: u64,
    pub retired: u64,
    pub stops: u64,
    pub full: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.checks += other.checks;
        self.answers += other.answers;
        self.sent += other.sent;
        self.received += other.received;
        self.killed += other.killed;
        self.retired += other.retired;
        self.stops += other.stops;
        self.full += other.full;
    }

    /// That it was enough of everything.
    pub fn check(&self, steps: u64) {
        eprintln!("{self:?}");
        assert!(self.steps >= steps);
        if steps < 100_000 {
            return;
        }
        let least =
            [self.checks, self.answers, self.received, self.killed, self.retired, self.full];
        assert!(least.iter().all(|&count| count > steps / 2_000), "{self:?}");
    }
}

/// Numbers that look random: splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("small")
    }

    pub fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// What all workers share.
pub struct Ground {
    pub listeners: Vec<Listener>,
    pub paths: Vec<PathBuf>,
    pub queue: Queue,
    pub scoreboard: Scoreboard,
    pub bell: Bell,
    pub stop: StopFlag,
    pub lifeline: OwnedFd,
    pub config: Config,
}

impl Ground {
    pub fn new(dice: &mut Dice, dir: &Path) -> Self {
        let paths: Vec<_> = (0..2).map(|number| dir.join(format!("{number}"))).collect();
        let addresses: Vec<_> = paths.iter().map(|path| Address::Unix(path.clone())).collect();
        let (lifeline, _) = std::io::pipe().expect("a pipe");
        let room = [1, 16 << 10, 1 << 20][dice.roll(3)];
        let config = Config {
            workers: u32::try_from(1 + dice.roll(4)).expect("few"),
            worker_class: "gthread".into(),
            threads: [1, 2, 3][dice.roll(3)],
            worker_connections: [3, 5, 1000, 1000][dice.roll(4)],
            max_requests: [0, 0, 20][dice.roll(3)],
            keepalive: 3600,
            request_buffer_size: 1024,
            ..Config::default()
        };
        Self {
            listeners: Listener::bind_all(&addresses, Opening::with_backlog(64))
                .expect("free paths"),
            paths,
            queue: Queue::with_room(room).expect("a queue"),
            scoreboard: Scoreboard::new(LIVES).expect("memory"),
            bell: Bell::new().expect("a bell"),
            stop: StopFlag::new().expect("memory"),
            lifeline: lifeline.into(),
            config,
        }
    }

    pub fn options(&self) -> Options {
        options(&self.config).expect("valid settings")
    }

    pub fn seat(&self, number: usize) -> Seat<'_> {
        Seat {
            age: number as u64,
            slot: self.scoreboard.slot(number),
            scoreboard: &self.scoreboard,
            queue: &self.queue,
            bell: &self.bell,
            stop_flag: &self.stop,
            lifeline: self.lifeline.as_fd(),
            listeners: &self.listeners,
            config: &self.config,
        }
    }

    pub fn exchanges(&self) -> Vec<Arc<Exchange>> {
        let options = self.options();
        let exchange = || {
            Arc::new(Exchange::new(options.parser.clone(), options.high_water, options.patience))
        };
        (0..self.config.slots()).map(|_| exchange()).collect()
    }
}

/// Tells of the seed if the run fails.
pub struct Told(pub u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with SIMULATION_SEED={} SIMULATION_STEPS=1000", self.0);
        }
    }
}

pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is there").count()
}
