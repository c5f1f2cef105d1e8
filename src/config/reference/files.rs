//! The committed files that are made of the table: a test holds them to it.

use std::path::Path;

use super::{completions, man, markdown};

/// The paths of files below the root of the repository, and what is to be in them.
fn all() -> [(&'static str, String); 5] {
    [
        ("docs/settings.md", markdown::markdown()),
        ("docs/share/man/man1/rgunicorn.1", man::page()),
        ("docs/share/bash-completion/completions/rgunicorn", completions::bash()),
        ("docs/share/zsh/site-functions/_rgunicorn", completions::zsh()),
        ("docs/share/fish/vendor_completions.d/rgunicorn.fish", completions::fish()),
    ]
}

#[test]
fn settings_docs() {
    for (name, text) in all() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{name} is out of date; run: UPDATE_DOCS=1 cargo test settings_docs"
        );
    }
}
