//! Loggers in Python: `logging` in applications, `logger_class`, the `logconfig` settings, and what code of the
//! user does to the two loggers.

mod application;
mod class;
mod configured;
mod touched;
mod touched_methods;

use std::fs;
use std::path::Path;

use crate::harness::{BOUND, Builder, ServerKind, until};

/// Waits until a file has a line that ends like this, and returns that line.
#[track_caller]
fn wait_line(path: &Path, end: &str) -> String {
    until(BOUND, &format!("a line `{end}` in {}", path.display()), || {
        let text = fs::read_to_string(path).ok()?;
        let complete = text.rsplit_once('\n')?.0;
        complete.lines().find(|line| line.ends_with(end)).map(str::to_owned)
    })
}

/// A server in a directory of its own with the application `logged`.
fn builder(kind: ServerKind) -> Builder {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/library_loggers.py");
    let source = fs::read_to_string(source).expect("the application is there");
    Builder::new(kind).in_own_dir().app("logged:app").file("logged.py", &source)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the log was written")
}
