use super::Metered;
use super::tally::Tally;
use crate::base::Tokens;
use crate::llm::Usage;
use crate::wire::json::{Container, Scalar, Visitor};
use arrayvec::ArrayVec;

/// Reads messages and the events of their streams (Anthropic API reference, "Messages", "Streaming Messages").
///
/// `message_start` reports usage first, each `message_delta` again and cumulatively, often only the output.
#[derive(Debug, Default)]
pub(super) struct Anthropic {
    tally: Tally,
    /// The usage object being read.
    report: Report,
    /// The last report of each number.
    known: Report,
    /// The `type` at the top level, cut.
    kind: ArrayVec<u8, { KIND_BYTES_MAX }>,
    /// Where the tool input being read opened.
    input_open: usize,
}

/// One more than the longest `type` that matters.
const KIND_BYTES_MAX: usize = "message_stop".len() + 1;

#[derive(Clone, Copy, Debug, Default)]
struct Report {
    /// Input that was neither read from the cache nor written to it.
    input: Option<Tokens>,
    cache_read: Option<Tokens>,
    cache_write: Option<Tokens>,
    /// The part of `cache_write` that is to stay for an hour ("Prompt caching", 1-hour cache duration).
    cache_write_1h: Option<Tokens>,
    output: Option<Tokens>,
    thinking: Option<Tokens>,
}

impl Report {
    fn all_input(&self) -> Tokens {
        let parts = [self.input, self.cache_read, self.cache_write];
        parts.into_iter().flatten().fold(0, Tokens::saturating_add)
    }

    /// What `later` says replaces what was known. A later report whose input is 0 throughout says nothing about it:
    /// hosts that speak this format put zeros where they do not count again.
    fn update(&mut self, later: &Report) {
        if later.all_input() > 0 || self.all_input() == 0 {
            self.input = later.input.or(self.input);
            self.cache_read = later.cache_read.or(self.cache_read);
            self.cache_write = later.cache_write.or(self.cache_write);
            self.cache_write_1h = later.cache_write_1h.or(self.cache_write_1h);
        }
        self.output = later.output.or(self.output);
        self.thinking = later.thinking.or(self.thinking);
    }

    /// The same meaning for all providers, see [`Usage`].
    fn normalised(&self) -> Usage {
        let cache_write = self.cache_write.unwrap_or_default();
        Usage {
            input: self.all_input(),
            cached_input: self.cache_read.unwrap_or_default(),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or_default().min(cache_write),
            output: self.output.unwrap_or_default(),
            reasoning: self.thinking.unwrap_or_default(),
            ..Usage::default()
        }
    }
}

impl Metered for Anthropic {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin_document(&mut self) {
        self.kind.clear();
        self.tally.forget_open_model();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    Kind,
    Error,
    /// The message in `message_start`.
    Message,
    Model,
    Content,
    Block,
    Delta,
    /// Generated text.
    Output,
    /// The arguments of a tool call, as JSON.
    Input,
    Usage,
    InputTokens,
    CacheReadTokens,
    CacheWriteTokens,
    CacheCreation,
    CacheWrite1hTokens,
    OutputTokens,
    OutputDetails,
    ThinkingTokens,
    Other,
}

impl Visitor for Anthropic {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"type") => Place::Kind,
            (Place::Top, b"delta") => Place::Delta,
            (Place::Top, b"content_block") => Place::Block,
            (Place::Top, b"message") => Place::Message,
            (Place::Top, b"error") => Place::Error,
            (Place::Top | Place::Message, b"model") => Place::Model,
            (Place::Top | Place::Message, b"usage") => Place::Usage,
            (Place::Top | Place::Message, b"content") => Place::Content,

            (Place::Delta, b"text" | b"thinking" | b"partial_json") => Place::Output,
            (Place::Block, b"text" | b"thinking" | b"name") => Place::Output,
            (Place::Block, b"input") => Place::Input,

            (Place::Usage, b"input_tokens") => Place::InputTokens,
            (Place::Usage, b"output_tokens") => Place::OutputTokens,
            (Place::Usage, b"cache_read_input_tokens") => Place::CacheReadTokens,
            (Place::Usage, b"cache_creation_input_tokens") => Place::CacheWriteTokens,
            (Place::Usage, b"cache_creation") => Place::CacheCreation,
            (Place::CacheCreation, b"ephemeral_1h_input_tokens") => Place::CacheWrite1hTokens,
            (Place::Usage, b"output_tokens_details") => Place::OutputDetails,
            (Place::OutputDetails, b"thinking_tokens") => Place::ThinkingTokens,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        if parent == Place::Content { Place::Block } else { Place::Other }
    }

    fn open(&mut self, place: Place, _container: Container, at: usize) {
        match place {
            Place::Usage => self.report = Report::default(),
            Place::Input => self.input_open = at,
            Place::Error => self.tally.failed = true,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, empty: bool) {
        match (place, container) {
            (Place::Usage, Container::Object) if !empty => {
                self.known.update(&self.report);
                let told = self.known.input.or(self.known.output).is_some();
                self.tally.usage = told.then(|| self.known.normalised());
            }
            // An empty input stands where a stream's `partial_json` will tell it.
            (Place::Input, _) if !empty => self.tally.output_bytes += (end - self.input_open) as u64,
            _ => {}
        }
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Output => self.tally.output_bytes += part.len() as u64,
            Place::Model => self.tally.model_part(part),
            Place::Kind => self.kind.extend(part.iter().copied().take(self.kind.remaining_capacity())),
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        match (place, self.kind.as_slice()) {
            (Place::Model, _) => self.tally.model_end(),
            (Place::Kind, b"message_stop") => self.tally.ended = true,
            (Place::Kind, b"error") => self.tally.failed = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        let Scalar::Integer(tokens) = scalar else { return };
        let report = &mut self.report;
        let slot = match place {
            Place::InputTokens => &mut report.input,
            Place::OutputTokens => &mut report.output,
            Place::CacheReadTokens => &mut report.cache_read,
            Place::CacheWriteTokens => &mut report.cache_write,
            Place::CacheWrite1hTokens => &mut report.cache_write_1h,
            Place::ThinkingTokens => &mut report.thinking,
            _ => return,
        };
        *slot = Some(tokens);
    }
}
