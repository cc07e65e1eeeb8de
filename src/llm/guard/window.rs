//! Holds a stream back, window by window, until somebody has judged it.

use super::answer::{self, Channel};
use super::text_at;
use super::texts::{Known, Role, Said};
use crate::base::Span;
use crate::llm::Format;
use crate::wire::json::write;
use crate::wire::sse::{self, TooLong};

/// Bytes of text after which what is held is to be judged (agentgateway's windows are as large).
pub const JUDGED_BYTES: usize = 1 << 10;

/// The most bytes of what has passed of a text that are told with its next part.
pub const CONTEXT_BYTES: usize = 1 << 10;

/// The most bytes of one event.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// The most bytes, and the most events, that are held before they are to be judged, however little text is among them.
const HELD_BYTES_MAX: usize = 1 << 20;
const HELD_EVENTS_MAX: usize = 1 << 12;

/// The most texts of which it is known how they went before; the oldest is forgotten first.
const CONTEXTS_MAX: usize = 256;

/// A stream in the client's format, of which nothing that has a text passes before it is judged.
///
/// Call [`feed`](Window::feed) with the bytes of the stream in order and [`finish`](Window::finish) at its end; whenever
/// [`is_due`](Window::is_due) says so, have [`question`](Window::question) judged and hand what came of it to
/// [`judged`](Window::judged). Events pass in their order. Comments, fields other than `event` and `data`, and data that is no JSON
/// but the terminator do not pass; probabilities of tokens, which spell the text out again, are taken out.
#[derive(Debug)]
pub struct Window {
    format: Format,
    reader: sse::Reader,
    /// From the first that has a text on.
    held: Vec<Event>,
    bytes: usize,
    text_bytes: usize,
    /// How texts ended that have passed and may go on.
    contexts: Vec<(Channel, String)>,
    asked: Vec<Said>,
    is_over: bool,
}

#[derive(Debug)]
struct Event {
    name: String,
    data: Vec<u8>,
    texts: Vec<Piece>,
    blanks: Vec<(Span, &'static str)>,
}

#[derive(Debug)]
struct Piece {
    span: Span,
    channel: Option<Channel>,
    text: String,
    /// Its place in the question, and whether it is the first there.
    asked: (usize, bool),
}

impl Window {
    /// At the start of a stream in the client's `format`.
    pub fn new(format: Format) -> Window {
        Window {
            format,
            reader: sse::Reader::new(EVENT_BYTES_MAX),
            held: Vec::new(),
            bytes: 0,
            text_bytes: 0,
            contexts: Vec::new(),
            asked: Vec::new(),
            is_over: false,
        }
    }

    /// Bytes of the events that it holds, of the one that is coming, and of what is asked about.
    pub fn held_bytes(&self) -> usize {
        self.reader.held_bytes() + self.bytes + self.text_bytes
    }

    /// Takes the next bytes; appends to `out` the events that have no text and none before them that is held.
    ///
    /// # Errors
    /// An event is too long to be looked at. The stream cannot go on.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        while let Some(event) = self.reader.next(&mut input)? {
            let (name, data) = (String::from_utf8_lossy(event.name).into_owned(), event.data.to_vec());
            self.take(name, data, out);
        }
        Ok(())
    }

    /// The stream has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let rest = self.reader.rest();
        let rest = rest.map(|event| (String::from_utf8_lossy(event.name).into_owned(), event.data.to_vec()));
        self.reader = sse::Reader::new(EVENT_BYTES_MAX);
        // What lacks its blank line is taken if it is all there; a part of an event is not.
        if let Some((name, data)) = rest {
            self.take(name, data, out);
        }
        self.is_over = true;
    }

    fn take(&mut self, name: String, data: Vec<u8>, out: &mut Vec<u8>) {
        let is_end = data.trim_ascii() == b"[DONE]";
        let found = match answer::find(self.format, &data) {
            Some(found) => found,
            None if is_end => Default::default(),
            None => return,
        };
        let piece = |text: &answer::Text| {
            let said = text_at(&data, text.span).filter(|said| !said.is_empty())?.into_owned();
            Some(Piece { span: text.span, channel: text.channel, text: said, asked: (0, false) })
        };
        let texts: Vec<Piece> = found.texts.iter().filter_map(piece).collect();
        let event = Event { name, data, texts, blanks: found.blanks };
        if self.held.is_empty() && event.texts.is_empty() {
            return sse::write(out, &event.name, &event.changed(&[], &[]));
        }
        self.bytes += event.data.len();
        self.text_bytes += event.texts.iter().map(|piece| piece.text.len()).sum::<usize>();
        self.held.push(event);
    }

    /// Whether what is held is to be judged now.
    pub fn is_due(&self) -> bool {
        let is_full = self.text_bytes >= JUDGED_BYTES
            || self.bytes >= HELD_BYTES_MAX
            || self.held.len() >= HELD_EVENTS_MAX;
        !self.held.is_empty() && (is_full || self.is_over)
    }

    /// The texts that are held, each with how it went before. Texts that are the same stand there once.
    pub fn question(&mut self) -> Vec<Said> {
        let mut asked: Vec<Said> = Vec::new();
        let mut running: Vec<(Channel, usize)> = Vec::new();
        for piece in self.held.iter_mut().flat_map(|event| &mut event.texts) {
            let Some(channel) = piece.channel else { continue };
            if let Some((_, place)) = running.iter().find(|(other, _)| *other == channel) {
                piece.asked = (*place, false);
                asked.get_mut(*place).into_iter().for_each(|said| said.text.push_str(&piece.text));
                continue;
            }
            let before = self.contexts.iter().find(|(other, _)| *other == channel);
            let mut text = before.map(|(_, text)| text.clone()).unwrap_or_default();
            let passed = text.len();
            text.push_str(&piece.text);
            piece.asked = (asked.len(), true);
            running.push((channel, asked.len()));
            asked.push(Said { role: Role::Assistant, text, passed });
        }
        // Responses say at its end again what ran through events.
        let mut known = Known::of(&asked);
        for piece in
            self.held.iter_mut().flat_map(|event| &mut event.texts).filter(|piece| piece.channel.is_none())
        {
            let said = Said { role: Role::Assistant, text: piece.text.clone(), passed: 0 };
            piece.asked = (known.place(said, &mut asked), true);
        }
        self.asked.clone_from(&asked);
        asked
    }

    /// Appends all that is held, with the texts as they are in `said` now, which is the last
    /// [`question`](Window::question) with another text where something is masked. Of a text that ran through events the new one
    /// stands where it began.
    pub fn judged(&mut self, said: &[Said], out: &mut Vec<u8>) {
        for event in std::mem::take(&mut self.held) {
            sse::write(out, &event.name, &event.changed(&self.asked, said));
            for piece in event.texts.iter().filter(|piece| piece.asked.1) {
                if let (Some(channel), Some(said)) = (piece.channel, said.get(piece.asked.0)) {
                    self.remember(channel, &said.text);
                }
            }
        }
        self.asked.clear();
        (self.bytes, self.text_bytes) = (0, 0);
    }

    fn remember(&mut self, channel: Channel, text: &str) {
        self.contexts.retain(|(other, _)| *other != channel);
        if self.contexts.len() >= CONTEXTS_MAX {
            self.contexts.remove(0);
        }
        let from = text.ceil_char_boundary(text.len().saturating_sub(CONTEXT_BYTES));
        self.contexts.push((channel, text.get(from..).unwrap_or_default().to_owned()));
    }

    /// Drops what is held and has texts, unjudged; appends the rest of it.
    pub fn drop_held(&mut self, out: &mut Vec<u8>) {
        for event in std::mem::take(&mut self.held).iter().filter(|event| event.texts.is_empty()) {
            sse::write(out, &event.name, &event.changed(&[], &[]));
        }
        (self.bytes, self.text_bytes) = (0, 0);
    }
}

impl Event {
    /// The data with the texts of `said` where they differ from those of `asked`.
    fn changed(&self, asked: &[Said], said: &[Said]) -> Vec<u8> {
        let mut changes: Vec<(Span, Option<&str>, &str)> = Vec::new();
        for Piece { span, asked: (place, is_first), .. } in &self.texts {
            if let (Some(before), Some(now)) = (asked.get(*place), said.get(*place))
                && before.text != now.text
            {
                let now = now.text.get(now.passed..).unwrap_or_default();
                changes.push((*span, Some(if *is_first { now } else { "" }), ""));
            }
        }
        changes.extend(self.blanks.iter().map(|(span, empty)| (*span, None, *empty)));
        changes.sort_by_key(|(span, ..)| span.start);
        let mut out = Vec::with_capacity(self.data.len());
        let mut done = 0;
        for (span, text, json) in changes {
            out.extend_from_slice(self.data.get(done..span.start as usize).unwrap_or_default());
            match text {
                Some(text) => write::string(&mut out, text),
                None => out.extend_from_slice(json.as_bytes()),
            }
            done = span.end as usize;
        }
        out.extend_from_slice(self.data.get(done..).unwrap_or_default());
        out
    }
}
