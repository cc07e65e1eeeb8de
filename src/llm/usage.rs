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
    /// The part of `cache_write` that is to stay for an hour, which Anthropic sells at a price of its own.
    pub cache_write_1h: Tokens,
    /// The part of `input` that was audio. Some of it may be part of `cached_input` too.
    pub audio_input: Tokens,
    /// All output tokens.
    pub output: Tokens,
    /// The part of `output` that was reasoning the client may not see.
    pub reasoning: Tokens,
    /// The part of `output` that was audio.
    pub audio_output: Tokens,
}

impl Usage {
    /// No tokens.
    pub const fn none() -> Usage {
        Usage {
            input: 0,
            cached_input: 0,
            cache_write: 0,
            cache_write_1h: 0,
            audio_input: 0,
            output: 0,
            reasoning: 0,
            audio_output: 0,
        }
    }

    /// The same with the parts of the input held to what the whole allows: some compatible hosts report more cached
    /// tokens than input.
    pub(super) fn within_input(self) -> Usage {
        let cached_input = self.cached_input.min(self.input);
        Usage { cached_input, cache_write: self.cache_write.min(self.input - cached_input), ..self }
    }

    /// Input and output together: what a limit on tokens counts.
    pub fn total(&self) -> Tokens {
        self.input.saturating_add(self.output)
    }
}

/// Sums stay at the largest number instead of beginning again: what providers report is not believed to be small.
impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        let add = |to: &mut Tokens, more: Tokens| *to = to.saturating_add(more);
        add(&mut self.input, other.input);
        add(&mut self.cached_input, other.cached_input);
        add(&mut self.cache_write, other.cache_write);
        add(&mut self.cache_write_1h, other.cache_write_1h);
        add(&mut self.audio_input, other.audio_input);
        add(&mut self.output, other.output);
        add(&mut self.reasoning, other.reasoning);
        add(&mut self.audio_output, other.audio_output);
    }
}

/// All output of a report in OpenAI's form. xAI leaves reasoning out of `completion_tokens` and adds it in `total_tokens`
/// alone (docs.x.ai, "Reasoning"); everywhere else it is part of them, so that the three do not add up.
pub(super) fn all_output(
    prompt: Tokens,
    completion: Tokens,
    reasoning: Tokens,
    total: Option<Tokens>,
) -> Tokens {
    let both = completion.saturating_add(reasoning);
    match total {
        Some(total) if reasoning > 0 && total == prompt.saturating_add(both) => both,
        _ => completion,
    }
}
