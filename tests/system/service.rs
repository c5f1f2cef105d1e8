//! The units of `examples/systemd`, run by a real systemd.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::booted::Systemd;
use crate::example::Example;
use crate::harness::load::Load;
use crate::harness::server::APPS;
use crate::harness::{BOUND, Client, until, venv};
use crate::program::free_address;

const SERVICE: &str = "rgunicorn.service";
const APP: &str = "from supervised import app\n";

/// The site, with its directory and the address of its socket.
struct Site {
    systemd: Systemd,
    dir: tempfile::TempDir,
    addr: SocketAddr,
}

/// systemd's number of version.
fn version() -> u32 {
    let output = Command::new("/lib/systemd/systemd").arg("--version").output();
    let output = output.expect("tests/system/run installs systemd");
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("systemd NUMBER")
}

impl Site {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        fs::write(dir.path().join("served.py"), APP).expect("writable");
        fs::write(dir.path().join("begun"), "").expect("writable");
        let addr = free_address();
        let place = dir.path().display();
        let service = Example::read("systemd/rgunicorn.service")
            .with("/srv/site/venv/bin/rgunicorn", env!("CARGO_BIN_EXE_rgunicorn"))
            .with("WorkingDirectory=/srv/site", &format!("WorkingDirectory={place}"))
            .with("site.wsgi", "served:app");
        let socket = Example::read("systemd/rgunicorn.socket");
        let reload = if version() < 253 { "" } else { "Type=notify-reload\nExecReload=\n" };
        // The program, its interpreter and the site may be anywhere, readable by the current user
        // only; there is no journal.
        let user = User::from_uid(Uid::current()).expect("a database").expect("a name").name;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).display();
        let target = venv::path().parent().expect("it has one").display();
        let service_more = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\n{reload}User={user}\nGroup=\n\
             ProtectHome=read-only\nBindReadOnlyPaths={root} {target}\nBindPaths={place}\n\
             Environment=VIRTUAL_ENV={} PYTHONPATH={APPS} BEGUN={place}/begun\n\
             WatchdogSec=2\nStandardError=append:{place}/log\n",
            venv::path().display()
        );
        let socket_more = format!(
            "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={addr}\nSocketUser=\nSocketGroup=\n"
        );
        let systemd = Systemd::boot(&[
            (SERVICE, &service.text),
            ("rgunicorn.service.d/test.conf", &service_more),
            ("rgunicorn.socket", &socket.text),
            ("rgunicorn.socket.d/test.conf", &socket_more),
        ]);
        Self { systemd, dir, addr }
    }

    fn get(&self, target: &str) -> String {
        Client::connect(self.addr).get(target).text()
    }

    fn write(&self, text: &str) {
        fs::write(self.dir.path().join("served.py"), text).expect("writable");
    }

    fn show(&self, name: &str) -> String {
        self.systemd.property(SERVICE, name)
    }

    #[track_caller]
    fn wait_for(&self, name: &str, value: &str) {
        self.systemd.wait_for(SERVICE, name, value);
    }

    /// How often this is in its log.
    fn logged(&self, text: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.matches(text).count()
    }

    #[track_caller]
    fn wait_logged(&self, text: &str, count: usize) {
        until(BOUND, text, || (self.logged(text) >= count).then_some(()));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- log of the site:\n{log}---");
            eprintln!("{}", self.systemd.systemctl(&["status", "--no-pager", SERVICE]).0);
        }
    }
}

#[test]
#[ignore = "run by tests/system/run"]
fn the_example_lives_under_systemd() {
    let site = Site::start();
    site.systemd.order(&["start", "rgunicorn.socket"]);
    assert_eq!(site.show("ActiveState"), "inactive");

    // The first connection starts it, and waits.
    let worker = site.get("/pid");
    assert_eq!(site.show("ActiveState"), "active");
    let workers = format!("Serving with {} worker", site.logged("Booting worker"));
    assert!(site.show("StatusText").starts_with(&workers), "{}", site.show("StatusText"));
    let master = site.show("MainPID");
    let load = Load::start(site.addr, 8);
    load.wait_more(100);

    // A reload, and one that fails.
    site.systemd.order(&["reload", SERVICE]);
    site.wait_logged(&format!("Worker exiting (pid: {worker})"), 1);
    site.wait_for("ActiveState", "active");
    site.write("def (\n");
    // With notify-reload it says so.
    let (said, done) = site.systemd.systemctl(&["reload", SERVICE]);
    println!("a reload that fails: {done}, {said}");
    site.wait_logged("The reload failed: ", 1);
    until(BOUND, "the state", || {
        site.show("StatusText")
            .ends_with("; the last reload failed, see the error log")
            .then_some(())
    });
    site.wait_for("ActiveState", "active");
    site.write(APP);
    site.systemd.order(&["reload", SERVICE]);
    until(BOUND, "the state", || site.show("StatusText").starts_with(&workers).then_some(()));
    assert_eq!(site.show("MainPID"), master);
    load.wait_more(100);

    // Another master takes over, and systemd follows it.
    let before = site.logged("note: loaded in ");
    site.systemd.order(&["kill", "--kill-who=main", "--signal=USR2", SERVICE]);
    site.wait_logged("Listening at: ", 2);
    site.wait_logged("note: loaded in ", before + 1);
    load.wait_more(100);
    site.systemd.order(&["kill", "--kill-who=main", "--signal=TERM", SERVICE]);
    site.wait_logged("Master has been promoted.", 1);
    until(BOUND, "another main process", || (site.show("MainPID") != master).then_some(()));
    assert_eq!((site.show("ActiveState"), site.show("NRestarts")), ("active".into(), "0".into()));
    site.systemd.order(&["reload", SERVICE]);
    site.wait_logged("Hang up: Master\n", 4);
    load.wait_more(100);

    // A restart makes clients wait.
    let master = site.show("MainPID");
    site.systemd.order(&["restart", SERVICE]);
    assert_ne!(site.show("MainPID"), master);
    load.wait_more(100);
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert_eq!(tally.refused, 0);

    // A master that hangs misses the watchdog.
    let master = site.show("MainPID");
    site.systemd.order(&["kill", "--kill-who=main", "--signal=STOP", SERVICE]);
    site.wait_for("NRestarts", "1");
    site.wait_for("ActiveState", "active");
    assert_ne!(site.show("MainPID"), master);
    assert!(!site.get("/pid").is_empty());

    site.systemd.order(&["stop", SERVICE]);
    let end = ["ActiveState", "Result", "ExecMainStatus"].map(|name| site.show(name));
    assert_eq!(end, ["inactive", "success", "0"]);
}
