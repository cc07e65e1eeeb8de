//! Windows of a calendar: which one an instant is in, when it ends.

use super::Every;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// A time zone of the IANA database, which is part of the program.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// The zone of that name, such as `Europe/Berlin`; `None` when there is none.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A window of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its number: the next window has the next one.
    pub index: i64,
    /// Its first millisecond since 1970 UTC.
    pub from_ms: i64,
    /// The first millisecond after it.
    pub until_ms: i64,
}

/// The window that was asked for last, so that the calendar is consulted once per window and not per request.
///
/// Threads write it without a lock: the fourth number is the exclusive or of the others, and what does not fit
/// together is not believed.
#[derive(Debug, Default)]
pub(super) struct WindowCache([AtomicI64; 4]);

impl WindowCache {
    pub(super) fn at(&self, every: Every, zone: &Zone, unix_ms: i64) -> Window {
        let [index, from_ms, until_ms, check] = [0, 1, 2, 3].map(|place| self.0[place].load(Relaxed));
        if check == index ^ from_ms ^ until_ms && (from_ms..until_ms).contains(&unix_ms) {
            return Window { index, from_ms, until_ms };
        }
        let window = Window::at(every, zone, unix_ms);
        let Window { index, from_ms, until_ms } = window;
        let numbers = [index, from_ms, until_ms, index ^ from_ms ^ until_ms];
        self.0.iter().zip(numbers).for_each(|(place, number)| place.store(number, Relaxed));
        window
    }
}

/// The calendar goes from 1970 to 9998; a clock that shows something else is broken.
const YEAR_9999_MS: i64 = 253_370_764_800_000;
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

impl Window {
    /// The window that `unix_ms` is in.
    pub fn at(every: Every, zone: &Zone, unix_ms: i64) -> Window {
        let unix_ms = unix_ms.clamp(0, YEAR_9999_MS);
        match every {
            Every::Minute => even(unix_ms, MINUTE_MS, 0),
            Every::Hour => even(unix_ms, HOUR_MS, part_of_hour(zone)),
            Every::Day | Every::Week | Every::Month => of_dates(every, zone, unix_ms),
        }
    }

    /// The window `by` windows later.
    pub fn later(self, every: Every, zone: &Zone, by: i64) -> Window {
        let mut window = self;
        match every {
            Every::Minute => shifted(self, by, MINUTE_MS),
            Every::Hour => shifted(self, by, HOUR_MS),
            // Months differ in length: step by step, and no further than anybody waits.
            _ => {
                for _ in 0..by.clamp(0, 1200) {
                    window = Window::at(every, zone, window.until_ms);
                }
                window
            }
        }
    }
}

fn shifted(window: Window, by: i64, length: i64) -> Window {
    let ms = by.saturating_mul(length);
    Window {
        index: window.index.saturating_add(by),
        from_ms: window.from_ms.saturating_add(ms),
        until_ms: window.until_ms.saturating_add(ms),
    }
}

/// Windows of one length on the time line, `shift` later than on UTC's.
fn even(unix_ms: i64, length: i64, shift: i64) -> Window {
    let index = (unix_ms + shift).div_euclid(length);
    let from_ms = index * length - shift;
    Window { index, from_ms, until_ms: from_ms + length }
}

/// How far the zone's hours are from those of UTC, as in July 2026: one zone, Lord Howe's, moves its clock by
/// half an hour, and hours that overlap would be no windows.
fn part_of_hour(zone: &Zone) -> i64 {
    const JULY_2026_MS: i64 = 1_782_864_000_000;
    let offset = timestamp(JULY_2026_MS).map_or(0, |at| zone.0.to_offset(at).seconds());
    (i64::from(offset) * 1000).rem_euclid(HOUR_MS)
}

fn of_dates(every: Every, zone: &Zone, unix_ms: i64) -> Window {
    let Some(at) = timestamp(unix_ms) else { return even(unix_ms, HOUR_MS, 0) };
    let today = at.to_zoned_datetime(zone.0.clone()).date();
    let monday = |date: Date| date.checked_sub(i64::from(date.weekday().since(Weekday::Monday)).days());
    let (first, next, index) = match every {
        Every::Month => {
            let first = today.first_of_month();
            (first, first.checked_add(1.month()), i64::from(first.year()) * 12 + i64::from(first.month()))
        }
        Every::Week => {
            let first = monday(today).unwrap_or(today);
            // 1970-01-05 was a Monday, day 4.
            (first, first.checked_add(1.week()), (days(first) - 4).div_euclid(7))
        }
        _ => (today, today.tomorrow(), days(today)),
    };
    let next = next.unwrap_or(first);
    Window { index, from_ms: midnight(first, zone, unix_ms), until_ms: midnight(next, zone, unix_ms) }
}

/// Days since 1970-01-01.
fn days(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    date.since((jiff::Unit::Day, epoch)).map_or(0, |span| i64::from(span.get_days()))
}

/// The day's first instant in the zone, which is not midnight where clocks go forward at midnight.
fn midnight(date: Date, zone: &Zone, otherwise: i64) -> i64 {
    let ambiguous = zone.0.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
    ambiguous.compatible().map_or(otherwise, |at| at.as_millisecond())
}

fn timestamp(unix_ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(unix_ms).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    #[test]
    fn windows_begin_and_end_by_the_calendar_of_the_zone() {
        for (every, zone, at, from, until) in [
            (Every::Minute, "UTC", "2026-02-03T04:05:06Z", "2026-02-03T04:05:00Z", "2026-02-03T04:06:00Z"),
            (Every::Hour, "UTC", "2026-02-03T04:05:06Z", "2026-02-03T04:00:00Z", "2026-02-03T05:00:00Z"),
            (
                Every::Hour,
                "Asia/Kolkata",
                "2026-02-03T04:05:06Z",
                "2026-02-03T03:30:00Z",
                "2026-02-03T04:30:00Z",
            ),
            (Every::Day, "UTC", "2026-02-03T00:00:00Z", "2026-02-03T00:00:00Z", "2026-02-04T00:00:00Z"),
            (
                Every::Day,
                "Europe/Berlin",
                "2026-02-03T23:30:00Z",
                "2026-02-03T23:00:00Z",
                "2026-02-04T23:00:00Z",
            ),
            // Clocks go forward on 29 March and back on 25 October 2026.
            (
                Every::Day,
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                Every::Day,
                "Europe/Berlin",
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            // 4 January 2026 is a Sunday, 5 January a Monday.
            (Every::Week, "UTC", "2026-01-04T23:59:59Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"),
            (Every::Week, "UTC", "2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"),
            (
                Every::Month,
                "Europe/Berlin",
                "2026-03-31T22:00:00Z",
                "2026-03-31T22:00:00Z",
                "2026-04-30T22:00:00Z",
            ),
            (
                Every::Month,
                "America/New_York",
                "2026-12-15T00:00:00Z",
                "2026-12-01T05:00:00Z",
                "2027-01-01T05:00:00Z",
            ),
        ] {
            let zone = Zone::named(zone).expect("a zone");
            let window = Window::at(every, &zone, ms(at));
            assert_eq!((window.from_ms, window.until_ms), (ms(from), ms(until)), "{every:?} {zone:?} {at}");
        }
        assert_eq!(Zone::named("Europe/Nowhere"), None);
    }

    #[test]
    fn each_window_ends_where_the_next_one_begins_and_has_the_next_number() {
        for zone in ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe"] {
            let zone = Zone::named(zone).expect("a zone");
            for every in Every::ALL {
                let mut window = Window::at(every, &zone, ms("2017-09-30T12:00:00Z"));
                for _ in 0..1000 {
                    let next = Window::at(every, &zone, window.until_ms);
                    assert_eq!((next.from_ms, next.index), (window.until_ms, window.index + 1), "{every:?}");
                    assert_eq!(Window::at(every, &zone, window.until_ms - 1), window, "{every:?} {zone:?}");
                    assert_eq!(window.later(every, &zone, 1), next);
                    window = next;
                }
            }
        }
    }
}
