//! What the master does on each signal, and what it says about it.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_both_servers!(
    start_up,
    stop_signals,
    finishes_the_request,
    more_and_fewer_workers,
    reload,
    reopen,
    configuration_in_the_log,
    killed_worker,
    exited_worker,
    orphans,
);

fn start_up(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["-w", "2"]).start();
    server.log.wait_for_count("Booting worker with pid: ", 2);
    let pid = server.pid();
    let text = server.log.text();
    let lines: Vec<&str> = text.lines().collect();
    let wanted = [
        format!("Starting {} {}", kind.name(), kind.version()),
        format!("Listening at: http://{} ({pid})", server.addr),
        "Using worker: sync".to_owned(),
    ];
    for (line, message) in lines.iter().zip(wanted) {
        // [2026-11-20 04:20:25 +0000] [13047] [INFO] message
        let (time, rest) = line[1..].split_once("] ").expect("a time in brackets");
        assert_eq!(rest, format!("[{pid}] [INFO] {message}"));
        let shape: String =
            time.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00 +0000", "{line}");
    }
    for worker in server.wait_workers(2) {
        server.log.wait_for(&format!("[{worker}] [INFO] Booting worker with pid: {worker}"));
    }
}

fn stop_signals(kind: ServerKind) {
    for (signal, name) in
        [(Signal::SIGTERM, "term"), (Signal::SIGINT, "int"), (Signal::SIGQUIT, "quit")]
    {
        let mut server = Builder::new(kind).start_ready(2);
        let workers = server.wait_workers(2);
        assert_eq!(server.stop(signal), 0, "{name}");
        server.assert_nothing_left();
        let pid = server.pid();
        let log = server.log.wait_end(BOUND);
        assert!(log.contains(&format!("[{pid}] [INFO] Handling signal: {name}\n")), "{log}");
        for worker in workers {
            let line = format!("[{worker}] [INFO] Worker exiting (pid: {worker})\n");
            assert!(log.contains(&line), "{log}");
        }
        assert!(log.contains(&format!("[{pid}] [INFO] Shutting down: Master\n")), "{log}");
    }
}

/// A named pipe in the directory of the server; the application answers when it has been written.
fn pipe(server: &Server) -> std::path::PathBuf {
    let path = server.dir().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
    path
}

fn finishes_the_request(kind: ServerKind) {
    let mut server = Builder::new(kind).start_ready(1);
    let pipe = pipe(&server);
    let mut client = server.connect();
    client.send(format!("GET /wait?{} HTTP/1.1\r\nConnection: close\r\n\r\n", pipe.display()));
    server.log.wait_for("note: waiting in ");
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    fs::write(&pipe, "").expect("the application reads the pipe");
    assert_eq!(client.response().status, 200);
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
}

fn more_and_fewer_workers(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(1);
    let first = server.wait_workers(1)[0];
    server.signal(Signal::SIGTTIN);
    server.log.wait_for("Handling signal: ttin");
    server.log.wait_for_count("note: loaded in ", 2);
    let both = server.wait_workers(2);
    assert!(both.contains(&first));

    // The oldest leaves.
    server.signal(Signal::SIGTTOU);
    server.log.wait_for("Handling signal: ttou");
    server.log.wait_for(&format!("Worker exiting (pid: {first})"));
    let left = server.wait_workers(1);
    assert!(!left.contains(&first));

    // The last one stays. A request answered after the line shows that nothing happened.
    let mark = server.log.mark();
    server.signal(Signal::SIGTTOU);
    server.log.wait_for_since(mark, "Handling signal: ttou");
    assert_eq!(server.get("/pid").text(), left[0].to_string());
    assert_eq!(server.workers(), left);
}

/// New code, new settings, same master and sockets.
fn reload(kind: ServerKind) {
    let app = |answer: &str| {
        format!(
            "import os\nos.write(2, b'note: loaded in\\x20{answer}\\n')\n\
             def app(environ, start_response):\n    start_response('200 OK', [])\n    \
             return [b'{answer} ', os.environ['SETTING'].encode()]\n"
        )
    };
    let server = Builder::new(kind)
        .in_own_dir()
        .app("changing:app")
        .file("changing.py", &app("before"))
        .file("gunicorn.conf.py", "raw_env = ['SETTING=one']\n")
        .start();
    server.log.wait_for("note: loaded in before");
    assert_eq!(server.get("/").text(), "before one");
    let old = server.wait_workers(1);

    fs::write(server.dir().join("changing.py"), app("after")).expect("the file is writable");
    let conf = "raw_env = ['SETTING=two']\nworkers = 2\n";
    fs::write(server.dir().join("gunicorn.conf.py"), conf).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("[INFO] Handling signal: hup");
    server.log.wait_for("[INFO] Hang up: Master");
    server.log.wait_for_count("note: loaded in after", 2);
    server.log.wait_for(&format!("Worker exiting (pid: {})", old[0]));
    let new = until(BOUND, "two new workers", || {
        let new = server.workers();
        (new.len() == 2 && !new.contains(&old[0])).then_some(new)
    });
    assert_eq!(server.get("/").text(), "after two");
    assert_eq!(server.workers(), new);
}

/// USR1 after the files were moved away: everything later goes to new ones.
fn reopen(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app");
    let dir = builder.dir().to_owned();
    let server = builder
        .args(["--error-logfile", "error.log", "--access-logfile", "access.log", "-w", "1"])
        .in_own_dir()
        .args(["--pythonpath", crate::harness::server::APPS])
        .spawn();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let wait = |name: &str, needle: &str| {
        until(BOUND, needle, || read(name).contains(needle).then_some(()));
    };
    server.log.wait_for("note: loaded in ");
    wait("error.log", "Booting worker with pid");
    assert!(!server.exchange("GET /pid?one HTTP/1.0\r\n\r\n").is_empty());
    wait("access.log", "/pid?one");

    for name in ["error.log", "access.log"] {
        fs::rename(dir.join(name), dir.join(format!("{name}.1"))).expect("the file is there");
    }
    server.signal(Signal::SIGUSR1);
    // The master says so before or after it reopens; either file is fine.
    until(BOUND, "both files", || {
        (dir.join("error.log").exists() && dir.join("access.log").exists()).then_some(())
    });
    // The worker reopens for itself: at the latest a request after its own file shows it.
    until(BOUND, "the new access log", || {
        server.exchange("GET /pid?two HTTP/1.0\r\n\r\n");
        read("access.log").contains("/pid?two").then_some(())
    });
    server.exchange("BAD\r\n\r\n");
    wait("error.log", "Invalid request from ip=127.0.0.1");
    assert!(!read("access.log.1").contains("Invalid"));
    assert!((read("error.log.1") + &read("error.log")).contains("Handling signal: usr1"));
}

/// At level debug the configuration is logged at the start and at each HUP.
fn configuration_in_the_log(kind: ServerKind) {
    let server = Builder::new(kind).args(["--log-level", "debug"]).start_ready(1);
    server.log.wait_for_count("[DEBUG] Current configuration:\n  config: ", 1);
    server.signal(Signal::SIGHUP);
    server.log.wait_for_count("note: loaded in ", 2);
    server.log.wait_for_count("[DEBUG] Current configuration:\n  config: ", 2);
    assert_eq!(server.log.text().matches("Current configuration:").count(), 2);
}

fn killed_worker(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(2);
    let workers = server.wait_workers(2);
    for (signal, level) in [(Signal::SIGKILL, "ERROR"), (Signal::SIGUSR2, "WARNING")] {
        // Process ids may begin anew, so that the youngest is not always the highest.
        let now = server.wait_workers(2);
        let victim = *now.iter().find(|pid| **pid != workers[0]).expect("two workers");
        let mark = server.log.mark();
        process::signal(victim, signal);
        server
            .log
            .wait_for_since(mark, &format!("[{level}] Worker (pid:{victim}) was sent {signal}!"));
        server.log.wait_for_since(mark, "note: loaded in ");
    }
    let now = server.wait_workers(2);
    assert_eq!(now.iter().filter(|pid| workers.contains(pid)).count(), 1);
    assert_eq!(server.get("/pid").status, 200);
}

fn exited_worker(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(1);
    let victim = server.wait_workers(1)[0];
    let mark = server.log.mark();
    assert_eq!(server.exchange("GET /leave?7 HTTP/1.1\r\n\r\n"), b"");
    server.log.wait_for_since(mark, &format!("[ERROR] Worker (pid:{victim}) exited with code 7."));
    server.log.wait_for_since(mark, "note: loaded in ");
    assert_ne!(server.get("/pid").text(), victim.to_string());
}

/// A master that is killed leaves nobody behind.
fn orphans(kind: ServerKind) {
    // gunicorn's workers look for their master every half timeout.
    let mut server = Builder::new(kind).gunicorn_args(&["-t", "2"]).start_ready(2);
    let workers = server.wait_workers(2);
    assert_eq!(server.stop(Signal::SIGKILL), 128 + 9);
    for worker in workers {
        server.log.wait_until(BOUND, 0, "the workers to notice", |text| {
            text.lines()
                .any(|line| {
                    line.contains(&format!("[{worker}] [INFO] Parent changed, shutting down: "))
                })
                .then_some(())
        });
        server.log.wait_for(&format!("Worker exiting (pid: {worker})"));
    }
    server.assert_nothing_left();
}
