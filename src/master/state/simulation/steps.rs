//! What can happen in the simulated world.

use proptest::prelude::*;

use super::*;

/// What can happen next. Numbers pick one of the living processes.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Signal(Signal),
    /// The process reports ready, if it boots.
    Boots(usize),
    /// It begins a request, or ends the one it has.
    Request(usize),
    /// A thread of it begins to wait for the interpreter, or gets it.
    Waits(usize),
    /// It has handled its requests.
    Tires(usize),
    /// It announces that it goes.
    Retires(usize),
    /// It needs more memory than it may have, or no longer.
    Grows(usize),
    /// It ends.
    Ends(usize, Ended),
    /// The next read of the configuration has this outcome.
    Config(Option<usize>),
    /// From now on reloads are checked, and make the master a new program.
    Checks(bool),
    /// A check ends: the latest, or one that was given up.
    CheckEnds(bool, Ended),
    /// The master becomes a new program, if it is to.
    Renew,
    /// The next fork fails, be it of a worker or of a new master.
    NoFork,
    /// A hook asks for so many workers.
    Resize(usize),
    /// A hook fails.
    Fail,
    /// The new master ends.
    SuccessorEnds(Ended),
    /// The old one does.
    PredecessorEnds,
    /// Time passes, in milliseconds.
    Wait(u64),
    /// Nothing happens until the deadline.
    Sleep,
}

fn signals() -> impl Strategy<Value = Signal> {
    prop_oneof![
        8 => Just(Signal::HUP),
        4 => Just(Signal::TTIN),
        4 => Just(Signal::TTOU),
        1 => Just(Signal::USR1),
        2 => Just(Signal::USR2),
        1 => Just(Signal::WINCH),
        1 => prop_oneof![Just(Signal::TERM), Just(Signal::INT), Just(Signal::QUIT)],
    ]
}

fn ends() -> impl Strategy<Value = Ended> {
    prop_oneof![
        4 => prop_oneof![Just(0), Just(1), Just(3), Just(4), Just(255)].prop_map(Ended::Exited),
        1 => prop_oneof![Just(Signal::KILL), Just(Signal::TERM), Just(Signal::from_raw(11))]
            .prop_map(|signal| Ended::Signaled { signal, core_dumped: false }),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => signals().prop_map(Step::Signal),
        6 => any::<usize>().prop_map(Step::Boots),
        3 => any::<usize>().prop_map(Step::Request),
        2 => any::<usize>().prop_map(Step::Waits),
        2 => any::<usize>().prop_map(Step::Tires),
        1 => any::<usize>().prop_map(Step::Retires),
        2 => any::<usize>().prop_map(Step::Grows),
        4 => (any::<usize>(), ends()).prop_map(|(which, how)| Step::Ends(which, how)),
        1 => proptest::option::weighted(0.8, 1_usize..6).prop_map(Step::Config),
        1 => any::<bool>().prop_map(Step::Checks),
        2 => (proptest::bool::weighted(0.8), ends())
            .prop_map(|(latest, how)| Step::CheckEnds(latest, how)),
        2 => Just(Step::CheckEnds(true, Ended::Exited(0))),
        3 => Just(Step::Renew),
        1 => Just(Step::NoFork),
        1 => (0_usize..6).prop_map(Step::Resize),
        1 => proptest::bool::weighted(0.05)
            .prop_map(|fails| if fails { Step::Fail } else { Step::Sleep }),
        1 => ends().prop_map(Step::SuccessorEnds),
        1 => Just(Step::PredecessorEnds),
        3 => (0_u64..40_000).prop_map(Step::Wait),
        3 => Just(Step::Sleep),
    ];
    proptest::collection::vec(step, 0..120)
}
