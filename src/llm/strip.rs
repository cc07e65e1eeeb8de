use crate::base::Span;
use crate::wire::json::{Container, Scalar, Scanner, Visitor};
use crate::wire::sse::{Part, Parts};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Takes out of a stream of chat chunks the usage that the client did not ask for (OpenAI's format).
///
/// With `stream_options.include_usage` OpenAI sends one more chunk, whose `choices` are empty and whose `usage` is an
/// object, and puts `"usage":null` into all others (API reference, "stream_options"). The chunk goes, and the member
/// with its comma; from a chunk with both choices and usage only the member goes. All other bytes pass as they are.
///
/// Call [`feed`](UsageStripper::feed) with the bytes of the stream in order, then [`finish`](UsageStripper::finish).
/// The bytes of an event are held back until its blank line; no client could read the event before. An event of more
/// than [`HELD_BYTES_MAX`], or of several lines of data, passes as it is.
#[derive(Debug)]
pub struct UsageStripper {
    parts: Parts,
    /// What arrived of the event at hand.
    held: Vec<u8>,
    /// The event at hand is too large: it passes.
    passing: bool,
    in_data: bool,
    data_lines: usize,
    /// Where the event's data stands, from the event's first byte.
    data: Span,
}

/// Finds events that may tell usage; made once, as making it costs more than an event.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));

/// The most bytes of an event that are held back.
pub const HELD_BYTES_MAX: usize = 1 << 20;

impl UsageStripper {
    /// At the start of a stream.
    pub fn new() -> UsageStripper {
        UsageStripper {
            parts: Parts::new(),
            held: Vec::new(),
            passing: false,
            in_data: false,
            data_lines: 0,
            data: Span::default(),
        }
    }

    /// Appends to `out` what of `input`, and of what was held back, goes to the client.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut fresh = input; // from where the event at hand begins, or goes on
        let mut rest = input;
        while let Some(part) = self.parts.next(&mut rest) {
            match part {
                Part::Name => self.in_data = false,
                Part::Data => {
                    self.in_data = true;
                    self.data_lines += 1;
                }
                Part::Value(value) if self.in_data && !self.passing => {
                    let end = self.held.len() + (fresh.len() - rest.len());
                    let start =
                        if self.data.is_empty() { end - value.len() } else { self.data.start as usize };
                    self.data = Span::new(start, end);
                }
                Part::Value(_) => {}
                Part::Blank => {
                    let (event, next) = fresh.split_at(fresh.len() - rest.len());
                    self.end_event(event, out);
                    fresh = next;
                }
            }
        }
        if self.passing || self.held.len() + fresh.len() > HELD_BYTES_MAX {
            self.passing = true;
            out.append(&mut self.held);
            out.extend_from_slice(fresh);
        } else {
            self.held.extend_from_slice(fresh);
        }
    }

    /// Appends to `out` what is held back: an event that lacks its blank line.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_event(b"", out);
    }

    /// Passes on, edits or drops the event that ends with `tail`.
    fn end_event(&mut self, tail: &[u8], out: &mut Vec<u8>) {
        if self.passing || self.held.len() + tail.len() > HELD_BYTES_MAX {
            out.append(&mut self.held);
            out.extend_from_slice(tail);
        } else if self.held.is_empty() {
            self.judge(tail).pass(tail, out);
        } else {
            self.held.extend_from_slice(tail);
            self.judge(&self.held).pass(&self.held, out);
            self.held.clear();
        }
        self.passing = false;
        self.in_data = false;
        self.data_lines = 0;
        self.data = Span::default();
    }

    fn judge(&self, event: &[u8]) -> Verdict {
        let Some(data) = event.get(self.data.range()) else { return Verdict::Pass };
        if self.data_lines != 1 || USAGE.find(data).is_none() {
            return Verdict::Pass;
        }
        let mut chunk = Chunk::default();
        let mut scanner = Scanner::new();
        let scanned = scanner.feed(data, &mut chunk).and_then(|()| scanner.finish(&mut chunk));
        match (scanned, chunk.usage) {
            (Ok(()), Some(Usage::Object)) if chunk.no_choices => Verdict::Drop,
            (Ok(()), Some(_)) => chunk
                .member()
                .map_or(Verdict::Pass, |member| Verdict::Without(member.shifted(self.data.start as usize))),
            _ => Verdict::Pass,
        }
    }
}

impl Default for UsageStripper {
    fn default() -> UsageStripper {
        UsageStripper::new()
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Drop,
    /// It passes without these bytes.
    Without(Span),
}

impl Verdict {
    fn pass(self, event: &[u8], out: &mut Vec<u8>) {
        match self {
            Verdict::Pass => out.extend_from_slice(event),
            Verdict::Drop => {}
            Verdict::Without(span) => {
                out.extend_from_slice(event.get(..span.start as usize).unwrap_or_default());
                out.extend_from_slice(event.get(span.end as usize..).unwrap_or_default());
            }
        }
    }
}

/// Finds the `usage` member of a chunk and what stands around it. Offsets count from the chunk's first byte.
#[derive(Debug, Default)]
struct Chunk {
    usage: Option<Usage>,
    /// `choices` is an empty array.
    no_choices: bool,
    /// Where the member's key begins and its value ends.
    start: usize,
    end: usize,
    /// Where the member before it ends.
    end_before: Option<usize>,
    /// Where the key of the member after it begins.
    start_after: Option<usize>,
    /// Where the last member of the top level that was read ends.
    end_last: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    Null,
    Object,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    Choices,
    Usage,
    Member,
    Deeper,
}

impl Chunk {
    /// The bytes to take out so that neither a comma too many nor one too few stays.
    fn member(&self) -> Option<Span> {
        let (start, end) = match (self.start_after, self.end_before) {
            (Some(after), _) => (self.start, after),
            (None, Some(before)) => (before, self.end),
            (None, None) => (self.start, self.end),
        };
        (start < end).then(|| Span::new(start, end))
    }

    fn value(&mut self, place: Place, end: usize) {
        match place {
            Place::Usage => self.end = end,
            Place::Choices | Place::Member => {}
            Place::Top | Place::Deeper => return,
        }
        self.end_last = Some(end);
    }
}

impl Visitor for Chunk {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], at: usize) -> Place {
        if parent != Place::Top {
            return Place::Deeper;
        }
        if self.start > 0 && self.start_after.is_none() {
            self.start_after = Some(at);
        }
        match key {
            b"choices" => Place::Choices,
            b"usage" if self.start == 0 => {
                self.start = at;
                self.end_before = self.end_last;
                Place::Usage
            }
            _ => Place::Member,
        }
    }

    fn element(&mut self, _parent: Place) -> Place {
        Place::Deeper
    }

    fn close(&mut self, place: Place, container: Container, end: usize, empty: bool) {
        match (place, container) {
            (Place::Choices, Container::Array) => self.no_choices = empty,
            (Place::Usage, Container::Object) => self.usage = Some(Usage::Object),
            _ => {}
        }
        self.value(place, end);
    }

    fn string(&mut self, place: Place, _start: usize, end: usize) {
        self.value(place, end);
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, end: usize) {
        if (place, scalar) == (Place::Usage, Scalar::Null) {
            self.usage = Some(Usage::Null);
        }
        self.value(place, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn strip<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut stripper, mut out) = (UsageStripper::new(), Vec::new());
        pieces.into_iter().for_each(|piece| stripper.feed(piece, &mut out));
        stripper.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn strip_every_way(stream: &[u8]) -> String {
        let whole = strip([stream]);
        assert_eq!(strip(stream.chunks(1)), whole, "byte by byte");
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(strip([head, tail]), whole, "split at {at}");
        }
        whole
    }

    #[test]
    fn usage_goes_and_all_else_stays() {
        let rows = [
            ("data: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
            ("data: {\"choices\":[{}],\"usage\":null}\n\n", "data: {\"choices\":[{}]}\n\n"),
            (
                "data: {\"choices\":[{}],\"usage\":null,\"o\":\"x\"}\n\n",
                "data: {\"choices\":[{}],\"o\":\"x\"}\n\n",
            ),
            ("data: {\"usage\":null , \"choices\":[{}]}\n\n", "data: {\"choices\":[{}]}\n\n"),
            ("data: { \"choices\" : [1] , \"usage\" : null }\n\n", "data: { \"choices\" : [1] }\n\n"),
            ("data: {\"usage\":null}\n\n", "data: {}\n\n"),
            (
                "data: {\"choices\":[],\"usage\":{\"x\":{\"usage\":1}}}\n\ndata: [DONE]\n\n",
                "data: [DONE]\n\n",
            ),
            ("data: {\"usage\":{},\"choices\":[]}\r\n\r\ndata: [DONE]\r\n\r\n", "\ndata: [DONE]\r\n\r\n"),
            (
                "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"a\":1}}\n\n",
                "data: {\"choices\":[{\"delta\":{}}]}\n\n",
            ),
            ("data: {\"choices\":[],\"usage\":null}\n\n", "data: {\"choices\":[]}\n\n"),
            ("data: {\"x\":{\"usage\":null}}\n\n", "data: {\"x\":{\"usage\":null}}\n\n"),
            ("data: {\"x\":\"\\\"usage\\\":null\"}\n\n", "data: {\"x\":\"\\\"usage\\\":null\"}\n\n"),
            ("data: {\"usage\":7,\"choices\":[]}\n\n", "data: {\"usage\":7,\"choices\":[]}\n\n"),
            ("data: {\"usage\":null\n\n", "data: {\"usage\":null\n\n"),
            ("data: {\"a\":1,\ndata: \"usage\":null}\n\n", "data: {\"a\":1,\ndata: \"usage\":null}\n\n"),
            (": note\n\nid: 1\ndata:{\"usage\":null,\"b\":1}\n\n", ": note\n\nid: 1\ndata:{\"b\":1}\n\n"),
            ("event: x\ndata: {\"b\":1,\"usage\":null}\nid: 2\n\n", "event: x\ndata: {\"b\":1}\nid: 2\n\n"),
            ("data: [DONE]\n", "data: [DONE]\n"),
            ("data: {\"choices\":[],\"usage\":{}}\n", ""),
        ];
        for (stream, expect) in rows {
            assert_eq!(strip_every_way(stream.as_bytes()), expect, "{stream:?}");
        }
    }

    #[test]
    fn an_event_that_is_too_large_passes() {
        let huge = format!("data: {{\"usage\":null,\"x\":\"{}\"}}\n\n", "y".repeat(HELD_BYTES_MAX));
        let stream = format!("{huge}data: {{\"usage\":null,\"x\":1}}\n\n");
        let expect = format!("{huge}data: {{\"x\":1}}\n\n");
        for piece in [10_000, stream.len()] {
            assert!(strip(stream.as_bytes().chunks(piece)) == expect, "in pieces of {piece}");
        }
    }

    fn chunk() -> impl Strategy<Value = Value> {
        let usage = prop_oneof![
            Just(None),
            Just(Some(Value::Null)),
            Just(Some(json!({"prompt_tokens": 1, "completion_tokens": 2}))),
        ];
        let choices =
            prop_oneof![Just(json!([])), any::<String>().prop_map(|s| json!([{"delta": {"content": s}}]))];
        (usage, choices, any::<Option<String>>(), any::<Option<u8>>()).prop_map(|(usage, choices, a, z)| {
            let mut chunk = json!({"choices": choices});
            usage.into_iter().for_each(|usage| chunk["usage"] = usage);
            a.into_iter().for_each(|a| chunk["a"] = Value::from(a));
            z.into_iter().for_each(|z| chunk["z"] = Value::from(z));
            chunk
        })
    }

    proptest! {
        #[test]
        fn same_as_an_edit_of_the_trees(chunks in prop::collection::vec(chunk(), 0..6), piece in 1..40usize) {
            let (mut stream, mut expect) = (Vec::new(), Vec::new());
            for mut chunk in chunks {
                sse::write(&mut stream, "", chunk.to_string().as_bytes());
                let extra = chunk["choices"] == json!([]) && chunk["usage"].is_object();
                chunk.as_object_mut().unwrap().remove("usage");
                if !extra {
                    sse::write(&mut expect, "", chunk.to_string().as_bytes());
                }
            }
            prop_assert_eq!(strip(stream.chunks(piece)), String::from_utf8(expect).unwrap());
        }
    }
}
