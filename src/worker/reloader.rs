//! `reload`: a thread that watches the files that the code comes from, and has the worker end, to be
//! replaced by one that loads them anew, when they change.

mod changes;
mod engine;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::python::modules::{self, Places};
use crate::sys::signal;
use changes::Changes;
use engine::Engine;

/// How often files are looked at, or it is looked whether more modules have been imported.
const TICK: Duration = Duration::from_secs(1);
/// The same while the application is being loaded: what is edited meanwhile may be loaded already.
const LOADING: Duration = Duration::from_millis(250);
/// After a change: editors and tools write several files in a row.
const QUIET: Duration = Duration::from_millis(100);
/// How long to wait for such a pause.
const MOST: Duration = Duration::from_secs(2);
/// How long a worker that ends waits for the thread.
const TO_END: Duration = Duration::from_secs(2);

enum Message {
    /// Something has happened to files of these paths, or to any, if there are none.
    Touched(Vec<PathBuf>),
    /// The application was loaded, or it could not be. Dropped when that has been taken in.
    Loaded(Option<Places>, Sender<()>),
    Stop,
}

/// What is to be watched besides the modules, and how.
pub struct Watching {
    pub polling: bool,
    /// Paths and patterns.
    pub extra: Vec<String>,
    /// Called once, when something has changed.
    pub on_change: Box<dyn FnOnce() + Send>,
}

/// The handle of the thread.
pub struct Reloader {
    messages: Sender<Message>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Reloader {
    /// Starts the thread. It takes no action before [`Self::loaded`].
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(watching: Watching) -> io::Result<Self> {
        let (messages, received) = channel();
        let (end, ended) = channel::<()>();
        let sender = messages.clone();
        let Watching { polling, extra, on_change } = watching;
        let run = move || {
            let _end = end;
            let Some(file) = Watch::new(polling, extra, sender).run(&received) else { return };
            tracing::info!("Worker reloading: {} modified", file.display());
            on_change();
        };
        // Both threads inherit that no signal is for them.
        let held = signal::block_all();
        let started = thread::Builder::new().name("reloader".into()).spawn(run);
        drop(held);
        started.map(|_| Self { messages, ended })
    }

    /// The application was loaded, or it could not be because of something in `places`. From then on no
    /// change is missed.
    pub fn loaded(&self, py: Python<'_>, places: Option<Places>) {
        let (done, taken_in) = channel();
        // If the thread has ended, it has said why.
        let _ = self.messages.send(Message::Loaded(places, done));
        let _ = py.detach(move || taken_in.recv_timeout(TO_END));
    }

    /// Ends the thread, which must not be in the interpreter when that ends; whether it has ended.
    pub fn stop(self, py: Python<'_>) -> bool {
        let Self { messages, ended } = self;
        let _ = messages.send(Message::Stop);
        let waited = py.detach(move || ended.recv_timeout(TO_END));
        waited == Err(RecvTimeoutError::Disconnected)
    }
}

/// The thread.
struct Watch {
    extra: Vec<String>,
    engine: Engine,
    changes: Changes,
    /// So many modules were imported when they were listed last.
    modules: usize,
    loaded: bool,
    /// What has changed while the application was being loaded.
    changed: Option<PathBuf>,
}

impl Watch {
    fn new(polling: bool, extra: Vec<String>, messages: Sender<Message>) -> Self {
        let engine = if polling {
            Engine::polling()
        } else {
            let roots = Python::attach(|py| modules::pattern_roots(py, &extra));
            Engine::inotify(messages, roots.unwrap_or_default())
        };
        Self {
            extra,
            engine,
            changes: Changes::default(),
            modules: 0,
            loaded: false,
            changed: None,
        }
    }

    /// Returns what has changed, or nothing if the worker ends before something has.
    fn run(mut self, messages: &Receiver<Message>) -> Option<PathBuf> {
        loop {
            let tick = if self.loaded { TICK } else { LOADING };
            match messages.recv_timeout(tick) {
                Ok(Message::Loaded(places, _done)) => {
                    self.note_loaded(places);
                    self.look(&HashSet::new());
                }
                Ok(Message::Touched(paths)) if self.concerns(&paths) => {
                    let touched = self.settle(messages, paths)?;
                    self.look(&touched);
                }
                Ok(Message::Touched(_)) => {}
                Err(RecvTimeoutError::Timeout) => self.tick(messages)?,
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            }
            if self.loaded && self.changed.is_some() {
                return self.changed;
            }
        }
    }

    fn concerns(&self, paths: &[PathBuf]) -> bool {
        let concerns = |path: &PathBuf| self.changes.concerns(path) || self.engine.concerns(path);
        paths.is_empty() || paths.iter().any(concerns)
    }

    /// `None` when the worker ends.
    fn tick(&mut self, messages: &Receiver<Message>) -> Option<()> {
        let imported = Python::attach(modules::count).unwrap_or(self.modules);
        let polling = self.engine.is_polling();
        if imported != self.modules || (polling && !self.extra.is_empty()) {
            self.look(&HashSet::new());
        } else if polling {
            let changed = self.changes.look_again();
            self.note(changed);
        }
        while polling && self.changed.is_some() && self.loaded {
            // Others may be about to be written.
            self.settle(messages, Vec::new())?;
            if self.changes.look_again().is_none() {
                break;
            }
        }
        Some(())
    }

    /// Looks at all files there are by now.
    fn look(&mut self, touched: &HashSet<PathBuf>) {
        let files = Python::attach(|py| {
            self.modules = modules::count(py)?;
            modules::files(py, &self.extra)
        });
        match files {
            Ok(files) => {
                let changed = self.changes.look(&files, touched);
                self.note(changed);
                self.engine.watch(self.changes.directories());
            }
            Err(error) => tracing::debug!("Modules cannot be listed: {error}"),
        }
    }

    fn note(&mut self, changed: Option<PathBuf>) {
        self.changed = self.changed.take().or(changed);
    }

    /// Waits until nothing is touched any more; all that was. `None` when the worker ends.
    fn settle(
        &mut self,
        messages: &Receiver<Message>,
        paths: Vec<PathBuf>,
    ) -> Option<HashSet<PathBuf>> {
        let mut touched = HashSet::from_iter(paths);
        let end = Instant::now() + MOST;
        while Instant::now() < end {
            match messages.recv_timeout(QUIET) {
                Ok(Message::Touched(paths)) => touched.extend(paths),
                Ok(Message::Loaded(places, _)) => self.note_loaded(places),
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        Some(touched)
    }

    fn note_loaded(&mut self, places: Option<Places>) {
        self.loaded = true;
        if let Some(Places { files, directories }) = places {
            self.changes.failed(&files, &directories);
        }
    }
}
