//! Completions of the command line for shells.

use std::fmt::Write as _;

use crate::config::setting::{Setting, Shape};
use crate::config::settings::TABLE;

/// What a flag is followed by.
#[derive(Debug, PartialEq)]
enum Follows {
    /// Another word.
    Nothing,
    Files,
    Directories,
    Users,
    Groups,
    /// Mostly one of these.
    Words(Vec<&'static str>),
    Text,
}

/// What the words that a setting accepts are, where the reference says it in a sentence.
const WORDS: [(&str, &[&str]); 4] = [
    ("workers", &["auto"]),
    ("worker_class", &["sync", "gthread"]),
    ("loglevel", &["debug", "info", "warning", "error", "critical"]),
    ("access_log_format", &["json"]),
];

fn follows(setting: &Setting) -> Follows {
    if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == setting.name) {
        return Follows::Words(words.to_vec());
    }
    match (setting.shape, setting.metavar) {
        (Shape::None | Shape::Switch(_), _) => Follows::Nothing,
        (_, "FILE" | "FILES" | "CONFIG" | "CONF" | "PATH") => Follows::Files,
        (_, "DIR" | "CHDIR") => Follows::Directories,
        (_, "USER") => Follows::Users,
        (_, "GROUP") => Follows::Groups,
        _ => listed(setting.accepts).map_or(Follows::Text, Follows::Words),
    }
}

/// The words of `a, b or c`.
fn listed(accepts: &'static str) -> Option<Vec<&'static str>> {
    let list = accepts.split(';').next()?;
    let words: Vec<&str> = list.split(", ").flat_map(|part| part.split(" or ")).collect();
    let plain = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    (words.len() > 1 && words.iter().all(plain)).then_some(words)
}

fn options() -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().filter(|setting| !setting.flags.is_empty() && setting.unbuilt.is_none())
}

/// The first line of the documentation.
fn summary(setting: &Setting) -> String {
    let first = setting.doc.first().copied().unwrap_or_default();
    first.trim().trim_end_matches('.').replace('`', "")
}

const HEAD: &str = "Generated from the settings table; see docs/CONTRIBUTING.md.";

/// For bash, with or without the package bash-completion.
pub fn bash() -> String {
    // Writing to a String cannot fail.
    let mut flags = String::from("-h --help -v --version");
    let mut cases = String::new();
    for setting in options() {
        let _ = write!(flags, " {}", setting.flags.join(" "));
        let action = match follows(setting) {
            Follows::Nothing => continue,
            Follows::Files => "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")".to_owned(),
            Follows::Directories => "mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")".to_owned(),
            Follows::Users => "COMPREPLY=($(compgen -u -- \"$cur\"))".to_owned(),
            Follows::Groups => "COMPREPLY=($(compgen -g -- \"$cur\"))".to_owned(),
            Follows::Words(words) => {
                format!("COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))", words.join(" "))
            }
            Follows::Text => "COMPREPLY=()".to_owned(),
        };
        let _ = writeln!(cases, "        {}) {action}; return ;;", setting.flags.join("|"));
    }
    format!(
        "# {HEAD}
_rgunicorn() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
    local IFS=$' \\t\\n'
    # \"--flag=value\" is three words to bash.
    if [[ $cur == \"=\" ]]; then
        cur=
    elif [[ $prev == \"=\" ]]; then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    case $prev in
{cases}    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W \"{flags}\" -- \"$cur\"))
        return
    fi
    # The application: a module of the working directory.
    local file
    COMPREPLY=()
    for file in \"$cur\"*.py; do
        [[ -f $file ]] && COMPREPLY+=(\"${{file%.py}}:\")
    done
    type compopt >/dev/null 2>&1 && compopt -o nospace 2>/dev/null
    return 0
}}
complete -o filenames -F _rgunicorn rgunicorn
"
    )
}

/// For zsh's completion system.
pub fn zsh() -> String {
    let quoted = |text: &str| {
        text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace('\'', "'\\''")
    };
    let mut specs = String::new();
    for setting in options() {
        let value = match follows(setting) {
            Follows::Nothing => String::new(),
            Follows::Files => ":file:_files".to_owned(),
            Follows::Directories => ":directory:_files -/".to_owned(),
            Follows::Users => ":user:_users".to_owned(),
            Follows::Groups => ":group:_groups".to_owned(),
            Follows::Words(words) => {
                let words: Vec<String> =
                    words.iter().map(|word| word.replace(':', "\\:")).collect();
                format!(":{}:({})", setting.metavar.to_lowercase(), words.join(" "))
            }
            Follows::Text => format!(":{}: ", setting.metavar.to_lowercase()),
        };
        let many = if setting.shape == Shape::Many { "*" } else { "" };
        for flag in setting.flags {
            // How the value may be joined to the flag, or, where it may be left out, has to be.
            let joined = match (value.is_empty(), setting.shape, flag.starts_with("--")) {
                (true, _, _) => "",
                (false, Shape::Optional(_), _) => "=-",
                (false, _, true) => "=",
                (false, _, false) => "+",
            };
            let others: Vec<&str> =
                setting.flags.iter().copied().filter(|other| other != flag).collect();
            let excluded = if many.is_empty() && !others.is_empty() {
                format!("({})", others.join(" "))
            } else {
                String::new()
            };
            let value = match setting.shape {
                Shape::Optional(_) => value.replacen(':', "::", 1),
                _ => value.clone(),
            };
            let text = quoted(&summary(setting));
            let _ = writeln!(specs, "    '{many}{excluded}{flag}{joined}[{text}]{value}' \\");
        }
    }
    format!(
        "#compdef rgunicorn
# {HEAD}
_rgunicorn_app() {{
    local -a modules
    modules=(*.py(N:r))
    compadd -S : -a modules
}}

_arguments -s -S \\
    '(- *)-h[Show the settings that are used most]' \\
    '(- *)--help[Show all settings]' \\
    '(- *)'{{-v,--version}}'[Show the version]' \\
{specs}    '1:application:_rgunicorn_app'
"
    )
}

/// For fish.
pub fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut out = format!(
        "# {HEAD}
complete -c rgunicorn -f
complete -c rgunicorn -a '(set -l files *.py; string replace .py : -- $files)' -d Application
complete -c rgunicorn -s h -d 'Show the settings that are used most'
complete -c rgunicorn -l help -d 'Show all settings'
complete -c rgunicorn -s v -l version -d 'Show the version'
"
    );
    for setting in options() {
        let _ = write!(out, "complete -c rgunicorn");
        for flag in setting.flags {
            let _ = match flag.strip_prefix("--") {
                Some(long) => write!(out, " -l {long}"),
                None => write!(out, " -s {}", flag.trim_start_matches('-')),
            };
        }
        let _ = match follows(setting) {
            Follows::Nothing => Ok(()),
            Follows::Files => write!(out, " -r -F"),
            Follows::Directories => write!(out, " -x -a '(__fish_complete_directories)'"),
            Follows::Users => write!(out, " -x -a '(__fish_complete_users)'"),
            Follows::Groups => write!(out, " -x -a '(__fish_complete_groups)'"),
            Follows::Words(words) => write!(out, " -x -a '{}'", words.join(" ")),
            Follows::Text => write!(out, " -x"),
        };
        let _ = writeln!(out, " -d '{}'", quoted(&summary(setting)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_table() {
        let of = |name: &str| {
            follows(TABLE.iter().find(|setting| setting.name == name).expect("it is a setting"))
        };
        assert_eq!(of("header_map"), Follows::Words(vec!["drop", "refuse", "dangerous"]));
        assert_eq!(of("proxy_protocol"), Follows::Words(vec!["off", "v1", "v2", "auto"]));
        assert_eq!(of("error_log_format"), Follows::Words(vec!["text", "json"]));
        assert_eq!([of("bind"), of("backlog"), of("raw_env")], [const { Follows::Text }; 3]);
        assert_eq!([of("pidfile"), of("config")], [const { Follows::Files }; 2]);
        assert_eq!([of("chdir"), of("venv")], [const { Follows::Directories }; 2]);
        assert_eq!([of("daemon"), of("sendfile")], [const { Follows::Nothing }; 2]);
        for (name, _) in WORDS {
            assert!(matches!(of(name), Follows::Words(_)), "{name}");
        }
    }
}
