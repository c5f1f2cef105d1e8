//! What a slot of the scoreboard means to the state machine.

use std::time::Duration;

use super::seats::Seats;
use super::state::{Event, Sight};
use super::workers::{Busy, Doing, Phase};
use crate::scoreboard::{Mode, Scoreboard, SlotView, State};
use crate::sys::process::{self, Pid};

/// What the workers show at this moment, with the memory that they use if that is to be sampled.
pub fn sights(scoreboard: &Scoreboard, seats: &Seats, sample: bool) -> Event {
    let look = |(slot, age)| {
        let view = scoreboard.slot(slot).view();
        // One that is not there yet, or no more, uses none.
        let memory = || {
            let pid = i32::try_from(view.pid).ok().and_then(Pid::new)?;
            process::resident_memory(pid).ok()
        };
        let memory = sample.then(|| memory().unwrap_or_default());
        Sight { memory, ..sight(age, view) }
    };
    Event::Seen(seats.taken().map(look).collect())
}

/// Of what a worker is doing only that counts which the timeout limits.
fn sight(age: u64, view: SlotView) -> Sight {
    let phase = match view.state {
        State::Free | State::Booting => Phase::Booting,
        State::Ready => Phase::Ready,
        State::Retiring => Phase::Retiring,
    };
    let request = view.request.map(|request| (request.since, request.line));
    let since_and_doing = match (view.mode, view.waiting_since, request) {
        (Mode::Sync, Some(since), _) => Some((since, Doing::Waiting)),
        (Mode::Sync, None, request) => request.map(|(since, line)| (since, Doing::Request(line))),
        (Mode::Threads(_), since, request) => since
            .map(|since| (since, Doing::ThreadWaiting { oldest: request.map(|(_, line)| line) })),
    };
    let busy =
        since_and_doing.map(|(since, doing)| Busy { since: Duration::from_nanos(since), doing });
    Sight { age, phase, busy, spent: view.spent, memory: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scoreboard::Scoreboard;

    #[test]
    fn a_sync_worker_is_timed_in_requests_and_waits() {
        let board = Scoreboard::new(1).expect("scoreboard");
        let slot = board.slot(0);
        slot.reset(3, 1, Mode::Sync);
        slot.set_state(State::Ready);
        let now = || sight(3, slot.view());
        assert_eq!((now().age, now().phase, now().busy), (3, Phase::Ready, None));
        slot.mark(0).begin_request(7, b"GET", b"/");
        let doing = Doing::Request("GET /".to_owned());
        assert_eq!(now().busy, Some(Busy { since: Duration::from_nanos(7), doing }));
        slot.mark(0).end_request();
        slot.mark(0).begin_wait(9);
        let waiting = Busy { since: Duration::from_nanos(9), doing: Doing::Waiting };
        assert_eq!(now().busy, Some(waiting));
    }

    proptest! {
        /// Threads by what they do: `Some((since, true))` waits, `Some((since, false))` is in a
        /// request.
        #[test]
        fn a_threaded_worker_is_timed_in_its_longest_wait_only(
            threads in proptest::collection::vec(
                proptest::option::of((1_u64..1000, any::<bool>())), 1..20),
        ) {
            let board = Scoreboard::new(1).expect("scoreboard");
            let slot = board.slot(0);
            slot.reset(1, 1, Mode::Threads(threads.len()));
            for (index, doing) in threads.iter().enumerate() {
                match *doing {
                    None => slot.mark(index).end_request(),
                    Some((since, true)) => slot.mark(index).begin_wait(since),
                    Some((since, false)) => {
                        slot.mark(index).begin_request(since, b"GET", since.to_string().as_bytes());
                    }
                }
            }
            let first = |waits: bool| {
                let chosen = threads.iter().flatten().filter(|(_, waiting)| *waiting == waits);
                chosen.map(|(since, _)| *since).min()
            };
            let oldest = first(false).map(|since| format!("GET {since}"));
            let expected = first(true).map(|since| Busy {
                since: Duration::from_nanos(since),
                doing: Doing::ThreadWaiting { oldest },
            });
            prop_assert_eq!(sight(1, slot.view()).busy, expected);
        }
    }
}
