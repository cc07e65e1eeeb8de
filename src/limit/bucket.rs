//! The token bucket: one atomic number, exact arithmetic, no lock.
//!
//! The usual two variables (balance, time of the last refill) become one. What a bucket has been *given* up
//! to an instant is a pure function of that instant: the opening balance plus the refill since. So only what
//! was *spent* has to be stored, and a balance is given minus spent. A bucket is never fuller than its
//! capacity: what overflows counts as spent, and is written down by the next reservation that looks.

use super::{Rate, Rule};
use crate::base::Tick;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A bucket that refills smoothly and may be in debt. Shared between threads by reference.
///
/// [`take`](Bucket::take) first, [`correct`](Bucket::correct) when the real amount is known. All amounts are
/// in the rule's unit. Exact as long as the units given since `start` fit 63 bits (10^9 units a second for
/// 292 years).
#[derive(Debug)]
pub struct Bucket {
    capacity: i64,
    rate: Rate,
    start: Tick,
    /// Units spent or overflown since `start`, measured against `given`.
    spent: AtomicI64,
}

/// Why a bucket did not give: when it will, if nobody else comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Time after which the same amount is given, and one nanosecond before which it is not.
    pub wait: Duration,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rule: &Rule, now: Tick) -> Bucket {
        let capacity = i64::try_from(rule.capacity).unwrap_or(i64::MAX);
        Bucket { capacity, rate: rule.rate, start: now, spent: AtomicI64::new(0) }
    }

    /// Takes `amount`, or as much of it as the bucket can ever hold.
    ///
    /// More than the capacity could never be given at once; a request that wants more is admitted when the
    /// bucket is full, and what it really used is corrected afterwards. Returns what was taken.
    ///
    /// # Errors
    /// [`Short`] when the balance does not cover it; nothing is taken then.
    pub fn take(&self, amount: u64, now: Tick) -> Result<u64, Short> {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX).min(self.capacity);
        let given = self.given(now);
        let mut spent = self.spent.load(Ordering::Relaxed);
        loop {
            let after = spent.max(given.saturating_sub(self.capacity)).saturating_add(amount);
            if after > given && amount > 0 {
                return Err(Short { wait: self.when_given(after).since(now) });
            }
            // Relaxed: the number itself is all that threads exchange here.
            match self.spent.compare_exchange_weak(spent, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(amount as u64),
                Err(current) => spent = current,
            }
        }
    }

    /// Replaces `taken` by what was really used: the rest comes back, the excess becomes debt.
    pub fn correct(&self, taken: u64, used: u64) {
        let change = i64::try_from(i128::from(used) - i128::from(taken)).unwrap_or(i64::MAX);
        if change != 0 {
            self.spent.fetch_add(change, Ordering::Relaxed);
        }
    }

    /// What could be taken now; negative when in debt.
    pub fn balance(&self, now: Tick) -> i64 {
        self.given(now).saturating_sub(self.spent.load(Ordering::Relaxed)).min(self.capacity)
    }

    /// Time until `amount` (or the capacity, if less) could be taken if nobody else came; zero if now.
    pub fn wait_for(&self, amount: u64, now: Tick) -> Duration {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX).min(self.capacity);
        let missing = amount.saturating_sub(self.balance(now));
        if missing <= 0 {
            return Duration::ZERO;
        }
        self.when_given(self.given(now).saturating_add(missing)).since(now)
    }

    /// The most it holds.
    pub fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Units given up to `now`, the opening balance included.
    fn given(&self, now: Tick) -> i64 {
        let refill = now.since(self.start).as_nanos() * u128::from(self.rate.per_fill)
            / self.rate.fill.as_nanos().max(1);
        self.capacity.saturating_add(i64::try_from(refill).unwrap_or(i64::MAX))
    }

    /// The first instant at which `given` reaches `units`: the exact inverse.
    fn when_given(&self, units: i64) -> Tick {
        let refill = u128::try_from(units.saturating_sub(self.capacity)).unwrap_or(0);
        let nanos = (refill * self.rate.fill.as_nanos()).div_ceil(u128::from(self.rate.per_fill.max(1)));
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;
    use proptest::prelude::*;

    const NS: Duration = Duration::from_nanos(1);

    fn bucket(capacity: u64, per_fill: u64, fill: Duration) -> Bucket {
        let rule = Rule { name: "ns/p".into(), unit: Unit::Tokens, capacity, rate: Rate { per_fill, fill } };
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
        /// The textbook bucket: a balance in exact fractions, refilled at every look, capped.
        #[test]
        fn like_the_textbook_bucket(
            capacity in 1u64..40, per_fill in 1u64..17, fill in 1u64..3_000_000_000, steps in steps(),
        ) {
            let bucket = bucket(capacity, per_fill, Duration::from_nanos(fill));
            let scale = i128::from(fill);
            let (mut now, start) = (Tick(5_000), Tick(5_000));
            // Both are in units of 1/fill. The oracle sees only whole refilled units, as the bucket does.
            let whole = |t: Tick| (t.since(start).as_nanos() * u128::from(per_fill) / u128::from(fill)) as i128 * scale;
            let mut balance = i128::from(capacity) * scale;
            for step in steps {
                match step {
                    Step::Wait(nanos) => {
                        let before = whole(now);
                        now = now + Duration::from_nanos(nanos);
                        balance += whole(now) - before;
                    }
                    Step::Take(amount) => {
                        balance = balance.min(i128::from(capacity) * scale);
                        let amount = amount.min(capacity);
                        let fits = amount == 0 || balance >= i128::from(amount) * scale;
                        match bucket.take(amount, now) {
                            Ok(taken) => {
                                prop_assert!(fits && taken == amount);
                                balance -= i128::from(amount) * scale;
                            }
                            Err(Short { wait }) => {
                                prop_assert!(!fits);
                                prop_assert!(bucket.wait_for(amount, now) == wait && wait > Duration::ZERO);
                                prop_assert!(bucket.wait_for(amount, now + wait).is_zero());
                                prop_assert!(!bucket.wait_for(amount, now + wait - NS).is_zero());
                            }
                        }
                    }
                    Step::Correct(taken, used) => {
                        bucket.correct(taken, used);
                        balance += (i128::from(taken) - i128::from(used)) * scale;
                    }
                }
                prop_assert_eq!(i128::from(bucket.balance(now)) * scale, balance.min(i128::from(capacity) * scale));
            }
        }
    }
}
