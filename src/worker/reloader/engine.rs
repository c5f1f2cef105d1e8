//! What tells that it is time to look at files: the kernel, or else the clock.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::Message;

pub struct Engine {
    /// `None`: files have to be looked at from time to time.
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    /// Where files that match patterns can turn up, and whether their subdirectories count.
    roots: Vec<(PathBuf, bool)>,
}

impl Engine {
    pub fn polling() -> Self {
        Self { watcher: None, watched: HashSet::new(), roots: Vec::new() }
    }

    /// Has the kernel tell through `messages` what happens in the directories that are to be watched.
    /// If it cannot, this is [`Self::polling`].
    pub fn inotify(messages: Sender<Message>, roots: Vec<(PathBuf, bool)>) -> Self {
        let tell = move |event: notify::Result<Event>| {
            let paths = match event {
                // A file that is read does not change.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
                Ok(event) if !event.need_rescan() => event.paths,
                // Something was missed: everything is to be looked at.
                Ok(_) | Err(_) => Vec::new(),
            };
            // Nobody listens any more when the worker ends.
            let _ = messages.send(Message::Touched(paths));
        };
        let mut engine = Self { roots, ..Self::polling() };
        match notify::recommended_watcher(tell) {
            Ok(watcher) => engine.watcher = Some(watcher),
            Err(error) => engine.fall_back(&error),
        }
        for (root, deep) in engine.roots.clone() {
            engine.add(&root, deep);
        }
        engine
    }

    pub fn is_polling(&self) -> bool {
        self.watcher.is_none()
    }

    /// Has these directories watched too.
    pub fn watch<'a>(&mut self, directories: impl Iterator<Item = &'a Path>) {
        for directory in directories {
            if !self.watched.contains(directory) && !self.is_in_a_root(directory, |deep| deep) {
                self.add(directory, false);
            }
        }
    }

    /// Whether a file with this path may match a pattern.
    pub fn concerns(&self, path: &Path) -> bool {
        path.parent().is_some_and(|parent| self.is_in_a_root(parent, |_| true))
    }

    fn is_in_a_root(&self, directory: &Path, which: impl Fn(bool) -> bool) -> bool {
        self.roots
            .iter()
            .filter(|(_, deep)| which(*deep))
            .any(|(root, deep)| if *deep { directory.starts_with(root) } else { directory == root })
    }

    fn add(&mut self, directory: &Path, deep: bool) {
        let Some(watcher) = &mut self.watcher else { return };
        let mode = if deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        self.watched.insert(directory.to_owned());
        match watcher.watch(directory, mode) {
            Ok(()) => {}
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => self.fall_back(&error),
            // Modules may come from where there is no directory, an archive for example.
            Err(error) => tracing::debug!("Cannot watch {}: {error}", directory.display()),
        }
    }

    fn fall_back(&mut self, error: &notify::Error) {
        self.watcher = None;
        tracing::warn!(
            "Files are looked at every second, since the system cannot tell when they change: \
             {error}. The limits are fs.inotify.max_user_watches and max_user_instances."
        );
    }
}
