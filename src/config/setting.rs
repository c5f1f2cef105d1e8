//! What a row of the settings table is, and the macro that makes the table and `Config` of the
//! blocks in `settings/`.

use std::fmt;
use std::path::Path;

use super::settings::Config;
use super::value::Value;

/// One setting: everything that is known about it, apart from its type.
pub struct Setting {
    /// Its name in a Python conf file, and in TOML.
    pub name: &'static str,
    /// Its flags, short one first; none if only a conf file can set it.
    pub flags: &'static [&'static str],
    pub section: Section,
    /// The placeholder of its value in `--help`.
    pub metavar: &'static str,
    pub shape: Shape,
    /// What values it accepts, in a few words.
    #[cfg_attr(not(test), expect(dead_code, reason = "references are made by a test"))]
    pub accepts: &'static str,
    /// The environment variables that change its default, the last one first of all.
    pub env: &'static [FromEnv],
    /// When a changed value takes effect.
    #[cfg_attr(not(test), expect(dead_code, reason = "the same"))]
    pub reload: Reload,
    /// What text in it stands for, besides itself.
    pub refers: Refers,
    /// Present while the feature is not built: values other than the default are refused then, unless
    /// they are one of these, with which gunicorn does what rgunicorn does anyway.
    pub unbuilt: Option<fn() -> Vec<Value>>,
    /// What to tell the user about a value that was given, if anything.
    pub notice: Option<Notice>,
    /// The documentation, line by line; the first line stands alone in `--help`.
    pub doc: &'static [&'static str],
    /// The default when no environment variable changes it, before validation.
    pub default: fn() -> Value,
    /// Validates a value and puts it into a configuration; the error is gunicorn's message.
    pub set: fn(&mut Config, &Value, &Scope<'_>) -> Result<(), String>,
    /// The value in a configuration as gunicorn would hold it.
    pub get: fn(&Config) -> Value,
}

/// Makes a line for standard error of a configuration in which the setting has just been set.
pub type Notice = fn(&Config, &Scope<'_>) -> Option<String>;

/// What a value of a setting refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refers {
    /// Nothing.
    Nothing,
    /// Something to call; text is its dotted path.
    Callable,
    /// A class; a function is called to get it.
    Class,
    /// Files, by paths and patterns.
    Files,
}

/// An environment variable that changes a default.
pub struct FromEnv {
    pub var: &'static str,
    /// Makes the value, before validation, of the variable's text; `None` to leave it as it is.
    pub read: fn(&str) -> Result<Option<Value>, String>,
}

/// What validation may depend on besides the value.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The directory the program was started in: relative paths are relative to it.
    pub start: &'a Path,
    /// The value comes from a conf file.
    pub conf_file: bool,
}

/// How a setting is given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Not at all.
    None,
    /// A flag without a value, which sets this.
    Switch(bool),
    /// A flag with one value; the last one wins.
    One,
    /// A flag with one value, decimal.
    Int,
    /// A flag with one value, decimal or this word.
    IntOr(&'static str),
    /// A flag with one value, a number as in a program; one with a leading zero is octal.
    Bits,
    /// A flag with one value that may be repeated.
    Many,
    /// A flag with a value that may be left out, which then is this.
    Optional(&'static str),
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// On HUP, in the master too.
    Live,
    /// On HUP, in the workers started by it.
    Workers,
    /// Only when the server is started anew.
    Restart,
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "on HUP",
            Self::Workers => "on HUP, in the new workers",
            Self::Restart => "at the next start",
        })
    }
}

/// The sections of the reference, under gunicorn's names where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    ConfigFile,
    ServerSocket,
    WorkerProcesses,
    Security,
    Debugging,
    ServerMechanics,
    Logging,
    ProcessNaming,
    ServerHooks,
    Ssl,
    Http2,
    DirtyArbiters,
    DirtyArbiterHooks,
    Control,
    /// Ours: gunicorn has no settings of this kind.
    ClientsAndBuffers,
}

impl Section {
    pub fn title(self) -> &'static str {
        match self {
            Self::ConfigFile => "Config File",
            Self::ServerSocket => "Server Socket",
            Self::WorkerProcesses => "Worker Processes",
            Self::Security => "Security",
            Self::Debugging => "Debugging",
            Self::ServerMechanics => "Server Mechanics",
            Self::Logging => "Logging",
            Self::ProcessNaming => "Process Naming",
            Self::ServerHooks => "Server Hooks",
            Self::Ssl => "SSL",
            Self::Http2 => "HTTP/2",
            Self::DirtyArbiters => "Dirty Arbiters",
            Self::DirtyArbiterHooks => "Dirty Arbiter Hooks",
            Self::Control => "Control",
            Self::ClientsAndBuffers => "Slow Clients and Large Bodies",
        }
    }
}

/// Makes `Config` and `TABLE` of the sections' blocks.
///
/// `settings! { [a b c] }` calls the macros `a`, `b`, `c` in turn; each appends its section, and
/// the collected whole is expanded once, so that one flat struct comes of many files. A block is
///
/// ```text
/// /// First line: what it is, as `--help` shows it.
/// ///
/// /// More for the reference.
/// name: FieldType = Kind {
///     flags: ["-x", "--name"],              // none for conf file only
///     metavar: "INT",                       // "" where it takes no value
///     default: 1,                           // anything a Value can be made of; validated
///     env: "VAR" => |text| Ok(Some(text.into())), // optional: a variable that changes the default
///     reload: Live,
///     notice: |config, _| None,             // optional: what to tell the user about a value
///     unbuilt: [],                          // optional: the feature is not there yet
/// }
/// ```
macro_rules! settings {
    ([$next:ident $($more:ident)*] $($sections:tt)*) => {
        $next! { [$($more)*] $($sections)* }
    };
    ([] $($section:ident { $(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty = $kind:path {
            flags: [$($flag:literal),*],
            metavar: $metavar:literal,
            default: $default:expr,
            $(env: $var:literal => $read:expr,)*
            reload: $reload:ident,
            $(notice: $notice:expr,)?
            $(unbuilt: [$($harmless:expr),*],)?
        }
    )+ })+) => {
        /// The complete configuration: one field per setting, under gunicorn's names.
        #[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            /// The application of the command line (`MODULE[:CALLABLE]`), if it names one.
            pub app: Option<String>,
            /// Where the values that are not defaults come from.
            pub(crate) origins: BTreeMap<&'static str, Origin>,
            $($( $(#[doc = $doc])+ pub $name: $type, )+)+
        }

        impl Config {
            /// The table's defaults, before any environment variable.
            ///
            /// # Errors
            /// The message of a default that does not pass its validator.
            pub(super) fn defaults(scope: &Scope<'_>) -> Result<Self, String> {
                // Field by field: a struct expression that could fail at any of its many fields would
                // be a third of a megabyte of code.
                let mut config = Self {
                    app: None,
                    origins: BTreeMap::new(),
                    $($( $name: Default::default(), )+)+
                };
                for setting in TABLE {
                    (setting.set)(&mut config, &(setting.default)(), scope)?;
                }
                Ok(config)
            }
        }

        /// Every setting there is, by section.
        pub static TABLE: &[Setting] = &[$($( Setting {
            name: stringify!($name),
            flags: &[$($flag),*],
            section: Section::$section,
            metavar: $metavar,
            shape: <$kind as Kind>::SHAPE,
            accepts: <$kind as Kind>::ACCEPTS,
            env: &[$(FromEnv { var: $var, read: $read }),*],
            reload: Reload::$reload,
            refers: <$kind as Kind>::REFERS,
            unbuilt: settings!(@unbuilt $([$($harmless),*])?),
            notice: settings!(@notice $($notice)?),
            doc: &[$($doc),+],
            default: || Value::from($default),
            set: |config, value, scope| {
                config.$name = read::<$kind>(value, scope)?;
                Ok(())
            },
            get: |config| <$kind as Kind>::value(&config.$name),
        }, )+)+];
    };
    (@unbuilt) => { None };
    (@unbuilt [$($harmless:expr),*]) => { Some(|| vec![$(Value::from($harmless)),*]) };
    (@notice) => { None };
    (@notice $notice:expr) => { Some($notice) };
}

pub(super) use settings;
