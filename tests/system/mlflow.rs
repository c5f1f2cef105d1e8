//! `mlflow server`, which starts the command `gunicorn`, by rgunicorn-as-gunicorn.

use std::env;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Client, process, until, venv};
use crate::install::install;
use crate::program::{Program, free_address};
use crate::tools::run;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/mlflow.txt");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/mlflow_client.py");
const SHIM: &str = "src/wheel/gunicorn-shim";

/// mlflow imports for seconds, in each of its processes.
const BOUND: Duration = Duration::from_secs(120);

/// An environment with mlflow, with gunicorn, which mlflow requires, and with rgunicorn in gunicorn's name.
struct Site {
    venv: PathBuf,
    dir: tempfile::TempDir,
}

impl Site {
    #[track_caller]
    fn new() -> Self {
        let dir = tempfile::tempdir_in(crate::root::place()).expect("the directory is writable");
        let site = Self { venv: dir.path().join("venv"), dir };
        run(Command::new(venv::python()).args(["-m", "venv"]).arg(&site.venv));
        site.pip(&["install", "--no-deps", "--requirement", REQUIREMENTS]);
        install(&site.venv, "");
        install(&site.venv, SHIM);
        site
    }

    fn command(&self, program: &str) -> Command {
        let bin = self.venv.join("bin");
        let mut path = vec![bin.clone()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new(bin.join(program));
        command.env("PATH", env::join_paths(path).expect("paths without colons"));
        command.env_remove("PYTHONPATH").env_remove("RGUNICORN_AS_GUNICORN");
        command.current_dir(self.dir.path());
        command
    }

    #[track_caller]
    fn pip(&self, arguments: &[&str]) {
        let mut pip = self.command("python");
        run(pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(arguments));
    }

    #[track_caller]
    fn serve(&self, addr: SocketAddr, told: &str, options: &[&str]) -> Program {
        let port = addr.port().to_string();
        let mut server = self.command("mlflow");
        server.args(["server", "--port", &port]).args(options).env("RGUNICORN_AS_GUNICORN", told);
        let server = Program::start_within(BOUND, &mut server, addr);
        until(BOUND, "an answer", || {
            let mut client = Client::try_connect(addr).ok()?;
            client.try_send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
            client.try_response("GET").ok()
        });
        server
    }
}

/// The master that it has started, which has so many workers.
#[track_caller]
fn master(server: &Program, workers: usize) -> i32 {
    // It listens before it has a title, which it sets without the package setproctitle.
    let master = until(BOUND, "the title of the master", || {
        let mut members = process::members(server.pid()).into_iter();
        members.find(|pid| process::title(*pid) == "gunicorn: master [mlflow.server:app]")
    });
    until(BOUND, "its workers", || (process::children(master).len() == workers).then_some(()));
    master
}

/// A page of the server, which says that it is rgunicorn's.
#[track_caller]
fn page(addr: SocketAddr, path: &str) -> String {
    let page = Client::connect(addr).get(path);
    assert_eq!((page.status, page.header("Server")), (200, Some("rgunicorn")), "{path}");
    page.text()
}

#[track_caller]
fn assert_stopped(server: &mut Program, addr: SocketAddr, signal: Signal) {
    server.stop_all(signal);
    server.log.wait_for("Shutting down: Master");
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
#[ignore = "run by tests/system/run"]
fn mlflow_serves_by_rgunicorn() {
    let site = Site::new();
    let addr = free_address();

    let options = ["--workers", "2", "--gunicorn-opts", "--timeout 60 --log-level debug"];
    let mut server = site.serve(addr, "1", &options);
    server.log.wait_for("Starting rgunicorn ");
    server.log.wait_for("  timeout: 60");
    let master = master(&server, 2);
    let program = std::fs::read_link(format!("/proc/{master}/exe")).expect("it runs");
    let python = Path::new(&site.venv).join("bin/python").canonicalize();
    assert_eq!(program, python.expect("the environment has one"));
    let mut client = site.command("python");
    run(client.arg(CLIENT).env("MLFLOW_TRACKING_URI", format!("http://{addr}")));
    server.log.wait_for("PUT /api/2.0/mlflow-artifacts/artifacts/");
    assert_eq!(page(addr, "/health"), "OK");
    assert!(page(addr, "/").contains("<title>MLflow</title>"));
    assert_stopped(&mut server, addr, Signal::SIGTERM);

    // Without gunicorn nobody needs to ask for rgunicorn.
    site.pip(&["uninstall", "--yes", "gunicorn"]);
    install(&site.venv, SHIM);
    let mut server = site.serve(addr, "", &["--workers", "1"]);
    self::master(&server, 1);
    assert_eq!(page(addr, "/health"), "OK");
    assert_stopped(&mut server, addr, Signal::SIGINT);
}
