//! Items of a stream that are open: what they send as their pieces come, and what is kept for their end.

use super::items::{self, Status};
use super::reply::spanned;
use super::thought;
use crate::llm::translate::emit::{Emit, event};
use crate::llm::translate::hub::Citation;
use crate::llm::translate::read::Value;

/// Sends events, which are numbered from 0.
#[derive(Default)]
pub(super) struct Events {
    next: u64,
}

impl Events {
    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn send(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Emit<'_>)) {
        event(kind, out, |e| {
            e.key("sequence_number").u64(self.next);
            members(e);
        });
        self.next += 1;
    }

    /// An event about an item as a whole.
    fn item(&mut self, kind: &str, index: u64, item: &[u8], out: &mut Vec<u8>) {
        self.send(kind, out, |e| {
            e.key("output_index").u64(index);
            e.key("item").written(item);
        });
    }

    /// An event about what is at `place`.
    fn at(
        &mut self,
        kind: &str,
        place: &Place,
        part: Option<(&str, u64)>,
        out: &mut Vec<u8>,
        members: impl FnOnce(&mut Emit<'_>),
    ) {
        self.send(kind, out, |e| {
            e.key("item_id").str(&place.id);
            e.key("output_index").u64(place.index);
            if let Some((name, part)) = part {
                e.key(name).u64(part);
            }
            members(e);
        });
    }
}

/// Where an item stands among the others, and its id.
struct Place {
    index: u64,
    id: String,
}

fn json(write: impl FnOnce(&mut Emit<'_>)) -> Vec<u8> {
    let mut json = Vec::new();
    write(&mut Emit::new(&mut json));
    json
}

/// A message of the model's.
pub(super) struct Message {
    place: Place,
    /// The parts that are complete, as JSON.
    parts: Vec<Vec<u8>>,
    part: Option<Part>,
}

/// A part of a message.
#[derive(Default)]
struct Part {
    is_refusal: bool,
    text: String,
    /// Pages, to be told when the text that is based on them is complete.
    pages: Vec<Page>,
    /// Tokens with their probabilities, as the elements of a list.
    logprobs: Vec<u8>,
}

struct Page {
    url: String,
    title: String,
    span: Option<(u64, u64)>,
}

impl Message {
    pub(super) fn new(index: u64, id: String, events: &mut Events, out: &mut Vec<u8>) -> Message {
        let item = json(|e| items::write_message(&id, Status::InProgress, e, |_| {}));
        events.item("response.output_item.added", index, &item, out);
        Message { place: Place { index, id }, parts: Vec::new(), part: None }
    }

    /// The part that is open, if it is of this kind, or a new one; true when it is new.
    fn open(&mut self, is_refusal: bool, events: &mut Events, out: &mut Vec<u8>) -> bool {
        if self.part.as_ref().is_some_and(|part| part.is_refusal == is_refusal) {
            return false;
        }
        self.close_part(events, out);
        let part = Part { is_refusal, ..Part::default() };
        events.at("response.content_part.added", &self.place, self.number(), out, |e| {
            part.write(&[], e.key("part"));
        });
        self.part = Some(part);
        true
    }

    /// The number of the part that is open, or would be.
    fn number(&self) -> Option<(&'static str, u64)> {
        Some(("content_index", self.parts.len() as u64))
    }

    /// More of a text or of a refusal; true when it begins a part.
    pub(super) fn piece(
        &mut self,
        piece: &str,
        is_refusal: bool,
        events: &mut Events,
        out: &mut Vec<u8>,
    ) -> bool {
        let is_new = self.open(is_refusal, events, out);
        let number = self.number();
        if let Some(part) = &mut self.part {
            part.text.push_str(piece);
        }
        if is_refusal {
            events.at("response.refusal.delta", &self.place, number, out, |e| e.key("delta").str(piece));
        } else {
            events.at("response.output_text.delta", &self.place, number, out, |e| {
                e.key("delta").str(piece);
                e.key("logprobs").raw("[]");
            });
        }
        is_new
    }

    /// The text, or what comes of it, is based on a page.
    pub(super) fn cite(&mut self, page: &Citation<'_>, events: &mut Events, out: &mut Vec<u8>) {
        self.open(false, events, out);
        if let Some(part) = &mut self.part {
            part.pages.push(Page { url: page.url.to_owned(), title: page.title.to_owned(), span: page.span });
        }
    }

    /// The tokens of the text that came: an event of their own without text.
    pub(super) fn logprobs(&mut self, list: Value<'_, '_>, events: &mut Events, out: &mut Vec<u8>) {
        self.open(false, events, out);
        let number = self.number();
        if let Some(part) = &mut self.part {
            for token in list.elements() {
                let comma = !part.logprobs.is_empty();
                Emit::inside(&mut part.logprobs, comma).value(token);
            }
        }
        events.at("response.output_text.delta", &self.place, number, out, |e| {
            e.key("delta").str("");
            e.key("logprobs").value(list);
        });
    }

    pub(super) fn close_part(&mut self, events: &mut Events, out: &mut Vec<u8>) {
        let Some(part) = self.part.take() else { return };
        let (place, number) = (&self.place, self.number());
        let pages = part.pages();
        for (index, page) in pages.iter().enumerate() {
            events.at("response.output_text.annotation.added", place, number, out, |e| {
                e.key("annotation_index").u64(index as u64);
                items::write_annotation(page, e.key("annotation"));
            });
        }
        if part.is_refusal {
            events.at("response.refusal.done", place, number, out, |e| e.key("refusal").str(&part.text));
        } else {
            events.at("response.output_text.done", place, number, out, |e| {
                e.key("text").str(&part.text);
                e.key("logprobs").elements(&part.logprobs);
            });
        }
        let written = json(|e| part.write(&pages, e));
        events.at("response.content_part.done", place, number, out, |e| e.key("part").written(&written));
        self.parts.push(written);
    }

    /// Its place and its JSON.
    pub(super) fn close(mut self, status: Status, events: &mut Events, out: &mut Vec<u8>) -> (u64, Vec<u8>) {
        self.close_part(events, out);
        let Place { index, id } = &self.place;
        let item = json(|e| {
            items::write_message(id, status, e, |e| self.parts.iter().for_each(|part| e.written(part)));
        });
        events.item("response.output_item.done", *index, &item, out);
        (*index, item)
    }
}

impl Part {
    fn pages(&self) -> Vec<Citation<'_>> {
        let chars = self.text.chars().count() as u64;
        let cited = self.pages.iter().map(|page| {
            let Page { url, title, span } = page;
            spanned(&Citation { url, title, quote: "", span: *span }, chars)
        });
        cited.collect()
    }

    fn write(&self, pages: &[Citation<'_>], e: &mut Emit<'_>) {
        if self.is_refusal {
            return items::write_refusal(&self.text, e);
        }
        items::write_text(
            &self.text,
            |e| e.array(|e| pages.iter().for_each(|page| items::write_annotation(page, e))),
            |e| e.elements(&self.logprobs),
            e,
        );
    }
}

/// What the model thinks.
pub(super) struct Thought {
    place: Place,
    text: String,
    encrypted: String,
}

/// A thought has one part.
const SUMMARY: Option<(&str, u64)> = Some(("summary_index", 0));

impl Thought {
    pub(super) fn new(index: u64, id: String, events: &mut Events, out: &mut Vec<u8>) -> Thought {
        let item = json(|e| items::write_thought(&id, "", thought::UNSIGNED, e));
        events.item("response.output_item.added", index, &item, out);
        Thought { place: Place { index, id }, text: String::new(), encrypted: String::new() }
    }

    pub(super) fn piece(&mut self, piece: &str, events: &mut Events, out: &mut Vec<u8>) {
        if self.text.is_empty() {
            events.at("response.reasoning_summary_part.added", &self.place, SUMMARY, out, |e| {
                thought::write_summary("", e.key("part"));
            });
        }
        self.text.push_str(piece);
        events.at("response.reasoning_summary_text.delta", &self.place, SUMMARY, out, |e| {
            e.key("delta").str(piece);
        });
    }

    /// More of what is encrypted; what stands before it stands there once.
    pub(super) fn sign(&mut self, pieces: thought::Encrypted<'_>) {
        match (self.encrypted.is_empty(), pieces) {
            (true, pieces) => self.encrypted.extend(pieces),
            (false, [.., more]) => self.encrypted.push_str(more),
        }
    }

    /// Its place and its JSON.
    pub(super) fn close(self, events: &mut Events, out: &mut Vec<u8>) -> (u64, Vec<u8>) {
        if !self.text.is_empty() {
            events.at("response.reasoning_summary_text.done", &self.place, SUMMARY, out, |e| {
                e.key("text").str(&self.text);
            });
            events.at("response.reasoning_summary_part.done", &self.place, SUMMARY, out, |e| {
                thought::write_summary(&self.text, e.key("part"));
            });
        }
        let Place { index, id } = &self.place;
        let item = json(|e| items::write_thought(id, &self.text, ["", "", "", &self.encrypted], e));
        events.item("response.output_item.done", *index, &item, out);
        (*index, item)
    }
}

/// A call of a tool.
pub(super) struct Call {
    place: Place,
    number: u64,
    call_id: String,
    name: String,
    arguments: String,
    signature: String,
    is_open: bool,
}

impl Call {
    pub(super) fn new(
        index: u64,
        id: String,
        number: u64,
        (call_id, name): (&str, &str),
        events: &mut Events,
        out: &mut Vec<u8>,
    ) -> Call {
        let call = Call {
            place: Place { index, id },
            number,
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
            signature: String::new(),
            is_open: true,
        };
        events.item("response.output_item.added", index, &call.json(Status::InProgress), out);
        call
    }

    /// Its place among the items.
    pub(super) fn index(&self) -> u64 {
        self.place.index
    }

    pub(super) fn arguments(&mut self, piece: &str, events: &mut Events, out: &mut Vec<u8>) {
        if self.is_open {
            self.arguments.push_str(piece);
            events.at("response.function_call_arguments.delta", &self.place, None, out, |e| {
                e.key("delta").str(piece);
            });
        }
    }

    /// More of its signature.
    pub(super) fn sign(&mut self, piece: &str) {
        self.signature.push_str(piece);
    }

    /// Its place and its JSON; `None` if it was closed already. A complete one without arguments has those of an empty
    /// object, which clients can parse.
    pub(super) fn close(
        &mut self,
        status: Status,
        events: &mut Events,
        out: &mut Vec<u8>,
    ) -> Option<(u64, Vec<u8>)> {
        if !self.is_open {
            return None;
        }
        if self.arguments.is_empty() && status == Status::Completed {
            self.arguments("{}", events, out);
        }
        self.is_open = false;
        events.at("response.function_call_arguments.done", &self.place, None, out, |e| {
            e.key("arguments").str(&self.arguments);
        });
        let item = self.json(status);
        events.item("response.output_item.done", self.place.index, &item, out);
        (self.arguments, self.signature) = (String::new(), String::new()); // they are in the item
        Some((self.place.index, item))
    }

    fn json(&self, status: Status) -> Vec<u8> {
        let call = items::Call {
            call_id: &self.call_id,
            number: self.number,
            name: &self.name,
            arguments: &self.arguments,
            signature: &self.signature,
        };
        json(|e| items::write_call(&self.place.id, status, &call, e))
    }
}
