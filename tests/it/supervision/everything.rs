//! All that can happen to a server in its life, one after the other, under constant load: whatever does
//! not kill a worker by force costs no request.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::under_load::begun;
use super::{APP, changeable};
use crate::harness::cases::on_rgunicorn;
use crate::harness::load::{Load, Tally};
use crate::harness::{BOUND, Client, Server, ServerKind, process, until};

on_rgunicorn!(
    sync_workers_lose_nothing,
    threaded_workers_lose_nothing,
    workers_with_a_preloaded_application_lose_nothing
);

const WORKERS: usize = 3;
/// Half of them keep their connection.
const CLIENTS: usize = 128;
/// About a thousand requests per second in all.
const PAUSE: Duration = Duration::from_millis(120);
/// How much later than the end of a worker its clients may notice, on a machine with much to do.
const NOTICE: Duration = Duration::from_secs(2);

/// What is wrong with the next reload, as application or as end of the conf file, and what the log says.
const BROKEN: [(Option<&str>, &str, &str); 5] = [
    (Some("def app(:\n"), "", "SyntaxError: "),
    (Some("import nothing_of_that_name\n"), "", "No module named 'nothing_of_that_name'"),
    (None, "threads = 'many'\n", "invalid literal for int() with base 0: 'many'"),
    (None, "def post_fork(server, worker):\n    raise ValueError('hook')\n", "ValueError: hook"),
    (Some("import os\nos._exit(9)\n"), "", "exited with code 9."),
];

/// A server, and what was done to it by force.
struct Life {
    server: Server,
    addr: SocketAddr,
    master: i32,
    load: Load,
    /// How often the application is loaded at a start.
    loads: usize,
    /// Workers that were ended by force, and when.
    killed: Vec<(i32, Instant)>,
}

fn sync_workers_lose_nothing(kind: ServerKind) {
    let parts: [Part; 6] = [
        ("good reloads", |life| (0..20).for_each(|_| life.reload(""))),
        ("broken reloads", |life| BROKEN.iter().chain(&BROKEN).for_each(|one| life.fail(one))),
        ("more and fewer workers", |life| (0..3).for_each(|_| life.more_and_fewer())),
        ("recycling", Life::recycle),
        ("upgrades", |life| [true, false, false].into_iter().for_each(|back| life.upgrade(back))),
        ("forced ends", |life| (0..2).for_each(|_| life.kill())),
    ];
    live(kind, &[], WORKERS, &parts);
}

fn threaded_workers_lose_nothing(kind: ServerKind) {
    let parts: [Part; 4] = [
        ("good reloads", |life| (0..5).for_each(|_| life.reload(""))),
        ("broken reloads", |life| BROKEN.iter().for_each(|one| life.fail(one))),
        ("upgrades", |life| [true, false].into_iter().for_each(|back| life.upgrade(back))),
        ("forced ends", Life::kill),
    ];
    live(kind, &["--threads", "3"], WORKERS, &parts);
}

/// The master becomes a new program with each reload.
fn workers_with_a_preloaded_application_lose_nothing(kind: ServerKind) {
    let parts: [Part; 6] = [
        ("good reloads", |life| (0..8).for_each(|_| life.reload(""))),
        ("broken reloads", |life| BROKEN.iter().for_each(|one| life.fail(one))),
        ("more and fewer workers", Life::more_and_fewer),
        ("upgrades", |life| [true, false].into_iter().for_each(|back| life.upgrade(back))),
        ("another reload", |life| life.reload("")),
        ("forced ends", Life::kill),
    ];
    live(kind, &["--preload"], 1, &parts);
}

/// What happens to a server, and its name.
type Part = (&'static str, fn(&mut Life));

/// `loads`: how often the application is loaded at a start.
fn live(kind: ServerKind, args: &[&str], loads: usize, parts: &[Part]) {
    let (builder, file) = changeable(kind, &configuration(""));
    let server = builder.args(args).start();
    server.log.wait_for_count("note: loaded in ", loads);
    server.wait_workers(WORKERS);
    let (addr, master) = (server.addr, server.pid());
    let load = Load::paced(addr, CLIENTS, PAUSE);
    let mut life = Life { server, addr, master, load, loads, killed: Vec::new() };
    life.load.wait_more(CLIENTS);

    for (name, part) in parts {
        let begin = Instant::now();
        part(&mut life);
        // Shown if something fails.
        println!("{name}: {:?}", begin.elapsed());
        life.load.wait_more(CLIENTS);
    }
    life.whole(&[]);
    assert_eq!(process::zombies(life.master), 0);
    let Life { server, master, load, killed, .. } = life;
    let tally = load.finish();
    judge(&tally, &begun(&file), &killed);
    process::signal(master, Signal::SIGTERM);
    process::until_gone(master);
    server.assert_nothing_left();
}

fn configuration(more: &str) -> String {
    format!("workers = {WORKERS}\n{more}")
}

impl Life {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.server.dir().join(name), text).expect("the directory is writable");
    }

    fn workers(&self) -> Vec<i32> {
        process::children(self.master)
    }

    /// Waits until all workers are there and none is one of these.
    fn whole(&self, old: &[i32]) {
        until(BOUND, "a whole new generation", || {
            let now = self.workers();
            (now.len() == WORKERS && now.iter().all(|pid| !old.contains(pid))).then_some(())
        });
    }

    /// With more settings.
    fn reload(&mut self, more: &str) {
        self.write("gunicorn.conf.py", &configuration(more));
        let old = self.workers();
        process::signal(self.master, Signal::SIGHUP);
        self.whole(&old);
    }

    /// A reload with something broken.
    fn fail(&mut self, (app, conf, line): &(Option<&str>, &str, &str)) {
        let old = self.workers();
        assert_eq!(old.len(), WORKERS);
        let mark = self.server.log.mark();
        self.write("gunicorn.conf.py", &configuration(conf));
        self.write("served.py", app.unwrap_or(APP));
        process::signal(self.master, Signal::SIGHUP);
        self.server.log.wait_for_since(mark, line);
        self.server.log.wait_until(BOUND, mark, "the end of the reload", |text| {
            let ends = ["The reload failed: ", "The configuration in force stays as it is"];
            ends.iter().any(|end| text.contains(end)).then_some(())
        });
        self.write("served.py", APP);
        until(BOUND, "the workers from before", || (self.workers() == old).then_some(()));
    }

    fn more_and_fewer(&mut self) {
        for (signal, count) in [(Signal::SIGTTIN, WORKERS + 1), (Signal::SIGTTOU, WORKERS)] {
            let mark = self.server.log.mark();
            process::signal(self.master, signal);
            until(BOUND, "another number of workers", || {
                (self.workers().len() == count).then_some(())
            });
            if count > WORKERS {
                self.server.log.wait_for_since(mark, "Booting worker");
            }
        }
    }

    fn recycle(&mut self) {
        for (setting, line) in [
            ("max_requests = 100\nmax_requests_jitter = 50\n", "Autorestarting worker"),
            (
                "max_worker_lifetime = 0.5\nmax_worker_lifetime_jitter = 0.5\n",
                "(max_worker_lifetime)",
            ),
        ] {
            let mark = self.server.log.mark();
            self.reload(setting);
            self.server.log.wait_until(BOUND, mark, line, |text| {
                (text.matches(line).count() >= 2 * WORKERS).then_some(())
            });
        }
        let mark = self.server.log.mark();
        self.reload("max_worker_memory = '128M'\n");
        let grown = Client::connect(self.addr).get("/grow?160").text();
        self.server.log.wait_for_since(mark, "(max_worker_memory) and is replaced.");
        self.server.log.wait_for_since(mark, &format!("Worker exiting (pid: {grown})"));
        self.reload("");
    }

    fn kill(&mut self) {
        for signal in [Signal::SIGKILL, Signal::SIGABRT] {
            let old = self.workers();
            self.killed.push((old[0], Instant::now()));
            process::signal(old[0], signal);
            self.whole(&old[..1]);
        }
        let old = self.workers();
        let mut client = Client::connect(self.addr);
        client.send("GET /segfault HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_to_end(), b"");
        let at = Instant::now();
        let gone = until(BOUND, "the end of a worker", || {
            old.iter().copied().find(|pid| !process::is_alive(*pid))
        });
        self.killed.push((gone, at));
        self.whole(&[gone]);
        self.load.wait_more(CLIENTS);
    }

    /// Starts another master and stops it again, or this one.
    fn upgrade(&mut self, back: bool) {
        let mark = self.server.log.mark();
        process::signal(self.master, Signal::SIGUSR2);
        let new = self.server.new_master(mark);
        self.server.log.wait_until(BOUND, mark, "new workers", |text| {
            let loaded = text.matches("note: loaded in ").count() >= self.loads;
            (loaded && text.matches("Booting worker").count() >= WORKERS).then_some(())
        });
        self.load.wait_more(CLIENTS);
        let (goes, stays) = if back { (new, self.master) } else { (self.master, new) };
        process::signal(goes, Signal::SIGTERM);
        process::until_gone(goes);
        self.master = stays;
        self.load.wait_more(CLIENTS);
    }
}

/// What was lost, and what was not answered at once, is the fault of a worker that was killed by force.
fn judge(tally: &Tally, begun: &HashMap<String, Vec<i32>>, killed: &[(i32, Instant)]) {
    let by_force = |at: Instant| {
        let gaps = killed.iter().filter_map(|(_, kill)| at.checked_duration_since(*kill));
        gaps.min().is_some_and(|gap| gap < NOTICE)
    };
    let was_killed = |pid: &i32| killed.iter().any(|(one, _)| one == pid);
    let who_began = |id: &str| begun.get(id).map_or(&[][..], Vec::as_slice);
    for failure in &tally.failures {
        let by = who_began(&failure.id);
        // If nobody began it, a killed worker had it and had not come to it.
        assert!(by.iter().all(was_killed), "{failure:?}, begun by {by:?}");
        assert!(by_force(failure.failed), "{failure:?}");
    }
    // What such a worker has besides the request in the application.
    let most = killed.len() * 8;
    assert!(tally.failures.len() <= most, "{} requests were lost", tally.failures.len());
    // A client whose idle connection is closed sends its request again if it may (RFC 9112, 9.3.1).
    // Only the kernel closes any here, for a process that is gone, and a client has one.
    let unforced: Vec<_> = tally.retried.iter().filter(|(_, at)| !by_force(*at)).collect();
    assert!(unforced.is_empty(), "sent again without need: {unforced:?}");
    assert!(tally.retried.len() <= killed.len() * CLIENTS / 2);
    assert_eq!(tally.refused, 0);
    let retried: HashSet<&str> = tally.retried.iter().map(|(id, _)| id.as_str()).collect();
    for id in &tally.answered {
        let by = who_began(id);
        let again = retried.contains(id.as_str()) && by.len() == 2 && was_killed(&by[0]);
        assert!(by.len() == 1 || again, "{id} was begun by {by:?}");
    }
}
