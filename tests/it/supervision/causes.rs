//! What the log says a worker died of.

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::cgroup::MemoryGroup;
use crate::harness::{Builder, ServerKind, process};

on_both_servers!(killed_by_somebody, killed_for_memory);

fn killed_by_somebody(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(2);
    let victim = server.wait_workers(2)[0];
    process::signal(victim, Signal::SIGKILL);
    let line = server.log.wait_for(&format!("[ERROR] Worker (pid:{victim}) was sent SIGKILL!"));
    // gunicorn guesses.
    let why = if kind.is_rgunicorn() {
        "Neither by this master nor by the kernel's OOM killer."
    } else {
        "Perhaps out of memory?"
    };
    assert!(line.ends_with(why), "{line}");
}

/// A worker outgrows the memory of its control group. Where none can be made, for want of rights, the
/// unit tests of `sys::oom` and `master::suspects` stand for it.
fn killed_for_memory(kind: ServerKind) {
    let Some(group) = MemoryGroup::new(&format!("rgunicorn-it-{}", kind.name()), 256 << 20) else {
        return killed_by_somebody(kind);
    };
    let enter = format!("echo $$ > {}", group.processes().display());
    let server = Builder::new(kind).first(&enter).start_ready(2);
    // Somebody's kill is told from the kernel's, before and after.
    for oom in [false, true, false] {
        let before = server.wait_workers(2);
        let mark = server.log.mark();
        if oom {
            assert_eq!(server.exchange("GET /grow?400 HTTP/1.1\r\nConnection: close\r\n\r\n"), b"");
        } else {
            process::signal(before[0], Signal::SIGKILL);
        }
        let line = server.log.wait_for_since(mark, " was sent SIGKILL!");
        assert!(before.iter().any(|pid| line.contains(&format!("Worker (pid:{pid})"))), "{line}");
        let why = match (kind, oom) {
            (ServerKind::Gunicorn, _) => "Perhaps out of memory?",
            (_, true) => {
                "Out of memory: the kernel's OOM killer has been at work in its control group."
            }
            (_, false) => "Neither by this master nor by the kernel's OOM killer.",
        };
        assert!(line.ends_with(why), "{line}");
        server.log.wait_for_since(mark, "note: loaded in ");
    }
    assert_eq!(server.get("/pid").status, 200);
    drop(server);
}
