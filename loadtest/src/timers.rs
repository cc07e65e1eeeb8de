//! Deadlines of connections, cheapest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Wake-ups by time. Entries are never taken back: whoever is woken looks whether it is really time, and asks again
/// if it is not. A connection has one entry that counts, so the heap stays about as long as the list of connections.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

impl Timers {
    /// Wakes connection `number` in slot `key` at `when`.
    pub(crate) fn arm(&mut self, when: Instant, key: usize, number: u64) {
        self.heap.push(Reverse((when, key, number)));
    }

    /// The time until the next wake-up.
    pub(crate) fn next(&self, now: Instant) -> Option<Duration> {
        self.heap.peek().map(|Reverse((when, ..))| when.saturating_duration_since(now))
    }

    /// The next one whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, usize, u64)> {
        match self.heap.peek() {
            Some(Reverse((when, ..))) if *when <= now => self.heap.pop().map(|Reverse(entry)| entry),
            _ => None,
        }
    }
}

/// A time so much later; a year at most, so that no script can overflow it.
pub(crate) fn later(now: Instant, by: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(31_557_600);
    now + by.min(YEAR)
}
