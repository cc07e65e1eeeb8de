use super::names::Names;
use super::{End, Seen};
use crate::llm::Usage;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::usage::to_openai;
use crate::wire::json::{Container, Scalar, Visitor};

/// What is remembered of the chunks of a chat completion (OpenAI API reference, "The chat completion chunk object").
#[derive(Clone, Debug, Default)]
pub(super) struct OpenAi {
    /// By number in [`NAMES`].
    names: Names<{ NAMES.len() }>,
    created: u64,
    /// Bit `n`: the choice with index `n` was seen. `n` of a request is at most 128.
    choices: u128,
    /// Bit `n`: the choice with index `n` has its finish reason.
    finished: u128,
    /// The chunk with usage and without choices was sent.
    usage_sent: bool,
    event: Event,
}

/// The members that are the same in all chunks and are repeated in the last ones.
const NAMES: [&str; 4] = ["id", "object", "model", "system_fingerprint"];

/// What the event at hand says.
#[derive(Clone, Debug, Default)]
struct Event {
    choices: u128,
    finished: u128,
    /// The choice being read.
    index: u64,
    index_finished: bool,
    has_usage: bool,
    failed: bool,
}

impl OpenAi {
    pub(super) fn finish(&self, end: End, usage: &Usage, include_usage: bool, out: &mut Vec<u8>) {
        if self.choices == 0 {
            self.last_chunk(end, 0, true, include_usage, out); // a stream without an answer is no stream
        }
        let open = self.choices & !self.finished;
        for index in (0..u128::BITS).filter(|index| open >> index & 1 == 1) {
            self.last_chunk(end, index, false, include_usage, out);
        }
        if include_usage && !self.usage_sent {
            self.chunk(out, |e| {
                e.key("choices").raw("[]");
                e.key("usage");
                to_openai(*usage, e);
            });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// The chunk that ends a choice; with the role when it is the first one too.
    fn last_chunk(&self, end: End, index: u32, first: bool, include_usage: bool, out: &mut Vec<u8>) {
        let delta = if first { r#"{"role":"assistant","content":""}"# } else { "{}" };
        self.chunk(out, |e| {
            e.key("choices").array(|e| {
                e.object(|e| {
                    e.key("index").u64(index.into());
                    e.key("delta").raw(delta);
                    e.key("logprobs").raw("null");
                    e.key("finish_reason").str(match end {
                        End::Length => "length",
                        End::Filtered => "content_filter",
                    });
                });
            });
            if include_usage {
                e.key("usage").raw("null");
            }
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, rest: impl FnOnce(&mut Emit<'_>)) {
        out.extend_from_slice(b"data: ");
        Emit::new(out).object(|e| {
            let [id, object, model, fingerprint] = self.names.texts();
            e.key("id").str(id);
            e.key("object").str(if object.is_empty() { "chat.completion.chunk" } else { object });
            e.key("created").u64(self.created);
            e.key("model").str(model);
            if !fingerprint.is_empty() {
                e.key("system_fingerprint").str(fingerprint);
            }
            rest(e);
        });
        out.extend_from_slice(b"\n\n");
    }
}

impl Seen for OpenAi {
    fn begin_event(&mut self) {
        self.event = Event::default();
        self.names.begin_event();
    }

    fn end_event(&mut self) -> bool {
        let event = &self.event;
        self.choices |= event.choices;
        self.finished |= event.finished;
        self.usage_sent |= event.has_usage && event.choices == 0;
        event.failed
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    /// A member of [`NAMES`], by its number.
    Name(usize),
    Created,
    Error,
    Usage,
    Choices,
    Choice,
    Index,
    FinishReason,
    Other,
}

impl Visitor for OpenAi {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        let name = |name: &&str| name.as_bytes() == key;
        match (parent, key) {
            (Place::Top, b"choices") => Place::Choices,
            (Place::Top, b"created") => Place::Created,
            (Place::Top, b"error") => Place::Error,
            (Place::Top, b"usage") => Place::Usage,
            (Place::Top, _) => NAMES.iter().position(name).map_or(Place::Other, Place::Name),
            (Place::Choice, b"index") => Place::Index,
            (Place::Choice, b"finish_reason") => Place::FinishReason,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        if parent == Place::Choices { Place::Choice } else { Place::Other }
    }

    fn open(&mut self, place: Place, _container: Container, _at: usize) {
        match place {
            Place::Choice => (self.event.index, self.event.index_finished) = (0, false),
            Place::Usage => self.event.has_usage = true,
            Place::Error => self.event.failed = true,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, _end: usize, _empty: bool) {
        let event = &mut self.event;
        if (place, container) == (Place::Choice, Container::Object) && event.index < u64::from(u128::BITS) {
            event.choices |= 1 << event.index;
            event.finished |= u128::from(event.index_finished) << event.index;
        }
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Name(number) => self.names.part(number, part),
            Place::FinishReason => self.event.index_finished |= !part.is_empty(),
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        match place {
            Place::Name(number) => self.names.end(number),
            Place::Error => self.event.failed = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        match (place, scalar) {
            (Place::Created, Scalar::Integer(seconds)) if self.created == 0 => self.created = seconds,
            (Place::Index, Scalar::Integer(index)) => self.event.index = index,
            _ => {}
        }
    }
}
