//! Guards a stream event by event, so that a match that spans events is found too.

use super::answer::{self, Channel, Ends, Found, Text};
use super::open::Room;
use super::{Guard, Nesting, Rejection, text_at};
use crate::base::Span;
use crate::llm::Format;
use crate::wire::json::write;
use crate::wire::sse::{self, TooLong};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The most bytes of a text that are held back because they could begin a match. Of a match in a stream that is longer the
/// beginning passes.
pub const WINDOW_BYTES: usize = 1 << 10;

/// The most bytes of one event.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// The most bytes, and the most events, that are held back; then all that is held is judged as it stands.
const HELD_BYTES_MAX: usize = 1 << 20;
const HELD_EVENTS_MAX: usize = 1 << 12;

/// The most texts that run at once; when more do, all are judged as they stand.
const CHANNELS_MAX: usize = 256;

/// Masks the texts of a stream in the client's format, and finds what rejects it.
///
/// Call [`feed`](Masker::feed) with the bytes of the stream in order, then [`finish`](Masker::finish). Events pass in their order and
/// with what they say beside texts. One is held back while the end of its text could be the beginning of a match, and those
/// behind it with it: mostly until the next event. A mask stands in the event in which its match began. Comments, and fields
/// other than `event` and `data`, do not pass; probabilities of tokens, which spell the text out again, are taken out.
///
/// A text is at its end when its choice, block or item is, when another text of the same one goes on, and with the stream.
#[derive(Debug)]
pub struct Masker {
    guard: Arc<Guard>,
    format: Format,
    reader: sse::Reader,
    held: Held,
    channels: Vec<Running>,
    room: Room,
    rejected: Option<Arc<Rejection>>,
}

/// Events that wait, the oldest first.
#[derive(Debug, Default)]
struct Held {
    events: VecDeque<Event>,
    /// How many events went before the first of them.
    gone: u64,
    bytes: usize,
    /// Whether anything was masked yet.
    masked: bool,
}

#[derive(Debug)]
struct Event {
    name: String,
    data: Vec<u8>,
    changes: Vec<Change>,
    /// Pieces of text in it that are not judged yet.
    open: usize,
}

/// What comes in place of a value.
#[derive(Debug)]
struct Change {
    span: Span,
    to: To,
}

#[derive(Debug)]
enum To {
    /// A text, so far; `true` when it is another one than before.
    Text(String, bool),
    Json(&'static str),
}

/// A text that runs through events.
#[derive(Debug)]
struct Running {
    channel: Channel,
    /// From `begin` on what is not judged yet, before it a character for context.
    text: String,
    begin: usize,
    nesting: Nesting,
    pieces: VecDeque<Piece>,
}

/// A part of a running text that an event brought.
#[derive(Debug)]
struct Piece {
    event: u64,
    change: usize,
    left: usize,
}

impl Masker {
    /// Bytes of the events that it holds, and of the one that is coming.
    pub fn held_bytes(&self) -> usize {
        self.reader.held_bytes() + self.held.bytes
    }

    /// At the start of a stream in the client's `format`.
    pub fn new(format: Format, guard: Arc<Guard>) -> Masker {
        Masker {
            guard,
            format,
            reader: sse::Reader::new(EVENT_BYTES_MAX),
            held: Held::default(),
            channels: Vec::new(),
            room: Room::default(),
            rejected: None,
        }
    }

    /// What rejects the stream, if anything does: what was before it has passed, the rest does not.
    pub fn rejected(&self) -> Option<&Arc<Rejection>> {
        self.rejected.as_ref()
    }

    /// Whether anything was masked.
    pub fn has_masked(&self) -> bool {
        self.held.masked
    }

    /// Appends to `out` the events that may pass, with what is masked.
    ///
    /// # Errors
    /// An event is too long to be looked at. The stream cannot go on.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        while self.rejected.is_none() {
            let Some(event) = self.reader.next(&mut input)? else { return Ok(()) };
            let (name, data) = owned(&event);
            self.take(name, data);
            self.held.release(out);
        }
        Ok(())
    }

    /// The stream has ended: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let rest = self.reader.rest().map(|event| owned(&event));
        self.reader = sse::Reader::new(EVENT_BYTES_MAX);
        // What lacks its blank line is passed if it is all there; a part of an event is not.
        let is_whole =
            |data: &[u8]| data.trim_ascii() == b"[DONE]" || answer::find(self.format, data).is_some();
        if let Some((name, data)) = rest.filter(|(_, data)| self.rejected.is_none() && is_whole(data)) {
            self.take(name, data);
        }
        self.judge(&|_| true, true);
        self.held.release(out);
        self.held = Held { masked: self.held.masked, ..Held::default() };
    }

    /// Takes an event in.
    fn take(&mut self, name: String, data: Vec<u8>) {
        let found = answer::find(self.format, &data);
        // What is no JSON is a terminator, or a text that no client can read: all that was said before it is said.
        if found.as_ref().is_none_or(|found| found.ends == Ends::All) {
            self.judge(&|_| true, true);
        }
        let number = self.held.begin(name, data.len());
        let Some(Found { texts, blanks, ends }) = found else { return self.take_text(number, data) };
        let mut touched = Vec::new();
        for Text { span, channel } in texts {
            let Some(said) = text_at(&data, span).filter(|said| !said.is_empty()) else { continue };
            let Some(channel) = channel else {
                match self.guard.masked(&said) {
                    Ok(None) => {}
                    Ok(Some(masked)) => {
                        self.held.masked = true;
                        self.held.change(number, Change { span, to: To::Text(masked, true) });
                    }
                    Err(rejection) => {
                        self.judge(&|_| true, true);
                        self.rejected.get_or_insert(rejection);
                        return;
                    }
                }
                continue;
            };
            // Another text of the same group ends the one before it.
            self.judge(&|known| known.group == channel.group && known.kind != channel.kind, true);
            let change = self.held.change(number, Change { span, to: To::Text(String::new(), false) });
            self.running(channel).add(&said, Piece { event: number, change, left: said.len() });
            self.held.open(number);
            touched.push(channel);
        }
        for (span, json) in blanks {
            self.held.change(number, Change { span, to: To::Json(json) });
        }
        self.held.complete(number, data);
        if let Ends::Groups(groups) = ends {
            self.judge(&|channel| groups.contains(&channel.group), true);
        }
        match self.held.is_full() || self.channels.len() > CHANNELS_MAX {
            true => self.judge(&|_| true, true),
            false => self.judge(&|channel| touched.contains(&channel), false),
        }
    }

    /// An event that is no JSON.
    fn take_text(&mut self, number: u64, data: Vec<u8>) {
        match self.guard.masked(&String::from_utf8_lossy(&data)) {
            Ok(None) => self.held.complete(number, data),
            Ok(Some(masked)) => self.held.complete(number, masked.into_bytes()),
            Err(rejection) => self.rejected = self.rejected.take().or(Some(rejection)),
        }
    }

    /// The running text of a channel.
    fn running(&mut self, channel: Channel) -> &mut Running {
        let known = self.channels.iter().position(|running| running.channel == channel);
        let at = known.unwrap_or_else(|| {
            self.channels.push(Running {
                channel,
                text: String::new(),
                begin: 0,
                nesting: Nesting::default(),
                pieces: VecDeque::new(),
            });
            self.channels.len() - 1
        });
        &mut self.channels[at]
    }

    /// Judges what is known of these running texts: as far as no match can begin before it, or with `whole` to their end.
    fn judge(&mut self, which: &dyn Fn(Channel) -> bool, whole: bool) {
        if self.rejected.is_some() {
            return;
        }
        for running in self.channels.iter_mut().filter(|running| which(running.channel)) {
            let until =
                if whole { running.text.len() } else { running.open_from(&self.guard, &mut self.room) };
            let rejected = running.judge(&self.guard, until, &mut self.held);
            if rejected.is_some() {
                self.rejected = rejected;
                break;
            }
        }
        if whole {
            self.channels.retain(|running| !which(running.channel));
        }
    }
}

impl Running {
    fn add(&mut self, text: &str, piece: Piece) {
        self.text.push_str(text);
        self.pieces.push_back(piece);
    }

    /// From where on the text could go on to be a match.
    fn open_from(&self, guard: &Guard, room: &mut Room) -> usize {
        let text = self.text.as_bytes();
        let patterns = guard.rules.iter().map(|rule| &rule.pattern);
        let first = patterns.map(|pattern| pattern.open.first_open(text, self.begin, room)).min();
        let first = first.unwrap_or(text.len()).max(text.len().saturating_sub(WINDOW_BYTES));
        self.text.floor_char_boundary(first)
    }

    /// Judges the text up to `until`, and to the end of the last match that begins before. What rejects it, if anything does:
    /// then only what stands before that is judged.
    fn judge(&mut self, guard: &Guard, until: usize, held: &mut Held) -> Option<Arc<Rejection>> {
        let judged = guard.judge(&self.text, self.begin..until.max(self.begin));
        let (end, rejected) = match &judged.rejected {
            Some((at, rejection)) => (*at, Some(rejection.clone())),
            None => (judged.masks.last().map_or(until, |(mask, _)| mask.end.max(until)), None),
        };
        let mut at = self.begin;
        while let Some(piece) = self.pieces.front_mut().filter(|_| at < end) {
            let part: Range<usize> = at..end.min(at + piece.left);
            at = part.end;
            piece.left -= part.len();
            held.masked |= !judged.masks.is_empty();
            if let Some(event) = held.event(piece.event) {
                if let Some(Change { to: To::Text(out, changed), .. }) = event.changes.get_mut(piece.change) {
                    *changed |= guard.render(&self.text, part, &judged, &mut self.nesting, out);
                }
                event.open -= usize::from(piece.left == 0);
            }
            if piece.left == 0 {
                self.pieces.pop_front();
            }
        }
        let context = self.text.floor_char_boundary(at.saturating_sub(1));
        self.text.drain(..context);
        self.begin = at - context;
        rejected
    }
}

impl Held {
    /// An event comes; its number. It stays until it is [complete](Held::complete).
    fn begin(&mut self, name: String, bytes: usize) -> u64 {
        let number = self.gone + self.events.len() as u64;
        self.bytes += bytes;
        self.events.push_back(Event { name, data: Vec::new(), changes: Vec::new(), open: 1 });
        number
    }

    fn event(&mut self, number: u64) -> Option<&mut Event> {
        self.events.get_mut(usize::try_from(number.checked_sub(self.gone)?).ok()?)
    }

    /// Something changes in an event; the place of the change.
    fn change(&mut self, number: u64, change: Change) -> usize {
        let Some(event) = self.event(number) else { return 0 };
        event.changes.push(change);
        event.changes.len() - 1
    }

    /// A piece of text in an event is not judged yet.
    fn open(&mut self, number: u64) {
        if let Some(event) = self.event(number) {
            event.open += 1;
        }
    }

    fn complete(&mut self, number: u64, data: Vec<u8>) {
        if let Some(event) = self.event(number) {
            event.data = data;
            event.open -= 1;
        }
    }

    fn is_full(&self) -> bool {
        self.bytes > HELD_BYTES_MAX || self.events.len() > HELD_EVENTS_MAX
    }

    /// Appends the events before the first one of which something is not judged.
    fn release(&mut self, out: &mut Vec<u8>) {
        while self.events.front().is_some_and(|event| event.open == 0)
            && let Some(event) = self.events.pop_front()
        {
            self.gone += 1;
            self.bytes = self.bytes.saturating_sub(event.data.len());
            sse::write(out, &event.name, &event.changed());
        }
    }
}

fn owned(event: &sse::Event<'_>) -> (String, Vec<u8>) {
    (String::from_utf8_lossy(event.name).into_owned(), event.data.to_vec())
}

impl Event {
    /// The data with its changes.
    fn changed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len());
        let mut done = 0;
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        changes.sort_by_key(|change| change.span.start);
        for Change { span, to } in changes {
            let (start, end) = (span.start as usize, span.end as usize);
            out.extend_from_slice(self.data.get(done..start).unwrap_or_default());
            match to {
                To::Text(text, true) => write::string(&mut out, text),
                To::Text(_, false) => out.extend_from_slice(span.of(&self.data)),
                To::Json(json) => out.extend_from_slice(json.as_bytes()),
            }
            done = end;
        }
        out.extend_from_slice(self.data.get(done..).unwrap_or_default());
        out
    }
}
