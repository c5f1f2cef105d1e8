//! A socket for each worker.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::load::Load;
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process, until};

on_both_servers!(each_worker_has_its_own, servers_share_a_port);

on_rgunicorn!(nothing_is_lost_when_workers_come_and_go);

/// A free port, which the caller uses at once: all servers of these tests can share one, and nobody
/// else gets it while this process has a socket there.
fn port() -> (std::os::fd::OwnedFd, SocketAddr) {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket,
        sockopt,
    };
    use std::os::fd::AsRawFd;
    let held = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .expect("a socket");
    setsockopt(&held, sockopt::ReusePort, &true).expect("the option");
    bind(held.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port");
    let address: SockaddrIn = getsockname(held.as_raw_fd()).expect("its address");
    (held, SocketAddr::from(std::net::SocketAddrV4::from(address)))
}

/// The listening sockets at an address that processes hold, as their descriptors are named.
fn listening(address: SocketAddr) -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/net/tcp").expect("/proc is readable");
    let port = format!(":{:04X}", address.port());
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Local address, peer, state (0A: listening), ..., inode.
    let found = lines.filter(|fields| fields[1].ends_with(&port) && fields[3] == "0A");
    found.map(|fields| format!("socket:[{}]", fields[9])).collect()
}

fn start(kind: ServerKind, address: SocketAddr, workers: usize) -> Server {
    let builder = Builder::new(kind).binding(&address.to_string()).args(["--reuse-port"]);
    let begun = builder.dir().join("begun");
    builder.env("BEGUN", &begun).start_ready(workers)
}

/// Those of `sockets` that a process has open.
fn held(pid: i32, sockets: &BTreeSet<String>) -> BTreeSet<String> {
    process::descriptors(pid).into_iter().filter(|link| sockets.contains(link)).collect()
}

fn each_worker_has_its_own(kind: ServerKind) {
    let (_held, address) = port();
    let server = start(kind, address, 3);
    let own = |pid: i32| until(BOUND, "a socket", || held(pid, &listening(address)).pop_first());
    let workers = server.wait_workers(3);
    let sockets: BTreeSet<String> = workers.iter().map(|pid| own(*pid)).collect();
    assert_eq!(sockets.len(), 3);
    assert_eq!(listening(address), sockets);
    for worker in &workers {
        assert_eq!(held(*worker, &sockets).len(), 1);
    }
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/pid").status, 200);
    }
    if kind.is_rgunicorn() {
        // A worker that is replaced leaves its socket to the next one.
        process::signal(workers[0], Signal::SIGKILL);
        server.log.wait_for_count("note: loaded in ", 4);
        assert_eq!(listening(address), sockets);
        let now: BTreeSet<String> = server.wait_workers(3).into_iter().map(own).collect();
        assert_eq!(now, sockets);
    }
}

fn servers_share_a_port(kind: ServerKind) {
    let (_held, address) = port();
    let servers = [start(kind, address, 1), start(kind, address, 1)];
    let workers: BTreeSet<i32> = servers.iter().flat_map(|server| server.wait_workers(1)).collect();
    // The kernel spreads connections by their ports.
    let answered = until(BOUND, "answers of both servers", || {
        let ask = |_| Client::connect(address).get("/pid").text().parse().expect("a pid");
        let answered: BTreeSet<i32> = (0..20).map(ask).collect();
        (answered.len() == 2).then_some(answered)
    });
    assert_eq!(answered, workers);
}

/// Under load: reloads, and workers added and taken away.
fn nothing_is_lost_when_workers_come_and_go(kind: ServerKind) {
    let (_held, address) = port();
    let server = start(kind, address, 3);
    let load = Load::start(address, 24);
    load.wait_more(200);
    let mut loaded = 3;
    for round in 0..3 {
        let mark = server.log.mark();
        let old = server.workers();
        server.signal(Signal::SIGHUP);
        loaded += 3;
        server.log.wait_for_count("note: loaded in ", loaded);
        until(BOUND, "the old workers to go", || {
            server.workers().iter().all(|pid| !old.contains(pid)).then_some(())
        });
        load.wait_more(100);
        // One less: its socket stays open, and is looked after.
        server.signal(Signal::SIGTTOU);
        server.log.wait_for_since(mark, "Worker exiting");
        server.wait_workers(2);
        for _ in 0..30 {
            assert_eq!(Client::connect(address).get("/pid").status, 200);
        }
        // More than there were before.
        for _ in 0..2 {
            server.signal(Signal::SIGTTIN);
            loaded += 1;
            server.log.wait_for_count("note: loaded in ", loaded);
        }
        load.wait_more(100);
        // No more than there ever were workers.
        assert_eq!(listening(address).len(), 4, "round {round}");
    }
    let tally = load.finish();
    assert!(tally.failures.is_empty() && tally.refused == 0, "{:?}", tally.failures);
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("[WARNING]"), "{log}");
}
