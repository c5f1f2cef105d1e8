use std::sync::atomic::Ordering;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::mark::LINE;
use super::{Bell, MARKS, Mode, QueueView, Scoreboard, Slot, State, StopFlag};
use crate::sys::testing::in_child;

fn board() -> Scoreboard {
    Scoreboard::new(3).expect("scoreboard")
}

/// The line of the request in progress.
fn line(slot: &Slot) -> String {
    slot.view().request.expect("a request in progress").line
}

fn rings(bell: &Bell, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(bell.fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).expect("poll") == 1
}

#[test]
fn slots_are_whole_cache_lines() {
    assert_eq!(size_of::<Slot>() % 64, 0);
    assert_eq!(std::mem::offset_of!(Slot, queue), 64);
    assert_eq!(std::mem::offset_of!(Slot, marks), 128);
    assert_eq!(size_of::<super::Mark>(), 256);
}

#[test]
fn a_workers_life_is_seen_by_the_master() {
    let board = board();
    let slot = board.slot(1);
    slot.reset(7, 2, Mode::Sync);
    assert_eq!(slot.view().state, State::Booting);
    in_child(|| {
        slot.set_pid(std::process::id());
        slot.set_state(State::Ready);
        slot.mark(0).begin_request(5, b"GET", b"/first");
        slot.mark(0).end_request();
        slot.mark(0).begin_request(99, b"POST", b"/second?x=\x1b\n");
        Ok(())
    });
    let view = slot.view();
    assert!(view.pid != 0 && view.pid != std::process::id());
    assert_eq!((view.age, view.generation, view.state), (7, 2, State::Ready));
    assert_eq!((view.requests, view.mode, view.waiting_since), (2, Mode::Sync, None));
    let request = view.request.expect("a request");
    assert_eq!((request.since, request.line.as_str()), (99, "POST /second?x=\\u{1b}\\n"));
    slot.mark(0).begin_wait(120);
    let view = slot.view();
    assert_eq!((view.requests, view.request, view.waiting_since), (2, None, Some(120)));

    slot.free();
    assert_eq!((slot.view().state, slot.view().waiting_since), (State::Free, None));
    slot.reset(8, 2, Mode::Sync);
    let view = slot.view();
    assert_eq!((view.pid, view.requests, view.request), (0, 0, None));
    assert_eq!(board.slot(0).view().state, State::Free);
    assert_eq!(board.slot(2).view().state, State::Free);
}

#[test]
fn threads_have_marks_of_their_own() {
    let board = board();
    let slot = board.slot(1);
    slot.reset(1, 1, Mode::Threads(3));
    // Beyond the threads there are: not looked at.
    slot.mark(3).begin_request(1, b"GET", b"/unseen");
    slot.mark(1).begin_request(30, b"GET", b"/second");
    slot.mark(2).begin_request(20, b"GET", b"/first");
    slot.mark(0).begin_wait(25);
    let view = slot.view();
    assert_eq!((view.mode, view.requests, view.waiting_since), (Mode::Threads(3), 2, Some(25)));
    assert_eq!(view.request.map(|request| request.line).as_deref(), Some("GET /first"));
    slot.mark(2).end_request();
    slot.mark(0).begin_request(40, b"GET", b"/third");
    slot.mark(2).begin_wait(50);
    let view = slot.view();
    assert_eq!((view.requests, view.waiting_since), (3, Some(50)));
    assert_eq!(view.request.map(|request| request.line).as_deref(), Some("GET /second"));

    // What an earlier worker left in marks that its successor uses again does not show.
    slot.free();
    slot.reset(2, 1, Mode::Sync);
    slot.reset(3, 1, Mode::Threads(MARKS));
    let view = slot.view();
    assert_eq!((view.requests, view.request, view.waiting_since), (0, None, None));
    slot.mark(MARKS - 1).begin_request(7, b"GET", b"/last");
    assert_eq!((slot.view().requests, line(slot).as_str()), (1, "GET /last"));
    assert_eq!(board.slot(0).view().requests + board.slot(2).view().requests, 0);
}

#[test]
fn the_queue_is_counted_by_all_threads_together() {
    let board = board();
    let slot = board.slot(0);
    slot.reset(1, 1, Mode::Threads(4));
    assert_eq!(slot.view().queue, QueueView::default());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                for turn in 0..1000 {
                    slot.note_wait(turn * 4 + thread);
                    slot.note_shed();
                    slot.note_sent();
                    slot.note_received();
                    slot.note_received();
                }
            });
        }
    });
    slot.note_wait(5);
    let expected =
        QueueView { last_wait: 5, longest_wait: 3999, shed: 4000, sent: 4000, received: 8000 };
    assert_eq!(slot.view().queue, expected);
    slot.reset(2, 1, Mode::Threads(4));
    assert_eq!(slot.view().queue, QueueView::default());
}

#[test]
fn the_stop_is_seen_by_workers() {
    let flag = StopFlag::new().expect("flag");
    assert!(!flag.is_set());
    in_child(|| {
        flag.set();
        Ok(())
    });
    assert!(flag.is_set());
}

#[test]
fn a_long_line_is_cut() {
    let board = board();
    board.slot(0).mark(0).begin_request(1, b"GET", &[b'a'; 10_000]);
    assert_eq!(line(board.slot(0)), format!("GET {}", "a".repeat(LINE - 4)));
    board.slot(0).mark(0).begin_request(1, &[b'M'; 10_000], b"/");
    assert_eq!(line(board.slot(0)), "M".repeat(LINE));
    board.slot(0).mark(0).begin_request(1, b"GET", b"/");
    assert_eq!(line(board.slot(0)), "GET /");
}

#[test]
fn a_line_left_half_written_is_still_read() {
    let board = board();
    let slot = board.slot(0);
    slot.mark(0).begin_request(1, b"GET", b"/abc");
    // As if the worker had died before its last store.
    slot.marks[0].stamp.store(3 << 32 | 0xffff, Ordering::Relaxed);
    assert!(line(slot).starts_with("GET /abc"));
    // The next worker starts from any stamp.
    slot.mark(0).begin_request(1, b"GET", b"/def");
    assert_eq!(line(slot), "GET /def");
}

#[test]
fn a_line_that_counts_as_whole_is_that_of_one_request() {
    let board = board();
    let slot = board.slot(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..20_000_u32 {
                let letter = [b'a' + u8::try_from(turn % 26).unwrap_or(0)];
                slot.mark(0).begin_request(1, b"GET", &letter.repeat(200));
            }
            slot.mark(0).end_request();
            slot.set_state(State::Retiring);
        });
        let mut whole_lines = 0;
        while slot.view().state != State::Retiring || whole_lines == 0 {
            let (line, whole) = slot.marks[0].look();
            if !whole {
                continue;
            }
            whole_lines += 1;
            let body = line.strip_prefix(b"GET ").unwrap_or_default();
            assert!(body.iter().all(|letter| Some(letter) == body.first()), "{line:?}");
        }
    });
}

#[test]
fn an_armed_bell_rings_once() {
    let bell = Bell::new().expect("bell");
    bell.ring_if_armed();
    assert!(!rings(&bell, PollTimeout::ZERO), "not armed");

    bell.arm();
    in_child(|| {
        bell.ring_if_armed();
        Ok(())
    });
    assert!(rings(&bell, PollTimeout::ZERO));
    bell.drain();
    assert!(!rings(&bell, PollTimeout::ZERO));
    bell.ring_if_armed();
    assert!(!rings(&bell, PollTimeout::ZERO), "ringing disarms");

    assert!(!bell.disarm(), "ringing disarms");
    bell.arm();
    assert!(bell.disarm());
    bell.ring_if_armed();
    assert!(!rings(&bell, PollTimeout::ZERO), "disarmed");

    bell.ring();
    bell.ring();
    assert!(rings(&bell, PollTimeout::ZERO));
    bell.drain();
    assert!(!rings(&bell, PollTimeout::ZERO), "one drain silences any number of rings");
}

#[test]
fn no_wake_up_is_lost() {
    let board = board();
    let bell = Bell::new().expect("bell");
    let slot = board.slot(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 1..=2_000_u64 {
                slot.mark(0).begin_request(turn, b"GET", b"/");
                bell.ring_if_armed();
                while slot.view().request.is_some() {
                    std::thread::yield_now();
                }
            }
        });
        // The master: sleeps only when it saw no busy worker after arming; 10 s mean a lost wake-up.
        for turn in 1..=2_000_u64 {
            bell.arm();
            while slot.view().request.is_none() {
                assert!(rings(&bell, PollTimeout::from(10_000_u16)), "lost before {turn}");
                bell.drain();
            }
            bell.disarm();
            slot.mark(0).end_request();
        }
    });
}

proptest! {
    #[test]
    fn any_request_gives_a_printable_line(
        method in proptest::collection::vec(any::<u8>(), 0..300),
        target in proptest::collection::vec(any::<u8>(), 0..300),
        stamp in any::<u64>(),
    ) {
        let board = board();
        let slot = board.slot(0);
        slot.mark(0).begin_request(1, &method, &target);
        prop_assert!(!line(slot).contains(char::is_control));
        slot.marks[0].stamp.store(stamp, Ordering::Relaxed);
        prop_assert!(!line(slot).contains(char::is_control));
    }
}
