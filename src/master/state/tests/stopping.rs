//! The end of the server, at once or after a while.

use super::*;

#[test]
fn term_waits_for_the_graceful_timeout_then_kills() {
    let mut bench = Bench::serving(2);
    let actions = bench.signal(Signal::TERM);
    assert!(actions.contains(&Action::CloseListeners));
    assert_eq!(killed(&actions), [kill(1, Signal::TERM), kill(2, Signal::TERM)]);
    bench.exits(1, 0);
    bench.now += 9 * SECOND;
    assert_eq!(killed(&bench.sleep(SECOND)), [kill(2, Signal::KILL)]);
    let actions = bench.dies_of(2, Signal::KILL);
    assert!(logged(&actions, Level::Error, "By this master: it did not stop within 10 s."));
    assert!(logged(&actions, Level::Info, "Shutting down: Master"));
    assert_eq!(actions.last(), Some(&Action::Exit(0)));
    assert_eq!(bench.state.deadline(), None);
}

#[test]
fn term_with_a_delay_announces_the_stop_and_goes_on_until_then() {
    let mut bench = Bench::serving(1);
    bench.on(Event::ConfigRead(Policy { shutdown_delay: 5 * SECOND, ..policy(1) }));
    bench.ready(2);
    bench.exits(1, 0);
    let actions = bench.signal(Signal::TERM);
    assert!(actions.contains(&Action::AnnounceStop));
    assert!(!actions.contains(&Action::CloseListeners));
    assert_eq!(killed(&actions), []);
    assert_eq!(bench.state.standing(), Standing::Stopping);
    // A worker that dies meanwhile is replaced, and nothing new is begun.
    assert!(!bench.signal(Signal::HUP).contains(&Action::ReadConfig));
    bench.dies_of(2, Signal::from_raw(11));
    assert_eq!(spawned(&bench.sleep(SECOND)), [3]);
    let actions = bench.sleep(5 * SECOND);
    assert!(actions.contains(&Action::CloseListeners));
    assert_eq!(killed(&actions), [kill(3, Signal::TERM)]);
    assert_eq!(bench.exits(3, 0).last(), Some(&Action::Exit(0)));
}

#[test]
fn a_second_term_ends_the_delay() {
    for (second, told) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::QUIT)] {
        let mut bench = Bench::serving(1);
        bench.on(Event::ConfigRead(Policy { shutdown_delay: 60 * SECOND, ..policy(1) }));
        bench.ready(2);
        bench.exits(1, 0);
        bench.signal(Signal::TERM);
        assert_eq!(killed(&bench.signal(second)), [kill(2, told)]);
        assert_eq!(bench.exits(2, 0).last(), Some(&Action::Exit(0)));
    }
}

#[test]
fn int_during_a_graceful_stop_hurries_it() {
    let mut bench = Bench::serving(1);
    bench.signal(Signal::TERM);
    let actions = bench.signal(Signal::INT);
    assert!(logged(&actions, Level::Info, "Quick shutdown requested"));
    assert_eq!(killed(&actions), [kill(1, Signal::QUIT)]);
    assert_eq!(killed(&bench.sleep(2 * SECOND)), [kill(1, Signal::KILL)]);
    // Nor does a process that cannot die hold the master.
    let actions = bench.sleep(2 * SECOND);
    assert!(logged(&actions, Level::Error, "(pid:101) is still there after SIGKILL"));
    assert_eq!(actions.last(), Some(&Action::Exit(0)));
}

#[test]
fn a_stop_during_a_reload_is_obeyed_at_once() {
    let mut bench = Bench::serving(1);
    bench.signal(Signal::HUP);
    bench.signal(Signal::TERM);
    assert!(spawned(&bench.on(Event::ConfigRead(policy(4)))).is_empty());
    assert_eq!(bench.exits(1, 0).last(), Some(&Action::Exit(0)));
}
