//! Estimates that are learned from the usage that providers report: bytes per token of each model, and how long the
//! answers of a route get.

mod input;
mod output;
mod table;
#[cfg(test)]
mod tests;

use super::estimate::Ratio;
use crate::base::Tokens;
use input::Input;
use output::Output;
use table::Table;

pub use input::{InputStats, TEXT_BYTES_MIN};
pub use output::{OUTPUT_TOKENS_MAX, OutputStats};
pub use table::NAME_BYTES_MAX;

/// What one worker has learned. It belongs to the worker alone and needs no lock.
///
/// Before a request: [`ratio`](Learned::ratio) for [`estimate::input_tokens`](super::estimate::input_tokens), and
/// [`expected_output`](Learned::expected_output). After an answer that the provider reported usage for:
/// [`observe_input`](Learned::observe_input), and, if the answer is complete,
/// [`observe_output`](Learned::observe_output). No margin is added to what was learned: a limit that demanded more than
/// is expected would refuse what it could cover, and what is missing becomes debt.
///
/// Only observing makes an entry; asking makes none, so that names that no provider knows take no room. When a table is
/// full, the entry that was observed the longest ago makes room. Besides its names, an entry for input is about 0.3 KiB, one
/// for output 0.9 KiB. Nothing is allocated for a name that is known.
#[derive(Debug)]
pub struct Learned {
    /// By model.
    inputs: Table<1, Input>,
    /// By route and model.
    outputs: Table<2, Output>,
}

impl Learned {
    /// Knows nothing; will hold at most `models_max` models and `routes_max` pairs of a route and a model.
    pub fn new(models_max: usize, routes_max: usize) -> Learned {
        Learned { inputs: Table::new(models_max), outputs: Table::new(routes_max) }
    }

    /// Bytes of text per token of `model`; the default until it was observed often enough.
    pub fn ratio(&self, model: &str) -> Ratio {
        self.inputs.get([model]).map_or(Ratio::DEFAULT, Input::ratio)
    }

    /// Learns from a request that held so many bytes and that the provider counted as `input` tokens, cached ones
    /// included.
    ///
    /// A request with media, with less than [`TEXT_BYTES_MIN`] of text, or without a count says nothing about text and
    /// changes nothing.
    pub fn observe_input(&mut self, model: &str, text_bytes: u64, media_bytes: u64, input: Tokens) {
        if media_bytes > 0 || text_bytes < TEXT_BYTES_MIN || input == 0 {
            return;
        }
        if let Some(entry) = self.inputs.touch([model]) {
            entry.observe(text_bytes, input);
        }
    }

    /// Output tokens to expect of one choice: what 95 of 100 answers of this route and model did not exceed, or
    /// `default` while too few were observed; never more than `max_tokens`, the client's ceiling.
    pub fn expected_output(
        &self,
        route: &str,
        model: &str,
        max_tokens: Option<Tokens>,
        default: Tokens,
    ) -> Tokens {
        let learned = self.outputs.get([route, model]).and_then(Output::p95);
        learned.unwrap_or(default).min(max_tokens.unwrap_or(Tokens::MAX))
    }

    /// Learns from an answer of so many output tokens, reasoning included, per choice. Answers that broke off or were
    /// cut are not to be observed: they would teach that answers are short.
    pub fn observe_output(&mut self, route: &str, model: &str, output: Tokens) {
        if let Some(entry) = self.outputs.touch([route, model]) {
            entry.observe(output);
        }
    }

    /// Every model and how well its input is estimated, in no particular order; at most `models_max`.
    pub fn models(&self) -> impl Iterator<Item = (&str, InputStats)> {
        self.inputs.iter().map(|([model], input)| (model, input.stats()))
    }

    /// Every route and model and how well the output is estimated, in no particular order; at most `routes_max`.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &str, OutputStats)> {
        self.outputs.iter().map(|([route, model], output)| (route, model, output.stats()))
    }
}
