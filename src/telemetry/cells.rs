//! Numbers with a single writer, so that adding to one is a load and a store, not a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, and wraps after 2^64. One thread writes it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the one writing thread may call this; a second would lose counts.
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, never below 0. One thread writes it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds `n`. Only the one writing thread may call this.
    pub fn add(&self, n: u64) {
        self.set(self.get().saturating_add(n));
    }

    /// Takes `n` away, down to 0. Only the one writing thread may call this.
    pub fn sub(&self, n: u64) {
        self.set(self.get().saturating_sub(n));
    }

    /// Makes it `n`. Only the one writing thread may call this.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_stays_at_or_above_zero() {
        let gauge = Gauge::default();
        gauge.sub(1);
        assert_eq!(gauge.get(), 0);
        gauge.add(u64::MAX);
        gauge.add(1);
        assert_eq!(gauge.get(), u64::MAX);
    }
}
