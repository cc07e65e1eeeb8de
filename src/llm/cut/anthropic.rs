use super::{End, Seen};
use crate::llm::Usage;
use crate::llm::translate::emit::{Emit, event};
use crate::llm::translate::usage::to_anthropic;
use crate::wire::json::{Container, Scalar, Visitor};
use arrayvec::ArrayVec;

/// What is remembered of the events of a message (Anthropic API reference, "Streaming Messages").
#[derive(Clone, Debug, Default)]
pub(super) struct Anthropic {
    /// `message_start` was sent, or what can only come after it.
    started: bool,
    /// Indices of the content blocks that are open. Anthropic opens one at a time, some hosts that speak its format
    /// mix a few.
    open: ArrayVec<u64, BLOCKS_MAX>,
    /// The message's stop reason was sent.
    stopped: bool,
    event: Event,
}

/// The most content blocks that may be open at once; those beyond are not closed.
const BLOCKS_MAX: usize = 16;

/// What the event at hand says.
#[derive(Clone, Debug, Default)]
struct Event {
    /// Its `type`, cut.
    kind: ArrayVec<u8, { KIND_BYTES_MAX }>,
    index: u64,
    has_stop_reason: bool,
    failed: bool,
}

/// One more than the longest `type` that matters.
const KIND_BYTES_MAX: usize = "content_block_start".len() + 1;

impl Anthropic {
    pub(super) fn finish(&self, end: End, usage: &Usage, out: &mut Vec<u8>) {
        if !self.started {
            event("message_start", out, |e| message(usage, e));
        }
        for index in &self.open {
            event("content_block_stop", out, |e| e.key("index").u64(*index));
        }
        if !self.stopped {
            event("message_delta", out, |e| {
                e.key("delta").raw(match end {
                    End::Length => r#"{"stop_reason":"max_tokens","stop_sequence":null}"#,
                    End::Filtered => r#"{"stop_reason":"refusal","stop_sequence":null}"#,
                });
                // The input was told at the start, by the one who knows it better.
                e.key("usage").object(|e| e.key("output_tokens").u64(usage.output));
            });
        }
        event("message_stop", out, |_| {});
    }
}

/// A message that has no content yet.
fn message(usage: &Usage, e: &mut Emit<'_>) {
    e.key("message").object(|e| {
        e.key("id").str("");
        e.key("type").str("message");
        e.key("role").str("assistant");
        e.key("model").str("");
        e.key("content").raw("[]");
        e.key("stop_reason").raw("null");
        e.key("stop_sequence").raw("null");
        e.key("usage");
        to_anthropic(Usage { output: 0, reasoning: 0, ..*usage }, e);
    });
}

impl Seen for Anthropic {
    fn begin_event(&mut self) {
        self.event = Event::default();
    }

    fn end_event(&mut self) -> bool {
        let index = self.event.index;
        self.started |= !matches!(self.event.kind.as_slice(), b"" | b"ping");
        match self.event.kind.as_slice() {
            b"content_block_start" if !self.open.contains(&index) => {
                let _ = self.open.try_push(index); // beyond the bound it stays open, as the constant says
            }
            b"content_block_stop" => self.open.retain(|open| *open != index),
            b"message_delta" => self.stopped |= self.event.has_stop_reason,
            b"message_stop" | b"error" => return true,
            _ => {}
        }
        self.event.failed
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    Kind,
    Index,
    Delta,
    StopReason,
    Error,
    Other,
}

impl Visitor for Anthropic {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"type") => Place::Kind,
            (Place::Top, b"index") => Place::Index,
            (Place::Top, b"delta") => Place::Delta,
            (Place::Top, b"error") => Place::Error,
            (Place::Delta, b"stop_reason") => Place::StopReason,
            _ => Place::Other,
        }
    }

    fn element(&mut self, _parent: Place) -> Place {
        Place::Other
    }

    fn open(&mut self, place: Place, _container: Container, _at: usize) {
        self.event.failed |= place == Place::Error;
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        let Event { kind, has_stop_reason, .. } = &mut self.event;
        match place {
            Place::Kind => kind.extend(part.iter().copied().take(kind.remaining_capacity())),
            Place::StopReason => *has_stop_reason |= !part.is_empty(),
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        if let (Place::Index, Scalar::Integer(index)) = (place, scalar) {
            self.event.index = index;
        }
    }
}
