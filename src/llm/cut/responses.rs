use super::names::Names;
use super::{End, Seen};
use crate::llm::Usage;
use crate::llm::translate::emit::{Emit, event};
use crate::wire::json::{Scalar, Visitor};
use arrayvec::ArrayVec;

/// What is remembered of the events of a response (OpenAI API reference, "Streaming events").
///
/// The response that ends the stream has an empty `output`: the client was sent it in the events before, and it is not
/// kept here. Items that are open stay so; `response.incomplete` ends them all.
#[derive(Clone, Debug, Default)]
pub(super) struct Responses {
    /// By number in [`NAMES`].
    names: Names<{ NAMES.len() }>,
    created_at: u64,
    /// An event of a response was sent.
    started: bool,
    /// The number of the next event.
    next: u64,
    event: Event,
}

/// The members of the response that the last event repeats.
const NAMES: [&str; 2] = ["id", "model"];

/// What the event at hand says.
#[derive(Clone, Debug, Default)]
struct Event {
    /// Its `type`, cut.
    kind: ArrayVec<u8, { KIND_BYTES_MAX }>,
    number: Option<u64>,
}

/// One more than the longest `type` that matters.
const KIND_BYTES_MAX: usize = "response.incomplete".len() + 1;

impl Responses {
    pub(super) fn finish(&self, end: End, usage: &Usage, out: &mut Vec<u8>) {
        let mut next = self.next;
        if !self.started {
            event("response.created", out, |e| {
                e.key("sequence_number").u64(next);
                e.key("response").object(|e| self.response(end, None, e));
            });
            next = next.saturating_add(1);
        }
        event("response.incomplete", out, |e| {
            e.key("sequence_number").u64(next);
            e.key("response").object(|e| self.response(end, Some(usage), e));
        });
    }

    /// The members that every response has; it is over when its usage is known.
    fn response(&self, end: End, usage: Option<&Usage>, e: &mut Emit<'_>) {
        let [id, model] = self.names.texts();
        e.key("id").str(id);
        e.key("object").str("response");
        e.key("created_at").u64(self.created_at);
        e.key("status").str(if usage.is_some() { "incomplete" } else { "in_progress" });
        e.key("error").raw("null");
        let details = match (usage, end) {
            (None, _) => "null",
            (Some(_), End::Length) => r#"{"reason":"max_output_tokens"}"#,
            (Some(_), End::Filtered) => r#"{"reason":"content_filter"}"#,
        };
        e.key("incomplete_details").raw(details);
        e.key("instructions").raw("null");
        e.key("metadata").raw("{}");
        e.key("model").str(model);
        e.key("output").raw("[]");
        e.key("parallel_tool_calls").raw("true");
        e.key("temperature").raw("null");
        e.key("tool_choice").str("auto");
        e.key("tools").raw("[]");
        e.key("top_p").raw("null");
        let Some(usage) = usage else { return e.key("usage").raw("null") };
        e.key("usage").object(|e| {
            e.key("input_tokens").u64(usage.input);
            e.key("input_tokens_details").object(|e| e.key("cached_tokens").u64(usage.cached_input));
            e.key("output_tokens").u64(usage.output);
            e.key("output_tokens_details").object(|e| e.key("reasoning_tokens").u64(usage.reasoning));
            e.key("total_tokens").u64(usage.total());
        });
    }
}

impl Seen for Responses {
    fn begin_event(&mut self) {
        self.event = Event::default();
        self.names.begin_event();
    }

    fn end_event(&mut self) -> bool {
        let kind = self.event.kind.as_slice();
        self.started |= !kind.is_empty();
        // The numbers go up, but whoever skips one is not to meet it again.
        self.next = self.next.max(self.event.number.map_or(0, |number| number.saturating_add(1)));
        matches!(kind, b"response.completed" | b"response.incomplete" | b"response.failed" | b"error")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    Kind,
    Number,
    Response,
    /// A member of [`NAMES`], by its number.
    Name(usize),
    CreatedAt,
    Other,
}

impl Visitor for Responses {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        let name = |name: &&str| name.as_bytes() == key;
        match (parent, key) {
            (Place::Top, b"type") => Place::Kind,
            (Place::Top, b"sequence_number") => Place::Number,
            (Place::Top, b"response") => Place::Response,
            (Place::Response, b"created_at") => Place::CreatedAt,
            (Place::Response, _) => NAMES.iter().position(name).map_or(Place::Other, Place::Name),
            _ => Place::Other,
        }
    }

    fn element(&mut self, _parent: Place) -> Place {
        Place::Other
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        let kind = &mut self.event.kind;
        match place {
            Place::Kind => kind.extend(part.iter().copied().take(kind.remaining_capacity())),
            Place::Name(number) => self.names.part(number, part),
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        if let Place::Name(number) = place {
            self.names.end(number);
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        match (place, scalar) {
            (Place::CreatedAt, Scalar::Integer(seconds)) if self.created_at == 0 => self.created_at = seconds,
            (Place::Number, Scalar::Integer(number)) => self.event.number = Some(number),
            _ => {}
        }
    }
}
