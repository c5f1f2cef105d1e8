//! HUP with `preload_app`: the master becomes a new program in the same process, with the new application.

mod beside_others;
mod forms;
mod loading;
mod offspring;
mod trouble;
mod versions;

use std::fs;

use nix::sys::signal::Signal;

use super::address;
use crate::harness::cases::on_rgunicorn;
use crate::harness::load::Load;
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process, until};

on_rgunicorn!(
    new_code_is_served_by_the_same_master,
    reloads_lose_nothing,
    memory_and_descriptors_stay_as_they_are,
    preloading_may_begin_and_end_at_a_reload,
    hooks_see_one_server,
);

/// Says what it is, and in which process it was loaded. In the process that `hold` names, the import
/// waits until somebody opens the named pipe `pipe`; in the one that `deaf` names, it keeps the interpreter to
/// itself, and notices nothing; in the one that `break` names, it fails.
const APP: &str = "import os
def meant(name):
    return os.path.exists(name) and open(name).read() == str(os.getpid())
if meant('hold'):
    os.write(2, b'note: held\\n')
    open('pipe').read()
if meant('deaf'):
    os.write(2, b'note: deaf\\n')
    __import__('ctypes').PyDLL(None).sleep(600)
if meant('break'):
    raise RuntimeError('in this process only')
LOADED = os.getpid()
os.write(2, b'note: loaded\\n')
def app(environ, start_response):
    if environ['PATH_INFO'] == '/hang':
        __import__('time').sleep(600)
    start_response('200 OK', [('X-Pid', str(os.getpid()))])
    return [b'old %d' % LOADED]
";

fn builder(kind: ServerKind, args: &[&str]) -> Builder {
    let builder = Builder::new(kind).in_own_dir().app("changing:app").args(["--preload"]);
    builder.file("changing.py", APP).args(args)
}

#[track_caller]
fn start(builder: Builder) -> Server {
    let server = builder.start();
    server.log.wait_for("Booting worker");
    server
}

fn write(server: &Server, file: &str, text: &str) {
    fs::write(server.dir().join(file), text).expect("the directory is writable");
}

/// Has the import do what the file of this name stands for, in the process of this id.
fn mean(server: &Server, name: &str, pid: i32) {
    write(server, name, &pid.to_string());
}

/// Puts `what` in the place of what the application says.
fn change(server: &Server, what: &str) {
    write(server, "changing.py", &APP.replace("b'old", &format!("b'{what}")));
}

/// Waits until every worker serves the application that says this, loaded by this master.
#[track_caller]
fn until_says(get: impl Fn() -> String, what: &str, master: i32) {
    let expected = format!("{what} {master}");
    until(BOUND, &format!("'{expected}'"), || (0..8).all(|_| get() == expected).then_some(()));
}

#[track_caller]
fn until_serving(server: &Server, what: &str) {
    until_says(|| server.get("/").text(), what, server.pid());
}

/// Who has ended is collected.
#[track_caller]
fn until_reaped(server: &Server) {
    until(BOUND, "no zombies", || (process::zombies(server.pid()) == 0).then_some(()));
}

/// The reload leads to new workers only, which say this.
#[track_caller]
fn reload(server: &Server, what: &str) {
    let old = server.workers();
    change(server, what);
    server.signal(Signal::SIGHUP);
    until_serving(server, what);
    until(BOUND, "old workers to go", || {
        (!old.iter().any(|pid| process::is_alive(*pid))).then_some(())
    });
}

fn new_code_is_served_by_the_same_master(kind: ServerKind) {
    let builder = builder(kind, &["-w", "2", "--pid", "web.pid", "-n", "shop"]);
    let mut server = start(builder.first("exec 9>lock"));
    until_serving(&server, "old");
    let pid_file = server.dir().join("web.pid");
    let name = process::status(server.pid(), "Name");
    let mut kept = server.connect();
    let mut ask = || {
        kept.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        kept.response().text()
    };
    assert!(ask().starts_with("old "));
    for what in ["new", "newer"] {
        reload(&server, what);
        server.wait_workers(2);
        until_reaped(&server);
        let written = fs::read_to_string(&pid_file).expect("it is there all the time");
        assert_eq!(written.trim(), server.pid().to_string());
        assert_eq!(process::title(server.pid()), "gunicorn: master [shop]");
        assert_eq!(process::status(server.pid(), "Name"), name);
        // What whoever started the server wants to stay open.
        assert!(process::descriptor(server.pid(), 9).ends_with("/lock"));
        // Connections are handed over as in any reload.
        assert!(ask().starts_with(what));
    }
    let log = server.log.text();
    for (text, count) in [("Hang up: Master", 2), ("Starting rgunicorn", 1), ("note: loaded", 5)] {
        assert_eq!(log.matches(text).count(), count, "{text} in\n{log}");
    }
    // Nothing of this is for the application.
    let environ = fs::read(format!("/proc/{}/environ", server.wait_workers(2)[0]));
    let environ = String::from_utf8_lossy(&environ.expect("it lives")).into_owned();
    assert!(!environ.contains("RGUNICORN_CHECK"), "{environ}");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!pid_file.exists());
    server.assert_nothing_left();
}

/// With sockets of either origin, one per worker, and threads.
fn reloads_lose_nothing(kind: ServerKind) {
    for (activated, args) in [
        (true, &["-w", "3"][..]),
        (false, &["-w", "2", "--threads", "2"]),
        (false, &["-w", "2", "--reuse-port"]),
    ] {
        let builder = builder(kind, args);
        let builder = if activated { builder } else { builder.binding("127.0.0.1:0") };
        let mut server = start(builder);
        let addr = address(&server);
        let load = Load::start(addr, 16);
        for what in ["a", "b", "c"] {
            load.wait_more(50);
            change(&server, what);
            server.signal(Signal::SIGHUP);
            until_says(|| Client::connect(addr).get("/").text(), what, server.pid());
            load.wait_more(50);
            // While old workers may still be leaving.
            change(&server, "again");
            server.signal(Signal::SIGHUP);
            until_says(|| Client::connect(addr).get("/").text(), "again", server.pid());
        }
        let tally = load.finish();
        assert!(tally.failures.is_empty() && tally.refused == 0, "{:?}", tally.failures);
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        server.assert_nothing_left();
    }
}

/// Ten reloads; `benches/preload.py` makes a hundred.
fn memory_and_descriptors_stay_as_they_are(kind: ServerKind) {
    let server = start(builder(kind, &["-w", "1"]));
    // As a library in C may.
    let leak = "\nimport os\nos.set_inheritable(os.open('/dev/null', 0), True)\n";
    let measure = |what: &str| {
        write(&server, "changing.py", &(APP.replace("b'old", &format!("b'{what}")) + leak));
        let old = server.wait_workers(1)[0];
        server.signal(Signal::SIGHUP);
        until(BOUND, "the old worker to go", || (!process::is_alive(old)).then_some(()));
        until_serving(&server, what);
        let worker = server.wait_workers(1)[0];
        let count = |pid| process::descriptors(pid).len();
        (count(server.pid()), count(worker), process::resident(server.pid()))
    };
    let (master, worker, memory) = measure("0");
    for number in 1..10 {
        let (of_master, of_worker, resident) = measure(&number.to_string());
        assert_eq!((of_master, of_worker), (master, worker), "after {number} more reloads");
        assert!(resident < memory + (2 << 20), "{memory} bytes have become {resident}");
    }
}

fn preloading_may_begin_and_end_at_a_reload(kind: ServerKind) {
    let builder = Builder::new(kind).in_own_dir().app("changing:app").file("changing.py", APP);
    let server = start(builder.file("gunicorn.conf.py", "").args(["-w", "2"]));
    let loaded_by = || {
        let response = server.get("/");
        let pid = response.header("X-Pid").expect("it is there").to_owned();
        (response.text(), pid)
    };
    let until_loaded = |by_master: bool, what: &str| {
        until(BOUND, "workers of the new generation", || {
            let good = |_| {
                let (text, pid) = loaded_by();
                let by = if by_master { server.pid().to_string() } else { pid };
                text == format!("{what} {by}")
            };
            (0..8).all(good).then_some(())
        });
    };
    until_loaded(false, "old");
    write(&server, "gunicorn.conf.py", "preload_app = True\n");
    change(&server, "new");
    server.signal(Signal::SIGHUP);
    until_loaded(true, "new");
    write(&server, "gunicorn.conf.py", "");
    change(&server, "newer");
    server.signal(Signal::SIGHUP);
    until_loaded(false, "newer");
    server.wait_workers(2);
}

const HOOKS: &str = "import os
def put(*words):
    with open('record', 'a') as file:
        print(os.getpid(), *words, file=file)
def on_starting(server): put('on_starting')
def when_ready(server): put('when_ready')
def nworkers_changed(server, new, old): put('nworkers_changed', new, old)
def on_reload(server):
    put('on_reload', server._stats['reloads'], len(server.WORKERS), server.app.callable.__name__)
def pre_fork(server, worker): put('pre_fork', worker.age)
def child_exit(server, worker): put('child_exit', worker.age, server._stats['workers_killed'])
def pre_exec(server): put('pre_exec')
def on_exit(server): put('on_exit', server._stats['workers_spawned'])
";

/// As if the master had read the configuration again in place.
fn hooks_see_one_server(kind: ServerKind) {
    let mut server = start(builder(kind, &["-w", "1"]).file("gunicorn.conf.py", HOOKS));
    for what in ["new", "newer"] {
        reload(&server, what);
        server.wait_workers(1);
    }
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let record = fs::read_to_string(server.dir().join("record")).expect("hooks were called");
    let own = format!("{} ", server.pid());
    let lines: Vec<&str> = record.lines().filter_map(|line| line.strip_prefix(&own)).collect();
    assert_eq!(lines.len(), record.lines().count(), "other processes:\n{record}");
    let expected = "nworkers_changed 1 None|on_starting|when_ready|pre_fork 1|\
        nworkers_changed 1 1|on_reload 1 1 app|pre_fork 2|child_exit 1 1|\
        nworkers_changed 1 1|on_reload 2 1 app|pre_fork 3|child_exit 2 2|\
        child_exit 3 3|on_exit 3";
    assert_eq!(lines.join("|"), expected);
}
