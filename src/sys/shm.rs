//! Memory that a process shares with the children it forks, and that outlives `exec`.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use zerocopy::FromBytes;

/// No descriptor.
const NONE: RawFd = -1;

/// A fixed number of `T`, all zero at first, seen by this process and by every process forked from
/// it after the call. What is never written takes no memory.
///
/// It is a file in memory (`memfd_create(2)`), so that a program that takes this one's place in the process
/// can map it again. Where the limit of file sizes forbids that it is anonymous.
///
/// `FromBytes` says that any content is a valid `T`, so whatever a process wrote before it died can
/// be read; `Sync` says that others may write while we read, which leaves atomics.
pub struct Shared<T> {
    start: NonNull<T>,
    len: usize,
    /// The descriptor of the file, unless it has none or [`Self::close`] was called.
    file: AtomicI32,
    owns: PhantomData<T>,
}

impl<T: FromBytes + Sync> Shared<T> {
    /// Maps `len` elements.
    ///
    /// # Errors
    /// No memory.
    pub fn new(len: usize) -> io::Result<Self> {
        let size = Self::size(len)?;
        let file = || -> nix::Result<OwnedFd> {
            let file = memfd_create("rgunicorn-shared", MFdFlags::MFD_CLOEXEC)?;
            let size = i64::try_from(size.get()).map_err(|_| Errno::EFBIG)?;
            ftruncate(&file, size)?;
            Ok(file)
        };
        if let Ok(file) = file() {
            return Self::map(file, len, size);
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice disturbs no other memory.
        let start = unsafe { mmap_anonymous(None, size, PROTECTION, MapFlags::MAP_SHARED) }?;
        Ok(Self { start: start.cast(), len, file: AtomicI32::new(NONE), owns: PhantomData })
    }

    /// Maps what another program had in this process, or another process of this program.
    ///
    /// # Errors
    /// It is something else.
    pub fn adopt(file: OwnedFd, len: usize) -> io::Result<Self> {
        let size = Self::size(len)?;
        // Access beyond the end of the file would be the end of the process.
        if u64::try_from(fstat(&file)?.st_size).ok() != u64::try_from(size.get()).ok() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(file, len, size)
    }

    fn size(len: usize) -> io::Result<NonZeroUsize> {
        const { assert!(align_of::<T>() <= 4096, "a mapping is aligned to a page, not more") };
        let size = size_of::<T>().checked_mul(len).and_then(NonZeroUsize::new);
        size.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn map(file: OwnedFd, len: usize, size: NonZeroUsize) -> io::Result<Self> {
        // SAFETY: as in `new`; the file is as long as the mapping and nobody makes it shorter.
        let start = unsafe { mmap(None, size, PROTECTION, MapFlags::MAP_SHARED, &file, 0) }?;
        let file = AtomicI32::new(file.into_raw_fd());
        Ok(Self { start: start.cast(), len, file, owns: PhantomData })
    }
}

const PROTECTION: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

impl<T> Shared<T> {
    /// A duplicate of the descriptor by which it can be mapped again, if it can.
    ///
    /// # Errors
    /// There is none; no descriptors are left.
    pub fn file(&self) -> io::Result<OwnedFd> {
        let number = self.file.load(Ordering::Acquire);
        if number == NONE {
            return Err(io::ErrorKind::Unsupported.into());
        }
        super::fd::duplicate(number).map(OwnedFd::from)
    }

    /// Closes the descriptor: for a process that will not pass the memory on.
    pub fn close(&self) {
        let number = self.file.swap(NONE, Ordering::AcqRel);
        if number != NONE {
            // Whatever comes of it, the number is free; the memory stays mapped.
            let _ = nix::unistd::close(number);
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were mapped, at a page boundary, which is enough for `T` (`size`). Any
        // bytes are a valid `T` (`FromBytes`, which all ways to make a `Shared` ask for), the mapping
        // lives as long as `self`, and its file is not made shorter. Other processes change it only
        // through the same `Sync` type.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new` or `adopt`; `&mut self` proves that no reference into it is left.
        // An error can only mean that it is gone already.
        let _ = unsafe { munmap(self.start.cast(), self.len * size_of::<T>()) };
        self.close();
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

    use nix::sys::resource::{Resource, setrlimit};

    use super::Shared;
    use crate::sys::testing::{alone, in_child};

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
    fn what_is_mapped_again_is_the_same() {
        let words = Shared::<AtomicU64>::new(600).expect("map");
        words[599].store(7, Ordering::Relaxed);
        let again = Shared::<AtomicU64>::adopt(words.file().expect("a file"), 600).expect("map");
        again[0].store(again[599].load(Ordering::Relaxed), Ordering::Relaxed);
        assert_eq!(words[0].load(Ordering::Relaxed), 7);
        assert!(Shared::<AtomicU64>::adopt(words.file().expect("a file"), 601).is_err());
        words.close();
        assert!(words.file().is_err());
        assert_eq!(words[0].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn without_a_file_it_is_shared_nevertheless() {
        alone("sys::shm::tests::without_a_file_it_is_shared_nevertheless", || {
            crate::sys::signal::ignore(crate::sys::signal::Signal::XFSZ).expect("a signal");
            setrlimit(Resource::RLIMIT_FSIZE, 4096, 4096).expect("a lower limit");
            let words = Shared::<AtomicU64>::new(600).expect("map");
            assert!(words.file().is_err());
            words[599].store(1, Ordering::Relaxed);
            assert_eq!(words[599].load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn nothing_to_map_is_an_error() {
        assert!(Shared::<AtomicU64>::new(0).is_err());
        assert!(Shared::<AtomicU64>::new(usize::MAX).is_err());
    }
}
