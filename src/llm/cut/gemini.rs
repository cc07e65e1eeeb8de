use super::names::Names;
use super::{End, Seen};
use crate::llm::Usage;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::usage;
use crate::wire::json::{Container, Scalar, Visitor};

/// What is remembered of the chunks of a stream of Gemini's (Gemini API reference, "GenerateContentResponse").
///
/// Such a stream has no terminator: it is over when every candidate that was seen has its finish reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Gemini {
    /// By number in [`NAMES`].
    names: Names<{ NAMES.len() }>,
    /// Bit `n`: the candidate with index `n` was seen. There are at most 8.
    candidates: u16,
    /// Bit `n`: the candidate with index `n` has its finish reason.
    finished: u16,
    event: Event,
}

/// The members that are the same in all chunks and are repeated in the last one.
const NAMES: [&str; 2] = ["modelVersion", "responseId"];

/// What the chunk at hand says.
#[derive(Clone, Debug, Default)]
struct Event {
    candidates: u16,
    finished: u16,
    /// The candidate being read; the first one's index may be left out.
    index: u64,
    index_finished: bool,
    /// The prompt was blocked, or an error came.
    over: bool,
}

impl Gemini {
    pub(super) fn finish(&self, end: End, usage: &Usage, out: &mut Vec<u8>) {
        // A stream without an answer is no stream.
        let candidates = if self.candidates == 0 { 1 } else { self.candidates };
        let open = candidates & !self.finished;
        out.extend_from_slice(b"data: ");
        Emit::new(out).object(|e| {
            e.key("candidates").array(|e| {
                (0..u16::BITS).filter(|index| open >> index & 1 == 1).for_each(|index| last(end, index, e));
            });
            e.key("usageMetadata");
            usage::to_gemini(*usage, e);
            for (name, value) in NAMES.iter().zip(self.names.texts()).filter(|(_, value)| !value.is_empty()) {
                e.key(name).str(value);
            }
        });
        out.extend_from_slice(b"\n\n");
    }
}

/// A candidate that ends here.
fn last(end: End, index: u32, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("content").raw(r#"{"parts":[{"text":""}],"role":"model"}"#);
        e.key("finishReason").str(match end {
            End::Length => "MAX_TOKENS",
            End::Filtered => "SAFETY",
        });
        e.key("index").u64(index.into());
    });
}

impl Seen for Gemini {
    fn begin_event(&mut self) {
        self.event = Event::default();
        self.names.begin_event();
    }

    fn end_event(&mut self) -> bool {
        self.candidates |= self.event.candidates;
        self.finished |= self.event.finished;
        self.event.over || self.candidates != 0 && self.candidates & !self.finished == 0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    /// A member of [`NAMES`], by its number.
    Name(usize),
    Error,
    Feedback,
    BlockReason,
    Candidates,
    Candidate,
    Index,
    FinishReason,
    Other,
}

impl Visitor for Gemini {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        let name = |name: &&str| name.as_bytes() == key;
        match (parent, key) {
            (Place::Top, b"candidates") => Place::Candidates,
            (Place::Top, b"promptFeedback") => Place::Feedback,
            (Place::Top, b"error") => Place::Error,
            (Place::Top, _) => NAMES.iter().position(name).map_or(Place::Other, Place::Name),
            (Place::Feedback, b"blockReason") => Place::BlockReason,
            (Place::Candidate, b"index") => Place::Index,
            (Place::Candidate, b"finishReason") => Place::FinishReason,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        if parent == Place::Candidates { Place::Candidate } else { Place::Other }
    }

    fn open(&mut self, place: Place, _container: Container, _at: usize) {
        match place {
            Place::Candidate => (self.event.index, self.event.index_finished) = (0, false),
            Place::Error => self.event.over = true,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, _end: usize, _empty: bool) {
        let event = &mut self.event;
        if (place, container) == (Place::Candidate, Container::Object) && event.index < u64::from(u16::BITS) {
            event.candidates |= 1 << event.index;
            event.finished |= u16::from(event.index_finished) << event.index;
        }
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Name(number) => self.names.part(number, part),
            Place::FinishReason => self.event.index_finished |= !part.is_empty(),
            Place::BlockReason => self.event.over |= !part.is_empty(),
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        match place {
            Place::Name(number) => self.names.end(number),
            Place::Error => self.event.over = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        if let (Place::Index, Scalar::Integer(index)) = (place, scalar) {
            self.event.index = index;
        }
    }
}
