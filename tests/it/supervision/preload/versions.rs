//! Another version of the program in the place of the one that a reload or an upgrade has begun with: the state of
//! the other one is not understood, and what serves goes on.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use super::{builder, start};
use crate::harness::cases::on_rgunicorn;
use crate::harness::server::rgunicorn;
use crate::harness::venv::python;
use crate::harness::{BOUND, Builder, ServerKind, until};
use crate::supervision::address;

on_rgunicorn!(
    a_master_that_cannot_go_on_starts_anew,
    one_that_cannot_even_do_that_says_so,
    a_check_by_another_version_says_so,
    a_new_master_that_is_told_nonsense_changes_nothing
);

/// What a master of another version would have made of the process: a socket, a worker that goes when the lifeline
/// ends, descriptors that nobody knows, and signals that wait.
const BEFORE: &str = "
import os, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
one = socket.socket()
one.bind(('127.0.0.1', 0))
one.listen(64)
read, write = os.pipe()
if os.fork() == 0:
    os.close(write)
    os.read(read, 1)
    os.write(2, b'note: the old worker goes\\n')
    os._exit(0)
os.close(read)
others = os.pipe()
for number in (one.fileno(), write, *others):
    os.set_inheritable(number, True)
pid, record, form = os.getpid(), sys.argv[1], sys.argv[2]
os.environ['RGUNICORN_RENEWAL'] = record.replace('PID', str(pid))
if form == 'rescue':
    text = '%d %d false 1 %d 0 1 %d 1 %d 0 ' % (pid, write, one.fileno(), *others)
    os.environ['RGUNICORN_RESCUE'] = text
os.kill(pid, signal.SIGTTIN)
os.execvp(sys.argv[3], sys.argv[3:] + ['-b', '127.0.0.1:%d' % one.getsockname()[1]])
";

fn after(builder: Builder, record: &str, form: &str) -> Builder {
    let mut words: Vec<OsString> = vec![python().into(), "-c".into(), BEFORE.into()];
    words.extend([record.into(), form.into()]);
    words.extend(rgunicorn());
    builder.program(words)
}

/// The workers from before go when others serve, and not sooner.
fn a_master_that_cannot_go_on_starts_anew(kind: ServerKind) {
    let records = ["0.0.1/7 PID 5 6", "9999.0.0/1 PID", "", "%", "1 2 3 4 5 6 7 8 9 10 11 12 13"];
    for (index, record) in records.into_iter().enumerate() {
        let args: &[&str] = if index % 2 == 0 { &["--preload"] } else { &[] };
        let builder = Builder::new(kind).args(["-w", "2", "--pid", "web.pid"]).in_own_dir();
        let app = "import os\nLOADED = os.getpid()\nos.write(2, b'note: loaded\\n')\n\
            def app(environ, start_response):\n    start_response('200 OK', [])\n    \
            return [b'served']\n";
        let builder = builder.app("served:app").file("served.py", app).args(args).without_bind();
        let mut server = after(builder, record, "rescue").start();
        server.addr = address(&server);
        server.log.wait_for("The program was replaced by another version");
        server.log.wait_for("note: the old worker goes");
        let log = server.log.text();
        let (before, _) = log.split_once("note: the old worker goes").expect("just seen");
        assert!(before.contains("note: loaded"), "{log}");
        assert_eq!(server.get("/").text(), "served");
        // What had come meanwhile is obeyed, and from now on it is like any other.
        server.log.wait_for("Handling signal: ttin");
        let workers = server.wait_workers(3);
        let written = fs::read_to_string(server.dir().join("web.pid")).expect("it is there");
        assert_eq!(written.trim(), server.pid().to_string());
        server.signal(Signal::SIGHUP);
        until(BOUND, "another generation", || {
            let now = server.workers();
            (now.len() == 2 && !now.iter().any(|pid| workers.contains(pid))).then_some(())
        });
        assert_eq!(server.get("/").text(), "served");
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        server.assert_nothing_left();
    }
}

fn one_that_cannot_even_do_that_says_so(kind: ServerKind) {
    let outcome = after(Builder::new(kind).app("echo:app"), "0.0.1/7 PID", "none").run();
    assert_eq!(outcome.status, Some(1));
    let text = "RGUNICORN_RENEWAL cannot be used: it is not what a master writes.";
    assert!(outcome.stderr.contains(text), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("note: the old worker goes"), "{}", outcome.stderr);
}

fn a_check_by_another_version_says_so(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:app").env("RGUNICORN_CHECK", "1 0.0.1/7");
    let outcome = builder.run();
    assert_eq!(outcome.status, Some(1));
    let text = "The program has been replaced by another version since this master was started. To change \
        to it, start a new master with USR2, then end this one with TERM.";
    assert_eq!(outcome.stdout, text);
}

/// By another version, or by nobody.
fn a_new_master_that_is_told_nonsense_changes_nothing(kind: ServerKind) {
    let builder = builder(kind, &["-w", "2"]).binding("unix:web.sock").called("./server");
    let program = builder.dir().join("server");
    let real = rgunicorn();
    std::os::unix::fs::symlink(&real[0], &program).expect("the directory is writable");
    let mut server = start(builder);
    let old = server.wait_workers(2);
    for (change, text) in [
        ("GUNICORN_FD=nonsense", "GUNICORN_FD is 'nonsense', which is not a list of descriptors."),
        ("GUNICORN_FD=999", "999"),
        ("GUNICORN_PID=nobody", "GUNICORN_PID is 'nobody', which is not a process id."),
        ("RGUNICORN_RENEWAL=1", "RGUNICORN_RENEWAL cannot be used"),
    ] {
        fs::remove_file(&program).expect("it is there");
        let script = format!("#!/bin/sh\nexec env {change} {} \"$@\"\n", real[0].to_string_lossy());
        fs::write(&program, script).expect("the directory is writable");
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&program, permissions).expect("the file is there");
        let mark = server.log.mark();
        server.signal(Signal::SIGUSR2);
        server.log.wait_for_since(mark, text);
        server.log.wait_for_since(mark, ") exited with code 1. This one goes on.");
        assert_eq!(server.wait_workers(2), old, "{change}");
        assert!(server.dir().join("web.sock").exists(), "{change}");
    }
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.assert_nothing_left();
}
