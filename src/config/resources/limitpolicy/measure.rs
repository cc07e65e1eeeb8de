//! How much a limit allows: `rate` and `burst`, `budget` and `window`, or `max`.

use crate::base::ascii;
use crate::config::diagnostic::{Located, nearest};
use crate::config::reader::{Cursor, Fields};
use crate::config::values::{self, show_duration};
use crate::limit::{Every, Measure, Rate, SLIDING_BUDGET_MAX, Unit, Zone};
use std::time::Duration;

/// The largest number of requests or tokens: far above any use, and far from overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 50;
/// The largest amount of money, in nano-dollars: a hundred million dollars.
const COST_MAX: u64 = 100_000_000 * 1_000_000_000;
/// The most requests under way.
const CONCURRENT_MAX: u64 = 1 << 24;
/// The shortest and the longest sliding window.
const SLIDING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600));

/// The times of a rate.
const TIMES: [(&str, Duration); 4] = [
    ("second", Duration::from_secs(1)),
    ("minute", Duration::from_secs(60)),
    ("hour", Duration::from_secs(3600)),
    ("day", Duration::from_secs(24 * 3600)),
];

/// The fields that say how much.
pub(super) struct Given<'a> {
    rate: Option<Cursor<'a>>,
    burst: Option<Cursor<'a>>,
    budget: Option<Cursor<'a>>,
    window: Option<Cursor<'a>>,
    zone: Option<Cursor<'a>>,
    max: Option<Cursor<'a>>,
}

impl<'a> Given<'a> {
    /// Those of a limit.
    pub(super) fn of(fields: &mut Fields<'a>) -> Given<'a> {
        let given = Given::amounts(fields);
        Given { window: fields.get("window"), zone: fields.get("timeZone"), ..given }
    }

    /// Those of an override, which changes amounts only.
    pub(super) fn amounts(fields: &mut Fields<'a>) -> Given<'a> {
        Given {
            rate: fields.get("rate"),
            burst: fields.get("burst"),
            budget: fields.get("budget"),
            max: fields.get("max"),
            window: None,
            zone: None,
        }
    }
}

/// Reports every field that stands there.
fn refuse<'a>(list: &[&Option<Cursor<'a>>], what: &str, help: &str) {
    list.iter().filter_map(|field| field.as_ref()).for_each(|field| field.fault_with_help(what, help));
}

/// What a limit on `unit` allows.
pub(super) fn read<'a>(fields: &mut Fields<'a>, given: &Given<'a>, unit: Unit) -> Option<Measure> {
    let Given { rate, burst, budget, window, zone, max } = given;
    if unit == Unit::Concurrency {
        let others = [rate, burst, budget, window, zone];
        let help = "write max: how many requests may be under way at once";
        refuse(&others, "does not belong to a limit on concurrency", help);
        if max.is_none() && others.iter().all(|field| field.is_none()) {
            fields.faults().fault_with_help(fields.at(), "the limit says no amount", "write max: 32");
        }
        return concurrent(max.as_ref()?);
    }
    let help = "write rate, or budget and window; or unit: concurrency";
    refuse(&[max], &format!("does not belong to a limit on {}", unit.name()), help);
    match (rate, budget) {
        (Some(_), Some(budget)) => {
            budget.fault_with_help("stands beside rate", "keep one of the two, or write a second limit");
            None
        }
        (Some(rate), None) => {
            refuse(&[window, zone], "belongs to budget, not to rate", "remove it, or write budget");
            bucket(rate, burst.as_ref(), unit)
        }
        (None, Some(budget)) => {
            refuse(
                &[burst],
                "stands without rate",
                "remove it: a budget is spent as fast as it is asked for",
            );
            calendar_or_sliding(fields, given, budget, unit)
        }
        (None, None) => {
            refuse(&[burst], "stands without rate", "write rate");
            refuse(&[window, zone], "stands without budget", "write budget");
            if [burst, window, zone, max].iter().all(|field| field.is_none()) {
                let (rate, budget) = if unit == Unit::Cost { ("5 USD", "500 USD") } else { ("60", "10000") };
                let help = format!("write rate: {rate}/minute, or budget: {budget} and window: month");
                fields.faults().fault_with_help(fields.at(), "the limit says no amount", help);
            }
            None
        }
    }
}

/// What an override allows in place of `base`.
pub(super) fn replaced<'a>(fields: &mut Fields<'a>, unit: Unit, base: &Measure) -> Option<Measure> {
    let Given { rate, burst, budget, max, .. } = Given::amounts(fields);
    let (wanted, foreign) = match base {
        Measure::Bucket { .. } => ("rate, burst or both", [&budget, &max].to_vec()),
        Measure::Calendar { .. } | Measure::Sliding { .. } => ("budget", [&rate, &burst, &max].to_vec()),
        Measure::Concurrent { .. } => ("max", [&rate, &burst, &budget].to_vec()),
    };
    refuse(&foreign, "is not what the limit has", &format!("write {wanted}"));
    if [&rate, &burst, &budget, &max].iter().all(|field| field.is_none()) {
        let message = "it allows no other amount than the limit";
        fields.faults().fault_with_help(fields.at(), message, format!("write {wanted}, as the limit has"));
    }
    match base {
        Measure::Bucket { rate: usual, .. } => match &rate {
            Some(rate) => bucket(rate, burst.as_ref(), unit),
            None => Some(Measure::Bucket { capacity: amount(burst.as_ref()?, unit)?, rate: *usual }),
        },
        Measure::Calendar { every, zone, .. } => {
            let budget = amount(budget.as_ref()?, unit)?;
            Some(Measure::Calendar { budget, every: *every, zone: zone.clone() })
        }
        Measure::Sliding { length, .. } => {
            Some(Measure::Sliding { budget: amount(budget.as_ref()?, unit)?, length: *length })
        }
        Measure::Concurrent { .. } => concurrent(max.as_ref()?),
    }
}

fn concurrent(max: &Cursor<'_>) -> Option<Measure> {
    Some(Measure::Concurrent { max: max.integer(1..=CONCURRENT_MAX)?.value })
}

/// `60/minute` and perhaps a burst.
fn bucket(rate: &Cursor<'_>, burst: Option<&Cursor<'_>>, unit: Unit) -> Option<Measure> {
    let burst = burst.map(|field| amount(field, unit));
    let rate = self::rate(rate, unit)?;
    let capacity = match burst {
        Some(burst) => burst?,
        None => rate.per_fill,
    };
    Some(Measure::Bucket { capacity, rate })
}

fn rate(field: &Cursor<'_>, unit: Unit) -> Option<Rate> {
    let example = if unit == Unit::Cost { "5 USD/hour" } else { "60/minute" };
    let text = field.written("a rate")?;
    let Some((number, time)) = text.split_once('/') else {
        field.fault_with_help("must be an amount per time", format!("write it such as {example}"));
        return None;
    };
    let per_fill = read_amount(field, number.trim(), unit);
    let time = time.trim();
    let Some((_, fill)) = TIMES.iter().find(|(name, _)| *name == time) else {
        let names = TIMES.map(|(name, _)| name);
        let begins = names.into_iter().find(|name| !time.is_empty() && name.starts_with(time));
        let help = match begins.or_else(|| nearest(time, names)) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("write it such as {example}"),
        };
        field.fault_with_help("must be per second, minute, hour or day", help);
        return None;
    };
    Some(Rate { per_fill: per_fill?, fill: *fill })
}

/// An amount of the unit: a whole number, or dollars.
fn amount(field: &Cursor<'_>, unit: Unit) -> Option<u64> {
    read_amount(field, field.written("an amount")?, unit)
}

fn read_amount(field: &Cursor<'_>, text: &str, unit: Unit) -> Option<u64> {
    let (read, most, shown) = match unit {
        Unit::Cost => (dollars(text), COST_MAX, "100000000 USD".to_owned()),
        _ => (number(text, unit), NUMBER_MAX, NUMBER_MAX.to_string()),
    };
    match read {
        Ok(0) => field.fault("must be above zero"),
        Ok(amount) if amount > most => field.fault(format!("must be at most {shown}")),
        Ok(amount) => return Some(amount),
        Err((what, help)) => field.fault_with_help(what, help),
    }
    None
}

type Wrong = (String, String);

/// `500 USD`, in nano-dollars.
fn dollars(text: &str) -> Result<u64, Wrong> {
    const WANTED: &str = "must be an amount of dollars with at most 9 decimals";
    match text.strip_suffix("USD") {
        Some(number) => values::nano(number.trim_end())
            .ok_or_else(|| (WANTED.into(), "write it such as 500 USD or 0.25 USD".into())),
        None if values::nano(text).is_some() => {
            Err(("lacks the currency".into(), format!("write {text} USD")))
        }
        None => Err((WANTED.into(), "write it such as 500 USD; USD is the only currency".into())),
    }
}

fn number(text: &str, unit: Unit) -> Result<u64, Wrong> {
    match ascii::decimal(text.as_bytes()) {
        Some(number) => Ok(number),
        None if text.ends_with("USD") => {
            let what = format!("is an amount of money, but the limit counts {}", unit.name());
            Err((what, "write unit: cost, or a whole number".into()))
        }
        // More digits than a number of 64 bits has.
        None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => Ok(u64::MAX),
        None => Err(("must be a whole number".into(), format!("write how many {}", noun(unit)))),
    }
}

fn noun(unit: Unit) -> &'static str {
    if unit == Unit::Tokens { "tokens" } else { "requests" }
}

/// `budget` with its `window`.
fn calendar_or_sliding<'a>(
    fields: &mut Fields<'a>,
    given: &Given<'a>,
    budget: &Cursor<'a>,
    unit: Unit,
) -> Option<Measure> {
    let (at, budget) = (budget, amount(budget, unit));
    let zone = given.zone.as_ref().map(|field| zone(field));
    let window = fields.need("window")?;
    if window.node_text().is_some() {
        let every = window.one_of(&Every::ALL.map(|every| (every.name(), every)))?.value;
        let zone = match zone {
            Some(zone) => zone?,
            None => Zone::utc(),
        };
        return Some(Measure::Calendar { budget: budget?, every, zone });
    }
    let what = "does not belong to a sliding window";
    refuse(&[&given.zone], what, "remove it: the window ends now, wherever that is");
    let length = window.fields(|fields| sliding(&fields.need("sliding")?))?;
    if budget.is_some_and(|budget| budget > SLIDING_BUDGET_MAX) {
        let most = if unit == Unit::Cost { "281474 USD".to_owned() } else { SLIDING_BUDGET_MAX.to_string() };
        at.fault(format!("must be at most {most} for a sliding window"));
        return None;
    }
    Some(Measure::Sliding { budget: budget?, length })
}

fn sliding(field: &Cursor<'_>) -> Option<Duration> {
    let Located { value, .. } = field.duration()?;
    let (least, most) = SLIDING;
    if value < least || value > most {
        field.fault(format!("must be from {} to 366 days (8784h)", show_duration(least)));
        return None;
    }
    Some(value)
}

/// A zone of the IANA database.
fn zone(field: &Cursor<'_>) -> Option<Zone> {
    let name = field.word()?.value;
    let found = Zone::named(&name);
    if found.is_none() {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let all = || names.iter().map(String::as_str);
        let is_city = |zone: &&str| {
            zone.rsplit_once('/').is_some_and(|(_, city)| city.eq_ignore_ascii_case(&name.replace(' ', "_")))
        };
        let help = match all().find(is_city).or_else(|| nearest(&name, all())) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "write a name of the IANA database, such as Europe/Berlin".into(),
        };
        field.fault_with_help("is no known time zone", help);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Money;
    use proptest::prelude::*;

    proptest! {
        /// What is shown of an amount is read back as the same amount.
        #[test]
        fn money_survives_being_shown(nano in 0..=COST_MAX) {
            let shown = Money(i64::try_from(nano).expect("far below")).to_string();
            prop_assert_eq!(dollars(&format!("{shown} USD")).ok(), Some(nano));
        }
    }

    #[test]
    fn money_is_exact_and_numbers_are_whole() {
        for (text, nano) in [
            ("500 USD", Some(500_000_000_000)),
            ("500USD", Some(500_000_000_000)),
            ("0.25 USD", Some(250_000_000)),
            ("0.000000001 USD", Some(1)),
            ("18446744073 USD", Some(18_446_744_073_000_000_000)),
            ("0.0000000001 USD", None),
            ("18446744074 USD", None),
            ("1e3 USD", None),
            ("-1 USD", None),
            ("1,000 USD", None),
            ("USD", None),
            ("$5", None),
            ("5 EUR", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(dollars(text).ok(), nano, "{text}");
        }
        for (text, expected) in [
            ("60", Some(60)),
            ("0", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("1.5", None),
            ("-1", None),
            ("", None),
            ("5 USD", None),
        ] {
            assert_eq!(number(text, Unit::Tokens).ok(), expected, "{text}");
        }
    }
}
