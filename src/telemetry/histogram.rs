//! Latencies: recorded by one worker into a histogram of bounded size, handed over, merged.

use hdrhistogram::Histogram;
use std::mem;
use std::time::Duration;

/// The latencies that a worker measures for one set of labels.
///
/// The worker records into its own; now and then it hands them over ([`replace`](Latencies::replace) with an
/// empty one that came back, or [`take`](Latencies::take), which allocates) and whoever keeps the sums
/// [merges](Latencies::merge) what it got. Each takes about 130 KB.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// From the first byte of a request to the last of its answer.
    pub request: Latency,
    /// From the first byte of a request to the first of the answer's content: for a stream the first token.
    pub first_token: Latency,
    /// Of a stream: the time from first token to last, divided by the tokens after the first.
    pub per_output_token: Latency,
    /// What tollgate itself takes before a request goes upstream.
    pub processing: Latency,
    /// Opening a connection to a provider, TLS included.
    pub upstream_connect: Latency,
}

impl Latencies {
    /// What was recorded since the last time; recording goes on in `empty`.
    pub fn replace(&mut self, empty: Latencies) -> Latencies {
        mem::replace(self, empty)
    }

    /// What was recorded since the last time; recording goes on in a new one.
    pub fn take(&mut self) -> Latencies {
        mem::take(self)
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Latencies) {
        self.request.merge(&other.request);
        self.first_token.merge(&other.first_token);
        self.per_output_token.merge(&other.per_output_token);
        self.processing.merge(&other.processing);
        self.upstream_connect.merge(&other.upstream_connect);
    }

    /// Forgets everything and keeps the memory, so that it can be [put in place](Latencies::replace) again.
    pub fn clear(&mut self) {
        let all = [&mut self.request, &mut self.first_token, &mut self.per_output_token];
        all.into_iter().chain([&mut self.processing, &mut self.upstream_connect]).for_each(Latency::clear);
    }
}

/// A histogram of durations from 1 µs to 1 hour, true to 1 %; longer ones count as one hour.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    /// The sum of all durations in µs, exact, the long ones in full.
    sum_us: u64,
}

/// The longest duration that is told from longer ones.
const LONGEST_US: u64 = 3_600_000_000;

impl Default for Latency {
    fn default() -> Latency {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 2);
        Latency { histogram: histogram.expect("constant bounds that the histogram can have"), sum_us: 0 }
    }
}

impl Latency {
    /// Counts `duration`, cut to whole microseconds. Never allocates.
    pub fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us);
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.sum_us = 0;
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The duration in µs that a share `quantile` (0 to 1) of all does not exceed, true to 1 %; 0 when there
    /// is none.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// As a Prometheus histogram with upper bounds `bounds_us`, which ascend, shown in seconds.
    ///
    /// A duration within 1 % below a bound may count above it, never the other way round.
    pub fn buckets(&self, bounds_us: &'static [u64]) -> Buckets {
        let mut counts = vec![0; bounds_us.len() + 1];
        for value in self.histogram.iter_recorded() {
            let longest = self.histogram.highest_equivalent(value.value_iterated_to());
            counts[bounds_us.partition_point(|bound| *bound < longest)] += value.count_at_value();
        }
        Buckets { bounds: bounds_us.into(), counts, sum: self.sum_us, decimals: 6 }
    }
}

/// A histogram in the form in which it is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Upper bounds, each within its bucket, ascending.
    pub bounds: Vec<u64>,
    /// How many fell in each bucket alone, and last how many above all bounds.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
    /// Bounds and sum are in units of 10^-decimals of what is shown.
    pub decimals: u32,
}

/// Bounds of `gen_ai_server_request_duration`: 10 ms, doubled up to 81.92 s.
pub const REQUEST_BOUNDS_US: &[u64] = &[
    10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000, 10_240_000,
    20_480_000, 40_960_000, 81_920_000,
];

/// Bounds of `gen_ai_server_time_to_first_token`: 1 ms to 10 s.
pub const FIRST_TOKEN_BOUNDS_US: &[u64] = &[
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// Bounds of `gen_ai_server_time_per_output_token`: 1 ms to 2.5 s.
pub const PER_OUTPUT_TOKEN_BOUNDS_US: &[u64] = &[
    1_000, 10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 500_000, 750_000,
    1_000_000, 2_500_000,
];

/// Bounds of `tollgate_request_processing_seconds`: 10 µs to 100 ms.
pub const PROCESSING_BOUNDS_US: &[u64] =
    &[10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000];

/// Bounds of `tollgate_upstream_connect_duration_seconds`: 500 µs to 10 s.
pub const CONNECT_BOUNDS_US: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_taken_and_merged_is_what_was_recorded() {
        let (mut worker, mut sums) = (Latencies::default(), Latencies::default());
        for round in 1..=3 {
            worker.request.record(Duration::from_millis(round));
            worker.first_token.record(Duration::from_micros(round));
            let mut taken = if round == 2 { worker.take() } else { worker.replace(Latencies::default()) };
            assert_eq!(worker.request.count(), 0);
            sums.merge(&taken);
            taken.clear();
            assert_eq!((taken.request.count(), taken.request.sum_us), (0, 0));
        }
        assert_eq!((sums.request.count(), sums.request.sum_us), (3, 6_000));
        assert_eq!((sums.first_token.count(), sums.first_token.sum_us), (3, 6));
        assert_eq!(sums.processing.count(), 0);
    }

    #[test]
    fn durations_beyond_the_range_count_as_its_end() {
        let mut latency = Latency::default();
        for duration in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(36_000), Duration::MAX]
        {
            latency.record(duration);
        }
        assert_eq!(latency.count(), 4);
        assert_eq!(latency.sum_us, u64::MAX);
        assert_eq!(latency.quantile_us(0.5), 0);
        assert!(latency.quantile_us(1.0) >= LONGEST_US);
        let buckets = latency.buckets(REQUEST_BOUNDS_US);
        assert_eq!((buckets.counts.first(), buckets.counts.last()), (Some(&2), Some(&2)));
        assert_eq!(Latency::default().quantile_us(0.99), 0);
    }

    proptest! {
        #[test]
        fn buckets_are_true_to_one_percent(
            durations in prop::collection::vec(prop_oneof![0u64..1_000, 0u64..100_000_000], 0..50),
        ) {
            let mut latency = Latency::default();
            durations.iter().for_each(|us| latency.record(Duration::from_micros(*us)));
            let buckets = latency.buckets(FIRST_TOKEN_BOUNDS_US);
            prop_assert_eq!(buckets.counts.iter().sum::<u64>(), durations.len() as u64);
            prop_assert_eq!(buckets.sum, durations.iter().sum::<u64>());
            let mut upto = 0;
            for (bound, count) in buckets.bounds.iter().zip(&buckets.counts) {
                upto += count;
                let at_most = durations.iter().filter(|us| *us <= bound).count() as u64;
                let surely = durations.iter().filter(|us| **us * 101 <= *bound * 100).count() as u64;
                prop_assert!((surely..=at_most).contains(&upto), "{} of {}..{}", upto, surely, at_most);
            }
        }
    }
}
