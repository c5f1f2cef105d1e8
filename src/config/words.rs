//! The words of a command line as argparse reads them, written out so that clap reads them likewise:
//! prefixes of long flags in full, short flags one by one, and the value of a flag joined to it.

use std::ffi::{OsStr, OsString};

use super::setting::{Setting, Shape};
use super::settings::{self, TABLE};
use super::value::quoted;

/// The first word that belongs to nothing, such as that of `app:app --reload true`: a positional argument with flags
/// between it and those in front. The words can be written out.
pub fn stray(args: &[OsString]) -> Option<OsString> {
    // Whether there was a positional argument, and a flag behind it.
    let (mut there, mut over) = (false, false);
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let word = if arg == "--" { args.next() } else { Some(arg) };
        let is_positional = arg == "--" || is_value(arg).unwrap_or(false);
        match word {
            Some(word) if is_positional && over => return Some(word.clone()),
            _ if arg == "--" => return None,
            _ if is_positional => there = true,
            _ => {
                over = there;
                let takes_next =
                    matches!(read(arg), Ok(Word::Flag(flag, None)) if takes_value(flag));
                if takes_next {
                    args.next_if(|next| is_value(next).unwrap_or(false));
                }
            }
        }
    }
    None
}

/// Writes the words out; positional arguments come last, behind `--`. What follows a flag that ends the
/// program, or one that lacks its value, is left out.
///
/// # Errors
/// argparse's message for a prefix that several flags begin with, and for a value that is none.
pub fn written_out(args: &[OsString]) -> Result<Vec<OsString>, String> {
    let mut out = Vec::with_capacity(args.len() + 1);
    let mut positional = Vec::new();
    for arg in args.iter().take_while(|arg| *arg != "--") {
        read(arg)?;
    }
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        if arg == "--" {
            positional.extend(args.cloned());
            break;
        }
        match read(arg)? {
            Word::Flag(flag, Some(value)) if is_last(flag) => {
                return Err(too_much(flag, &value.to_string_lossy()));
            }
            Word::Flag(flag, Some(value)) => out.push(joined(flag, value)),
            Word::Flag(flag, None) if is_last(flag) => {
                out.push(flag.into());
                return Ok(out);
            }
            Word::Flag(flag, None) if takes_value(flag) => {
                let next = args.peek().map(|next| is_value(next)).transpose()?.unwrap_or(false);
                if let Some(value) = args.next_if(|_| next) {
                    out.push(joined(flag, value));
                } else {
                    out.push(flag.into());
                    if !setting(flag).is_some_and(may_lack_value) {
                        return Ok(out);
                    }
                }
            }
            Word::Flag(flag, None) => out.push(flag.into()),
            Word::Other if is_value(arg)? => positional.push(arg.clone()),
            Word::Other => {
                let flags = apart(arg)?;
                let last = flags.iter().position(|flag| flag.to_str().is_some_and(is_last));
                out.extend(flags.iter().take(last.map_or(flags.len(), |last| last + 1)).cloned());
                if last.is_some() {
                    return Ok(out);
                }
            }
        }
    }
    if !positional.is_empty() {
        out.push("--".into());
        out.extend(positional);
    }
    Ok(out)
}

/// What a word is.
enum Word<'a> {
    /// A flag, in full, and the value behind its `=`.
    Flag(&'static str, Option<&'a OsStr>),
    /// A positional argument, short flags written together, or an unknown flag.
    Other,
}

fn read(word: &OsStr) -> Result<Word<'_>, String> {
    let Some(text) = word.to_str().filter(|text| text.len() > 1 && text.starts_with('-')) else {
        return Ok(Word::Other);
    };
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(OsStr::new(value))),
        None => (text, None),
    };
    if let Some(flag) = flags().find(|flag| *flag == text) {
        return Ok(Word::Flag(flag, None));
    }
    if let Some(flag) = flags().find(|flag| *flag == name) {
        return Ok(Word::Flag(flag, value));
    }
    if !name.starts_with("--") {
        return Ok(Word::Other);
    }
    // A prefix means what it means in gunicorn, whatever flags we have besides.
    let (mut theirs, ours): (Vec<_>, Vec<_>) =
        flags().filter(|flag| flag.starts_with(name)).partition(|flag| is_gunicorns(flag));
    theirs.sort_by_key(|flag| setting(flag).map(|setting| settings::rank(setting.name)));
    let matching = if theirs.is_empty() { ours } else { theirs };
    match matching[..] {
        [] => Ok(Word::Other),
        [flag] => Ok(Word::Flag(flag, value)),
        _ => Err(format!("ambiguous option: {text} could match {}", matching.join(", "))),
    }
}

/// Whether a word is an argument or the value of the flag before it: not a flag itself, known or not.
fn is_value(word: &OsStr) -> Result<bool, String> {
    if word == "--" || matches!(read(word)?, Word::Flag(..)) {
        return Ok(false);
    }
    let Some(text) = word.to_str().and_then(|text| text.strip_prefix('-')) else { return Ok(true) };
    let mut parts = text.splitn(2, '.');
    let number = parts.all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let short = || setting(&word.to_string_lossy().chars().take(2).collect::<String>()).is_some();
    Ok(number || text.contains(' ') && !short())
}

/// Takes short flags that are written together apart: `-DRn=x`.
///
/// # Errors
/// One that has no value is given one.
fn apart(word: &OsStr) -> Result<Vec<OsString>, String> {
    let whole = || Ok(vec![word.to_owned()]);
    let Some(letters) = word.to_str().and_then(|text| text.strip_prefix('-')) else {
        return whole();
    };
    let mut out = Vec::new();
    for (at, letter) in letters.char_indices() {
        let Some(flag) =
            flags().find(|flag| flag.strip_prefix('-').is_some_and(|f| f.chars().eq([letter])))
        else {
            // The first letter is none: the word is no flag that we know.
            let Some(before) = out.last().and_then(|flag: &OsString| flag.to_str()) else {
                return whole();
            };
            return Err(too_much(before, &letters[at..]));
        };
        let rest = &letters[at + letter.len_utf8()..];
        if takes_value(flag) && !rest.is_empty() {
            out.push(joined(flag, OsStr::new(rest.strip_prefix('=').unwrap_or(rest))));
            return Ok(out);
        }
        out.push(flag.into());
    }
    Ok(out)
}

/// argparse's message for the value of a flag that has none.
fn too_much(flag: &str, value: &str) -> String {
    let names = match flag {
        "-h" | "--help" => "-h/--help".to_owned(),
        "-v" | "--version" => "-v/--version".to_owned(),
        flag => setting(flag).map(|setting| setting.flags.join("/")).unwrap_or_default(),
    };
    format!("argument {names}: ignored explicit argument {}", quoted(value))
}

fn joined(flag: &str, value: &OsStr) -> OsString {
    // clap takes what follows a short flag for its value, with or without `=`.
    OsString::from_iter([OsStr::new(flag), OsStr::new("="), value])
}

fn flags() -> impl Iterator<Item = &'static str> {
    let table = TABLE.iter().flat_map(|setting| setting.flags).copied();
    table.chain(["-h", "--help", "-v", "--version"])
}

fn setting(flag: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.flags.contains(&flag))
}

fn is_gunicorns(flag: &str) -> bool {
    setting(flag).is_none_or(|setting| settings::is_gunicorns(setting.name))
}

/// Whether it is the last thing that is looked at: the program prints something and ends.
fn is_last(flag: &str) -> bool {
    ["-h", "--help", "-v", "--version"].contains(&flag)
}

fn may_lack_value(setting: &Setting) -> bool {
    matches!(setting.shape, Shape::Optional(_))
}

fn takes_value(flag: &str) -> bool {
    let shape = setting(flag).map(|setting| setting.shape);
    shape.is_some_and(|shape| !matches!(shape, Shape::None | Shape::Switch(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let out = written_out(&words).unwrap();
        out.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn prefixes_mean_what_they_mean_in_gunicorn() {
        for (word, flag) in [
            ("--max-requests-j=2", "--max-requests-jitter=2"),
            ("--log-fi=x", "--log-file=x"),
            // Our own: --venv, --header-timeout.
            ("--v", "--version"),
            ("--header", "--header-map"),
            ("--ven=x", "--venv=x"),
            ("--unknown=x", "--unknown=x"),
            ("-w4", "-w=4"),
            ("-w=4", "-w=4"),
        ] {
            assert_eq!(written(&[word]), [flag]);
        }
        let message = "ambiguous option: --work=3 could match --workers, --worker-class, \
                       --worker-connections, --worker-tmp-dir";
        assert_eq!(written_out(&["--work=3".into()]), Err(message.into()));
        assert_eq!(written_out(&["-n".into(), "--work=3".into()]), Err(message.into()));
    }

    #[test]
    fn values_are_joined_to_their_flags() {
        for (words, out) in [
            (&["-w", "4", "a:b", "-D"][..], &["-w=4", "-D", "--", "a:b"][..]),
            (&["-w", "-1"], &["-w=-1"]),
            (&["-n", "-1.5", "-n", "-.5"], &["-n=-1.5", "-n=-.5"]),
            (&["-n", "-x y", "-n", "-"], &["-n=-x y", "-n=-"]),
            (&["-n", "-w y"], &["-n"]),
            (&["-n", "--x", "-n", "--name"], &["-n"]),
            (&["-n", "-v", "a:b"], &["-n"]),
            (&["a:b", "-w", "2", "-v", "-n"], &["-w=2", "-v"]),
            (&["a:b", "-DR", "-Rw4", "-Dv", "--x"], &["-D", "-R", "-R", "-w=4", "-D", "-v"]),
            (&["-Z", "-Dw=4", "-Dw"], &["-Z", "-D", "-w=4", "-D", "-w"]),
            (&["-1", "-x y", "--preload"], &["--preload", "--", "-1", "-x y"]),
            (&["--proxy-protocol", "v1"], &["--proxy-protocol=v1"]),
            (&["--proxy-p", "-w", "1"], &["--proxy-protocol", "-w=1"]),
            (&["-n", "--", "--work"], &["-n"]),
            (&["-n", ""], &["-n="]),
        ] {
            assert_eq!(written(words), out, "{words:?}");
        }
        for (word, message) in [
            ("-Dx", "argument -D/--daemon: ignored explicit argument 'x'"),
            ("-DR=1", "argument -R/--enable-stdio-inheritance: ignored explicit argument '=1'"),
            ("-vx", "argument -v/--version: ignored explicit argument 'x'"),
            ("--help=1", "argument -h/--help: ignored explicit argument '1'"),
        ] {
            assert_eq!(written_out(&[word.into()]), Err(message.into()));
        }
    }
}
