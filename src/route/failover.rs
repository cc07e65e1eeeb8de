//! Which of several endpoints answers: the first group of which one is well, and there the better of two.
//!
//! What is known of an endpoint is what one worker saw of it; workers do not ask each other.

use crate::base::Tick;
use std::time::Duration;

/// When an endpoint that fails is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that eject; at least 1.
    pub failures: u32,
    /// The first ejection lasts so long, each one after it without a success between twice as long as the last.
    pub first: Duration,
    /// None lasts longer, not even one that the endpoint itself asked for.
    pub longest: Duration,
}

impl Default for Ejection {
    /// Five failures; 3 seconds (agentgateway's `eviction.duration`) to a minute.
    fn default() -> Self {
        Ejection { failures: 5, first: Duration::from_secs(3), longest: Duration::from_secs(60) }
    }
}

/// How an endpoint does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    ejected_until: Tick,
    /// In a row.
    failures: u32,
    /// In a row.
    ejections: u32,
    /// Moving average of the time to the head of an answer, in nanoseconds; 0 before the first.
    latency: u64,
    /// Requests under way.
    pending: u32,
}

/// A new latency counts for one part in so many of the average.
const LATENCY_WEIGHT: u64 = 8;

/// What is taken for the latency of an endpoint that was asked and has not answered yet, in nanoseconds: 10 seconds.
const LATENCY_UNKNOWN: u64 = 10_000_000_000;

impl Health {
    /// What is still known under another configuration, in which no request is under way yet.
    #[must_use]
    pub fn carried_over(self) -> Health {
        Health { pending: 0, ..self }
    }

    /// A request goes to it.
    pub fn begin(&mut self) {
        self.pending = self.pending.saturating_add(1);
    }

    /// A request that went to it is over, however it ended.
    pub fn end(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// It answered with a word on the request, not with an answer to it: it is well, and says nothing of its speed.
    pub fn is_well(&mut self) {
        (self.failures, self.ejections) = (0, 0);
    }

    /// It answered, `after` the request went out.
    pub fn answered(&mut self, after: Duration) {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.latency = match self.latency {
            0 => nanos,
            known => (known - known / LATENCY_WEIGHT).saturating_add(nanos / LATENCY_WEIGHT).max(1),
        };
        self.is_well();
    }

    /// It failed: no connection, no answer, or one that says it is broken.
    ///
    /// What fails while it is left alone began before, and is the same failure.
    pub fn failed(&mut self, now: Tick, terms: &Ejection) {
        if self.is_ejected(now) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < terms.failures {
            return;
        }
        let time = terms.first.saturating_mul(1 << self.ejections.min(20));
        self.eject(now, time, terms);
        self.ejections = self.ejections.saturating_add(1);
        self.failures = terms.failures.saturating_sub(1); // one more when it comes back is enough
    }

    /// It said that it takes no more for now: for `time`, or for as long as a first ejection when it does not say.
    pub fn refused(&mut self, now: Tick, time: Option<Duration>, terms: &Ejection) {
        self.eject(now, time.unwrap_or(terms.first), terms);
    }

    fn eject(&mut self, now: Tick, time: Duration, terms: &Ejection) {
        self.ejected_until = self.ejected_until.max(now + time.min(terms.longest));
    }

    /// Whether it is left alone.
    pub fn is_ejected(&self, now: Tick) -> bool {
        now < self.ejected_until
    }

    /// The smaller, the sooner an answer is to be expected. One that nobody asked yet is asked first, once: until it answers it
    /// counts as slow.
    fn expected(&self) -> u128 {
        let latency = match (self.latency, self.pending) {
            (0, 0) => 0,
            (0, _) => LATENCY_UNKNOWN,
            (known, _) => known,
        };
        u128::from(latency) * (u128::from(self.pending) + 1)
    }
}

/// The endpoint to go to: of the first group with an endpoint that `may_be` and is not ejected the better of two that `random` falls on. When all that are left are ejected, the one that comes back first: nobody is refused
/// because of what a provider did before. `None` when there is none.
///
/// `health` is asked by the endpoint's index; `random` has to be uniform over all 64 bits.
pub fn pick(
    groups: &[Box<[u32]>],
    may_be: impl Fn(u32) -> bool,
    now: Tick,
    random: u64,
    health: impl Fn(u32) -> Health,
) -> Option<u32> {
    for group in groups {
        let well = || left(group, &may_be).filter(|endpoint| !health(*endpoint).is_ejected(now));
        let count = well().count();
        if count == 0 {
            continue;
        }
        let (first, second) = two_of(count, random);
        let (first, second) = (well().nth(first)?, well().nth(second)?);
        let better = health(second).expected() < health(first).expected();
        return Some(if better { second } else { first });
    }
    groups
        .iter()
        .flat_map(|group| left(group, &may_be))
        .min_by_key(|endpoint| health(*endpoint).ejected_until)
}

fn left<'a>(group: &'a [u32], may_be: &'a impl Fn(u32) -> bool) -> impl Iterator<Item = u32> + 'a {
    group.iter().copied().filter(|endpoint| may_be(*endpoint))
}

/// Two different places below `count`, or the one that there is twice.
fn two_of(count: usize, random: u64) -> (usize, usize) {
    let below = |bits: u64, count: usize| ((bits * count as u64) >> 32) as usize;
    let first = below(random >> 32, count);
    if count == 1 {
        return (first, first);
    }
    let step = 1 + below(random & u64::from(u32::MAX), count - 1);
    (first, (first + step) % count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TERMS: Ejection =
        Ejection { failures: 2, first: Duration::from_secs(3), longest: Duration::from_secs(10) };

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000_000)
    }

    fn groups(lists: &[&[u32]]) -> Vec<Box<[u32]>> {
        lists.iter().map(|list| Box::from(*list)).collect()
    }

    #[test]
    fn failures_in_a_row_eject_each_time_for_longer() {
        let mut health = Health::default();
        let ejected = |now: u64, health: &mut Health| {
            health.failed(at(now), &TERMS);
            health.ejected_until.since(at(now)).as_secs()
        };
        // (when it fails, for how long it is then ejected)
        for (now, seconds) in [(0, 0), (1, 3), (10, 6), (20, 10), (40, 10)] {
            assert_eq!(ejected(now, &mut health), seconds, "failed at {now}");
        }
        health.answered(Duration::from_millis(1));
        assert_eq!((ejected(100, &mut health), ejected(101, &mut health)), (0, 3), "a success forgives");
    }

    #[test]
    fn failures_of_one_moment_eject_once() {
        let mut health = Health::default();
        for _ in 0..20 {
            health.failed(at(1), &TERMS);
        }
        assert_eq!(health.ejected_until.since(at(1)).as_secs(), 3);
    }

    #[test]
    fn who_never_answered_is_not_asked_by_all() {
        let mut silent = Health::default();
        let mut quick = Health::default();
        quick.answered(Duration::from_millis(200));
        assert!(silent.expected() < quick.expected(), "it is tried");
        silent.begin();
        assert!(silent.expected() > quick.expected(), "by one");
    }

    #[test]
    fn who_asks_for_a_pause_gets_it_within_bounds() {
        for (asked, seconds) in [(None, 3), (Some(1), 1), (Some(7), 7), (Some(3600), 10), (Some(0), 0)] {
            let mut health = Health::default();
            health.refused(at(5), asked.map(Duration::from_secs), &TERMS);
            assert_eq!(health.ejected_until.since(at(5)).as_secs(), seconds, "{asked:?}");
        }
        let mut health = Health::default();
        health.refused(at(0), Some(Duration::from_secs(9)), &TERMS);
        health.refused(at(1), Some(Duration::from_secs(1)), &TERMS);
        assert!(health.is_ejected(at(8)), "a shorter pause does not end a longer one");
    }

    #[test]
    fn groups_are_used_in_their_order_and_the_ejected_last() {
        let lists = groups(&[&[0, 1], &[2]]);
        let until = |ejected: [u64; 3]| {
            move |endpoint: u32| Health { ejected_until: at(ejected[endpoint as usize]), ..Health::default() }
        };
        for (ejected, tried, expected) in [
            ([0, 9, 0], &[][..], Some(0)),
            ([9, 0, 0], &[], Some(1)),
            ([9, 9, 0], &[], Some(2)),
            ([0, 9, 0], &[0], Some(2)),
            ([9, 8, 7], &[], Some(2)),
            ([9, 7, 8], &[], Some(1)),
            ([9, 7, 8], &[1], Some(2)),
            ([0, 0, 0], &[0, 1, 2], None),
        ] {
            for random in [0, 1 << 40, u64::MAX] {
                let picked = pick(&lists, |e| !tried.contains(&e), at(5), random, until(ejected));
                assert_eq!(picked, expected, "{ejected:?} {tried:?}");
            }
        }
        assert_eq!(pick(&[], |_| true, at(0), 0, |_| Health::default()), None);
    }

    #[test]
    fn the_one_that_answers_sooner_gets_more_and_nobody_starves() {
        let lists = groups(&[&[0, 1, 2]]);
        let mut health = [Health::default(); 3];
        for (health, ms) in health.iter_mut().zip([10, 20, 40]) {
            health.answered(Duration::from_millis(ms));
        }
        let mut counts = [0; 3];
        let mut random = 1u64;
        for _ in 0..3000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let picked = pick(&lists, |_| true, at(0), random, |endpoint| health[endpoint as usize]).unwrap();
            counts[picked as usize] += 1;
            health[picked as usize].begin();
            if counts.iter().sum::<u32>() % 8 == 0 {
                health.iter_mut().for_each(|health| health.pending = 0); // all have answered
            }
        }
        assert!(counts[0] > counts[1] && counts[1] > counts[2] && counts[2] > 200, "{counts:?}");
    }

    proptest! {
        /// Whoever is picked was not tried, is in the first group that has anybody well, or nobody is well.
        #[test]
        fn the_pick_agrees_with_a_naive_look(
            lists in prop::collection::vec(prop::collection::vec(0u32..12, 0..5), 0..4),
            tried in prop::collection::vec(0u32..12, 0..6),
            ejected in prop::collection::vec(0u64..10, 12),
            latency in prop::collection::vec(0u64..5, 12),
            random: u64,
        ) {
            let lists: Vec<Box<[u32]>> = lists.into_iter().map(Into::into).collect();
            let health = |endpoint: u32| Health {
                ejected_until: at(ejected[endpoint as usize]), latency: latency[endpoint as usize], ..Health::default()
            };
            let left = |list: &[u32]| list.iter().copied().filter(|e| !tried.contains(e)).collect::<Vec<_>>();
            let well = |list: &[u32]| left(list).into_iter().filter(|e| ejected[*e as usize] <= 5).collect::<Vec<_>>();
            let expected = lists.iter().map(|list| well(list)).find(|well| !well.is_empty());
            match (pick(&lists, |e| !tried.contains(&e), at(5), random, health), expected) {
                (Some(picked), Some(well)) => {
                    prop_assert!(well.contains(&picked));
                    let worst = well.iter().map(|e| latency[*e as usize]).max().unwrap();
                    let alone = well.iter().filter(|e| latency[**e as usize] == worst).count() == 1;
                    prop_assert!(well.len() == 1 || !alone || latency[picked as usize] < worst, "the worst of all");
                }
                (picked, None) => {
                    let all: Vec<u32> = lists.iter().flat_map(|list| left(list)).collect();
                    let first = all.iter().map(|e| ejected[*e as usize]).min();
                    prop_assert_eq!(picked.map(|e| ejected[e as usize]), first);
                }
                (None, Some(well)) => prop_assert!(false, "{well:?} were left"),
            }
        }
    }
}
