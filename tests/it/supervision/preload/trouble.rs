//! Reloads of a preloaded application that do not work, or are interrupted: the old workers go on.

use std::fs;

use nix::sys::signal::Signal;

use super::{APP, builder, mean, reload, start, until_reaped, until_serving, write};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Server, ServerKind, process, until};

on_rgunicorn!(
    what_is_broken_changes_nothing,
    a_check_that_hangs_is_ended_in_time,
    another_reload_takes_the_place_of_a_check,
    a_stop_does_not_wait_for_a_check,
    an_application_that_only_the_check_can_load_costs_nothing,
    a_configuration_that_only_the_check_can_read_costs_nothing,
    where_memory_cannot_be_passed_on_nothing_changes,
);

/// The process that checks.
#[track_caller]
fn checking(server: &Server, mark: usize) -> i32 {
    let line = server.log.wait_for_since(mark, "The application is loaded in process ");
    let (_, rest) = line.split_once("in process ").expect("a process id");
    rest.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")
}

fn what_is_broken_changes_nothing(kind: ServerKind) {
    let builder = builder(kind, &["-w", "2", "--pid", "web.pid"]).file("gunicorn.conf.py", "");
    let server = start(builder);
    until_serving(&server, "old");
    let old = server.wait_workers(2);
    let app = |code: &'static str| ("changing.py", code);
    let conf = |code: &'static str| ("gunicorn.conf.py", code);
    for ((file, text), message) in [
        (app("def app(:\n"), "SyntaxError: invalid syntax"),
        (app("import no_such_module\n"), "No module named 'no_such_module'"),
        (app("renamed = print\n"), "Failed to find attribute 'app' in 'changing'."),
        (app("import sys\nsys.exit(7)\n"), "The application ended the program with status 7"),
        (app("import os\nos._exit(7)\n"), "It exited with code 7."),
        (app("import ctypes\nctypes.string_at(0)\n"), "It was sent SIGSEGV!"),
        (conf("workers = 'many'\n"), "invalid literal for int() with base 0: 'many'"),
        (conf("raise ValueError('from the file')\n"), "ValueError: from the file"),
        (conf("logconfig = '/no/such/file'\n"), "/no/such/file"),
        (conf("def on_reload(server): 1/0\n"), "ZeroDivisionError"),
        (conf("def post_fork(server, worker): 1/0\n"), "The reload failed: none of the new"),
    ] {
        let mark = server.log.mark();
        write(&server, file, text);
        server.signal(Signal::SIGHUP);
        server.log.wait_for_since(mark, message);
        server.log.wait_until(BOUND, mark, "what becomes of it", |text| {
            (text.contains("workers go on") || text.contains("old ones keep serving")).then_some(())
        });
        assert_eq!(server.wait_workers(2), old, "{message}");
        until_serving(&server, "old");
        write(&server, "changing.py", APP);
        write(&server, "gunicorn.conf.py", "");
    }
    reload(&server, "new");
    server.wait_workers(2);
    until_reaped(&server);
    let written = fs::read_to_string(server.dir().join("web.pid")).expect("it is there");
    assert_eq!(written.trim(), server.pid().to_string());
}

fn a_check_that_hangs_is_ended_in_time(kind: ServerKind) {
    let server = start(builder(kind, &["--worker-boot-timeout", "2"]));
    let old = server.wait_workers(1);
    write(
        &server,
        "changing.py",
        "import time\ndef wait_for_ever():\n    time.sleep(600)\nwait_for_ever()\n",
    );
    server.signal(Signal::SIGHUP);
    server.log.wait_for("It was not there after 2 s (worker_boot_timeout).");
    server.log.wait_for("in wait_for_ever");
    assert_eq!(server.wait_workers(1), old);
    until_serving(&server, "old");
    reload(&server, "new");
}

fn another_reload_takes_the_place_of_a_check(kind: ServerKind) {
    let server = start(builder(kind, &["-w", "2"]));
    write(&server, "changing.py", "import time\ntime.sleep(600)\n");
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    let first = checking(&server, mark);
    assert!(process::is_alive(first));
    reload(&server, "new");
    process::until_gone(first);
    server.wait_workers(2);
    until_reaped(&server);
}

fn a_stop_does_not_wait_for_a_check(kind: ServerKind) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = start(builder(kind, &["-w", "2"]));
        write(&server, "changing.py", "import time\ntime.sleep(600)\n");
        let mark = server.log.mark();
        server.signal(Signal::SIGHUP);
        let check = checking(&server, mark);
        assert_eq!(server.stop(signal), 0);
        process::until_gone(check);
        server.assert_nothing_left();
        // In one go, too.
        let mut server = start(builder(kind, &["-w", "2"]));
        server.signal(Signal::SIGHUP);
        assert_eq!(server.stop(signal), 0);
        server.assert_nothing_left();
    }
}

fn an_application_that_only_the_check_can_load_costs_nothing(kind: ServerKind) {
    let mut server = start(builder(kind, &["-w", "2"]));
    let old = server.wait_workers(2);
    mean(&server, "break", server.pid());
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "RuntimeError: in this process only");
    server.log.wait_for_since(mark, "The master could not load the application");
    assert_eq!(server.wait_workers(2), old);
    until_serving(&server, "old");
    // One that takes the place of another loads it itself.
    for pid in &old {
        process::signal(*pid, Signal::SIGKILL);
    }
    until(BOUND, "other workers", || {
        (!server.wait_workers(2).iter().any(|pid| old.contains(pid))).then_some(())
    });
    let response = server.get("/");
    let pid = response.header("X-Pid").expect("it is there").to_owned();
    assert_eq!(response.text(), format!("old {pid}"));
    fs::remove_file(server.dir().join("break")).expect("it is there");
    reload(&server, "new");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

fn a_configuration_that_only_the_check_can_read_costs_nothing(kind: ServerKind) {
    const CONF: &str = "import os
if os.path.exists('break') and open('break').read() == str(os.getpid()):
    raise RuntimeError('in this process only')
pidfile = 'web.pid'
workers = 2
";
    let mut server = start(builder(kind, &[]).file("gunicorn.conf.py", CONF));
    let old = server.wait_workers(2);
    mean(&server, "break", server.pid());
    server.signal(Signal::SIGHUP);
    server.log.wait_for("RuntimeError: in this process only");
    server.log.wait_for("The configuration cannot be read any more");
    assert_eq!(server.wait_workers(2), old);
    until_serving(&server, "old");
    process::signal(old[0], Signal::SIGKILL);
    server.log.wait_for("Cannot start a worker: the master has no configuration.");
    until_serving(&server, "old");
    fs::remove_file(server.dir().join("break")).expect("it is there");
    reload(&server, "new");
    server.wait_workers(2);
    // The same, and a stop.
    mean(&server, "break", server.pid());
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "The configuration cannot be read any more");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!server.dir().join("web.pid").exists());
    server.assert_nothing_left();
}

fn where_memory_cannot_be_passed_on_nothing_changes(kind: ServerKind) {
    let server = start(builder(kind, &[]).ulimit("-f 8"));
    let old = server.wait_workers(1);
    server.signal(Signal::SIGHUP);
    server.log.wait_for("The application cannot be loaded anew: ");
    assert_eq!(server.wait_workers(1), old);
    until_serving(&server, "old");
}
