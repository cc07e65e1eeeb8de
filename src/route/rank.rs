//! Which of several matches wins: the precedence of the Gateway API as the order of a value.

use super::host;
use super::matches::{PathMatch, RouteMatch, trimmed_prefix};
use super::table::Candidate;
use std::cmp::Reverse;

/// The precedence of one candidate; of those that match a request the one with the smallest rank serves it.
///
/// The fields stand in the order in which they decide:
///
/// 1. Hostname: "the largest number of characters in a matching non-wildcard hostname", then "characters in
///    a matching hostname". It decides among rules that match, so that a request which no rule of the most
///    specific hostname takes falls to the next: `*.example.com`, `*.com`, none.
/// 2. Path: exact, then the longest prefix. The place of expressions is left to implementations: they
///    stand after prefixes, longer patterns first.
/// 3. "Method match", 4. "largest number of header matches", 5. "largest number of query param matches".
/// 6. "The oldest Route based on creation timestamp", 7. "appearing first in alphabetical order by
///    `{namespace}/{name}`", 8. "the first matching rule (in list order)", and then the match's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'c> {
    host: HostRank,
    path: PathRank,
    has_no_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    created: Created,
    route: &'c str,
    rule: u32,
    place: usize,
}

impl Rank<'_> {
    /// The rank of the candidate that stands at `place` in its list.
    ///
    /// Its match has to be [normalized](RouteMatch::normalized), so that entries which do not count are
    /// not counted.
    pub(super) fn of(candidate: &Candidate, place: usize) -> Rank<'_> {
        let RouteMatch { path, method, headers, query } = &candidate.matches;
        Rank {
            host: HostRank::of(candidate.hostname.as_deref().unwrap_or_default()),
            path: PathRank::of(path),
            has_no_method: method.is_none(),
            headers: Reverse(headers.len()),
            query: Reverse(query.len()),
            created: Created::parse(candidate.created.as_deref().unwrap_or_default()),
            route: &candidate.route,
            rule: candidate.rule,
            place,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Wildcard(Reverse<usize>),
    Any,
}

impl HostRank {
    fn of(hostname: &str) -> HostRank {
        match host::wildcard_suffix(hostname) {
            Some(suffix) => HostRank::Wildcard(Reverse(suffix.len())),
            None if host::is_any(hostname) => HostRank::Any,
            None => HostRank::Exact,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Prefix(Reverse<usize>),
    Regex(Reverse<usize>),
}

impl PathRank {
    fn of(path: &PathMatch) -> PathRank {
        match path {
            PathMatch::Exact(_) => PathRank::Exact,
            PathMatch::Prefix(prefix) => PathRank::Prefix(Reverse(trimmed_prefix(prefix).len())),
            PathMatch::Regex(regex) => PathRank::Regex(Reverse(regex.as_str().len())),
        }
    }
}

/// A `creationTimestamp`. Routes that have none, as those written in files mostly do, count as younger than
/// all that have one, and among each other as equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Created {
    /// Seconds since 1970 in UTC, then the digits of the fraction.
    At(i64, String),
    Unknown,
}

impl Created {
    /// Reads an RFC 3339 `date-time`; anything else is [`Created::Unknown`].
    fn parse(text: &str) -> Created {
        parse_date_time(text).map_or(Created::Unknown, |(seconds, fraction)| Created::At(seconds, fraction))
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)` (RFC 3339 section 5.6).
fn parse_date_time(text: &str) -> Option<(i64, String)> {
    let (date_time, rest) = (text.get(..19)?, text.get(19..)?);
    let shape: Vec<char> = date_time.chars().filter(|c| !c.is_ascii_digit()).collect();
    if !matches!(shape[..], ['-', '-', 'T' | 't', ':', ':']) {
        return None;
    }
    let number = |from: usize, to: usize| date_time.get(from..to)?.parse::<i64>().ok();
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;

    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let digits = fraction.strip_prefix('.').unwrap_or(fraction);
    if digits.is_empty() != fraction.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let utc = days * 86_400 + seconds - offset_seconds(zone)?;
    Some((utc, digits.trim_end_matches('0').to_owned()))
}

/// Seconds that a zone is ahead of UTC.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten().map(i64::from);
    let ahead = digits(hours)? * 3600 + digits(minutes)? * 60;
    Some(if zone.starts_with('-') { -ahead } else { ahead })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, years counted from March so that a leap day is
/// the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_to_utc() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000)),
            ("2024-02-29T13:00:00+01:00", Some(1_709_208_000)),
            ("2024-02-29t06:30:00.000-05:30", Some(1_709_208_000)),
            ("1969-12-31T23:59:59Z", Some(-1)),
            ("2024-02-29", None),
            ("2024-02-29T12:00:00", None),
            ("2024-02-29 12:00:00Z", None),
            ("2024-13-01T12:00:00Z", None),
            ("2024-02-29T12:00:00.Z", None),
            ("2024-02-29T12:00:00.xZ", None),
            ("2024-02-29T12:00:00+1:00", None),
            ("2024-02-29T12:00:00+é:00", None),
            ("+024-02-29T12:00:00Z", None),
            ("éééééééééééé", None),
            ("", None),
        ] {
            assert_eq!(parse_date_time(text).map(|(seconds, _)| seconds), seconds, "{text}");
        }
    }

    #[test]
    fn older_comes_first_and_no_timestamp_last() {
        let ages = [
            "2023-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00.05Z",
            "2024-01-01T00:00:00.5Z",
            "2024-01-01T02:00:01+02:00",
            "not a timestamp",
        ];
        assert!(ages.map(Created::parse).is_sorted_by(|a, b| a < b));
        assert_eq!(Created::parse(""), Created::parse("not a timestamp"));
    }
}
