//! How well estimates foretell what providers report, by model and route.

use std::collections::BTreeMap;

/// How the input of one model is estimated. Sums, so that workers' can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputEstimate {
    /// Bytes of text per 1000 tokens, as estimated now; of several workers, the one that learned most.
    pub bytes_per_1000_tokens: u64,
    /// Requests that were learned from.
    pub samples: u64,
    /// The sum of their relative errors, each in thousandths of the real count.
    pub error_permille_sum: u64,
}

/// How the output of one route and model is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputEstimate {
    /// Tokens that 95 of 100 answers did not exceed, as estimated now; the largest of the workers', 0 if unknown.
    pub p95: u64,
    /// Answers for which there was an expectation.
    pub expected: u64,
    /// Those that were not longer than it.
    pub covered: u64,
}

/// What workers have learned; bounded by what each of them learns about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimates {
    /// By model.
    pub inputs: BTreeMap<String, InputEstimate>,
    /// By route and model.
    pub outputs: BTreeMap<(String, String), OutputEstimate>,
}

impl Estimates {
    /// Adds what another worker has learned.
    pub fn add(&mut self, other: &Estimates) {
        for (model, theirs) in &other.inputs {
            let ours = self.inputs.entry(model.clone()).or_default();
            if theirs.samples > ours.samples {
                ours.bytes_per_1000_tokens = theirs.bytes_per_1000_tokens;
            }
            ours.samples += theirs.samples;
            ours.error_permille_sum += theirs.error_permille_sum;
        }
        for (key, theirs) in &other.outputs {
            let ours = self.outputs.entry(key.clone()).or_default();
            ours.p95 = ours.p95.max(theirs.p95);
            ours.expected += theirs.expected;
            ours.covered += theirs.covered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added() {
        let input = |ratio, samples| InputEstimate {
            bytes_per_1000_tokens: ratio,
            samples,
            error_permille_sum: samples * 10,
        };
        let output = |p95| OutputEstimate { p95, expected: 5, covered: 4 };
        let of = |ratio, samples, p95| Estimates {
            inputs: [("m".to_owned(), input(ratio, samples))].into(),
            outputs: [(("r".to_owned(), "m".to_owned()), output(p95))].into(),
        };
        let mut sum = Estimates::default();
        sum.add(&of(4_000, 3, 7));
        sum.add(&of(3_500, 9, 6));
        assert_eq!(sum.inputs["m"], input(3_500, 12));
        let output = OutputEstimate { p95: 7, expected: 10, covered: 8 };
        assert_eq!(sum.outputs[&("r".to_owned(), "m".to_owned())], output);
    }
}
