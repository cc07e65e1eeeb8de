//! Deadlines of a worker: a coarse hashed wheel, because a request sets several and meets almost none.
//!
//! Most deadlines only ever move later, so the owner keeps the exact time and the wheel only a reminder to
//! look: setting a later deadline costs one store and no wheel operation (see `Ring::set_deadline`).

use crate::base::Tick;
use std::time::Duration;

/// How exact a deadline is: it is met at most this much late.
pub(super) const GRAIN: Duration = Duration::from_millis(8);
const SLOTS: usize = 512;
const NOTHING: u64 = u64::MAX;

/// Reminders by time. `K` says whom to remind.
pub(super) struct Wheel<K> {
    slots: Vec<Vec<(u64, K)>>,
    /// The earliest grain of each slot; `NOTHING` for an empty one.
    earliest: Box<[u64; SLOTS]>,
    /// A bit for each slot in which something is.
    filled: [u64; SLOTS / 64],
    /// The grain up to which (inclusive) everything has been handed out.
    done: u64,
}

impl<K> Wheel<K> {
    pub(super) fn new(now: Tick) -> Wheel<K> {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            earliest: Box::new([NOTHING; SLOTS]),
            filled: [0; SLOTS / 64],
            done: grain(now),
        }
    }

    /// Reminds of `key` at `at` or up to one grain later.
    pub(super) fn insert(&mut self, at: Tick, key: K) {
        // Rounded up, and never into a grain that is handed out already: a reminder is never lost or early.
        let due = at.0.div_ceil(GRAIN.as_nanos() as u64).max(self.done + 1);
        let place = due as usize % SLOTS;
        self.slots[place].push((due, key));
        self.earliest[place] = self.earliest[place].min(due);
        self.filled[place / 64] |= 1 << (place % 64);
    }

    /// Hands out every key that is due at `now`.
    pub(super) fn expire(&mut self, now: Tick, mut remind: impl FnMut(K)) {
        let current = grain(now);
        if current <= self.done {
            return;
        }
        // After a long pause every slot is visited once, not once per missed turn.
        let first = (self.done + 1).max(current.saturating_sub(SLOTS as u64 - 1));
        for turn in first..=current {
            let place = turn as usize % SLOTS;
            if self.earliest[place] > current {
                continue;
            }
            let slot = &mut self.slots[place];
            slot.extract_if(.., |(due, _)| *due <= current).for_each(|(_, key)| remind(key));
            self.earliest[place] = slot.iter().map(|(due, _)| *due).min().unwrap_or(NOTHING);
            if slot.is_empty() {
                self.filled[place / 64] &= !(1 << (place % 64));
            }
        }
        self.done = current;
    }

    /// Time until something is due, or until all slots have been passed by, whichever comes first.
    pub(super) fn wait(&self, now: Tick) -> Duration {
        let (from, until) = (self.done + 1, self.done + SLOTS as u64);
        let mut turn = from;
        while turn < until {
            let place = turn as usize % SLOTS;
            let ahead = self.filled[place / 64] >> (place % 64);
            match ahead.trailing_zeros() {
                // Nothing up to the end of this word.
                64 => turn += 64 - place as u64 % 64,
                0 if self.earliest[place] <= turn => break,
                0 => turn += 1,
                empty => turn += u64::from(empty),
            }
        }
        let due = Tick(turn.min(until).saturating_mul(GRAIN.as_nanos() as u64));
        due.since(now)
    }

    /// Whether no reminder is set.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.filled.iter().all(|word| *word == 0)
    }
}

fn grain(at: Tick) -> u64 {
    at.0 / GRAIN.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due(wheel: &mut Wheel<u32>, now: Tick) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.expire(now, |key| keys.push(key));
        keys
    }

    #[test]
    fn a_reminder_comes_once_not_early_and_at_most_a_grain_late() {
        let start = Tick(1_000_000_000);
        let mut wheel = Wheel::new(start);
        let at = start + Duration::from_millis(20);
        wheel.insert(at, 7);
        assert!(due(&mut wheel, at - Duration::from_nanos(1)).is_empty());
        assert_eq!(due(&mut wheel, at + GRAIN), [7]);
        assert!(due(&mut wheel, at + Duration::from_secs(60)).is_empty() && wheel.is_empty());
    }

    proptest! {
        #[test]
        fn like_a_sorted_list(
            deadlines in proptest::collection::vec(0u64..20_000, 1..60),
            steps in proptest::collection::vec(1u64..9_000, 1..20),
        ) {
            let ms = |n: u64| Duration::from_millis(n);
            let start = Tick(123_456_789);
            let mut wheel = Wheel::new(start);
            for (key, after) in deadlines.iter().enumerate() {
                wheel.insert(start + ms(*after), key as u32);
            }
            let (mut now, mut seen) = (start, Vec::new());
            for step in steps {
                // Who wakes when it is told to is not late, and does not wake for nothing more often than a lap.
                let wait = wheel.wait(now);
                prop_assert!(wait <= GRAIN * SLOTS as u32);
                let asleep = |after: &u64| start + ms(*after) + GRAIN < now + wait;
                let missed = deadlines.iter().enumerate().find(|(key, after)| {
                    asleep(after) && !seen.contains(&(*key as u32))
                });
                prop_assert_eq!(missed, None, "after {:?}", wait);
                now = now + ms(step);
                for key in due(&mut wheel, now) {
                    prop_assert!(start + ms(deadlines[key as usize]) <= now, "early");
                    seen.push(key);
                }
                for (key, after) in deadlines.iter().enumerate() {
                    let overdue = start + ms(*after) + GRAIN + GRAIN <= now;
                    prop_assert!(!overdue || seen.contains(&(key as u32)), "late");
                }
            }
            let mut unique = seen.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), seen.len());
        }
    }
}
