//! Layer 3: what happened, counted and written down. Pure; does not know who reads it.
//!
//! * [`counters`]: numbers that one worker writes and any thread reads without a lock; [`lists`] of them.
//! * [`histogram`]: latencies, kept by a worker and handed over to whoever merges them.
//! * [`record`]: one exchange, told in a plain value and as one line of JSON.
//! * [`Audit`]: one change that an operator made, in the same form.
//! * [`prometheus`]: the text exposition format; [`export`]: the families that tollgate shows in it.

mod audit;
mod cells;
pub mod counters;
pub mod estimates;
pub mod export;
mod headers;
pub mod histogram;
mod json;
pub mod lists;
mod outcome;
pub mod prometheus;
pub mod record;
mod time;
mod verdicts;

#[cfg(test)]
mod tests;

pub use audit::{Audit, Change};
pub use counters::{Counter, Counters, Gauge, LimitCounters, LimitTotals, Totals, UsageCounts};
pub use estimates::{Estimates, InputEstimate, OutputEstimate};
pub use export::{Keeping, LatencySeries, LimitSeries, SourceSeries, View, render};
pub use histogram::{Buckets, Latencies, Latency};
pub use record::{Outcome, Payee, PriceSource, Priced, Record, UsageSource, Verdict};
