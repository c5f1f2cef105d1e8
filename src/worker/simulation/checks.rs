//! What has to hold.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::client::Client;
use super::life::Life;
use super::world::World;
use crate::net::handoff::{Arrival, Contents, Parcel, Payload, Sent};

/// Ticks after which no request may wait while a slot is idle.
const DELAY: usize = 2;

impl World<'_, '_> {
    /// The clients whose connections a worker has. Those that are gone are left out.
    pub fn owned(&self, index: usize) -> Vec<u64> {
        let ids: Vec<u64> =
            self.lives[index].inspect(|reactor| reactor.streams().map(Client::of).collect());
        ids.into_iter().filter(|id| self.clients.contains_key(id)).collect()
    }

    /// No connection may belong to two workers.
    pub fn own(&mut self) {
        let mut owned = HashSet::new();
        for index in 0..self.lives.len() {
            for id in self.owned(index) {
                assert!(owned.insert(id), "client {id} has two owners");
                if let Some(client) = self.clients.get_mut(&id) {
                    client.known = true;
                }
            }
        }
    }

    /// Every connection that was accepted belongs to one worker, or is in the queue.
    pub fn own_all(&mut self) {
        let queued = self.queued();
        let mut owned: Vec<u64> = queued.clone();
        for index in 0..self.lives.len() {
            owned.extend(self.owned(index));
        }
        for client in self.clients.values_mut() {
            let owners = owned.iter().filter(|&&id| id == client.id).count();
            client.known |= owners > 0;
            assert!(owners <= 1, "client {} twice: {queued:?}", client.id);
        }
        let limited = self.is_limited();
        let gone: Vec<u64> = self
            .clients
            .values_mut()
            .filter(|client| client.known && !owned.contains(&client.id))
            .map(|client| {
                // The end of the connection has to be with the client by now.
                let open = client.read(limited);
                assert!(!open, "client {} has no owner", client.id);
                client.id
            })
            .collect();
        for id in gone {
            self.clients.remove(&id);
        }
    }

    /// The clients whose connections are in the queue, which stays as it is.
    pub fn queued(&mut self) -> Vec<u64> {
        let queue = &self.ground.queue;
        let mut arrivals: Vec<Arrival> = Vec::new();
        while let Some(arrival) = queue.receive().expect("a message of ours") {
            arrivals.push(arrival);
        }
        for arrival in &arrivals {
            let parcel = Parcel {
                stream: arrival.stream.as_fd(),
                peer: arrival.peer,
                listener: &arrival.listener,
                proxy: arrival.proxy.as_ref(),
                proxy_due: arrival.proxy_due,
                served: arrival.served,
                head: &arrival.head,
                body: match &arrival.body {
                    Contents::Empty => Payload::Empty,
                    Contents::Memory(bytes) => Payload::Memory(bytes),
                    Contents::File(file, len) => Payload::File(file.as_fd(), *len),
                },
                rest: &arrival.rest,
                ready_since: arrival.ready_since,
            };
            assert_eq!(queue.send(&parcel).expect("room"), Sent::Done);
            assert_eq!(arrival.head.is_empty(), arrival.ready_since == 0);
            let client = self.clients.get_mut(&Client::of(arrival.stream.as_fd()));
            if let Some(client) = client.filter(|_| arrival.ready_since != 0) {
                let since = *client.since.get_or_insert(arrival.ready_since);
                assert_eq!(arrival.ready_since, since, "{client}: it was not complete before");
            }
        }
        let ids = arrivals.iter().map(|arrival| Client::of(arrival.stream.as_fd()));
        ids.filter(|id| self.clients.contains_key(id)).collect()
    }

    /// How often the delay may pass before a request has come to an idle slot. In a worker with
    /// several: until an idle one is called, which takes another request; until the stand-by drives and
    /// hands it over; and until an idle slot is called where it has gone. Room for connections may show
    /// only when others are served.
    pub fn stages(&self) -> usize {
        match self.ground.config.slots() {
            1 => 1,
            _ if !self.is_limited() => 3,
            slots => 2 + slots,
        }
    }

    pub fn describe(&mut self) -> String {
        let life = |(index, life): (usize, &Life<'_, '_>)| {
            format!("{}, clients {:?}", life.describe(), self.owned(index))
        };
        let mut lines: Vec<_> = self.lives.iter().enumerate().map(life).collect();
        lines.extend(self.clients.values().map(Client::to_string));
        lines.push(format!("queue: {:?}", self.queued()));
        lines.join("\n")
    }

    /// Lets the delay pass in which nothing new happens; no complete request may wait then if a slot
    /// is idle.
    pub fn settle(&mut self, step: u64) {
        self.quiet();
        for _ in 0..DELAY * self.stages() {
            self.tick();
            self.quiet();
        }
        self.own_all();
        self.tally.checks += 1;
        self.check_retiring();
        let limit = usize::try_from(self.ground.config.worker_connections).expect("small");
        let idle = self.lives.iter().find(|life| life.is_idle(limit)).map(|life| life.number);
        let limited = self.is_limited();
        let late = self.clients.values_mut().find_map(|client| {
            // What it has been told may have ended the wait.
            let late = client.waits() && client.read(limited) && client.waits();
            late.then(|| client.to_string())
        });
        if late.is_some() && idle.is_none() {
            self.tally.full += 1;
        }
        if let (Some(client), Some(idle)) = (late, idle) {
            panic!("step {step}: {client} waits while worker {idle} is idle:\n{}", self.describe());
        }
    }

    /// Workers that retire have no idle connections, unless there is no room on the way.
    pub fn check_retiring(&mut self) {
        if !self.queued().is_empty() {
            return;
        }
        for index in 0..self.lives.len() {
            if self.lives[index].is_retiring() && self.lives[index].is_driven() {
                let idle = self.owned(index).into_iter().find(|id| self.clients[id].is_idle());
                assert!(idle.is_none(), "client {idle:?} is kept: {}", self.describe());
            }
        }
    }
}
