//! HUP with something broken: the old generation goes on as if nothing had happened.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process, until};

on_both_servers!(broken_application, broken_configuration);

on_rgunicorn!(
    a_failed_reload_changes_nothing_for_later_workers,
    workers_that_get_no_threads_replace_nobody,
    a_removed_socket_file_is_made_again,
    an_address_that_is_no_longer_wanted_is_free
);

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

const SURROUNDED: &str = "import os, sys\nos.write(2, b'note: loaded in\\n')\n\
    def app(environ, start_response):\n    start_response('200 OK', [])\n    \
    places = [os.path.basename(place) for place in sys.path]\n    \
    more = ' and away' if 'away' in places else ''\n    \
    return [(os.environ['WHO'] + ' in ' + os.path.basename(os.getcwd()) + more).encode()]\n";

/// A worker that is replaced after a reload has failed finds directory and environment as before.
fn a_failed_reload_changes_nothing_for_later_workers(kind: ServerKind) {
    const CONF: &str = "raw_env = ['WHO=old']\nchdir = 'home'\nbind = '127.0.0.1:0'\n";
    for (conf, app, message) in [
        ("raise ValueError('from the file')\n", SURROUNDED, "ValueError: from the file"),
        ("raw_env = ['WHO=new']\nbind = ':x'\n", SURROUNDED, "'x' is not a valid port number"),
        (
            "raw_env = ['WHO=new']\nchdir = 'away'\ntmp_upload_dir = 'nowhere'\n",
            SURROUNDED,
            "no temporary file can be made in 'nowhere'",
        ),
        (
            "raw_env = ['WHO=new']\nchdir = 'away'\nbind = '127.0.0.1:0'\n",
            "import no_such_module\n",
            "The reload failed: ",
        ),
    ] {
        let builder = Builder::new(kind).in_own_dir().app("surrounded:app");
        for name in ["home", "away"] {
            fs::create_dir(builder.dir().join(name)).expect("the directory is writable");
        }
        let server = builder
            .without_bind()
            .file("home/surrounded.py", SURROUNDED)
            .file("gunicorn.conf.py", CONF)
            .start();
        let addr = address(&server.log.wait_for("Listening at: http://"));
        let answer = || Client::connect(addr).get("/").text();
        assert_eq!(answer(), "old in home");
        fs::write(server.dir().join("gunicorn.conf.py"), conf).expect("the file is writable");
        let path = server.dir().join("home/surrounded.py");
        fs::write(&path, app).expect("the file is writable");
        server.signal(Signal::SIGHUP);
        server.log.wait_for(message);
        fs::write(&path, SURROUNDED).expect("the file is writable");
        let mark = server.log.mark();
        process::signal(server.wait_workers(1)[0], Signal::SIGKILL);
        server.log.wait_for_since(mark, "note: loaded in");
        assert_eq!(answer(), "old in home", "{message}");
    }
}

/// The address in a line `Listening at: http://127.0.0.1:8000 (7)`.
fn address(line: &str) -> SocketAddr {
    let (_, at) = line.split_once("http://").expect("the line has an address");
    at.split(' ').next().and_then(|at| at.parse().ok()).expect("an address")
}

/// Workers that were started while a reload was on trial do not hold its old sockets.
fn an_address_that_is_no_longer_wanted_is_free(kind: ServerKind) {
    let conf = |bind: &str| format!("bind = '{bind}'\n");
    let builder = Builder::new(kind).app("supervised:app").without_bind();
    let server = builder.file("gunicorn.conf.py", &conf("127.0.0.1:0")).start();
    let old = address(&server.log.wait_for("Listening at: http://"));
    let worker = server.wait_workers(1)[0];
    let mark = server.log.mark();
    let path = server.dir().join("gunicorn.conf.py");
    fs::write(path, conf("127.0.0.2:0")).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, &format!("Worker exiting (pid: {worker})"));
    let new = address(&server.log.wait_for("http://127.0.0.2:"));
    assert_eq!(Client::connect(new).get("/pid").status, 200);
    until(BOUND, "the end of the old worker", || (!process::is_alive(worker)).then_some(()));
    TcpListener::bind(old).expect("nobody listens there any more");
}

/// Which is the last that they need. The variable asks for more memory than there can be for a thread's stack.
fn workers_that_get_no_threads_replace_nobody(kind: ServerKind) {
    const CONF: &str = "import os
def post_worker_init(worker):
    os.environ['RUST_MIN_STACK'] = str(1 << 46)
";
    for threads in ["1", "3"] {
        let builder = Builder::new(kind).in_own_dir().app("changing:app");
        let builder = builder.file("changing.py", APP).file("gunicorn.conf.py", "");
        let server = builder.args(["-w", "2", "--threads", threads]).start();
        let old = server.wait_workers(2);
        assert_eq!(server.get("/").text(), "old");
        fs::write(server.dir().join("gunicorn.conf.py"), CONF).expect("it is writable");
        server.signal(Signal::SIGHUP);
        server.log.wait_for("The reload failed: none of the new workers could boot.");
        server.log.wait_for("no thread can be started");
        assert_eq!(server.wait_workers(2), old);
        assert_eq!(server.get("/").text(), "old");
    }
}

/// gunicorn goes on with the socket that nobody can connect to.
fn a_removed_socket_file_is_made_again(kind: ServerKind) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("web.sock");
    let builder = builder.binding(&format!("unix:{}", path.display()));
    let mut server = builder.start_ready(1);
    fs::remove_file(&path).expect("it is there");
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "Listening at: unix:");
    assert_eq!(Client::connect_unix(&path).get("/pid").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!path.exists());
}
