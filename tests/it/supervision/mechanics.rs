//! Preloading, process titles, captured output, and the sockets themselves.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::server::{is_wheel, rgunicorn};
use crate::harness::{BOUND, Builder, Client, ServerKind, process, until, venv};

on_both_servers!(
    preload,
    broken_preload,
    titles,
    capture_output,
    interpreter,
    software_variable,
    unix_socket_file,
    several_sockets,
    error_log_file,
    log_level,
);

on_rgunicorn!(
    the_port_is_free_again_after_the_end,
    a_stop_waits_for_first_requests,
    a_quick_stop_does_not_wait_for_a_slow_client,
    a_quick_stop_does_not_wait_for_an_import,
    a_stop_of_all_processes_forks_none,
    a_stop_before_the_import_is_not_overlooked,
    a_worker_on_its_way_out_is_not_killed_by_signals
);

/// The application is imported once, in the master.
fn preload(kind: ServerKind) {
    let server = Builder::new(kind).app("supervised:app").args(["--preload", "-w", "3"]).start();
    server.log.wait_for_count("Booting worker with pid", 3);
    let workers = server.wait_workers(3);
    let answered: i32 = server.get("/pid").text().parse().expect("a pid");
    assert!(workers.contains(&answered));
    let log = server.log.text();
    assert_eq!(log.matches("note: loaded in ").count(), 1, "{log}");
    assert!(log.contains(&format!("note: loaded in {}\n", server.pid())), "{log}");
}

fn broken_preload(kind: ServerKind) {
    for (app, message) in [
        ("broken_raise:app", "at import"),
        ("broken_syntax:app", "SyntaxError: expected ':'"),
        ("no_such_module:app", "No module named 'no_such_module'"),
        ("factories:missing", "Failed to find attribute 'missing' in 'factories'."),
    ] {
        let outcome = Builder::new(kind).app(app).args(["--preload"]).run();
        assert_eq!(outcome.status, Some(1), "{app}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(message), "{app}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("Listening at"), "{app}: {}", outcome.stderr);
    }
}

fn titles(kind: ServerKind) {
    for (args, name) in [(&[][..], "supervised:app"), (&["-n", "shop"], "shop")] {
        let server = Builder::new(kind).args(args).start_ready(2);
        let title = |pid, wanted: String| {
            until(BOUND, &wanted, || (process::title(pid) == wanted).then_some(()));
        };
        title(server.pid(), format!("gunicorn: master [{name}]"));
        for worker in server.wait_workers(2) {
            title(worker, format!("gunicorn: worker [{name}]"));
        }
    }
}

/// With a file for the error log, what the application prints goes there too.
fn capture_output(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app");
    let path = builder.dir().join("error.log");
    let server = builder.args(["--capture-output", "--error-logfile"]).args([&path]).spawn();
    assert_eq!(server.get("/printed").text(), "ok");
    let text = fs::read_to_string(&path).expect("the log is there");
    assert!(text.contains("\nprinted by the application\n"), "{text}");
    assert!(text.contains("note: loaded in "), "{text}");
    assert_eq!(server.out.text(), "");
}

fn interpreter(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(1);
    let shown = server.get("/titles").text();
    // That of the environment that was named, or that the server of the wheel is in.
    let python = match rgunicorn().first() {
        Some(script) if kind.is_rgunicorn() && is_wheel() => {
            Path::new(script).with_file_name("python")
        }
        _ => venv::program("python"),
    };
    // The name of the interpreter inside the environment may be any of its aliases.
    assert!(shown.contains(&format!(", '{}", python.display())), "{shown}");
}

fn software_variable(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(1);
    let expected = format!("'{}/{}'", kind.name(), kind.version());
    assert_eq!(server.get("/variable?SERVER_SOFTWARE").text(), expected);
}

fn unix_socket_file(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app");
    let path = builder.dir().join("web.sock");
    // The socket of a server that has crashed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("the socket can be made"));
    let mut server = builder.binding(&format!("unix:{}", path.display())).start();
    assert_eq!(Client::connect_unix(&path).get("/pid").status, 200);
    assert!(fs::metadata(&path).expect("it is there").file_type().is_socket());
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!path.exists());
}

fn several_sockets(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app");
    let path = builder.dir().join("web.sock");
    let unix = format!("unix:{}", path.display());
    let server = builder.binding("127.0.0.1:0").args(["-b", &unix]).start();
    let line = server.log.wait_for("Listening at: ");
    let (tcp, rest) = line
        .split_once("http://")
        .and_then(|(_, rest)| rest.split_once(','))
        .expect("addresses are joined by a comma");
    assert_eq!(rest, format!("{unix} ({})", server.pid()));
    let addr = tcp.parse().expect("an address with its port");
    assert_eq!(Client::connect(addr).get("/pid").status, 200);
    assert_eq!(Client::connect_unix(&path).get("/pid").status, 200);
}

fn error_log_file(kind: ServerKind) {
    let builder = Builder::new(kind).app("lifecycle:app");
    let path = builder.dir().join("error.log");
    fs::write(&path, "kept\n").expect("the directory is writable");
    let mut server = builder.args(["--log-file"]).args([&path]).spawn();
    assert_eq!(server.get("/raises").status, 500);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let text = fs::read_to_string(&path).expect("the log is there");
    assert!(text.starts_with("kept\n["), "{text}");
    assert!(text.contains("[ERROR] Error handling request GET /raises\nTraceback"), "{text}");
    assert!(text.contains("Shutting down: Master"), "{text}");
    assert_eq!(server.log.wait_end(BOUND), "");
}

fn log_level(kind: ServerKind) {
    let mut server =
        Builder::new(kind).app("lifecycle:app").args(["--log-level", "warning"]).spawn();
    assert_eq!(server.get("/raises").status, 500);
    server.log.wait_for("ValueError: from the application");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let log = server.log.wait_end(BOUND);
    assert!(!log.contains("[INFO]") && log.contains("[ERROR]"), "{log}");

    let server = Builder::new(kind).app("echo:app").args(["--log-level", "DEBUG"]).spawn();
    assert_eq!(server.get("/").status, 200);
    server.log.wait_for("[DEBUG] Current configuration:");
    server.log.wait_for("[DEBUG] Arbiter booted");
    server.log.wait_for("[DEBUG] 1 workers");
}

/// Nothing a client could connect to before the server is there: `bind` of a taken port fails
/// while the other server goes on, see `bad_input`.
fn the_port_is_free_again_after_the_end(kind: ServerKind) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let addr = free.local_addr().expect("it has an address");
    drop(free);
    for _ in 0..2 {
        let mut server =
            Builder::new(kind).app("supervised:app").binding(&addr.to_string()).start();
        assert_eq!(Client::connect(addr).get("/pid").status, 200);
        assert_eq!(server.stop(Signal::SIGTERM), 0);
    }
}

/// Connections that were made before a stop have time left to bring their request, also where
/// connections are not kept.
fn a_stop_waits_for_first_requests(kind: ServerKind) {
    let mut server = Builder::new(kind).args(["--keep-alive", "0"]).start_ready(1);
    let (mut first, mut silent) = (server.connect(), server.connect());
    // Connections are accepted in order: those two are now.
    assert_eq!(server.get("/pid").status, 200);
    let stopped = Instant::now();
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    assert_eq!(first.get("/pid").status, 200);
    silent.assert_closed();
    assert!(stopped.elapsed() > Duration::from_secs(1), "{:?}", stopped.elapsed());
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
}

/// The master passes USR1 on to all workers, whatever they are about.
fn a_worker_on_its_way_out_is_not_killed_by_signals(kind: ServerKind) {
    let mut server = Builder::new(kind).app("lifecycle:app").start();
    assert_eq!(server.get("/signals_itself_at_the_end").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let log = server.log.wait_end(BOUND);
    assert!(log.contains("Worker exiting") && !log.contains("was sent"), "{log}");
}

fn a_quick_stop_does_not_wait_for_a_slow_client(kind: ServerKind) {
    let mut server = Builder::new(kind).app("lifecycle:app").start();
    let mut client = server.connect();
    client.send("GET /endless HTTP/1.1\r\n\r\n");
    server.log.wait_for("note: endless begins");
    let worker = server.wait_workers(1)[0];
    // The application does nothing else than to make pieces of the body.
    until(BOUND, "a full connection", || process::is_asleep(worker).then_some(()));
    // Less than the 30 s after which a worker is killed.
    assert_eq!(server.stop(Signal::SIGQUIT), 0);
    let log = server.log.wait_end(BOUND);
    assert!(log.contains("Worker exiting") && !log.contains("was sent"), "{log}");
}

fn a_quick_stop_does_not_wait_for_an_import(kind: ServerKind) {
    const APP: &str = "import os, time\nos.write(2, b'note: importing\\n')\ntime.sleep(1000)\n";
    let builder = Builder::new(kind).in_own_dir().app("slow:app").file("slow.py", APP);
    let mut server = builder.start();
    server.log.wait_for("note: importing");
    assert_eq!(server.stop(Signal::SIGINT), 0);
    let log = server.log.wait_end(BOUND);
    assert!(log.contains("Worker exiting") && !log.contains("was sent"), "{log}");
}

/// Terminals and service managers signal the workers too.
fn a_stop_of_all_processes_forks_none(kind: ServerKind) {
    let mut server = Builder::new(kind).app("supervised:app").args(["-w", "2"]).start_ready(2);
    // However late the master gets to it.
    server.signal(Signal::SIGSTOP);
    for worker in server.workers() {
        process::signal(worker, Signal::SIGTERM);
    }
    until(BOUND, "the workers to end", || server.workers().is_empty().then_some(()));
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
    assert_eq!(server.log.text().matches("Booting worker with pid").count(), 2);
}

/// In a worker that has just been forked nothing can be interrupted yet.
fn a_stop_before_the_import_is_not_overlooked(kind: ServerKind) {
    let conf = "import os, signal\n\
                def post_fork(server, worker):\n    \
                if worker.age == 1: os.kill(os.getpid(), signal.SIGTERM)\n";
    let app = "import os\nprint('note: imported in', os.getpid(), flush=True)\n\
               def app(environ, start_response):\n    \
               start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n";
    let builder = Builder::new(kind).in_own_dir().file("gunicorn.conf.py", conf);
    let mut server = builder.file("app.py", app).app("app:app").start();
    let answered = server.get("/").text();
    assert_eq!(server.out.text(), format!("note: imported in {answered}\n"));
    assert_eq!(server.log.text().matches("Worker exiting").count(), 1);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}
