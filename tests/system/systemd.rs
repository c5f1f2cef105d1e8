//! The units of `examples/systemd`, judged by systemd's own tools.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::example::{EXAMPLES, Example};

/// Tenths: what `docs/deployment/systemd.md` says, and not more.
const EXPOSURE: &str = "16";

fn analyze(arguments: &[&str], dir: &TempDir) -> Output {
    Command::new("systemd-analyze").args(arguments).current_dir(dir.path()).output().unwrap_or_else(
        |error| panic!("cannot start systemd-analyze: {error}; `tests/system/run` installs it"),
    )
}

/// The units with a program and a directory that exist.
fn units() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    Example::read("systemd/rgunicorn.service")
        .with("/srv/site/venv/bin/rgunicorn", env!("CARGO_BIN_EXE_rgunicorn"))
        .with("WorkingDirectory=/srv/site", &format!("WorkingDirectory={EXAMPLES}/flask"))
        .write_to(dir.path());
    Example::read("systemd/rgunicorn.socket").write_to(dir.path());
    dir
}

#[test]
#[ignore = "run by tests/system/run"]
fn units_are_well_formed() {
    let output =
        analyze(&["verify", "--man=no", "./rgunicorn.service", "./rgunicorn.socket"], &units());
    let said = String::from_utf8_lossy(&output.stderr);
    // Units of the system that these depend on may have faults of their own.
    assert!(output.status.success() && !said.contains("rgunicorn"), "{said}");
}

#[test]
#[ignore = "run by tests/system/run"]
fn a_misspelt_unit_is_noticed() {
    let dir = units();
    Example::read("systemd/rgunicorn.service")
        .with("KillMode=mixed", "KilMode=mixed")
        .with("/srv/site/venv/bin/rgunicorn", env!("CARGO_BIN_EXE_rgunicorn"))
        .write_to(dir.path());
    let output = analyze(&["verify", "--man=no", "./rgunicorn.service"], &dir);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("rgunicorn.service") && said.contains("KilMode"), "{said}");
}

#[test]
#[ignore = "run by tests/system/run"]
fn the_service_is_confined() {
    let arguments =
        ["security", "--no-pager", "--offline=yes", "--threshold", EXPOSURE, "./rgunicorn.service"];
    let output = analyze(&arguments, &units());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "exposed by more than {EXPOSURE} tenths:\n{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}
