//! The promises that only show under load: a killed worker takes nothing but its own requests with
//! it, a stop answers everything that was accepted, a reload loses nothing.
//!
//! These are promises of rgunicorn; gunicorn makes none of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::cases::on_rgunicorn;
use crate::harness::load::{Failure, Load};
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_rgunicorn!(
    killed_workers_lose_only_their_own_requests,
    term_answers_everything_that_was_accepted,
    reloads_lose_nothing,
    recycling_loses_nothing
);

const WORKERS: usize = 4;
const CLIENTS: usize = 32;

/// Four workers, and the file in which the application notes each request it begins.
fn start(kind: ServerKind) -> (Server, PathBuf) {
    let builder = Builder::new(kind);
    let begun = builder.dir().join("begun");
    fs::write(&begun, "").expect("the directory is writable");
    let server = builder.env("BEGUN", &begun).start_ready(WORKERS);
    (server, begun)
}

/// The requests that were begun, each with the workers that began it.
pub fn begun(file: &Path) -> HashMap<String, Vec<i32>> {
    let mut all: HashMap<String, Vec<i32>> = HashMap::new();
    for line in fs::read_to_string(file).expect("the file is readable").lines() {
        let (pid, id) = line.split_once(' ').expect("two words in a line");
        all.entry(id.to_owned()).or_default().push(pid.parse().expect("a pid"));
    }
    all
}

fn killed_workers_lose_only_their_own_requests(kind: ServerKind) {
    let (server, file) = start(kind);
    let load = Load::start(server.addr, CLIENTS);
    load.wait_more(200);
    let mut kills: Vec<(i32, Instant)> = Vec::new();
    for victim in server.wait_workers(WORKERS) {
        let mark = server.log.mark();
        kills.push((victim, Instant::now()));
        process::signal(victim, Signal::SIGKILL);
        server.log.wait_until(Duration::from_secs(1), mark, "a new worker", |text| {
            text.contains("note: loaded in ").then_some(())
        });
        load.wait_more(200);
    }
    let tally = load.finish();
    assert_eq!(
        server.wait_workers(WORKERS).iter().filter(|pid| was_killed(&kills, **pid)).count(),
        0
    );
    let begun = begun(&file);
    for failure in &tally.failures {
        let by = begun.get(&failure.id).map_or(&[][..], Vec::as_slice);
        let survivor = by.iter().find(|pid| !was_killed(&kills, **pid));
        assert!(survivor.is_none(), "{survivor:?} lives, but lost {failure:?}");
        let explained = kills.iter().any(|(_, at)| {
            failure
                .failed
                .checked_duration_since(*at)
                .is_some_and(|gap| gap < Duration::from_secs(1))
        });
        assert!(explained, "no worker was killed just before {failure:?}");
    }
    // A killed worker has one request in its application and a few accepted ones behind it.
    let most = WORKERS * CLIENTS / 2;
    assert!(tally.failures.len() <= most, "{} requests were lost", tally.failures.len());
}

fn was_killed(kills: &[(i32, Instant)], pid: i32) -> bool {
    kills.iter().any(|(killed, _)| *killed == pid)
}

fn term_answers_everything_that_was_accepted(kind: ServerKind) {
    for _ in 0..3 {
        let (mut server, file) = start(kind);
        let load = Load::start(server.addr, CLIENTS);
        load.wait_more(300);
        let stopped = Instant::now();
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        let tally = load.finish();
        let lost: Vec<&Failure> = tally
            .failures
            .iter()
            .filter(|failure| failure.written.is_some_and(|written| written < stopped))
            .collect();
        assert!(lost.is_empty(), "sent before the signal, but not answered: {lost:?}");
        assert_begun_are_answered(&file, &tally.answered, &tally.failures);
        server.assert_nothing_left();
    }
}

/// Every request that the application began was answered, and none was begun twice, which is what
/// a retry of a request lost inside the application would look like.
fn assert_begun_are_answered(file: &Path, answered: &[String], failures: &[Failure]) {
    let begun = begun(file);
    for failure in failures {
        assert!(!begun.contains_key(&failure.id), "begun, but not answered: {failure:?}");
    }
    for (id, by) in &begun {
        assert_eq!(by.len(), 1, "{id} was begun by {by:?}");
    }
    for id in answered {
        assert!(begun.contains_key(id), "{id} was answered by nobody");
    }
}

fn reloads_lose_nothing(kind: ServerKind) {
    let (server, file) = start(kind);
    let load = Load::start(server.addr, CLIENTS);
    for round in 1..=10 {
        load.wait_more(50);
        let old = server.wait_workers(WORKERS);
        server.signal(Signal::SIGHUP);
        server.log.wait_for_count("Hang up: Master", round);
        until(BOUND, "a whole new generation", || {
            let now = server.workers();
            (now.len() == WORKERS && now.iter().all(|pid| !old.contains(pid))).then_some(())
        });
    }
    load.wait_more(50);
    let tally = load.finish();
    assert!(
        tally.failures.is_empty(),
        "{} requests were lost: {:?}",
        tally.failures.len(),
        tally.failures
    );
    assert_begun_are_answered(&file, &tally.answered, &tally.failures);
    assert!(tally.answered.len() > 500);
}

fn recycling_loses_nothing(kind: ServerKind) {
    let builder = Builder::new(kind);
    let begun = builder.dir().join("begun");
    fs::write(&begun, "").expect("the directory is writable");
    let server = builder
        .env("BEGUN", &begun)
        .args(["--max-requests", "60", "--max-requests-jitter", "20"])
        .start_ready(2);
    let load = Load::start(server.addr, 8);
    server.log.wait_for_count("Autorestarting worker after current request.", 8);
    load.wait_more(50);
    let tally = load.finish();
    assert!(
        tally.failures.is_empty(),
        "{} requests were lost: {:?}",
        tally.failures.len(),
        tally.failures
    );
    assert_begun_are_answered(&begun, &tally.answered, &tally.failures);
}
