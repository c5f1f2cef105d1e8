//! The completions, in a real bash. Those of zsh and fish are checked by the command of `tests/system`.

use std::process::Command;

use crate::harness::server::APPS;

const FILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/docs/share/bash-completion/completions/rgunicorn");

/// What bash offers when TAB is pressed behind these words.
#[track_caller]
fn offered(words: &[&str]) -> Vec<String> {
    let script = "set -u; source \"$0\"; COMP_WORDS=(rgunicorn \"$@\"); COMP_CWORD=$#; _rgunicorn rgunicorn; \
                  for word in \"${COMPREPLY[@]}\"; do echo \"$word\"; done";
    let output = Command::new("bash")
        .args(["--norc", "-c", script, FILE])
        .args(words)
        .current_dir(APPS)
        .output()
        .expect("bash can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{words:?}: {said}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn flags_and_values_are_offered_where_they_fit() {
    assert_eq!(offered(&["--worker-c"]), ["--worker-class", "--worker-connections"]);
    assert!(offered(&["app:app", "-"]).len() > 80);
    assert_eq!(offered(&["-k", ""]), ["sync", "gthread"]);
    assert_eq!(offered(&["--log-level", "d"]), ["debug"]);
    // bash makes words of their own of `=` and of what is on both of its sides.
    assert_eq!(offered(&["--header-map", "="]), ["drop", "refuse", "dangerous"]);
    assert_eq!(offered(&["--header-map", "=", "r"]), ["refuse"]);
    assert_eq!(offered(&["--chdir", "/us"]), ["/usr"]);
    assert_eq!(offered(&["-c", "ech"]), ["echo.py"]);
    assert_eq!(offered(&["-b", ""]), [""; 0]);
    assert!(offered(&["--user", "roo"]).contains(&"root".to_owned()));
}

#[test]
fn applications_are_offered_by_their_modules() {
    assert_eq!(offered(&["ech"]), ["echo:"]);
    assert_eq!(offered(&["--preload", "respon"]), ["responses:"]);
    assert_eq!(offered(&["no_such_module"]), [""; 0]);
}
