//! A server with nothing to do does nothing: no thread of it wakes up.

use std::fs;
use std::time::Duration;

use super::{ask, builder, hold};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{Client, Server, ServerKind, until};

on_rgunicorn!(four_workers, two_by_two);

/// How long nothing may happen.
const QUIET: Duration = Duration::from_secs(5);
/// What comes after the last request is over by then: a look of the master, ticks of a thread.
const SETTLED: Duration = Duration::from_secs(2);

fn four_workers(kind: ServerKind) {
    stays_quiet(kind, 4, 1);
}

fn two_by_two(kind: ServerKind) {
    stays_quiet(kind, 2, 2);
}

/// How often each thread of the server has been switched to, sorted.
fn switches(server: &Server) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for pid in server.workers().into_iter().chain([server.pid()]) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
        for task in tasks.flatten() {
            let path = task.path();
            let text = fs::read_to_string(path.join("status")).unwrap_or_default();
            let count = text
                .lines()
                .filter(|line| line.contains("voluntary_ctxt_switches:"))
                .filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok())
                .sum();
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            all.push((format!("{} {}", path.display(), name.trim_end()), count));
        }
    }
    all.sort();
    all
}

fn stays_quiet(kind: ServerKind, workers: usize, threads: usize) {
    let server = builder(kind).args(["--threads", &threads.to_string()]).start_ready(workers);
    // Every slot has served a request, connections have moved, and some stay open.
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            ask(client, "/pid");
        }
        let held: Vec<_> =
            (0..workers * threads).map(|_| hold(&server, server.connect())).collect();
        held.into_iter().for_each(|held| clients.push(held.finish().0));
        for client in &mut clients {
            ask(client, "/pid");
        }
    }
    let mut idle = clients.pop().expect("many of them");
    until(Duration::from_secs(30), "the server to come to rest", || {
        let before = switches(&server);
        assert!(idle.is_silent_for(SETTLED));
        (switches(&server) == before).then_some(())
    });
    let before = switches(&server);
    assert!(before.len() > workers, "{before:?}");
    assert!(idle.is_silent_for(QUIET));
    assert_eq!(switches(&server), before);
    // It still answers.
    clients.push(idle);
    for client in &mut clients {
        ask(client, "/pid");
    }
}
