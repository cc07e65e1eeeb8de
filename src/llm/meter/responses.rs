use super::Metered;
use super::tally::Tally;
use crate::base::Tokens;
use crate::llm::Usage;
use crate::wire::json::{Container, Scalar, Visitor};
use arrayvec::ArrayVec;

/// Reads responses and the events of their streams (OpenAI API reference, "The response object", "Streaming events").
///
/// A stream tells its usage at the end, in the `response` of `response.completed`, `response.incomplete` or
/// `response.failed`. What is generated comes as the `delta` of events whose names end in `.delta`: text, refusals,
/// summaries of reasoning, arguments of calls. The `.done` events and the last response repeat all of it, so that of a
/// stream the deltas alone are counted, and of a whole response its output.
#[derive(Debug, Default)]
pub(super) struct Responses {
    tally: Tally,
    /// The usage object being read.
    report: Report,
    /// The `type` at the top level, cut.
    kind: ArrayVec<u8, { KIND_BYTES_MAX }>,
}

/// One more than the longest `type` that matters.
const KIND_BYTES_MAX: usize = "response.incomplete".len() + 1;

#[derive(Debug, Default)]
struct Report {
    input: Option<Tokens>,
    cached: Option<Tokens>,
    cache_write: Option<Tokens>,
    output: Option<Tokens>,
    reasoning: Option<Tokens>,
}

impl Metered for Responses {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin_document(&mut self) {
        self.report = Report::default();
        self.kind.clear();
        self.tally.forget_open_model();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// An event of a stream, or the whole response.
    #[default]
    Top,
    Kind,
    /// The response in an event.
    Response,
    Model,
    Error,
    /// `output` of a whole response.
    Items,
    /// One of its items, or of what an item holds.
    Item,
    /// Generated text.
    Output,
    Usage,
    InputTokens,
    InputDetails,
    CachedTokens,
    CacheWriteTokens,
    OutputTokens,
    OutputDetails,
    ReasoningTokens,
    Other,
}

impl Visitor for Responses {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"type") => Place::Kind,
            (Place::Top, b"delta") => Place::Output,
            (Place::Top, b"response") => Place::Response,
            (Place::Top, b"output") => Place::Items,
            (Place::Top | Place::Response, b"model") => Place::Model,
            (Place::Top | Place::Response, b"error") => Place::Error,
            (Place::Top | Place::Response, b"usage") => Place::Usage,

            (Place::Item, b"text" | b"refusal" | b"arguments" | b"name" | b"input" | b"code") => {
                Place::Output
            }
            (Place::Item, b"content" | b"summary") => Place::Items,

            (Place::Usage, b"input_tokens") => Place::InputTokens,
            (Place::Usage, b"input_tokens_details") => Place::InputDetails,
            (Place::Usage, b"output_tokens") => Place::OutputTokens,
            (Place::Usage, b"output_tokens_details") => Place::OutputDetails,
            (Place::InputDetails, b"cached_tokens") => Place::CachedTokens,
            (Place::InputDetails, b"cache_write_tokens") => Place::CacheWriteTokens,
            (Place::OutputDetails, b"reasoning_tokens") => Place::ReasoningTokens,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        if parent == Place::Items { Place::Item } else { Place::Other }
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
        if (place, container) != (Place::Usage, Container::Object) || report.input.or(report.output).is_none()
        {
            return;
        }
        let told = Usage {
            input: report.input.unwrap_or_default(),
            cached_input: report.cached.unwrap_or_default(),
            cache_write: report.cache_write.unwrap_or_default(),
            output: report.output.unwrap_or_default(),
            reasoning: report.reasoning.unwrap_or_default(),
            ..Usage::none()
        };
        self.tally.usage = Some(told.within_input());
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
            (Place::Kind, b"response.completed" | b"response.incomplete") => self.tally.ended = true,
            (Place::Kind, b"response.failed") => (self.tally.ended, self.tally.failed) = (true, true),
            (Place::Kind, b"error") | (Place::Error, _) => self.tally.failed = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        let Scalar::Integer(tokens) = scalar else { return };
        let report = &mut self.report;
        let slot = match place {
            Place::InputTokens => &mut report.input,
            Place::OutputTokens => &mut report.output,
            Place::CachedTokens => &mut report.cached,
            Place::CacheWriteTokens => &mut report.cache_write,
            Place::ReasoningTokens => &mut report.reasoning,
            _ => return,
        };
        *slot = Some(tokens);
    }
}
