//! Where a value comes from.

/// The layer a value comes from, weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The setting's own default.
    Default,
    /// A default changed by this environment variable.
    Environment(&'static str),
    /// The conf file in Python, as it was named.
    File(String),
    /// The file in TOML, as it was named.
    Toml(String),
    /// A program that starts a server by itself.
    Program,
    /// `GUNICORN_CMD_ARGS`.
    CmdArgs,
    /// The command line.
    CommandLine,
}

impl Origin {
    /// Words for an error message: which setting, and where it was set.
    pub fn place(&self, name: &str, flags: &[&str]) -> String {
        let flags = flags.join("/");
        match self {
            Self::Default => format!("default of {name}"),
            Self::Environment(var) => format!("environment variable {var}, default of {name}"),
            Self::File(path) | Self::Toml(path) => format!("{name} in {path}"),
            Self::Program => format!("{name}, set by the program"),
            Self::CmdArgs => format!("{flags} in GUNICORN_CMD_ARGS"),
            Self::CommandLine => format!("{flags} on the command line"),
        }
    }
}
