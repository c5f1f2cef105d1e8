//! What the command says about itself.

use std::process::{Command, Stdio};

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::server::is_wheel;
use crate::harness::{Builder, Outcome, ServerKind, venv};

on_both_servers!(asked_for_nothing, help_before_mistakes);

on_rgunicorn!(hints, terminals);

/// Runs the command with these arguments alone.
#[track_caller]
fn command(kind: ServerKind, args: &[&str]) -> Outcome {
    Builder::new(kind).without_bind().in_own_dir().args(args).run()
}

fn asked_for_nothing(kind: ServerKind) {
    let outcome = command(kind, &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""));
    let text = "\nError: No application module specified.\n";
    assert!(outcome.stderr.starts_with(text), "{}", outcome.stderr);
}

fn help_before_mistakes(kind: ServerKind) {
    let usage = format!("usage: {} [OPTIONS] [APP_MODULE]\n\n", kind.name());
    for args in [&["-h"][..], &["--help"], &["--hel", "--no-such-flag"], &["no:app", "-Dh"]] {
        let outcome = command(kind, args);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(outcome.stdout.starts_with(&usage), "{args:?}: {}", outcome.stdout);
        assert!(outcome.stdout.contains("--workers"), "{args:?}: {}", outcome.stdout);
    }
}

fn hints(kind: ServerKind) {
    let nothing = command(kind, &[]).stderr;
    assert!(nothing.contains("\n\n    rgunicorn shop:app\n\n"), "{nothing}");
    let [short, long] = ["-h", "--help"].map(|flag| command(kind, &[flag]).stdout);
    assert!(short.lines().count() * 3 < long.lines().count(), "{short}");
    assert!(short.ends_with("rgunicorn --help shows all settings.\n"), "{short}");
    for (name, meant) in [("app", "app"), ("create_app", "create_app()")] {
        let file = format!("def {name}(*_):\n    pass\n");
        let builder = Builder::new(kind).in_own_dir().file("shop.py", &file);
        let outcome = builder.app("shop:nothing").args(["--check-config"]).run();
        let sentence = "Failed to find attribute 'nothing' in 'shop'. Did you mean 'shop:";
        let question = format!("{sentence}{meant}'?");
        assert!(outcome.stderr.contains(&question), "{}", outcome.stderr);
    }
    let loading = |app: &str, name: &str| {
        let builder = Builder::new(kind).in_own_dir().file(name, "import no_such_package\n");
        let place = builder.dir().canonicalize().expect("it is there");
        (builder.app(app).args(["--check-config"]).run().stderr, place)
    };
    let (said, place) = loading("shop.wsgi:app", "other.py");
    let sentence = format!("No module named 'shop' in {} (--chdir names", place.display());
    assert!(said.contains(&sentence), "{said}");
    let (said, place) = loading("other:app", "other.py");
    let sentence =
        format!("No module named 'no_such_package' in {} or the environment ", place.display());
    assert!(said.contains(&sentence), "{said}");
    // A wheel that is tested is in another environment than the active one, which is that of the tests.
    assert_eq!(said.contains("; the active one is "), is_wheel(), "{said}");
    let builder = Builder::new(kind).in_own_dir().file("shop.py", "import email.no_such_part\n");
    let said = builder.app("shop:app").args(["--check-config"]).run().stderr;
    assert!(said.ends_with("No module named 'email.no_such_part'\n"), "{said}");
    for (app, sentence) in [
        ("other/wsgi:app", "No module named 'other/wsgi'; did you mean 'other.wsgi'?\n"),
        (":app", "':app' names no module; the application is MODULE:CALLABLE\n"),
    ] {
        let (said, _) = loading(app, "other.py");
        assert!(said.ends_with(sentence), "{said}");
    }
    let (said, _) = loading("./other.py:app", "other.py");
    assert!(said.contains("did you mean 'other:app', with --chdir .?\n"), "{said}");
    let mistyped = command(kind, &["--wrokers", "3"]);
    assert_eq!(mistyped.status, Some(2));
    assert!(
        mistyped.stderr.ends_with(": --wrokers (did you mean --workers?)\n"),
        "{}",
        mistyped.stderr
    );
}

/// What the command prints on a terminal with these variables.
#[track_caller]
fn on_a_terminal(arguments: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(venv::python());
    let script = "import pty, sys; pty.spawn(['/bin/sh', '-c', sys.argv[1]])";
    command
        .args(["-c", script])
        .stdin(Stdio::null())
        .arg(format!("{} {arguments}", env!("CARGO_BIN_EXE_rgunicorn")));
    for name in ["NO_COLOR", "COLUMNS", "GUNICORN_CMD_ARGS"] {
        command.env_remove(name);
    }
    let output = command.env("TERM", "xterm").envs(variables.iter().copied()).output();
    String::from_utf8_lossy(&output.expect("python3 can be started").stdout).replace("\r\n", "\n")
}

fn terminals(_: ServerKind) {
    assert!(on_a_terminal("-h", &[]).starts_with("\x1b[1musage:\x1b[0m rgunicorn"));
    assert!(on_a_terminal("", &[]).contains("\n\x1b[1;31mError:\x1b[0m No application module"));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text =
            on_a_terminal("--help; :", &[plain]) + &on_a_terminal("--no-such-flag", &[plain]);
        assert!(text.contains("rgunicorn: error: ") && !text.contains('\x1b'), "{plain:?}: {text}");
    }
    let width = |columns| {
        let text = on_a_terminal("--help", &[("COLUMNS", columns), ("NO_COLOR", "1")]);
        text.lines().map(|line| line.chars().count()).max().unwrap_or_default()
    };
    assert!(width("70") <= 70 && width("95") > 80 && width("95") <= 95);
}
