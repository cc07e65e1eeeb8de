//! Ends a stream that passes unchanged before its provider does, so that the client sees a proper end.

mod anthropic;
mod gemini;
mod names;
mod openai;
mod responses;
#[cfg(test)]
mod tests;

use super::{Api, Format, Usage};
use crate::wire::json::{Scanner, Visitor};
use crate::wire::sse::{Part, Parts};
use anthropic::Anthropic;
use arrayvec::ArrayVec;
use gemini::Gemini;
use openai::OpenAi;
use responses::Responses;

/// Watches a stream that passes to a client and can end it early, as if the model had reached its length limit.
///
/// Call [`feed`](Cutter::feed) with every byte that is passed to the client, in order. To cut, pass on the prefix that
/// [`boundary_in`](Cutter::boundary_in) names of what comes next, feed it, then write what [`finish`](Cutter::finish)
/// appends and stop. An event is never cut in two: what a client was sent of one cannot be taken back.
///
/// Keeps what the last chunks must repeat (id, model and the like, at most [`NAME_BYTES_MAX`] of each) and which
/// choices or content blocks are open, never the text. An event that is not JSON changes nothing.
#[derive(Clone, Debug)]
pub struct Cutter {
    parts: Parts,
    inner: Inner,
    /// An event, or a line of none, has begun and its blank line has not come.
    within: bool,
    /// The last byte was a CR that ended a blank line; its LF may still come.
    after_cr: bool,
    /// Values belong to a `data` field.
    in_data: bool,
    /// The event has a `data` field.
    has_data: bool,
    /// How the event's data begins, to know the terminator, which is not JSON.
    head: ArrayVec<u8, { DONE.len() + 1 }>,
    /// The stream ended by itself.
    over: bool,
}

/// The most bytes that are kept of an id, a model's name or a fingerprint; longer ones are cut there.
pub const NAME_BYTES_MAX: usize = 256;

/// Why a stream ends early, in the words of each format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It reached its length: `length`, `max_tokens`, `max_output_tokens`, `MAX_TOKENS`.
    Length,
    /// Its content may not pass: `content_filter`, `refusal`, `SAFETY`.
    Filtered,
}

/// The data of the event that ends OpenAI's streams.
const DONE: &[u8] = b"[DONE]";

#[derive(Clone, Debug)]
enum Inner {
    OpenAi(Reading<OpenAi>),
    Responses(Reading<Responses>),
    Anthropic(Reading<Anthropic>),
    Gemini(Reading<Gemini>),
}

impl Cutter {
    /// At the start of a stream in the client's format. Formats that have no streams are taken for their API's chat.
    pub fn new(format: Format) -> Cutter {
        Cutter {
            parts: Parts::new(),
            inner: match (format, format.api()) {
                (Format::OpenAiResponses, _) => Inner::Responses(Reading::default()),
                // No client speaks Bedrock's, so nothing passes that could be cut.
                (_, Api::OpenAi | Api::Bedrock) => Inner::OpenAi(Reading::default()),
                (_, Api::Anthropic) => Inner::Anthropic(Reading::default()),
                (_, Api::Gemini) => Inner::Gemini(Reading::default()),
            },
            within: false,
            after_cr: false,
            in_data: false,
            has_data: false,
            head: ArrayVec::new(),
            over: false,
        }
    }

    /// Looks at the next bytes that pass to the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut begun = bytes; // from where the event at hand begins, or goes on
        while let Some(part) = self.parts.next(&mut rest) {
            match part {
                Part::Name => self.in_data = false,
                Part::Data => {
                    self.in_data = true;
                    if std::mem::replace(&mut self.has_data, true) {
                        self.inner.feed(b"\n"); // lines of data are joined with LF
                    } else {
                        self.inner.begin();
                    }
                }
                Part::Value(value) if self.in_data => {
                    self.head.extend(value.iter().copied().take(self.head.remaining_capacity()));
                    self.inner.feed(value);
                }
                Part::Value(_) => {}
                Part::Blank => {
                    self.end_event();
                    self.within = false;
                    begun = rest;
                }
            }
        }
        // A lone LF right after a blank line can only be the second half of its CRLF: another blank line would have
        // been told as such.
        self.within |= !(begun.is_empty() || begun == b"\n");
        if let Some(last) = bytes.last() {
            self.after_cr = !self.within && *last == b'\r';
        }
    }

    /// Whether the bytes so far end between two events, which is where [`finish`](Cutter::finish) may write.
    pub fn at_boundary(&self) -> bool {
        !self.within
    }

    /// How many of the next `bytes` must still pass so that the stream is between two events; `None` when more than
    /// `bytes` must. Zero when it is there already. Changes nothing.
    pub fn boundary_in(&self, bytes: &[u8]) -> Option<usize> {
        if self.at_boundary() {
            return Some(0);
        }
        let mut parts = self.parts.clone();
        let mut rest = bytes;
        while let Some(part) = parts.next(&mut rest) {
            if part == Part::Blank {
                return Some(bytes.len() - rest.len());
            }
        }
        None
    }

    /// Whether the stream ended by itself: with its terminator or an error.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Appends to `out` the end of the stream: what is open closed with `length` (`max_tokens`, `max_output_tokens`,
    /// `MAX_TOKENS`), `usage`, terminator.
    ///
    /// `include_usage` says whether an OpenAI client asked for the chunk with usage. Appends nothing and returns false
    /// when the stream ended by itself, or is not [between two events](Cutter::at_boundary).
    pub fn finish(&self, usage: &Usage, include_usage: bool, out: &mut Vec<u8>) -> bool {
        self.finish_as(End::Length, usage, include_usage, out)
    }

    /// As [`finish`](Cutter::finish), with the word for another end.
    pub fn finish_as(&self, end: End, usage: &Usage, include_usage: bool, out: &mut Vec<u8>) -> bool {
        if self.over || self.within {
            return false;
        }
        if self.after_cr {
            out.push(b'\n'); // for clients that take CRLF for one line end and a CR alone for none
        }
        match &self.inner {
            Inner::OpenAi(reading) => reading.seen.finish(end, usage, include_usage, out),
            Inner::Responses(reading) => reading.seen.finish(end, usage, out),
            Inner::Anthropic(reading) => reading.seen.finish(end, usage, out),
            Inner::Gemini(reading) => reading.seen.finish(end, usage, out),
        }
        true
    }

    fn end_event(&mut self) {
        self.in_data = false;
        if std::mem::take(&mut self.has_data) && !self.head.is_empty() {
            self.over |= self.head.as_slice() == DONE || self.inner.end();
        }
        self.head.clear();
    }
}

impl Inner {
    fn begin(&mut self) {
        match self {
            Inner::OpenAi(reading) => reading.begin(),
            Inner::Responses(reading) => reading.begin(),
            Inner::Anthropic(reading) => reading.begin(),
            Inner::Gemini(reading) => reading.begin(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Inner::OpenAi(reading) => reading.feed(bytes),
            Inner::Responses(reading) => reading.feed(bytes),
            Inner::Anthropic(reading) => reading.feed(bytes),
            Inner::Gemini(reading) => reading.feed(bytes),
        }
    }

    fn end(&mut self) -> bool {
        match self {
            Inner::OpenAi(reading) => reading.end(),
            Inner::Responses(reading) => reading.end(),
            Inner::Anthropic(reading) => reading.end(),
            Inner::Gemini(reading) => reading.end(),
        }
    }
}

/// What a format remembers of the events that passed.
trait Seen: Visitor + Default {
    /// Forgets what an event left half-read.
    fn begin_event(&mut self);
    /// Takes over what the event said, which was JSON to its end; whether the stream is over with it.
    fn end_event(&mut self) -> bool;
}

/// The scanner of the event at hand and what the events told.
#[derive(Clone, Debug)]
struct Reading<S: Seen> {
    scanner: Scanner<S::Place>,
    seen: S,
}

impl<S: Seen> Default for Reading<S> {
    fn default() -> Reading<S> {
        Reading { scanner: Scanner::new(), seen: S::default() }
    }
}

impl<S: Seen> Reading<S> {
    fn begin(&mut self) {
        self.scanner.reset();
        self.seen.begin_event();
    }

    fn feed(&mut self, bytes: &[u8]) {
        let _ = self.scanner.feed(bytes, &mut self.seen); // a fault is final: `end` hears of it again
    }

    fn end(&mut self) -> bool {
        self.scanner.finish(&mut self.seen).is_ok() && self.seen.end_event()
    }
}
