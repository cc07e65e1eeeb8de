//! When requests are planned, and what is asked next.

use super::{Ask, Load, Pace, moment};
use std::time::{Duration, Instant};

/// The instants at which one thread's requests are planned, evenly spaced, known before the first.
///
/// Of `threads` threads the one at `index` has every `threads`-th instant. They are computed from the beginning, never
/// from the one before, so they do not drift.
#[derive(Debug)]
pub(crate) struct Instants {
    begin: Instant,
    /// Nanoseconds between two instants of all threads.
    step_ns: f64,
    index: u64,
    threads: u64,
    next: u64,
    count: u64,
}

impl Instants {
    /// The plan of `load`. A closed loop plans the first request of each connection.
    pub(crate) fn of(load: &Load, begin: Instant, index: usize, threads: usize) -> Instants {
        let (step_ns, all) = match load.pace {
            Pace::Closed { ramp } => {
                (ramp.as_nanos() as f64 / load.connections.max(1) as f64, load.connections as u64)
            }
            Pace::Open { rate, .. } => (1e9 / rate, (load.time.as_secs_f64() * rate).ceil() as u64),
        };
        let (index, threads) = (index as u64, threads as u64);
        let count = part(all.min(load.requests), index, threads);
        Instants { begin, step_ns, index, threads, next: 0, count }
    }

    /// The next instant; `None` when there is none.
    pub(crate) fn peek(&self) -> Option<Instant> {
        let place = self.index + self.next * self.threads;
        (self.next < self.count)
            .then(|| moment(self.begin, Duration::from_nanos((place as f64 * self.step_ns) as u64)))
    }

    /// The next instant, taken, if it has come.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        let instant = self.peek().filter(|instant| *instant <= now)?;
        self.next += 1;
        Some(instant)
    }

    /// How many are left.
    pub(crate) fn left(&self) -> u64 {
        self.count - self.next
    }
}

/// A thread's part of `all`, so that the parts of all `threads` are the whole.
pub(crate) fn part(all: u64, index: u64, threads: u64) -> u64 {
    all / threads + u64::from(index < all % threads)
}

/// What is asked in which order: everything as often as its share says, as evenly mixed as it goes.
pub(crate) fn order(mix: &[(Ask, u32)]) -> Vec<usize> {
    let all: u32 = mix.iter().map(|(_, share)| (*share).min(SHARE_MAX)).sum();
    let mut credit = vec![0_i64; mix.len()];
    let mut order = Vec::with_capacity(all as usize);
    for _ in 0..all {
        for (credit, (_, share)) in credit.iter_mut().zip(mix) {
            *credit += i64::from((*share).min(SHARE_MAX));
        }
        let most = (0..mix.len()).rev().max_by_key(|&index| credit[index]).unwrap_or(0);
        if let Some(credit) = credit.get_mut(most) {
            *credit -= i64::from(all);
        }
        order.push(most);
    }
    order
}

/// The largest share.
const SHARE_MAX: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Script;

    fn load(pace: Pace, connections: usize, requests: u64) -> Load {
        let ask = Ask::chat(&Script::default(), false, 100, 0);
        let addr = ([127, 0, 0, 1], 1).into();
        let mut load = Load::closed(addr, connections, ask, Duration::from_secs(2));
        (load.pace, load.requests) = (pace, requests);
        load
    }

    #[test]
    fn instants_are_planned_from_the_beginning() {
        let begin = Instant::now();
        let open = load(Pace::Open { rate: 1000.0, backlog: 1 }, 4, u64::MAX);
        let mut all = Vec::new();
        for index in 0..3 {
            let mut instants = Instants::of(&open, begin, index, 3);
            assert_eq!(instants.take(begin).is_some(), index == 0, "the others' first is later");
            instants.next = 0;
            all.extend(std::iter::from_fn(|| instants.take(begin + Duration::from_secs(9))));
            assert_eq!((instants.peek(), instants.left()), (None, 0));
        }
        all.sort();
        let expected: Vec<Instant> = (0..2000).map(|at| begin + Duration::from_millis(at)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_closed_loop_plans_its_first_requests() {
        let begin = Instant::now();
        let ramp = Duration::from_millis(40);
        let mut instants = Instants::of(&load(Pace::Closed { ramp }, 4, u64::MAX), begin, 0, 1);
        let later = begin + Duration::from_millis(25);
        let due: Vec<Instant> = std::iter::from_fn(|| instants.take(later)).collect();
        assert_eq!(due, [0, 10, 20].map(|at| begin + Duration::from_millis(at)));
        assert_eq!(instants.left(), 1);
        assert_eq!(Instants::of(&load(Pace::Closed { ramp }, 4, 2), begin, 0, 1).left(), 2);
        assert_eq!((0..3).map(|index| part(8, index, 3)).collect::<Vec<_>>(), [3, 3, 2]);
    }

    #[test]
    fn shares_are_mixed_evenly() {
        let ask = Ask::chat(&Script::default(), false, 100, 0);
        let mix =
            |shares: &[u32]| order(&shares.iter().map(|share| (ask.clone(), *share)).collect::<Vec<_>>());
        assert_eq!(mix(&[1]), [0]);
        assert_eq!(mix(&[2, 1, 1]), [0, 1, 2, 0]);
        assert_eq!(mix(&[0, 3]), [1, 1, 1]);
        assert!(mix(&[0]).is_empty());
    }
}
