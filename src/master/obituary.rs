//! The log line about a worker that has ended: gunicorn's words, plus the reason where it is known.

use super::state::Level;
use super::suspects::{Suspect, Suspects};
use super::workers::{Doing, Killed, Worker};
use crate::sys::process::{Ended, Pid};
use crate::sys::signal::Signal;

/// The line for one of our workers; `None` for a worker that left normally.
pub fn of_worker(
    pid: Pid,
    worker: &Worker,
    how: Ended,
    suspects: &mut Suspects,
) -> Option<(Level, String)> {
    let (signal, core_dumped) = match how {
        Ended::Exited(0) => return None,
        Ended::Exited(status) => {
            return Some((Level::Error, format!("Worker (pid:{pid}) exited with code {status}.")));
        }
        Ended::Signaled { signal, core_dumped } => (signal, core_dumped),
    };
    let reason = match (signal, worker.killed) {
        (Signal::KILL, Some(Killed::Timeout)) => {
            format!(
                " By this master: it did not stop after {} ran into the timeout.",
                overdue(worker)
            )
        }
        (Signal::KILL, Some(Killed::Grace(seconds))) => {
            format!(" By this master: it did not stop within {seconds} s.")
        }
        (Signal::KILL, None) => accusation(suspects.accuse()).to_owned(),
        (Signal::ABRT, _) if worker.stuck.is_some() => {
            format!(" By this master: {} ran into the timeout.", overdue(worker))
        }
        _ if core_dumped => " It left a core dump.".to_owned(),
        _ => String::new(),
    };
    let level = match signal {
        Signal::KILL => Level::Error,
        Signal::TERM => Level::Info,
        _ => Level::Warning,
    };
    Some((level, format!("Worker (pid:{pid}) was sent {signal}!{reason}")))
}

/// Who has sent the SIGKILL that did not come from here.
fn accusation(suspect: Suspect) -> &'static str {
    match suspect {
        Suspect::Anybody => " Perhaps out of memory?",
        Suspect::OomKiller => {
            " Out of memory: the kernel's OOM killer has been at work in its control group."
        }
        Suspect::PerhapsOomKiller => {
            " Perhaps out of memory? The kernel's OOM killer has been at work on this system."
        }
        Suspect::SomebodyElse => " Neither by this master nor by the kernel's OOM killer.",
    }
}

/// What of the worker ran into the timeout.
fn overdue(worker: &Worker) -> &'static str {
    match worker.overdue {
        None | Some(Doing::Request(_)) => "its request",
        Some(Doing::Starting) => "its start",
        Some(Doing::Waiting | Doing::ThreadWaiting { .. }) => "its wait for the interpreter",
    }
}

/// The line for a child that is none of our workers, with the status as waitpid(2) encodes it.
pub fn of_stranger(pid: Pid, how: Ended) -> (Level, String) {
    let status = match how {
        Ended::Exited(status) => status << 8,
        Ended::Signaled { signal, core_dumped } => {
            signal.raw() | if core_dumped { 0x80 } else { 0 }
        }
    };
    (Level::Debug, format!("Reaped unknown child process (pid:{pid}, status:{status})"))
}

/// The line for a master that was to take the place of this one.
pub fn of_successor(pid: Pid, how: Ended) -> (Level, String) {
    let name = format!("The new master (pid:{pid})");
    match how {
        Ended::Exited(0) => (Level::Info, format!("{name} has ended. This one goes on.")),
        Ended::Exited(status) => {
            (Level::Error, format!("{name} exited with code {status}. This one goes on."))
        }
        Ended::Signaled { signal, .. } => {
            (Level::Warning, format!("{name} was sent {signal}! This one goes on."))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::master::workers::Stuck;
    use crate::sys::oom::Kills;

    fn text(worker: &Worker, how: Ended) -> Option<(Level, String)> {
        of_worker(Pid::new(7).unwrap(), worker, how, &mut Suspects::default())
    }

    /// The line for a worker that was killed after the OOM killer has killed as many as the second
    /// count has more than the first.
    fn killed(before: Kills, after: Kills) -> String {
        let mut suspects = Suspects::default();
        suspects.look(Some(before), Duration::ZERO);
        suspects.look(Some(after), Duration::from_secs(100));
        let worker = Worker::new(1, 1, Duration::ZERO);
        let how = signaled(Signal::KILL);
        of_worker(Pid::new(7).unwrap(), &worker, how, &mut suspects).unwrap().1
    }

    fn signaled(signal: Signal) -> Ended {
        Ended::Signaled { signal, core_dumped: false }
    }

    #[test]
    fn lines_of_gunicorn() {
        let worker = Worker::new(1, 1, Duration::ZERO);
        assert_eq!(text(&worker, Ended::Exited(0)), None);
        let lines = [
            (Ended::Exited(9), Level::Error, "Worker (pid:7) exited with code 9."),
            (
                signaled(Signal::KILL),
                Level::Error,
                "Worker (pid:7) was sent SIGKILL! Perhaps out of memory?",
            ),
            (signaled(Signal::TERM), Level::Info, "Worker (pid:7) was sent SIGTERM!"),
            (signaled(Signal::HUP), Level::Warning, "Worker (pid:7) was sent SIGHUP!"),
            (signaled(Signal::from_raw(40)), Level::Warning, "Worker (pid:7) was sent signal 40!"),
        ];
        for (how, level, line) in lines {
            assert_eq!(text(&worker, how), Some((level, line.to_owned())));
        }
        assert_eq!(
            of_stranger(Pid::new(8).unwrap(), Ended::Exited(1)),
            (Level::Debug, "Reaped unknown child process (pid:8, status:256)".to_owned())
        );
    }

    #[test]
    fn memory_is_blamed_when_the_kernel_says_so() {
        let line = killed(Kills::InGroup(1), Kills::InGroup(2));
        assert!(line.contains("SIGKILL! Out of memory: the kernel's OOM killer"), "{line}");
        let line = killed(Kills::Anywhere(1), Kills::Anywhere(2));
        assert!(line.contains("SIGKILL! Perhaps out of memory? The kernel's OOM"), "{line}");
        let line = killed(Kills::InGroup(2), Kills::InGroup(2));
        assert!(line.ends_with("SIGKILL! Neither by this master nor by the kernel's OOM killer."));
    }

    #[test]
    fn own_kills_are_never_blamed_on_memory() {
        let mut worker = Worker::new(1, 1, Duration::ZERO);
        worker.killed = Some(Killed::Grace(30));
        let (_, line) = text(&worker, signaled(Signal::KILL)).unwrap();
        assert_eq!(
            line,
            "Worker (pid:7) was sent SIGKILL! By this master: it did not stop within 30 s."
        );
        worker.killed = Some(Killed::Timeout);
        worker.stuck = Some(Stuck::Killed);
        for signal in [Signal::KILL, Signal::ABRT] {
            let (_, line) = text(&worker, signaled(signal)).unwrap();
            assert!(line.contains("its request ran into the timeout"), "{line}");
        }
        // A request of a gthread worker is not limited by the timeout.
        worker.overdue = Some(Doing::ThreadWaiting { oldest: Some("GET /".to_owned()) });
        for signal in [Signal::KILL, Signal::ABRT] {
            let (_, line) = text(&worker, signaled(signal)).unwrap();
            assert!(line.contains("its wait for the interpreter ran into the timeout"), "{line}");
        }
    }
}
