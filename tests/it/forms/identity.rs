//! Workers that act as another user. As root the change is made; as anybody else it is refused, and
//! that is what is tested then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, ServerKind, process, until};

on_both_servers!(workers_become_the_user);

on_rgunicorn!(
    others_than_root_are_refused,
    nothing_of_the_master_is_left,
    rotated_logs_are_opened_by_workers_too
);

/// Tells whom the application was loaded as.
const APP: &str = "import os

os.write(2, f'note: loaded as {os.getresuid()} {os.getresgid()}\\n'.encode())

LIST = 'for one in /proc/$$/fd/*; do readlink $one; done'

def child():
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write, 1)]
    pid = os.posix_spawn('/bin/sh', ['sh', '-c', LIST], os.environ, file_actions=actions)
    os.close(write)
    with open(read, 'rb') as output:
        text = output.read()
    os.waitpid(pid, 0)
    return text

def app(environ, start_response):
    start_response('200 OK', [])
    return [child() if environ['PATH_INFO'] == '/child' else b'ok']
";

/// A user and a group that exist nearly everywhere, and are nobody's.
const NOBODY: u32 = 65534;

fn builder(kind: ServerKind) -> Builder {
    Builder::new(kind).in_own_dir().app("whom:app").file("whom.py", APP)
}

fn workers_become_the_user(kind: ServerKind) {
    let builder = builder(kind).args(["-u", "nobody", "-g", "65534"]).open_to_all();
    if !geteuid().is_root() {
        assert_ne!(builder.run().status, Some(0));
        return;
    }
    let server = builder.start();
    server.log.wait_for(
        &format!("note: loaded as {:?} {:?}", [NOBODY; 3], [NOBODY; 3])
            .replace('[', "(")
            .replace(']', ")"),
    );
    assert_eq!(server.get("/").text(), "ok");
    let worker = server.wait_workers(1)[0];
    let all = [NOBODY.to_string(), NOBODY.to_string(), NOBODY.to_string(), NOBODY.to_string()];
    assert_eq!(process::status(worker, "Uid"), all.join("\t"));
    assert_eq!(process::status(worker, "Gid"), all.join("\t"));
    assert_eq!(process::status(worker, "CapEff"), "0000000000000000");
    assert_eq!(process::status(server.pid(), "Uid"), "0\t0\t0\t0");
    // The master remains able to do its work.
    server.signal(Signal::SIGHUP);
    server.log.wait_for_count("note: loaded as", 2);
    until(BOUND, "the new worker", || (!server.workers().contains(&worker)).then_some(()));
    assert_eq!(server.get("/").text(), "ok");
}

fn others_than_root_are_refused(kind: ServerKind) {
    let bound = || {
        let builder = builder(kind);
        if geteuid().is_root() { builder.bound_to_its_user() } else { builder }
    };
    let (uid, gid) = (geteuid().to_string(), getegid().to_string());
    for args in [&["-u", "1"][..], &["-g", "1"], &["-u", &uid, "--initgroups"]] {
        let outcome = bound().args(args).run();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        let message = format!("the server runs as user {uid} and group {gid} and may not change");
        assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
    }
    // One's own identity may be named; and a reload that asks for another one is refused.
    let own = format!("user = {uid}\ngroup = {gid}\n");
    let server = bound().file("gunicorn.conf.py", &own).start();
    assert_eq!(server.get("/").text(), "ok");
    fs::write(server.dir().join("gunicorn.conf.py"), "user = 1\n").expect("it is ours");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("Start it as root");
    assert_eq!(server.get("/").text(), "ok");
}

/// What a worker holds open is what it works with, and what it starts gets none of that.
fn nothing_of_the_master_is_left(kind: ServerKind) {
    let root = geteuid().is_root();
    let identity: &[&str] =
        if root { &["-u", "65534", "-g", "65534", "--initgroups"] } else { &[] };
    let builder = builder(kind).open_to_all();
    let (log, pidfile) = (builder.dir().join("error.log"), builder.dir().join("web.pid"));
    let server = builder
        .args(identity)
        .args(["--error-logfile".as_ref(), log.as_os_str(), "-p".as_ref(), pidfile.as_os_str()])
        .args(["-w", "2"])
        .start_quietly("note: loaded as", 2);
    assert_eq!(server.get("/").text(), "ok");
    // What the caller of this test had open passes through all of them.
    let passed_through = process::descriptors(std::process::id().cast_signed());
    let strange = |link: &&String| *link != "/dev/null" && !passed_through.contains(link);
    for worker in server.wait_workers(2) {
        let open = process::descriptors(worker);
        let of =
            |kind: &str| open.iter().filter(strange).filter(|link| link.starts_with(kind)).count();
        let files: Vec<&String> =
            open.iter().filter(strange).filter(|link| link.starts_with('/')).collect();
        assert_eq!(files, [log.to_str().expect("an ordinary path")], "{open:?}");
        // The listener, and both ends of the queue between workers.
        assert_eq!(of("socket:"), 3, "{open:?}");
        // Both ends of its own pipe for signals, and the read end of the one that tells that the
        // master is gone.
        assert_eq!(of("pipe:"), 3, "{open:?}");
        let master = process::descriptors(server.pid());
        let shared = |link: &&String| link.starts_with("pipe:") && master.contains(link);
        assert_eq!(open.iter().filter(strange).filter(shared).count(), 1, "{open:?}");
        if root {
            assert_eq!(process::status(worker, "Groups"), "65534");
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(process::status(worker, set), "0000000000000000", "{set}");
            }
        }
    }
    let listing = server.get("/child").text();
    let started: Vec<&str> = listing.lines().filter(|line| strange(&&(*line).to_owned())).collect();
    assert_eq!(started.len(), 1, "its output is a pipe of its own: {started:?}");
}

/// Of two log files, one is moved away and the other is replaced by a link to a file of the master's
/// user, by somebody who may write to the directory.
fn rotated_logs_are_opened_by_workers_too(kind: ServerKind) {
    let root = geteuid().is_root();
    let uid = if root { NOBODY } else { geteuid().as_raw() };
    let builder = builder(kind).open_to_all().file("precious", "");
    let [error, access, precious] =
        ["error.log", "access.log", "precious"].map(|name| builder.dir().join(name));
    let server = builder
        .args(["-u".to_owned(), uid.to_string()])
        .args(["--error-logfile".as_ref(), error.as_os_str()])
        .args(["--access-logfile".as_ref(), access.as_os_str()])
        .start_quietly("note: loaded as", 1);
    let owner = |path: &Path| fs::metadata(path).expect("it is there").uid();
    assert_eq!((owner(&error), owner(&access)), (uid, uid));
    fs::rename(&access, access.with_extension("old")).expect("it is there");
    fs::rename(&error, error.with_extension("old")).expect("it is there");
    std::os::unix::fs::symlink(&precious, &error).expect("the directory is writable");
    server.signal(Signal::SIGUSR1);
    until(BOUND, "the new log", || (access.exists() && owner(&access) == uid).then_some(()));
    until(BOUND, "a line of a worker", || {
        assert_eq!(server.get("/").text(), "ok");
        fs::read_to_string(&access).is_ok_and(|text| text.contains("GET / ")).then_some(())
    });
    assert_eq!(owner(&precious), geteuid().as_raw());
}
