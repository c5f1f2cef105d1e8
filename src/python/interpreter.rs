//! Finding the Python environment to run in, and starting the interpreter in it, or taking over one that
//! runs already.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::{compat, ffi, support};
use crate::error::{Error, reason};

/// The `major.minor` of the Python that this program is built for.
pub const BUILT_FOR: &str = env!("RGUNICORN_PYTHON_VERSION");

/// The interpreter that this program was built with.
const BUILT_WITH: &str = env!("RGUNICORN_PYTHON");

/// Whether the interpreter has been prepared for a server.
static IS_SERVER: AtomicBool = AtomicBool::new(false);

/// Whether a server runs in this process, or is about to.
pub fn is_server() -> bool {
    IS_SERVER.load(Ordering::Relaxed)
}

/// Starts the interpreter as the `python` of the environment would start.
///
/// # Errors
/// The environment is missing, broken, or of another Python version.
pub fn initialize(venv: Option<&Path>, argv: &[OsString]) -> Result<(), Error> {
    let program = match environment(venv) {
        Some(environment) => environment.python()?,
        None => base_python(),
    };
    let c_string = |bytes: &[u8]| {
        CString::new(bytes).map_err(|_| Error::config("an argument contains a NUL byte"))
    };
    let program = c_string(program.as_os_str().as_bytes())?;
    let argv = argv.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    ffi::initialize(&program, &argv).map_err(|reason| {
        Error::config(format!(
            "cannot start Python {BUILT_FOR} as {}: {reason}",
            program.to_string_lossy()
        ))
    })?;
    Python::attach(install)
}

/// Prepares an interpreter that runs already for the server.
///
/// # Errors
/// It is not the main thread that calls, or another environment than `venv` is running.
pub fn adopt(py: Python<'_>, venv: Option<&Path>) -> Result<(), Error> {
    if is_server() {
        return Err(Error::config("a server runs in this process already."));
    }
    if let Some(venv) = venv {
        check_running(py, venv)?;
    }
    if !has_main_thread(py).unwrap_or(false) {
        return Err(Error::config(
            "the server has to be started in the main thread of the process, which gets the signals.",
        ));
    }
    install(py)
}

fn install(py: Python<'_>) -> Result<(), Error> {
    IS_SERVER.store(true, Ordering::Relaxed);
    // The package is there from the beginning: `"gunicorn" in sys.modules` is how many settings files
    // tell that they are served.
    compat::install(py)
        .and_then(|_| py.import("gunicorn").map(drop))
        .map_err(|error| Error::config(format!("cannot make gunicorn importable: {error}")))
}

fn has_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    Ok(threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?))
}

/// The server runs in the interpreter that has been started; another cannot be had.
fn check_running(py: Python<'_>, venv: &Path) -> Result<(), Error> {
    let prefix = || py.import("sys")?.getattr("prefix")?.extract::<PathBuf>();
    let prefix = prefix().map_err(|error| Error::config(format!("sys.prefix: {error}")))?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(&prefix) == real(venv) {
        return Ok(());
    }
    Err(Error::config(format!(
        "this rgunicorn is installed in {prefix} and runs in its Python {BUILT_FOR}; it cannot use --venv {venv}. \
         Install rgunicorn there and start {venv}/bin/rgunicorn, or omit --venv.",
        prefix = prefix.display(),
        venv = venv.display()
    )))
}

/// It is the server that forks, not code of the user.
static FORKING: AtomicBool = AtomicBool::new(false);

/// Whether a fork that is on its way is the server's own. For hooks around forks.
pub fn is_forking() -> bool {
    FORKING.load(Ordering::Relaxed)
}

/// Ends the interpreter; see [`ffi::finalize`] for what may follow: nothing but `_exit`.
pub fn finalize(py: Python<'_>) {
    ffi::finalize(py);
}

/// Runs `atexit` functions and flushes streams, where [`finalize`] is not possible because threads
/// are still in the interpreter.
pub fn wind_up(py: Python<'_>) {
    let wound_up = support::module(py).and_then(|module| module.call_method0("wind_up"));
    if let Err(error) = wound_up {
        tracing::debug!("Cannot wind up: {error}");
    }
}

/// Writes out what was printed. What is not out before a fork, each of the processes would print.
pub fn flush(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        // Either may be None, closed, or an object of somebody's own without such a method.
        let _ = py.import("sys").and_then(|sys| sys.getattr(name)?.call_method0("flush"));
    }
}

/// Makes ready for a fork: what was printed is written out, what lives now is not looked at again by
/// the garbage collector, whose marks would unshare the memory, and the interpreter's locks are taken.
pub fn before_fork(py: Python<'_>) {
    flush(py);
    if let Err(error) = py.import("gc").and_then(|gc| gc.call_method0("freeze")) {
        tracing::debug!("gc.freeze failed: {error}");
    }
    FORKING.store(true, Ordering::Relaxed);
    ffi::before_fork(py);
}

/// In the parent, after the fork.
pub fn after_fork_parent(py: Python<'_>) {
    ffi::after_fork_parent(py);
    FORKING.store(false, Ordering::Relaxed);
}

/// In the child, after the fork.
pub fn after_fork_child(py: Python<'_>) {
    ffi::after_fork_child(py);
    FORKING.store(false, Ordering::Relaxed);
}

/// A virtual environment (PEP 405) and how it was chosen.
struct Environment {
    path: PathBuf,
    chosen_by: &'static str,
}

fn environment(venv: Option<&Path>) -> Option<Environment> {
    if let Some(path) = venv {
        return Some(Environment { path: path.to_owned(), chosen_by: "--venv" });
    }
    if let Some(path) = std::env::var_os("VIRTUAL_ENV").filter(|path| !path.is_empty()) {
        return Some(Environment { path: path.into(), chosen_by: "VIRTUAL_ENV" });
    }
    let path = home(&own_path()?)?;
    Some(Environment { path, chosen_by: "the program's directory" })
}

/// The environment that a program belongs to because it, or a link to it, is in its bin directory.
fn home(program: &Path) -> Option<PathBuf> {
    let environment = |file: &Path| {
        let path = file.parent()?.parent()?;
        let is_one = path.join("pyvenv.cfg").is_file() && path.join("bin/python").exists();
        is_one.then(|| path.to_owned())
    };
    environment(program).or_else(|| environment(&program.canonicalize().ok()?))
}

/// Where the program was started from, links not followed if that can be told.
fn own_path() -> Option<PathBuf> {
    let invoked = PathBuf::from(std::env::args_os().next()?);
    if invoked.components().count() > 1 {
        return std::path::absolute(invoked).ok();
    }
    std::env::var_os("PATH")
        .and_then(|path| {
            std::env::split_paths(&path).map(|dir| dir.join(&invoked)).find(|file| file.is_file())
        })
        .or_else(|| std::env::current_exe().ok())
}

impl Environment {
    /// The path of its `python`, which is what `sys.executable` will be.
    fn python(&self) -> Result<PathBuf, Error> {
        let Self { path, chosen_by } = self;
        let shown = path.display();
        let path = std::path::absolute(path).map_err(|error| {
            let reason = reason(&error);
            Error::config(format!("virtual environment {shown} (from {chosen_by}): {reason}"))
        })?;
        let python = path.join("bin/python");
        if !python.exists() {
            return Err(Error::config(format!(
                "{shown} (from {chosen_by}) is not a virtual environment: it has no bin/python. \
                 Make one with `python{BUILT_FOR} -m venv {shown}`, or name another with --venv."
            )));
        }
        if let Some(version) = version_of(&path)
            && version != BUILT_FOR
        {
            return Err(Error::config(format!(
                "the virtual environment {shown} (from {chosen_by}) is for Python {version}, but \
                 this rgunicorn is built for Python {BUILT_FOR}. Make the environment with \
                 `python{BUILT_FOR} -m venv`, or build rgunicorn with \
                 PYO3_PYTHON={shown}/bin/python."
            )));
        }
        Ok(python)
    }
}

/// The `major.minor` that an environment says it is for.
fn version_of(venv: &Path) -> Option<String> {
    let text = std::fs::read_to_string(venv.join("pyvenv.cfg")).ok()?;
    let version = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "version" | "version_info").then(|| value.trim().to_owned())
    })?;
    let mut parts = version.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

/// The Python to be without a virtual environment: the one built with, else whatever Python finds
/// by itself.
fn base_python() -> PathBuf {
    let built_with = Path::new(BUILT_WITH);
    if built_with.exists() {
        return built_with.to_owned();
    }
    let name = format!("python{BUILT_FOR}");
    std::env::var_os("PATH")
        .and_then(|path| {
            std::env::split_paths(&path).map(|dir| dir.join(&name)).find(|file| file.is_file())
        })
        .unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venv(cfg: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::write(dir.path().join("bin/python"), "").unwrap();
        std::fs::write(dir.path().join("pyvenv.cfg"), cfg).unwrap();
        dir
    }

    fn python(path: &Path) -> Result<PathBuf, String> {
        let environment = Environment { path: path.to_owned(), chosen_by: "--venv" };
        environment.python().map_err(|error| error.to_string())
    }

    #[test]
    fn an_environment_of_this_version_is_taken() {
        for cfg in [
            format!("home = /usr/bin\nversion = {BUILT_FOR}.4\n"),
            format!("version_info = {BUILT_FOR}.4.final.0\n"),
            "home = /usr/bin\n".to_owned(),
        ] {
            let dir = venv(&cfg);
            assert_eq!(python(dir.path()).unwrap(), dir.path().join("bin/python"));
        }
    }

    #[test]
    fn an_environment_of_another_version_names_both_and_the_cure() {
        let dir = venv("version = 3.2.1\n");
        let error = python(dir.path()).unwrap_err();
        assert!(error.contains("for Python 3.2,"), "{error}");
        assert!(error.contains(&format!("built for Python {BUILT_FOR}")), "{error}");
        assert!(error.contains("PYO3_PYTHON="), "{error}");
    }

    #[test]
    fn a_program_belongs_to_the_environment_that_it_or_a_link_to_it_is_in() {
        let (inside, outside) = (venv(""), tempfile::tempdir().unwrap());
        let root = inside.path().canonicalize().unwrap();
        let link = |from: &Path, to: &Path| std::os::unix::fs::symlink(to, from).unwrap();
        let (copy, alone) = (root.join("bin/copy"), outside.path().join("alone"));
        std::fs::write(&copy, "").unwrap();
        std::fs::write(&alone, "").unwrap();
        link(&root.join("bin/link"), &alone);
        link(&outside.path().join("link"), &copy);
        assert_eq!(home(&copy).as_ref(), Some(&root));
        assert_eq!(home(&root.join("bin/link")).as_ref(), Some(&root));
        assert_eq!(home(&outside.path().join("link")).as_ref(), Some(&root));
        assert_eq!(home(&alone), None);
    }

    #[test]
    fn a_directory_without_python_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(python(dir.path()).unwrap_err().contains("not a virtual environment"));
    }
}
