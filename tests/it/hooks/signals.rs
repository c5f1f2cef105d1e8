//! Signals of the master, where code of the user has handlers or processes of its own.

use std::fs;

use nix::sys::signal::Signal;

use super::record::Record;
use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_both_servers!(handlers_in_the_master, failing_handlers, processes_of_the_master);

/// A server with these lines in its conf file, which may `put` words into the record.
fn serve(kind: ServerKind, conf: &str) -> (Server, Record) {
    let put = "import multiprocessing, os, signal, sys, threading, time\n\
        RECORD = os.path.abspath('record')\n\
        def put(*words):\n    \
        with open(RECORD, 'a') as file: print(os.getpid(), *words, file=file)\n";
    let builder = Builder::new(kind).file("gunicorn.conf.py", &format!("{put}{conf}"));
    let record = Record::of(&builder);
    (builder.app("supervised:app").start(), record)
}

/// Handlers that are put in front of the server's, and those for signals that it has no use for, run
/// while the master waits. Workers have neither.
fn handlers_in_the_master(kind: ServerKind) {
    let (mut server, record) = serve(
        kind,
        "put('imported', 'gunicorn' in sys.modules)\n\
         def when_ready(server):\n    \
         signal.signal(signal.SIGALRM, lambda number, frame: put('alarm'))\n    \
         for number in (signal.SIGTTIN, signal.SIGTERM): chain(number, signal.getsignal(number))\n\
         def chain(number, before):\n    \
         def handle(*arguments):\n        \
         put('chained', signal.Signals(number).name)\n        \
         before(*arguments)\n    \
         signal.signal(number, handle)\n\
         def post_worker_init(worker):\n    \
         own = [signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)]\n    \
         put('own', *(handler is signal.SIG_DFL for handler in own))\n",
    );
    record.wait("own True True True", 1);
    for count in 1..=2 {
        server.signal(Signal::SIGALRM);
        record.wait("alarm", count);
    }
    server.signal(Signal::SIGTTIN);
    record.wait("own True True True", 2);
    let worker = server.wait_workers(2)[0];
    process::signal(worker, Signal::SIGTERM);
    record.wait("own True True True", 3);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let expected = ["imported True", "alarm", "alarm", "chained SIGTTIN", "chained SIGTERM"];
    assert_eq!(record.of_process(server.pid()), expected);
}

/// What a handler raises is an error of the main loop; `sys.exit` ends the master.
fn failing_handlers(kind: ServerKind) {
    for (action, status) in [("{}['x']", 255), ("sys.exit(7)", 7)] {
        let (mut server, record) = serve(
            kind,
            &format!(
                "def fail(number, frame): {action}\n\
                 def when_ready(server): signal.signal(signal.SIGUSR2, fail)\n\
                 def post_worker_init(worker): put('ready')\n"
            ),
        );
        record.wait("ready", 1);
        assert_eq!(server.stop(Signal::SIGUSR2), status);
        let log = server.log.text();
        assert_eq!(log.contains("Unhandled exception in main loop"), status == 255, "{log}");
        assert_eq!(log.contains("KeyError: 'x'"), status == 255, "{log}");
    }
}

/// What a process is sent that a hook, or a thread of the master, has forked does not reach the master.
fn processes_of_the_master(kind: ServerKind) {
    let (mut server, record) = serve(
        kind,
        "def wait():\n    \
         put('waits')\n    \
         while not os.path.exists(RECORD + '.go'): time.sleep(0.01)\n\
         def fork():\n    \
         child = multiprocessing.get_context('fork').Process(target=wait)\n    \
         child.start()\n    \
         put('child', child.pid)\n\
         def when_ready(server):\n    \
         fork()\n    \
         threading.Thread(target=fork, daemon=True).start()\n\
         def post_worker_init(worker): put('ready', worker.age)\n",
    );
    record.wait("waits", 2);
    record.wait("child ", 2);
    record.wait("ready 1", 1);
    let calls = record.of_process(server.pid());
    let children = calls.iter().filter_map(|call| call.strip_prefix("child "));
    for child in children.map(|pid| pid.parse().expect("a process id")) {
        process::signal(child, Signal::SIGHUP);
        process::signal(child, Signal::SIGTERM);
        if kind == ServerKind::Rgunicorn {
            until(BOUND, "the end of the process", || (!process::is_alive(child)).then_some(()));
        }
    }
    // Had the master taken one of them for its own, it would handle that first.
    server.signal(Signal::SIGTTIN);
    record.wait("ready 2", 1);
    fs::write(server.dir().join("record.go"), "").expect("the directory is writable");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let log = server.log.text();
    assert!(!log.contains("Handling signal: hup"), "{log}");
    assert_eq!(log.matches("Handling signal: term").count(), 1, "{log}");
}
