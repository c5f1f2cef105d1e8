//! A reload for which the master becomes a new program.

use super::*;

const CHECK: i32 = 77;

fn check() -> Pid {
    Pid::new(CHECK).unwrap()
}

fn kill(signal: Signal) -> Action {
    Action::Kill { pid: check(), signal }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A state that checks since second 1.
fn checking() -> State {
    let mut policy = policy(1);
    policy.boot_timeout = Some(at(10));
    let mut state = State::new(policy, false);
    state.on(Event::Started, at(0));
    let actions = state.on(Event::Signal(Signal::HUP), at(1));
    assert!(actions.contains(&Action::ReadConfig));
    state.on(Event::CheckStarted(check()), at(1));
    state
}

/// What follows besides the end of whatever it has started.
fn ended(state: &mut State, how: Ended) -> Vec<Action> {
    let mut actions = state.on(Event::Ended { pid: check(), how }, at(2));
    assert_eq!(actions.remove(0), Action::EndGroup(check()));
    actions
}

#[test]
fn one_that_passes_lets_the_master_renew_itself() {
    let mut state = checking();
    assert!(!state.may_renew());
    assert_eq!(ended(&mut state, Ended::Exited(0)), []);
    assert!(state.may_renew());
    state.on(Event::ConfigRefused("no".to_owned()), at(2));
    assert!(!state.may_renew());
}

#[test]
fn one_that_fails_is_told_of_and_forgotten() {
    let mut state = checking();
    let how = Ended::Exited(1);
    assert_eq!(ended(&mut state, how), [Action::TellCheck { how, late: None }]);
    assert!(!state.may_renew() && state.deadline().is_none());
}

#[test]
fn one_that_takes_too_long_is_ended() {
    let mut state = checking();
    assert_eq!(state.deadline(), Some(at(11)));
    let look = |state: &mut State, now| state.on(Event::Seen(Vec::new()), at(now));
    assert_eq!(look(&mut state, 10), []);
    assert_eq!(look(&mut state, 11), [kill(Signal::ABRT)]);
    assert_eq!(look(&mut state, 12), []);
    assert_eq!(look(&mut state, 13), [kill(Signal::KILL)]);
    assert_eq!(look(&mut state, 99), []);
    let how = Ended::Signaled { signal: Signal::KILL, core_dumped: false };
    assert_eq!(ended(&mut state, how), [Action::TellCheck { how, late: Some(at(10)) }]);
}

#[test]
fn a_stop_and_another_reload_end_it() {
    for signal in [Signal::TERM, Signal::QUIT, Signal::HUP] {
        let mut state = checking();
        let actions = state.on(Event::Signal(signal), at(2));
        assert!(actions.contains(&kill(Signal::KILL)), "{actions:?}");
        // Even if it was faster.
        assert_eq!(ended(&mut state, Ended::Exited(0)), []);
        assert!(!state.may_renew());
    }
}
