use super::items::{self, Status};
use super::open::{Call, Events, Message, Thought};
use super::response::{Ending, Response};
use super::thought;
use crate::llm::Usage;
use crate::llm::translate::BadReply;
use crate::llm::translate::emit::{Emit, compact};
use crate::llm::translate::hub::{Event, Finish, Maker, Signature};
use crate::llm::translate::stream::{WriteEvents, clip};
use arrayvec::ArrayVec;

/// The most bytes that are kept of an answer, whose end repeats all of it: what the longest answers have, twenty times.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// What an item or a part of one takes besides its text, at most.
const AROUND_BYTES: usize = 512;

/// Writes the events of a stream. Messages and thoughts are closed when something else comes; a call stays open until the
/// provider says that it is complete, for some mix the pieces of several, or until the end.
pub(crate) struct Writer {
    created_unix: u64,
    id: String,
    model: String,
    events: Events,
    /// The items so far, as JSON; empty while they are open.
    items: Vec<Vec<u8>>,
    open: Open,
    calls: ArrayVec<Call, 128>,
    /// The call that came last, while nothing else came.
    last_call: Option<usize>,
    /// Why the model refuses was said.
    explained: bool,
    /// Bytes kept so far.
    kept: usize,
}

/// The item that is open besides calls; the last one.
enum Open {
    Nothing,
    Message(Message),
    Thought(Thought),
}

impl Writer {
    pub(crate) fn new(created_unix: u64) -> Writer {
        Writer {
            created_unix,
            id: String::new(),
            model: String::new(),
            events: Events::default(),
            items: Vec::new(),
            open: Open::Nothing,
            calls: ArrayVec::new(),
            last_call: None,
            explained: false,
            kept: 0,
        }
    }

    fn keep(&mut self, bytes: usize) -> Result<(), BadReply> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept > KEPT_BYTES_MAX { Err(BadReply::TooLong) } else { Ok(()) }
    }

    /// A place among the items, and the id of what is to stand there.
    fn place(&mut self, kind: &str) -> (u64, String) {
        self.kept = self.kept.saturating_add(AROUND_BYTES + self.id.len()); // looked at with the next text
        let index = self.items.len() as u64;
        self.items.push(Vec::new());
        (index, items::id(kind, &self.id, index))
    }

    /// The message that is open, or a new one.
    fn message(&mut self, out: &mut Vec<u8>) -> Option<(&mut Message, &mut Events)> {
        if !matches!(self.open, Open::Message(_)) {
            self.close_item(Status::Completed, out);
            let (index, id) = self.place("msg");
            self.open = Open::Message(Message::new(index, id, &mut self.events, out));
        }
        match &mut self.open {
            Open::Message(message) => Some((message, &mut self.events)),
            _ => None,
        }
    }

    /// The thought that is open, or a new one.
    fn thought(&mut self, out: &mut Vec<u8>) -> Option<(&mut Thought, &mut Events)> {
        if !matches!(self.open, Open::Thought(_)) {
            self.close_item(Status::Completed, out);
            let (index, id) = self.place("rs");
            self.open = Open::Thought(Thought::new(index, id, &mut self.events, out));
        }
        match &mut self.open {
            Open::Thought(thought) => Some((thought, &mut self.events)),
            _ => None,
        }
    }

    /// A piece of a message: of its text, or of a refusal.
    fn said(&mut self, text: &str, is_refusal: bool, out: &mut Vec<u8>) -> Result<(), BadReply> {
        self.keep(text.len())?;
        if let Some((message, events)) = self.message(out)
            && message.piece(text, is_refusal, events, out)
        {
            self.keep(AROUND_BYTES)?;
        }
        Ok(())
    }

    /// What is signed is the call that came last, or else the thought.
    fn signature(&mut self, signature: Signature<'_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        match self.last_call.and_then(|number| self.calls.get_mut(number)) {
            Some(call) if signature.by == Maker::Gemini => call.sign(signature.text),
            Some(_) => return Ok(()),
            None => return self.encrypted(thought::signed(signature), out),
        }
        self.keep(signature.text.len())
    }

    fn encrypted(&mut self, pieces: thought::Encrypted<'_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        self.keep(pieces.iter().map(|piece| piece.len()).sum())?;
        if let Some((thought, _)) = self.thought(out) {
            thought.sign(pieces);
        }
        Ok(())
    }

    fn call(&mut self, id: &str, name: &str, out: &mut Vec<u8>) -> Result<(), BadReply> {
        if self.calls.is_full() {
            return Err(BadReply::TooManyToolCalls);
        }
        self.keep(id.len() + name.len())?;
        self.close_item(Status::Completed, out);
        let number = self.calls.len();
        let (index, item_id) = self.place("fc");
        self.calls.push(Call::new(index, item_id, number as u64, (id, name), &mut self.events, out));
        self.last_call = Some(number);
        Ok(())
    }

    fn arguments(&mut self, call: u32, piece: &str, out: &mut Vec<u8>) -> Result<(), BadReply> {
        self.keep(piece.len())?;
        let number = call as usize;
        if let Some(call) = self.calls.get_mut(number) {
            call.arguments(piece, &mut self.events, out);
            self.last_call = Some(number);
        }
        Ok(())
    }

    /// What came last is complete; a message may go on with another part.
    fn close(&mut self, out: &mut Vec<u8>) {
        match (self.last_call.take(), &mut self.open) {
            (Some(number), _) => self.close_call(number, Status::Completed, out),
            (None, Open::Message(message)) => message.close_part(&mut self.events, out),
            (None, _) => self.close_item(Status::Completed, out),
        }
    }

    fn close_item(&mut self, status: Status, out: &mut Vec<u8>) {
        self.last_call = None;
        let (index, item) = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Message(message) => message.close(status, &mut self.events, out),
            Open::Thought(thought) => thought.close(&mut self.events, out),
        };
        self.finished(index, item);
    }

    fn close_call(&mut self, number: usize, status: Status, out: &mut Vec<u8>) {
        let closed = self.calls.get_mut(number).and_then(|call| call.close(status, &mut self.events, out));
        if let Some((index, item)) = closed {
            self.finished(index, item);
        }
    }

    fn finished(&mut self, index: u64, item: Vec<u8>) {
        if let Some(place) = self.items.get_mut(index as usize) {
            *place = item;
        }
    }

    fn response(&self, ending: Ending) -> Response<'_> {
        Response { id: &self.id, created_unix: self.created_unix, model: &self.model, ending }
    }
}

impl WriteEvents for Writer {
    fn held_bytes(&self) -> usize {
        self.kept
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        (self.id, self.model) = (clip(id).to_owned(), clip(model).to_owned());
        let mut events = std::mem::take(&mut self.events);
        for kind in ["response.created", "response.in_progress"] {
            events.send(kind, out, |e| {
                let response = self.response(Ending::NONE);
                response.write(None, e.key("response"), |e| e.raw("[]"));
            });
        }
        self.events = events;
    }

    fn event(&mut self, event: Event<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        match event {
            Event::Text(text) => self.said(text, false, out),
            Event::Refusal(text) => {
                self.explained = true;
                self.said(text, true, out)
            }
            Event::Thinking(text) => {
                self.keep(text.len())?;
                if let Some((thought, events)) = self.thought(out) {
                    thought.piece(text, events, out);
                }
                Ok(())
            }
            Event::Signature(signature) => self.signature(signature, out),
            Event::Redacted(data) => {
                self.close_item(Status::Completed, out);
                self.encrypted(thought::redacted(data), out)?;
                self.close_item(Status::Completed, out);
                Ok(())
            }
            Event::Call { id, name, .. } => self.call(id, name, out),
            Event::Arguments { call, piece } => self.arguments(call, piece, out),
            Event::Citation(page) if !page.url.is_empty() => {
                self.keep(AROUND_BYTES + page.url.len() + page.title.len())?;
                if let Some((message, events)) = self.message(out) {
                    message.cite(&page, events, out);
                }
                Ok(())
            }
            Event::Logprobs(list) => {
                self.keep(compact(list).len())?;
                if let Some((message, events)) = self.message(out) {
                    message.logprobs(list, events, out);
                }
                Ok(())
            }
            Event::Close => {
                self.close(out);
                Ok(())
            }
            // What is cited of the client's own documents has no place here.
            _ => Ok(()),
        }
    }

    fn end(&mut self, finish: Finish, usage: Usage, out: &mut Vec<u8>) {
        let ending = Ending::of(finish, self.explained);
        let last = self.items.len() as u64;
        let status = |index: u64| if index + 1 == last { ending.status } else { Status::Completed };
        for number in 0..self.calls.len() {
            let index = self.calls.get(number).map_or(0, Call::index);
            self.close_call(number, status(index), out);
        }
        self.close_item(ending.status, out);
        let mut events = std::mem::take(&mut self.events);
        events.send(ending.event(), out, |e| {
            self.response(ending).write(Some(usage), e.key("response"), |e| write_items(&self.items, e));
        });
        self.events = events;
    }

    fn sequence(&self) -> u64 {
        self.events.next()
    }
}

fn write_items(items: &[Vec<u8>], e: &mut Emit<'_>) {
    e.elements(&items.join(&b','));
}
