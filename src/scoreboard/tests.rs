use std::sync::atomic::Ordering;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::{Bell, LINE, Scoreboard, Slot, State};
use crate::sys::testing::in_child;

fn board() -> Scoreboard {
    Scoreboard::new(3).expect("scoreboard")
}

fn rings(bell: &Bell, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(bell.fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).expect("poll") == 1
}

#[test]
fn slots_are_whole_cache_lines() {
    assert_eq!(size_of::<Slot>() % 64, 0);
    assert_eq!(std::mem::offset_of!(Slot, marks) % 64, 0);
}

#[test]
fn a_workers_life_is_seen_by_the_master() {
    let board = board();
    let slot = board.slot(1);
    slot.reset(7, 2);
    assert_eq!(slot.view().state, State::Booting);
    in_child(|| {
        slot.set_pid(std::process::id());
        slot.set_state(State::Ready);
        slot.begin_request(5, b"GET", b"/first");
        slot.end_request();
        slot.begin_request(99, b"POST", b"/second?x=\x1b\n");
        Ok(())
    });
    let view = slot.view();
    assert!(view.pid != 0 && view.pid != std::process::id());
    assert_eq!((view.age, view.generation, view.state), (7, 2, State::Ready));
    assert_eq!((view.busy_since, view.requests), (99, 2));
    assert_eq!(view.request_line, "POST /second?x=\\u{1b}\\n");

    slot.free();
    assert_eq!((slot.view().state, slot.view().busy_since), (State::Free, 0));
    slot.reset(8, 2);
    let view = slot.view();
    assert_eq!((view.pid, view.requests, view.request_line.as_str()), (0, 0, ""));
    assert_eq!(board.slot(0).view().state, State::Free);
    assert_eq!(board.slot(2).view().state, State::Free);
}

#[test]
fn a_long_line_is_cut() {
    let board = board();
    board.slot(0).begin_request(1, b"GET", &[b'a'; 10_000]);
    assert_eq!(board.slot(0).view().request_line, format!("GET {}", "a".repeat(LINE - 4)));
    board.slot(0).begin_request(1, &[b'M'; 10_000], b"/");
    assert_eq!(board.slot(0).view().request_line, "M".repeat(LINE));
    board.slot(0).begin_request(1, b"GET", b"/");
    assert_eq!(board.slot(0).view().request_line, "GET /");
}

#[test]
fn a_line_left_half_written_is_still_read() {
    let board = board();
    let slot = board.slot(0);
    slot.begin_request(1, b"GET", b"/abc");
    // As if the worker had died before its last store.
    slot.marks[0].stamp.store(3 << 32 | 0xffff, Ordering::Relaxed);
    assert!(slot.view().request_line.starts_with("GET /abc"));
    // The next worker starts from any stamp.
    slot.begin_request(1, b"GET", b"/def");
    assert_eq!(slot.view().request_line, "GET /def");
}

#[test]
fn a_line_that_counts_as_whole_is_that_of_one_request() {
    let board = board();
    let slot = board.slot(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..20_000_u32 {
                let letter = [b'a' + u8::try_from(turn % 26).unwrap_or(0)];
                slot.begin_request(1, b"GET", &letter.repeat(200));
            }
            slot.end_request();
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

    bell.arm();
    bell.disarm();
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
                slot.begin_request(turn, b"GET", b"/");
                bell.ring_if_armed();
                while slot.view().busy_since != 0 {
                    std::thread::yield_now();
                }
            }
        });
        // The master: sleeps only when it saw no busy worker after arming; 10 s mean a lost wake-up.
        for turn in 1..=2_000_u64 {
            bell.arm();
            while slot.view().busy_since == 0 {
                assert!(rings(&bell, PollTimeout::from(10_000_u16)), "lost before {turn}");
                bell.drain();
            }
            bell.disarm();
            slot.end_request();
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
        slot.begin_request(1, &method, &target);
        prop_assert!(!slot.view().request_line.contains(char::is_control));
        slot.marks[0].stamp.store(stamp, Ordering::Relaxed);
        prop_assert!(!slot.view().request_line.contains(char::is_control));
    }
}
