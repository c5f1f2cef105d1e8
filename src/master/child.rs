//! A worker's process from the fork to its end, around the life that the host gives it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::app::{Host, Seat};
use crate::error::panic_text;
use crate::log;
use crate::sys::process;
use crate::sys::signal::{self, Blocked, Pipe, Signal};

/// What the master handles.
pub const MASTER_SIGNALS: [Signal; 10] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::TTIN,
    Signal::TTOU,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::CHLD,
];

/// What arrives in the pipe of a worker. HUP, TTIN and TTOU are for the worker to ignore: a terminal
/// sends them to all processes, and they would end or stop this one. USR2 and CHLD have their default
/// action, as in gunicorn.
const WORKER_SIGNALS: [Signal; 9] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::ABRT,
    Signal::USR1,
    Signal::WINCH,
    Signal::TTIN,
    Signal::TTOU,
];

/// Exit status of a worker that did not come to an end of its own.
const FAILED: i32 = 255;

/// Runs the worker in the process just forked, with signals still `blocked`, and ends the process.
/// Nothing of the master is ever run here, not even its destructors: they would remove files that
/// belong to the master.
pub fn run(host: &mut dyn Host, seat: Seat<'_>, title: &str, blocked: Blocked) -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(|| live(host, seat, title, blocked)));
    let status = outcome.unwrap_or_else(|panic| {
        tracing::error!(
            "The worker failed inside of the server itself: {}",
            panic_text(panic.as_ref())
        );
        tracing::info!("Worker exiting (pid: {})", process::getpid());
        FAILED
    });
    log::flush();
    process::exit_now(status)
}

fn live(host: &mut dyn Host, seat: Seat<'_>, title: &str, blocked: Blocked) -> i32 {
    if let Err(error) = Pipe::replace_in_child(&MASTER_SIGNALS, &WORKER_SIGNALS) {
        tracing::error!("The worker cannot receive signals: {error}");
        return FAILED;
    }
    signal::on_signal(None);
    drop(blocked);
    let pid = process::getpid();
    seat.slot.set_pid(pid.get().unsigned_abs());
    host.after_fork_child();
    crate::sys::proctitle::set(&format!("gunicorn: worker [{title}]"));
    tracing::info!("Booting worker with pid: {pid}");
    host.work(seat)
}
