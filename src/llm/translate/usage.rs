//! Usage as each format says it, read into and written from [`Usage`].

use super::emit::Emit;
use super::read::Value;
use crate::llm::Usage;
use crate::llm::usage::all_output;

/// Counters as Anthropic reports them: the three kinds of input apart.
///
/// A stream reports them several times, each time cumulative and not always all of them: `message_start` has
/// the input and a first `output_tokens`, `message_delta` has the final output and, on newer API releases and
/// after server tools ran, the final input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnthropicUsage {
    input: u64,
    cache_read: u64,
    cache_creation: u64,
    output: u64,
    thinking: u64,
}

impl AnthropicUsage {
    /// Takes over every counter that `usage` holds.
    pub(super) fn update(&mut self, usage: Value<'_, '_>) {
        let set = |counter: &mut u64, object: Value<'_, '_>, name: &str| {
            if let Some(count) = object.get(name).and_then(Value::u64) {
                *counter = count;
            }
        };
        set(&mut self.input, usage, "input_tokens");
        set(&mut self.cache_read, usage, "cache_read_input_tokens");
        set(&mut self.cache_creation, usage, "cache_creation_input_tokens");
        set(&mut self.output, usage, "output_tokens");
        if let Some(details) = usage.get("output_tokens_details") {
            set(&mut self.thinking, details, "thinking_tokens");
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            input: self.input.saturating_add(self.cache_read).saturating_add(self.cache_creation),
            cached_input: self.cache_read,
            cache_write: self.cache_creation,
            output: self.output,
            reasoning: self.thinking,
            ..Usage::default()
        }
    }
}

/// Usage as OpenAI's chat completions report it.
pub(super) fn from_openai(usage: Value<'_, '_>) -> Usage {
    from_openai_words(
        usage,
        ["prompt_tokens", "completion_tokens"],
        ["prompt_tokens_details", "completion_tokens_details"],
    )
}

/// Usage as OpenAI's responses report it.
pub(super) fn from_responses(usage: Value<'_, '_>) -> Usage {
    from_openai_words(
        usage,
        ["input_tokens", "output_tokens"],
        ["input_tokens_details", "output_tokens_details"],
    )
}

/// Cached tokens are part of the input, reasoning of the output.
///
/// Some compatible hosts report more cached tokens than input; the parts are held to what the whole allows.
fn from_openai_words(usage: Value<'_, '_>, [input, output]: [&str; 2], details: [&str; 2]) -> Usage {
    let count = |object: Option<Value<'_, '_>>, name: &str| {
        object.and_then(|o| o.get(name)).and_then(Value::u64).unwrap_or_default()
    };
    let [input_details, output_details] = details.map(|name| usage.get(name));
    let input = count(Some(usage), input);
    let cached_input = count(input_details, "cached_tokens").min(input);
    let reasoning = count(output_details, "reasoning_tokens");
    let total = usage.get("total_tokens").and_then(Value::u64);
    Usage {
        input,
        cached_input,
        cache_write: count(input_details, "cache_write_tokens").min(input - cached_input),
        output: all_output(input, count(Some(usage), output), reasoning, total),
        reasoning,
        ..Usage::default()
    }
}

/// Usage as Gemini reports it: input that its own tools made apart from the prompt, thoughts apart from the answer
/// (API reference, `UsageMetadata`).
///
/// A stream reports it with every event, cumulatively, and Vertex AI's first reports hold no counter at all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GeminiUsage {
    prompt: u64,
    of_tools: u64,
    cached: u64,
    candidates: u64,
    thoughts: u64,
}

impl GeminiUsage {
    /// Takes over every counter that `usage` holds; `get` finds a member in either spelling.
    pub(super) fn update<'t, 'b>(
        &mut self,
        usage: Value<'t, 'b>,
        get: impl Fn(Value<'t, 'b>, &str) -> Option<Value<'t, 'b>>,
    ) {
        let set = |counter: &mut u64, name: &str| {
            if let Some(count) = get(usage, name).and_then(Value::u64) {
                *counter = count;
            }
        };
        set(&mut self.prompt, "promptTokenCount");
        set(&mut self.of_tools, "toolUsePromptTokenCount");
        set(&mut self.cached, "cachedContentTokenCount");
        set(&mut self.candidates, "candidatesTokenCount");
        set(&mut self.thoughts, "thoughtsTokenCount");
    }

    pub(super) fn usage(&self) -> Usage {
        let input = self.prompt.saturating_add(self.of_tools);
        Usage {
            input,
            cached_input: self.cached.min(input),
            output: self.candidates.saturating_add(self.thoughts),
            reasoning: self.thoughts,
            ..Usage::default()
        }
    }
}

/// Usage as Bedrock's Converse reports it (`TokenUsage`): the three kinds of input apart. Older releases end the names of
/// the cached ones in `Count`.
pub(super) fn from_converse(usage: Value<'_, '_>) -> Usage {
    let count = |names: &[&str]| names.iter().find_map(|name| usage.get(name)?.u64()).unwrap_or_default();
    let cached_input = count(&["cacheReadInputTokens", "cacheReadInputTokenCount"]);
    let cache_write = count(&["cacheWriteInputTokens", "cacheWriteInputTokenCount"]);
    let details = usage.get("cacheDetails").into_iter().flat_map(Value::elements);
    let of_an_hour = details
        .filter(|detail| detail.text("ttl") == "1h")
        .filter_map(|detail| detail.get("inputTokens")?.u64());
    Usage {
        input: count(&["inputTokens"]).saturating_add(cached_input).saturating_add(cache_write),
        cached_input,
        cache_write,
        cache_write_1h: of_an_hour.fold(0, u64::saturating_add).min(cache_write),
        output: count(&["outputTokens"]),
        ..Usage::default()
    }
}

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
