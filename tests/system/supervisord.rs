//! `examples/supervisord`: a site under supervisord.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::example::{EXAMPLES, Example};
use crate::harness::{BOUND, Client, process, until, venv};
use crate::program::{Program, free_address};
use crate::tools;

/// What supervisord needs beside a program: a socket for its command.
fn main_configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
         pidfile={dir}/supervisord.pid\n\
         [unix_http_server]\nfile={dir}/control.sock\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{dir}/control.sock\n\
         [include]\nfiles={dir}/site.conf\n"
    )
}

#[test]
#[ignore = "run by tests/system/run"]
fn a_site_is_started_reloaded_restarted_and_stopped() {
    let addr = free_address();
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let log = dir.path().join("site.log");
    Example::read("supervisord/site.conf")
        .with("/srv/site/venv/bin/rgunicorn", env!("CARGO_BIN_EXE_rgunicorn"))
        .with("127.0.0.1:8000", &addr.to_string())
        .with("directory=/srv/site", &format!("directory={EXAMPLES}/flask"))
        .with("user=www-data", "user=root")
        .with("/var/log/supervisor/site.log", log.to_str().expect("UTF-8"))
        .write_to(dir.path());
    let main = dir.path().join("supervisord.conf");
    fs::write(&main, main_configuration(dir.path())).expect("the directory is writable");
    let _supervisord = Program::start(
        Command::new(tools::program("supervisord"))
            .arg("-c")
            .arg(&main)
            .env("VIRTUAL_ENV", venv::path()),
        addr,
    );
    let control = |arguments: &[&str]| {
        let mut command = Command::new(tools::program("supervisorctl"));
        let output = command.arg("-c").arg(&main).args(arguments).output();
        let output = output.expect("it is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let master = || {
        let pid: i32 = control(&["pid", "site"]).trim().parse().ok()?;
        (pid > 0 && !process::children(pid).is_empty()).then_some(pid)
    };
    let served = || {
        let page = Client::try_connect(addr).ok()?.get("/");
        (page.status == 200).then_some(())
    };

    let first = until(BOUND, "workers", master);
    until(BOUND, "a page", served);
    let workers = process::children(first);
    assert!(control(&["signal", "HUP", "site"]).contains("signalled"));
    until(BOUND, "new workers", || {
        let now = process::children(first);
        (!now.is_empty() && now.iter().all(|pid| !workers.contains(pid))).then_some(())
    });
    assert_eq!(master(), Some(first), "it is the same master");
    served().expect("it serves after the reload");

    process::signal(first, Signal::SIGKILL);
    let second = until(BOUND, "another master", || master().filter(|pid| *pid != first));
    until(BOUND, "a page", served);

    assert!(control(&["stop", "site"]).contains("stopped"));
    assert!(control(&["status", "site"]).contains("STOPPED"), "{}", control(&["status", "site"]));
    assert!(!process::is_alive(second));
    let said = fs::read_to_string(&log).expect("it has logged");
    assert!(said.contains("Shutting down: Master"), "{said}");
}
