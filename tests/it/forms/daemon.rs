//! The server in the background.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::harness::background::Daemon;
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::manager::Manager;
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process, until};

on_both_servers!(life, kept_output, errors_before_detaching, under_a_service_manager, upgrade);

on_rgunicorn!(the_command_tells_whether_the_daemon_has_started);

/// A server that is to become a daemon, its pid file and its socket file.
fn daemon(kind: ServerKind, args: &[&str]) -> (Builder, PathBuf, PathBuf) {
    let builder = Builder::new(kind).app("supervised:app").args(["-D"]).args(args);
    let (pidfile, socket) = (builder.dir().join("web.pid"), builder.dir().join("web.sock"));
    let builder = builder.args(["-p".as_ref(), pidfile.as_os_str()]);
    (builder.binding(&format!("unix:{}", socket.display())), pidfile, socket)
}

#[track_caller]
fn answers(socket: &Path) -> String {
    until(BOUND, "the socket", || socket.exists().then_some(()));
    Client::connect_unix(socket).get("/pid").text()
}

fn life(kind: ServerKind) {
    let (builder, pidfile, socket) = daemon(kind, &["--log-level", "debug"]);
    let log = builder.dir().join("error.log");
    let mut command = builder.args(["--error-logfile".as_ref(), log.as_os_str()]).spawn();
    assert_eq!(command.wait_exit(BOUND).code(), Some(0));
    let daemon = Daemon::of(&pidfile, command.pid());
    let worker: i32 = answers(&socket).parse().expect("a pid");
    assert_eq!((command.log.wait_end(BOUND), command.out.wait_end(BOUND)), Default::default());
    until(BOUND, "the title", || {
        (process::title(daemon.pid) == "gunicorn: master [supervised:app]").then_some(())
    });
    let (session, terminal) = process::session(daemon.pid);
    assert_ne!(session, process::session(std::process::id().cast_signed()).0);
    assert!(session != daemon.pid, "it leads its session, and could get a terminal again");
    assert_eq!(terminal, 0);
    for pid in [daemon.pid, worker] {
        let streams = [0, 1, 2].map(|number| process::descriptor(pid, number));
        assert_eq!(streams, ["/dev/null"; 3]);
        assert_eq!(process::status(pid, "Umask"), "0022");
    }
    let logged = |text: &str| {
        until(BOUND, text, || {
            fs::read_to_string(&log).unwrap_or_default().contains(text).then_some(())
        });
    };
    logged(&format!("({})", daemon.pid));

    // Only a daemon understands this signal.
    daemon.signal(Signal::SIGWINCH);
    logged("[INFO] graceful stop of workers");
    until(BOUND, "no workers", || process::children(daemon.pid).is_empty().then_some(()));
    daemon.signal(Signal::SIGTTIN);
    assert_ne!(answers(&socket).parse::<i32>().expect("a pid"), worker);
    daemon.stop(Signal::SIGTERM);
    assert!(!pidfile.exists() && !socket.exists());
}

/// With -R what is not a terminal stays: here the pipes of the test, for the log and what the
/// application prints.
fn kept_output(kind: ServerKind) {
    let (builder, pidfile, socket) = daemon(kind, &["-R"]);
    let mut command = builder.spawn();
    assert_eq!(command.wait_exit(BOUND).code(), Some(0));
    let daemon = Daemon::of(&pidfile, command.pid());
    answers(&socket);
    command.log.wait_for("Listening at: ");
    command.log.wait_for("note: loaded in ");
    assert_eq!(process::descriptor(daemon.pid, 0), "/dev/null");
    for number in [1, 2] {
        assert!(process::descriptor(daemon.pid, number).starts_with("pipe:"), "{number}");
    }
}

fn errors_before_detaching(kind: ServerKind) {
    let (builder, ..) = daemon(kind, &["--user", "no-such-user"]);
    let outcome = builder.run();
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("No such user: 'no-such-user'"), "{}", outcome.stderr);
}

/// It is told that a daemon is not what it waits for.
fn under_a_service_manager(kind: ServerKind) {
    let (builder, pidfile, socket) = daemon(kind, &[]);
    let path = builder.dir().join("notify");
    let _manager = Manager::at(&path);
    let mut command = builder.env("NOTIFY_SOCKET", &path).spawn();
    assert_eq!(command.wait_exit(BOUND).code(), Some(0));
    let _daemon = Daemon::of(&pidfile, command.pid());
    let warning = "Warning: you shouldn't specify `daemon = True` when launching by systemd with \
                   `Type = notify`";
    assert_eq!(command.log.wait_end(BOUND).trim(), warning);
    answers(&socket);
}

/// A daemon that was refused, and what the command says.
#[track_caller]
fn refused(mut command: Server) -> String {
    assert_eq!(command.wait_exit(BOUND).code(), Some(1));
    assert_eq!(command.out.wait_end(BOUND), "");
    let text = command.log.wait_end(BOUND);
    assert!(!text.contains("Booting"), "{text}");
    text
}

/// When the command is over, the pid file is there and the socket is open; or it says why not.
fn the_command_tells_whether_the_daemon_has_started(kind: ServerKind) {
    let (builder, pidfile, socket) = daemon(kind, &[]);
    let mut command = builder.spawn();
    assert_eq!(command.wait_exit(BOUND).code(), Some(0));
    let text = fs::read_to_string(&pidfile).expect("the pid file is there");
    assert!(socket.exists());
    let running = Daemon::of(&pidfile, command.pid());
    assert_eq!(text, format!("{}\n", running.pid));

    let (builder, ..) = daemon(kind, &[]);
    let text = refused(builder.args(["-p".as_ref(), pidfile.as_os_str()]).spawn());
    assert!(text.contains(&format!("Already running on PID {}", running.pid)), "{text}");
    let (builder, ..) = daemon(kind, &["-b", "unix:/nonexistent/web.sock"]);
    let text = refused(builder.spawn());
    assert!(text.contains("Error: Cannot listen on unix:/nonexistent/web.sock"), "{text}");
    let (builder, ..) = daemon(kind, &["--error-logfile", "/nonexistent/error.log"]);
    let text = refused(builder.spawn());
    assert!(text.contains("'/nonexistent/error.log' isn't writable"), "{text}");
    let (builder, ..) = daemon(kind, &["--preload"]);
    let text = refused(builder.app("broken_raise:app").spawn());
    assert!(text.contains("Traceback") && text.contains("at import"), "{text}");
    // It dies without a word.
    let (builder, ..) = daemon(kind, &["--preload"]);
    let builder =
        builder.in_own_dir().app("dying:app").file("dying.py", "import os\nos._exit(0)\n");
    let text = refused(builder.spawn());
    assert!(text.contains("the daemon ended before it had started"), "{text}");
}

/// WINCH leaves the field to the new master, which is a daemon like the old one; HUP takes it back.
fn upgrade(kind: ServerKind) {
    let (builder, pidfile, socket) = daemon(kind, &[]);
    let mut command = builder.spawn();
    assert_eq!(command.wait_exit(BOUND).code(), Some(0));
    let old = Daemon::of(&pidfile, command.pid());
    answers(&socket);
    old.signal(Signal::SIGUSR2);
    let second = pidfile.with_extension("pid.2");
    until(BOUND, "the second pid file", || second.exists().then_some(()));
    let new = Daemon::of(&second, command.pid());
    assert_eq!(process::session(new.pid), process::session(old.pid));
    let served_by = |master: i32| {
        until(BOUND, "the other one to serve alone", || {
            let workers = process::children(master);
            let answered = (0..5).map(|_| answers(&socket).parse().expect("a pid"));
            answered.into_iter().all(|pid: i32| workers.contains(&pid)).then_some(())
        });
    };
    until(BOUND, "its workers", || (!process::children(new.pid).is_empty()).then_some(()));
    old.signal(Signal::SIGWINCH);
    served_by(new.pid);
    old.signal(Signal::SIGHUP);
    new.signal(Signal::SIGQUIT);
    until(BOUND, "the end of the new one", || (!process::is_alive(new.pid)).then_some(()));
    served_by(old.pid);
    old.stop(Signal::SIGTERM);
    assert!(!socket.exists() && !pidfile.exists() && !second.exists());
}
