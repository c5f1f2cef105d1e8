//! The `Date` header: IMF-fixdate of RFC 9110 section 5.6.7, formatted once a second.

/// Length of an IMF-fixdate.
pub const DATE_LEN: usize = 29;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Keeps the text of the last second it was asked for.
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; DATE_LEN],
}

impl Default for DateCache {
    fn default() -> Self {
        Self { second: 0, text: imf_fixdate(0) }
    }
}

impl DateCache {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The date of `unix`, in seconds since 1970-01-01 00:00 UTC.
    pub fn get(&mut self, unix: u64) -> &[u8; DATE_LEN] {
        if unix != self.second {
            self.second = unix;
            self.text = imf_fixdate(unix);
        }
        &self.text
    }
}

/// Formats `unix` (seconds since 1970-01-01 00:00 UTC) as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// The form has four digits for the year: times after 9999 are shown as the end of that year.
#[must_use]
pub fn imf_fixdate(unix: u64) -> [u8; DATE_LEN] {
    const END_OF_9999: u64 = 253_402_300_799;
    let unix = unix.min(END_OF_9999);
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[0..3].copy_from_slice(DAYS[index(days % 7)]);
    put2(&mut out[5..7], day);
    out[8..11].copy_from_slice(MONTHS[index(month)]);
    put2(&mut out[12..14], year / 100);
    put2(&mut out[14..16], year % 100);
    put2(&mut out[17..19], second / 3600);
    put2(&mut out[20..22], second / 60 % 60);
    put2(&mut out[23..25], second % 60);
    out
}

/// Year, month (0-11) and day (1-31) of a number of days since 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    // Count from 2000-03-01 minus whole 400-year cycles, so that leap days end a year; the
    // lengths of the months from March on then follow (153 * m + 2) / 5.
    days += 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12;
    (era * 400 + year + u64::from(month < 2), month, day)
}

fn put2(out: &mut [u8], value: u64) {
    let digits = |n: u64| b"0123456789"[index(n % 10)];
    out[0] = digits(value / 10);
    out[1] = digits(value);
}

/// An index known to be small.
fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix: u64) -> String {
        String::from_utf8(imf_fixdate(unix).to_vec()).unwrap()
    }

    #[test]
    fn known_dates() {
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(951_868_799), "Tue, 29 Feb 2000 23:59:59 GMT");
        assert_eq!(text(951_868_800), "Wed, 01 Mar 2000 00:00:00 GMT");
        assert_eq!(text(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(text(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 GMT");
        assert_eq!(text(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn consecutive_days_follow_the_calendar() {
        let lengths = |year: u64| {
            let leap =
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut days = 0;
        for year in 1970..2420 {
            for (month, &length) in lengths(year).iter().enumerate() {
                for day in 1..=length {
                    assert_eq!(civil(days), (year, month as u64, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn cache_follows_the_second() {
        let mut cache = DateCache::new();
        assert_eq!(cache.get(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.get(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.get(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
