//! The token bucket: one atomic number, exact arithmetic, no lock.
//!
//! The usual two variables (balance, time of the last refill) become one. What a bucket has been *given* up
//! to an instant is a pure function of that instant: the opening balance plus the refill since. So only what
//! was *spent* has to be stored, and a balance is given minus spent. A bucket is never fuller than its
//! capacity: what overflows counts as spent, and is written down by the next reservation that looks.
//!
//! Refill is continuous, so amounts are kept in *grains*, fractions of a unit so small that one is refilled in
//! less than a nanosecond: then no instant of a nanosecond clock falls between two grains, and an overflow is
//! lost to the grain. Counting whole units would keep the refill on a fixed grid from the bucket's birth, and
//! a unit taken just before a point of the grid would come back at once.

use super::{Measure, Rate, Rule};
use crate::base::Tick;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A bucket that refills smoothly and may be in debt. Shared between threads by reference.
///
/// [`take`](Bucket::take) first, [`correct`](Bucket::correct) when the real amount is known. All amounts are
/// in the rule's unit. Exact for ten years at rates up to one unit per nanosecond; for less at higher ones.
#[derive(Debug)]
pub struct Bucket {
    capacity: u64,
    rate: Rate,
    start: Tick,
    /// Grains per unit.
    scale: u64,
    /// Grains spent or overflown since `start`, measured against `given`.
    spent: AtomicI64,
}

/// Why a bucket did not give: when it will, if nobody else comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Time after which the same amount is given, and one nanosecond before which it is not.
    pub wait: Duration,
}

/// How long the arithmetic is exact. Longer than any process runs; after it, refill stops.
const LIFETIME_NS: u128 = 10 * 365 * 24 * 3600 * 1_000_000_000;

/// The most grains that refill in a lifetime, and the most that the capacity is.
const GRAINS_MAX: u128 = 1 << 59;

/// The most grains that one correction moves: eight times the capacity, or eighty years of refill.
const CORRECTION_MAX: i128 = 1 << 62;

impl Bucket {
    /// A full bucket.
    pub fn new(rule: &Rule, now: Tick) -> Bucket {
        let rate = match rule.measure {
            Measure::Bucket { rate, .. } => rate,
            _ => Rate { per_fill: 1, fill: Duration::MAX },
        };
        let capacity = rule.measure.capacity().clamp(1, GRAINS_MAX as u64);
        let scale = scale(capacity, rate);
        Bucket { capacity, rate, start: now, scale, spent: AtomicI64::new(0) }
    }

    /// Takes `amount`, or as much of it as the bucket can ever hold.
    ///
    /// More than the capacity could never be given at once; a request that wants more is admitted when the
    /// bucket is full, and what it really used is corrected afterwards. Returns what was taken.
    ///
    /// # Errors
    /// [`Short`] when the balance does not cover it; nothing is taken then.
    pub fn take(&self, amount: u64, now: Tick) -> Result<u64, Short> {
        let amount = amount.min(self.capacity);
        let grains = self.grains(amount);
        let given = self.given(now);
        let overflow = given - self.grains(self.capacity);
        let mut spent = self.spent.load(Ordering::Relaxed);
        loop {
            let after = spent.max(overflow).saturating_add(grains);
            if after > given && amount > 0 {
                return Err(Short { wait: self.when_given(after).since(now) });
            }
            // Relaxed: the number itself is all that threads exchange here.
            match self.spent.compare_exchange_weak(spent, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(amount),
                Err(current) => spent = current,
            }
        }
    }

    /// Replaces `taken` by what was really used: the rest comes back, the excess becomes debt.
    pub fn correct(&self, taken: u64, used: u64) {
        let change = (i128::from(used) - i128::from(taken)) * i128::from(self.scale);
        let change = change.clamp(-CORRECTION_MAX, CORRECTION_MAX) as i64;
        if change != 0 {
            let add = |spent: i64| Some(spent.saturating_add(change));
            // Always `Ok`: `add` never declines.
            let _ = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    /// Whole units that could be taken now; negative when in debt.
    pub fn balance(&self, now: Tick) -> i64 {
        self.balance_in_grains(now).div_euclid(self.scale as i64)
    }

    /// Time until `amount` (or the capacity, if less) could be taken if nobody else came; zero if now.
    pub fn wait_for(&self, amount: u64, now: Tick) -> Duration {
        let missing = self.grains(amount.min(self.capacity)) - self.balance_in_grains(now);
        match missing > 0 && amount > 0 {
            true => self.when_given(self.given(now).saturating_add(missing)).since(now),
            false => Duration::ZERO,
        }
    }

    /// The most it holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn balance_in_grains(&self, now: Tick) -> i64 {
        self.given(now).saturating_sub(self.spent.load(Ordering::Relaxed)).min(self.grains(self.capacity))
    }

    /// Fits: `amount` is at most the capacity, whose grains do.
    fn grains(&self, amount: u64) -> i64 {
        (amount * self.scale) as i64
    }

    /// Grains given up to `now`, the opening balance included.
    fn given(&self, now: Tick) -> i64 {
        let elapsed = now.since(self.start).as_nanos().min(LIFETIME_NS);
        // The product fits: `scale` is chosen so that the quotient of a lifetime is at most 2^59.
        let refill = elapsed * u128::from(self.rate.per_fill) * u128::from(self.scale) / fill_ns(self.rate);
        self.grains(self.capacity) + i64::try_from(refill).unwrap_or(i64::MAX).min(GRAINS_MAX as i64)
    }

    /// The first instant at which `given` reaches `grains`: the exact inverse.
    fn when_given(&self, grains: i64) -> Tick {
        let refill = u128::try_from(grains.saturating_sub(self.grains(self.capacity))).unwrap_or(0);
        let per_fill = u128::from(self.rate.per_fill.max(1)) * u128::from(self.scale);
        let nanos = (refill * fill_ns(self.rate)).div_ceil(per_fill);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// As many grains per unit as fit, so that a grain takes less than a nanosecond: ten years are 2^58.1 ns. A
/// capacity that is huge beside its rate leaves fewer.
fn scale(capacity: u64, rate: Rate) -> u64 {
    let units_of_a_lifetime = (LIFETIME_NS * u128::from(rate.per_fill)).div_ceil(fill_ns(rate)).max(1);
    let most = GRAINS_MAX / units_of_a_lifetime.max(u128::from(capacity));
    most.clamp(1, u128::from(u32::MAX) << 8) as u64
}

fn fill_ns(rate: Rate) -> u128 {
    rate.fill.as_nanos().clamp(1, u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;
    use proptest::prelude::*;

    const NS: Duration = Duration::from_nanos(1);

    fn bucket(capacity: u64, per_fill: u64, fill: Duration) -> Bucket {
        let rate = Rate { per_fill, fill };
        let rule = Rule::new("ns/p", Unit::Tokens, Measure::Bucket { capacity, rate });
        Bucket::new(&rule, Tick(5_000))
    }

    #[test]
    fn the_walkthrough_one_request_then_wait_a_hundred_seconds() {
        let bucket = bucket(1, 1, Duration::from_secs(100));
        let (start, later) = (Tick(5_000), Tick(5_000) + Duration::from_secs(40));
        assert_eq!(bucket.take(1, start), Ok(1));
        assert_eq!(bucket.take(1, later), Err(Short { wait: Duration::from_secs(60) }));
        assert_eq!(bucket.take(1, later + Duration::from_secs(60) - NS), Err(Short { wait: NS }));
        assert_eq!(bucket.take(1, later + Duration::from_secs(60)), Ok(1));
    }

    #[test]
    fn a_bucket_that_was_full_for_a_while_refills_from_when_it_was_spent() {
        let bucket = bucket(1, 1, Duration::from_secs(100));
        let later = Tick(5_000) + Duration::from_secs(40);
        assert_eq!(bucket.take(1, later), Ok(1));
        assert_eq!(bucket.take(1, later), Err(Short { wait: Duration::from_secs(100) }));
        assert_eq!(bucket.take(1, later + Duration::from_secs(100) - NS), Err(Short { wait: NS }));
        assert_eq!(bucket.take(1, later + Duration::from_secs(100)), Ok(1));
    }

    #[test]
    fn extreme_rules_and_amounts_neither_overflow_nor_panic() {
        for (capacity, per_fill, fill) in [
            (u64::MAX, u64::MAX, Duration::from_nanos(1)),
            (1, u64::MAX, Duration::from_nanos(1)),
            (u64::MAX, 1, Duration::MAX),
            (1, 1, Duration::MAX),
        ] {
            let bucket = bucket(capacity, per_fill, fill);
            for now in [Tick(0), Tick(5_000), Tick(u64::MAX)] {
                let taken = bucket.take(u64::MAX, now).unwrap_or(0);
                bucket.correct(taken, u64::MAX);
                bucket.correct(u64::MAX, 0);
                let _ = (bucket.balance(now), bucket.wait_for(1, now), bucket.wait_for(u64::MAX, now));
            }
        }
    }

    #[test]
    fn more_than_fits_is_admitted_when_full_and_paid_back_as_debt() {
        let bucket = bucket(10, 1, Duration::from_secs(1));
        let start = Tick(5_000);
        assert_eq!(bucket.take(500, start), Ok(10));
        bucket.correct(10, 30);
        assert_eq!(bucket.balance(start), -20);
        assert_eq!(bucket.wait_for(1, start), Duration::from_secs(21));
        assert_eq!(bucket.take(1, start), Err(Short { wait: Duration::from_secs(21) }));
        assert_eq!(bucket.take(1, start + Duration::from_secs(21)), Ok(1));
    }

    #[test]
    fn refunds_come_back_but_never_above_the_capacity() {
        let bucket = bucket(10, 1, Duration::from_secs(1));
        let start = Tick(5_000);
        assert_eq!(bucket.take(8, start), Ok(8));
        bucket.correct(8, 3);
        assert_eq!(bucket.balance(start), 7);
        bucket.correct(3, 0);
        assert_eq!(bucket.balance(start + Duration::from_secs(1000)), 10);
        assert_eq!(bucket.take(11, start + Duration::from_secs(1000)), Ok(10));
        assert_eq!(bucket.balance(start + Duration::from_secs(1000)), 0, "overflow is not kept");
    }

    #[test]
    fn debt_beyond_the_capacity_is_kept_where_the_capacity_is_large_beside_the_rate() {
        let bucket = bucket(1_000_000, 1, Duration::from_secs(3600));
        assert_eq!(bucket.take(1_000_000, Tick(5_000)), Ok(1_000_000));
        bucket.correct(1_000_000, 6_000_000);
        assert_eq!(bucket.balance(Tick(5_000)), -5_000_000);
    }

    #[test]
    fn nothing_is_always_given_even_in_debt() {
        let bucket = bucket(1, 1, Duration::from_secs(1));
        bucket.correct(0, 50);
        assert_eq!(bucket.take(0, Tick(5_000)), Ok(0));
        assert_eq!(bucket.balance(Tick(5_000)), -49);
    }

    #[test]
    fn two_threads_never_take_more_than_there_is() {
        let bucket = bucket(10_000, 1, Duration::from_secs(3600));
        let taken: u64 = std::thread::scope(|scope| {
            let take_all = || (0..20_000).filter(|_| bucket.take(1, Tick(5_000)).is_ok()).count() as u64;
            let threads = [scope.spawn(take_all), scope.spawn(take_all)];
            threads.into_iter().map(|t| t.join().expect("a thread that counts")).sum()
        });
        assert_eq!(taken, 10_000);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Take(u64),
        Correct(u64, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u64..5_000_000_000).prop_map(Step::Wait),
            (0u64..50).prop_map(Step::Take),
            (0u64..30, 0u64..60).prop_map(|(taken, used)| Step::Correct(taken, used)),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        /// The textbook bucket: a balance in exact fractions, refilled at every look, capped. Its units are
        /// 1/fill; the bucket may differ by the time of one grain, which is below a nanosecond of refill.
        #[test]
        fn like_the_textbook_bucket(
            capacity in 1u64..40, per_fill in 1u64..17, fill in 1u64..3_000_000_000, steps in steps(),
        ) {
            let bucket = bucket(capacity, per_fill, Duration::from_nanos(fill));
            let (full, one) = (i128::from(capacity) * i128::from(fill), i128::from(fill));
            let slack = i128::from(per_fill) * (steps.len() as i128 + 1);
            let (mut now, mut balance) = (Tick(5_000), full);
            for step in steps {
                match step {
                    Step::Wait(nanos) => {
                        now = now + Duration::from_nanos(nanos);
                        balance += i128::from(nanos) * i128::from(per_fill);
                    }
                    Step::Take(amount) => {
                        balance = balance.min(full);
                        let cost = i128::from(amount.min(capacity)) * one;
                        match bucket.take(amount, now) {
                            Ok(taken) => {
                                prop_assert!(balance + slack >= cost || cost == 0);
                                prop_assert_eq!(taken, amount.min(capacity));
                                balance -= cost;
                            }
                            Err(Short { wait }) => {
                                prop_assert!(balance < cost + slack);
                                prop_assert!(bucket.wait_for(amount, now) == wait && wait > Duration::ZERO);
                                prop_assert!(bucket.wait_for(amount, now + wait).is_zero());
                                prop_assert!(!bucket.wait_for(amount, now + wait - NS).is_zero());
                            }
                        }
                    }
                    Step::Correct(taken, used) => {
                        bucket.correct(taken, used);
                        balance += (i128::from(taken) - i128::from(used)) * one;
                    }
                }
                let (least, most) = (balance.min(full) - slack, balance.min(full) + slack);
                let shown = i128::from(bucket.balance(now));
                prop_assert!(shown * one <= most && (shown + 1) * one > least, "{shown} for {balance}/{fill}");
            }
        }

        /// I2 for what is taken and not corrected: over any interval, admitted <= capacity + rate x interval.
        #[test]
        fn never_more_than_capacity_and_refill_in_any_interval(
            capacity in 1u64..20, per_fill in 1u64..9, fill in 1u64..2_000_000_000,
            asks in proptest::collection::vec((0u64..1_500_000_000, 1u64..20), 1..80),
        ) {
            let bucket = bucket(capacity, per_fill, Duration::from_nanos(fill));
            let (mut now, mut admitted) = (Tick(5_000), Vec::new());
            for (wait, amount) in asks {
                now = now + Duration::from_nanos(wait);
                if let Ok(taken) = bucket.take(amount, now) {
                    admitted.push((now, i128::from(taken)));
                }
            }
            for (first, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0;
                for (to, taken) in &admitted[first..] {
                    sum += taken * i128::from(fill);
                    let refill = to.since(*from).as_nanos() as i128 * i128::from(per_fill);
                    let slack = i128::from(per_fill); // one nanosecond of refill
                    prop_assert!(sum <= i128::from(capacity) * i128::from(fill) + refill + slack);
                }
            }
        }
    }
}
