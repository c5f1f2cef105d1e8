//! What the C library's allocator keeps for itself, and what it returns to the system.

/// Returns free pages to the system: `malloc_trim(3)`. Does nothing where the C
/// library has no such call.
pub fn trim() {
    // SAFETY: it takes no pointer, and takes the locks of the allocator itself.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets the allocator keep up to twice so many bytes at the top of the heap when they are freed.
///
/// glibc returns more than 128 KiB of them at once, and asks for them again with the next large
/// body: two system calls, and a page fault for each 4 KiB. It keeps more once it has seen blocks of
/// this size come and go: mallopt(3), `M_MMAP_THRESHOLD`. Setting the threshold itself would turn off
/// this adaptation for larger ones.
pub fn keep(bytes: usize) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}
