//! The layers of the configuration: defaults < conf file < `GUNICORN_CMD_ARGS` < command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cli::{self, Flags, Parsed};
use super::setting::{Refers, Scope, Setting};
use super::settings::{self, Config, TABLE};
use super::value::Value;
use super::{Env, Origin, shell};
use crate::error::Error;

/// What the configuration needs of the world. Implemented where Python is known.
pub trait ConfFile {
    /// Executes `location` (PATH, `file:PATH` or `python:MODULE`) and returns the module-level names
    /// that are settings ([`super::is_setting`]), in the order of their definition.
    ///
    /// # Errors
    /// The file is missing or failed; the error is what gunicorn says then.
    fn load(&mut self, location: &str) -> Result<Vec<(String, Value)>, Error>;

    /// Makes the object of a value that stands for one: the function of a dotted path, the class
    /// that a function returns. Other values come back as they are.
    ///
    /// # Errors
    /// gunicorn's message when there is no such object.
    fn resolve(&mut self, refers: Refers, value: Value) -> Result<Value, String>;

    /// Tells the user something that is no error, in a line on standard error.
    fn tell(&mut self, line: &str);
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Loaded {
    /// To run (or check, or print) this configuration.
    Run(Box<Config>),
    /// To print this text on standard output and exit with status 0.
    Exit(String),
}

/// What must be known before a conf file can be executed.
#[derive(Debug)]
pub struct Early {
    /// The virtual environment of `--venv`, as given.
    pub venv: Option<PathBuf>,
    /// Text to print on standard output, after which the program exits with status 0.
    pub exit: Option<String>,
}

/// Parses the flags of the command line (without the program's name) and of `GUNICORN_CMD_ARGS`,
/// and nothing else: no conf file is executed.
///
/// # Errors
/// A command line that cannot be parsed.
pub fn early(args: &[OsString], env: Env<'_>) -> Result<Early, Error> {
    let (flags, more) = match parse_both(args, env)? {
        Both::Exit(text) => return Ok(Early { venv: None, exit: Some(text) }),
        Both::Flags(flags, more) => (flags, more),
    };
    let venv = flags.text("venv").or_else(|| more.text("venv"));
    Ok(Early { venv: venv.map(PathBuf::from), exit: None })
}

impl Config {
    /// Reads the whole configuration. May be called again, with the same arguments, to read it anew.
    ///
    /// `args` is the command line without the program's name; `start` the directory the program was
    /// started in ([`super::start_directory`]).
    ///
    /// # Errors
    /// Anything wrong in any layer, in gunicorn's words: see [`Error::report`].
    pub fn load(
        args: &[OsString],
        env: Env<'_>,
        start: &Path,
        files: &mut dyn ConfFile,
    ) -> Result<Loaded, Error> {
        let (flags, more) = match parse_both(args, env)? {
            Both::Exit(text) => return Ok(Loaded::Exit(text)),
            Both::Flags(flags, more) => (flags, more),
        };
        let defaults = from_environment(env, start)?;
        let mut layers = Layers { config: defaults.clone(), defaults, start, files };
        if let Some(app) = &flags.app {
            layers.apply("default_proc_name", app.into(), &Origin::CommandLine)?;
        }
        if let Some(location) = conf_file(&flags, &more, start) {
            let origin = Origin::File(location.clone());
            for (name, value) in layers.files.load(&location)? {
                layers.apply(&name, value, &origin)?;
            }
        }
        for (flags, origin) in [(&more, Origin::CmdArgs), (&flags, Origin::CommandLine)] {
            for (name, value) in &flags.values {
                layers.apply(name, value.clone(), &origin)?;
            }
        }
        let mut config = layers.config;
        config.app = flags.app;
        if config.application().is_none() {
            return Err(Error::config("No application module specified."));
        }
        Ok(Loaded::Run(Box::new(config)))
    }
}

/// The configuration while its layers are put on each other.
struct Layers<'a> {
    config: Config,
    /// The weakest layer alone.
    defaults: Config,
    start: &'a Path,
    files: &'a mut dyn ConfFile,
}

impl Layers<'_> {
    /// Puts a value of a layer into the configuration.
    fn apply(&mut self, name: &str, value: Value, origin: &Origin) -> Result<(), Error> {
        let Some(setting) = settings::find(name) else { return Ok(()) };
        let given = matches!(origin, Origin::File(_)).then(|| value.text());
        self.set(setting, value, origin).map_err(|message| {
            let sentence = format!("{message} ({})", origin.place(setting.name, setting.flags));
            match given {
                Some(value) => {
                    let text =
                        format!("Invalid value for {name}: {value}\n\n\nError: {sentence}\n");
                    Error::complete(1, text)
                }
                None => Error::config(sentence),
            }
        })?;
        self.refuse_unbuilt(setting, origin)?;
        self.config.origins.insert(setting.name, origin.clone());
        Ok(())
    }

    fn set(&mut self, setting: &Setting, value: Value, origin: &Origin) -> Result<(), String> {
        let value = self.files.resolve(setting.refers, value)?;
        let scope = Scope { start: self.start, conf_file: matches!(origin, Origin::File(_)) };
        (setting.set)(&mut self.config, &value, &scope)?;
        if let Some(line) = setting.notice.and_then(|notice| notice(&self.config, &scope)) {
            self.files.tell(&line);
        }
        Ok(())
    }

    /// Refuses a value that asks for what rgunicorn does not do yet.
    fn refuse_unbuilt(&self, setting: &Setting, origin: &Origin) -> Result<(), Error> {
        let Some(harmless) = setting.unbuilt else { return Ok(()) };
        let value = (setting.get)(&self.config);
        if value == (setting.get)(&self.defaults) || harmless().contains(&value) {
            return Ok(());
        }
        Err(Error::config(format!(
            "rgunicorn does not have the setting '{}' yet ({}); remove it, or keep gunicorn for this \
             application",
            setting.name,
            origin.place(setting.name, setting.flags)
        )))
    }
}

enum Both {
    Exit(String),
    /// Of the command line, and of `GUNICORN_CMD_ARGS`.
    Flags(Flags, Flags),
}

fn parse_both(args: &[OsString], env: Env<'_>) -> Result<Both, Error> {
    let flags = match cli::parse(args)? {
        Parsed::Exit(text) => return Ok(Both::Exit(text)),
        Parsed::Flags(flags) => flags,
    };
    let words = shell::split(&env("GUNICORN_CMD_ARGS").unwrap_or_default())
        .map_err(|problem| Error::config(format!("{problem} (in GUNICORN_CMD_ARGS)")))?;
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    Ok(match cli::parse(&words)? {
        Parsed::Exit(text) => Both::Exit(text),
        Parsed::Flags(more) => Both::Flags(flags, more),
    })
}

/// The defaults, some of which depend on environment variables.
///
/// # Errors
/// A variable with a value that its setting does not take.
pub fn from_environment(env: Env<'_>, start: &Path) -> Result<Config, Error> {
    let mut config = Config::defaults(&Scope { start, conf_file: false }).map_err(Error::config)?;
    for setting in TABLE {
        for from in setting.env {
            let Some(text) = env(from.var) else { continue };
            let origin = Origin::Environment(from.var);
            let scope = Scope { start, conf_file: false };
            let set = |value| (setting.set)(&mut config, &value, &scope);
            match (from.read)(&text).and_then(|value| value.map(set).transpose()) {
                Ok(None) => {}
                Ok(Some(())) => {
                    config.origins.insert(setting.name, origin);
                }
                Err(message) => {
                    let place = origin.place(setting.name, setting.flags);
                    return Err(Error::config(format!("{message} ({place})")));
                }
            }
        }
    }
    Ok(config)
}

/// The one conf file to execute: `-c` of the command line, else of `GUNICORN_CMD_ARGS`, else
/// `gunicorn.conf.py` in the start directory if it is there.
fn conf_file(flags: &Flags, more: &Flags, start: &Path) -> Option<String> {
    let default = || {
        let path = start.join("gunicorn.conf.py");
        path.exists().then(|| path.to_string_lossy().into_owned())
    };
    flags.text("config").or_else(|| more.text("config")).map(String::from).or_else(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::object::testing::function;
    use std::collections::HashMap;

    /// Conf files by location, instead of Python.
    #[derive(Default)]
    struct Files {
        files: HashMap<&'static str, Vec<(&'static str, Value)>>,
        told: Vec<String>,
    }

    impl ConfFile for Files {
        fn load(&mut self, location: &str) -> Result<Vec<(String, Value)>, Error> {
            match self.files.get(location) {
                Some(values) => {
                    Ok(values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
                }
                None => Err(Error::config(format!("'{location}' doesn't exist"))),
            }
        }

        /// There is one function, and it takes two parameters.
        fn resolve(&mut self, refers: Refers, value: Value) -> Result<Value, String> {
            match (refers, value) {
                (Refers::Callable, Value::Str(path)) if path == "shop.hook" => {
                    Ok(function("hook", 2).into())
                }
                (Refers::Callable, Value::Str(path)) => Err(format!("no {path}")),
                (_, value) => Ok(value),
            }
        }

        fn tell(&mut self, line: &str) {
            self.told.push(line.into());
        }
    }

    fn conf(values: &[(&'static str, Value)]) -> Files {
        Files { files: HashMap::from([("c.py", values.to_vec())]), ..Files::default() }
    }

    /// Loads with a line of arguments, `NAME=VALUE` variables and conf files; starts in `/`.
    fn load(line: &str, vars: &[(&str, &str)], mut files: Files) -> Result<Config, Error> {
        load_with(line, vars, &mut files)
    }

    fn load_with(line: &str, vars: &[(&str, &str)], files: &mut Files) -> Result<Config, Error> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let env = |name: &str| {
            vars.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        };
        match Config::load(&args, &env, Path::new("/"), files)? {
            Loaded::Run(config) => Ok(*config),
            Loaded::Exit(text) => panic!("exits with {text}"),
        }
    }

    fn refused(line: &str, vars: &[(&str, &str)], files: Files) -> String {
        let error = load(line, vars, files).unwrap_err();
        assert_eq!(error.status(), 1);
        error.report()
    }

    #[test]
    fn stronger_layers_win_and_the_origin_is_kept() {
        let web = ("WEB_CONCURRENCY", "2");
        let args = ("GUNICORN_CMD_ARGS", "-w 4 other:app");
        let file = || conf(&[("workers", 3.into())]);
        let cases = [
            ("app:app", vec![], 1, Origin::Default),
            ("app:app", vec![web], 2, Origin::Environment("WEB_CONCURRENCY")),
            ("app:app -c c.py", vec![web], 3, Origin::File("c.py".into())),
            ("app:app -c c.py", vec![web, args], 4, Origin::CmdArgs),
            ("app:app -c c.py -w 5", vec![web, args], 5, Origin::CommandLine),
        ];
        for (line, vars, workers, origin) in cases {
            let config = load(line, &vars, file()).unwrap();
            assert_eq!((config.workers, config.origin("workers")), (workers, &origin), "{line}");
            assert_eq!(config.application(), Some("app:app"));
            assert_eq!(config.title(), "app:app");
        }
    }

    #[test]
    fn auto_is_a_number_of_workers_in_every_layer() {
        let cpus = u32::try_from(crate::sys::cpus::usable()).unwrap();
        let web = ("WEB_CONCURRENCY", "auto");
        let args = ("GUNICORN_CMD_ARGS", "--workers auto");
        let file = || conf(&[("workers", "auto".into())]);
        for (line, vars, origin) in [
            ("app:app", vec![web], Origin::Environment("WEB_CONCURRENCY")),
            ("app:app -c c.py", vec![], Origin::File("c.py".into())),
            ("app:app", vec![args], Origin::CmdArgs),
            ("app:app -w auto", vec![], Origin::CommandLine),
        ] {
            let config = load(line, &vars, file()).unwrap();
            assert_eq!((config.workers, config.origin("workers")), (cpus, &origin), "{line}");
        }
        let error = load("app:app -w automatic", &[], file()).unwrap_err();
        assert!(error.report().contains("invalid int value: 'automatic'"), "{}", error.report());
        assert_eq!(error.status(), 2);
    }

    #[test]
    fn lists_replace_and_do_not_extend() {
        let files = conf(&[("bind", ["a:1", "b:2"].into())]);
        let config = load("app:app -c c.py -b c:3 -b d:4", &[("PORT", "80")], files).unwrap();
        assert_eq!(config.bind, ["c:3", "d:4"]);
        let config = load("app:app", &[("PORT", "")], Files::default()).unwrap();
        assert_eq!(config.bind, ["0.0.0.0:"]);
    }

    #[test]
    fn one_conf_file_is_taken() {
        let files = || {
            let one = ("one.py", vec![("workers", 1.into()), ("backlog", 10.into())]);
            let files = HashMap::from([one, ("two.py", vec![("workers", 2.into())])]);
            Files { files, ..Files::default() }
        };
        let vars = [("GUNICORN_CMD_ARGS", "-c two.py")];
        let config = load("app:app -c one.py", &vars, files()).unwrap();
        assert_eq!((config.workers, config.backlog), (1, 10));
        let config = load("app:app", &vars, files()).unwrap();
        assert_eq!((config.workers, config.backlog), (2, 2048));
        assert_eq!(config.config.as_deref(), Some("two.py"));
        assert_eq!(refused("app:app -c no.py", &[], files()), "\nError: 'no.py' doesn't exist\n");
    }

    #[test]
    fn the_default_conf_file_is_that_of_the_start_directory() {
        let start = tempfile::tempdir().unwrap();
        let none = conf_file(&Flags::default(), &Flags::default(), start.path());
        assert_eq!(none, None);
        let path = start.path().join("gunicorn.conf.py");
        std::fs::write(&path, "").unwrap();
        let found = conf_file(&Flags::default(), &Flags::default(), start.path());
        assert_eq!(found.as_deref(), path.to_str());
    }

    #[test]
    fn the_application_comes_from_the_command_line_or_wsgi_app() {
        let files = || conf(&[("wsgi_app", "shop:app".into())]);
        let config = load("-c c.py", &[], files()).unwrap();
        assert_eq!((config.application(), config.title()), (Some("shop:app"), "gunicorn"));
        let config = load("-c c.py my:app", &[], files()).unwrap();
        assert_eq!((config.application(), config.title()), (Some("my:app"), "my:app"));
        assert_eq!(refused("", &[], conf(&[])), "\nError: No application module specified.\n");
    }

    #[test]
    fn errors_name_gunicorns_text_and_the_place() {
        let file = |name: &'static str, value: Value| conf(&[(name, value)]);
        assert_eq!(
            refused("app:app -c c.py", &[], file("workers", "x".into())),
            "Invalid value for workers: x\n\n\nError: invalid literal for int() with base 0: 'x' \
             (workers in c.py)\n"
        );
        let none = Files::default;
        assert_eq!(
            refused("app:app -w -1", &[], none()),
            "\nError: Value must be positive: -1 (-w/--workers on the command line)\n"
        );
        assert_eq!(
            refused("app:app", &[("GUNICORN_CMD_ARGS", "--chdir /nowhere")], none()),
            "\nError: can't chdir to '/nowhere' (--chdir in GUNICORN_CMD_ARGS)\n"
        );
        assert_eq!(
            refused("app:app", &[("WEB_CONCURRENCY", "")], none()),
            "\nError: invalid literal for int() with base 10: '' (environment variable \
             WEB_CONCURRENCY, default of workers)\n"
        );
        assert_eq!(
            refused("app:app", &[("GUNICORN_CMD_ARGS", "-n 'x")], none()),
            "\nError: No closing quotation (in GUNICORN_CMD_ARGS)\n"
        );
    }

    #[test]
    fn the_environment_variables_change_defaults() {
        let vars = [("FORWARDED_ALLOW_IPS", "10.0.0.0/8, *"), ("SENDFILE", "No")];
        let config = load("app:app", &vars, Files::default()).unwrap();
        assert_eq!(config.forwarded_allow_ips, ["10.0.0.0/8", "*"]);
        assert!(!config.sendfile);
        assert!(load("app:app", &[("SENDFILE", "YES")], Files::default()).unwrap().sendfile);
        let error = refused("app:app", &[("WEB_CONCURRENCY", "-2")], Files::default());
        assert!(error.starts_with("\nError: Value must be positive: -2 ("), "{error}");
    }

    #[test]
    fn what_is_not_there_yet_is_refused_unless_it_asks_for_nothing() {
        let error = refused("app:app --daemon", &[], Files::default());
        assert_eq!(
            error,
            "\nError: rgunicorn does not have the setting 'daemon' yet (-D/--daemon on the command \
             line); remove it, or keep gunicorn for this application\n"
        );
        let error = refused("app:app", &[("GUNICORN_CMD_ARGS", "--certfile x")], Files::default());
        assert!(error.contains("(--certfile in GUNICORN_CMD_ARGS)"), "{error}");
        // The validator comes first.
        let files = conf(&[("ssl_context", function("f", 3).into())]);
        let error = refused("app:app -c c.py", &[], files);
        assert!(error.contains("\nError: Value must have an arity of: 2 (ssl_context in c.py)"));
        let files = conf(&[("ssl_context", "shop.hook".into())]);
        let error = refused("app:app -c c.py", &[], files);
        assert!(error.contains("'ssl_context' yet (ssl_context in c.py)"), "{error}");
        let files = conf(&[("ssl_context", "shop.other".into())]);
        let error = refused("app:app -c c.py", &[], files);
        assert!(error.ends_with("\nError: no shop.other (ssl_context in c.py)\n"), "{error}");

        let files = conf(&[("daemon", false.into()), ("dirty_apps", Value::None)]);
        let line = "app:app -c c.py --no-control-socket --cert-reqs 0x0 --http-protocols H1";
        load(line, &[], files).unwrap();
        let home = ("HOME", "/home/me");
        let same = "app:app --control-socket /home/me/.gunicorn/gunicorn.ctl";
        load(same, &[home], Files::default()).unwrap();
        assert!(load(same, &[], Files::default()).is_err());
    }

    #[test]
    fn deprecated_settings_are_told_of() {
        let mut files = Files::default();
        let config = load_with("app:app --ssl-version 2", &[], &mut files).unwrap();
        assert_eq!(config.ssl_version, "2".into());
        assert_eq!(files.told.len(), 1);
        assert!(files.told[0].starts_with("Warning: option `ssl_version` is deprecated"));
        let mut files = conf(&[("ssl_version", 2.into())]);
        load_with("app:app -c c.py", &[], &mut files).unwrap();
        assert!(files.told.is_empty());
    }

    #[test]
    fn venv_is_known_before_any_conf_file_and_only_from_flags() {
        let args: Vec<OsString> = ["--venv", "v", "-c", "no.py"].map(OsString::from).into();
        let venv = early(&args, &|_| None).unwrap().venv;
        assert_eq!(venv, Some(PathBuf::from("v")));
        let env = |name: &str| (name == "GUNICORN_CMD_ARGS").then(|| "--venv w".to_owned());
        assert_eq!(early(&args[2..], &env).unwrap().venv, Some(PathBuf::from("w")));
        assert_eq!(early(&args, &env).unwrap().venv, Some(PathBuf::from("v")));
        assert!(early(&["-v".into()], &|_| None).unwrap().exit.unwrap().contains("version"));
        assert_eq!(early(&["--nope".into()], &|_| None).unwrap_err().status(), 2);

        let error = refused("app:app -c c.py", &[], conf(&[("venv", "v".into())]));
        assert!(error.contains("use the flag --venv"), "{error}");
    }

    #[test]
    fn loading_again_gives_the_same() {
        let line = "app:app -c c.py -w 3";
        let values = [("timeout", 60.into())];
        let once = load(line, &[], conf(&values)).unwrap();
        assert_eq!(once, load(line, &[], conf(&values)).unwrap());
        assert_eq!(once.timeout, 60);
    }
}
