use crate::base::Tokens;
use crate::llm::estimate::{self, OVERHEAD_TOKENS, Ratio};
use arrayvec::ArrayVec;

/// Requests with less text than this say nothing about a ratio: what a provider adds of its own weighs too much.
pub const TEXT_BYTES_MIN: u64 = 256;

/// So many requests are collected first, and their median is where learning starts: it does not mind a few outliers.
const FIRST: usize = 9;

/// From so many requests on, a new one weighs as much as it does then, so that changes are followed.
const WINDOW: u64 = 64;

/// What a token can be: half a byte is beyond any tokenizer but leaves room for what a provider adds; 32 bytes are a
/// run of spaces.
const TOKENS_PER_BYTE: (f64, f64) = (1.0 / 32.0, 2.0);

/// A request can be an outlier: what it says is held to half and double of what was known.
const OUTLIER: f64 = 2.0;

/// The largest error of one estimate that is summed, in per mille: ten times the real count.
const ERROR_PERMILLE_MAX: u64 = 10_000;

/// How well the input of a model is estimated. Sums, so that the workers' can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputStats {
    /// What is used for estimates now.
    pub ratio: Ratio,
    /// Requests that were learned from.
    pub samples: u64,
    /// The sum over these requests of `|estimate - real| / real` in per mille, each at most 10,000. The estimate is the
    /// one that was in force when the real count came.
    pub error_permille_sum: u64,
}

impl InputStats {
    /// Mean absolute relative error in per mille; 0 without samples.
    pub fn error_permille(&self) -> u64 {
        self.error_permille_sum.checked_div(self.samples).unwrap_or_default()
    }
}

/// Tokens per byte of one model: the median of the first requests, then a mean in which the n-th weighs 1/n, then one
/// in which the past fades.
#[derive(Clone, Debug, Default)]
pub(super) struct Input {
    first: ArrayVec<f64, FIRST>,
    /// Once the first ones are there.
    tokens_per_byte: Option<f64>,
    samples: u64,
    error_permille_sum: u64,
}

impl Input {
    pub(super) fn ratio(&self) -> Ratio {
        self.tokens_per_byte.map_or(Ratio::DEFAULT, |tokens| Ratio {
            bytes_per_1000_tokens: (1000.0 / tokens).round() as u32, // within 500..=32000
        })
    }

    /// `text_bytes` and `real` are not zero.
    pub(super) fn observe(&mut self, text_bytes: u64, real: Tokens) {
        let estimate = estimate::input_tokens(text_bytes, 0, self.ratio());
        let error = u128::from(estimate.abs_diff(real)) * 1000 / u128::from(real.max(1));
        self.error_permille_sum += u64::try_from(error).unwrap_or(u64::MAX).min(ERROR_PERMILLE_MAX);
        self.samples += 1;

        let (least, most) = TOKENS_PER_BYTE;
        let sample = real.saturating_sub(OVERHEAD_TOKENS) as f64 / text_bytes.max(1) as f64;
        let sample = sample.clamp(least, most);
        match &mut self.tokens_per_byte {
            Some(mean) => {
                let weight = 1.0 / self.samples.min(WINDOW) as f64;
                *mean += (sample.clamp(*mean / OUTLIER, *mean * OUTLIER) - *mean) * weight;
            }
            None => {
                self.first.push(sample);
                if self.first.is_full() {
                    self.first.sort_by(f64::total_cmp);
                    self.tokens_per_byte = self.first.get(FIRST / 2).copied();
                }
            }
        }
    }

    pub(super) fn stats(&self) -> InputStats {
        InputStats { ratio: self.ratio(), samples: self.samples, error_permille_sum: self.error_permille_sum }
    }
}
