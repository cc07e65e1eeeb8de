use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant: nanoseconds since an origin that the process chose once, monotonic.
///
/// Pure rooms never read a clock. A worker reads it once per turn of its loop and passes the value on,
/// so that a test can say what time it is. 2^64 ns are 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    /// Saturates at the end of time, so that "no timeout" can be a very long one.
    fn add(self, by: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Tick {
    type Output = Tick;
    fn sub(self, by: Duration) -> Tick {
        Tick(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// An instant on both clocks: the monotonic one, by which buckets refill, and the wall's, by which windows
/// begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic.
    pub tick: Tick,
    /// Milliseconds since 1970 UTC.
    pub unix_ms: i64,
}

impl Moment {
    /// The instant `by` later.
    #[must_use]
    pub fn later(self, by: Duration) -> Moment {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Moment { tick: self.tick + by, unix_ms: self.unix_ms.saturating_add(ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let t = Tick(1_000);
        assert_eq!((t + Duration::from_nanos(5)).since(t), Duration::from_nanos(5));
        assert_eq!(t.since(t + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(t - Duration::from_secs(1), Tick(0));
        assert_eq!(t + Duration::MAX, Tick(u64::MAX));
    }
}
