//! The pid file: what is in it, whose it is, and when it goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};

on_both_servers!(
    life,
    stale_files_are_replaced,
    a_running_owner_is_respected,
    no_directory,
    not_ours
);

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

/// A file that another server has taken over is left alone.
fn not_ours(kind: ServerKind) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("web.pid");
    let mut server = builder.args(["--pid"]).args([&path]).start_ready(1);
    fs::write(&path, "1\n").expect("the file is writable");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert_eq!(fs::read_to_string(&path).expect("it is still there"), "1\n");
}
