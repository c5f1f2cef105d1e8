//! The rules of `docs/design.md` that neither the compiler nor clippy checks: who may import whom, where
//! `unsafe` may stand, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Modules of the crate, lowest layer first. A module may import from lower layers and itself.
const LAYERS: [&[&str]; 10] = [
    &["sys", "error"],
    &["config"],
    &["http", "log", "scoreboard"],
    &["net"],
    &["reactor"],
    &["app"],
    &["python"],
    &["worker", "master"],
    &["cli", "fuzz"],
    &["extension"],
];

/// Files longer than this do more than one thing.
const LONGEST: usize = 500;

struct Source {
    /// Relative to `src`, as in `net/listener.rs`.
    name: String,
    /// Without comments and without the contents of string literals.
    code: String,
    text: String,
}

impl Source {
    /// The module of the crate it belongs to.
    fn module(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn may_be_unsafe(&self) -> bool {
        self.name.starts_with("sys/") || self.name == "python/ffi.rs"
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new(SRC), &mut found);
    assert!(found.len() > 10, "there are sources in {SRC}");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("sources are readable UTF-8");
            let name = path.strip_prefix(SRC).expect("it was found there").display().to_string();
            Source { name, code: strip(&text), text }
        })
        .collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Blanks out comments, string and character literals, keeping line breaks.
fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if first == '"' {
            string_end(rest)
        } else if first == '\'' {
            char_end(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].chars().filter(|char| *char == '\n'));
        code.push(' ');
        rest = &rest[length..];
    }
    code
}

/// The number of `#` if a raw string literal begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The end of a character literal, or of the quote alone where it begins a lifetime.
fn char_end(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => rest[2..]
            .char_indices()
            .skip(1)
            .find(|(_, char)| *char == '\'')
            .map_or(1, |(at, _)| at + 3),
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Modules of the crate that a source names: `crate::module::...`, `crate::{module, ...}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group_heads(group));
        } else {
            found.push(identifier(rest));
        }
    }
    found
}

/// The first names of the members of `{a::b, c::{d, e}}`, given what follows the brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut at_head = true;
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            _ if at_head && !char.is_whitespace() => {
                found.push(identifier(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for source in sources() {
        // Roots of crates are in no layer.
        if matches!(source.name.as_str(), "lib.rs" | "main.rs" | "wheel/lib.rs") {
            continue;
        }
        let Some(own) = layer(source.module()) else {
            wrong.push(format!("{}: `{}` is in no layer", source.name, source.module()));
            continue;
        };
        for import in imports(&source.code) {
            // Macros and items of the crate root are no modules.
            let Some(other) = layer(&import) else { continue };
            if other >= own && import != source.module() {
                wrong.push(format!("{} imports `{import}`, which is not below it", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_confined() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.may_be_unsafe()) {
        for (number, line) in source.code.lines().enumerate() {
            if has_word(line, "unsafe") {
                wrong.push(format!("{}:{}: unsafe code", source.name, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part = |char: char| char.is_alphanumeric() || char == '_';
        !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part)
    })
}

#[test]
fn nothing_is_unfinished() {
    let mut wrong = Vec::new();
    for source in sources() {
        for marker in ["todo!", "unimplemented!", "dbg!"] {
            if source.code.contains(marker) {
                wrong.push(format!("{} has {marker}", source.name));
            }
        }
        let lines = source.text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{} has {lines} lines, more than {LONGEST}", source.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// They need programs that `cargo test` does not ask for; `tests/system/run` runs what is ignored.
#[test]
fn tests_of_the_system_are_ignored() {
    let mut found = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system")), &mut found);
    for path in found {
        let text = fs::read_to_string(&path).expect("sources are readable UTF-8");
        for (_, rest) in
            text.match_indices("\n#[test]\n").map(|(at, mark)| text.split_at(at + mark.len()))
        {
            assert!(rest.starts_with("#[ignore = "), "a test in {} is not", path.display());
        }
    }
}

#[test]
fn the_scanner_sees_code_only() {
    let text =
        "a // unsafe\nb \"unsafe \\\" x\" c\nr#\"unsafe\"# d '\"' e '\\'' f <'a> g /* x\n*/ h";
    let code = strip(text);
    assert!(!code.contains("unsafe"), "{code}");
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "b", "c", "d", "e", "f", "<", "a>", "g", "h"]);
    assert_eq!(code.lines().count(), text.lines().count());

    let code = "use crate::{sys::a::{b, c}, error::{self, d}};\nuse crate::net::x; crate::log::y()";
    assert_eq!(imports(code), ["sys", "error", "net", "log"]);
    assert!(has_word("let x = unsafe { 1 };", "unsafe"));
    assert!(!has_word("#![deny(unsafe_code)]", "unsafe"));
}
