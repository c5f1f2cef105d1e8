//! Random numbers, different in every forked process.

/// A random number from the kernel: getrandom(2).
#[must_use]
pub fn number() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is live and its size is given. So short a read neither blocks once the
    // system has booted nor is cut short; if it fails all the same, zero is as good as any number.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        assert_ne!(super::number(), super::number());
    }
}
