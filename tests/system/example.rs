//! The files of `examples/`, with paths and ports of the test at the places that a user changes.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the examples are.
pub const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// The text of a file.
pub struct Example {
    name: String,
    pub text: String,
}

impl Example {
    /// Reads a file, named as in `nginx/site.conf`.
    #[track_caller]
    pub fn read(name: &str) -> Self {
        let path = Path::new(EXAMPLES).join(name);
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// With another text everywhere where there is this one, which must be somewhere.
    #[track_caller]
    pub fn with(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "there is no `{from}` in examples/{}", self.name);
        self.text = self.text.replace(from, to);
        self
    }

    /// The arguments of the command that its comment tells to start the site with.
    #[track_caller]
    pub fn arguments(&self) -> Vec<String> {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix("#     rgunicorn "))
            .unwrap_or_else(|| panic!("examples/{} does not say how to start the site", self.name))
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    /// Writes the text into a directory, under the file's own name.
    #[track_caller]
    pub fn write_to(&self, dir: &Path) -> PathBuf {
        let path = dir.join(Path::new(&self.name).file_name().expect("a file has a name"));
        fs::write(&path, &self.text).expect("the temporary directory is writable");
        path
    }
}
