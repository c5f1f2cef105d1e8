//! The man page, in the macros of man(7).

use std::fmt::Write as _;

use super::help::default;
use crate::config::setting::{Setting, Shape};
use crate::config::settings::TABLE;

const SYNOPSIS: &str = "\
.SY rgunicorn
.RI [ OPTIONS ]
.RI [ APP_MODULE ]
.YS
";

const DESCRIPTION: [&str; 3] = [
    "rgunicorn serves a WSGI application over HTTP with several worker processes, in place of gunicorn: with \
     the same command line, conf file, signals and log lines.",
    "APP_MODULE is `MODULE:CALLABLE`: `shop:app` is the object `app` of the module `shop`. What is called to \
     get the application is written with its arguments: `'shop:create_app(\"x\")'`. Without `:CALLABLE` \
     it is `application`. Modules are looked for in the directory of `--chdir` first.",
    "A setting has its value from the strongest of these places: its default, a variable of the environment \
     where the setting names one, the conf file, the flags in GUNICORN_CMD_ARGS, the command line. A long flag \
     may be shortened as long as it is clear which one is meant.",
];

const SIGNALS: [(&str, &str); 9] = [
    ("HUP", "Read the configuration again and replace all workers, without losing a request."),
    ("TERM", "Stop; requests in progress have `graceful_timeout` seconds."),
    ("INT, QUIT", "Stop at once."),
    ("TTIN", "One worker more."),
    ("TTOU", "One worker less."),
    ("USR1", "Open the log files again."),
    ("USR2", "Start a new master with the program as it is now, at the same sockets."),
    ("WINCH", "Stop the workers of a daemon, but not the daemon."),
    ("CHLD", "Sent by the system: a worker has ended."),
];

const EXIT_STATUS: [(&str, &str); 5] = [
    ("0", "The server was told to stop, and did."),
    ("1", "The configuration is wrong, or the server cannot start."),
    ("2", "The command line is wrong."),
    (
        "3",
        "The first workers cannot start: the application raises an exception when it is imported.",
    ),
    ("4", "The first workers cannot find the application in its module."),
];

const ENVIRONMENT: [(&str, &str); 7] = [
    ("GUNICORN_CMD_ARGS", "More flags; those of the command line win."),
    ("PORT", "The default of `bind` is `0.0.0.0:$PORT` then."),
    ("WEB_CONCURRENCY", "The default of `workers`."),
    ("FORWARDED_ALLOW_IPS", "The default of `forwarded_allow_ips`."),
    ("VIRTUAL_ENV", "The virtual environment to run in, unless `--venv` names one."),
    ("LISTEN_FDS, LISTEN_PID, NOTIFY_SOCKET, WATCHDOG_USEC", "The interface of systemd."),
    ("NO_COLOR", "If set, help and errors have no colours on a terminal."),
];

const FILES: [(&str, &str); 3] = [
    ("gunicorn.conf.py", "The conf file, in the directory where the program is started."),
    ("rgunicorn.toml", "The same without Python."),
    ("pyproject.toml", "The same in its table `[tool.rgunicorn]`."),
];

const EXAMPLES: [(&str, &str); 3] = [
    ("rgunicorn shop:app", "Serve `app` of `shop.py` at http://127.0.0.1:8000."),
    (
        "rgunicorn -w 4 -b unix:/run/shop.sock -c shop.conf.py shop:app",
        "Four workers behind a proxy.",
    ),
    ("rgunicorn --check-config -c shop.conf.py shop:app", "Check before a deploy."),
];

/// The text of `rgunicorn.1`.
pub fn page() -> String {
    // Writing to a String cannot fail.
    let mut out =
        String::from(".\\\" Generated from the settings table; see docs/CONTRIBUTING.md.\n");
    let _ = writeln!(out, ".TH RGUNICORN 1 \"\" \"rgunicorn {}\"", env!("CARGO_PKG_VERSION"));
    out.push_str(
        ".SH NAME\nrgunicorn \\- serve a WSGI application in place of gunicorn\n.SH SYNOPSIS\n",
    );
    out.push_str(SYNOPSIS);
    out.push_str(".SH DESCRIPTION\n");
    for (at, text) in DESCRIPTION.iter().enumerate() {
        let _ = write!(out, "{}{}", if at == 0 { "" } else { ".PP\n" }, filled(text));
    }
    out.push_str(".SH OPTIONS\n.TP\n.B \\-h\nShow the settings that are used most.\n");
    out.push_str(".TP\n.B \\-\\-help\nShow all settings.\n");
    out.push_str(".TP\n.BR \\-v \", \" \\-\\-version\nShow the version.\n");
    sections(&mut out, |setting| !setting.flags.is_empty());
    out.push_str(".SH SETTINGS WITHOUT A FLAG\n");
    out.push_str("These can be set in the conf file only.\n");
    sections(&mut out, |setting| setting.flags.is_empty());
    list(&mut out, "SIGNALS", &SIGNALS);
    out.push_str(".PP\nThey are for the master, whose process id is in the log and in the file of `--pid`.\n");
    list(&mut out, "EXIT STATUS", &EXIT_STATUS);
    list(&mut out, "ENVIRONMENT", &ENVIRONMENT);
    list(&mut out, "FILES", &FILES);
    list(&mut out, "EXAMPLES", &EXAMPLES);
    out.push_str(".SH SEE ALSO\n.BR gunicorn (1),\n.BR systemd.socket (5),\n.BR nginx (8)\n");
    out.replace("`--pid`", "\\fB\\-\\-pid\\fR")
}

fn list(out: &mut String, title: &str, rows: &[(&str, &str)]) {
    let _ = writeln!(out, ".SH {title}");
    for (term, text) in rows {
        let _ = write!(out, ".TP\n.B {}\n{}", escaped(term), filled(text));
    }
}

fn sections(out: &mut String, which: fn(&Setting) -> bool) {
    let mut last = None;
    for setting in TABLE.iter().filter(|setting| which(setting) && setting.unbuilt.is_none()) {
        if last != Some(setting.section) {
            last = Some(setting.section);
            let _ = writeln!(out, ".SS {}", setting.section.title());
        }
        entry(out, setting);
    }
}

fn entry(out: &mut String, setting: &Setting) {
    let _ = writeln!(out, ".TP\n{}", tag(setting));
    for (at, paragraph) in setting.doc.split(|line| line.trim().is_empty()).enumerate() {
        let text: Vec<&str> = paragraph.iter().map(|line| line.trim()).collect();
        let _ = write!(out, "{}{}", if at == 0 { "" } else { ".IP\n" }, filled(&text.join(" ")));
    }
    let variables = setting.env.iter().map(|from| format!("the variable {}", from.var));
    let defaults: Vec<String> = default(setting).into_iter().chain(variables).collect();
    let name = escaped(setting.name);
    let mut facts =
        if setting.flags.is_empty() { String::new() } else { format!("Setting \\fB{name}\\fR. ") };
    if !defaults.is_empty() {
        let _ = write!(facts, "Default: {}. ", escaped(&defaults.join(", or ")));
    }
    let _ = writeln!(facts, "Changes {}.", setting.reload);
    let _ = write!(out, ".IP\n{facts}");
}

/// The flags with their placeholder, or the name of a setting without any.
fn tag(setting: &Setting) -> String {
    if setting.flags.is_empty() {
        return format!("\\fB{}\\fR", escaped(setting.name));
    }
    let flags: Vec<String> =
        setting.flags.iter().map(|flag| format!("\\fB{}\\fR", escaped(flag))).collect();
    let value = match (setting.metavar, setting.shape) {
        ("", _) => String::new(),
        (metavar, Shape::Optional(_)) => format!(" [\\fI{metavar}\\fR]"),
        (metavar, _) => format!(" \\fI{metavar}\\fR"),
    };
    format!("{}{value}", flags.join(", "))
}

/// Text in a line of its own per sentence or so, with what stands between backticks in bold.
fn filled(text: &str) -> String {
    let text = escaped(text);
    let mut parts = text.split('`');
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let Some(code) = parts.next() {
        let _ = write!(out, "\\fB{code}\\fR{}", parts.next().unwrap_or_default());
    }
    let out = out.replace(". ", ".\n");
    let lines = out.lines().map(|line| {
        // A point or an apostrophe would make a request of it.
        if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") }
    });
    lines.collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('~', "\\(ti")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(filled("`--x` 'y' \\ a. .B"), "\\fB\\-\\-x\\fR \\(aqy\\(aq \\e a.\n\\&.B\n");
        let page = page();
        let known =
            [".\\\"", ".TH", ".SH", ".SS", ".SY", ".YS", ".TP", ".IP", ".PP", ".B ", ".BR", ".RI"];
        for line in page.lines() {
            assert!(!line.contains('`') && line.is_ascii() && !line.is_empty(), "{line:?}");
            let request = line.starts_with(['.', '\'']);
            assert!(!request || known.iter().any(|known| line.starts_with(known)), "{line:?}");
        }
        for setting in TABLE.iter().filter(|setting| setting.unbuilt.is_none()) {
            assert!(
                page.contains(&format!("\\fB{}\\fR", escaped(setting.name))),
                "{}",
                setting.name
            );
        }
    }
}
