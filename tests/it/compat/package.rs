//! The modules of the package, compared with gunicorn's.

use crate::harness::{Builder, ServerKind};

/// Conf files that print expressions and what they are, and end the server: when they are executed, and
/// in a hook.
const FACTS: &str = include_str!("facts.py");
const LIVE: &str = include_str!("live.py");

/// A line for each expression.
fn facts(kind: ServerKind, conf: &str) -> Vec<String> {
    let outcome = Builder::new(kind)
        .without_bind()
        .app("factories")
        .file("facts.py", conf)
        .args(["-c", "facts.py"])
        .run();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    outcome.stdout.lines().map(String::from).collect()
}

#[test]
fn both_packages_do_the_same() {
    compare(FACTS, 170);
}

#[test]
fn hooks_get_the_same_configuration() {
    compare(LIVE, 20);
}

#[track_caller]
fn compare(conf: &str, count: usize) {
    if std::env::var_os("SERVER_UNDER_TEST").is_some() {
        // It takes both.
        return;
    }
    let (ours, theirs) = (facts(ServerKind::Rgunicorn, conf), facts(ServerKind::Gunicorn, conf));
    assert!(theirs.len() >= count, "all expressions were tried: {}", theirs.len());
    let different: Vec<String> = ours
        .iter()
        .zip(&theirs)
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| {
            // Some are long.
            let from = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
            let part = |text: &str| {
                let bytes = text.as_bytes();
                let part = &bytes[from.saturating_sub(300)..bytes.len().min(from + 100)];
                String::from_utf8_lossy(part).into_owned()
            };
            format!("rgunicorn: {}\n gunicorn: {}\n", part(ours), part(theirs))
        })
        .collect();
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    assert_eq!(ours.len(), theirs.len());
}
