//! Times for people, from a count of milliseconds.

use std::fmt;

/// An instant in UTC, shown as RFC 3339 with milliseconds: `2026-01-02T03:04:05.678Z`.
///
/// The number counts milliseconds since 1970-01-01T00:00:00Z without leap seconds; what lies after the
/// year 9999, which RFC 3339 cannot write, is shown as its last millisecond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Utc(pub(super) u64);

const LAST_MS: u64 = 253_402_300_799_999;

impl Utc {
    /// Its text, in ASCII.
    pub(super) fn text(self) -> [u8; 24] {
        let ms = self.0.min(LAST_MS);
        let (year, month, day) = civil_from_days(ms / 86_400_000);
        let (hour, minute, second) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        // Where each number ends; it has as many digits as there is room.
        for (number, end) in
            [(year, 4), (month, 7), (day, 10), (hour, 13), (minute, 16), (second, 19), (ms % 1_000, 23)]
        {
            let (mut rest, mut at) = (number, end);
            while rest > 0 {
                at -= 1;
                text[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// The date, in the Gregorian calendar, that is `days` after 1970-01-01: year, month, day.
///
/// Years are counted from March, so that a leap day is the last of its year, in eras of 400 years, which
/// all have as many days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_0000_03_01_TO_1970: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + DAYS_FROM_0000_03_01_TO_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_utc() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (999, "1970-01-01T00:00:00.999Z"),
            (951_782_399_000, "2000-02-28T23:59:59.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_208_000_000, "2024-02-29T12:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Utc(ms).to_string(), shown);
        }
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before() {
        let is_leap =
            |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let days_of = |year, month| match month {
            2 => 28 + u64::from(is_leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..366_000 {
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            expected = match (day < days_of(year, month), month) {
                (true, _) => (year, month, day + 1),
                (false, 12) => (year + 1, 1, 1),
                (false, _) => (year, month + 1, 1),
            };
        }
    }
}
