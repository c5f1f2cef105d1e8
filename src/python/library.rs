//! The shared library of Python, where the program has to look for it by itself, and the installation it is of.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::python::ffi;
use crate::python::interpreter::BUILT_FOR;
use crate::sys::libpython;

/// The file that the program was linked with, and the directory it was in.
const FILE: &str = env!("RGUNICORN_LIBPYTHON");
const DIRECTORY: &str = env!("RGUNICORN_LIBDIR");

/// Opens libpython, before anything of it is used.
///
/// # Errors
/// Where it was looked for, and what to do.
pub fn open() -> Result<(), Error> {
    libpython::bind(FILE).and_then(|()| check_version()).map_err(|reason| {
        let path = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        Error::config(explanation(&reason, &path))
    })
}

/// A link of this name to the library of another version is soon made.
#[inline(never)]
fn check_version() -> Result<(), String> {
    let version = ffi::version().to_string_lossy();
    let version = version.split(' ').next().unwrap_or_default();
    if version.strip_prefix(BUILT_FOR).is_some_and(|rest| !rest.starts_with(char::is_numeric)) {
        return Ok(());
    }
    let file = libpython::file_of(ffi::a_function()).unwrap_or_else(|| FILE.into());
    Err(format!("{} is of Python {version}", file.display()))
}

fn explanation(reason: &str, path: &str) -> String {
    let path = if path.is_empty() { String::new() } else { format!(" ({path})") };
    format!(
        "this rgunicorn needs the shared library of Python {BUILT_FOR}, {FILE}, which cannot be used: \
         {reason}.\n\
         It was looked for in LD_LIBRARY_PATH{path}, in {DIRECTORY}, where it was when rgunicorn was \
         built, and where the system keeps libraries (ldconfig -p). One of these helps:\n\
         - install it (Debian and Ubuntu: apt install libpython{BUILT_FOR});\n\
         - name the directory it is in: LD_LIBRARY_PATH=DIRECTORY rgunicorn ...;\n\
         - build rgunicorn for the Python that is here: PYO3_PYTHON=python3 cargo install --locked --path .;\n\
         - install the wheel, which needs no such library: pip install ."
    )
}

/// A Python with a standard library: a build of Python where it is installed.
pub struct Installation {
    prefix: PathBuf,
    /// A file of the standard library, by the path without links.
    landmark: PathBuf,
}

/// The one of libpython. `None` if there is no standard library around it, and Python has to know where that is.
pub fn installation() -> Option<Installation> {
    let file = libpython::file_of(ffi::a_function())?;
    let found = |file: &Path| file.ancestors().skip(1).take(3).find_map(Installation::at);
    // Debian's is two directories below the prefix.
    file.canonicalize().ok().and_then(|file| found(&file)).or_else(|| found(&file))
}

impl Installation {
    fn at(prefix: &Path) -> Option<Self> {
        let name = standard_library(FILE);
        let landmark = ["lib", "lib64"]
            .iter()
            .find_map(|lib| prefix.join(lib).join(name).join("os.py").canonicalize().ok())?;
        Some(Self { prefix: prefix.to_owned(), landmark })
    }

    /// The directory that `bin` and `lib` are in.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Its `python`.
    pub fn python(&self) -> PathBuf {
        self.prefix.join(format!("bin/python{BUILT_FOR}"))
    }

    /// Whether a `python` would find this standard library.
    pub fn has(&self, python: &Path) -> bool {
        let real = python.canonicalize().ok();
        [Some(python), real.as_deref()]
            .into_iter()
            .filter_map(|python| Self::at(python?.parent()?.parent()?))
            .any(|other| other.landmark == self.landmark)
    }
}

/// The directory of the standard library, by the name of the library: `python3.13`, `python3.13t` if it is
/// free-threaded. That of a debug build has the usual name.
fn standard_library(library: &str) -> &str {
    let name = library.strip_prefix("lib").unwrap_or(library);
    name.split(".so").next().unwrap_or(name).trim_end_matches('d')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_and_the_places_are_named() {
        assert!(FILE.starts_with("libpython3."), "{FILE}");
        let text = explanation("no such file", "/a:/b");
        for part in [FILE, ": no such file.", "LD_LIBRARY_PATH (/a:/b),", DIRECTORY, "apt install"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(explanation("x", "").contains("LD_LIBRARY_PATH, in "));
    }

    #[test]
    fn the_standard_library_is_named_after_the_library() {
        assert_eq!(standard_library("libpython3.11.so.1.0"), "python3.11");
        assert_eq!(standard_library("libpython3.11d.so.1.0"), "python3.11");
        assert_eq!(standard_library("libpython3.13td.so.1.0"), "python3.13t");
    }

    #[test]
    fn an_installation_knows_its_own_python() {
        let own = installation().unwrap();
        assert!(own.has(Path::new(env!("RGUNICORN_PYTHON"))), "{}", own.prefix().display());
        assert!(!own.has(Path::new("/nonexistent/bin/python")));
        assert!(!own.has(Path::new("/proc/self/exe")));
    }
}
