//! What a request is expected to spend, or has spent, in every unit.

use super::{Rule, Unit, Weights};
use crate::base::{Money, Tokens};

/// Tokens by kind and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// All input, cached input and cache write included.
    pub input: Tokens,
    /// The part of `input` that was read from the provider's cache.
    pub cached_input: Tokens,
    /// The part of `input` that was written to it.
    pub cache_write: Tokens,
    /// All output, reasoning included.
    pub output: Tokens,
    /// The part of `output` that is reasoning.
    pub reasoning: Tokens,
    /// What they cost.
    pub cost: Money,
}

impl Spend {
    /// The amount that `rule` counts. A request is one request whatever becomes of it.
    pub fn amount(&self, rule: &Rule) -> u64 {
        match rule.unit {
            Unit::Requests | Unit::Concurrency => 1,
            Unit::Tokens => self.tokens(&rule.weights),
            Unit::Cost => u64::try_from(self.cost.0).unwrap_or(0),
        }
    }

    /// Weighted tokens, rounded up to a whole one. Parts that exceed their whole count in full.
    fn tokens(&self, weights: &Weights) -> u64 {
        if *weights == Weights::default() {
            let parts = self.cached_input.saturating_add(self.cache_write);
            return self.input.max(parts).saturating_add(self.output.max(self.reasoning));
        }
        let fresh = self.input.saturating_sub(self.cached_input).saturating_sub(self.cache_write);
        let sum: u128 = [
            (fresh, weights.input),
            (self.cached_input, weights.cached_input),
            (self.cache_write, weights.cache_write),
            (self.output.saturating_sub(self.reasoning), weights.output),
            (self.reasoning, weights.reasoning),
        ]
        .into_iter()
        .map(|(tokens, weight)| u128::from(tokens) * u128::from(weight))
        .sum();
        u64::try_from(sum.div_ceil(u128::from(Weights::ONE))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Measure, Unit};
    use super::*;

    #[test]
    fn tokens_are_weighted_by_kind_and_rounded_up() {
        let spend = |input, cached_input, cache_write, output, reasoning| Spend {
            input,
            cached_input,
            cache_write,
            output,
            reasoning,
            cost: Money(77),
        };
        let tenth = Weights { cached_input: 100_000, reasoning: 2_000_000, ..Weights::default() };
        for (spend, plain, weighted) in [
            (spend(0, 0, 0, 0, 0), 0, 0),
            (spend(100, 0, 0, 20, 0), 120, 120),
            (spend(100, 90, 0, 20, 5), 120, 10 + 9 + 15 + 10),
            (spend(100, 91, 0, 0, 0), 100, 9 + 10), // 9.1 rounded up
            (spend(10, 60, 5, 1, 9), 65 + 9, 6 + 5 + 18),
            (spend(u64::MAX, 0, 0, u64::MAX, 0), u64::MAX, u64::MAX),
        ] {
            let mut rule = Rule::new("a", Unit::Tokens, Measure::Concurrent { max: 1 });
            assert_eq!(spend.amount(&rule), plain, "{spend:?}");
            rule.weights = tenth;
            assert_eq!(spend.amount(&rule), weighted, "{spend:?}");
            for (unit, amount) in [(Unit::Requests, 1), (Unit::Concurrency, 1), (Unit::Cost, 77)] {
                rule.unit = unit;
                assert_eq!(spend.amount(&rule), amount);
            }
        }
    }
}
