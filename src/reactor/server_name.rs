//! The name in the Server header of answers: one for the process, as Python code knows it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// The name unless [`set`] has changed it.
pub const DEFAULT: &str = "rgunicorn";

/// Whether something was set, so that nobody looks at the lock while there was not.
static CHANGED: AtomicBool = AtomicBool::new(false);
static NAME: RwLock<Option<Vec<u8>>> = RwLock::new(None);

/// Changes the name for all answers from now on; without one they have no such header. Returns
/// `false` if it has bytes that no header may have.
pub fn set(name: Option<Vec<u8>>) -> bool {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !name.iter().flatten().all(is_text) {
        return false;
    }
    *NAME.write().unwrap_or_else(PoisonError::into_inner) = name;
    CHANGED.store(true, Ordering::Release);
    true
}

/// Calls `f` with the name.
pub fn with<T>(f: impl FnOnce(Option<&[u8]>) -> T) -> T {
    if CHANGED.load(Ordering::Acquire) {
        return f(NAME.read().unwrap_or_else(PoisonError::into_inner).as_deref());
    }
    f(Some(DEFAULT.as_bytes()))
}
