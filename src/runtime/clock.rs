//! The one place that reads a clock.

use crate::base::{Moment, Tick};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// The present instant, monotonic, on the time line that all threads of the process share.
pub fn now() -> Tick {
    // One hour of room below the first reading, so that "an hour ago" is never before the origin.
    let origin = ORIGIN.get_or_init(Instant::now);
    Tick(0) + Duration::from_secs(3600) + origin.elapsed()
}

/// The present instant on both clocks.
pub fn moment() -> Moment {
    Moment { tick: now(), unix_ms: i64::try_from(unix_ms()).unwrap_or(i64::MAX) }
}

/// Wall-clock time in milliseconds since 1970, for records and for answers that carry a date.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
