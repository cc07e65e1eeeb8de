//! What usage costs: prices by provider and model, in integers.
//!
//! * [`Rates`] is what each kind of token costs; [`Price`] is a model's rates, which may depend on how long the input is.
//! * [`Catalogue`] finds the price of a model; [`vendor`] says whose prices apply to it.

mod catalogue;
#[cfg(test)]
mod tests;
pub mod vendor;

pub use catalogue::{Catalogue, Listed, PriceId, PriceRow};

use super::Usage;
use crate::base::{Money, Tokens};

/// What one model's tokens cost by kind, each in nano-dollars per million tokens (0.80 USD per million is 800,000,000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input that is neither audio nor read from or written to the provider's prompt cache.
    pub input: u64,
    /// Input read from the cache.
    pub cached_input: u64,
    /// Input written to the cache for as long as the provider keeps it unasked (Anthropic: 5 minutes).
    pub cache_write: u64,
    /// Input written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Input that is audio.
    pub audio_input: u64,
    /// Output that is neither reasoning nor audio.
    pub output: u64,
    /// Output that is reasoning.
    pub reasoning: u64,
    /// Output that is audio.
    pub audio_output: u64,
}

impl Rates {
    /// One price for all kinds of input, one for all kinds of output.
    pub const fn flat(input: u64, output: u64) -> Rates {
        Rates {
            input,
            cached_input: input,
            cache_write: input,
            cache_write_1h: input,
            audio_input: input,
            output,
            reasoning: output,
            audio_output: output,
        }
    }

    /// What `usage` costs. Each kind of token is priced by itself and rounded up to a whole nano-dollar
    /// ([`Money::for_tokens`]). Usage whose parts exceed their whole is charged for the parts: providers do not say how much
    /// of the audio was read from the cache.
    pub fn cost(&self, usage: &Usage) -> Money {
        let less = |whole: Tokens, parts: &[Tokens]| {
            parts.iter().fold(whole, |rest, part| rest.saturating_sub(*part))
        };
        let written_1h = usage.cache_write_1h.min(usage.cache_write);
        [
            (less(usage.input, &[usage.cached_input, usage.cache_write, usage.audio_input]), self.input),
            (usage.cached_input, self.cached_input),
            (usage.cache_write - written_1h, self.cache_write),
            (written_1h, self.cache_write_1h),
            (usage.audio_input, self.audio_input),
            (less(usage.output, &[usage.reasoning, usage.audio_output]), self.output),
            (usage.reasoning, self.reasoning),
            (usage.audio_output, self.audio_output),
        ]
        .into_iter()
        .map(|(tokens, nano_per_million)| Money::for_tokens(tokens, nano_per_million))
        .sum()
    }
}

/// What one model costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// What applies unless a tier does.
    pub base: Rates,
    /// What applies to long inputs, by ascending `above`.
    pub tiers: Vec<Tier>,
}

/// What a whole request costs, its output too, when its input is longer than so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// All input beyond this many tokens, cached input and cache writes included.
    pub above: Tokens,
    /// What applies then.
    pub rates: Rates,
}

impl Price {
    /// The rates of a request with so much input, cached input and cache writes included.
    pub fn rates(&self, input: Tokens) -> &Rates {
        let tier = self.tiers.iter().rev().find(|tier| input > tier.above);
        tier.map_or(&self.base, |tier| &tier.rates)
    }

    /// What `usage` costs by the tier that its input falls in.
    pub fn cost(&self, usage: &Usage) -> Money {
        self.rates(usage.input).cost(usage)
    }
}

impl From<Rates> for Price {
    fn from(base: Rates) -> Price {
        Price { base, tiers: Vec::new() }
    }
}
