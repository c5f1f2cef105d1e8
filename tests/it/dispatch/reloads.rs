//! Clients that send without pause while workers come and go, and notice nothing.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::steady::{Steady, assert_undisturbed};
use super::{builder, in_full};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{ServerKind, process, until};

on_rgunicorn!(sync, threads);

const CLIENTS: usize = 64;

/// A reload under load, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn sync(kind: ServerKind) {
    come_and_go(kind, 4, 1);
}

fn threads(kind: ServerKind) {
    come_and_go(kind, 2, 2);
}

fn come_and_go(kind: ServerKind, workers: usize, threads: usize) {
    let (reloads, pairs) = if in_full() { (50, 20) } else { (6, 4) };
    let threads = threads.to_string();
    let server =
        builder(kind).args(["--threads", &threads, "--max-requests", "500"]).start_ready(workers);
    let clients = Steady::get(server.addr, CLIENTS, "/pid");
    clients.wait_more(500);
    for round in 1..=reloads.max(pairs) {
        if round <= reloads {
            let old = server.workers();
            server.signal(Signal::SIGHUP);
            server.log.wait_for_count("Hang up: Master", round);
            until(PATIENCE, "the old generation to leave", || {
                (!old.iter().any(|pid| process::is_alive(*pid))).then_some(())
            });
            clients.wait_more(200);
        }
        if round <= pairs {
            server.signal(Signal::SIGTTIN);
            server.log.wait_for_count("Handling signal: ttin", round);
            clients.wait_more(200);
            server.signal(Signal::SIGTTOU);
            server.log.wait_for_count("Handling signal: ttou", round);
            clients.wait_more(200);
        }
    }
    let courses = clients.finish();
    let log = server.log.text();
    let recycled = log.matches("Autorestarting worker after current request.").count();
    let answered: usize = courses.iter().map(|course| course.answered).sum();
    eprintln!("{answered} requests, {reloads} reloads, {pairs} pairs, {recycled} recycled");
    assert_undisturbed(&courses);
    assert!(recycled > 0, "no worker was recycled");
    assert!(!log.contains("[ERROR]") && !log.contains("[CRITICAL]"), "{log}");
}
