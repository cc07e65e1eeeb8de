use super::Metered;
use super::tally::Tally;
use crate::base::Tokens;
use crate::llm::Usage;
use crate::llm::usage::all_output;
use crate::wire::json::{Container, Scalar, Visitor};

/// Reads chat completions and their chunks (OpenAI API reference, "The chat completion object", "The chat completion
/// chunk object") and what OpenAI-compatible hosts make of them:
///
/// * usage at the top level, in `x_groq` (Groq) or in a choice (Moonshot), with or without choices beside it, on the
///   last chunk or cumulative on each;
/// * cached tokens in `prompt_tokens_details` or as `prompt_cache_hit_tokens` (DeepSeek);
/// * reasoning as `reasoning_content` (DeepSeek, vLLM), `reasoning` (Groq, OpenRouter), or as parts of the content
///   (Mistral); its tokens part of `completion_tokens` or beside them (xAI).
#[derive(Debug, Default)]
pub(super) struct OpenAi {
    tally: Tally,
    /// The usage object being read.
    report: Report,
}

#[derive(Debug, Default)]
struct Report {
    prompt: Option<Tokens>,
    completion: Option<Tokens>,
    total: Option<Tokens>,
    cached: Option<Tokens>,
    cache_write: Option<Tokens>,
    audio_input: Option<Tokens>,
    reasoning: Option<Tokens>,
    audio_output: Option<Tokens>,
}

impl Metered for OpenAi {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin_document(&mut self) {
        self.report = Report::default();
        self.tally.forget_open_model();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    Model,
    Error,
    /// An object of the host's own that may hold `usage`.
    Vendor,
    Usage,
    PromptTokens,
    CompletionTokens,
    TotalTokens,
    PromptDetails,
    CachedTokens,
    CacheWriteTokens,
    AudioInputTokens,
    CompletionDetails,
    ReasoningTokens,
    AudioOutputTokens,
    Choices,
    Choice,
    FinishReason,
    /// `message`, `delta`, and the objects in them that hold generated text.
    Message,
    /// Generated text, or parts of it.
    Output,
    Other,
}

impl Visitor for OpenAi {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"choices") => Place::Choices,
            (Place::Top, b"model") => Place::Model,
            (Place::Top, b"error") => Place::Error,
            (Place::Top, b"x_groq") => Place::Vendor,
            (Place::Top | Place::Vendor | Place::Choice, b"usage") => Place::Usage,

            (Place::Choice, b"delta" | b"message") => Place::Message,
            (Place::Choice, b"finish_reason") => Place::FinishReason,
            (Place::Message | Place::Output, b"content" | b"arguments" | b"name" | b"refusal") => {
                Place::Output
            }
            (Place::Message | Place::Output, b"reasoning_content" | b"reasoning" | b"thinking") => {
                Place::Output
            }
            (Place::Message | Place::Output, b"text" | b"transcript") => Place::Output,
            (Place::Message, b"tool_calls" | b"function_call" | b"function" | b"audio") => Place::Message,

            (Place::Usage, b"prompt_tokens") => Place::PromptTokens,
            (Place::Usage, b"completion_tokens") => Place::CompletionTokens,
            (Place::Usage, b"total_tokens") => Place::TotalTokens,
            (Place::Usage, b"prompt_tokens_details") => Place::PromptDetails,
            (Place::Usage, b"completion_tokens_details") => Place::CompletionDetails,
            (Place::Usage, b"prompt_cache_hit_tokens") => Place::CachedTokens,
            (Place::PromptDetails, b"cached_tokens") => Place::CachedTokens,
            (Place::PromptDetails, b"cache_write_tokens") => Place::CacheWriteTokens,
            (Place::PromptDetails, b"audio_tokens") => Place::AudioInputTokens,
            (Place::CompletionDetails, b"reasoning_tokens") => Place::ReasoningTokens,
            (Place::CompletionDetails, b"audio_tokens") => Place::AudioOutputTokens,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::Choices => Place::Choice,
            Place::Message | Place::Output => Place::Message,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, _container: Container, _at: usize) {
        match place {
            Place::Usage => self.report = Report::default(),
            Place::Error => self.tally.failed = true,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, _end: usize, _empty: bool) {
        let report = &self.report;
        if (place, container) != (Place::Usage, Container::Object)
            || report.prompt.or(report.completion).is_none()
        {
            return;
        }
        let input = report.prompt.unwrap_or_default();
        let reasoning = report.reasoning.unwrap_or_default();
        let output = all_output(input, report.completion.unwrap_or_default(), reasoning, report.total);
        let told = Usage {
            input,
            cached_input: report.cached.unwrap_or_default(),
            cache_write: report.cache_write.unwrap_or_default(),
            cache_write_1h: 0,
            audio_input: report.audio_input.unwrap_or_default(),
            output,
            reasoning,
            audio_output: report.audio_output.unwrap_or_default(),
        };
        self.tally.usage = Some(told.within_input());
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Output => self.tally.output_bytes += part.len() as u64,
            Place::Model => self.tally.model_part(part),
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        match place {
            Place::Model => self.tally.model_end(),
            Place::FinishReason => self.tally.ended = true,
            Place::Error => self.tally.failed = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        let Scalar::Integer(tokens) = scalar else { return };
        let report = &mut self.report;
        let slot = match place {
            Place::PromptTokens => &mut report.prompt,
            Place::CompletionTokens => &mut report.completion,
            Place::TotalTokens => &mut report.total,
            Place::CachedTokens => &mut report.cached,
            Place::CacheWriteTokens => &mut report.cache_write,
            Place::AudioInputTokens => &mut report.audio_input,
            Place::ReasoningTokens => &mut report.reasoning,
            Place::AudioOutputTokens => &mut report.audio_output,
            _ => return,
        };
        *slot = Some(tokens);
    }
}
