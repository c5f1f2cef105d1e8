//! Anonymous memory that a process shares with the children it forks.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::ftruncate;
use zerocopy::FromBytes;

/// A fixed number of `T`, all zero at first, seen by this process and by every process forked from
/// it after the call (`memfd_create(2)`, `mmap(2)` with `MAP_SHARED`).
///
/// `FromBytes` says that any content is a valid `T`, so whatever a process wrote before it died can
/// be read; `Sync` says that others may write while we read, which leaves atomics.
pub struct Shared<T> {
    start: NonNull<T>,
    len: usize,
    owns: PhantomData<T>,
}

impl<T: FromBytes + Sync> Shared<T> {
    /// Maps `len` elements. `name` shows in `/proc/PID/maps`.
    ///
    /// # Errors
    /// What the kernel answered: no memory, or no descriptor left.
    pub fn new(name: &str, len: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096, "a mapping is aligned to a page, not more") };
        let size = size_of::<T>()
            .checked_mul(len)
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let file = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&file, i64::try_from(size.get()).map_err(io::Error::other)?)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice disturbs no other memory.
        let start = unsafe {
            mmap(
                None,
                size,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                &file,
                0,
            )
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
        let words = Shared::<AtomicU64>::new("test", 600).expect("map");
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
        assert!(Shared::<AtomicU64>::new("test", 0).is_err());
        assert!(Shared::<AtomicU64>::new("test", usize::MAX).is_err());
    }
}
