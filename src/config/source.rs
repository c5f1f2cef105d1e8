//! Which file settings come from.

use std::path::Path;

use super::cli::Flags;
use super::toml;
use crate::error::Error;

/// The conf file that is taken when none is named.
const PYTHON: &str = "gunicorn.conf.py";
/// The same in TOML.
const TOML: &str = "rgunicorn.toml";

/// The one file of settings.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    None,
    /// A conf file to execute: a path, `file:PATH` or `python:MODULE`.
    Python(String),
    /// A file in TOML.
    Toml(String),
}

impl Source {
    /// `-c` of the command line, else of `GUNICORN_CMD_ARGS`, else what there is in the start
    /// directory.
    ///
    /// # Errors
    /// There are several files, or one that cannot be read.
    pub fn find(flags: &Flags, more: &Flags, start: &Path) -> Result<Self, Error> {
        if let Some(location) = flags.text("config").or_else(|| more.text("config")) {
            let path = location.strip_prefix("file:").unwrap_or(location);
            let toml = !path.starts_with("python:")
                && Path::new(path).extension().is_some_and(|extension| extension == "toml");
            return Ok(if toml { Self::Toml(path.into()) } else { Self::Python(location.into()) });
        }
        let project = start.join(toml::PROJECT);
        let found = [
            (PYTHON, start.join(PYTHON).exists()),
            (TOML, start.join(TOML).exists()),
            (toml::PROJECT, toml::project_has_table(&project)?),
        ];
        let found: Vec<&str> =
            found.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        let path = |name| start.join(name).to_string_lossy().into_owned();
        match found[..] {
            [] => Ok(Self::None),
            [PYTHON] => Ok(Self::Python(path(PYTHON))),
            [name] => Ok(Self::Toml(path(name))),
            [one, other, ..] => Err(Error::config(format!(
                "there are settings in {one} and in {other}; remove one of them, or name the one to \
                 use with -c"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_that_of_the_start_directory() {
        let start = tempfile::tempdir().unwrap();
        let path = |name: &str| start.path().join(name).to_str().unwrap().to_owned();
        let find = || Source::find(&Flags::default(), &Flags::default(), start.path());
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        assert_eq!(find().unwrap(), Source::None);
        write("pyproject.toml", "[tool.other]");
        assert_eq!(find().unwrap(), Source::None);
        write("gunicorn.conf.py", "");
        assert_eq!(find().unwrap(), Source::Python(path("gunicorn.conf.py")));
        write("pyproject.toml", "[tool.rgunicorn]");
        assert_eq!(
            find().unwrap_err().to_string(),
            "there are settings in gunicorn.conf.py and in pyproject.toml; remove one of them, or \
             name the one to use with -c"
        );
        std::fs::remove_file(path("gunicorn.conf.py")).unwrap();
        assert_eq!(find().unwrap(), Source::Toml(path("pyproject.toml")));
        write("rgunicorn.toml", "");
        assert!(find().unwrap_err().to_string().contains(" rgunicorn.toml and in pyproject.toml;"));
        for (location, source) in [
            ("x.toml", Source::Toml("x.toml".into())),
            ("file:x.toml", Source::Toml("x.toml".into())),
            ("python:x.toml", Source::Python("python:x.toml".into())),
            ("file:x.py", Source::Python("file:x.py".into())),
        ] {
            let values = vec![("config", location.into())];
            let flags = Flags { values, ..Flags::default() };
            assert_eq!(Source::find(&flags, &Flags::default(), start.path()).unwrap(), source);
        }
    }
}
