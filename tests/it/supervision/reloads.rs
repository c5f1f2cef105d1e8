//! HUP with something broken: the old generation goes on as if nothing had happened.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Builder, Client, Server, ServerKind};

on_both_servers!(broken_application, broken_configuration);

/// Answers; with a query string, once the named pipe it holds was opened by somebody else.
const APP: &str = "import os

def app(environ, start_response):
    if pipe := environ['QUERY_STRING']:
        os.write(2, b'note: held\\n')
        open(pipe).read()
    start_response('200 OK', [])
    return [b'old']
";

/// Two workers, both of which have served a request.
fn start(kind: ServerKind) -> Server {
    let server = Builder::new(kind)
        .in_own_dir()
        .app("changing:app")
        .file("changing.py", APP)
        .file("gunicorn.conf.py", "workers = 2\n")
        .start();
    // A sync worker has one request at a time, so two held ones are in two workers.
    let held: Vec<(Client, PathBuf)> = (0..2)
        .map(|number| {
            let pipe = server.dir().join(format!("pipe{number}"));
            mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe can be made");
            let mut client = server.connect();
            let path = pipe.display();
            client.send(format!("GET /?{path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
            (client, pipe)
        })
        .collect();
    server.log.wait_for_count("note: held", 2);
    for (mut client, pipe) in held {
        fs::write(&pipe, "").expect("the application reads the pipe");
        assert_eq!(client.response().text(), "old");
    }
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
