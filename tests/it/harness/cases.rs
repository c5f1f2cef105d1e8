//! Many small cases against one running server, and the two tests made of each topic.

use std::panic::{self, AssertUnwindSafe};

/// A case and its name.
pub type Case<C> = (&'static str, fn(&C));

/// Runs every case, also after one has failed, and then fails with the names of those that did.
#[track_caller]
pub fn run_cases<C>(context: &C, cases: &[Case<C>]) {
    let failed: Vec<&str> = cases
        .iter()
        .filter(|(name, case)| {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| case(context)));
            if outcome.is_err() {
                eprintln!("--- case failed: {name}");
            }
            outcome.is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:?}", failed.len(), cases.len());
}

/// `cases!(context; one, two)` runs the functions `one(&context)` and `two(&context)`.
macro_rules! cases {
    ($context:expr; $($case:ident),+ $(,)?) => {
        $crate::harness::run_cases($context, &[$((stringify!($case), $case)),+])
    };
}

/// `on_both_servers!(topic, ...)` makes of each function `topic(ServerKind)` two tests, one per
/// server. `SERVER_UNDER_TEST` restricts a run to one of them.
macro_rules! on_both_servers {
    ($($topic:ident),+ $(,)?) => {$(
        mod $topic {
            use $crate::harness::ServerKind;

            #[test]
            fn rgunicorn() {
                ServerKind::Rgunicorn.if_selected(super::$topic);
            }

            #[test]
            fn gunicorn() {
                ServerKind::Gunicorn.if_selected(super::$topic);
            }
        }
    )+};
}

/// `on_rgunicorn!(promise, ...)` makes of each function `promise(ServerKind)` a test of rgunicorn
/// alone, for what gunicorn does not promise.
macro_rules! on_rgunicorn {
    ($($promise:ident),+ $(,)?) => {$(
        mod $promise {
            use $crate::harness::ServerKind;

            #[test]
            fn rgunicorn() {
                ServerKind::Rgunicorn.if_selected(super::$promise);
            }
        }
    )+};
}

pub(crate) use {cases, on_both_servers, on_rgunicorn};
