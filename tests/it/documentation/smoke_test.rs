//! The recipe of `docs/smoke-test.md`, with both servers.

use std::path::Path;
use std::process::{Command, Output};

use super::ROOT;
use crate::harness::cases::on_both_servers;
use crate::harness::{ServerKind, venv};

on_both_servers!(recipe);

fn run(kind: ServerKind, arguments: &[&str]) -> Output {
    let programs =
        Path::new(env!("CARGO_BIN_EXE_rgunicorn")).parent().expect("it is in a directory");
    let old = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{old}", programs.display(), venv::path().join("bin").display());
    let root = Path::new(ROOT);
    Command::new(root.join("examples/smoke-test/smoke-test"))
        .args(arguments)
        .current_dir(root.join("examples/flask"))
        .env("PATH", path)
        .env("VIRTUAL_ENV", venv::path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SERVER", kind.name())
        .env_remove("GUNICORN_CMD_ARGS")
        .output()
        .expect("the recipe can be started")
}

fn recipe(kind: ServerKind) {
    let options = ["--no-control-socket", "--workers", "2"];
    let output = run(kind, &[&["app:app", "/"], &options[..]].concat());
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with("answers after a reload\nstopped: all is well\n"), "{said}");

    for (app, path, reason) in [
        ("app:nothing", "/", "Failed to find attribute 'nothing' in 'app'."),
        ("app:app", "/crash", "RuntimeError: deliberate"),
    ] {
        let output = run(kind, &[&[app, path], &options[..1]].concat());
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{app} {path}: {complaints}");
        assert!(complaints.contains("smoke test failed: "), "{complaints}");
        assert!(complaints.contains(reason), "{complaints}");
    }
}
