//! USR2 and WINCH.

use super::*;

fn successor() -> Pid {
    Pid::new(77).unwrap()
}

/// A server whose successor has started.
fn upgrading() -> Bench {
    let mut bench = Bench::serving(2);
    assert!(bench.signal(Signal::USR2).contains(&Action::StartSuccessor));
    assert_eq!(bench.on(Event::SuccessorStarted(successor())), []);
    assert!(bench.state.relatives().any());
    bench
}

fn successor_ends(bench: &mut Bench, how: Ended) -> Vec<Action> {
    bench.on(Event::Ended { pid: successor(), how })
}

#[test]
fn there_is_one_successor_at_a_time() {
    let mut bench = upgrading();
    let actions = bench.signal(Signal::USR2);
    assert!(logged(&actions, Level::Warning, "USR2 signal ignored. Child exists."));
    assert!(!actions.contains(&Action::StartSuccessor));
    for (how, level, text) in [
        (Ended::Exited(0), Level::Info, "The new master (pid:77) has ended. This one goes on."),
        (Ended::Exited(3), Level::Error, "The new master (pid:77) exited with code 3."),
        (
            Ended::Signaled { signal: Signal::KILL, core_dumped: false },
            Level::Warning,
            "The new master (pid:77) was sent SIGKILL!",
        ),
    ] {
        let actions = successor_ends(&mut bench, how);
        assert!(logged(&actions, level, text), "{actions:?}");
        assert!(killed(&actions).is_empty() && spawned(&actions).is_empty());
        assert!(!bench.state.relatives().any());
        assert!(bench.signal(Signal::USR2).contains(&Action::StartSuccessor));
        bench.on(Event::SuccessorStarted(successor()));
    }
}

#[test]
fn a_successor_that_cannot_be_started_is_no_obstacle() {
    let mut bench = Bench::serving(1);
    bench.signal(Signal::USR2);
    let why = "The program is gone.".to_owned();
    let actions = bench.on(Event::SuccessorFailed(why));
    let text = "Cannot start a new master: The program is gone. This one goes on.";
    assert!(logged(&actions, Level::Error, text));
    assert!(!bench.state.relatives().any());
    assert!(bench.signal(Signal::USR2).contains(&Action::StartSuccessor));
}

#[test]
fn a_stop_does_not_wait_for_the_successor() {
    let mut bench = upgrading();
    bench.signal(Signal::TERM);
    bench.exits(1, 0);
    let actions = bench.exits(2, 0);
    assert!(actions.contains(&Action::Exit(0)));
    assert!(logged(&actions, Level::Info, "Shutting down: Master"));
    assert!(bench.state.relatives().any());
}

#[test]
fn a_new_master_is_promoted_when_the_old_one_has_ended() {
    let mut bench = Bench { state: State::new(policy(1), true), now: SECOND };
    bench.on(Event::Started);
    bench.ready(1);
    let actions = bench.signal(Signal::USR2);
    assert!(logged(&actions, Level::Warning, "USR2 signal ignored. Parent exists."));
    assert!(logged(&bench.signal(Signal::HUP), Level::Info, "Hang up: Master.2"));
    let actions = bench.on(Event::PredecessorEnded);
    assert!(logged(&actions, Level::Info, "Master has been promoted."));
    assert!(actions.contains(&Action::Promote) && !bench.state.relatives().any());
    assert_eq!(bench.on(Event::PredecessorEnded), []);
    assert!(bench.signal(Signal::USR2).contains(&Action::StartSuccessor));
}

#[test]
fn winch_empties_a_daemon_until_workers_are_asked_for() {
    let mut bench = Bench::serving(2);
    bench.state.policy.daemon = true;
    let actions = bench.signal(Signal::WINCH);
    assert!(logged(&actions, Level::Info, "graceful stop of workers"));
    // They must know that nobody takes over what they have.
    let last = actions.iter().position(|action| *action == Action::SetLast(true)).unwrap();
    let first_kill = actions.iter().position(|action| matches!(action, Action::Kill { .. }));
    assert!(last < first_kill.unwrap());
    assert_eq!(killed(&actions), [kill(1, Signal::TERM), kill(2, Signal::TERM)]);
    bench.exits(1, 0);
    assert!(spawned(&bench.exits(2, 0)).is_empty());
    assert_eq!(bench.state.deadline(), None);
    let actions = bench.signal(Signal::TTIN);
    assert_eq!(spawned(&actions), [3]);
    assert!(actions.contains(&Action::SetLast(false)));
    bench.signal(Signal::WINCH);
    bench.exits(3, 0);
    assert_eq!(spawned(&bench.reload(2)), [4, 5]);
}
