//! The layers of the configuration: defaults < conf file < `GUNICORN_CMD_ARGS` < command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cli::{self, Flags, Parsed};
use super::setting::{Scope, Setting};
use super::settings::{self, Config, TABLE, missing};
use super::value::Value;
use super::{Env, Origin, shell};
use crate::error::Error;

/// Executes conf files. Implemented where Python is known.
pub trait ConfFile {
    /// Executes `location` (PATH, `file:PATH` or `python:MODULE`) and returns the module-level names
    /// that are settings ([`super::is_setting`]), in the order of their definition.
    ///
    /// # Errors
    /// The file is missing or failed; the error is what gunicorn says then.
    fn load(&mut self, location: &str) -> Result<Vec<(String, Value)>, Error>;
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
        let mut config = from_environment(env, start)?;
        if let Some(app) = &flags.app {
            let name = Value::from(app);
            apply(&mut config, "default_proc_name", &name, &Origin::CommandLine, start)?;
        }
        if let Some(location) = conf_file(&flags, &more, start) {
            let origin = Origin::File(location.clone());
            for (name, value) in files.load(&location)? {
                apply(&mut config, &name, &value, &origin, start)?;
            }
        }
        for (flags, origin) in [(&more, Origin::CmdArgs), (&flags, Origin::CommandLine)] {
            for (name, value) in &flags.values {
                apply(&mut config, name, value, &origin, start)?;
            }
        }
        config.app = flags.app;
        if config.application().is_none() {
            return Err(Error::config("No application module specified."));
        }
        Ok(Loaded::Run(Box::new(config)))
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
fn from_environment(env: Env<'_>, start: &Path) -> Result<Config, Error> {
    let mut config = Config::defaults(&Scope { start, conf_file: false }).map_err(Error::config)?;
    for setting in TABLE {
        let Some((from, text)) = setting.env.as_ref().and_then(|from| Some((from, env(from.var)?)))
        else {
            continue;
        };
        let origin = Origin::Environment(from.var);
        let value = (from.read)(&text).map_err(|message| {
            Error::config(format!("{message} ({})", origin.place(setting.name, setting.flags)))
        })?;
        set(&mut config, setting, &value, &origin, start)?;
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

/// Puts a value of a layer into the configuration.
fn apply(
    config: &mut Config,
    name: &str,
    value: &Value,
    origin: &Origin,
    start: &Path,
) -> Result<(), Error> {
    if let Some(setting) = settings::find(name) {
        return set(config, setting, value, origin, start);
    }
    match missing::find(name) {
        Some(missing) if !missing.is_harmless(value) => Err(Error::config(format!(
            "rgunicorn does not have the setting '{name}' yet ({}); remove it, or keep gunicorn for \
             this application",
            origin.place(name, missing.flags)
        ))),
        _ => Ok(()),
    }
}

fn set(
    config: &mut Config,
    setting: &Setting,
    value: &Value,
    origin: &Origin,
    start: &Path,
) -> Result<(), Error> {
    let conf_file = matches!(origin, Origin::File(_));
    (setting.set)(config, value, &Scope { start, conf_file }).map_err(|message| {
        let sentence = format!("{message} ({})", origin.place(setting.name, setting.flags));
        if conf_file {
            let (name, value) = (setting.name, value.text());
            let text = format!("Invalid value for {name}: {value}\n\n\nError: {sentence}\n");
            Error::complete(1, text)
        } else {
            Error::config(sentence)
        }
    })?;
    config.origins.insert(setting.name, origin.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Conf files by location, instead of Python.
    #[derive(Default)]
    struct Files(HashMap<&'static str, Vec<(&'static str, Value)>>);

    impl ConfFile for Files {
        fn load(&mut self, location: &str) -> Result<Vec<(String, Value)>, Error> {
            match self.0.get(location) {
                Some(values) => {
                    Ok(values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
                }
                None => Err(Error::config(format!("'{location}' doesn't exist"))),
            }
        }
    }

    fn conf(values: &[(&'static str, Value)]) -> Files {
        Files(HashMap::from([("c.py", values.to_vec())]))
    }

    /// Loads with a line of arguments, `NAME=VALUE` variables and conf files; starts in `/`.
    fn load(line: &str, vars: &[(&str, &str)], mut files: Files) -> Result<Config, Error> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let env = |name: &str| {
            vars.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        };
        match Config::load(&args, &env, Path::new("/"), &mut files)? {
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
            Files(HashMap::from([one, ("two.py", vec![("workers", 2.into())])]))
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
        let error = refused("app:app --reload", &[], Files::default());
        assert_eq!(
            error,
            "\nError: rgunicorn does not have the setting 'reload' yet (--reload on the command \
             line); remove it, or keep gunicorn for this application\n"
        );
        let hook = Value::Other { type_name: "function".into(), text: "<function f>".into() };
        let error = refused("app:app -c c.py", &[], conf(&[("post_fork", hook)]));
        assert!(error.contains("'post_fork' yet (post_fork in c.py)"), "{error}");
        let error = refused("app:app", &[("GUNICORN_CMD_ARGS", "--certfile x")], Files::default());
        assert!(error.contains("(--certfile in GUNICORN_CMD_ARGS)"), "{error}");

        let files = conf(&[("reload", false.into()), ("umask", 0.into()), ("user", Value::None)]);
        load("app:app -c c.py --no-control-socket --umask 0", &[], files).unwrap();
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
