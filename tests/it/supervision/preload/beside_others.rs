//! Preload reloads of a master beside another one (USR2).

use std::fs;

use nix::sys::signal::Signal;

use super::{builder, change, start, until_says};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Client, Server, ServerKind, process, until};

on_rgunicorn!(the_old_master_reloads, the_new_master_reloads, both_at_once);

/// A server with one worker at a unix socket.
struct Pair {
    server: Server,
    new: i32,
}

impl Pair {
    /// It has started a new master.
    fn start(kind: ServerKind) -> Self {
        let builder = builder(kind, &["--pid", "web.pid"]).binding("unix:web.sock");
        let mut pair = Self { server: start(builder), new: 0 };
        let mark = pair.server.log.mark();
        pair.server.signal(Signal::SIGUSR2);
        pair.new = pair.started(mark);
        pair
    }

    /// The process id of the master that was started after `mark`, and has a worker.
    fn started(&self, mark: usize) -> i32 {
        let pid = self.server.new_master(mark);
        self.server.log.wait_for_since(mark, "Booting worker");
        pid
    }

    fn get(&self) -> String {
        Client::connect_unix(&self.server.dir().join("web.sock")).get("/").text()
    }

    fn written(&self, name: &str) -> Option<i32> {
        fs::read_to_string(self.server.dir().join(name)).ok()?.trim().parse().ok()
    }

    /// Both masters serve, and which of them answers is not known.
    fn reload(&self, master: i32, what: &str) {
        let mark = self.server.log.mark();
        change(&self.server, what);
        let others = if master == self.new { vec![] } else { vec![self.new] };
        let old = process::children(master);
        process::signal(master, Signal::SIGHUP);
        until(BOUND, "new workers only", || {
            let now = process::children(master);
            let renewed = !now.iter().any(|pid| old.contains(pid) && !others.contains(pid));
            (now.len() == old.len() && renewed).then_some(())
        });
        self.server.log.wait_for_since(mark, "Booting worker");
    }
}

fn the_old_master_reloads(kind: ServerKind) {
    let mut pair = Pair::start(kind);
    let old = pair.server.pid();
    pair.reload(old, "new");
    assert_eq!((pair.written("web.pid"), pair.written("web.pid.2")), (Some(old), Some(pair.new)));
    // It knows that it has a successor.
    pair.server.signal(Signal::SIGUSR2);
    pair.server.log.wait_for("USR2 signal ignored. Child exists.");
    process::signal(pair.new, Signal::SIGTERM);
    pair.server.log.wait_for(&format!("The new master (pid:{}) has ended.", pair.new));
    until_says(|| pair.get(), "new", old);
    let mark = pair.server.log.mark();
    pair.server.signal(Signal::SIGUSR2);
    let third = pair.started(mark);
    pair.new = third;
    pair.reload(old, "newer");
    assert_eq!(pair.server.stop(Signal::SIGTERM), 0);
    pair.server.log.wait_for("Master has been promoted.");
    until_says(|| pair.get(), "new", third);
    process::signal(third, Signal::SIGTERM);
    process::until_gone(third);
    assert!(!pair.server.dir().join("web.sock").exists());
    pair.server.assert_nothing_left();
}

fn the_new_master_reloads(kind: ServerKind) {
    let mut pair = Pair::start(kind);
    let (old, new) = (pair.server.pid(), pair.new);
    pair.reload(new, "new");
    assert_eq!((pair.written("web.pid"), pair.written("web.pid.2")), (Some(old), Some(new)));
    assert_eq!(process::title(new), "gunicorn: master [changing:app.2]");
    process::signal(new, Signal::SIGUSR2);
    pair.server.log.wait_for("USR2 signal ignored. Parent exists.");
    assert_eq!(pair.server.stop(Signal::SIGTERM), 0);
    pair.server.log.wait_for("Master has been promoted.");
    until(BOUND, "the pid file", || (pair.written("web.pid") == Some(new)).then_some(()));
    until_says(|| pair.get(), "new", new);
    // And once more, without a predecessor.
    pair.reload(new, "newer");
    let mark = pair.server.log.mark();
    process::signal(new, Signal::SIGUSR2);
    let third = pair.started(mark);
    process::signal(third, Signal::SIGTERM);
    pair.server.log.wait_for(&format!("The new master (pid:{third}) has ended."));
    process::signal(new, Signal::SIGTERM);
    process::until_gone(new);
    assert!(!pair.server.dir().join("web.sock").exists());
    pair.server.assert_nothing_left();
}

fn both_at_once(kind: ServerKind) {
    let builder = builder(kind, &["-w", "2", "--pid", "web.pid"]).binding("unix:web.sock");
    let mut pair = Pair { server: start(builder), new: 0 };
    change(&pair.server, "new");
    pair.server.log.wait_for_count("Booting worker", 2);
    let mark = pair.server.log.mark();
    pair.server.signal(Signal::SIGHUP);
    pair.server.signal(Signal::SIGUSR2);
    let new = pair.started(mark);
    // Whichever was first.
    pair.server.log.wait_until(BOUND, mark, "four new workers", |text| {
        (text.matches("Booting worker").count() == 4).then_some(())
    });
    assert_eq!(pair.server.stop(Signal::SIGTERM), 0);
    until_says(|| pair.get(), "new", new);
    process::signal(new, Signal::SIGTERM);
    process::until_gone(new);
    pair.server.assert_nothing_left();
}
