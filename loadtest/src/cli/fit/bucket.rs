//! Buckets as arithmetic: how large one must be for what was used, and whom a worst-case reservation refuses.

/// A call that was made. Times are nanoseconds from any beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) at: u64,
    pub(super) ended: u64,
    /// Tokens it used, input and output.
    pub(super) used: u64,
    /// Tokens that it might have used: input and `max_tokens`.
    pub(super) worst: u64,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) capacity: u64,
    /// Tokens per second.
    pub(super) rate: u64,
}

/// What a policy does with a call that wants more than the bucket can ever hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLarge {
    /// It is refused.
    Refuse,
    /// It is admitted when the bucket is full.
    WhenFull,
}

impl Bucket {
    /// The smallest bucket of this rate that what was used never empties further than to `headroom_percent` of its
    /// capacity, when each call is charged with all that it uses at the moment when it is made.
    pub(super) fn smallest(calls: &[Made], rate: u64, headroom_percent: u64) -> Bucket {
        let room = 100 - headroom_percent.min(99);
        let mut capacity = 1u64;
        // What is missing from a full bucket never depends on its size, as long as it is not emptied.
        let (mut missing, mut last) = (0f64, 0);
        for call in sorted(calls) {
            missing = (missing - refill(rate, last, call.at)).max(0.0) + call.used as f64;
            last = call.at;
            capacity = capacity.max((missing * 100.0 / room as f64).ceil() as u64);
        }
        Bucket { capacity, rate }
    }

    /// The least that is left when each call is charged at once with what it uses; negative if it does not fit.
    pub(super) fn least_left(self, calls: &[Made]) -> i64 {
        let (mut balance, mut last) = (self.capacity as f64, 0);
        let mut least = balance;
        for call in sorted(calls) {
            balance =
                (balance + refill(self.rate, last, call.at)).min(self.capacity as f64) - call.used as f64;
            last = call.at;
            least = least.min(balance);
        }
        least.floor() as i64
    }

    /// How many calls are refused by a policy that reserves all that a call might use, and gives back at its end what
    /// it did not.
    pub(super) fn refused_by_worst_case(self, calls: &[Made], too_large: TooLarge) -> u64 {
        let (mut balance, mut last, mut refused) = (self.capacity as f64, 0, 0);
        let mut open: Vec<(u64, f64)> = Vec::new();
        for call in sorted(calls) {
            open.sort_by_key(|(ended, _)| *ended);
            while let Some(&(ended, back)) = open.first().filter(|(ended, _)| *ended <= call.at) {
                balance = (balance + refill(self.rate, last, ended) + back).min(self.capacity as f64);
                last = ended.max(last);
                open.remove(0);
            }
            balance = (balance + refill(self.rate, last, call.at)).min(self.capacity as f64);
            last = call.at;
            let wanted = match too_large {
                TooLarge::Refuse => call.worst,
                TooLarge::WhenFull => call.worst.min(self.capacity),
            };
            if balance < wanted as f64 {
                refused += 1;
                continue;
            }
            balance -= wanted as f64;
            open.push((call.ended.max(call.at), wanted as f64 - call.used as f64));
        }
        refused
    }
}

fn refill(rate: u64, from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 * rate as f64 / 1e9
}

fn sorted(calls: &[Made]) -> Vec<Made> {
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| call.at);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn made(at: u64, ended: u64, used: u64, worst: u64) -> Made {
        Made { at: at * SECOND, ended: ended * SECOND, used, worst }
    }

    #[test]
    fn the_smallest_bucket_fits_and_a_smaller_one_does_not() {
        let calls = [made(1, 2, 100, 900), made(1, 3, 50, 900), made(2, 4, 60, 900), made(30, 31, 100, 900)];
        // 150 at once, 10 back, 60 more.
        let bucket = Bucket::smallest(&calls, 10, 0);
        assert_eq!((bucket.capacity, bucket.least_left(&calls)), (200, 0));
        assert_eq!(Bucket { capacity: 199, ..bucket }.least_left(&calls), -1);
        let roomy = Bucket::smallest(&calls, 10, 20);
        assert_eq!((roomy.capacity, roomy.least_left(&calls)), (250, 50));
    }

    #[test]
    fn a_worst_case_reservation_refuses_what_would_have_fitted() {
        let bucket = Bucket { capacity: 1_000, rate: 10 };
        let calls = [made(1, 5, 20, 600), made(2, 3, 20, 600), made(6, 7, 20, 600), made(8, 9, 20, 2_000)];
        assert!(bucket.least_left(&calls) > 900, "all fits easily");
        // The second while the first holds 600; the last is larger than the bucket.
        assert_eq!(bucket.refused_by_worst_case(&calls, TooLarge::Refuse), 2);
        assert_eq!(bucket.refused_by_worst_case(&calls[..3], TooLarge::WhenFull), 1);
        let late = [calls[0], calls[2], made(60, 61, 20, 2_000)];
        assert_eq!(bucket.refused_by_worst_case(&late, TooLarge::WhenFull), 0, "it is full by then");
        assert_eq!(bucket.refused_by_worst_case(&late, TooLarge::Refuse), 1);
    }
}
