//! Preload reloads of a server that is started in other ways than in the foreground at a socket of its own.

use std::fs;

use nix::sys::signal::Signal;

use super::{APP, builder, change, reload, start, until_says, until_serving, write};
use crate::harness::background::Daemon;
use crate::harness::cases::on_rgunicorn;
use crate::harness::manager::Manager;
use crate::harness::{BOUND, Client, ServerKind, process, until};

on_rgunicorn!(
    the_service_manager_sees_a_reload,
    a_daemon_stays_one,
    a_unix_socket_keeps_its_file,
    addresses_may_change,
    output_goes_where_the_new_configuration_wants_it,
);

fn the_service_manager_sees_a_reload(kind: ServerKind) {
    let builder = builder(kind, &["-w", "2"]);
    let path = builder.dir().join("notify");
    let manager = Manager::at(&path);
    let builder = builder.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "60000000");
    let mut server = start(builder.env("LISTEN_FDNAMES", "web"));
    let pid = server.pid();
    let next = || {
        let mut told = manager.next();
        while told.text == "WATCHDOG=1" {
            told = manager.next();
        }
        assert_eq!(told.pid, pid, "{told:?}");
        (told.text.lines().next().unwrap_or_default().to_owned(), told)
    };
    assert_eq!(next().0, "READY=1");
    reload(&server, "new");
    assert_eq!(next().0, "RELOADING=1");
    let (first, told) = next();
    assert_eq!((&*first, told.value("STATUS")), ("READY=1", Some("Serving with 2 workers")));
    write(&server, "changing.py", "import no_such_module\n");
    server.signal(Signal::SIGHUP);
    assert_eq!(next().0, "RELOADING=1");
    let (first, told) = next();
    let status = told.value("STATUS").expect("there is one");
    assert!(first == "READY=1" && status.contains("the last reload failed"), "{told:?}");
    // Whatever the application finds in its environment, and is not for it.
    let names = "def app(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [' '.join(name for name in os.environ if name.startswith(('LISTEN_', 'NOTIFY_', \
        'WATCHDOG_', 'GUNICORN_', 'RGUNICORN_CHECK', 'RGUNICORN_RENEWAL'))).encode()]\n";
    write(&server, "changing.py", &format!("import os\n{names}"));
    server.signal(Signal::SIGHUP);
    assert_eq!((next().0, next().0), ("RELOADING=1".to_owned(), "READY=1".to_owned()));
    until(BOUND, "the new application", || server.get("/").text().is_empty().then_some(()));
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert_eq!(next().0, "STOPPING=1");
}

fn a_daemon_stays_one(kind: ServerKind) {
    let builder = builder(kind, &["-D", "-p", "web.pid", "--error-logfile", "error.log"]);
    let directory = builder.dir().to_owned();
    let (socket, log) = (directory.join("web.sock"), directory.join("error.log"));
    let mut command = builder.binding("unix:web.sock").spawn();
    assert_eq!(command.wait_exit(BOUND).code(), Some(0));
    let daemon = Daemon::of(&directory.join("web.pid"), command.pid());
    let get = || Client::connect_unix(&socket).get("/").text();
    until_says(get, "old", daemon.pid);
    let session = process::session(daemon.pid);
    for what in ["new", "newer"] {
        change(&command, what);
        daemon.signal(Signal::SIGHUP);
        until_says(get, what, daemon.pid);
        assert_eq!(process::session(daemon.pid), session);
        assert_eq!(process::status(daemon.pid, "Umask"), "0022");
        let streams = [0, 1, 2].map(|number| process::descriptor(daemon.pid, number));
        assert_eq!(streams, ["/dev/null"; 3]);
    }
    // It is still known that it is one.
    daemon.signal(Signal::SIGWINCH);
    until(BOUND, "no workers", || process::children(daemon.pid).is_empty().then_some(()));
    change(&command, "back");
    daemon.signal(Signal::SIGHUP);
    until_says(get, "back", daemon.pid);
    daemon.stop(Signal::SIGTERM);
    assert!(!socket.exists() && !directory.join("web.pid").exists());
    assert!(fs::read_to_string(log).expect("it is there").contains("Shutting down: Master"));
}

fn a_unix_socket_keeps_its_file(kind: ServerKind) {
    let mut server = start(builder(kind, &["-w", "2"]).binding("unix:web.sock"));
    let socket = server.dir().join("web.sock");
    let get = || Client::connect_unix(&socket).get("/").text();
    for what in ["new", "newer"] {
        change(&server, what);
        server.signal(Signal::SIGHUP);
        until_says(get, what, server.pid());
    }
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!socket.exists(), "whose it is was forgotten");
}

fn addresses_may_change(kind: ServerKind) {
    let conf = |bind: &str| format!("bind = {bind}\n");
    let builder = builder(kind, &["-w", "2"]).without_bind();
    let server = start(builder.file("gunicorn.conf.py", &conf("['unix:a.sock']")));
    let get = |name: &str| Client::connect_unix(&server.dir().join(name)).get("/").text();
    until_says(|| get("a.sock"), "old", server.pid());
    write(&server, "gunicorn.conf.py", &conf("['unix:a.sock', 'unix:b.sock']"));
    change(&server, "new");
    server.signal(Signal::SIGHUP);
    let line = server.log.wait_for("Listening at: unix:a.sock,unix:b.sock");
    assert!(line.contains("[INFO]"));
    for name in ["a.sock", "b.sock"] {
        until_says(|| get(name), "new", server.pid());
    }
    // One that cannot be had changes nothing.
    write(&server, "gunicorn.conf.py", &conf("['unix:/no/such/directory/c.sock']"));
    server.signal(Signal::SIGHUP);
    server.log.wait_for("/no/such/directory/c.sock");
    server.log.wait_for("the workers go on.");
    for name in ["a.sock", "b.sock"] {
        until_says(|| get(name), "new", server.pid());
    }
    write(&server, "gunicorn.conf.py", &conf("['unix:b.sock']"));
    change(&server, "newer");
    server.signal(Signal::SIGHUP);
    until_says(|| get("b.sock"), "newer", server.pid());
    let gone = server.dir().join("a.sock");
    until(BOUND, "the end of a socket", || (!gone.exists()).then_some(()));
}

/// With `capture_output` the standard streams of the old program went to a file.
fn output_goes_where_the_new_configuration_wants_it(kind: ServerKind) {
    let conf = "errorlog = 'error.log'\ncapture_output = True\n";
    let app = format!("{APP}print('note: printed', flush=True)\n");
    let builder = builder(kind, &[]).file("gunicorn.conf.py", conf).file("changing.py", &app);
    let server = builder.spawn();
    let log = server.dir().join("error.log");
    let logged = |text: &str, count: usize| {
        until(BOUND, text, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            (log.matches(text).count() == count).then_some(())
        });
    };
    logged("note: printed", 1);
    logged("Booting worker", 1);
    server.signal(Signal::SIGHUP);
    logged("note: printed", 3);
    write(&server, "gunicorn.conf.py", "");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("Booting worker");
    server.out.wait_for("note: printed");
    until_serving(&server, "old");
    logged("note: printed", 3);
}
