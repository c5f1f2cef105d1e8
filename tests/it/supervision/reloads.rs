//! HUP with something broken: the old generation goes on as if nothing had happened.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Builder, Server, ServerKind};

on_both_servers!(broken_application, broken_configuration);

const APP: &str = "import os\nos.write(2, b'note: loaded in\\n')\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    \
    return [b'old']\n";

fn start(kind: ServerKind) -> Server {
    let server = Builder::new(kind)
        .in_own_dir()
        .app("changing:app")
        .file("changing.py", APP)
        .file("gunicorn.conf.py", "workers = 2\n")
        .start();
    server.log.wait_for_count("note: loaded in", 2);
    assert_eq!(server.get("/").text(), "old");
    server
}

fn broken_application(kind: ServerKind) {
    for (text, message) in [
        ("def app(:\n", "SyntaxError: "),
        ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere'"),
        ("renamed = print\n", "Failed to find attribute 'app' in 'changing'."),
    ] {
        let mut server = start(kind);
        let old = server.wait_workers(2);
        fs::write(server.dir().join("changing.py"), text).expect("the file is writable");
        server.signal(Signal::SIGHUP);
        server.log.wait_for("Hang up: Master");
        server.log.wait_for(message);
        if kind.is_rgunicorn() {
            server.log.wait_for("The reload failed: ");
            assert_eq!(server.wait_workers(2), old);
            assert_eq!(server.get("/").text(), "old");
            // Cured, the next reload works.
            let text = APP.replace("old", "new");
            fs::write(server.dir().join("changing.py"), text).expect("the file is writable");
            let mark = server.log.mark();
            server.signal(Signal::SIGHUP);
            for pid in old {
                server.log.wait_for_since(mark, &format!("Worker exiting (pid: {pid})"));
            }
            assert_eq!(server.get("/").text(), "new");
        } else {
            // gunicorn goes down with the new code, with 3 or 4 or, if both new workers fail while
            // it still waits for the old ones, with 1.
            assert_ne!(server.wait_exit(BOUND).code(), Some(0));
        }
    }
}

fn broken_configuration(kind: ServerKind) {
    for (text, message) in [
        ("workers = 'many'\n", "invalid literal for int() with base 0: 'many'"),
        ("raise ValueError('from the file')\n", "ValueError: from the file"),
        ("workers = (\n", "SyntaxError: "),
    ] {
        let mut server = start(kind);
        let old = server.wait_workers(2);
        fs::write(server.dir().join("gunicorn.conf.py"), text).expect("the file is writable");
        server.signal(Signal::SIGHUP);
        server.log.wait_for(message);
        if kind.is_rgunicorn() {
            assert_eq!(server.get("/").text(), "old");
            assert_eq!(server.workers(), old);
            // Still a server that takes signals.
            assert_eq!(server.stop(Signal::SIGTERM), 0);
        } else {
            assert_eq!(server.wait_exit(BOUND).code(), Some(1));
        }
    }
}
