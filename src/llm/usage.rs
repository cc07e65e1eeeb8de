use crate::base::Tokens;
use std::ops::AddAssign;

/// Tokens of one exchange as the provider reported them, normalised so that every provider means the same.
///
/// `input` counts *all* input, `cached_input` and `cache_write` included: Anthropic reports the three
/// separately and they are added here; OpenAI includes cached tokens in `prompt_tokens` already.
/// `output` counts all output, `reasoning` included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: Tokens,
    /// The part of `input` that was read from the provider's prompt cache.
    pub cached_input: Tokens,
    /// The part of `input` that was written to the provider's prompt cache.
    pub cache_write: Tokens,
    /// All output tokens.
    pub output: Tokens,
    /// The part of `output` that was reasoning the client may not see.
    pub reasoning: Tokens,
}

impl Usage {
    /// Input and output together: what a limit on tokens counts.
    pub fn total(&self) -> Tokens {
        self.input.saturating_add(self.output)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.input += other.input;
        self.cached_input += other.cached_input;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }
}
