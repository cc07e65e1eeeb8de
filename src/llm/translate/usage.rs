//! Usage as each format says it, for clients. What providers say is read by [`Meter`](crate::llm::Meter) alone, so that
//! a client is told what is charged.

use super::emit::Emit;
use crate::llm::Usage;

/// Writes the `usage` object of OpenAI's chat completions.
pub(in crate::llm) fn to_openai(usage: Usage, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("prompt_tokens").u64(usage.input);
        e.key("completion_tokens").u64(usage.output);
        e.key("total_tokens").u64(usage.total());
        e.key("prompt_tokens_details").object(|e| {
            e.key("cached_tokens").u64(usage.cached_input);
            if usage.cache_write > 0 {
                e.key("cache_write_tokens").u64(usage.cache_write);
            }
        });
        e.key("completion_tokens_details").object(|e| e.key("reasoning_tokens").u64(usage.reasoning));
    });
}

/// Writes the `usage` object of OpenAI's responses.
pub(in crate::llm) fn to_responses(usage: Usage, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("input_tokens").u64(usage.input);
        e.key("input_tokens_details").object(|e| {
            e.key("cached_tokens").u64(usage.cached_input);
            e.key("cache_write_tokens").u64(usage.cache_write);
        });
        e.key("output_tokens").u64(usage.output);
        e.key("output_tokens_details").object(|e| e.key("reasoning_tokens").u64(usage.reasoning));
        e.key("total_tokens").u64(usage.total());
    });
}

/// Writes Anthropic's `usage` object.
pub(in crate::llm) fn to_anthropic(usage: Usage, e: &mut Emit<'_>) {
    let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
    e.object(|e| {
        e.key("input_tokens").u64(fresh);
        e.key("cache_creation_input_tokens").u64(usage.cache_write);
        e.key("cache_read_input_tokens").u64(usage.cached_input);
        e.key("output_tokens").u64(usage.output);
    });
}

/// Writes Gemini's `usageMetadata` object.
pub(in crate::llm) fn to_gemini(usage: Usage, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("promptTokenCount").u64(usage.input);
        e.key("candidatesTokenCount").u64(usage.output.saturating_sub(usage.reasoning));
        e.key("totalTokenCount").u64(usage.total());
        let parts =
            [("cachedContentTokenCount", usage.cached_input), ("thoughtsTokenCount", usage.reasoning)];
        for (name, tokens) in parts.into_iter().filter(|(_, tokens)| *tokens > 0) {
            e.key(name).u64(tokens);
        }
    });
}
