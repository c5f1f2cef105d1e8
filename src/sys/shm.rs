//! Anonymous memory that a process shares with the children it forks.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use zerocopy::FromBytes;

/// A fixed number of `T`, all zero at first, seen by this process and by every process forked from
/// it after the call (`mmap(2)` with `MAP_SHARED | MAP_ANONYMOUS`; a file in memory would be subject
/// to the limit of file sizes). What is never written takes no memory.
///
/// `FromBytes` says that any content is a valid `T`, so whatever a process wrote before it died can
/// be read; `Sync` says that others may write while we read, which leaves atomics.
pub struct Shared<T> {
    start: NonNull<T>,
    len: usize,
    owns: PhantomData<T>,
}

impl<T: FromBytes + Sync> Shared<T> {
    /// Maps `len` elements.
    ///
    /// # Errors
    /// No memory.
    pub fn new(len: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096, "a mapping is aligned to a page, not more") };
        let size = size_of::<T>()
            .checked_mul(len)
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a fresh mapping at an address of the kernel's choice disturbs no other memory.
        let start = unsafe {
            let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            mmap_anonymous(None, size, protection, MapFlags::MAP_SHARED)
        }?;
        Ok(Self { start: start.cast(), len, owns: PhantomData })
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` mapped `len` elements at a page boundary, which is enough for `T`;
        // zero bytes are a valid `T`, and the mapping lives as long as `self`. Other processes change
        // it only through the same `Sync` type.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; `&mut self` proves that no reference into it is left.
        // An error can only mean that it is gone already.
        let _ = unsafe { munmap(self.start.cast(), self.len * size_of::<T>()) };
    }
}

// SAFETY: the memory is not tied to a thread, and `T: Sync` is reached through `&T` only; `T` has no
// drop glue that runs here.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above: sharing `Shared<T>` shares `&[T]`.
unsafe impl<T: Sync> Sync for Shared<T> {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Shared;
    use crate::sys::testing::in_child;

    #[test]
    fn children_and_parent_see_each_others_writes() {
        let words = Shared::<AtomicU64>::new(600).expect("map");
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words[0].store(1, Ordering::Relaxed);
        in_child(|| {
            let seen = words[0].load(Ordering::Relaxed);
            words[599].store(seen + 41, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!(words[599].load(Ordering::Relaxed), 42);
    }

    #[test]
    fn nothing_to_map_is_an_error() {
        assert!(Shared::<AtomicU64>::new(0).is_err());
        assert!(Shared::<AtomicU64>::new(usize::MAX).is_err());
    }
}
