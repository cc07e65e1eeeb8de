//! Limits in words, the same in reports, refusals and records.

use super::{Measure, Rule, Unit};
use crate::base::Money;
use std::fmt;
use std::time::Duration;

/// What a rule allows, to be put after "allows": `100 requests at once, 1 back every 100 s`.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'a> {
    unit: Unit,
    measure: &'a Measure,
}

impl Rule {
    /// What it allows, in words.
    pub fn allowance(&self) -> Allowance<'_> {
        Allowance { unit: self.unit, measure: &self.measure }
    }
}

impl<'a> Allowance<'a> {
    /// What `measure` allows of `unit`.
    pub fn new(unit: Unit, measure: &'a Measure) -> Allowance<'a> {
        Allowance { unit, measure }
    }
}

impl fmt::Display for Allowance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |amount| Amount { unit: self.unit, amount };
        match self.measure {
            Measure::Bucket { capacity, rate } => {
                let back = amount(rate.per_fill).bare();
                write!(f, "{} at once, {back} back every {}", amount(*capacity), Time(rate.fill))
            }
            Measure::Calendar { budget, every, zone } => {
                write!(f, "{} per {} ({})", amount(*budget), every.name(), zone.name())
            }
            Measure::Sliding { budget, length } => {
                write!(f, "{} in any {}", amount(*budget), Time(*length))
            }
            Measure::Concurrent { max } => write!(f, "{} under way", amount(*max)),
        }
    }
}

/// An amount with its unit: `1 request`, `5 tokens`, `0.50 USD`.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// What it counts.
    pub unit: Unit,
    /// How much.
    pub amount: u64,
}

impl Amount {
    /// The number alone, money in dollars.
    fn bare(self) -> impl fmt::Display {
        match self.unit {
            Unit::Cost => Money(i64::try_from(self.amount).unwrap_or(i64::MAX)).to_string() + " USD",
            _ => self.amount.to_string(),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = match (self.unit, self.amount) {
            (Unit::Cost, _) => "",
            (Unit::Requests | Unit::Concurrency, 1) => " request",
            (Unit::Requests | Unit::Concurrency, _) => " requests",
            (Unit::Tokens, 1) => " token",
            (Unit::Tokens, _) => " tokens",
        };
        write!(f, "{}{noun}", self.bare())
    }
}

/// A time in seconds, or in milliseconds where those are not whole.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) if seconds > 0 => write!(f, "{seconds} s"),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Every, Rate, Zone};
    use super::*;

    #[test]
    fn allowances_in_words() {
        let bucket = |capacity, per_fill, ms| Measure::Bucket {
            capacity,
            rate: Rate { per_fill, fill: Duration::from_millis(ms) },
        };
        let month = Measure::Calendar { budget: 500_000_000_000, every: Every::Month, zone: Zone::utc() };
        for (unit, measure, words) in [
            (Unit::Requests, bucket(1, 1, 100_000), "1 request at once, 1 back every 100 s"),
            (Unit::Tokens, bucket(500, 10, 1_500), "500 tokens at once, 10 back every 1500 ms"),
            (
                Unit::Cost,
                bucket(1_000_000_000, 20_000_000, 60_000),
                "1.00 USD at once, 0.02 USD back every 60 s",
            ),
            (Unit::Cost, month, "500.00 USD per month (UTC)"),
            (
                Unit::Tokens,
                Measure::Sliding { budget: 9, length: Duration::from_secs(3600) },
                "9 tokens in any 3600 s",
            ),
            (Unit::Concurrency, Measure::Concurrent { max: 32 }, "32 requests under way"),
        ] {
            assert_eq!(Allowance::new(unit, &measure).to_string(), words);
        }
    }
}
