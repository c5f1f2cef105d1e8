//! Settings: the table, the layers they come from, and the references derived from it.

mod callables;
mod choice;
pub mod cli;
mod kinds;
pub mod layers;
mod network;
pub mod number;
pub mod object;
pub mod origin;
pub mod reference;
pub mod setting;
pub mod settings;
mod shell;
mod size;
mod source;
mod suggest;
mod time;
mod toml;
pub mod value;
mod words;

use std::path::{Path, PathBuf};

pub use layers::{ConfFile, Definitions, Early, Loaded, early};
pub use object::Object;
pub use origin::Origin;
pub use reference::help::likes_colours;
pub use settings::{
    Config, ErrorLogFormat, HeaderMap, MOST_THREADS, ProxyMode, ReloadEngine, StatsdAddress,
};

use crate::error::{Error, reason};
use setting::Scope;

/// How the program looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// The application to load: that of the command line, else `wsgi_app`. [`Config::load`] makes
    /// sure that there is one.
    pub fn application(&self) -> Option<&str> {
        self.app.as_deref().or(self.wsgi_app.as_deref())
    }

    /// The name for process titles.
    pub fn title(&self) -> &str {
        match self.proc_name.as_deref() {
            None | Some("") => &self.default_proc_name,
            Some(name) => name,
        }
    }

    /// Whether files go out with sendfile(2). Where the configuration does not say it, a variable may.
    pub fn uses_sendfile(&self, env: Env<'_>) -> bool {
        let variable = || {
            let text = env("SENDFILE")?.to_lowercase();
            Some(["y", "1", "yes", "true"].contains(&text.as_str()))
        };
        self.sendfile.or_else(variable).unwrap_or(true)
    }

    /// Whether all connections that a worker of several threads may have are those of its threads.
    pub fn keeps_no_connection(&self) -> bool {
        self.is_threaded() && self.keepalive > 0 && self.worker_connections <= self.threads
    }

    /// The directory that somebody chose for request bodies that do not fit into memory.
    pub fn spill_directory(&self) -> Option<&str> {
        let chosen = [&self.tmp_upload_dir, &self.worker_tmp_dir].into_iter().flatten();
        chosen.map(String::as_str).find(|directory| !directory.is_empty())
    }

    /// The variables of `raw_env`, in order.
    ///
    /// # Errors
    /// An entry without `=`.
    pub fn env(&self) -> Result<Vec<(String, String)>, Error> {
        self.raw_env
            .iter()
            .map(|entry| {
                let invalid =
                    || Error::config(format!("environment setting '{entry}' invalid")).of_start();
                let (name, value) = entry.split_once('=').ok_or_else(invalid)?;
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// Where the value of a setting comes from.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// All settings, with their values as gunicorn prints them: gunicorn's own by name, then ours by
    /// name.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows: Vec<_> = settings::TABLE
            .iter()
            .map(|setting| (setting.name, (setting.get)(self).shown()))
            .collect();
        rows.sort_unstable_by_key(|(name, _)| (!settings::is_gunicorns(name), *name));
        rows
    }

    /// All settings, with their values as Python's `str()` writes them: gunicorn's own in the order that
    /// gunicorn has them in, then ours.
    pub fn dump(&self) -> Vec<(&'static str, String)> {
        let mut rows: Vec<_> = settings::TABLE.iter().collect();
        rows.sort_by_key(|setting| settings::rank(setting.name));
        rows.iter().map(|setting| (setting.name, (setting.get)(self).text())).collect()
    }
}

impl Default for Config {
    /// The defaults, seen from the root directory.
    fn default() -> Self {
        let scope = Scope { start: Path::new("/"), conf_file: false };
        Self::defaults(&scope).expect("the table's defaults pass their own validators")
    }
}

/// Whether a module-level name of a conf file is a setting.
pub fn is_setting(name: &str) -> bool {
    settings::find(name).is_some()
}

/// The directory the program was started in: `PWD` if that names the working directory (it keeps
/// symbolic links, as a shell shows them), else what the system says.
///
/// # Errors
/// When the working directory no longer exists.
pub fn start_directory(env: Env<'_>) -> Result<PathBuf, Error> {
    let actual = std::env::current_dir().map_err(|error| {
        Error::config(format!("the current directory cannot be determined: {}", reason(&error)))
    })?;
    let named = env("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(named.filter(|path| is_same_file(path, &actual)).unwrap_or(actual))
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::object::testing::{function, thing};
    use super::settings::TABLE;
    use super::value::Value;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_complete_and_unique() {
        let mut names = HashSet::new();
        let mut flags = HashSet::new();
        for setting in TABLE {
            assert!(names.insert(setting.name), "{} twice", setting.name);
            let first = setting.doc.first().copied().unwrap_or_default().trim();
            assert!(first.ends_with('.') && first.len() > 20, "{}: {first:?}", setting.name);
            assert!(first.len() <= 95, "{}: first line too long for --help", setting.name);
            let on_command_line = setting.shape != setting::Shape::None;
            let switch = matches!(setting.shape, setting::Shape::Switch(_));
            assert!(!switch || setting.metavar.is_empty(), "{}", setting.name);
            assert!(on_command_line || setting.flags.is_empty(), "{}", setting.name);
            let valued = !switch && !setting.flags.is_empty();
            assert_eq!(valued, !setting.metavar.is_empty(), "{}", setting.name);
            for flag in setting.flags {
                assert!(flags.insert(*flag), "{flag} twice");
            }
        }
        for name in settings::gunicorn::NAMES {
            assert!(names.contains(name), "{name} is missing");
        }
    }

    #[test]
    fn any_value_of_any_setting_is_survived_and_shown_as_it_can_be_given() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let scope = Scope { start: path, conf_file: true };
        let texts =
            ["", " ", "0", "-1", "0x", "[", "\u{e9}\0", "a,b", ",", "/", "unix:", "true", "*"];
        let mut values: Vec<Value> = texts.map(Value::from).into();
        values.extend([
            Value::None,
            true.into(),
            i64::MIN.into(),
            i64::MAX.into(),
            Value::Float(f64::NAN),
        ]);
        values.extend([Value::BigInt("9".repeat(30)), Value::Tuple(vec![Value::None])]);
        values.extend([texts.into(), Value::Dict(vec![(1.into(), "x".into())])]);
        values.extend([function("f", 2).into(), thing("Thing", "a thing").into()]);
        for setting in TABLE {
            for value in &values {
                let mut config = Config::default();
                if (setting.set)(&mut config, value, &scope).is_err() {
                    continue;
                }
                let held = (setting.get)(&config);
                let mut again = Config::default();
                // Lists that are given as text cannot be given as lists.
                if (setting.set)(&mut again, &held, &scope).is_ok() {
                    let name = setting.name;
                    assert_eq!((setting.get)(&again).shown(), held.shown(), "{name} = {value:?}");
                }
            }
        }
    }

    #[test]
    fn title_is_proc_name_or_its_default() {
        let mut config = Config { default_proc_name: "app:app".into(), ..Config::default() };
        assert_eq!(config.title(), "app:app");
        config.proc_name = Some(String::new());
        assert_eq!(config.title(), "app:app");
        config.proc_name = Some("shop".into());
        assert_eq!(config.title(), "shop");
    }

    #[test]
    fn sendfile_is_on_unless_turned_off() {
        for (given, variable, on) in [
            (None, None, true),
            (None, Some("YES"), true),
            (None, Some("no"), false),
            (Some(true), Some("no"), true),
            (Some(false), Some("1"), false),
        ] {
            let config = Config { sendfile: given, ..Config::default() };
            assert_eq!(config.uses_sendfile(&|_| variable.map(String::from)), on);
        }
    }

    #[test]
    fn env_splits_at_the_first_equals_sign() {
        let raw_env = vec!["A=1".to_owned(), "B=x=y".into(), "C=".into()];
        let config = Config { raw_env, ..Config::default() };
        let pairs = [("A", "1"), ("B", "x=y"), ("C", "")];
        assert_eq!(
            config.env().unwrap(),
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let config = Config { raw_env: vec!["FOO".into()], ..Config::default() };
        let error = config.env().unwrap_err();
        assert_eq!(error.report(), "\nError: environment setting 'FOO' invalid\n\n");
        assert_eq!(error.status(), 1);
    }

    #[test]
    fn start_directory_keeps_pwd_only_if_it_is_the_same_directory() {
        let actual = std::env::current_dir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&actual, &link).unwrap();
        let named = link.to_string_lossy().into_owned();
        assert_eq!(start_directory(&|_| Some(named.clone())).unwrap(), link);
        for other in ["/", "/nowhere", "", "."] {
            assert_eq!(start_directory(&|_| Some(other.into())).unwrap(), actual);
        }
        assert_eq!(start_directory(&|_| None).unwrap(), actual);
    }
}
