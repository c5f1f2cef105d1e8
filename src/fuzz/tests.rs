//! A short run of every fuzz target: its seeds, and the same mutations of them every time.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use super::{Random, TARGETS, Target, pipeline};

/// The crate of `cargo fuzz`, which is in the repository but not in the published package.
const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
/// Where the mutations begin; any other number gives as good ones.
const SEED: u64 = 0x5eed_0001;
/// Mutated inputs are no longer than this, in bytes.
const LONGEST: usize = 2000;

#[test]
fn heads() {
    run("head", 8000);
}

#[test]
fn chunked_bodies() {
    run("chunked_body", 6000);
}

#[test]
fn pipelines() {
    run("pipeline", 5000);
}

#[test]
fn proxy_headers() {
    run("proxy", 6000);
}

#[test]
fn response_heads() {
    run("response_head", 8000);
}

#[test]
fn access_log_formats() {
    run("access_log_format", 6000);
}

#[test]
fn every_target_has_a_program_seeds_and_a_run_here() {
    let here = include_str!("tests.rs");
    let manifest = read(&Path::new(FUZZ).join("Cargo.toml"));
    let manifest = String::from_utf8(manifest).expect("a manifest is text");
    for (name, _) in TARGETS {
        assert!(here.contains(&format!("run(\"{name}\", ")), "{name} is not run here");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no program");
        let program = Path::new(FUZZ).join(format!("fuzz_targets/{name}.rs"));
        let program = String::from_utf8(read(&program)).expect("a program is text");
        assert!(program.contains(&format!("fuzz::{name}(data)")), "{name}: {program}");
        assert!(!seeds(name).is_empty(), "{name} has no seeds");
    }
}

/// The seeds of `pipeline` are named for what has to become of them.
#[test]
fn smuggling_attempts_are_refused() {
    let (mut refused, mut read) = (0, 0);
    for (name, data) in seeds("pipeline") {
        let (requests, is_refused) = pipeline::summary(&data);
        if name.starts_with("refused-") {
            assert!(requests == 0 && is_refused, "{name} gave {requests} requests");
            refused += 1;
        } else {
            assert!(name.starts_with("read-"), "{name}: say in its name what becomes of it");
            assert!(requests > 0 && !is_refused, "{name} gave {requests} requests");
            read += 1;
        }
    }
    assert!(refused > 100 && read > 10, "{refused} refused, {read} read");
}

/// Runs a target on its seeds and on `count` mutations of them.
fn run(name: &str, count: usize) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).expect("a target").1;
    let seeds: Vec<_> = seeds(name).into_iter().map(|(_, data)| data).collect();
    let words = dictionary();
    for seed in &seeds {
        attempt(name, target, seed);
    }
    let mut random = Random(SEED);
    for _ in 0..count {
        attempt(name, target, &mutated(&mut random, &seeds, &words));
    }
}

/// Prints the input if the target panics, for a test of its own.
fn attempt(name: &str, target: Target, data: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(data))) {
        eprintln!("fuzz target `{name}`, mutations from {SEED:#x}, failed for this input:");
        eprintln!("b\"{}\"", data.escape_ascii());
        resume_unwind(panic);
    }
}

/// One of the seeds, changed in one to four places.
fn mutated(random: &mut Random, seeds: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let end = (at + random.below(12)).min(data.len());
        match random.below(8) {
            0 => drop(data.drain(at..end)),
            1 => data.insert(at, random.next().to_le_bytes()[7]),
            2 if at < data.len() => data[at] = random.next().to_le_bytes()[7],
            3 if at < data.len() => data[at] ^= 1 << random.below(8),
            // Repeat a piece somewhere else.
            4 => {
                let piece = data[at..end].to_vec();
                let to = random.below(data.len() + 1);
                data.splice(to..to, piece);
            }
            // The head of this one, the tail of another.
            5 => {
                let other = &seeds[random.below(seeds.len())];
                data.truncate(at);
                data.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            // The control bytes, which decide about settings.
            6 => data[random.below(2)] = b'0' + random.next().to_le_bytes()[7] % 32,
            _ => drop(data.splice(at..at, words[random.below(words.len())].iter().copied())),
        }
        data.truncate(LONGEST);
        while data.len() < 2 {
            data.push(b'0');
        }
    }
    data
}

/// Name and content of each seed of a target, in the order of their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(FUZZ).join("seeds").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| {
        panic!("{}: {error}; seeds are in the repository only", dir.display())
    });
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths.into_iter().map(|path| (name(&path), read(&path))).collect()
}

/// The words of libFuzzer's dictionary.
fn dictionary() -> Vec<Vec<u8>> {
    let text = String::from_utf8(read(&Path::new(FUZZ).join("http.dict"))).expect("ASCII");
    let quoted = |line: &str| Some(unescape(line.strip_prefix('"')?.strip_suffix('"')?));
    let words: Vec<_> = text.lines().filter_map(quoted).collect();
    assert!(words.len() > 50 && words.contains(&b";a=\"b\"".to_vec()), "{words:?}");
    words
}

/// Takes away libFuzzer's escapes: `\xHH`, `\"` and `\\`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let length = if let Some(digits) = after.strip_prefix('x') {
            out.push(u8::from_str_radix(&digits[..2], 16).expect("two hex digits"));
            3
        } else {
            out.extend_from_slice(&after.as_bytes()[..1]);
            1
        };
        rest = &after[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
