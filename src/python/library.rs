//! The shared library of Python, where the program has to look for it by itself.

use crate::error::Error;
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
    libpython::bind(FILE).map_err(|reason| {
        let path = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        Error::config(explanation(&reason, &path))
    })
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
}
