//! The completions in zsh and fish, and the man page, as their own programs read them. bash is tested by `cargo
//! test`.

use std::process::Command;

const SHARE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/share");
const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps");

/// What a program prints, which must succeed without a complaint.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.current_dir(APPS).output().expect("the program can be started");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{command:?}: {text}\n{complaints}");
    text
}

#[test]
#[ignore = "run by tests/system/run"]
fn fish_completes() {
    let file = format!("{SHARE}/fish/vendor_completions.d/rgunicorn.fish");
    let offered = |line: &str| {
        let script = format!("source {file}; complete -C '{line}'");
        let text = said(Command::new("fish").args(["--no-config", "-c", &script]));
        let words = text.lines().filter_map(|line| line.split('\t').next());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offered("rgunicorn --worker-c"), ["--worker-class", "--worker-connections"]);
    assert_eq!(offered("rgunicorn -k "), ["gthread", "sync"]);
    assert_eq!(
        offered("rgunicorn --header-map=d"),
        ["--header-map=dangerous", "--header-map=drop"]
    );
    assert_eq!(offered("rgunicorn ech"), ["echo:"]);
    assert!(offered("rgunicorn --user roo").contains(&"root".to_owned()));
}

/// A terminal with a zsh in it; TAB is pressed behind each line, and the wait is for what has to be offered.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "unset zle_bracketed_paste; PS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; LISTMAX=999"
shift
for line offered in "$@"; do
    zpty -w -n z $'\x15'$line$'\t'
    zpty -r z seen "*${~offered}*" || exit 1
done
zpty -d z
echo completed
"#;

#[test]
#[ignore = "run by tests/system/run"]
fn zsh_completes() {
    let functions = format!("{SHARE}/zsh/site-functions");
    said(Command::new("zsh").args(["-n", &format!("{functions}/_rgunicorn")]));
    let text = said(
        Command::new("timeout")
            .args(["60", "zsh", "-f", "-c", ZSH, "zsh", &functions])
            .args(["rgunicorn --worker-", "--worker-class*--worker-connections"])
            .args(["rgunicorn -k ", "gthread*sync"])
            .args(["rgunicorn --header-map=", "dangerous*drop*refuse"])
            .args(["rgunicorn ech", "echo:"])
            .env("TERM", "xterm"),
    );
    assert_eq!(text, "completed\n");
}

#[test]
#[ignore = "run by tests/system/run"]
fn the_man_page_is_well_formed() {
    let page = format!("{SHARE}/man/man1/rgunicorn.1");
    assert_eq!(said(Command::new("mandoc").args(["-T", "lint", "-W", "error", &page])), "");
    let text = said(Command::new("mandoc").args(["-T", "ascii", "-O", "width=78", &page]));
    for part in ["-w, --workers", "GUNICORN_CMD_ARGS", "EXIT STATUS"] {
        // Bold text is written twice, with a backspace between.
        let plain: String = text.split('\u{8}').fold(String::new(), |mut plain, piece| {
            plain.pop();
            plain + piece
        });
        assert!(plain.contains(part), "{part} not in\n{plain}");
    }
}
