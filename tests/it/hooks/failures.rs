//! Hooks that raise, or leave by `sys.exit`.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind, process};

on_both_servers!(at_the_start, in_the_master, in_a_new_worker, at_the_end, on_signals);
on_rgunicorn!(during_a_reload, wrong_hooks);

fn builder(kind: ServerKind, conf: &str) -> Builder {
    let conf = format!("import os, sys\nMASTER = os.getpid()\n{conf}");
    // gunicorn's workers look for their master every half of the timeout.
    Builder::new(kind).file("gunicorn.conf.py", &conf).args(["-t", "2"]).app("supervised:app")
}

/// A server that serves.
fn serve(kind: ServerKind, conf: &str) -> Server {
    let server = builder(kind, conf).start();
    server.log.wait_for("note: loaded in ");
    assert_eq!(server.get("/pid").status, 200);
    server
}

/// The exit status of a server that ends by itself, and its log.
fn ends(mut server: Server) -> (Option<i32>, String) {
    let status = server.wait_exit(BOUND).code();
    server.assert_nothing_left();
    (status, server.log.wait_end(BOUND))
}

/// The traceback of the hook, and exit status 1.
fn at_the_start(kind: ServerKind) {
    for hook in ["nworkers_changed(server, new, old)", "on_starting(server)", "when_ready(server)"]
    {
        let conf = format!("pidfile = os.path.abspath('pid')\ndef {hook}: 1 / 0\n");
        let server = builder(kind, &conf).spawn();
        let directory = server.dir().to_owned();
        let (status, log) = ends(server);
        assert_eq!(status, Some(1), "{hook}: {log}");
        assert!(log.contains("Traceback (most recent call last):\n"), "{hook}: {log}");
        assert!(log.ends_with("\nZeroDivisionError: division by zero\n"), "{hook}: {log}");
        assert!(!log.contains("Booting worker"), "{hook}: {log}");
        if kind.is_rgunicorn() {
            assert!(!directory.join("pid").exists(), "{hook}: a pid file is left");
        }
    }
    let (status, _) = ends(builder(kind, "def on_starting(server): sys.exit(7)\n").spawn());
    assert_eq!(status, Some(7));
}

/// The master cannot go on; its workers are told to leave.
fn in_the_master(kind: ServerKind) {
    let (status, log) = ends(builder(kind, "def pre_fork(server, worker): 1 / 0\n").spawn());
    assert_eq!(status, Some(255), "{log}");
    assert!(log.contains("[ERROR] Unhandled exception in main loop\n"), "{log}");
    assert!(log.contains("\nZeroDivisionError: division by zero\n"), "{log}");

    let conf =
        "def child_exit(server, worker): 1 / 0\ndef on_exit(server): os.write(2, b'on_exit')\n";
    let server = serve(kind, conf);
    process::signal(server.wait_workers(1)[0], Signal::SIGKILL);
    let (status, log) = ends(server);
    assert_eq!(status, Some(255), "{log}");
    assert!(log.contains("[ERROR] Unhandled exception in main loop\n"), "{log}");
    assert!(!log.contains("on_exit"), "{log}");

    let server = serve(kind, "def nworkers_changed(server, new, old): new == 1 or sys.exit(9)\n");
    server.signal(Signal::SIGTTIN);
    let (status, log) = ends(server);
    assert_eq!(status, Some(9), "{log}");

    let conf = "from gunicorn.errors import HaltServer\n\
                def child_exit(server, worker): raise HaltServer('on purpose', 8)\n";
    let server = serve(kind, conf);
    process::signal(server.wait_workers(1)[0], Signal::SIGKILL);
    let (status, log) = ends(server);
    assert_eq!(status, Some(8), "{log}");
    assert!(log.contains("on purpose"), "{log}");

    // When the server stops anyway, the rest of the stop goes on, but `on_exit` is not called.
    let conf =
        "def child_exit(server, worker): 1 / 0\ndef on_exit(server): os.write(2, b'on_exit')\n";
    let server = serve(kind, conf);
    server.signal(Signal::SIGTERM);
    let (status, log) = ends(server);
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("ZeroDivisionError: division by zero\n"), "{log}");
    assert!(!log.contains("on_exit"), "{log}");
}

/// As an application that cannot be loaded.
fn in_a_new_worker(kind: ServerKind) {
    for hook in ["post_fork(server, worker)", "post_worker_init(worker)"] {
        let conf = format!(
            "def {hook}: 1 / 0\n\
             def worker_exit(server, worker): os.write(2, b'note: %d\\n' % worker.booted)\n"
        );
        let (status, log) = ends(builder(kind, &conf).spawn());
        assert_eq!(status, Some(3), "{hook}: {log}");
        assert!(log.contains("[ERROR] Exception in worker process\nTraceback"), "{hook}: {log}");
        assert!(log.contains("\ndivision by zero\n"), "{hook}: {log}");
        assert!(log.contains("note: 0\n"), "{hook}: {log}");
        assert!(log.contains("Reason: Worker failed to boot."), "{hook}: {log}");
    }
}

/// What the last hooks of a process do is told, and changes nothing else; the very last one decides
/// about the status.
fn at_the_end(kind: ServerKind) {
    let mut server = serve(kind, "def worker_exit(server, worker): 1 / 0\n");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let log = server.log.wait_end(BOUND);
    assert!(log.contains("[WARNING] Exception during worker exit:\nTraceback"), "{log}");
    assert!(log.contains("ZeroDivisionError: division by zero\n"), "{log}");
    assert!(!log.contains("exited with code"), "{log}");

    let mut server = serve(kind, "def on_exit(server): 1 / 0\n");
    assert_eq!(server.stop(Signal::SIGTERM), 1);
    let log = server.log.wait_end(BOUND);
    assert!(log.ends_with("\nZeroDivisionError: division by zero\n"), "{log}");
}

fn on_signals(kind: ServerKind) {
    let server = serve(kind, "def worker_int(worker): 1 / 0\n");
    process::signal(server.wait_workers(1)[0], Signal::SIGINT);
    server.log.wait_for("ZeroDivisionError: division by zero");
    if kind.is_rgunicorn() {
        // gunicorn takes it for an error of a request.
        server.log.wait_for("[ERROR] Exception in worker process");
        server.log.wait_for("exited with code 255.");
    }
    server.log.wait_for_count("note: loaded in ", 2);
    assert_eq!(server.get("/pid").status, 200);
}

/// gunicorn's master ends; ours keeps what works.
fn during_a_reload(kind: ServerKind) {
    let good = "def on_reload(server): os.write(2, b'note: reloaded\\n')\n";
    let server = serve(kind, good);
    let workers = server.wait_workers(1);
    let write = |conf: &str| {
        let conf = format!("import os, sys\n{conf}");
        fs::write(server.dir().join("gunicorn.conf.py"), conf).expect("the file is writable");
    };
    for (hook, said) in [
        ("on_reload(server)", "A hook failed, so the reload did:"),
        ("nworkers_changed(server, new, old)", "A hook failed, so the reload did:"),
        ("pre_fork(server, worker)", "the hook pre_fork failed:"),
        ("post_fork(server, worker)", "The reload failed: "),
        ("post_worker_init(worker)", "The reload failed: "),
    ] {
        let mark = server.log.mark();
        write(&format!("def {hook}: 1 / 0\n"));
        server.signal(Signal::SIGHUP);
        server.log.wait_for_since(mark, said);
        server.log.wait_for_since(mark, "ZeroDivisionError: division by zero");
        let last =
            if said.starts_with("A hook") { "stays as it is" } else { "The reload failed: " };
        server.log.wait_for_since(mark, last);
        assert_eq!(server.get("/pid").text(), workers[0].to_string(), "{hook}");
        assert_eq!(server.wait_workers(1), workers, "{hook}");
        // The hooks in force are those of the configuration in force.
        let mark = server.log.mark();
        write(good);
        server.signal(Signal::SIGUSR1);
        server.log.wait_for_since(mark, "Handling signal: usr1");
    }
    server.signal(Signal::SIGHUP);
    server.log.wait_for("note: reloaded");
    server.log.wait_for(&format!("Worker exiting (pid: {})", workers[0]));
    assert_eq!(server.get("/pid").status, 200);
}

/// What cannot be a hook is refused before anything starts.
fn wrong_hooks(kind: ServerKind) {
    for (conf, said) in [
        ("def on_starting(): pass\n", "Value must have an arity of: 1"),
        ("def post_request(worker): pass\n", "Value must have an arity of: 4"),
        ("pre_fork = 3\n", "Value is not callable: 3"),
        ("pre_fork = 'nowhere.hook'\n", "nowhere"),
    ] {
        let (status, log) = ends(builder(kind, conf).spawn());
        assert_eq!(status, Some(1), "{log}");
        assert!(log.contains(said), "{log}");
    }
}
