//! The arithmetic of a measure: what an account has been given up to an instant, in exact integers.
//!
//! What an account was *given* is a pure function of the instant: the opening balance plus the refill since. So
//! an account stores only what was *spent*, and a balance is given minus spent. It never holds more than its
//! capacity: what overflows counts as spent.
//!
//! Refill is continuous, so amounts are kept in *grains*, fractions of a unit so small that one is refilled in
//! less than a nanosecond: then no instant of a nanosecond clock falls between two grains, and an overflow is
//! lost to the grain. Counting whole units would keep the refill on a fixed grid from the account's birth, and
//! a unit taken just before a point of the grid would come back at once. A calendar's budget comes all at once
//! when a window begins, so its grain is the unit.

use super::window::{Window, WindowCache, Zone};
use super::{Every, Measure, Rate, Unit};
use crate::base::{Moment, Tick};
use std::sync::Arc;
use std::time::Duration;

/// A measure made ready to be computed with; shared by all accounts that have it.
#[derive(Debug)]
pub struct Terms {
    /// The name of the rule.
    pub rule: Arc<str>,
    /// What the rule counts.
    pub unit: Unit,
    /// How much is allowed.
    pub measure: Measure,
    /// The most that an account holds, in units.
    capacity: u64,
    /// Grains per unit.
    scale: u64,
    /// Grains that a bucket gets back per nanosecond; 0 where that is no whole number.
    flow: u64,
    window: WindowCache,
}

/// How long the arithmetic is exact. Longer than any process runs; after it, refill stops.
const LIFETIME_NS: u128 = 10 * 365 * 24 * 3600 * 1_000_000_000;

/// The most grains that refill in a lifetime, and the most that the capacity is.
const GRAINS_MAX: u128 = 1 << 59;

/// Two measures are the same terms; the name and the cache say nothing about amounts.
impl PartialEq for Terms {
    fn eq(&self, other: &Terms) -> bool {
        self.rule == other.rule && self.unit == other.unit && self.measure == other.measure
    }
}

impl Terms {
    /// The terms of `measure` for the rule of that name.
    pub fn new(rule: &Arc<str>, unit: Unit, measure: &Measure) -> Terms {
        let capacity = measure.capacity().clamp(1, GRAINS_MAX as u64);
        let (scale, flow) = match measure {
            Measure::Bucket { rate, .. } => scale(capacity, *rate),
            _ => (1, 0),
        };
        let (rule, measure) = (rule.clone(), measure.clone());
        Terms { rule, unit, measure, capacity, scale, flow, window: WindowCache::default() }
    }

    /// The most that an account holds, in units.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What an account keeps to know since when it is open: an instant for a bucket, a window for a calendar.
    pub(super) fn opening(&self, now: Moment) -> u64 {
        match &self.measure {
            Measure::Bucket { .. } => now.tick.0,
            Measure::Calendar { every, zone, .. } => self.window(*every, zone, now).index as u64,
            Measure::Sliding { .. } | Measure::Concurrent { .. } => 0,
        }
    }

    /// `amount` in grains, held to the capacity.
    pub(super) fn grains(&self, amount: u64) -> i64 {
        // Fits: the capacity's grains do.
        (amount.min(self.capacity) * self.scale) as i64
    }

    /// A difference of amounts in grains, for corrections: held to eight times the most that a capacity is.
    pub(super) fn difference(&self, from: u64, to: u64) -> i64 {
        const MOST: i128 = 1 << 62;
        let grains = (i128::from(to) - i128::from(from)) * i128::from(self.scale);
        grains.clamp(-MOST, MOST) as i64
    }

    /// Whole units in `grains`, rounded towards debt.
    pub(super) fn units(&self, grains: i64) -> i64 {
        grains.div_euclid(self.scale as i64)
    }

    /// Whole units that `grains` spend, rounded up.
    pub(super) fn units_up(&self, grains: i64) -> i64 {
        -self.units(grains.saturating_neg())
    }

    /// Grains given up to `now`, the opening balance included. Never falls while time goes forward.
    pub(super) fn given(&self, opened: u64, now: Moment) -> i64 {
        let full = self.grains(self.capacity);
        match &self.measure {
            Measure::Bucket { rate, .. } => full + self.refill(*rate, opened, now.tick),
            Measure::Calendar { every, zone, .. } => {
                let windows = self.window(*every, zone, now).index.saturating_sub(opened as i64);
                full.saturating_mul(windows.saturating_add(1))
            }
            Measure::Sliding { .. } | Measure::Concurrent { .. } => full,
        }
    }

    /// Grains that come back in `time`; of a bucket alone.
    pub(super) fn refilled_in(&self, time: Duration) -> i64 {
        match &self.measure {
            Measure::Bucket { rate, .. } => self.refill(*rate, 0, Tick(0) + time),
            _ => 0,
        }
    }

    /// Time until `grains` are given; zero if they are. `None` when only others can say: what is under way must
    /// end, or earlier spending become old.
    pub(super) fn until_given(&self, opened: u64, grains: i64, now: Moment) -> Option<Duration> {
        let missing = grains.saturating_sub(self.given(opened, now));
        if missing <= 0 {
            return Some(Duration::ZERO);
        }
        match &self.measure {
            Measure::Bucket { rate, .. } => Some(self.when_refilled(*rate, opened, grains).since(now.tick)),
            Measure::Calendar { every, zone, .. } => {
                let windows = missing
                    .div_euclid(self.grains(self.capacity))
                    .saturating_add(i64::from(missing.rem_euclid(self.grains(self.capacity)) > 0));
                let first = self.window(*every, zone, now).later(*every, zone, windows);
                let ms = first.from_ms.saturating_sub(now.unix_ms);
                Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
            }
            Measure::Sliding { .. } | Measure::Concurrent { .. } => None,
        }
    }

    /// The calendar window of `now`, for a calendar.
    pub fn window_at(&self, now: Moment) -> Option<Window> {
        match &self.measure {
            Measure::Calendar { every, zone, .. } => Some(self.window(*every, zone, now)),
            _ => None,
        }
    }

    fn window(&self, every: Every, zone: &Zone, now: Moment) -> Window {
        self.window.at(every, zone, now.unix_ms)
    }

    fn refill(&self, rate: Rate, opened: u64, now: Tick) -> i64 {
        let elapsed = now.since(Tick(opened)).as_nanos().min(LIFETIME_NS);
        if self.flow > 0 {
            // At most 2^59 in a lifetime, but for rates beyond all reason, whose unit is one grain.
            return (elapsed as u64).saturating_mul(self.flow).min(GRAINS_MAX as u64) as i64;
        }
        // The product fits: `scale` is chosen so that the quotient of a lifetime is at most 2^59.
        let refill = elapsed * u128::from(rate.per_fill) * u128::from(self.scale) / fill_ns(rate);
        i64::try_from(refill).unwrap_or(i64::MAX).min(GRAINS_MAX as i64)
    }

    /// The first instant at which `given` reaches `grains`: the exact inverse.
    fn when_refilled(&self, rate: Rate, opened: u64, grains: i64) -> Tick {
        let refill = u128::try_from(grains.saturating_sub(self.grains(self.capacity))).unwrap_or(0);
        if self.flow > 0 {
            return Tick(opened) + Duration::from_nanos((refill as u64).div_ceil(self.flow));
        }
        let per_fill = u128::from(rate.per_fill.max(1)) * u128::from(self.scale);
        let nanos = (refill * fill_ns(rate)).div_ceil(per_fill);
        Tick(opened) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Grains per unit, and grains per nanosecond.
///
/// As many per unit as fit, so that a grain takes less than a nanosecond: ten years are 2^58.1 ns. A capacity that
/// is huge beside its rate leaves fewer. Where as many fit that a nanosecond brings a whole number, as of most rates
/// that people write, they are so many, and nothing has to be divided to tell a balance.
fn scale(capacity: u64, rate: Rate) -> (u64, u64) {
    let (per_fill, fill) = (u128::from(rate.per_fill.max(1)), fill_ns(rate));
    let units_of_a_lifetime = (LIFETIME_NS * per_fill).div_ceil(fill).max(1);
    let most = GRAINS_MAX / units_of_a_lifetime.max(u128::from(capacity));
    let most = most.clamp(1, u128::from(u32::MAX) << 8);
    let step = fill / gcd(per_fill, fill);
    match most / step * step {
        0 => (most as u64, 0),
        scale => (scale as u64, (scale * per_fill / fill) as u64),
    }
}

fn gcd(one: u128, other: u128) -> u128 {
    if other == 0 { one } else { gcd(other, one % other) }
}

fn fill_ns(rate: Rate) -> u128 {
    rate.fill.as_nanos().clamp(1, u128::from(u64::MAX))
}
