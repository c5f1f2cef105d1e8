//! The documentation says what is true, as far as that can be tested: links lead somewhere, the commands of
//! the quick start work, and the page about troubleshooting knows every line of the log.

mod links;
mod log_lines;
mod quick_start;
mod smoke_test;

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below these directories whose names end like this.
fn files(directories: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        directories.iter().map(|directory| Path::new(ROOT).join(directory)).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the directory is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                // An environment or a build that somebody has made there is not ours.
                let made = ["venv", "target"].iter().any(|name| path.ends_with(name));
                open.extend((!made).then_some(path));
            } else if path.extension().is_some_and(|other| other == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
