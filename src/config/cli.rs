//! The command line: a clap command made of the table, which behaves as argparse does.

use std::ffi::{OsStr, OsString};

use clap::builder::OsStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::number::{self, Base, NotInt};
use super::reference::help::{Extent, Page, help};
use super::setting::{Setting, Shape};
use super::settings::TABLE;
use super::value::{Value, quoted};
use super::words;
use crate::error::Error;

const USAGE: &str = "rgunicorn [OPTIONS] [APP_MODULE]";

/// What the words of a command line ask for.
#[derive(Debug)]
pub enum Parsed {
    /// To print this on standard output and exit.
    Exit(Question),
    Flags(Flags),
}

/// What one may ask the program for, other than to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Help(Extent),
    Version,
}

impl Question {
    /// The answer, for a page like this.
    pub fn answer(self, page: Page) -> String {
        match self {
            Self::Help(extent) => help(extent, USAGE, page),
            Self::Version => format!("rgunicorn (version {})\n", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// The settings given on a command line, in the table's order, each once.
#[derive(Debug, Default)]
pub struct Flags {
    /// The first positional argument.
    pub app: Option<String>,
    /// Those right behind it, which mean nothing.
    pub ignored: Vec<String>,
    pub values: Vec<(&'static str, Value)>,
}

impl Flags {
    /// The text given for a setting, unless that is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find_map(|(other, value)| match value {
            Value::Str(text) if *other == name && !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Parses a command line, without the program's name.
///
/// # Errors
/// In argparse's form: the usage line and `rgunicorn: error: ...`, exit status 2.
pub fn parse(args: &[OsString]) -> Result<Parsed, Error> {
    let stray = words::stray(args);
    let args = words::written_out(args).map_err(|message| usage(&message))?;
    let error = match command().try_get_matches_from(&args) {
        Ok(matches) => {
            let flags = flags(&matches)?;
            return match stray {
                None => Ok(Parsed::Flags(flags)),
                Some(word) => Err(usage(&unknown(&word.to_string_lossy(), ""))),
            };
        }
        Err(error) => error,
    };
    // The flag is the last one.
    let (last, before) =
        args.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
    let question = match error.kind() {
        ErrorKind::DisplayHelp if last.is_some_and(|word| word == "--help") => {
            Question::Help(Extent::All)
        }
        ErrorKind::DisplayHelp => Question::Help(Extent::Common),
        ErrorKind::DisplayVersion => Question::Version,
        _ => return Err(usage(&describe(&error))),
    };
    // A wrong value in front of it was seen before.
    if let Ok(matches) = command().try_get_matches_from(before) {
        flags(&matches)?;
    }
    Ok(Parsed::Exit(question))
}

/// The settings that can be given on the command line.
fn options() -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().filter(|setting| !setting.flags.is_empty())
}

/// The clap command. What `-h` prints is none of its business.
pub fn command() -> Command {
    let app = Arg::new("APP_MODULE")
        .num_args(0..)
        .action(ArgAction::Append)
        .value_parser(OsStringValueParser::new());
    let general = [
        Arg::new("help").short('h').long("help").action(ArgAction::Help),
        Arg::new("version").short('v').long("version").action(ArgAction::Version),
    ];
    // Flags that are hidden are not suggested.
    let described = options().map(|setting| argument(setting).hide(setting.unbuilt.is_some()));
    Command::new("rgunicorn")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(app)
        .args(general)
        .args(described)
}

fn argument(setting: &'static Setting) -> Arg {
    let name = setting.name;
    let mut arg = Arg::new(name);
    for flag in setting.flags {
        arg = match (flag.strip_prefix("--"), flag.chars().nth(1)) {
            (Some(long), _) if arg.get_long().is_none() => arg.long(long),
            (Some(long), _) => arg.visible_alias(long),
            (None, Some(short)) => arg.short(short),
            (None, None) => arg,
        };
    }
    match setting.shape {
        Shape::None | Shape::Switch(_) => arg.action(ArgAction::SetTrue).overrides_with(name),
        Shape::Optional(_) => value(arg, ArgAction::Set).overrides_with(name).num_args(0..=1),
        // The last of several wins, as in argparse; but the others have to be right too.
        Shape::One | Shape::Int | Shape::IntOr(_) | Shape::Bits | Shape::Many => {
            value(arg, ArgAction::Append).num_args(1)
        }
    }
}

fn value(arg: Arg, action: ArgAction) -> Arg {
    arg.action(action).value_parser(OsStringValueParser::new())
}

fn flags(matches: &ArgMatches) -> Result<Flags, Error> {
    let mut words = matches.get_raw("APP_MODULE").into_iter().flatten();
    let app = words.next().map(|word| utf8(word, "APP_MODULE")).transpose()?;
    let ignored = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut values = Vec::new();
    for option in options() {
        if matches.value_source(option.name) != Some(clap::parser::ValueSource::CommandLine) {
            continue;
        }
        let name = option.flags.join("/");
        let mut texts = Vec::new();
        if !matches!(option.shape, Shape::None | Shape::Switch(_)) {
            for word in matches.get_raw(option.name).into_iter().flatten() {
                texts.push(utf8(word, &name)?);
            }
        }
        let value = match option.shape {
            Shape::Switch(on) => Value::Bool(on),
            Shape::Many => Value::List(texts.into_iter().map(Value::Str).collect()),
            shape => {
                let mut last = match shape {
                    Shape::Optional(without) => without.into(),
                    _ => Value::None,
                };
                for text in texts {
                    last = single(shape, text, &name)?;
                }
                last
            }
        };
        values.push((option.name, value));
    }
    Ok(Flags { app, ignored, values })
}

/// What a flag with one value makes of it.
fn single(shape: Shape, text: String, flags: &str) -> Result<Value, Error> {
    match shape {
        Shape::IntOr(word) if text == word => Ok(text.into()),
        Shape::Int | Shape::IntOr(_) => integer(number::int(&text, Base::Ten), "int", &text, flags),
        Shape::Bits => integer(bits(&text), "auto_int", &text, flags),
        _ => Ok(Value::Str(text)),
    }
}

/// What argparse makes of a number; what does not fit 64 bits is left to the validator.
fn integer(read: Result<i64, NotInt>, kind: &str, text: &str, flags: &str) -> Result<Value, Error> {
    match read {
        Ok(number) => Ok(Value::Int(number)),
        Err(NotInt::Range) => Ok(Value::BigInt(text.trim().to_owned())),
        Err(NotInt::Form) => {
            Err(usage(&format!("argument {flags}: invalid {kind} value: {}", quoted(text))))
        }
    }
}

/// A number as in a program, but with a leading zero for octal, as in a shell.
fn bits(text: &str) -> Result<i64, NotInt> {
    let mut chars = text.chars();
    let octal = chars.next() == Some('0') && chars.next().is_some_and(|c| c.is_ascii_digit());
    if octal {
        return number::int(&format!("0o{}", &text[1..]), Base::Auto);
    }
    number::int(text, Base::Auto)
}

fn utf8(word: &OsStr, flags: &str) -> Result<String, Error> {
    word.to_str().map(str::to_owned).ok_or_else(|| {
        let shown = quoted(&word.to_string_lossy());
        usage(&format!("argument {flags}: {shown} is not valid UTF-8"))
    })
}

fn usage(message: &str) -> Error {
    Error::usage(format!("usage: {USAGE}\nrgunicorn: error: {message}\n"))
}

/// clap's error in argparse's words.
fn describe(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let arg = context(ContextKind::InvalidArg);
    let given = context(ContextKind::InvalidValue);
    // clap names an option by one flag and its placeholder: `--bind <ADDRESS>`.
    let flag = arg.split_whitespace().next().unwrap_or_default();
    let flags = options()
        .find(|option| option.flags.contains(&flag))
        .map_or_else(|| flag.to_owned(), |option| option.flags.join("/"));
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(&arg, &context(ContextKind::SuggestedArg)),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            format!("argument {flags}: expected one argument")
        }
        ErrorKind::TooManyValues => {
            format!("argument {flags}: ignored explicit argument {}", quoted(&given))
        }
        _ => error.kind().to_string(),
    }
}

fn unknown(arg: &str, suggestion: &str) -> String {
    if suggestion.is_empty() {
        format!("unrecognized arguments: {arg} (rgunicorn --help lists all options)")
    } else {
        format!("unrecognized arguments: {arg} (did you mean {suggestion}?)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn given(args: &[&str]) -> Flags {
        match parse(&words(args)) {
            Ok(Parsed::Flags(flags)) => flags,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    fn refused(args: &[&str]) -> String {
        let error = parse(&words(args)).unwrap_err();
        assert_eq!(error.status(), 2);
        let prefix = "usage: rgunicorn [OPTIONS] [APP_MODULE]\nrgunicorn: error: ";
        let report = error.report();
        report.strip_prefix(prefix).expect("argparse's form").trim_end().to_owned()
    }

    fn asked(args: &[&str]) -> Question {
        match parse(&words(args)) {
            Ok(Parsed::Exit(question)) => question,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    #[test]
    fn clap_finds_the_command_consistent() {
        command().debug_assert();
    }

    #[test]
    fn options_and_positionals_interleave() {
        for args in [
            &["-w", "4", "app:app", "extra", "-b", ":80", "--preload"][..],
            &["app:app", "extra", "-w4", "--bind=:80", "--preload"],
            &["--preload", "-w=4", "-b:80", "--", "app:app", "-w"],
        ] {
            let flags = given(args);
            assert_eq!(flags.app.as_deref(), Some("app:app"), "{args:?}");
            let expected: Vec<(&str, Value)> =
                vec![("bind", [":80"].into()), ("workers", 4.into()), ("preload_app", true.into())];
            assert_eq!(flags.values, expected, "{args:?}");
        }
    }

    #[test]
    fn the_last_of_single_options_wins_and_lists_collect() {
        let flags = given(&["-w1", "--workers", "2", "-e", "A=1", "--env", "B=2", "-w", "3"]);
        let env: Value = ["A=1", "B=2"].into();
        assert_eq!(flags.values, [("workers", 3.into()), ("raw_env", env)]);
        let flags = given(&["--preload", "--preload", "--no-sendfile"]);
        assert_eq!(flags.values, [("preload_app", true.into()), ("sendfile", false.into())]);
    }

    #[test]
    fn values_that_may_be_left_out_stand_for_what_the_table_says() {
        assert_eq!(given(&["--proxy-protocol"]).values, [("proxy_protocol", "auto".into())]);
        let flags = given(&["app:app", "--proxy-protocol", "--no-request-buffering"]);
        let expected = [("proxy_protocol", "auto".into()), ("request_buffering", false.into())];
        assert_eq!(flags.values, expected);
        assert_eq!(given(&["--proxy-protocol=v2"]).values, [("proxy_protocol", "v2".into())]);
        // As with argparse, the next word is the value.
        let flags = given(&["--proxy-protocol", "app:app"]);
        assert_eq!((flags.app, flags.values), (None, vec![("proxy_protocol", "app:app".into())]));
    }

    #[test]
    fn unique_prefixes_are_enough_and_ambiguous_ones_are_named() {
        assert_eq!(given(&["--max-requests-j", "2"]).values, [("max_requests_jitter", 2.into())]);
        assert_eq!(given(&["--log-fi", "x"]).values, [("errorlog", "x".into())]);
        assert_eq!(
            refused(&["--work", "3", "app:app"]),
            "ambiguous option: --work could match --workers, --worker-class, \
             --worker-connections, --worker-tmp-dir"
        );
    }

    #[test]
    fn values_may_look_like_flags_where_argparse_lets_them() {
        assert_eq!(given(&["-w", "-1"]).values, [("workers", (-1).into())]);
        assert_eq!(given(&["--access-logfile", "-"]).values, [("accesslog", "-".into())]);
        for args in [
            &["--access-logformat", "-%(h)s x", "app:app"][..],
            &["--access-logfo", "-%(h)s x", "app:app"],
            &["--access-logformat=-%(h)s x", "app:app"],
        ] {
            let flags = given(args);
            assert_eq!(flags.values, [("access_log_format", "-%(h)s x".into())], "{args:?}");
            assert_eq!(flags.app.as_deref(), Some("app:app"));
        }
        assert_eq!(given(&["--env=A=b c"]).values, [("raw_env", ["A=b c"].into())]);
        assert_eq!(refused(&["-n", "--env=A=b c"]), "argument -n/--name: expected one argument");
    }

    #[test]
    fn errors_are_argparses() {
        let cases: &[(&[&str], &str)] = &[
            (&["-w", "x"], "argument -w/--workers: invalid int value: 'x'"),
            (&["-wx"], "argument -w/--workers: invalid int value: 'x'"),
            (&["--workers=0x10"], "argument -w/--workers: invalid int value: '0x10'"),
            (&["--backlog", ""], "argument --backlog: invalid int value: ''"),
            (&["-w"], "argument -w/--workers: expected one argument"),
            (&["-e"], "argument -e/--env: expected one argument"),
            (&["-b", "--workers", "3"], "argument -b/--bind: expected one argument"),
            (&["--preload=true"], "argument --preload: ignored explicit argument 'true'"),
            (&["--log-file"], "argument --error-logfile/--log-file: expected one argument"),
            (&["--umask"], "argument -m/--umask: expected one argument"),
        ];
        for (args, message) in cases {
            assert_eq!(refused(args), *message, "{args:?}");
        }
    }

    #[test]
    fn unknown_flags_get_a_suggestion() {
        assert_eq!(
            refused(&["--wrokers", "3"]),
            "unrecognized arguments: --wrokers (did you mean --workers?)"
        );
        assert_eq!(
            refused(&["--zzz"]),
            "unrecognized arguments: --zzz (rgunicorn --help lists all options)"
        );
        assert!(refused(&["-Z"]).starts_with("unrecognized arguments: -Z"));
    }

    #[test]
    fn help_and_version() {
        let version = Question::Version.answer(Page { columns: 80, colours: true });
        assert_eq!(version, concat!("rgunicorn (version ", env!("CARGO_PKG_VERSION"), ")\n"));
        for (args, question) in [
            (&["-v"][..], Question::Version),
            (&["--vers", "app:app"], Question::Version),
            (&["-w", "2", "--help"], Question::Help(Extent::All)),
            (&["--hel"], Question::Help(Extent::All)),
            (&["-h", "app:app"], Question::Help(Extent::Common)),
            (&["-Dh", "--no-such-flag", "--", "--help"], Question::Help(Extent::Common)),
        ] {
            assert_eq!(asked(args), question, "{args:?}");
        }
    }

    #[test]
    fn a_word_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let word = OsString::from_vec(vec![b'/', 0xff]);
        let error = parse(&["-p".into(), word]).unwrap_err();
        assert!(error.report().contains("argument -p/--pid: '/\u{fffd}' is not valid UTF-8"));
    }

    proptest! {
        #[test]
        fn any_words_are_survived(args in proptest::collection::vec("(-|--)?[a-z=' -]{0,9}", 0..6)) {
            let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
            if let Err(error) = parse(&args) {
                prop_assert_eq!(error.status(), 2);
                prop_assert!(error.report().starts_with("usage: "));
            }
        }
    }
}
