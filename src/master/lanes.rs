//! Sockets of its own for each worker (`reuse_port`).
//!
//! A *lane* is one socket per TCP address, among which the kernel spreads the connections
//! (`SO_REUSEPORT`). Closing such a socket resets what waits in its backlog, which is why no lane is
//! ever closed while the server runs: the master holds all of them open, and a worker that goes leaves
//! its lanes to the one that comes. A lane that nobody has for the moment, after TTOU for instance, is
//! looked after by the master, who puts its connections into the queue between workers.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::record::{Read, Reader, Writer};
use super::sockets::{Sockets, restore_listener, save_listener};
use super::workers::{Phase, Worker, Workers};
use crate::error::Error;
use crate::net::handoff::{Parcel, Payload, Queue, Sent};
use crate::net::listener::Listener;
use crate::sys::socket::{self, Peer};

/// Connections that are moved from one lane before the master looks at something else.
const AT_ONCE: usize = 32;

#[derive(Default)]
pub struct Lanes {
    enabled: bool,
    backlog: u32,
    /// The first lane is that of [`Sockets`]; these are the others.
    more: Vec<Vec<Listener>>,
    /// Which lanes a worker has, by its age.
    owners: BTreeMap<u64, Vec<usize>>,
    /// A connection for which the queue had no room, and the address it came to.
    held: Option<(OwnedFd, Peer, String)>,
}

impl Lanes {
    /// Sockets that another master has passed on may be those of several lanes.
    pub fn new(enabled: bool, backlog: u32, sockets: &mut Sockets) -> Self {
        let more = if enabled { sockets.take_lanes() } else { Vec::new() };
        Self { enabled, backlog, more, ..Self::default() }
    }

    /// A connection that waits for room in the queue is not part of it ([`Self::holds_one`]).
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn save(&self, record: &mut Writer) -> io::Result<()> {
        record.put(self.enabled);
        record.put(self.backlog);
        record.try_list(&self.more, |record, lane| record.try_list(lane, save_listener))?;
        record.list(&self.owners, |record, (age, lanes)| {
            record.put(age);
            record.list(lanes, Writer::put);
        });
        Ok(())
    }

    pub fn restore(record: &mut Reader<'_>) -> Read<Self> {
        Ok(Self {
            enabled: record.flag()?,
            backlog: record.number()?,
            more: record.list(|record| record.list(restore_listener))?,
            owners: record
                .list(|record| Ok((record.number()?, record.list(Reader::number)?)))?
                .into_iter()
                .collect(),
            held: None,
        })
    }

    fn count(&self) -> usize {
        1 + self.more.len()
    }

    /// The sockets of all lanes but the first.
    pub fn more(&self) -> impl Iterator<Item = &Listener> {
        self.more.iter().flatten()
    }

    /// Opens what the lanes need for new addresses. Sockets of a configuration that may come back stay
    /// until [`Self::forget`].
    pub fn follow(&mut self, sockets: &Sockets) {
        for lane in &mut self.more {
            if let Err(error) = complete(lane, sockets, self.backlog) {
                tracing::warn!("A worker will not listen everywhere: {error}");
            }
        }
    }

    /// Closes the sockets of addresses that are of no use any more.
    pub fn forget(&mut self, sockets: &Sockets) {
        for lane in &mut self.more {
            lane.retain(|listener| sockets.tcp().any(|known| known.text() == listener.text()));
        }
    }

    /// Gives lanes to a worker that is about to be forked: its share of those that no other worker of
    /// its generation has, or a new one.
    pub fn assign(&mut self, age: u64, generation: u64, workers: &Workers, sockets: &Sockets) {
        if !self.enabled || sockets.tcp().next().is_none() {
            return;
        }
        let peers = || workers.iter().filter(|one| one.generation == generation && one.stays());
        let older = peers().filter(|one| one.age < age);
        let taken: Vec<usize> =
            older.filter_map(|one| self.owners.get(&one.age)).flatten().copied().collect();
        let free: Vec<usize> = (0..self.count()).filter(|lane| !taken.contains(lane)).collect();
        // It, and those to be forked after it.
        let coming = peers().filter(|one| one.age >= age).count().max(1);
        let lanes = match free.len().div_ceil(coming) {
            0 => vec![
                self.spare(&peers().map(|one| one.age).collect::<Vec<_>>())
                    .unwrap_or_else(|| self.add(sockets)),
            ],
            share => free.into_iter().take(share).collect(),
        };
        self.owners.insert(age, lanes);
    }

    /// A lane of one of these workers that has another one besides. It goes on to accept there, too.
    fn spare(&mut self, ages: &[u64]) -> Option<usize> {
        let rich = |(age, lanes): &(&u64, &mut Vec<usize>)| ages.contains(*age) && lanes.len() > 1;
        self.owners.iter_mut().find(rich)?.1.pop()
    }

    /// Opens another lane and returns its number. If that is not possible, two workers share one.
    fn add(&mut self, sockets: &Sockets) -> usize {
        let mut lane = Vec::new();
        match complete(&mut lane, sockets, self.backlog) {
            Ok(()) => self.more.push(lane),
            Err(error) => tracing::warn!("A worker shares the socket of another one: {error}"),
        }
        self.more.len()
    }

    /// The worker is gone.
    pub fn release(&mut self, age: u64) {
        self.owners.remove(&age);
    }

    /// In a forked worker: leaves it nothing but its own lanes.
    pub fn keep(&mut self, age: u64, sockets: &mut Sockets) {
        let Some(own) = self.owners.remove(&age) else { return };
        let more = std::mem::take(&mut self.more).into_iter().zip(1..);
        let more = more.filter(|(_, number)| own.contains(number)).flat_map(|(lane, _)| lane);
        sockets.keep_lanes(own.contains(&0), more.collect());
        self.held = None;
    }

    /// The sockets that no worker accepts from, while there are workers to serve their connections.
    pub fn deserted<'a>(&'a self, sockets: &'a Sockets, workers: &Workers) -> Vec<&'a Listener> {
        let serves = |worker: &Worker| worker.stays() && worker.phase == Phase::Ready;
        if !self.enabled || self.owners.is_empty() || workers.count(serves) == 0 {
            return Vec::new();
        }
        let staying = workers.iter().filter(|worker| worker.stays());
        let owned: Vec<usize> =
            staying.filter_map(|one| self.owners.get(&one.age)).flatten().copied().collect();
        let first = sockets.tcp().filter(|_| !owned.contains(&0));
        let more = self.more.iter().zip(1..).filter(|(_, number)| !owned.contains(number));
        first.chain(more.flat_map(|(lane, _)| lane)).collect()
    }

    /// Whether a connection waits for room in the queue.
    pub fn holds_one(&self) -> bool {
        self.held.is_some()
    }

    /// Moves what waits at deserted sockets into the queue.
    pub fn forward(&mut self, sockets: &Sockets, workers: &Workers, queue: &Queue, proxy: bool) {
        if let Some(held) = self.held.take() {
            self.held = send(held, queue, proxy);
        }
        let mut held = self.held.take();
        for listener in self.deserted(sockets, workers) {
            for _ in 0..AT_ONCE {
                // An error passes, or shows up again.
                let next = held.is_none().then(|| socket::accept(listener.as_fd()));
                let Some(Ok(Some((stream, peer)))) = next else { break };
                held = send((stream, peer, listener.text().to_owned()), queue, proxy);
            }
        }
        self.held = held;
    }

    /// Closes all but the first lane.
    pub fn close(&mut self) {
        self.more.clear();
        self.owners.clear();
        self.held = None;
    }
}

/// Adds to a lane what it lacks.
fn complete(lane: &mut Vec<Listener>, sockets: &Sockets, backlog: u32) -> Result<(), Error> {
    for first in sockets.tcp() {
        if lane.iter().all(|listener| listener.text() != first.text()) {
            lane.push(first.sibling(backlog)?);
        }
    }
    Ok(())
}

/// Puts a new connection into the queue; returns it if there is no room.
fn send(
    held: (OwnedFd, Peer, String),
    queue: &Queue,
    proxy: bool,
) -> Option<(OwnedFd, Peer, String)> {
    let (stream, peer, listener) = &held;
    let parcel = Parcel {
        stream: stream.as_fd(),
        peer: *peer,
        listener,
        proxy: None,
        proxy_due: proxy,
        served: false,
        head: &[],
        body: Payload::Empty,
        rest: &[],
        ready_since: 0,
    };
    match queue.send(&parcel) {
        Ok(Sent::Full) => Some(held),
        Ok(Sent::Done) => None,
        Err(error) => {
            tracing::warn!("A connection was lost on its way to a worker: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::net::listener::Opening;

    /// Lanes at a free port, and workers that are only book-keeping.
    struct Place {
        sockets: Sockets,
        lanes: Lanes,
        workers: Workers,
        age: u64,
    }

    impl Place {
        fn new() -> Self {
            let opening = Opening { reuse_port: true, ..Opening::with_backlog(64) };
            let mut sockets = Sockets::open(&[], &["127.0.0.1:0".to_owned()], opening).unwrap();
            let lanes = Lanes::new(true, 64, &mut sockets);
            Self { sockets, lanes, workers: Workers::default(), age: 0 }
        }

        /// Forks so many workers together; which lanes each of them gets.
        fn spawn(&mut self, generation: u64, count: u64) -> Vec<Vec<usize>> {
            let ages = self.age + 1..=self.age + count;
            self.age += count;
            for age in ages.clone() {
                self.workers.push(Worker::new(age, generation, Duration::ZERO));
            }
            for age in ages.clone() {
                self.lanes.assign(age, generation, &self.workers, &self.sockets);
            }
            self.workers.iter_mut().for_each(|worker| worker.phase = Phase::Ready);
            ages.map(|age| self.lanes.owners[&age].clone()).collect()
        }

        fn dismiss(&mut self, age: u64) {
            self.workers.by_age(age).unwrap().dismissed = true;
        }

        fn deserted(&self) -> usize {
            self.lanes.deserted(&self.sockets, &self.workers).len()
        }
    }

    #[test]
    fn each_worker_of_a_generation_has_lanes_of_its_own_and_none_is_lost() {
        let mut place = Place::new();
        assert_eq!(place.spawn(1, 3), [[0], [1], [2]]);
        // A crash: the next one takes over.
        place.dismiss(2);
        assert_eq!(place.deserted(), 1);
        assert_eq!((place.spawn(1, 1), place.deserted()), (vec![vec![1]], 0));
        // A reload with fewer workers, then with more.
        assert_eq!(place.spawn(2, 2), [vec![0, 1], vec![2]]);
        assert_eq!(place.spawn(3, 4), [[0], [1], [2], [3]]);
        // One with two lanes leaves one of them to the next.
        assert_eq!(place.spawn(4, 3), [vec![0, 1], vec![2], vec![3]]);
        assert_eq!((place.spawn(4, 1), place.spawn(4, 1)), (vec![vec![1]], vec![vec![4]]));
        assert_eq!((place.lanes.count(), place.spawn(5, 1)), (5, vec![vec![0, 1, 2, 3, 4]]));
        for age in 1..place.age {
            place.dismiss(age);
        }
        assert_eq!(place.deserted(), 0);
        // Nobody is there to serve them.
        place.dismiss(place.age);
        assert_eq!(place.deserted(), 0);
    }

    #[test]
    fn lanes_follow_the_addresses_and_keep_what_may_come_back() {
        let mut place = Place::new();
        place.spawn(1, 3);
        let per_lane =
            |place: &Place| -> Vec<usize> { place.lanes.more.iter().map(Vec::len).collect() };
        let opening = Opening { reuse_port: true, ..Opening::with_backlog(64) };
        let bind = ["127.0.0.1:0".to_owned(), "[::1]:0".to_owned()];
        place.sockets.change(&bind, opening).unwrap();
        place.lanes.follow(&place.sockets);
        assert_eq!((per_lane(&place), place.sockets.listeners().len()), (vec![2, 2], 2));
        place.sockets.change(&bind[1..], opening).unwrap();
        place.lanes.follow(&place.sockets);
        assert_eq!(per_lane(&place), [2, 2]);
        place.sockets.rollback();
        place.lanes.forget(&place.sockets);
        assert_eq!(per_lane(&place), [1, 1]);
        place.sockets.change(&bind[1..], opening).unwrap();
        place.lanes.follow(&place.sockets);
        place.sockets.commit();
        place.lanes.forget(&place.sockets);
        assert_eq!(per_lane(&place), [1, 1]);
        let texts: Vec<&str> = place.lanes.more.iter().map(|lane| lane[0].text()).collect();
        assert_eq!(texts, [place.sockets.text(), place.sockets.text()]);
    }

    #[test]
    fn connections_of_deserted_lanes_go_into_the_queue() {
        let mut place = Place::new();
        place.spawn(1, 2);
        place.dismiss(1);
        let text = place.sockets.text();
        let address = text.strip_prefix("http://").unwrap();
        let clients: Vec<TcpStream> =
            (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
        let queue = Queue::new().unwrap();
        place.lanes.forward(&place.sockets, &place.workers, &queue, true);
        let mut moved = 0;
        while let Some(arrival) = queue.receive().unwrap() {
            assert!(arrival.proxy_due && !arrival.served && arrival.head.is_empty());
            assert_eq!(arrival.listener, text);
            moved += 1;
        }
        // The rest came to the other lane, whose worker is there.
        assert!(moved > 0 && moved < clients.len(), "{moved}");
    }

    #[test]
    fn a_worker_keeps_its_own_lane() {
        for (age, expected) in [(1, 0), (2, 1), (3, 2)] {
            let mut place = Place::new();
            place.spawn(1, 3);
            let lane = |place: &Place, number: usize| match number {
                0 => place.sockets.listeners()[0].as_fd().try_clone_to_owned().unwrap(),
                _ => place.lanes.more[number - 1][0].as_fd().try_clone_to_owned().unwrap(),
            };
            let wanted = lane(&place, expected);
            place.lanes.keep(age, &mut place.sockets);
            let [kept] = place.sockets.listeners() else { panic!("one listener") };
            let inode = |fd: &dyn std::os::fd::AsRawFd| {
                std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
            };
            assert_eq!(inode(&kept.as_fd()), inode(&wanted));
        }
    }

    #[test]
    fn without_the_setting_or_tcp_nothing_changes() {
        let mut place = Place::new();
        place.lanes = Lanes::new(false, 64, &mut place.sockets);
        place.workers.push(Worker::new(1, 1, Duration::ZERO));
        place.lanes.assign(1, 1, &place.workers, &place.sockets);
        place.lanes.keep(1, &mut place.sockets);
        assert_eq!((place.sockets.listeners().len(), place.deserted()), (1, 0));
    }
}
