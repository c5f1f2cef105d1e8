//! `docs/troubleshooting.md` knows every line of the error log that a user meets.

use std::path::Path;

use super::{ROOT, files, read};

/// What stands in front of the text of a log line.
const CALLS: [&str; 9] = [
    "tracing::info!(",
    "tracing::warn!(",
    "tracing::error!(",
    "Level::Info",
    "Level::Warning",
    "Level::Error",
    "Level::Critical",
    "logging::exception(",
    "Self::new(",
];

/// Files in which every sentence becomes part of a log line, and those that make refusals (`Self::new`).
const ALL_OF_IT: [&str; 2] = ["master/obituary.rs", "master/state/"];
const REFUSALS: &str = "http/reject.rs";

/// What is found that needs no row: the reasons of HTTP, texts for clients and at debug level, names, and
/// lines that are made of what other lines say.
const NOTHING_TO_EXPLAIN: [&str; 14] = [
    "for {taken:.1} s (",
    "Reaped unknown child process",
    "Internal Server Error",
    "failure_page",
    "{error}",
    "{text}",
    "{message}",
    "{message}\\n{}",
    "{} workers",
    "{count} workers",
    "Invalid value for",
    "graceful stop of workers",
    "SIGWINCH ignored. Not daemonized",
    "Ignored: the server is about to stop.",
];

/// The text of a source without comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |code, line| code + line + "\n")
}

/// The string literal that comes next, joined where it is continued on the next line.
fn literal(code: &str) -> Option<(String, &str)> {
    let (_, rest) = code.split_once('"')?;
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((text, &rest[at + 1..])),
            '\\' => match chars.next()?.1 {
                '\n' => {
                    let blank = rest[at + 2..].chars().take_while(|c| c.is_whitespace()).count();
                    chars.nth(blank.checked_sub(1)?)?;
                }
                // As the page shows it.
                'r' => text.push_str("\\r"),
                'n' => text.push_str("\\n"),
                other => text.push(other),
            },
            char => text.push(char),
        }
    }
    None
}

fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some((text, after)) = literal(rest) {
        found.push(text);
        rest = after;
    }
    found
}

/// The texts of log lines in a source.
fn lines(name: &str, code: &str) -> Vec<String> {
    let mut found: Vec<String> = CALLS
        .iter()
        .filter(|call| **call != "Self::new(" || name == REFUSALS)
        .flat_map(|call| code.split(call).skip(1))
        .filter_map(|after| literal(after).map(|(text, _)| text))
        .collect();
    if ALL_OF_IT.iter().any(|prefix| name.starts_with(prefix)) {
        found.extend(literals(code).into_iter().filter(|text| text.contains(' ')));
    }
    found
}

/// The longest part of a text that does not vary.
fn fixed(text: &str) -> &str {
    let parts = text.split('{').filter_map(|part| part.rsplit('}').next());
    let parts = parts.flat_map(|part| part.split("\\n"));
    parts.map(str::trim).max_by_key(|part| part.len()).unwrap_or_default()
}

#[test]
fn every_line_is_explained() {
    let src = Path::new(ROOT).join("src");
    let page = read(&Path::new(ROOT).join("docs/troubleshooting.md"));
    let page: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut missing = Vec::new();
    let mut seen = 0;
    for path in files(&["src"], "rs") {
        let name = path.strip_prefix(&src).expect("it is below").to_string_lossy().into_owned();
        let of_tests =
            ["tests", "simulation", "testing", "fuzz/"].iter().any(|part| name.contains(part));
        if of_tests {
            continue;
        }
        for text in lines(&name, &code(&read(&path))) {
            seen += 1;
            let part = fixed(&text);
            let known = part.len() > 5 && page.contains(part);
            if !known && !NOTHING_TO_EXPLAIN.iter().any(|other| text.starts_with(other)) {
                missing.push(format!("{name}: {text}"));
            }
        }
    }
    missing.sort();
    missing.dedup();
    assert!(seen > 120, "only {seen} lines were found");
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md does not explain these log lines (or they need no row, see \
         NOTHING_TO_EXPLAIN):\n{}",
        missing.join("\n")
    );
}

#[test]
fn lines_are_found_in_sources() {
    let source = "// tracing::warn!(\"no\")\nfn f() { tracing::warn!(\n    \"a {x} b \\\n     c \\\"d\\\"\"); \
                  self.log(Level::Error, format!(\"e\\n{}\", 1)); other(\"f g\"); }\n\
                  #[cfg(test)]\nmod tests { tracing::warn!(\"no\") }\n";
    let code = code(source);
    assert_eq!(lines("x.rs", &code), ["a {x} b c \"d\"", "e\\n{}"]);
    assert_eq!(lines("master/state/x.rs", &code).len(), 4);
    assert_eq!(fixed("a {x} bcd {y:.1} e"), "bcd");
    assert_eq!(fixed("Exception:\\n{}"), "Exception:");
}
