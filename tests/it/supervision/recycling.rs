//! Workers that are replaced before anything is wrong with them, and those that never get ready.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::Signal;

use super::address;
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::load::Load;
use crate::harness::{BOUND, Builder, Client, ServerKind, process, until};

/// Who answers, with the number of the request in its process.
const COUNTING: &str = "import os
count = 0
def app(environ, start_response):
    global count
    count += 1
    start_response('200 OK', [('Content-Length', '9')])
    return [b'%d %07d' % (count, os.getpid())]
os.write(2, b'note: loaded in\\n')
";

on_both_servers!(each_request_has_a_process_of_its_own);

on_rgunicorn!(
    connections_move_on_to_the_next_process,
    a_worker_that_grows_is_replaced,
    workers_are_replaced_for_their_age_and_nothing_is_lost,
    a_few_at_a_time_are_replaced_for_their_requests,
    a_worker_that_does_not_get_ready_is_ended,
    a_reload_that_hangs_gives_way
);

fn a_worker_that_grows_is_replaced(kind: ServerKind) {
    let server = Builder::new(kind).args(["--max-worker-memory", "128M"]).start_ready(1);
    let grown: i32 = server.get("/grow?160").text().parse().expect("a process id");
    assert!(process::resident(grown) > 128 << 20);
    let limit = 128 << 20;
    let text = format!(
        "[INFO] Worker (pid:{grown}) uses more than {limit} bytes (max_worker_memory) and is replaced."
    );
    server.log.wait_for(&text);
    server.log.wait_for(&format!("Worker exiting (pid: {grown})"));
    // Its replacement had been ready before.
    let log = server.log.text();
    let exits = log.find("Worker exiting").expect("just seen");
    assert_eq!(log[..exits].matches("note: loaded in ").count(), 2, "{log}");
    let workers = server.wait_workers(1);
    assert_ne!(workers, [grown]);
    assert_eq!(server.get("/pid").text(), workers[0].to_string());
}

fn workers_are_replaced_for_their_age_and_nothing_is_lost(kind: ServerKind) {
    let builder = Builder::new(kind);
    let begun = builder.dir().join("begun");
    fs::write(&begun, "").expect("the directory is writable");
    let args = ["--max-worker-lifetime", "0.5", "--max-worker-lifetime-jitter", "0.5"];
    let server = builder.env("BEGUN", &begun).args(args).start_ready(2);
    let load = Load::start(server.addr, 8);
    server.log.wait_for_count("s (max_worker_lifetime) and is replaced.", 6);
    load.wait_more(50);
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    // One at a time: two serve, one is to go or to come.
    assert!(server.workers().len() <= 4, "{:?}", server.workers());
}

/// Of workers that are due together, and whose replacements take a while to load.
fn a_few_at_a_time_are_replaced_for_their_requests(kind: ServerKind) {
    const APP: &str = "import os, time\n\
        def app(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [str(os.getpid()).encode()]\n\
        if os.path.exists('slow'): time.sleep(0.3)\nos.write(2, b'note: loaded in\\n')\n";
    for threads in ["1", "2"] {
        let builder = Builder::new(kind).in_own_dir().app("limited:app").file("limited.py", APP);
        let args = ["-w", "4", "--max-requests", "20", "--threads", threads];
        let server = builder.args(args).args(["--max-recycling", "2"]).start();
        server.log.wait_for_count("note: loaded in", 4);
        fs::write(server.dir().join("slow"), "").expect("the directory is writable");
        let old = server.workers();
        let load = Load::start(server.addr, 8);
        let mut most = 0;
        until(BOUND, "other workers", || {
            let now = server.workers();
            // Some of them may be on their way out.
            let booting = now.len().saturating_sub(4);
            most = most.max(booting);
            (!now.iter().any(|pid| old.contains(pid))).then_some(())
        });
        let tally = load.finish();
        assert!(tally.failures.is_empty() && tally.refused == 0, "{:?}", tally.failures);
        assert!((1..=4).contains(&most), "{most} more than four");
        let log = server.log.text();
        for pid in old {
            let text = "has handled its requests (max_requests) and is replaced.";
            assert!(log.contains(&format!("Worker (pid:{pid}) {text}")), "{log}");
        }
    }
}

const APP: &str = "def app(environ, start_response):\n    start_response('200 OK', [])\n    \
    return [b'old']\n";

const HANGING: &str = "import os, time\nos.write(2, b'note: hangs\\n')\ntime.sleep(1000)\n";

fn a_worker_that_does_not_get_ready_is_ended(kind: ServerKind) {
    let builder = Builder::new(kind).in_own_dir().app("slow:app").file("slow.py", APP);
    let server = builder.args(["--worker-boot-timeout", "0.5"]).start();
    assert_eq!(server.get("/").text(), "old");
    let old = server.wait_workers(1);
    let path = server.dir().join("slow.py");
    fs::write(&path, HANGING).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("[CRITICAL] WORKER TIMEOUT (pid:");
    server.log.wait_for(" has been starting for 0.");
    server.log.wait_for("slow.py\", line 3, in <module>");
    server.log.wait_for("The reload failed: none of the new workers could boot.");
    until(BOUND, "the end of the new one", || (server.workers() == old).then_some(()));
    assert_eq!(server.get("/").text(), "old");
    // The next reload tries again.
    fs::write(&path, APP.replace("old", "new")).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for(&format!("Worker exiting (pid: {})", old[0]));
    assert_eq!(server.get("/").text(), "new");
}

/// To the next reload, and to the end of the server: both do not wait for what is being loaded.
fn a_reload_that_hangs_gives_way(kind: ServerKind) {
    let builder = Builder::new(kind).in_own_dir().app("slow:app").file("slow.py", APP);
    let mut server = builder.start();
    assert_eq!(server.get("/").text(), "old");
    let old = server.wait_workers(1)[0];
    let path = server.dir().join("slow.py");
    fs::write(&path, HANGING).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("note: hangs");
    assert_eq!(server.get("/").text(), "old");
    fs::write(&path, APP.replace("old", "new")).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for(&format!("Worker exiting (pid: {old})"));
    assert_eq!(server.get("/").text(), "new");
    assert_eq!(server.wait_workers(1).len(), 1, "the one that hung is gone");
    fs::write(&path, HANGING).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for_count("note: hangs", 2);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let log = server.log.wait_end(BOUND);
    assert!(!log.contains("was sent") && !log.contains("[ERROR]"), "{log}");
}

/// One after the other, and several at a time.
fn each_request_has_a_process_of_its_own(kind: ServerKind) {
    for args in [&["-w", "1"][..], &["-w", "3", "--preload"], &["-w", "2", "--threads", "1"]] {
        let builder = Builder::new(kind).in_own_dir().app("counting:app");
        let builder = builder.file("counting.py", COUNTING).args(["--max-requests", "1"]);
        let mut server = builder.args(args).start();
        server.log.wait_for("Booting worker");
        let get = || server.get("/").text();
        let mut answers: Vec<String> = (0..6).map(|_| get()).collect();
        answers.extend(std::thread::scope(|scope| {
            let clients: Vec<_> = (0..6).map(|_| scope.spawn(|| [(); 3].map(|()| get()))).collect();
            let all = clients.into_iter().flat_map(|one| one.join().expect("it is answered"));
            all.collect::<Vec<_>>()
        }));
        assert!(answers.iter().all(|answer| answer.starts_with("1 ")), "{args:?}: {answers:?}");
        let processes: HashSet<&String> = answers.iter().collect();
        assert_eq!(processes.len(), 24, "{args:?}: {answers:?}");
        assert_eq!(server.stop(Signal::SIGTERM), 0);
    }
}

/// Also requests that a client has sent in one go, and those to threads.
fn connections_move_on_to_the_next_process(kind: ServerKind) {
    for args in [&["-w", "1"][..], &["-w", "2", "--threads", "3"], &["-w", "2", "--reuse-port"]] {
        let builder = Builder::new(kind).in_own_dir().app("counting:app").binding("127.0.0.1:0");
        let builder = builder.file("counting.py", COUNTING).args(["--max-requests", "1"]);
        let mut server = builder.args(["--keep-alive", "30"]).args(args).start();
        let addr = address(&server);
        let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(addr)).collect();
        let mut processes = HashSet::new();
        for _ in 0..2 {
            for client in &mut clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
            }
            for client in &mut clients {
                for _ in 0..3 {
                    let answer = client.response().text();
                    assert!(answer.starts_with("1 "), "{args:?}: {answer}");
                    assert!(processes.insert(answer), "{args:?}");
                }
            }
        }
        let load = Load::start(addr, 8);
        load.wait_more(30);
        let tally = load.finish();
        assert!(tally.failures.is_empty(), "{args:?}: {:?}", tally.failures);
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        server.assert_nothing_left();
    }
}
