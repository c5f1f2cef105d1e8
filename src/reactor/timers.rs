//! Deadlines of connections, one queue per kind.
//!
//! All deadlines of one kind lie the same distance ahead, so each queue is a list in order of
//! expiry: setting, moving and clearing a deadline are a few pointer writes, and the next one to
//! expire is at the front. Nothing ticks: the event loop sleeps until [`Timers::next`].
//!
//! Moments are nanoseconds of the monotonic clock.

use std::time::Duration;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The rest of a request head, or the first one of a new connection.
    Head,
    /// More of a request body.
    Body,
    /// The client to take more of a response.
    Write,
    /// The next request of a kept-alive connection.
    Idle,
    /// The client to close, behind our own close.
    Linger,
}

const KINDS: usize = 5;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// The queue it is in, and when it expires.
    armed: Option<(Kind, u64)>,
}

#[derive(Clone, Copy)]
struct Queue {
    /// `None`: these waits have no end.
    distance: Option<u64>,
    head: u32,
    tail: u32,
}

/// The deadlines of all connections of a worker; connections are known by their slab key.
pub struct Timers {
    nodes: Vec<Node>,
    queues: [Queue; KINDS],
}

/// How long each kind of wait may last; zero is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Durations {
    pub head: Duration,
    pub body: Duration,
    pub write: Duration,
    pub idle: Duration,
    pub linger: Duration,
}

impl Timers {
    pub fn new(durations: Durations) -> Self {
        let queue = |distance| Queue { distance: nanos(distance), head: NONE, tail: NONE };
        Self {
            nodes: Vec::new(),
            queues: [
                queue(durations.head),
                queue(durations.body),
                queue(durations.write),
                queue(durations.idle),
                queue(durations.linger),
            ],
        }
    }

    /// Gives connection `key` a deadline of this kind from `now` on, in place of any other it had.
    pub fn arm(&mut self, key: u32, kind: Kind, now: u64) {
        self.disarm(key);
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, Node { previous: NONE, next: NONE, armed: None });
        }
        let queue = &mut self.queues[kind as usize];
        let Some(distance) = queue.distance else { return };
        let tail = std::mem::replace(&mut queue.tail, key);
        let armed = Some((kind, now.saturating_add(distance)));
        if tail == NONE {
            queue.head = key;
        }
        self.nodes[index] = Node { previous: tail, next: NONE, armed };
        if tail != NONE {
            self.nodes[tail as usize].next = key;
        }
    }

    /// Takes away the deadline of `key`, if it has one.
    pub fn disarm(&mut self, key: u32) {
        let Some(node) = self.nodes.get_mut(key as usize) else { return };
        let Some((kind, _)) = node.armed.take() else { return };
        let Node { previous, next, .. } = *node;
        let queue = &mut self.queues[kind as usize];
        if previous == NONE {
            queue.head = next;
        }
        if next == NONE {
            queue.tail = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// The kind of deadline `key` has.
    pub fn armed(&self, key: u32) -> Option<Kind> {
        self.nodes.get(key as usize).and_then(|node| node.armed).map(|(kind, _)| kind)
    }

    /// The connection that has waited longest for `kind`.
    pub fn oldest(&self, kind: Kind) -> Option<u32> {
        let head = self.queues[kind as usize].head;
        (head != NONE).then_some(head)
    }

    /// When the next deadline expires.
    pub fn next(&self) -> Option<u64> {
        self.heads().map(|(_, _, at)| at).min()
    }

    /// Takes one expired deadline.
    pub fn expired(&mut self, now: u64) -> Option<(u32, Kind)> {
        let (key, kind, _) = self.heads().find(|(_, _, at)| *at <= now)?;
        self.disarm(key);
        Some((key, kind))
    }

    /// Lowers the distance of one kind, also for connections that already wait.
    pub fn shorten(&mut self, kind: Kind, distance: Duration, now: u64) {
        let queue = &mut self.queues[kind as usize];
        let distance = nanos(distance).unwrap_or(0);
        queue.distance = Some(queue.distance.map_or(distance, |before| before.min(distance)));
        let limit = now.saturating_add(distance);
        let mut key = queue.head;
        while key != NONE {
            let node = &mut self.nodes[key as usize];
            if let Some((_, at)) = &mut node.armed {
                *at = limit.min(*at);
            }
            key = node.next;
        }
    }

    fn heads(&self) -> impl Iterator<Item = (u32, Kind, u64)> + '_ {
        self.queues.iter().filter(|queue| queue.head != NONE).filter_map(|queue| {
            let (kind, at) = self.nodes[queue.head as usize].armed?;
            Some((queue.head, kind, at))
        })
    }
}

fn nanos(duration: Duration) -> Option<u64> {
    (!duration.is_zero()).then(|| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timers() -> Timers {
        let second = Duration::from_secs(1);
        Timers::new(Durations {
            head: 5 * second,
            body: 7 * second,
            write: 9 * second,
            idle: 2 * second,
            linger: second,
        })
    }

    const ALL: [Kind; KINDS] = [Kind::Head, Kind::Body, Kind::Write, Kind::Idle, Kind::Linger];

    #[test]
    fn shortening_moves_waiting_deadlines_forward() {
        let mut timers = timers();
        let start = 1_000;
        timers.arm(3, Kind::Idle, start);
        timers.shorten(Kind::Idle, Duration::from_millis(500), start);
        assert_eq!(timers.next(), Some(start + 500_000_000));
    }

    proptest! {
        /// The queues agree with a plain map of deadlines under any sequence of calls.
        #[test]
        fn agrees_with_a_naive_map(steps in prop::collection::vec(
            (0_u32..12, prop::option::of(0_usize..KINDS), 0_u64..1500), 1..200)) {
            let mut timers = timers();
            let mut naive = std::collections::HashMap::new();
            let mut now = 5_u64;
            for (key, kind, advance) in steps {
                now += advance * 1_000_000;
                while let Some((key, kind)) = timers.expired(now) {
                    let (expected, at): (Kind, u64) = naive.remove(&key).unwrap();
                    prop_assert_eq!(kind, expected);
                    prop_assert!(at <= now);
                }
                prop_assert!(naive.values().all(|(_, at)| *at > now));
                if let Some(kind) = kind {
                    let kind = ALL[kind];
                    timers.arm(key, kind, now);
                    naive.insert(key, (kind, now + timers.queues[kind as usize].distance.unwrap()));
                } else {
                    timers.disarm(key);
                    naive.remove(&key);
                }
                prop_assert_eq!(timers.next(), naive.values().map(|(_, at)| *at).min());
                for kind in ALL {
                    let oldest = naive.iter().filter(|(_, (k, _))| *k == kind)
                        .map(|(_, (_, at))| *at).min();
                    let found = timers.oldest(kind).map(|key| naive[&key].1);
                    prop_assert_eq!(found, oldest);
                }
            }
        }
    }
}
