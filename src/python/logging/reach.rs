//! How much goes to the Python logger.

use std::sync::atomic::{AtomicU8, Ordering};

/// What goes to it instead of our own logs, or before it comes back to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Nothing comes back: its handlers have files of their own.
    pub instead: bool,
    /// The records of the error log.
    pub records: bool,
    /// The requests of the access log.
    pub requests: bool,
}

impl Reach {
    pub const NONE: Self = Self { instead: false, records: false, requests: false };
    pub const ALL: Self = Self { instead: true, records: true, requests: true };

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// A [`Reach`] that threads share.
pub struct ReachCell(AtomicU8);

impl ReachCell {
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    pub fn get(&self) -> Reach {
        unpack(self.0.load(Ordering::Acquire))
    }

    /// Puts another in the place of what it was.
    pub fn swap(&self, reach: Reach) -> Reach {
        let Reach { instead, records, requests } = reach;
        let bits = u8::from(instead) | u8::from(records) << 1 | u8::from(requests) << 2;
        unpack(self.0.swap(bits, Ordering::AcqRel))
    }
}

fn unpack(bits: u8) -> Reach {
    Reach { instead: bits & 1 != 0, records: bits & 2 != 0, requests: bits & 4 != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_it_was_set_to() {
        let cell = ReachCell::new();
        assert!(cell.get().is_none());
        for bits in 0..8 {
            let reach = unpack(bits);
            cell.swap(reach);
            assert_eq!(cell.get(), reach);
        }
        assert_eq!(cell.swap(Reach::NONE), Reach::ALL);
    }
}
