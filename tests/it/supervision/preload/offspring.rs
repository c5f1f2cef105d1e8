//! Processes that the application forks in the master while it is loaded, and that outlive reloads.

use std::net::TcpListener;

use nix::sys::signal::Signal;

use super::{APP, builder, change, start, until_reaped, until_serving, write};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Server, ServerKind, process, until};
use crate::supervision::address;

on_rgunicorn!(
    they_take_no_signals_and_leave_no_zombies,
    they_do_not_keep_workers_or_sockets_from_going
);

/// Two of them, as multiprocessing does it, with a handler that chains to the server's.
const FORKING: &str = "
import signal
def live():
    before = signal.getsignal(signal.SIGTERM)
    def handle(number, frame):
        if callable(before): before(number, frame)
        os._exit(0)
    signal.signal(signal.SIGTERM, handle)
    os.write(2, b'note: child %d\\n' % os.getpid())
    while True: signal.pause()
for _ in range(2):
    if os.fork() == 0:
        live()
";

fn forking(kind: ServerKind) -> Server {
    let code = APP.replace("def app(", &format!("{FORKING}\ndef app("));
    let builder = builder(kind, &["-w", "2"]).binding("127.0.0.1:0");
    let mut server = start(builder.file("changing.py", &code));
    server.addr = address(&server);
    server
}

fn workers(server: &Server) -> Vec<i32> {
    let others = offspring(server);
    until(BOUND, "two workers", || {
        let workers = process::children(server.pid()).into_iter();
        let workers: Vec<i32> = workers.filter(|pid| !others.contains(pid)).collect();
        (workers.len() == 2).then_some(workers)
    })
}

/// Of this server, those that live.
fn offspring(server: &Server) -> Vec<i32> {
    let log = server.log.text();
    let pids = log.lines().filter_map(|line| line.strip_prefix("note: child ")?.parse().ok());
    pids.filter(|pid| process::is_alive(*pid)).collect()
}

fn until_offspring(server: &Server, count: usize) -> Vec<i32> {
    let found = || Some(offspring(server)).filter(|pids| pids.len() == count);
    until(BOUND, "children of the application", found)
}

fn they_take_no_signals_and_leave_no_zombies(kind: ServerKind) {
    let mut server = forking(kind);
    until_serving(&server, "old");
    for round in 1..=3 {
        let pids = until_offspring(&server, 2);
        let mark = server.log.mark();
        for count in 1..=20 {
            server.signal(Signal::SIGUSR1);
            server.log.wait_until(BOUND, mark, "a signal to the master", |text| {
                (text.matches("Handling signal: usr1").count() == count).then_some(())
            });
        }
        // Theirs are theirs.
        for pid in pids {
            process::signal(pid, Signal::SIGTERM);
            process::until_gone(pid);
        }
        until_reaped(&server);
        assert!(!server.log.since(mark).contains("Handling signal: term"));
        let code = APP.replace("def app(", &format!("{FORKING}\ndef app("));
        let what = format!("b'{round}");
        write(&server, "changing.py", &code.replace("b'old", &what));
        server.signal(Signal::SIGHUP);
        until_serving(&server, &round.to_string());
    }
    // Those of the checks have ended with these.
    until_offspring(&server, 2);
    // What was forked before a reload outlives it.
    change(&server, "new");
    server.signal(Signal::SIGHUP);
    until_serving(&server, "new");
    let left = until_offspring(&server, 2);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    for pid in left {
        process::signal(pid, Signal::SIGKILL);
        process::until_gone(pid);
    }
    server.assert_nothing_left();
}

/// Not even those forked by a master that has become a new program, in which both were there before them.
fn they_do_not_keep_workers_or_sockets_from_going(kind: ServerKind) {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut server = forking(kind);
        until_serving(&server, "old");
        let first = until_offspring(&server, 2);
        let code = APP.replace("def app(", &format!("{FORKING}\ndef app("));
        write(&server, "changing.py", &code.replace("b'old", "b'new"));
        server.signal(Signal::SIGHUP);
        until_serving(&server, "new");
        let workers = workers(&server);
        process::signal(server.pid(), signal);
        for pid in workers {
            process::until_gone(pid);
        }
        server.wait_exit(BOUND);
        let left = offspring(&server);
        assert!(first.iter().all(|pid| left.contains(pid)), "{first:?}, {left:?}");
        drop(TcpListener::bind(server.addr).expect("nobody listens there"));
        for pid in left {
            process::signal(pid, Signal::SIGKILL);
            process::until_gone(pid);
        }
        server.assert_nothing_left();
    }
}
