//! Follows `docs/quickstart.md`: its commands, in a shell, one after the other.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{ROOT, read};
use crate::harness::{BOUND, venv};

/// Begin lines that the test environment makes unnecessary.
const PREPARED: [&str; 3] = ["python3 -m venv ", ". venv/bin/activate", "pip install "];

/// The commands of the page: the blocks marked `sh`. Those marked `console` are not for a test.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Whether a line starts a server in the foreground.
fn serves(line: &str) -> bool {
    let name = line.split_whitespace().next().unwrap_or_default();
    matches!(name, "gunicorn" | "rgunicorn")
        && !["--check-config", "--print-config", "--version"].iter().any(|flag| line.contains(flag))
}

/// A server goes to the background, where the page has a second terminal, and is stopped as by Ctrl-C before
/// the next one is started.
fn script(page: &str, port: u16) -> String {
    let mut out = String::from(PRELUDE);
    for line in commands(page).iter().flat_map(|block| block.lines()) {
        let line = line.replace(":8000", &format!(":{port}"));
        if PREPARED.iter().any(|prefix| line.starts_with(prefix)) {
            continue;
        }
        let (before, behind) = match () {
            () if serves(&line) => ("stop_server; start_server ", ""),
            () if line.starts_with("kill -HUP") => ("", "; after_reload"),
            // There are differences, and the shell ends at what fails.
            () if line.starts_with("diff ") => ("", " || [ $? = 1 ]"),
            () => ("", ""),
        };
        out.extend([before, &line, behind, "\n"]);
    }
    out.push_str("stop_server; echo followed\n");
    out
}

const PRELUDE: &str = r#"
set -eu
server=
reloads=0
await() { # TEXT COUNT
    for _ in $(seq 600); do
        if [ "$(grep -c "$1" log)" -ge "$2" ]; then return; fi
        if ! kill -0 $server 2>/dev/null; then echo "the server is gone"; break; fi
        sleep 0.1
    done
    echo "no '$1' in the log:"; cat log; exit 1
}
start_server() {
    : > log
    "$@" > access 2> log & server=$!
    reloads=0
    await "has begun" 2
}
stop_server() {
    [ -n "$server" ] || return 0
    kill -INT $server; wait $server; server=
}
after_reload() { # the first comes up, the second fails, the third comes up
    reloads=$((reloads + 1))
    case $reloads in
        1) await "has begun" 4 ;;
        2) await "The reload failed" 1 ;;
        *) await "Hang up" 3; await "has begun" 8 ;;
    esac
}
trap '[ -z "$server" ] || kill -KILL $server' EXIT
"#;

/// A port that stays free: not one of those that the system gives to whoever asks for any.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("it is small");
    let mut ports = first..first + 1000;
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a port below those of the system is free")
}

#[test]
fn the_quick_start_can_be_followed() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let copy = place.path().join("examples/flask");
    fs::create_dir_all(copy.join("static")).expect("the directory is writable");
    for name in ["app.py", "requirements.txt", "static/style.css"] {
        let from = Path::new(ROOT).join("examples/flask").join(name);
        fs::copy(from, copy.join(name)).expect("the example is there");
    }
    let port = free_port();
    let page = read(&Path::new(ROOT).join("docs/quickstart.md"));
    let programs =
        Path::new(env!("CARGO_BIN_EXE_rgunicorn")).parent().expect("it is in a directory");
    let old = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{old}", programs.display(), venv::path().join("bin").display());
    let child = Command::new("timeout")
        .args([&BOUND.as_secs().to_string(), "bash", "-c", &script(&page, port)])
        .current_dir(place.path())
        .env("PATH", path)
        .env("VIRTUAL_ENV", venv::path())
        .env_remove("GUNICORN_CMD_ARGS")
        .env("HOME", place.path())
        .stdin(Stdio::null())
        .output();
    let output = child.expect("bash can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.ends_with("followed\n"), "{said}\n{complaints}");
    assert_eq!(said.matches("<h1>Guestbook</h1>").count(), 3, "{said}");
    assert!(said.contains("rgunicorn (version "), "{said}");
    // Of the two configurations only lines are added.
    assert!(said.contains("\n> request_buffering "), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("< ")), "{said}");
}
