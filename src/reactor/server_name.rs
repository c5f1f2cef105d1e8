//! The name in the Server header of answers: one for the process, as Python code knows it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// The name unless [`set`] has changed it.
pub const DEFAULT: &str = "rgunicorn";

/// Whether there is another name, so that nobody looks at the lock while there is not.
static CHANGED: AtomicBool = AtomicBool::new(false);
static NAME: RwLock<Vec<u8>> = RwLock::new(Vec::new());

/// Changes it for all answers from now on; `false` if it has bytes that no header may have.
pub fn set(name: Vec<u8>) -> bool {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !name.iter().all(is_text) {
        return false;
    }
    *NAME.write().unwrap_or_else(PoisonError::into_inner) = name;
    CHANGED.store(true, Ordering::Release);
    true
}

/// Calls `f` with the name.
pub fn with<T>(f: impl FnOnce(&[u8]) -> T) -> T {
    if CHANGED.load(Ordering::Acquire) {
        return f(&NAME.read().unwrap_or_else(PoisonError::into_inner));
    }
    f(DEFAULT.as_bytes())
}
