//! Errors on standard error, where people may read them on a terminal.

use std::io::{IsTerminal, stderr};

use crate::config::{self, Env};
use crate::error::Error;

/// The text of an error.
pub fn text(error: &Error, env: Env<'_>) -> String {
    let report = error.report();
    if stderr().is_terminal() && config::likes_colours(env) { coloured(&report) } else { report }
}

/// The word that says that it is an error, in red.
fn coloured(report: &str) -> String {
    for word in ["Error:", "rgunicorn: error:"] {
        let at = if report.starts_with(word) { Some(0) } else { report.find(&format!("\n{word}")) };
        if let Some(at) = at {
            let at = at + usize::from(report[at..].starts_with('\n'));
            let (before, rest) = report.split_at(at);
            let (word, after) = rest.split_at(word.len());
            return format!("{before}\x1b[1;31m{word}\x1b[0m{after}");
        }
    }
    report.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_is_coloured() {
        for (report, shown) in [
            ("\nError: no Error: x\n", "\n\x1b[1;31mError:\x1b[0m no Error: x\n"),
            ("usage: x\nrgunicorn: error: y\n", "usage: x\n\x1b[1;31mrgunicorn: error:\x1b[0m y\n"),
            ("Traceback\nValueError: x\n", "Traceback\nValueError: x\n"),
            ("", ""),
        ] {
            assert_eq!(coloured(report), shown);
        }
    }
}
