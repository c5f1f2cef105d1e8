//! The layers of the configuration: defaults < conf file < `GUNICORN_CMD_ARGS` < command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cli::{self, Flags, Parsed, Question};
use super::reference::help::Page;
use super::setting::{Refers, Scope, Setting};
use super::settings::{self, Config, TABLE};
use super::source::Source;
use super::suggest::{is_mistake, suggest};
use super::value::{Value, quoted};
use super::{Env, Origin, shell, toml};
use crate::error::Error;

/// The variable with more of the command line.
const CMD_ARGS: &str = "GUNICORN_CMD_ARGS";

/// What to do when the application is not named.
const NO_APPLICATION: &str = "\
Name it as MODULE:CALLABLE. For a file shop.py with a line \"app = Flask(__name__)\":

    rgunicorn shop:app

The setting wsgi_app of the conf file names it too. rgunicorn -h shows the settings that are used most.
";

/// What the configuration needs of the world. Implemented where Python is known.
pub trait ConfFile {
    /// Executes `location` (PATH, `file:PATH` or `python:MODULE`).
    ///
    /// # Errors
    /// The file is missing or failed; the error is what gunicorn says then.
    fn load(&mut self, location: &str) -> Result<Definitions, Error>;

    /// Makes the object of a value that stands for one: the function of a dotted path, the class
    /// that a function returns. Other values come back as they are; of patterns that match no file
    /// the user is told.
    ///
    /// # Errors
    /// gunicorn's message when there is no such object.
    fn resolve(&mut self, refers: Refers, value: Value) -> Result<Value, String>;

    /// Tells the user something that is no error, in a line on standard error.
    fn tell(&mut self, line: &str);
}

/// What a conf file defines.
#[derive(Debug, Default)]
pub struct Definitions {
    /// The settings ([`super::is_setting`]) in the order of their definition.
    pub settings: Vec<(String, Value)>,
    /// Other names that could be meant as settings: no modules, nothing imported that can be called,
    /// and no names that begin with an underscore.
    pub others: Vec<String>,
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

/// Parses the flags of the command line (without the program's name) and of `GUNICORN_CMD_ARGS`, and
/// a file in TOML. No conf file is executed.
///
/// # Errors
/// A command line that cannot be parsed, or a wrong file.
pub fn early(args: &[OsString], env: Env<'_>, start: &Path) -> Result<Early, Error> {
    let (flags, more) = match parse_both(args, env)? {
        Both::Exit(text) => return Ok(Early { venv: None, exit: Some(text) }),
        Both::Flags(flags, more) => (flags, more),
    };
    let venv = flags.text("venv").or_else(|| more.text("venv")).map(PathBuf::from);
    let venv = match (venv, Source::find(&flags, &more, start)?) {
        (None, Source::Toml(path)) => toml::load(&start.join(path))?
            .into_iter()
            .find(|(name, _)| *name == "venv")
            .map(|(_, value)| value.text().into()),
        (venv, _) => venv,
    };
    Ok(Early { venv, exit: None })
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
        let mut others = Vec::new();
        match Source::find(&flags, &more, start)? {
            Source::None => {}
            Source::Python(location) => {
                let definitions = layers.files.load(&location)?;
                let origin = Origin::File(location);
                for (name, value) in definitions.settings {
                    layers.apply(&name, value, &origin)?;
                }
                others = definitions.others;
            }
            Source::Toml(path) => {
                let values = toml::load(&start.join(&path))?;
                let origin = Origin::Toml(path);
                for (name, value) in values {
                    layers.apply(name, value, &origin)?;
                }
            }
        }
        for (flags, origin) in [(&more, Origin::CmdArgs), (&flags, Origin::CommandLine)] {
            for (name, value) in &flags.values {
                layers.apply(name, value.clone(), &origin)?;
            }
        }
        if layers.config.check_config || layers.config.print_config {
            layers.warn_about(&others);
            for word in &flags.ignored {
                layers.files.tell(&format!(
                    "Warning: {} on the command line belongs to nothing and has no effect",
                    quoted(word)
                ));
            }
        }
        let mut config = layers.config;
        config.app = flags.app;
        if config.application().is_none() {
            return Err(Error::config("No application module specified.").with_hint(NO_APPLICATION));
        }
        Ok(Loaded::Run(Box::new(config)))
    }

    /// The configuration of a program that starts a server by itself, and decides what is read: nothing
    /// but its own settings. `start` is its working directory.
    ///
    /// # Errors
    /// A value that its setting does not take.
    pub fn of_program(
        settings: Vec<(String, Value)>,
        env: Env<'_>,
        start: &Path,
        files: &mut dyn ConfFile,
    ) -> Result<Self, Error> {
        let defaults = from_environment(env, start)?;
        let mut layers = Layers { config: defaults.clone(), defaults, start, files };
        for (name, value) in settings {
            layers.apply(&name, value, &Origin::Program)?;
        }
        Ok(layers.config)
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
        let given = matches!(origin, Origin::File(_) | Origin::Toml(_)).then(|| value.text());
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
        let scope = Scope {
            start: self.start,
            conf_file: matches!(origin, Origin::File(_) | Origin::Program),
        };
        (setting.set)(&mut self.config, &value, &scope)?;
        if let Some(line) = setting.notice.and_then(|notice| notice(&self.config, &scope)) {
            self.files.tell(&line);
        }
        Ok(())
    }

    /// Tells of names in the conf file that were probably meant as settings. A name that resembles a
    /// setting of the same file is a variable of its own.
    fn warn_about(&mut self, names: &[String]) {
        for name in names {
            let meant = suggest(name);
            let wrong = match meant {
                Some(name) => !matches!(self.config.origin(name), Origin::File(_)),
                None => is_mistake(name),
            };
            if !wrong {
                continue;
            }
            let hint = meant.map(|name| format!("; did you mean {}?", quoted(name)));
            self.files.tell(&format!(
                "Warning: {} in the conf file is not a setting and has no effect{}",
                quoted(name),
                hint.unwrap_or_default()
            ));
        }
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
    let answer = |question: Question| Both::Exit(question.answer(Page::of_stdout(env)));
    let flags = match cli::parse(args)? {
        Parsed::Exit(question) => return Ok(answer(question)),
        Parsed::Flags(flags) => flags,
    };
    let here = |error: Error| error.found_in(CMD_ARGS);
    let words = shell::split(&env(CMD_ARGS).unwrap_or_default()).map_err(Error::config);
    let words: Vec<OsString> = words.map_err(here)?.into_iter().map(OsString::from).collect();
    Ok(match cli::parse(&words).map_err(here)? {
        Parsed::Exit(question) => answer(question),
        Parsed::Flags(more) => Both::Flags(flags, more),
    })
}

/// The settings of a file: the one named, else the one in `start`, if there is one.
///
/// # Errors
/// The file is missing or failed, or there are several.
pub fn read_file(
    location: Option<&str>,
    start: &Path,
    files: &mut dyn ConfFile,
) -> Result<Vec<(String, Value)>, Error> {
    let named = location.map(|location| ("config", location.into()));
    let flags = Flags { values: named.into_iter().collect(), ..Flags::default() };
    match Source::find(&flags, &Flags::default(), start)? {
        Source::None => Ok(Vec::new()),
        Source::Python(location) => Ok(files.load(&location)?.settings),
        Source::Toml(path) => {
            let values = toml::load(&start.join(path))?;
            Ok(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        }
    }
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

#[cfg(test)]
mod tests;
