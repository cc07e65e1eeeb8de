//! What came of a load: counts, and how long everything took.

use crate::ledger::Usage;
use hdrhistogram::Histogram;
use std::io;
use std::time::Duration;

/// Different kinds of failure, each kept once.
const EXAMPLES_MAX: usize = 16;
/// The longest time that is told apart from longer ones.
const LONGEST_NS: u64 = 600_000_000_000;

/// The outcome of a load. Every request that was planned is in exactly one of `completed`, `left`, `different`,
/// `broken`, `unfinished` and `not_sent`.
#[derive(Debug)]
pub struct Tally {
    /// Requests whose last byte was handed to the kernel.
    pub sent: u64,
    /// Answered to the end, all of it as expected.
    pub completed: u64,
    /// Left by the client on purpose.
    pub left: u64,
    /// Answered to the end, but not as expected.
    pub different: u64,
    /// The connection or its framing broke off before the end.
    pub broken: u64,
    /// Sent and not answered to the end when the patience was.
    pub unfinished: u64,
    /// Planned and never sent: no connection was free, and the backlog was full or the time was over.
    pub not_sent: u64,
    /// The longest that the backlog of an open loop was.
    pub backlog: usize,
    /// Events of streams.
    pub events: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Tokens stated in answers that came to their end.
    pub usage: Usage,
    /// The most requests that were open at once; of several threads, the sum of each one's most.
    pub open: usize,
    /// Connections opened, the first ones included.
    pub connections: u64,
    /// Connections that could not be opened.
    pub connect_failures: u64,
    /// Times that bytes came which nobody had asked for.
    pub strays: u64,
    /// Whole answers, to their last byte.
    pub whole: Delay,
    /// Streams, to their first event.
    pub first: Delay,
    /// Streams, to their last byte.
    pub streams: Delay,
    /// From one event of a stream to the next.
    pub gaps: Times,
    /// Output tokens per second of each stream, from its first event to its last.
    pub speeds: Times,
    /// From the first request's instant to the end of the last answer.
    pub elapsed: Duration,
    /// CPU time of the client's own threads meanwhile.
    pub cpu: Duration,
    /// The first of each kind of failure.
    pub examples: Vec<Example>,
}

/// A failure and what it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// `different`, `broken`...
    pub kind: &'static str,
    /// What was found.
    pub what: String,
}

/// How long answers took, counted in two ways.
#[derive(Debug)]
pub struct Delay {
    /// From the instant at which the request was planned: with coordinated omission corrected.
    pub planned: Times,
    /// From the instant at which it was sent after all.
    pub sent: Times,
}

/// A distribution, of nanoseconds unless it says otherwise, exact to a thousandth.
#[derive(Debug)]
pub struct Times {
    histogram: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> io::Result<Tally> {
        Ok(Tally {
            sent: 0,
            completed: 0,
            left: 0,
            different: 0,
            broken: 0,
            unfinished: 0,
            not_sent: 0,
            backlog: 0,
            events: 0,
            bytes: 0,
            usage: Usage::default(),
            open: 0,
            connections: 0,
            connect_failures: 0,
            strays: 0,
            whole: Delay::new()?,
            first: Delay::new()?,
            streams: Delay::new()?,
            gaps: Times::new()?,
            speeds: Times::new()?,
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            examples: Vec::new(),
        })
    }

    /// All requests that were planned.
    pub fn planned(&self) -> u64 {
        self.completed + self.left + self.different + self.broken + self.unfinished + self.not_sent
    }

    /// Requests that had no right answer although the client waited for one, and whatever else went wrong.
    pub fn failed(&self) -> u64 {
        self.different + self.broken + self.unfinished + self.connect_failures + self.strays
    }

    /// Keeps the first example of each kind.
    pub(crate) fn example(&mut self, kind: &'static str, what: &str) {
        if self.examples.len() < EXAMPLES_MAX && !self.examples.iter().any(|example| example.kind == kind) {
            self.examples.push(Example { kind, what: what.to_string() });
        }
    }

    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: Tally) {
        self.sent += other.sent;
        self.completed += other.completed;
        self.left += other.left;
        self.different += other.different;
        self.broken += other.broken;
        self.unfinished += other.unfinished;
        self.not_sent += other.not_sent;
        self.backlog += other.backlog;
        self.events += other.events;
        self.bytes += other.bytes;
        self.usage += other.usage;
        self.open += other.open;
        self.connections += other.connections;
        self.connect_failures += other.connect_failures;
        self.strays += other.strays;
        for (mine, theirs) in [
            (&mut self.whole.planned, other.whole.planned),
            (&mut self.whole.sent, other.whole.sent),
            (&mut self.first.planned, other.first.planned),
            (&mut self.first.sent, other.first.sent),
            (&mut self.streams.planned, other.streams.planned),
            (&mut self.streams.sent, other.streams.sent),
            (&mut self.gaps, other.gaps),
            (&mut self.speeds, other.speeds),
        ] {
            mine.add(&theirs);
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu += other.cpu;
        other.examples.iter().for_each(|example| self.example(example.kind, &example.what));
    }
}

impl Delay {
    fn new() -> io::Result<Delay> {
        Ok(Delay { planned: Times::new()?, sent: Times::new()? })
    }

    pub(crate) fn record(&mut self, planned: Duration, sent: Duration) {
        self.planned.record(planned);
        self.sent.record(sent);
    }
}

impl Times {
    fn new() -> io::Result<Times> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(io::Error::other)?;
        Ok(Times { histogram })
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.record_number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn record_number(&mut self, number: u64) {
        self.histogram.saturating_record(number);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The value that so many percent are not above; 0 when there is none.
    pub fn percentile(&self, percent: f64) -> u64 {
        if self.histogram.is_empty() { 0 } else { self.histogram.value_at_percentile(percent) }
    }

    /// How many are not below `value`, to a thousandth.
    pub fn count_from(&self, value: u64) -> u64 {
        self.histogram.count_between(value, u64::MAX)
    }

    /// The largest.
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    fn add(&mut self, other: &Times) {
        // All have the same bounds, without which this would fail.
        let _ = self.histogram.add(&other.histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_threads() {
        let mut sum = Tally::new().unwrap();
        for at in 1..=2 {
            let mut part = Tally::new().unwrap();
            (part.completed, part.left, part.not_sent, part.sent) = (at, 1, 2, at + 1);
            part.whole.record(Duration::from_micros(100 * at), Duration::from_micros(at));
            part.elapsed = Duration::from_secs(at);
            part.example("broken", &format!("example {at}"));
            sum.add(part);
        }
        assert_eq!((sum.planned(), sum.sent, sum.failed()), (9, 5, 0));
        assert_eq!((sum.whole.planned.count_from(150_000), sum.whole.planned.count_from(300_000)), (1, 0));
        assert_eq!((sum.whole.planned.count(), sum.elapsed.as_secs()), (2, 2));
        assert!((199_000..201_000).contains(&sum.whole.planned.percentile(100.0)));
        assert!((990..1_010).contains(&sum.whole.sent.percentile(50.0)));
        assert_eq!(sum.examples, [Example { kind: "broken", what: "example 1".to_string() }]);
        assert_eq!((sum.gaps.percentile(50.0), sum.gaps.max(), sum.gaps.count()), (0, 0, 0));
    }
}
