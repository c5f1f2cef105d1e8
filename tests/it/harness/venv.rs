//! The virtual environment of the tests: made once under `target/`, from the Python the binary
//! was built for, with the packages of `tests/requirements.txt`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");

/// The directory of the environment, made or renewed on first use.
///
/// The lock file makes parallel test processes wait for the one that builds it; the stamp, written
/// last, holds what it was built from, so that a change of the requirements renews it.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target has a parent");
        let name = concat!("test-venv-", env!("RGUNICORN_PYTHON_VERSION"));
        let venv = target.join(name);
        let lock = fs::File::create(target.join(format!("{name}.lock")))
            .expect("the target directory is writable");
        let _held = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .expect("the lock file of the test environment can be locked");
        let wanted = format!("{}\n{}", python(), read(REQUIREMENTS));
        let stamp = venv.join("stamp");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return venv;
        }
        build(&venv);
        fs::write(stamp, wanted).expect("the test environment is writable");
        venv
    })
}

/// A program of the environment.
pub fn program(name: &str) -> PathBuf {
    path().join("bin").join(name)
}

/// The interpreter the binary was built for.
pub fn python() -> &'static str {
    match env!("RGUNICORN_PYTHON") {
        "" => "python3",
        path => path,
    }
}

fn build(venv: &Path) {
    if venv.exists() {
        fs::remove_dir_all(venv).expect("the old test environment can be removed");
    }
    run(Command::new(python()).args(["-m", "venv"]).arg(venv));
    run(Command::new(venv.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--requirement", REQUIREMENTS]));
}

fn run(command: &mut Command) {
    // The environment of the caller must not leak into the one under construction.
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env_remove("VIRTUAL_ENV");
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "the test environment needs Python {} with venv and access to PyPI; {command:?} said:\n{}",
        env!("RGUNICORN_PYTHON_VERSION"),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}
