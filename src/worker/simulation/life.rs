//! A worker without threads: its slots and its stand-by do one step at a time, the same as in their
//! threads.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

use super::client::body;
use crate::app::Seat;
use crate::reactor::{Body, Exchange, Finished, Job, Reactor, Request, When, Workspace};
use crate::sys::time;
use crate::worker::baton::{Baton, Driver, Reach, Waits};
use crate::worker::control::Control;
use crate::worker::parking::Parking;
use crate::worker::requests::Requests;
use crate::worker::slot::{Slot, Turn};
use crate::worker::stand_by::{self, Calls, Look, StandBy, Watch};

/// What a worker is made of.
#[derive(Clone, Copy)]
pub struct Parts<'b, 'a> {
    pub seat: &'b Seat<'a>,
    pub baton: &'b Baton<'a>,
    pub control: &'b Control<'b>,
    pub requests: &'b Requests<'b>,
    pub exchanges: &'b [Arc<Exchange>],
}

pub struct Life<'b, 'a> {
    pub number: usize,
    pub parts: Parts<'b, 'a>,
    slots: Vec<Place<'b, 'a>>,
    stand_by: StandBy<'b, 'a>,
    watch: Watch,
    /// The stand-by drives and waits for events.
    standing: Option<(Driver<'b, 'a>, Calls)>,
    asleep: bool,
}

struct Place<'b, 'a> {
    slot: Slot<'b, 'a>,
    doing: Doing<'b, 'a>,
    workspace: Workspace,
    finished: Option<Finished>,
}

enum Doing<'b, 'a> {
    /// It is about to take the baton.
    Free,
    /// It waits to be called.
    Resting,
    /// It waits for the stand-by to give the baton away.
    Coming,
    Driving {
        driver: Driver<'b, 'a>,
        waiting: bool,
    },
    Serving {
        job: Job,
        asked: Asked,
    },
}

/// A request, as its client has made it.
#[derive(Clone, Copy)]
pub struct Asked {
    pub client: u64,
    pub number: u64,
    size: usize,
    /// How long it was complete before, in nanoseconds.
    pub waited: u64,
}

/// What became of a step.
pub enum Step {
    Still,
    Moved,
    Began(Asked),
    /// The worker ends.
    Over,
}

/// There is one thread: nobody waits.
struct Alone;

impl Waits for Alone {
    fn wait(&self, _: &Parking) {
        unreachable!("a place rests instead");
    }

    fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> MutexGuard<'m, T> {
        mutex.try_lock().expect("nobody drives")
    }
}

impl<'b, 'a> Life<'b, 'a> {
    pub fn new(number: usize, parts: Parts<'b, 'a>) -> Self {
        let Parts { seat, baton, control, requests, exchanges } = parts;
        let slots = exchanges.iter().enumerate().map(|(index, exchange)| Place {
            slot: Slot {
                seat,
                baton,
                control,
                requests,
                exchange: Arc::clone(exchange),
                parking: Arc::new(Parking::default()),
                index,
                is_main: false,
            },
            doing: Doing::Free,
            workspace: Workspace::new(),
            finished: None,
        });
        Self {
            number,
            parts,
            slots: slots.collect(),
            stand_by: StandBy { baton, control, requests },
            watch: Watch::new(),
            standing: None,
            asleep: false,
        }
    }

    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn is_retiring(&self) -> bool {
        self.parts.requests.is_retiring()
    }

    /// It has handled its requests, and is to be replaced.
    pub fn is_spent(&self) -> bool {
        self.parts.seat.slot.is_spent() && !self.is_retiring()
    }

    /// As a signal does.
    pub fn retire(&self) {
        self.parts.requests.retire();
        self.parts.baton.ring();
    }

    /// Looks into the event loop.
    pub fn inspect<R>(&self, look: impl FnOnce(&Reactor<'a>) -> R) -> R {
        if let Some((driver, _)) = &self.standing {
            return look(&driver.reactor);
        }
        for place in &self.slots {
            if let Doing::Driving { driver, .. } = &place.doing {
                return look(&driver.reactor);
            }
        }
        look(&self.parts.baton.abandoned().expect("nobody drives"))
    }

    /// Whether somebody drives the event loop.
    pub fn is_driven(&self) -> bool {
        self.standing.is_some() || self.parts.baton.abandoned().is_none()
    }

    /// Whether a slot has nothing to do, and could take what comes in.
    pub fn is_idle(&self, limit: usize) -> bool {
        let idle = |place: &Place<'_, '_>| !matches!(place.doing, Doing::Serving { .. });
        let open = self.inspect(|reactor| reactor.len() < limit);
        !self.is_retiring() && open && self.slots.iter().any(idle)
    }

    /// What its threads are doing, for a message.
    pub fn describe(&self) -> String {
        let mut text = format!("worker {}:", self.number);
        for place in &self.slots {
            text += match &place.doing {
                Doing::Free => " free",
                Doing::Resting => " rests",
                Doing::Coming => " comes",
                Doing::Driving { waiting: true, .. } => " waits",
                Doing::Driving { waiting: false, .. } => " drives",
                Doing::Serving { .. } => " serves",
            };
        }
        text += match (&self.standing, self.asleep) {
            (Some(_), _) => ", stand-by drives",
            (None, true) => ", stand-by sleeps",
            (None, false) => ", stand-by ticks",
        };
        let retiring = self.is_retiring();
        self.inspect(|reactor| {
            let (count, waiting, open) = (reactor.len(), reactor.has_waiting(), reactor.is_open());
            format!(
                "{text}, {count} connections, waiting: {waiting}, open: {open}, retiring: {retiring}"
            )
        })
    }

    /// A step of a slot, other than to end a request.
    pub fn advance(&mut self, index: usize, tick: bool) -> Step {
        let place = &mut self.slots[index];
        match std::mem::replace(&mut place.doing, Doing::Free) {
            Doing::Free => match self.parts.baton.reach(&mut place.finished, &place.slot.parking) {
                Reach::Taken(driver) => return self.take(index, driver),
                Reach::Rests => place.doing = Doing::Resting,
                Reach::Comes => place.doing = Doing::Coming,
                Reach::Over => unreachable!("it has not ended"),
            },
            Doing::Resting => {
                if !place.slot.parking.is_called() {
                    place.doing = Doing::Resting;
                    return Step::Still;
                }
            }
            Doing::Coming => {
                if self.standing.is_some() || self.parts.baton.abandoned().is_none() {
                    place.doing = Doing::Coming;
                    return Step::Still;
                }
                let driver = self.parts.baton.claim(&Alone);
                return self.take(index, driver);
            }
            Doing::Driving { mut driver, waiting } => {
                if waiting {
                    driver.reactor.poll(Some(0)).expect("poll");
                    let due = tick && self.parts.control.next_look().is_some();
                    if !due && !driver.reactor.has_events() {
                        place.doing = Doing::Driving { driver, waiting };
                        return Step::Still;
                    }
                }
                return self.turn(index, driver);
            }
            serving @ Doing::Serving { .. } => {
                place.doing = serving;
                return Step::Still;
            }
        }
        Step::Moved
    }

    fn take(&mut self, index: usize, mut driver: Driver<'b, 'a>) -> Step {
        let place = &mut self.slots[index];
        if let Some(finished) = place.finished.take() {
            driver.reactor.finish(finished);
        }
        if place.slot.begin(&mut driver) {
            return Step::Over;
        }
        place.doing = Doing::Driving { driver, waiting: false };
        Step::Moved
    }

    fn turn(&mut self, index: usize, mut driver: Driver<'b, 'a>) -> Step {
        let place = &mut self.slots[index];
        match place.slot.turn(&mut driver, &mut place.workspace).expect("poll") {
            Turn::Over => return Step::Over,
            Turn::Wait => {
                let waiting = !driver.reactor.is_pressed();
                if waiting {
                    driver.caught_up();
                } else {
                    driver.reactor.poll(None).expect("poll");
                }
                place.doing = Doing::Driving { driver, waiting };
            }
            Turn::Serve(mut job) => {
                driver.release();
                fence(Ordering::SeqCst);
                self.parts.baton.has_left();
                let request = place.workspace.request(&mut job);
                let asked = understand(request);
                let mark = self.parts.seat.slot.mark(index);
                mark.begin_request(time::monotonic_coarse_ns(), b"GET", b"/");
                place.doing = Doing::Serving { job, asked };
                return Step::Began(asked);
            }
        }
        Step::Moved
    }

    /// Ends the request of a slot, if it has one.
    pub fn answer(&mut self, index: usize) -> Option<Asked> {
        let place = &mut self.slots[index];
        match std::mem::replace(&mut place.doing, Doing::Free) {
            Doing::Serving { job, asked } => {
                let exchange = &place.slot.exchange;
                let serial = exchange.renew();
                let body = body(asked.client, asked.number, asked.size);
                let length = body.len().to_string();
                exchange
                    .start(serial, (200, b"200 OK"), false, |headers| {
                        headers.push(b"Content-Length", length.as_bytes())
                    })
                    .expect("a valid response");
                // The client may be gone.
                let _ = exchange.write(serial, &body, When::End, || Box::new(body.clone()));
                self.parts.seat.slot.mark(index).end_request();
                place.finished = Some(job.finish(exchange));
                Some(asked)
            }
            other => {
                place.doing = other;
                None
            }
        }
    }

    /// A step of the stand-by; with `late` long after the last one.
    pub fn stand_by(&mut self, tick: bool, late: bool) -> Step {
        if let Some((mut driver, calls)) = self.standing.take() {
            let pressed = driver.reactor.is_pressed();
            driver.reactor.poll(Some(0)).expect("poll");
            if !pressed && !driver.reactor.has_events() && !tick {
                self.standing = Some((driver, calls));
                return Step::Still;
            }
            self.stand(driver, calls, late);
            return Step::Moved;
        }
        if self.asleep {
            self.asleep = self.parts.baton.is_asleep();
        } else if tick {
            match self.stand_by.look(&mut self.watch) {
                Look::Tick => {}
                Look::Sleep(seen) => {
                    self.asleep = self.parts.baton.lie_down(seen);
                    assert!(self.asleep, "nothing happens in between");
                }
                Look::Drive(driver) => {
                    self.stand(driver, Calls::new(), false);
                    return Step::Moved;
                }
            }
        }
        Step::Still
    }

    fn stand(&mut self, mut driver: Driver<'b, 'a>, mut calls: Calls, late: bool) {
        let now = if late { u64::MAX / 2 } else { 0 };
        match self.stand_by.turn(&mut driver, &mut calls, now) {
            stand_by::Turn::Wait(_) => self.standing = Some((driver, calls)),
            stand_by::Turn::Over => self.stand_by.step_down(driver, &mut self.watch),
        }
    }

    /// Ends the worker as a kill does; `empty` takes the place of its event loop.
    pub fn end(mut self, empty: Reactor<'a>) {
        let mut driver = self.standing.take().map(|(driver, _)| driver);
        for place in &mut self.slots {
            match std::mem::replace(&mut place.doing, Doing::Free) {
                Doing::Driving { driver: held, .. } => driver = Some(held),
                Doing::Serving { .. } => drop(place.slot.exchange.end()),
                _ => {}
            }
        }
        let mut driver =
            driver.unwrap_or_else(|| match self.parts.baton.reach(&mut None, &Arc::default()) {
                Reach::Taken(driver) => driver,
                _ => unreachable!("nobody drives"),
            });
        driver.finish_returned();
        *driver.reactor = empty;
    }
}

/// Who has asked for it; the body has to be that of the request.
fn understand(request: Request<'_>) -> Asked {
    let target = std::str::from_utf8(request.head.target()).expect("a target of ours");
    let mut numbers = target.split('/').skip(1).map(|part| part.parse().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let (client, number, size) = (next(), next(), usize::try_from(next()).expect("small"));
    let waited = u64::try_from(request.waited.as_nanos()).expect("short");
    let bytes = match request.body {
        Body::Empty => Vec::new(),
        Body::Memory(bytes) => bytes,
        Body::File(mut file, len) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes).expect("a readable file");
            assert_eq!(bytes.len() as u64, len);
            bytes
        }
        Body::Stream => unreachable!("bodies are buffered"),
    };
    if request.head.method() == b"POST" {
        assert_eq!(bytes, body(client, number, bytes.len()), "the body of another request");
    } else {
        assert!(bytes.is_empty());
    }
    Asked { client, number, size, waited }
}
