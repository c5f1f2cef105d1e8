//! Building the wheel and installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

use crate::harness::venv;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A virtual environment that has rgunicorn and nothing else; made once. It is built as pip builds it,
/// but quickly: with the profile for development, and with dependencies that stay built.
pub fn environment() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target has a parent");
        let lock = fs::File::create(target.join("wheel.lock")).expect("the target is writable");
        let _held = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .expect("the lock file of the wheel can be locked");
        let environment = target.join(concat!("wheel-venv-", env!("RGUNICORN_PYTHON_VERSION")));
        if !environment.join("bin/python").exists() {
            run(Command::new(venv::python()).args(["-m", "venv"]).arg(&environment));
        }
        install(&environment, "");
        environment
    })
}

/// Builds the wheel of a directory of this project and installs it in an environment, in the place of
/// what is there of it.
pub fn install(environment: &Path, directory: &str) {
    let wheels = tempfile::tempdir().expect("a temporary directory can be made");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target has a parent");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = vec![venv::program("")];
    places.extend(std::env::split_paths(&path));
    // What builds it is in the environment of the tests.
    run(Command::new(venv::program("python"))
        .args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w"])
        .args([wheels.path(), &Path::new(ROOT).join(directory)])
        .env("PATH", std::env::join_paths(places).expect("paths without colons"))
        .env("MATURIN_PEP517_ARGS", "--profile dev")
        .env("CARGO_TARGET_DIR", target.join("wheel")));
    let mut built = fs::read_dir(wheels.path()).expect("pip has written there");
    let built = built.next().expect("a wheel").expect("the directory is readable").path();
    run(Command::new(environment.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"])
        .arg(built));
}

#[track_caller]
fn run(command: &mut Command) {
    for name in ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYO3_PYTHON"] {
        command.env_remove(name);
    }
    let output = command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} said:\n{text}");
}
