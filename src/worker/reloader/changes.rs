//! Which of the watched files have changed since they were looked at last.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::python::modules::Files;

/// What tells one state of a file from another. Not its number on the disk: editors write a new file
/// over the old one, and tools do so without changing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    size: u64,
}

impl Stamp {
    /// `None` if there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { modified: (found.mtime(), found.mtime_nsec()), size: found.size() })
    }
}

/// The watched files and what they were like.
#[derive(Debug, Default)]
pub struct Changes {
    files: HashMap<PathBuf, Option<Stamp>>,
    /// What links among them point to.
    targets: HashSet<PathBuf>,
    /// Directories in which a module is missing, and the modules that are there.
    places: HashMap<PathBuf, HashSet<OsString>>,
    /// The files that the user has named have been looked at once.
    named: bool,
}

impl Changes {
    /// Takes in the files there are by now; the first one that has changed. Those not seen before
    /// count as changed if they are among the `touched`, or newly match a pattern of the user.
    pub fn look(&mut self, files: &Files, touched: &HashSet<PathBuf>) -> Option<PathBuf> {
        let mut changed = self.look_again();
        let first_look = !std::mem::replace(&mut self.named, true);
        let named = files.named.iter().map(|file| (file, !first_look));
        for (file, is_change) in files.modules.iter().map(|file| (file, false)).chain(named) {
            if self.files.contains_key(file) {
                continue;
            }
            let there = self.add(file);
            if there && (is_change || touched.contains(file)) {
                changed.get_or_insert_with(|| file.clone());
            }
        }
        changed
    }

    /// The same for the files known so far.
    pub fn look_again(&mut self) -> Option<PathBuf> {
        let failed = !self.places.is_empty();
        let mut changed = None;
        for (file, stamp) in &mut self.files {
            let now = Stamp::of(file);
            // A file that is gone takes nothing from what runs, but may cure what could not be loaded.
            if now != *stamp && (now.is_some() || failed) {
                changed.get_or_insert_with(|| file.clone());
            }
            if now.is_some() || failed {
                *stamp = now;
            }
        }
        for (place, known) in &mut self.places {
            let now = modules_in(place);
            if let Some(new) = now.difference(known).next() {
                changed.get_or_insert_with(|| place.join(new));
            }
            *known = now;
        }
        changed
    }

    /// The application could not be loaded: these files, whether or not they are of modules, and
    /// modules new to these directories are watched as well.
    pub fn failed(&mut self, files: &[PathBuf], directories: &[PathBuf]) {
        for file in files {
            if !self.files.contains_key(file) {
                self.add(file);
            }
        }
        for directory in directories {
            self.places.insert(directory.clone(), modules_in(directory));
        }
    }

    /// Whether something about this path may matter.
    pub fn concerns(&self, path: &Path) -> bool {
        is_module(path.as_os_str())
            || self.files.contains_key(path)
            || self.targets.contains(path)
            || path.parent().is_some_and(|parent| self.places.contains_key(parent))
    }

    /// The directories in which the watched files are.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.keys().chain(&self.targets).filter_map(|file| file.parent());
        files.chain(self.places.keys().map(PathBuf::as_path))
    }

    /// Whether the file is there.
    fn add(&mut self, file: &Path) -> bool {
        if file.is_symlink()
            && let Ok(target) = file.canonicalize()
        {
            self.targets.insert(target);
        }
        let stamp = Stamp::of(file);
        self.files.insert(file.to_owned(), stamp);
        stamp.is_some()
    }
}

/// What can be imported from a directory, going by the names.
fn modules_in(directory: &Path) -> HashSet<OsString> {
    let Ok(entries) = fs::read_dir(directory) else { return HashSet::new() };
    let entries = entries.flatten().filter(|entry| {
        is_module(&entry.file_name()) || entry.file_type().is_ok_and(|kind| !kind.is_file())
    });
    entries.map(|entry| entry.file_name()).filter(|name| name != "__pycache__").collect()
}

fn is_module(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "py" || extension == "so")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        directory: tempfile::TempDir,
        changes: Changes,
        modules: Vec<PathBuf>,
    }

    impl Place {
        /// Watches files of these names, all of which hold the same.
        fn new(names: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let modules = names.iter().map(|name| directory.path().join(name)).collect();
            let mut place = Self { directory, changes: Changes::default(), modules };
            for name in names {
                place.write(name, "x");
            }
            assert_eq!(place.look(&[], &[]), None);
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        /// The name of what has changed.
        fn look(&mut self, named: &[&str], touched: &[&str]) -> Option<String> {
            let named = named.iter().map(|name| self.path(name)).collect();
            let touched = touched.iter().map(|name| self.path(name)).collect();
            let files = Files { modules: self.modules.clone(), named };
            let changed = self.changes.look(&files, &touched)?;
            Some(changed.file_name()?.to_str()?.to_owned())
        }
    }

    #[test]
    fn a_file_changes_when_it_is_written_or_replaced_but_not_when_it_goes() {
        let mut place = Place::new(&["a.py", "b.py"]);
        assert_eq!(place.look(&[], &[]), None);
        place.write("a.py", "xy");
        assert_eq!(place.look(&[], &[]).as_deref(), Some("a.py"));
        assert_eq!(place.look(&[], &[]), None);
        place.write("new", "xyz");
        fs::rename(place.path("new"), place.path("b.py")).unwrap();
        assert_eq!(place.look(&[], &[]).as_deref(), Some("b.py"));
        fs::rename(place.path("b.py"), place.path("b.py~")).unwrap();
        assert_eq!(place.look(&[], &[]), None);
        // Back as it was.
        fs::rename(place.path("b.py~"), place.path("b.py")).unwrap();
        assert_eq!(place.look(&[], &[]), None);
    }

    #[test]
    fn other_files_are_none_of_our_business() {
        let mut place = Place::new(&["a.py"]);
        place.write("other.py", "");
        place.write("data.sqlite", "");
        fs::create_dir(place.path("__pycache__")).unwrap();
        assert_eq!(place.look(&[], &["other.py", "data.sqlite"]), None);
    }

    #[test]
    fn new_files_count_if_they_were_touched_or_match_a_pattern() {
        let mut place = Place::new(&["a.py"]);
        place.modules.extend([place.path("b.py"), place.path("gone.py")]);
        place.write("b.py", "");
        assert_eq!(place.look(&[], &["b.py", "gone.py"]).as_deref(), Some("b.py"));
        place.write("x.html", "");
        assert_eq!(place.look(&["x.html"], &[]).as_deref(), Some("x.html"));
        assert_eq!(place.look(&["x.html"], &[]), None);
        place.write("x.html", "longer");
        assert_eq!(place.look(&["x.html"], &[]).as_deref(), Some("x.html"));
    }

    #[test]
    fn a_failed_import_is_cured_by_what_comes_or_goes() {
        let mut place = Place::new(&["a.py"]);
        let directory = place.directory.path().to_owned();
        place.write("involved.py", "");
        place.write("shadow.py", "");
        let files = [place.path("involved.py"), place.path("shadow.py")];
        place.changes.failed(&files, &[directory]);
        assert_eq!(place.look(&[], &[]), None);
        place.write("notes.txt", "");
        fs::create_dir(place.path("__pycache__")).unwrap();
        assert_eq!(place.look(&[], &[]), None);
        place.write("missing.py", "");
        assert_eq!(place.look(&[], &[]).as_deref(), Some("missing.py"));
        fs::create_dir(place.path("package")).unwrap();
        assert_eq!(place.look(&[], &[]).as_deref(), Some("package"));
        place.write("involved.py", "x");
        assert_eq!(place.look(&[], &[]).as_deref(), Some("involved.py"));
        fs::remove_file(place.path("shadow.py")).unwrap();
        assert_eq!(place.look(&[], &[]).as_deref(), Some("shadow.py"));
        assert_eq!(place.look(&[], &[]), None);
    }

    #[test]
    fn a_link_changes_with_what_it_points_to() {
        let mut place = Place::new(&["a.py"]);
        fs::create_dir(place.path("real")).unwrap();
        place.write("real/b.txt", "");
        std::os::unix::fs::symlink(place.path("real/b.txt"), place.path("b.txt")).unwrap();
        place.modules.push(place.path("b.txt"));
        assert_eq!(place.look(&[], &[]), None);
        let target = place.path("real/b.txt").canonicalize().unwrap();
        assert!(place.changes.concerns(&target) && !place.changes.concerns(&place.path("c.txt")));
        let real = target.parent().unwrap();
        assert!(place.changes.directories().any(|directory| directory == real));
        place.write("real/b.txt", "x");
        assert_eq!(place.look(&[], &[]).as_deref(), Some("b.txt"));
    }
}
