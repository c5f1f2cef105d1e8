//! Random mutations of requests, sent to rgunicorn and to gunicorn: a short run of
//! `fuzz/differential.py`, with the same cases every time. `fuzz/README.md` tells of longer ones.

use std::process::Command;

use crate::harness::server::rgunicorn;
use crate::harness::venv;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/differential.py");

/// How many cases: a few seconds.
const COUNT: &str = "600";

#[test]
fn both_servers_take_mutated_requests_the_same_way() {
    if std::env::var_os("SERVER_UNDER_TEST").is_some() {
        // It takes both.
        return;
    }
    let output = Command::new(venv::program("python"))
        .arg(SCRIPT)
        .arg("--rgunicorn")
        .args(rgunicorn())
        .arg("--gunicorn")
        .arg(venv::program("gunicorn"))
        // The time is a bound for machines that are busy.
        .args(["--seed", "9112", "--count", COUNT, "--seconds", "60"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the test environment has a python");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains(&format!("\n{COUNT} cases in ")), "all were tried:\n{text}");
    // It does see differences: there are intended ones among these cases.
    assert!(text.contains("intended, ") && text.contains("connect has no path"), "{text}");
    assert!(text.ends_with("\n0 unexplained disagreements\n"), "{text}");
}
