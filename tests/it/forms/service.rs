//! What the service manager is told, played by a stand-in that speaks `NOTIFY_SOCKET`, and passes a
//! socket by `LISTEN_FDS` like all tests.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::manager::Manager;
use crate::harness::{BOUND, Builder, ServerKind};

on_both_servers!(ready);

on_rgunicorn!(
    a_life_is_told_by_the_master_alone,
    a_broken_start_is_never_ready,
    the_watchdog_is_fed,
    a_manager_that_cannot_be_reached_is_no_obstacle,
);

fn ready(kind: ServerKind) {
    let name = format!("rgunicorn-it-{}-{}", std::process::id(), kind.name());
    let manager = Manager::named(&name);
    let server = Builder::new(kind).env("NOTIFY_SOCKET", format!("@{name}")).start_ready(1);
    let told = manager.next();
    assert_eq!((told.value("READY"), told.pid), (Some("1"), server.pid()), "{told:?}");
    assert!(told.value("STATUS").is_some_and(|text| !text.is_empty()), "{told:?}");
}

const APP: &str = "import os

def app(environ, start_response):
    start_response('200 OK', [])
    names = 'LISTEN_FDS LISTEN_PID LISTEN_FDNAMES NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID'
    return [' '.join(name for name in names.split() if name in os.environ).encode()]
";

/// From the first ready worker over good and broken reloads to the end.
fn a_life_is_told_by_the_master_alone(kind: ServerKind) {
    let builder = Builder::new(kind).in_own_dir().app("told:app").file("told.py", APP);
    let path = builder.dir().join("notify");
    let manager = Manager::at(&path);
    let conf = "workers = 2\n";
    let mut server = builder
        .file("gunicorn.conf.py", conf)
        .env("NOTIFY_SOCKET", &path)
        .env("LISTEN_FDNAMES", "web")
        .start();
    let (pid, text) = (server.pid(), server.pid().to_string());
    let expect = |state: &str, status: &str| {
        let told = manager.next();
        let (name, value) = state.split_once('=').expect("a name and a value");
        assert_eq!(told.pid, pid, "{told:?}");
        assert_eq!(
            (told.value(name), told.value("STATUS")),
            (Some(value), Some(status)),
            "{told:?}"
        );
        told
    };
    let told = expect("READY=1", "Serving with 2 workers");
    assert_eq!(told.value("MAINPID"), Some(text.as_str()));
    // A worker is ready by then.
    assert_eq!(server.get("/").text(), "", "variables that workers must not see");

    server.signal(Signal::SIGTTIN);
    let told = expect("STATUS=Serving with 3 workers", "Serving with 3 workers");
    assert_eq!(told.value("READY"), None);

    server.signal(Signal::SIGHUP);
    let told = expect("RELOADING=1", "Reloading");
    assert!(told.value("MONOTONIC_USEC").is_some_and(|micros| micros.parse::<u64>().is_ok()));
    expect("READY=1", "Serving with 2 workers");

    let broken = "Serving with 2 workers; the last reload failed, see the error log";
    fs::write(server.dir().join("gunicorn.conf.py"), "workers = -1\n").expect("writable");
    server.signal(Signal::SIGHUP);
    expect("RELOADING=1", "Reloading");
    expect("READY=1", broken);
    fs::write(server.dir().join("gunicorn.conf.py"), conf).expect("writable");
    fs::write(server.dir().join("told.py"), "import nothing_of_that_name\n").expect("writable");
    server.signal(Signal::SIGHUP);
    expect("RELOADING=1", "Reloading");
    expect("READY=1", broken);

    fs::write(server.dir().join("told.py"), APP).expect("writable");
    server.signal(Signal::SIGHUP);
    expect("RELOADING=1", "Reloading");
    expect("READY=1", "Serving with 2 workers");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    expect("STOPPING=1", "Stopping");
    assert!(manager.so_far().is_empty());
}

/// The manager learns from the exit status that the start has failed.
fn a_broken_start_is_never_ready(kind: ServerKind) {
    for (app, status) in [("broken_raise:app", 3), ("factories:missing", 4)] {
        let builder = Builder::new(kind).app(app);
        let path = builder.dir().join("notify");
        let manager = Manager::at(&path);
        let mut server = builder.env("NOTIFY_SOCKET", &path).spawn();
        assert_eq!(server.wait_exit(BOUND).code(), Some(status));
        let told = manager.so_far();
        assert!(told.iter().all(|told| told.value("READY").is_none()), "{told:?}");
    }
}

fn the_watchdog_is_fed(kind: ServerKind) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("notify");
    let manager = Manager::at(&path);
    let began = Instant::now();
    // The variable that says whom it is for is left out: then it is for whoever gets it.
    let server = builder.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").start_ready(1);
    for _ in 0..5 {
        let mut told = manager.next();
        while told.value("WATCHDOG").is_none() {
            told = manager.next();
        }
        assert_eq!(told.pid, server.pid());
    }
    // Not more often than every half of that time.
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
}

fn a_manager_that_cannot_be_reached_is_no_obstacle(kind: ServerKind) {
    for place in ["/nonexistent/notify", "nonsense", ""] {
        let server = Builder::new(kind).env("NOTIFY_SOCKET", place).start_ready(1);
        assert_eq!(server.get("/pid").status, 200);
    }
}
