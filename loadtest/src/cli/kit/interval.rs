//! The bound of a limit over every interval, from what each request reserved and used.
//!
//! What holds, and why. Let B be a bucket's balance. Over an interval that ends at an admission, where B is not
//! below zero, what requests admitted in it used is at most B at its beginning, and the refill, and what requests
//! that were in flight at its beginning gave back, and what those in flight at its end spend beyond what they hold.
//! So over every interval
//!
//! `used <= capacity + rate x interval + D`,
//! `D = given back by requests in flight at its beginning + beyond their reservation by those in flight at its end`.
//!
//! A use counts at its admission. Nobody outside sees that moment, but it lies between two that are seen, so a
//! request counts in an interval when it was certainly admitted within it, and as in flight at an edge when it may
//! have been. That can only hide an excess of the rate times that uncertainty, and never makes one up.

use std::ops::AddAssign;

/// One admitted request, as one limit saw it. Times are nanoseconds from any beginning, amounts in the limit's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    /// It was admitted from `from` on, by `by`.
    pub(crate) from: u64,
    pub(crate) by: u64,
    /// Its reservation was settled by this time.
    pub(crate) settled_by: u64,
    /// What it used.
    pub(crate) used: u64,
    /// All that was ever reserved for it.
    pub(crate) reserved: u64,
    /// What was reserved when it was admitted, at least.
    pub(crate) reserved_first: u64,
}

/// What a limit allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) capacity: u64,
    /// Units per second.
    pub(crate) rate: u64,
}

/// The interval with the least left of what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worst {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) used: u64,
    /// Capacity and refill.
    pub(crate) allowed: u64,
    /// D of this interval.
    pub(crate) excused: u64,
    /// What was left; below zero the bound is broken.
    pub(crate) left: i64,
}

/// Sums of amounts up to a time.
struct Steps {
    times: Vec<u64>,
    /// `sums[i]` is the sum of the first `i` amounts.
    sums: Vec<u64>,
}

impl Steps {
    fn of(mut steps: Vec<(u64, u64)>) -> Steps {
        steps.sort_unstable();
        let mut sums = vec![0];
        let mut sum = 0u64;
        for (_, amount) in &steps {
            sum.add_assign(amount);
            sums.push(sum);
        }
        Steps { times: steps.into_iter().map(|(time, _)| time).collect(), sums }
    }

    fn before(&self, time: u64) -> u64 {
        self.sums[self.times.partition_point(|&other| other < time)]
    }

    fn up_to(&self, time: u64) -> u64 {
        self.sums[self.times.partition_point(|&other| other <= time)]
    }
}

/// The worst of all intervals between two of the requests' moments; `None` without requests.
///
/// `used` of an interval is what was certainly admitted by its end less all that may have been before its beginning.
pub(crate) fn worst(spent: &[Spent], allowance: Allowance) -> Option<Worst> {
    let steps = |time: fn(&Spent) -> u64, amount: fn(&Spent) -> u64| {
        Steps::of(spent.iter().map(|one| (time(one), amount(one))).collect())
    };
    let back: fn(&Spent) -> u64 = |one| one.reserved.saturating_sub(one.used);
    let beyond: fn(&Spent) -> u64 = |one| one.used.saturating_sub(one.reserved_first);
    let used_from = steps(|one| one.from, |one| one.used);
    let used_by = steps(|one| one.by, |one| one.used);
    let (back_from, back_settled) = (steps(|one| one.from, back), steps(|one| one.settled_by, back));
    let (beyond_from, beyond_settled) = (steps(|one| one.from, beyond), steps(|one| one.settled_by, beyond));

    let refill = |time: u64| i128::from(time) * i128::from(allowance.rate) / 1_000_000_000;
    let mut ends: Vec<(u64, u64)> = spent.iter().map(|one| (one.by, one.from)).collect();
    ends.sort_unstable();
    let (mut begun, mut latest_admission) = (0, 0);
    let mut best_begin: Option<(i128, u64, u64)> = None;
    let mut worst: Option<Worst> = None;
    for (until, from) in ends {
        // Every beginning up to here, of which the one that leaves least is kept.
        while let Some(&from) = used_from.times.get(begun).filter(|&&from| from <= until) {
            let excused = back_from.before(from).saturating_sub(back_settled.before(from));
            let left = refill(from) - i128::from(used_from.before(from)) - i128::from(excused);
            if best_begin.is_none_or(|(best, ..)| left > best) {
                best_begin = Some((left, from, excused));
            }
            begun += 1;
        }
        // The last admission that counts came no earlier than this, so who had been settled by then is out.
        latest_admission = latest_admission.max(from);
        let beyond = beyond_from.up_to(until).saturating_sub(beyond_settled.before(latest_admission));
        let Some((_, from, back)) = best_begin else { continue };
        let used = used_by.up_to(until).saturating_sub(used_from.before(from));
        let allowed = i128::from(allowance.capacity) + refill(until) - refill(from);
        // One unit for the two roundings of the refill.
        let left = allowed + 1 + i128::from(back) + i128::from(beyond) - i128::from(used);
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        if worst.is_none_or(|worst| left < worst.left) {
            let allowed = u64::try_from(allowed).unwrap_or(u64::MAX);
            worst = Some(Worst { from, until, used, allowed, excused: back + beyond, left });
        }
    }
    worst
}

/// The most requests that were certainly under way at one moment, given from when until when each was.
pub(crate) fn most_at_once(spans: impl IntoIterator<Item = (u64, u64)>) -> usize {
    let mut edges = Vec::new();
    for (from, until) in spans {
        if from < until {
            // Ends go before beginnings at the same moment.
            edges.extend([(from, 1i64), (until, -1)]);
        }
    }
    edges.sort_unstable_by_key(|&(time, change)| (time, change));
    let mut now = 0;
    let most = edges.iter().map(|(_, change)| {
        now += change;
        now
    });
    most.max().unwrap_or(0).max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn exact(at: u64, settled: u64, used: u64, reserved: u64) -> Spent {
        Spent { from: at, by: at, settled_by: settled, used, reserved, reserved_first: reserved }
    }

    /// A bucket that keeps the rule, with `leak` percent of admissions let through against it.
    struct Bucket {
        balance: f64,
        at: u64,
        allowance: Allowance,
    }

    impl Bucket {
        fn refill(&mut self, now: u64) {
            let refill = (now - self.at) as f64 * self.allowance.rate as f64 / SECOND as f64;
            self.balance = (self.balance + refill).min(self.allowance.capacity as f64);
            self.at = now;
        }
    }

    /// Traffic through a bucket: reservations, refunds and overspend, moments seen with an uncertainty.
    fn traffic(seed: u64, leak: u64) -> (Vec<Spent>, Allowance) {
        let mut random = Random::new(seed, 0);
        let allowance = Allowance { capacity: random.between(500, 3_000), rate: random.between(500, 5_000) };
        let mut bucket = Bucket { balance: allowance.capacity as f64, at: 0, allowance };
        let (mut spent, mut open, mut now) = (Vec::new(), Vec::<(u64, u64, u64)>::new(), 0);
        for _ in 0..3_000 {
            now += random.between(100_000, 5_000_000);
            open.sort_unstable();
            while let Some(&(at, reserved, used)) = open.first().filter(|(at, ..)| *at <= now) {
                bucket.refill(at.max(bucket.at));
                bucket.balance += reserved as f64 - used as f64;
                open.remove(0);
            }
            bucket.refill(now);
            let reserved = random.between(50, 300);
            if bucket.balance < reserved as f64 && !random.percent(leak) {
                continue;
            }
            bucket.balance -= reserved as f64;
            let used = random.between(10, 500);
            let settled = now + random.between(1_000, 60_000_000);
            open.push((settled, reserved, used));
            let (early, late) = (random.between(0, 2_000_000), random.between(0, 2_000_000));
            spent.push(Spent {
                from: now.saturating_sub(early),
                by: now + late,
                settled_by: settled + random.between(0, 1_000_000),
                used,
                reserved,
                reserved_first: reserved,
            });
        }
        (spent, allowance)
    }

    #[test]
    fn a_bucket_that_keeps_its_rule_is_never_accused() {
        for seed in 0..300 {
            let (spent, allowance) = traffic(seed, 0);
            let worst = worst(&spent, allowance).unwrap();
            assert!(worst.left >= 0, "seed {seed}: {worst:?}");
        }
    }

    #[test]
    fn a_bucket_that_lets_a_tenth_through_is_caught() {
        for seed in 0..100 {
            let (spent, allowance) = traffic(seed, 10);
            let worst = worst(&spent, allowance).unwrap();
            assert!(worst.left < 0, "seed {seed}: {worst:?}");
        }
    }

    #[test]
    fn planted_violations_of_one_token_are_found_wherever_they_are() {
        let allowance = Allowance { capacity: 1_000, rate: 100 };
        let second = |n: u64| n * SECOND;
        // Spends all at once, then exactly the refill, once a second; nothing is in flight at an edge.
        let calm = |extra_at: u64, extra: u64| {
            (0..60).map(move |n| {
                let used = if n == 0 { 1_000 } else { 100 } + if n == extra_at { extra } else { 0 };
                exact(second(n), second(n) + 1, used, used)
            })
        };
        let even = worst(&calm(0, 0).collect::<Vec<_>>(), allowance).unwrap();
        assert_eq!((even.left, even.excused), (1, 0), "exact but for the one unit of rounding");
        for extra_at in 0..60 {
            let broken = worst(&calm(extra_at, 2).collect::<Vec<_>>(), allowance).unwrap();
            assert!(broken.left == -1 && broken.until >= second(extra_at), "{extra_at}: {broken:?}");
        }
    }

    #[test]
    fn what_requests_in_flight_spent_beyond_excuses_only_while_they_were() {
        let allowance = Allowance { capacity: 100, rate: 1 };
        // Reserved 50 and used 500: nothing of it was foreseen.
        let overspent = exact(0, SECOND, 500, 50);
        assert_eq!(worst(&[overspent], allowance).unwrap().excused, 450);
        assert!(worst(&[overspent], allowance).unwrap().left >= 0);
        // Another is admitted after that was known: debt was forgiven.
        let after = exact(2 * SECOND, 3 * SECOND, 10, 10);
        assert!(worst(&[overspent, after], allowance).unwrap().left < 0);
        // Given back by one in flight at the beginning, while the bucket had filled again.
        let allowance = Allowance { capacity: 100, rate: 20 };
        let taken = |at: u64| exact(at * SECOND, at * SECOND + 1, 100, 100);
        for (settled, holds) in [(4, false), (6, true)] {
            let refund = exact(0, settled * SECOND, 0, 100);
            let left = worst(&[refund, taken(5), taken(6)], allowance).unwrap().left;
            assert_eq!(left >= 0, holds, "given back after {settled} s");
        }
    }

    #[test]
    fn every_interval_is_looked_at() {
        // Against all pairs, by the definition.
        for seed in 0..40 {
            let (mut spent, allowance) = traffic(seed, 5);
            spent.truncate(120);
            let mut least = i128::MAX;
            for begin in &spent {
                for end in spent.iter().filter(|end| end.by >= begin.from) {
                    let sum = |keep: &dyn Fn(&Spent) -> bool, of: &dyn Fn(&Spent) -> i128| {
                        spent.iter().filter(|one| keep(one)).map(of).sum::<i128>()
                    };
                    let used = sum(&|one| one.by <= end.by, &|one| i128::from(one.used))
                        - sum(&|one| one.from < begin.from, &|one| i128::from(one.used));
                    let back = sum(&|one| one.from < begin.from && one.settled_by >= begin.from, &|one| {
                        i128::from(one.reserved.saturating_sub(one.used))
                    });
                    let latest = spent.iter().filter(|one| one.by <= end.by).map(|one| one.from).max();
                    let inside = |one: &Spent| one.from <= end.by && Some(one.settled_by) >= latest;
                    let beyond = sum(&inside, &|one| i128::from(one.used.saturating_sub(one.reserved_first)));
                    let refill = i128::from(end.by) * i128::from(allowance.rate) / i128::from(SECOND)
                        - i128::from(begin.from) * i128::from(allowance.rate) / i128::from(SECOND);
                    least = least.min(i128::from(allowance.capacity) + refill + 1 + back + beyond - used);
                }
            }
            assert_eq!(i128::from(worst(&spent, allowance).unwrap().left), least, "seed {seed}");
        }
    }

    #[test]
    fn requests_at_once() {
        assert_eq!(most_at_once([(0, 10), (5, 15), (10, 20), (3, 3)]), 2);
        assert_eq!(most_at_once([(0, 10), (5, 15), (9, 20)]), 3);
        assert_eq!(most_at_once([]), 0);
    }
}
