//! Finding the Python environment to run in.

use std::path::{Path, PathBuf};

use super::interpreter::BUILT_FOR;
use super::library::{self, Installation};
use crate::error::{Error, reason};

/// The interpreter that this program was built with.
const BUILT_WITH: &str = env!("RGUNICORN_PYTHON");

/// Whether a Python takes the packages of an environment that was made with another one.
const CAN_BE_APART: bool = !cfg!(Py_3_14);

/// What the interpreter is to be.
pub struct Choice {
    /// The `python` that it stands for.
    pub program: PathBuf,
    /// Where its standard library is, if it would not find that by `program`.
    pub home: Option<PathBuf>,
}

/// Chooses the environment that is named, else the active one, else the one the program is in, else none.
///
/// An environment is for all builds of its Python version, but a standard library is for one: the build decides
/// which modules are in libpython. So it is that of libpython, whatever Python the environment was made with.
///
/// # Errors
/// The environment is missing, broken, of another Python version, or has packages of another build's.
pub fn choose(venv: Option<&Path>) -> Result<Choice, Error> {
    let own = library::installation();
    let environment = environment(venv);
    let program = match &environment {
        Some(environment) => environment.python()?,
        None => base_python(own.as_ref()),
    };
    let is_told = std::env::var_os("PYTHONHOME").is_some_and(|home| !home.is_empty());
    let Some(own) = own.filter(|_| !is_told) else { return Ok(Choice { program, home: None }) };
    let finds_it = match &environment {
        Some(environment) => environment.is_of(&own),
        None => own.has(&program),
    };
    if let Some(environment) = environment.filter(|_| !finds_it) {
        environment.check_apart(&own)?;
    }
    Ok(Choice { program, home: (!finds_it).then(|| own.prefix().to_owned()) })
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

    /// The programs of the Python that it was made with.
    fn base_pythons(&self) -> impl Iterator<Item = PathBuf> {
        let home = said(&self.path, &["home"]).map(|home| Path::new(&home).join("python3"));
        home.into_iter().chain(self.path.join("bin/python").canonicalize().ok())
    }

    /// Whether it was made with this Python.
    fn is_of(&self, own: &Installation) -> bool {
        self.base_pythons().any(|python| own.has(&python))
    }

    /// Sees to it that it needs nothing of the Python that it was made with.
    fn check_apart(&self, own: &Installation) -> Result<(), Error> {
        let is_apart = said(&self.path, &["include-system-site-packages"])
            .is_some_and(|value| value.to_lowercase() != "true");
        if is_apart && CAN_BE_APART {
            return Ok(());
        }
        let Self { path, chosen_by } = self;
        let base = self.base_pythons().next().unwrap_or_else(|| path.join("bin/python"));
        let base = base.parent().unwrap_or(path);
        Err(Error::config(format!(
            "the environment {shown} (from {chosen_by}) uses packages of the Python in {base}, but this \
             rgunicorn runs in another one, the Python {BUILT_FOR} in {prefix}. Make an environment with \
             `{python} -m venv`, or build rgunicorn with PYO3_PYTHON={shown}/bin/python.",
            shown = path.display(),
            base = base.display(),
            prefix = own.prefix().display(),
            python = own.python().display(),
        )))
    }
}

/// What an environment says of itself (`pyvenv.cfg`), by the first of these keys.
fn said(venv: &Path, keys: &[&str]) -> Option<String> {
    let text = std::fs::read_to_string(venv.join("pyvenv.cfg")).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        keys.contains(&key.trim().to_lowercase().as_str()).then(|| value.trim().to_owned())
    })
}

/// The `major.minor` that an environment says it is for.
fn version_of(venv: &Path) -> Option<String> {
    let version = said(venv, &["version", "version_info"])?;
    let mut parts = version.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

/// The Python to be without a virtual environment: the one built with, else the one that libpython is of, else
/// whatever Python finds by itself.
fn base_python(own: Option<&Installation>) -> PathBuf {
    let built_with = Path::new(BUILT_WITH);
    if built_with.exists() && own.is_none_or(|own| own.has(built_with)) {
        return built_with.to_owned();
    }
    if let Some(python) = own.map(Installation::python).filter(|python| python.is_file()) {
        return python;
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
