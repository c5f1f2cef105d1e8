//! Clocks, and local time as the logs show it.

use std::cell::Cell;
use std::mem::MaybeUninit;

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let (seconds, nanoseconds) = read(ClockId::CLOCK_MONOTONIC);
    u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + u64::try_from(nanoseconds).unwrap_or(0)
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds: never ahead of [`monotonic_ns`], behind it by up to a
/// tick of the kernel (4 ms at 250 Hz), and cheaper.
#[must_use]
pub fn monotonic_coarse_ns() -> u64 {
    let (seconds, nanoseconds) = read(ClockId::CLOCK_MONOTONIC_COARSE);
    u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + u64::try_from(nanoseconds).unwrap_or(0)
}

/// Seconds since 1970. May lag behind `CLOCK_REALTIME` by a tick of the kernel (4 ms at 250 Hz).
#[must_use]
pub fn realtime_seconds() -> i64 {
    read(ClockId::CLOCK_REALTIME_COARSE).0
}

fn read(clock: ClockId) -> (i64, i64) {
    // These clocks exist since Linux 2.6.32, so there is no error to report.
    clock_gettime(clock).map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()))
}

/// A moment, broken down in the time zone of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Local {
    year: i32,
    /// 1 to 12.
    month: usize,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    /// Minutes east of Greenwich.
    offset: i64,
}

impl Local {
    fn at(seconds: i64) -> Self {
        let mut parts = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are valid for the call. When it fails (the year does not fit) the
        // zeroed parts stand: a `tm` of zeros is valid, its zone pointer is not used.
        let parts = unsafe {
            libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
            parts.assume_init()
        };
        Self {
            year: parts.tm_year.saturating_add(1900),
            month: usize::try_from(parts.tm_mon).map_or(1, |month| month + 1),
            day: parts.tm_mday,
            hour: parts.tm_hour,
            minute: parts.tm_min,
            second: parts.tm_sec,
            offset: parts.tm_gmtoff / 60,
        }
    }

    /// `+0130`: sign, hours and minutes east of Greenwich.
    fn zone(self) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.abs();
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }

    /// `[2026-11-20 04:20:25 +0000]`
    fn error_stamp(self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        let zone = self.zone();
        format!("[{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {zone}]")
    }

    /// `[20/Nov/2026:04:22:06 +0000]`
    fn access_stamp(self) -> Stamp {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Self { year, month, day, hour, minute, second, .. } = self;
        let name = MONTHS.get(month - 1).copied().unwrap_or("Jan");
        let zone = self.zone();
        let text = format!("[{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} {zone}]");
        let mut stamp = *b"[01/Jan/1970:00:00:00 +0000]";
        // Years of other than four digits keep the default.
        if text.len() == stamp.len() {
            stamp.copy_from_slice(text.as_bytes());
        }
        stamp
    }

    /// `2026-11-20T04:22:06.000000+00:00`
    fn iso_stamp(self) -> IsoStamp {
        let Self { year, month, day, hour, minute, second, .. } = self;
        let (sign, offset) = (if self.offset < 0 { '-' } else { '+' }, self.offset.abs());
        let (hours, minutes) = (offset / 60, offset % 60);
        let text = format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000000\
             {sign}{hours:02}:{minutes:02}"
        );
        let mut stamp = *b"1970-01-01T00:00:00.000000+00:00";
        // As above.
        if text.len() == stamp.len() {
            stamp.copy_from_slice(text.as_bytes());
        }
        stamp
    }
}

/// The time of an access log line, brackets included.
pub type Stamp = [u8; 28];

/// The time of a JSON record (RFC 3339), microseconds included.
pub type IsoStamp = [u8; 32];

/// The present local time as the error log shows it: `[2026-11-20 04:20:25 +0000]`.
#[must_use]
pub fn error_stamp() -> String {
    Local::at(realtime_seconds()).error_stamp()
}

/// The present local time as the access log shows it: `[20/Nov/2026:04:22:06 +0000]`. Made once a
/// second.
#[must_use]
pub fn access_stamp() -> Stamp {
    thread_local! {
        static LAST: Cell<(i64, Stamp)> = const { Cell::new((i64::MIN, [0; 28])) };
    }
    let now = realtime_seconds();
    let (second, stamp) = LAST.get();
    if second == now {
        return stamp;
    }
    let stamp = Local::at(now).access_stamp();
    LAST.set((now, stamp));
    stamp
}

/// The present local time as RFC 3339 has it: `2026-11-20T04:22:06.123456+00:00`.
#[must_use]
pub fn iso_stamp() -> IsoStamp {
    thread_local! {
        static LAST: Cell<(i64, IsoStamp)> = const { Cell::new((i64::MIN, [0; 32])) };
    }
    let (now, nanoseconds) = read(ClockId::CLOCK_REALTIME);
    let (second, mut stamp) = LAST.get();
    if second != now {
        stamp = Local::at(now).iso_stamp();
        LAST.set((now, stamp));
    }
    let mut micros = u32::try_from(nanoseconds / 1000).unwrap_or(0);
    for digit in stamp[20..26].iter_mut().rev() {
        *digit = b'0' + u8::try_from(micros % 10).unwrap_or(0);
        micros /= 10;
    }
    stamp
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::{Local, access_stamp, error_stamp, iso_stamp, monotonic_ns, realtime_seconds};
    use crate::sys::testing::alone;

    /// 2026-11-20 04:22:06 UTC.
    const MOMENT: i64 = 1_795_148_526;

    #[test]
    fn stamps_are_local_and_carry_the_offset() {
        unsafe extern "C" {
            fn tzset();
        }
        alone("sys::time::tests::stamps_are_local_and_carry_the_offset", || {
            for (zone, error, access, iso) in [
                (
                    "UTC",
                    "[2026-11-20 04:22:06 +0000]",
                    b"[20/Nov/2026:04:22:06 +0000]",
                    b"2026-11-20T04:22:06.000000+00:00",
                ),
                (
                    "XXX-5:30",
                    "[2026-11-20 09:52:06 +0530]",
                    b"[20/Nov/2026:09:52:06 +0530]",
                    b"2026-11-20T09:52:06.000000+05:30",
                ),
                (
                    "XXX+9:45",
                    "[2026-11-19 18:37:06 -0945]",
                    b"[19/Nov/2026:18:37:06 -0945]",
                    b"2026-11-19T18:37:06.000000-09:45",
                ),
            ] {
                crate::sys::env::set("TZ", zone);
                // SAFETY: one thread, which has just set the variable.
                unsafe { tzset() };
                let local = Local::at(MOMENT);
                assert_eq!((local.error_stamp().as_str(), &local.access_stamp()), (error, access));
                assert_eq!(&local.iso_stamp(), iso);
            }
        });
    }

    #[test]
    fn the_present_is_shown() {
        assert_eq!(error_stamp().len(), 27);
        let stamp = String::from_utf8_lossy(&iso_stamp()).into_owned();
        assert!(stamp.starts_with("20") && stamp[20..26].bytes().all(|byte| byte.is_ascii_digit()));
        let (before, first, second, after) =
            (realtime_seconds(), access_stamp(), access_stamp(), realtime_seconds());
        if before == after {
            assert_eq!(first, second);
            assert_eq!(first, Local::at(before).access_stamp());
        }
        let exact = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(i64::try_from(exact).expect("fits") - before <= 1);
    }

    #[test]
    fn monotonic_time_goes_on() {
        let first = monotonic_ns();
        assert!(first > 0);
        assert!(monotonic_ns() >= first);
    }

    proptest! {
        #[test]
        fn any_moment_has_stamps(seconds in any::<i64>()) {
            let local = Local::at(seconds);
            prop_assert!(local.error_stamp().len() >= 27);
            prop_assert!(local.iso_stamp().is_ascii());
            let stamp = local.access_stamp();
            prop_assert!(stamp.is_ascii() && stamp[0] == b'[' && stamp[27] == b']');
        }
    }
}
