//! USR2: a new master with the program as it is now, beside the old one until either is stopped.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::address;
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::load::Load;
use crate::harness::manager::{Manager, Told};
use crate::harness::server::rgunicorn;
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process, until};

on_both_servers!(
    a_new_master_takes_over,
    the_old_master_goes_on_when_the_new_one_stops,
    a_new_master_that_cannot_start_changes_nothing,
    environment_and_directory_are_those_of_the_start,
    a_preloaded_application_is_loaded_anew,
    the_hook_is_called_in_the_new_process
);

on_rgunicorn!(
    sockets_of_socket_activation_are_passed_on,
    the_program_may_be_another_one,
    a_killed_master_is_followed,
    upgrades_lose_nothing,
    the_service_manager_learns_who_the_master_is
);

/// A server at a unix socket, with its pid file and one worker.
struct Upgrading {
    server: Server,
    socket: PathBuf,
    pidfile: PathBuf,
}

impl Upgrading {
    fn start(builder: Builder) -> Self {
        let (socket, pidfile) = (builder.dir().join("web.sock"), builder.dir().join("web.pid"));
        let builder = builder.binding(&format!("unix:{}", socket.display())).args(["--pid"]);
        let server = builder.args([&pidfile]).args(["-n", "shop"]).start_ready(1);
        Self { server, socket, pidfile }
    }

    fn get(&self, target: &str) -> String {
        Client::connect_unix(&self.socket).get(target).text()
    }

    /// What the pid file, or the one of the second master, holds.
    fn written(&self, suffix: &str) -> Option<i32> {
        let path = format!("{}{suffix}", self.pidfile.display());
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// Sends USR2 and waits until the new master has a worker; its process id.
    fn upgrade(&self) -> i32 {
        let mark = self.server.log.mark();
        self.server.signal(Signal::SIGUSR2);
        self.server.log.wait_for_since(mark, "[INFO] Handling signal: usr2");
        self.new_master(mark)
    }

    /// Waits until a master that was started after `mark` has a worker; its process id.
    fn new_master(&self, mark: usize) -> i32 {
        let pid = self.server.new_master(mark);
        self.server.log.wait_for_since(mark, "note: loaded in ");
        assert_eq!(process::children(pid).len(), 1);
        pid
    }

    /// Waits until answers come from workers of one master only.
    fn until_served_by(&self, master: i32) {
        until(BOUND, "the other master's workers to be gone", || {
            let pids = (0..10).map(|_| self.get("/pid").parse().expect("a process id"));
            let workers = process::children(master);
            pids.into_iter().all(|pid: i32| workers.contains(&pid)).then_some(())
        });
    }
}

fn until_titled(pid: i32, title: &str) {
    until(BOUND, title, || (process::title(pid) == title).then_some(()));
}

fn a_new_master_takes_over(kind: ServerKind) {
    let mut upgrading = Upgrading::start(Builder::new(kind));
    let old = upgrading.server.pid();
    let new = upgrading.upgrade();
    assert_eq!(process::children(old).len(), 2, "a worker and the new master");
    assert_eq!(upgrading.written(""), Some(old));
    assert_eq!(upgrading.written(".2"), Some(new));
    until_titled(old, "gunicorn: master [shop]");
    until_titled(new, "gunicorn: master [shop.2]");
    until_titled(process::children(new)[0], "gunicorn: worker [shop.2]");

    // One at a time.
    upgrading.server.signal(Signal::SIGUSR2);
    upgrading.server.log.wait_for("[WARNING] USR2 signal ignored. Child exists.");
    process::signal(new, Signal::SIGUSR2);
    upgrading.server.log.wait_for("[WARNING] USR2 signal ignored. Parent exists.");
    // Each is a whole master.
    process::signal(new, Signal::SIGTTIN);
    until(BOUND, "another worker", || (process::children(new).len() == 2).then_some(()));
    process::signal(new, Signal::SIGTTOU);
    until(BOUND, "one worker less", || (process::children(new).len() == 1).then_some(()));

    assert_eq!(upgrading.server.stop(Signal::SIGTERM), 0);
    upgrading.server.log.wait_for("[INFO] Master has been promoted.");
    until(BOUND, "the pid file", || (upgrading.written("") == Some(new)).then_some(()));
    until(BOUND, "one pid file only", || upgrading.written(".2").is_none().then_some(()));
    until_titled(new, "gunicorn: master [shop]");
    assert!(fs::metadata(&upgrading.socket).expect("it stays").file_type().is_socket());
    upgrading.until_served_by(new);

    // From now on it is like the first one.
    let mark = upgrading.server.log.mark();
    process::signal(new, Signal::SIGHUP);
    upgrading.server.log.wait_for("[INFO] Hang up: Master");
    upgrading.server.log.wait_for_since(mark, "note: loaded in ");
    upgrading.until_served_by(new);
    let mark = upgrading.server.log.mark();
    process::signal(new, Signal::SIGUSR2);
    let third = upgrading.new_master(mark);
    assert_eq!(upgrading.written(".2"), Some(third));
    process::signal(new, Signal::SIGQUIT);
    process::until_gone(new);
    until(BOUND, "the pid file", || (upgrading.written("") == Some(third)).then_some(()));
    upgrading.until_served_by(third);
    process::signal(third, Signal::SIGTERM);
    process::until_gone(third);
    assert!(!upgrading.socket.exists() && !upgrading.pidfile.exists());
    upgrading.server.assert_nothing_left();
}

fn the_old_master_goes_on_when_the_new_one_stops(kind: ServerKind) {
    let mut upgrading = Upgrading::start(Builder::new(kind));
    let old = upgrading.server.pid();
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGKILL] {
        let new = upgrading.upgrade();
        process::signal(new, signal);
        process::until_gone(new);
        upgrading.until_served_by(old);
        assert_eq!(upgrading.written(""), Some(old));
        // One that was killed leaves it, and the next one overwrites it.
        assert_eq!(upgrading.written(".2").is_some(), signal == Signal::SIGKILL);
        if kind.is_rgunicorn() {
            upgrading.server.log.wait_for(&format!("The new master (pid:{new})"));
        } else {
            // gunicorn says nothing about it.
            until(BOUND, "a reaped process", || {
                (!PathBuf::from(format!("/proc/{new}")).exists()).then_some(())
            });
        }
    }
    assert!(upgrading.server.log.text().contains("Shutting down: Master.2"));
    assert_eq!(upgrading.server.stop(Signal::SIGTERM), 0);
    assert!(!upgrading.socket.exists() && !upgrading.pidfile.exists());
}

fn a_new_master_that_cannot_start_changes_nothing(kind: ServerKind) {
    const APP: &str = "import os\nos.write(2, b'note: loaded in time\\n')\n\
        def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'old']\n";
    let builder = Builder::new(kind).in_own_dir().app("changing:app").file("changing.py", APP);
    let upgrading = Upgrading::start(builder.file("gunicorn.conf.py", ""));
    let server = &upgrading.server;
    let worker = server.wait_workers(1);
    for (file, text, message, cure) in [
        ("gunicorn.conf.py", "1/0\n", "ZeroDivisionError", ""),
        ("changing.py", "import no_such_module\n", "Worker failed to boot.", APP),
    ] {
        fs::write(server.dir().join(file), text).expect("the file is writable");
        server.signal(Signal::SIGUSR2);
        server.log.wait_for(message);
        // The new master is gone again, and the old one has seen it.
        assert_eq!(server.wait_workers(1), worker);
        until(BOUND, "its end to be noticed", || {
            (process::zombies(server.pid()) == 0).then_some(())
        });
        assert_eq!(upgrading.get("/"), "old");
        assert_eq!(upgrading.written(".2"), None);
        fs::write(server.dir().join(file), cure).expect("the file is writable");
    }
    if kind.is_rgunicorn() {
        server.log.wait_for(") exited with code 1. This one goes on.");
        server.log.wait_for(") exited with code 3. This one goes on.");
    }
    upgrading.upgrade();
}

fn environment_and_directory_are_those_of_the_start(kind: ServerKind) {
    let conf = "import os\nos.environ['LEFT_BEHIND'] = 'x'\nraw_env = ['SET=by the file']\n";
    let builder = Builder::new(kind).file("gunicorn.conf.py", conf).env("KEPT", "yes");
    let upgrading = Upgrading::start(builder);
    fs::write(upgrading.server.dir().join("gunicorn.conf.py"), "").expect("it is writable");
    let old = upgrading.server.pid();
    let new = upgrading.upgrade();
    process::signal(old, Signal::SIGTERM);
    upgrading.until_served_by(new);
    let variable = |name: &str| upgrading.get(&format!("/variable?{name}"));
    assert_eq!(variable("KEPT"), "'yes'");
    for name in ["SET", "LEFT_BEHIND", "GUNICORN_FD"] {
        assert_eq!(variable(name), "None", "{name}");
    }
    // That is what the worker was forked with.
    assert_eq!(variable("GUNICORN_PID"), format!("'{old}'"));
    let worker = process::children(new)[0];
    upgrading.server.log.wait_for("Master has been promoted.");
    process::signal(worker, Signal::SIGKILL);
    until(BOUND, "another worker", || {
        let workers = process::children(new);
        (workers.len() == 1 && workers[0] != worker).then_some(())
    });
    assert_eq!(variable("GUNICORN_PID"), "None");
}

fn the_hook_is_called_in_the_new_process(kind: ServerKind) {
    const CONF: &str = "import os\ndef pre_exec(server):\n    \
        server.log.info('pre_exec in %s of %s', os.getpid(), os.getppid())\n";
    let builder = Builder::new(kind).file("gunicorn.conf.py", CONF);
    let upgrading = Upgrading::start(builder);
    let old = upgrading.server.pid();
    let new = upgrading.upgrade();
    upgrading.server.log.wait_for(&format!("[INFO] pre_exec in {new} of {old}"));
    process::signal(new, Signal::SIGTERM);
    process::until_gone(new);
    // One that fails costs the upgrade.
    let path = upgrading.server.dir().join("gunicorn.conf.py");
    fs::write(path, "def pre_exec(server):\n    1/0\n").expect("the file is writable");
    upgrading.server.signal(Signal::SIGHUP);
    upgrading.server.log.wait_for_count("note: loaded in ", 3);
    let mark = upgrading.server.log.mark();
    upgrading.server.signal(Signal::SIGUSR2);
    upgrading.server.log.wait_for_since(mark, "ZeroDivisionError");
    if kind.is_rgunicorn() {
        upgrading.server.log.wait_for_since(mark, "This one goes on.");
        assert!(upgrading.get("/pid").parse::<i32>().is_ok());
    }
}

/// In gunicorn not by HUP.
fn a_preloaded_application_is_loaded_anew(kind: ServerKind) {
    const APP: &str = "import os\nos.write(2, b'note: loaded in time\\n')\n\
        def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'old']\n";
    let builder = Builder::new(kind).in_own_dir().app("changing:app").file("changing.py", APP);
    let mut upgrading = Upgrading::start(builder.args(["--preload"]));
    let path = upgrading.server.dir().join("changing.py");
    fs::write(path, APP.replace("old", "new")).expect("the file is writable");
    let worker = upgrading.server.wait_workers(1)[0];
    upgrading.server.signal(Signal::SIGHUP);
    upgrading.server.log.wait_for(&format!("Worker exiting (pid: {worker})"));
    let expected = if kind.is_rgunicorn() { "new" } else { "old" };
    assert_eq!(upgrading.get("/"), expected);
    let mark = upgrading.server.log.mark();
    upgrading.server.signal(Signal::SIGUSR2);
    upgrading.server.log.wait_for_since(mark, "note: loaded in ");
    upgrading.server.log.wait_for_since(mark, "Booting worker");
    assert_eq!(upgrading.server.stop(Signal::SIGTERM), 0);
    assert_eq!(upgrading.get("/"), "new");
}

/// gunicorn's new master looks for the sockets at the wrong numbers and dies.
fn sockets_of_socket_activation_are_passed_on(kind: ServerKind) {
    let mut server = Builder::new(kind).start_ready(1);
    let address = server.log.wait_for("Listening at: ");
    let mark = server.log.mark();
    server.signal(Signal::SIGUSR2);
    let line = server.log.wait_for_since(mark, "Listening at: ");
    let (_, at) = address.split_once("Listening").expect("an address");
    let (at, _) = at.rsplit_once('(').expect("a process id");
    assert!(line.contains(at), "{line} is not {at}");
    server.log.wait_for_since(mark, "note: loaded in ");
    let old = server.pid();
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_for("Master has been promoted.");
    let new = server.get("/pid").text().parse().expect("a process id");
    let pid = server.new_master(mark);
    assert_ne!(pid, old);
    assert!(process::children(pid).contains(&new));
    // It can be done again: the numbers are as they were.
    let mark = server.log.mark();
    process::signal(pid, Signal::SIGUSR2);
    server.log.wait_for_since(mark, "note: loaded in ");
    process::signal(pid, Signal::SIGTERM);
    process::until_gone(pid);
    assert_eq!(server.get("/pid").status, 200);
}

/// The one that its path leads to now, or the search path.
fn the_program_may_be_another_one(kind: ServerKind) {
    for by_path in [true, false] {
        let builder = Builder::new(kind);
        let program = builder.dir().join("server");
        let real = &rgunicorn()[0];
        std::os::unix::fs::symlink(real, &program).expect("the directory is writable");
        let builder = if by_path {
            builder.called("./server")
        } else {
            let path = std::env::var("PATH").expect("there is a search path");
            builder
                .called("server")
                .env("PATH", format!("{}:{path}", program.parent().expect("a directory").display()))
        };
        let upgrading = Upgrading::start(builder);
        fs::remove_file(&program).expect("the directory is writable");
        let script = format!("#!/bin/sh\nOTHER=yes exec {} \"$@\"\n", real.display());
        fs::write(&program, script).expect("the directory is writable");
        upgrading.server.signal(Signal::SIGUSR2);
        upgrading.server.log.wait_for("Cannot start a new master: The program '");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, permissions).expect("the file is there");
        let new = upgrading.upgrade();
        upgrading.server.signal(Signal::SIGTERM);
        upgrading.until_served_by(new);
        assert_eq!(upgrading.get("/variable?OTHER"), "'yes'");
    }
}

/// Its workers finish what they have, and the pid file it has left is taken over.
fn a_killed_master_is_followed(kind: ServerKind) {
    let upgrading = Upgrading::start(Builder::new(kind));
    let new = upgrading.upgrade();
    upgrading.server.signal(Signal::SIGKILL);
    upgrading.server.log.wait_for("[INFO] Master has been promoted.");
    until(BOUND, "the pid file", || (upgrading.written("") == Some(new)).then_some(()));
    upgrading.until_served_by(new);
    process::signal(new, Signal::SIGTERM);
    process::until_gone(new);
    assert!(!upgrading.socket.exists() && !upgrading.pidfile.exists());
}

/// Roll-back, upgrade, and another one, with sockets passed either way, and with one per worker.
fn upgrades_lose_nothing(kind: ServerKind) {
    for (activated, args) in [(true, &[][..]), (false, &[]), (false, &["--reuse-port"])] {
        let builder = Builder::new(kind).args(args);
        let begun = builder.dir().join("begun");
        fs::write(&begun, "").expect("the directory is writable");
        let builder = builder.env("BEGUN", &begun);
        let builder = if activated { builder } else { builder.binding("127.0.0.1:0") };
        let server = builder.start_ready(2);
        let addr = address(&server);
        let load = Load::start(addr, 16);
        let mut master = server.pid();
        for keep_old in [true, false, false] {
            load.wait_more(50);
            let mark = server.log.mark();
            process::signal(master, Signal::SIGUSR2);
            let new = server.new_master(mark);
            server.log.wait_until(BOUND, mark, "two workers", |text| {
                (text.matches("note: loaded in ").count() >= 2).then_some(())
            });
            load.wait_more(50);
            let (goes, stays) = if keep_old { (new, master) } else { (master, new) };
            process::signal(goes, Signal::SIGTERM);
            process::until_gone(goes);
            master = stays;
        }
        load.wait_more(50);
        let tally = load.finish();
        assert!(tally.failures.is_empty(), "{:?}", tally.failures);
        process::signal(master, Signal::SIGTERM);
        process::until_gone(master);
    }
}

/// The manager believes the main process only: the old master names the new one at its end, and gives
/// signs of life until then.
fn the_service_manager_learns_who_the_master_is(kind: ServerKind) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("notify");
    let pipe = builder.dir().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe can be made");
    let manager = Manager::at(&path);
    let upgrading =
        Upgrading::start(builder.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000"));
    let old = upgrading.server.pid();
    // One message after the other, without signs of life; these come from the main process only.
    let main = Cell::new(old);
    let next = || loop {
        let told = manager.next();
        if told.value("WATCHDOG").is_some() {
            assert_eq!(told.pid, main.get(), "{told:?}");
        }
        if told.text != "WATCHDOG=1" {
            return told;
        }
    };
    let alive = || {
        let told = manager.next();
        assert_eq!((&*told.text, told.pid), ("WATCHDOG=1", main.get()));
    };
    let ready = next();
    assert_eq!((ready.pid, ready.value("READY")), (old, Some("1")), "{ready:?}");
    let mut client = Client::connect_unix(&upgrading.socket);
    client.send(format!("GET /wait?{} HTTP/1.1\r\nHost: a\r\n\r\n", pipe.display()));
    upgrading.server.log.wait_for("note: waiting in ");
    let new = upgrading.upgrade();
    // Of which nothing is told: there is one service. Nor is the end of the old one its end.
    process::signal(old, Signal::SIGTERM);
    upgrading.server.log.wait_for("Handling signal: term");
    (0..6).for_each(|_| alive());
    fs::write(&pipe, "").expect("somebody reads");
    let told = next();
    assert_eq!((told.pid, told.value("MAINPID")), (old, Some(&*new.to_string())), "{told:?}");
    let told = next();
    assert_eq!((told.pid, told.value("BARRIER")), (old, Some("1")), "{told:?}");
    process::until_gone(old);
    main.set(new);
    // It looks whose child a main process is only when it is told of another one. So there is one for
    // a moment, which alone can say that it is over.
    let told: Vec<_> = (0..4).map(|_| next()).collect();
    let names = |told: &Told| told.value("MAINPID").map(str::to_owned);
    let other = told[1].pid;
    assert_ne!(other, new);
    let expected = [(new, Some(other)), (other, Some(new)), (other, None), (new, Some(new))];
    let actual: Vec<_> = told.iter().map(|told| (told.pid, names(told))).collect();
    let expected: Vec<_> =
        expected.iter().map(|(pid, main)| (*pid, main.map(|main| main.to_string()))).collect();
    assert_eq!(actual, expected, "{told:?}");
    assert_eq!(told[2].value("BARRIER"), Some("1"));
    assert_eq!(told[3].value("READY"), Some("1"));
    (0..3).for_each(|_| alive());
    process::signal(new, Signal::SIGTERM);
    process::until_gone(new);
    let told = next();
    assert_eq!((told.pid, told.value("STOPPING")), (new, Some("1")), "{told:?}");
}
