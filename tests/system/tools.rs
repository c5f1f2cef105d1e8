//! Programs from PyPI that start sites or check files: `tests/system/requirements.txt`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::venv;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/requirements.txt");

/// A program of their environment, which is made on first use.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    static VENV: OnceLock<PathBuf> = OnceLock::new();
    let venv = VENV.get_or_init(|| {
        let dir = crate::root::place().join("tools");
        if !dir.join("installed").exists() {
            run(Command::new(venv::python()).args(["-m", "venv", "--clear"]).arg(&dir));
            run(Command::new(dir.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(["--no-deps", "--requirement", REQUIREMENTS]));
            std::fs::write(dir.join("installed"), "").expect("the environment is writable");
        }
        dir
    });
    venv.join("bin").join(name)
}

/// What a command that must succeed prints.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} has failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
