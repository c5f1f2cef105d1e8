//! The pid file: what is in it, whose it is, and when it goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, ServerKind, process, until};

on_both_servers!(
    life,
    stale_files_are_replaced,
    a_running_owner_is_respected,
    no_directory,
    not_ours,
    a_reload_writes_it_again,
);

on_rgunicorn!(a_start_that_is_ended_leaves_none);

fn life(kind: ServerKind) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("web.pid");
    let mut server = builder.args(["-p"]).args([&path]).start_ready(1);
    let text = fs::read_to_string(&path).expect("the pid file is there");
    assert_eq!(text, format!("{}\n", server.pid()));
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!path.exists());
}

fn stale_files_are_replaced(kind: ServerKind) {
    // No process has this number: it is above the largest the kernel gives out.
    for content in ["4194999\n", "", "nonsense\n"] {
        let builder = Builder::new(kind).file("web.pid", content);
        let path = builder.dir().join("web.pid");
        let server = builder.args(["--pid"]).args([&path]).start_ready(1);
        let text = fs::read_to_string(&path).expect("the pid file is there");
        assert_eq!(text, format!("{}\n", server.pid()), "{content:?}");
        let mode = fs::metadata(&path).expect("the pid file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}

fn a_running_owner_is_respected(kind: ServerKind) {
    let own = std::process::id();
    let builder = Builder::new(kind).app("echo:app").file("web.pid", &format!("{own}\n"));
    let path = builder.dir().join("web.pid");
    let outcome = builder.args(["--pid"]).args([&path]).run();
    assert_eq!(outcome.status, Some(1));
    let message =
        format!("Error: Already running on PID {own} (or pid file '{}' is stale)", path.display());
    assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("Booting"), "{}", outcome.stderr);
}

fn no_directory(kind: ServerKind) {
    let outcome = Builder::new(kind).app("echo:app").args(["--pid", "/nonexistent/web.pid"]).run();
    assert_eq!(outcome.status, Some(1));
    let message = "Error: /nonexistent doesn't exist. Can't create pidfile.";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}

/// At its place, from which somebody has removed it, or at a new one. A relative path is relative to
/// the directory the server works in.
fn a_reload_writes_it_again(kind: ServerKind) {
    let conf = |name: &str| format!("pidfile = '{name}'\n");
    let builder = Builder::new(kind).in_own_dir().app("small:app").file("small.py", SMALL);
    fs::create_dir(builder.dir().join("run")).expect("the directory is writable");
    let mut server = builder.file("gunicorn.conf.py", &conf("run/old.pid")).start();
    server.log.wait_for("note: loaded");
    let [old, new] = ["old", "new"].map(|name| server.dir().join(format!("run/{name}.pid")));
    let own = format!("{}\n", server.pid());
    let is_there = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text == own);
    assert!(is_there(&old));

    fs::remove_file(&old).expect("the file is there");
    server.signal(Signal::SIGHUP);
    until(BOUND, "the pid file again", || is_there(&old).then_some(()));
    server.log.wait_for_count("note: loaded", 2);

    fs::write(server.dir().join("gunicorn.conf.py"), conf("run/new.pid")).expect("writable");
    server.signal(Signal::SIGHUP);
    until(BOUND, "the new pid file", || (is_there(&new) && !old.exists()).then_some(()));
    server.log.wait_for_count("note: loaded", 3);
    // What a worker does at its end is none of the file's business.
    let worker = server.wait_workers(1)[0];
    process::signal(worker, Signal::SIGTERM);
    server.log.wait_for_count("note: loaded", 4);
    assert!(is_there(&new));
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!new.exists());
}

const SMALL: &str = "import os

os.write(2, b'note: loaded\\n')

def app(environ, start_response):
    start_response('200 OK', [])
    return []
";

/// A file that another server has taken over is left alone.
fn not_ours(kind: ServerKind) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("web.pid");
    let mut server = builder.args(["--pid"]).args([&path]).start_ready(1);
    fs::write(&path, "1\n").expect("the file is writable");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert_eq!(fs::read_to_string(&path).expect("it is still there"), "1\n");
}

/// The hook is called when the file is there and signals are not handled yet; gunicorn leaves the file. A
/// process that the hook has forked ends alone.
fn a_start_that_is_ended_leaves_none(kind: ServerKind) {
    const CONF: &str = "import os, signal
pidfile = 'web.pid'
def on_starting(server):
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(child, signal.SIGTERM)
    os.write(2, b'note: its child ended by %d\\n' % os.waitpid(child, 0)[1])
    open('pipe').read()
";
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        let builder = Builder::new(kind).in_own_dir().file("small.py", SMALL).app("small:app");
        mkfifo(&builder.dir().join("pipe"), Mode::S_IRWXU).expect("a pipe can be made");
        let mut server = builder.file("gunicorn.conf.py", CONF).start_quietly("ended by 15", 1);
        let path = server.dir().join("web.pid");
        assert!(path.exists());
        server.signal(signal);
        server.wait_exit(BOUND);
        assert!(!path.exists(), "{signal}");
    }
}
