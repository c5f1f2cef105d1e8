//! What `-h` and `--help` print.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};

use crate::config::Env;
use crate::config::setting::{Section, Setting, Shape};
use crate::config::settings::TABLE;
use crate::config::value::Value;
use crate::sys::fd;

/// What stands in front of the options.
const ABOUT: &str = "Serves the WSGI application APP_MODULE: MODULE:CALLABLE, MODULE:FACTORY() or \
                     MODULE, in which it is called application then.";

/// What `-h` shows: what most people look for.
const COMMON: [&str; 22] = [
    "config",
    "venv",
    "bind",
    "workers",
    "worker_class",
    "threads",
    "max_requests",
    "timeout",
    "graceful_timeout",
    "keepalive",
    "reload",
    "check_config",
    "print_config",
    "preload_app",
    "chdir",
    "pidfile",
    "forwarded_allow_ips",
    "daemon",
    "user",
    "accesslog",
    "errorlog",
    "loglevel",
];

/// Where the descriptions begin, and how far a line goes.
const COLUMN: usize = 30;
const NARROWEST: usize = 60;
const WIDEST: usize = 100;

/// As argparse has it where there is no terminal.
const USUAL_COLUMNS: usize = 80;

/// How much of it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// `-h`: the settings that are used most.
    Common,
    /// `--help`: all that have a flag.
    All,
}

/// The page it is written on.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub columns: usize,
    pub colours: bool,
}

impl Page {
    /// Standard output, as it is and as the user wants it.
    pub fn of_stdout(env: Env<'_>) -> Self {
        let named = env("COLUMNS").and_then(|text| text.trim().parse().ok());
        let known = named.filter(|columns| *columns > 0).or_else(|| fd::columns(stdout()));
        let wanted = stdout().is_terminal() && likes_colours(env);
        Self { columns: known.unwrap_or(USUAL_COLUMNS), colours: wanted }
    }

    fn width(self) -> usize {
        self.columns.clamp(NARROWEST, WIDEST)
    }

    fn bold(self, text: &str) -> Styled<'_> {
        Styled { text, code: self.colours.then_some("1") }
    }

    fn flags(self, text: &str) -> Styled<'_> {
        Styled { text, code: self.colours.then_some("36") }
    }
}

/// Whether a user has colours on terminals: <https://no-color.org> turns them off by any text but none at all.
pub fn likes_colours(env: Env<'_>) -> bool {
    env("NO_COLOR").is_none_or(|text| text.is_empty())
        && env("TERM").is_some_and(|name| name != "dumb")
}

/// Text in a style of terminals, or without one.
struct Styled<'a> {
    text: &'a str,
    code: Option<&'static str>,
}

impl std::fmt::Display for Styled<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "\x1b[{code}m{}\x1b[0m", self.text),
            None => f.write_str(self.text),
        }
    }
}

/// The text.
pub fn help(extent: Extent, usage: &str, page: Page) -> String {
    // Writing to a String cannot fail.
    let mut out = format!("{} {usage}\n\n", page.bold("usage:"));
    paragraph(&mut out, ABOUT, page);
    section(&mut out, "Options", page);
    entry(&mut out, "-h", "Show the settings that are used most.", page);
    entry(&mut out, "--help", "Show all settings.", page);
    entry(&mut out, "-v, --version", "Show the version.", page);
    let mut last: Option<Section> = None;
    for setting in shown(extent) {
        if last != Some(setting.section) {
            section(&mut out, setting.section.title(), page);
            last = Some(setting.section);
        }
        entry(&mut out, &flags(setting), &description(setting), page);
    }
    out.push('\n');
    let more = match extent {
        Extent::Common => "rgunicorn --help shows all settings.",
        Extent::All => {
            "Settings can also stand in gunicorn.conf.py, rgunicorn.toml or pyproject.toml, and flags in \
             the variable GUNICORN_CMD_ARGS; the command line wins. Some settings, such as hooks, have no \
             flag. rgunicorn --print-config APP_MODULE shows what results."
        }
    };
    paragraph(&mut out, more, page);
    out
}

fn shown(extent: Extent) -> impl Iterator<Item = &'static Setting> {
    let common = move |setting: &&Setting| extent == Extent::All || COMMON.contains(&setting.name);
    TABLE
        .iter()
        .filter(|setting| !setting.flags.is_empty() && setting.unbuilt.is_none())
        .filter(common)
}

fn paragraph(out: &mut String, text: &str, page: Page) {
    for line in wrapped(text, page.width()) {
        let _ = writeln!(out, "{line}");
    }
}

fn section(out: &mut String, title: &str, page: Page) {
    let _ = writeln!(out, "\n{}", page.bold(&format!("{title}:")));
}

/// The flags of a setting, long ones below each other.
pub fn flags(setting: &Setting) -> String {
    let flags = setting.flags.join(", ");
    match (setting.metavar, setting.shape) {
        ("", _) => flags,
        (metavar, Shape::Optional(_)) => format!("{flags} [{metavar}]"),
        (metavar, _) => format!("{flags} {metavar}"),
    }
}

fn description(setting: &Setting) -> String {
    let first = setting.doc.first().copied().unwrap_or_default().trim().replace('`', "");
    let variables = setting.env.iter().map(|from| format!("${}", from.var));
    let defaults: Vec<String> = default(setting).into_iter().chain(variables).collect();
    match defaults.as_slice() {
        [] => first,
        defaults => format!("{first} [default: {}]", defaults.join(", or ")),
    }
}

/// The default as one would write it behind the flag, if there is anything to write.
pub fn default(setting: &Setting) -> Option<String> {
    match (setting.default)() {
        Value::None | Value::Bool(_) => None,
        Value::List(items) => Some(items.iter().map(Value::text).collect::<Vec<_>>().join(", ")),
        other => Some(other.shown()),
    }
    .filter(|text| !text.is_empty())
}

fn entry(out: &mut String, flags: &str, text: &str, page: Page) {
    let _ = write!(out, "  {}", page.flags(flags));
    let mut lines = wrapped(text, page.width().saturating_sub(COLUMN)).into_iter();
    let length = flags.chars().count() + 2;
    if length + 2 > COLUMN {
        out.push('\n');
    } else if let Some(line) = lines.next() {
        let _ = writeln!(out, "{:blank$}{line}", "", blank = COLUMN - length);
    }
    for line in lines {
        let _ = writeln!(out, "{:COLUMN$}{line}", "");
    }
}

/// Text in lines of at most `width` characters; a longer word has a line for itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Page = Page { columns: 80, colours: false };

    #[test]
    fn all_settings_with_a_flag_are_there_with_their_defaults() {
        let text = help(Extent::All, "rgunicorn [OPTIONS] [APP_MODULE]", PLAIN);
        assert!(text.starts_with("usage: rgunicorn [OPTIONS] [APP_MODULE]\n\n"), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for default in ["[default: 127.0.0.1:8000, or $PORT]", "[default: 1, or $WEB_CONCURRENCY]"]
        {
            assert!(words.contains(default), "{default:?} not in\n{text}");
        }
        for part in [
            "\nServer Socket:\n  -b, --bind ADDRESS          The address to listen on; may be given several\n",
            "\n  --error-logfile, --log-file FILE\n                              The file of the",
            "--proxy-protocol [MODE]",
            "--venv DIR",
        ] {
            assert!(text.contains(part), "{part:?} not in\n{text}");
        }
        assert!(!text.contains("--paste"), "what is not there is not offered");
        assert!(!text.contains("False") && !text.contains("None]"), "{text}");
        for setting in shown(Extent::All) {
            assert!(setting.flags.iter().all(|flag| text.contains(flag)), "{}", setting.name);
        }
        let long = text.lines().filter(|line| line.chars().count() > 80).count();
        assert_eq!(long, 0, "{text}");
    }

    #[test]
    fn the_short_form_fits_on_a_screen_or_two() {
        for name in COMMON {
            assert!(shown(Extent::All).any(|setting| setting.name == name), "{name}");
        }
        let text = help(Extent::Common, "x", Page { columns: 100, colours: false });
        assert!(text.lines().count() < 60, "{text}");
        assert!(!text.contains("--max-recycling") && text.contains("--workers"), "{text}");
        assert!(text.ends_with("rgunicorn --help shows all settings.\n"), "{text}");
    }

    #[test]
    fn colours_change_nothing_else() {
        let plain = help(Extent::All, "x", PLAIN);
        let coloured = help(Extent::All, "x", Page { colours: true, ..PLAIN });
        assert!(
            coloured.contains("\x1b[1mServer Socket:\x1b[0m\n  \x1b[36m-b, --bind ADDRESS\x1b[0m")
        );
        let bare = ["\x1b[1m", "\x1b[36m", "\x1b[0m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(bare, plain);
    }

    #[test]
    fn colours_are_for_those_who_want_them() {
        let likes = |pairs: &[(&str, &str)]| {
            likes_colours(&|name| {
                let pair = pairs.iter().find(|(other, _)| *other == name);
                pair.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(likes(&[("TERM", "xterm")]) && likes(&[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!likes(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(!likes(&[("TERM", "dumb")]) && !likes(&[]));
    }

    #[test]
    fn any_width_will_do() {
        for columns in [0, 1, 61, 200, usize::MAX] {
            let text = help(Extent::All, "x", Page { columns, colours: false });
            assert!(text.lines().all(|line| line.chars().count() <= WIDEST), "{columns}");
        }
        assert_eq!(wrapped("a bb  cccc d", 4), ["a bb", "cccc", "d"]);
    }
}
