use crate::base::Tokens;

/// Answers of more tokens count as this many. No model gives more in one choice.
pub const OUTPUT_TOKENS_MAX: Tokens = (1 << 24) - 1;

/// Below so many answers nothing is said: the largest of fewer would be the estimate.
const SAMPLES_MIN: u64 = 20;

/// What an answer weighs when it is new. Eight halvings are exact.
const UNIT: u32 = 256;

/// When so many new answers' weight is reached, all weights are halved: an answer weighs half after 256 more.
const WINDOW: u32 = 512;

/// Buckets per doubling above 8, below which each number has its own.
const PER_OCTAVE: usize = 8;
const BUCKETS: usize = bucket(OUTPUT_TOKENS_MAX) + 1;

/// How well the output of a route and model is estimated. Sums, so that the workers' can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputStats {
    /// What is expected now; `None` while too few answers were observed.
    pub p95: Option<Tokens>,
    /// Answers that were learned from.
    pub samples: u64,
    /// Those of them that there was an expectation for.
    pub expected: u64,
    /// Those of `expected` that were not longer than it.
    pub covered: u64,
}

impl OutputStats {
    /// How often the real output was not more than expected, in per mille; it should be about 950. 0 without any.
    pub fn covered_permille(&self) -> u64 {
        (self.covered * 1000).checked_div(self.expected).unwrap_or_default()
    }
}

/// How long the answers of one route and model are: a histogram whose past fades.
///
/// Its buckets are an eighth of a doubling wide, so the quantile is never less than the true one of the weighted
/// answers, and more by at most an eighth.
#[derive(Clone, Debug)]
pub(super) struct Output {
    weights: [u32; BUCKETS],
    /// The sum of the weights, at most `UNIT * WINDOW`.
    total: u32,
    /// Of the answers so far.
    p95: Option<Tokens>,
    samples: u64,
    expected: u64,
    covered: u64,
}

impl Default for Output {
    fn default() -> Output {
        Output { weights: [0; BUCKETS], total: 0, p95: None, samples: 0, expected: 0, covered: 0 }
    }
}

impl Output {
    pub(super) fn p95(&self) -> Option<Tokens> {
        self.p95
    }

    pub(super) fn observe(&mut self, tokens: Tokens) {
        self.samples += 1;
        if let Some(expected) = self.p95 {
            self.expected += 1;
            self.covered += u64::from(tokens <= expected);
        }
        if let Some(weight) = self.weights.get_mut(bucket(tokens)) {
            *weight += UNIT;
            self.total += UNIT;
        }
        if self.total >= UNIT * WINDOW {
            self.weights.iter_mut().for_each(|weight| *weight /= 2);
            self.total = self.weights.iter().sum();
        }
        if self.samples >= SAMPLES_MIN {
            self.p95 = self.quantile(95);
        }
    }

    pub(super) fn stats(&self) -> OutputStats {
        let Output { p95, samples, expected, covered, .. } = *self;
        OutputStats { p95, samples, expected, covered }
    }

    /// The largest number in the bucket in which `percent` of the weight is reached.
    fn quantile(&self, percent: u64) -> Option<Tokens> {
        let rank = (u64::from(self.total) * percent).div_ceil(100);
        let mut sum = 0;
        let reached = self.weights.iter().position(|weight| {
            sum += u64::from(*weight);
            sum >= rank
        });
        reached.map(upper)
    }
}

const fn bucket(tokens: Tokens) -> usize {
    let tokens = if tokens > OUTPUT_TOKENS_MAX { OUTPUT_TOKENS_MAX } else { tokens };
    if tokens < PER_OCTAVE as u64 {
        return tokens as usize;
    }
    let shift = tokens.ilog2() - PER_OCTAVE.ilog2();
    shift as usize * PER_OCTAVE + (tokens >> shift) as usize
}

/// The largest number in the bucket.
const fn upper(bucket: usize) -> Tokens {
    if bucket < 2 * PER_OCTAVE {
        return bucket as Tokens;
    }
    let shift = bucket / PER_OCTAVE - 1;
    let first = (bucket - shift * PER_OCTAVE) as Tokens;
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_one_another_and_are_an_eighth_wide() {
        let mut next = 0;
        for at in 0..BUCKETS {
            let last = upper(at);
            assert_eq!((bucket(next), bucket(last)), (at, at));
            assert!(last - next <= next / 8, "{next}..={last}");
            next = last + 1;
        }
        assert_eq!(next, OUTPUT_TOKENS_MAX + 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    /// The same from all answers, sorted, each with its weight.
    fn naive(answers: &[Tokens]) -> Option<Tokens> {
        let mut weighted: Vec<(Tokens, u64)> = Vec::new();
        for answer in answers {
            weighted.push((*answer, u64::from(UNIT)));
            if weighted.iter().map(|(_, weight)| weight).sum::<u64>() >= u64::from(UNIT * WINDOW) {
                weighted.iter_mut().for_each(|(_, weight)| *weight /= 2);
            }
        }
        weighted.sort();
        let total: u64 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0;
        let reached = weighted.iter().find(|(_, weight)| {
            sum += weight;
            sum * 100 >= total * 95
        });
        reached.map(|(answer, _)| *answer).filter(|_| answers.len() as u64 >= SAMPLES_MIN)
    }

    proptest! {
        #[test]
        fn the_quantile_is_the_true_one_or_up_to_an_eighth_more(
            answers in prop::collection::vec(prop_oneof![0..2000u64, 0..OUTPUT_TOKENS_MAX], 0..2000),
        ) {
            let mut output = Output::default();
            answers.iter().for_each(|answer| output.observe(*answer));
            let (learned, exact) = (output.p95(), naive(&answers));
            prop_assert_eq!(learned.is_some(), exact.is_some());
            if let (Some(learned), Some(exact)) = (learned, exact) {
                prop_assert!(exact <= learned && learned <= exact + exact / 8, "{} {}", exact, learned);
            }
        }
    }
}
