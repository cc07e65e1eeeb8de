//! Deadlines of a worker: a coarse hashed wheel, because a request sets several and meets almost none.
//!
//! Most deadlines only ever move later, so the owner keeps the exact time and the wheel only a reminder to
//! look: setting a later deadline costs one store and no wheel operation (see `Ring::set_deadline`).

use crate::base::Tick;
use std::time::Duration;

/// How exact a deadline is: it is met at most this much late.
pub(super) const GRAIN: Duration = Duration::from_millis(8);
const SLOTS: usize = 512;

/// Reminders by time. `K` says whom to remind.
pub(super) struct Wheel<K> {
    slots: Vec<Vec<(u64, K)>>,
    /// The grain up to which (inclusive) everything has been handed out.
    done: u64,
    len: usize,
}

impl<K> Wheel<K> {
    pub(super) fn new(now: Tick) -> Wheel<K> {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), done: grain(now), len: 0 }
    }

    /// Reminds of `key` at `at` or up to one grain later.
    pub(super) fn insert(&mut self, at: Tick, key: K) {
        // Rounded up, and never into a grain that is handed out already: a reminder is never lost or early.
        let due = at.0.div_ceil(GRAIN.as_nanos() as u64).max(self.done + 1);
        self.slots[due as usize % SLOTS].push((due, key));
        self.len += 1;
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
            let slot = &mut self.slots[turn as usize % SLOTS];
            for (_, key) in slot.extract_if(.., |(due, _)| *due <= current) {
                self.len -= 1;
                remind(key);
            }
        }
        self.done = current;
    }

    /// Whether no reminder is set.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
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
