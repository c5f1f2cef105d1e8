//! The workers, their clients, and what happens to them.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::client::{Client, Kind, LARGE};
use super::ground::{Dice, Ground, LIVES, Tally, Told, descriptors};
use super::life::{Life, Parts, Step};
use crate::reactor::Reactor;
use crate::scoreboard::{Mode, State};
use crate::sys::ring::Ring;
use crate::sys::signal::Pipe;
use crate::sys::time;
use crate::worker::baton::Baton;
use crate::worker::control::Control;
use crate::worker::overdue::Overdue;
use crate::worker::requests::Requests;

/// Clients at a time.
const CLIENTS: usize = 12;
/// Plays so many random steps with new workers.
pub fn run(seed: u64, steps: u64) -> Tally {
    Pipe::install(&[]).expect("a pipe");
    let before = descriptors();
    let tally = {
        let mut dice = Dice(seed);
        let dir = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(&mut dice, dir.path());
        let seats: Vec<_> = (0..LIVES).map(|number| ground.seat(number)).collect();
        let exchanges: Vec<_> = (0..LIVES).map(|_| ground.exchanges()).collect();
        let requests: Vec<_> = seats
            .iter()
            .map(|seat| Requests::new(seat, Requests::limit(seat.config), true))
            .collect();
        let overdue: Vec<_> = (0..LIVES)
            .map(|number| Overdue::new(&seats[number], &exchanges[number], &requests[number]))
            .collect();
        let controls: Vec<_> = (0..LIVES)
            .map(|number| Control::new(&seats[number], &requests[number], &overdue[number]))
            .map(|control| control.expect("a pipe"))
            .collect();
        let batons: Vec<OnceCell<Baton<'_>>> = (0..LIVES).map(|_| OnceCell::new()).collect();
        let mut world = World {
            ground: &ground,
            dice,
            next: 0,
            lives: Vec::new(),
            clients: BTreeMap::new(),
            next_client: 0,
            tally: Tally::default(),
            parts: Box::new(|number| {
                let baton = batons[number].get_or_init(|| {
                    let reactor = Reactor::new(&ground.listeners, &ground.queue, ground.options());
                    let mut reactor = reactor.expect("descriptors");
                    exchanges[number].iter().for_each(|exchange| reactor.attach(exchange));
                    let ring = Ring::new().expect("descriptors");
                    reactor.watch(ring.fd(), Control::RING).expect("room");
                    Baton::new(reactor, ring)
                });
                Parts {
                    seat: &seats[number],
                    baton,
                    control: &controls[number],
                    requests: &requests[number],
                    exchanges: &exchanges[number],
                }
            }),
            descriptors: descriptors(),
        };
        let _told = Told(seed);
        world.play(steps);
        world.tally
    };
    assert_eq!(descriptors(), before, "seed {seed}: descriptors are left");
    tally
}

pub struct World<'b, 'a> {
    pub ground: &'a Ground,
    dice: Dice,
    /// Workers that have been.
    next: usize,
    pub lives: Vec<Life<'b, 'a>>,
    pub clients: BTreeMap<u64, Client>,
    next_client: u64,
    pub tally: Tally,
    parts: Box<dyn Fn(usize) -> Parts<'b, 'a> + 'b>,
    /// Open before the first worker.
    descriptors: usize,
}

impl World<'_, '_> {
    fn play(&mut self, steps: u64) {
        let workers = usize::try_from(self.ground.config.workers).expect("few");
        for _ in 0..workers {
            self.start();
        }
        for step in 0..steps {
            self.step(workers);
            self.own();
            if self.dice.one_in(4) {
                self.settle(step);
            }
            self.tally.steps += 1;
        }
        if self.dice.one_in(2) {
            self.stop();
        } else {
            self.calm_down();
        }
        for number in 0..self.next {
            let queue = self.ground.scoreboard.slot(number).view().queue;
            self.tally.sent += queue.sent;
            self.tally.received += queue.received;
        }
    }

    fn start(&mut self) {
        if self.next == LIVES {
            return;
        }
        let slot = self.ground.scoreboard.slot(self.next);
        slot.reset(self.next as u64, 0, Mode::Threads(self.ground.config.slots()));
        slot.set_state(State::Ready);
        self.lives.push(Life::new(self.next, (self.parts)(self.next)));
        self.next += 1;
    }

    fn end(&mut self, index: usize) {
        let life = self.lives.remove(index);
        self.ground.scoreboard.slot(life.number).free();
        let mut empty = Reactor::new(&[], &self.ground.queue, self.ground.options()).expect("room");
        empty.set_busy(true);
        life.end(empty);
    }

    fn kill(&mut self, index: usize) {
        for id in self.owned(index) {
            self.clients.get_mut(&id).expect("it is known").lost = true;
        }
        self.end(index);
        self.tally.killed += 1;
    }

    /// Connections are closed to make room for others.
    pub fn is_limited(&self) -> bool {
        self.ground.config.worker_connections < 1000
    }

    fn step(&mut self, workers: usize) {
        match self.dice.roll(100) {
            0..6 => self.connect(),
            6..26 => self.ask(),
            26..32 => self.with_client(|client, dice| client.send(1 + dice.roll(200))),
            32..40 => self.read(),
            40 => self.with_client(|client, _| client.shut()),
            41 => self.hang_up(),
            42..64 => self.with_life(|world, life| {
                let index = world.dice.roll(world.lives[life].slots());
                world.advance(life, index, false);
            }),
            64..78 => self.with_life(|world, life| {
                let index = world.dice.roll(world.lives[life].slots());
                world.answer(life, index);
            }),
            78..90 => self.with_life(|world, life| {
                let tick = world.dice.one_in(2);
                let late = tick && world.dice.one_in(4);
                world.lives[life].stand_by(tick, late);
            }),
            90..95 => self.tick(),
            95..97 => self.quiet(),
            97 if self.dice.one_in(3) => {
                self.with_life(|world, life| world.lives[life].retire());
            }
            98 if self.dice.one_in(5) => self.with_life(Self::kill),
            _ => {
                let spent = self.lives.iter().position(Life::is_spent);
                if self.lives.iter().filter(|life| !life.is_retiring()).count() < workers {
                    self.start();
                } else if let Some(life) = spent {
                    // As the master does, whose replacement for it is ready.
                    self.lives[life].retire();
                }
            }
        }
    }

    fn connect(&mut self) {
        if self.clients.len() < CLIENTS {
            let path = &self.ground.paths[self.dice.roll(self.ground.paths.len())];
            let client = Client::connect(self.next_client, path);
            self.clients.insert(client.id, client);
            self.next_client += 1;
        }
    }

    fn with_client(&mut self, act: impl FnOnce(&mut Client, &mut Dice)) {
        let index = self.dice.roll(self.clients.len().max(1));
        if let Some(client) = self.clients.values_mut().nth(index) {
            act(client, &mut self.dice);
        }
    }

    fn with_life(&mut self, act: impl FnOnce(&mut Self, usize)) {
        if !self.lives.is_empty() {
            let index = self.dice.roll(self.lives.len());
            act(self, index);
        }
    }

    fn ask(&mut self) {
        // What it has been told it knows.
        self.read();
        self.with_client(|client, dice| {
            for _ in 0..=dice.roll(8) / 5 {
                if client.may_ask() {
                    let kind = match dice.roll(20) {
                        0..10 => Kind::Plain,
                        10..13 => Kind::Length(dice.roll(100)),
                        13 => Kind::Length(1000 + dice.roll(30_000)),
                        14..16 => Kind::Chunked,
                        16..18 => Kind::Continue,
                        18 => Kind::Close,
                        _ => Kind::Length(0),
                    };
                    let size = if dice.one_in(50) { LARGE } else { dice.roll(50) };
                    client.ask(kind, size);
                }
            }
            let whole = !dice.one_in(5);
            let count = if whole { usize::MAX } else { 1 + dice.roll(client.unsent() + 1) };
            client.send(count);
        });
    }

    pub fn read(&mut self) {
        let limited = self.is_limited();
        self.clients.retain(|_, client| client.read(limited));
    }

    fn hang_up(&mut self) {
        let index = self.dice.roll(self.clients.len().max(1));
        if let Some(id) = self.clients.keys().nth(index).copied() {
            self.clients.remove(&id);
        }
    }

    /// A step of a slot; whether it did anything.
    fn advance(&mut self, life: usize, index: usize, tick: bool) -> bool {
        let before = time::monotonic_ns();
        match self.lives[life].advance(index, tick) {
            Step::Still => return false,
            Step::Moved => {}
            Step::Began(asked) => {
                // A client that is gone cannot be asked.
                if let Some(client) = self.clients.get_mut(&asked.client) {
                    assert_eq!(client.started, asked.number, "client {}", client.id);
                    assert_eq!(client.ended, client.started, "two at once");
                    client.started += 1;
                    if let Some(since) = client.since.take() {
                        assert!(asked.waited >= before - since, "{client}: it has waited longer");
                    }
                }
            }
            Step::Over => {
                let len = self.lives[life].inspect(Reactor::len);
                assert_eq!(len, 0, "a worker leaves its connections");
                self.end(life);
                self.tally.retired += 1;
            }
        }
        true
    }

    fn answer(&mut self, life: usize, index: usize) {
        if let Some(asked) = self.lives[life].answer(index)
            && let Some(client) = self.clients.get_mut(&asked.client)
        {
            client.ended += 1;
            self.tally.answers += 1;
        }
    }

    /// Everybody goes on until there is nothing to do but wait.
    pub fn quiet(&mut self) {
        for _ in 0..2_000 {
            let mut moved = false;
            let mut life = 0;
            while life < self.lives.len() {
                let number = self.lives[life].number;
                moved |= matches!(self.lives[life].stand_by(false, false), Step::Moved);
                let mut index = 0;
                while self.lives.get(life).is_some_and(|life| life.number == number)
                    && index < self.lives[life].slots()
                {
                    moved |= self.advance(life, index, false);
                    index += 1;
                }
                if self.lives.get(life).is_some_and(|life| life.number == number) {
                    life += 1;
                }
            }
            if !moved {
                return;
            }
        }
        panic!("no rest: {}", self.describe());
    }

    pub fn tick(&mut self) {
        for life in (0..self.lives.len()).rev() {
            self.lives[life].stand_by(true, false);
            let number = self.lives[life].number;
            for index in 0..self.lives[life].slots() {
                if self.lives.get(life).is_some_and(|life| life.number == number) {
                    self.advance(life, index, true);
                }
            }
        }
    }

    /// All goes well: requests are sent whole, answered and read.
    fn go_on(&mut self) {
        for client in self.clients.values_mut() {
            client.send(usize::MAX);
        }
        self.quiet();
        self.tick();
        self.quiet();
        for life in 0..self.lives.len() {
            for index in 0..self.lives[life].slots() {
                self.answer(life, index);
            }
        }
        self.quiet();
        self.read();
    }

    fn calm_down(&mut self) {
        if self.lives.iter().all(Life::is_retiring) {
            self.start();
        }
        for _ in 0..1_000 {
            if self.lives.iter().all(Life::is_retiring) {
                self.start();
            }
            self.go_on();
            self.own();
            if self.is_limited() {
                // Those that say nothing would keep the others out.
                self.clients.retain(|_, client| !client.is_content());
            }
            if self.clients.values().all(Client::is_content) {
                break;
            }
        }
        self.own_all();
        let content = self.clients.values().all(Client::is_content);
        assert!(content, "{}", self.describe());
        self.clients.clear();
        for _ in 0..1_000 {
            // Requests of clients that are gone.
            self.go_on();
            if self.lives.iter().all(|life| life.inspect(Reactor::len) == 0) {
                break;
            }
        }
        assert!(self.queued().is_empty());
        for life in &self.lives {
            assert_eq!(life.inspect(Reactor::len), 0, "{}", life.describe());
        }
        // An event loop and what wakes it for each worker that has been.
        let expected = self.descriptors + 2 * self.next;
        assert_eq!(descriptors(), expected, "descriptors");
    }

    /// The whole server stops: what was sent is answered, and all workers end.
    fn stop(&mut self) {
        self.tally.stops += 1;
        if self.lives.is_empty() {
            self.start();
        }
        for _ in 0..100 {
            self.clients.values_mut().for_each(|client| client.send(usize::MAX));
            self.quiet();
            self.tick();
        }
        self.read();
        self.ground.stop.set();
        for life in &self.lives {
            life.retire();
        }
        for _ in 0..1_000 {
            self.go_on();
            self.clients.retain(|_, client| !client.is_content());
            if self.lives.is_empty() {
                break;
            }
        }
        assert!(self.lives.is_empty(), "{}", self.describe());
        self.read();
        assert!(self.clients.is_empty(), "requests are left");
        assert!(self.queued().is_empty());
        assert_eq!(descriptors(), self.descriptors + 2 * self.next, "descriptors are left");
    }
}
