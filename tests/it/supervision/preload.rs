//! HUP with `preload_app`: the master becomes a new program in the same process, with the new application.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_rgunicorn!(new_code_is_served_by_the_same_master);

/// Says what it is, and in which process it was loaded.
const APP: &str = "import os\nLOADED = os.getpid()\n\
    def app(environ, start_response):\n    start_response('200 OK', [])\n    \
    return [b'old %d' % LOADED]\n";

fn start(builder: Builder) -> Server {
    let builder = builder.in_own_dir().app("changing:app").args(["--preload"]);
    let server = builder.file("changing.py", APP).start();
    server.log.wait_for("Booting worker");
    server
}

fn write(server: &Server, file: &str, text: &str) {
    fs::write(server.dir().join(file), text).expect("the file is writable");
}

/// Puts `what` in the place of what the application says.
fn change(server: &Server, what: &str) {
    write(server, "changing.py", &APP.replace("old", what));
}

/// Waits until every worker serves the application that says this, loaded by this master.
#[track_caller]
fn until_serving(server: &Server, what: &str) {
    let expected = format!("{what} {}", server.pid());
    until(BOUND, &format!("'{expected}'"), || {
        (0..8).all(|_| server.get("/").text() == expected).then_some(())
    });
}

fn new_code_is_served_by_the_same_master(kind: ServerKind) {
    let mut server = start(Builder::new(kind).args(["-w", "2"]));
    until_serving(&server, "old");
    let old = server.wait_workers(2);
    for what in ["new", "newer"] {
        change(&server, what);
        server.signal(Signal::SIGHUP);
        until_serving(&server, what);
    }
    for pid in old {
        until(BOUND, "old workers to go", || (!process::is_alive(pid)).then_some(()));
    }
    server.wait_workers(2);
    assert_eq!(process::zombies(server.pid()), 0);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.assert_nothing_left();
}
