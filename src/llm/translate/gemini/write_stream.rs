use super::grounding::{self, CITATIONS_MAX, Cited, Ruler};
use super::logprobs;
use super::signature::is_base64;
use super::stream::CALLS_MAX;
use super::write_reply::{finish_reason, write_call, write_thought};
use crate::llm::Usage;
use crate::llm::translate::BadReply;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Citation, Event, Finish, Json, Maker, Signature};
use crate::llm::translate::stream::{WriteEvents, clip};
use crate::llm::translate::usage;

/// The most bytes of arguments that a stream's calls may have while they are collected.
const ARGUMENTS_MAX: usize = 4 << 20;

/// The longest signature that is handed on; Google's own have a few kilobytes.
const SIGNATURE_MAX: usize = 64 << 10;

/// Writes the events of a stream. Text and thoughts go out as they come; a call goes out whole, when it is closed or at
/// the end. One that ends in the middle of its arguments is left out if the answer does: nobody is to run it. The last event has the finish reason, usage, and what the answer is based on.
#[derive(Default)]
pub(crate) struct Writer {
    /// What every event ends with: the model and the answer's id.
    tail: Vec<u8>,
    /// Calls that are not told yet, and how many there were.
    calls: Vec<Call>,
    called: u32,
    /// Bytes of arguments of the calls that are not told.
    held: usize,
    /// Whether a thought came last, and its signature as far as it is known.
    in_thought: bool,
    signature: String,
    signed_by: Option<Maker>,
    text: Ruler,
    /// Where the text that came last begins; `None` when something else came last.
    text_start: Option<u64>,
    cited: Vec<Source>,
}

#[derive(Default)]
struct Call {
    number: u32,
    id: String,
    name: String,
    arguments: String,
    signature: String,
}

/// A citation with bytes as its place.
struct Source {
    url: String,
    title: String,
    start: u64,
    end: u64,
}

impl Writer {
    /// An event with one part, and what stands beside the content.
    fn chunk(&self, out: &mut Vec<u8>, part: impl FnOnce(&mut Emit<'_>), beside: impl FnOnce(&mut Emit<'_>)) {
        out.extend_from_slice(b"data: ");
        let e = &mut Emit::new(out);
        e.open(b'{');
        self.candidate(part, beside, e);
        self.close_event(out);
    }

    fn candidate(
        &self,
        part: impl FnOnce(&mut Emit<'_>),
        beside: impl FnOnce(&mut Emit<'_>),
        e: &mut Emit<'_>,
    ) {
        e.key("candidates").array(|e| {
            e.object(|e| {
                e.key("content").object(|e| {
                    e.key("parts").array(part);
                    e.key("role").str("model");
                });
                beside(e);
                e.key("index").u64(0);
            });
        });
    }

    fn close_event(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tail);
        out.extend_from_slice(b"}\n\n");
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.end_thought(out);
        self.text_start.get_or_insert(self.text.bytes());
        self.text.add(text);
        self.chunk(out, |e| e.object(|e| e.key("text").str(text)), |_| {});
    }

    /// A thought is over; its signature comes behind it, in a part of its own.
    fn end_thought(&mut self, out: &mut Vec<u8>) {
        self.in_thought = false;
        let (text, by) = (std::mem::take(&mut self.signature), self.signed_by.take());
        if let Some(by) = by.filter(|_| !text.is_empty() && is_base64(&text)) {
            let signature = Signature { by, text: &text };
            self.chunk(out, |e| e.object(|e| write_thought("", signature, e)), |_| {});
        }
    }

    fn arguments(&mut self, call: u32, piece: &str) -> Result<(), BadReply> {
        let Some(open) = self.calls.iter_mut().find(|open| open.number == call) else { return Ok(()) };
        self.held += piece.len();
        if self.held > ARGUMENTS_MAX {
            return Err(BadReply::TooLong);
        }
        open.arguments.push_str(piece);
        Ok(())
    }

    /// Tells the calls that are complete.
    fn tell_calls(&mut self, out: &mut Vec<u8>) {
        let complete = |call: &mut Call| Json::Text(&call.arguments).object().is_some();
        let calls: Vec<Call> = self.calls.extract_if(.., complete).collect();
        calls.iter().for_each(|call| self.tell(call, out));
    }

    fn tell(&mut self, call: &Call, out: &mut Vec<u8>) {
        let Call { number, id, name, arguments, signature } = call;
        let write = |e: &mut Emit<'_>| {
            write_call(id, u64::from(*number), name, Json::Text(arguments), signature, e);
        };
        self.chunk(out, write, |_| {});
        self.held -= arguments.len();
    }

    /// Without a place it is the whole of the text that came last.
    fn cite(&mut self, page: &Citation<'_>) {
        let Some((url, title)) = grounding::cited_page(page) else { return };
        if self.cited.len() >= CITATIONS_MAX {
            return;
        }
        let place = page.span.and_then(|(start, end)| self.text.byte(start).zip(self.text.byte(end)));
        let (start, end) = place.unwrap_or((self.text_start.unwrap_or_default(), self.text.bytes()));
        self.cited.push(Source { url: url.to_owned(), title: title.to_owned(), start, end });
    }
}

impl WriteEvents for Writer {
    fn held_bytes(&self) -> usize {
        self.held
    }

    fn start(&mut self, id: &str, model: &str, _: &mut Vec<u8>) {
        let e = &mut Emit::inside(&mut self.tail, true);
        e.key("modelVersion").str(clip(model));
        e.key("responseId").str(clip(id));
    }

    fn event(&mut self, event: Event<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        match event {
            Event::Text(text) | Event::Refusal(text) => self.text(text, out),
            Event::Thinking(text) => {
                (self.in_thought, self.text_start) = (true, None);
                self.chunk(out, |e| e.object(|e| write_thought(text, Signature::NONE, e)), |_| {});
            }
            Event::Signature(Signature { by, text: piece }) => {
                let signature = match self.calls.last_mut() {
                    _ if self.in_thought => {
                        self.signed_by = Some(by);
                        &mut self.signature
                    }
                    Some(call) if by == Maker::Gemini => &mut call.signature,
                    _ => return Ok(()),
                };
                if signature.len() + piece.len() <= SIGNATURE_MAX {
                    signature.push_str(piece);
                }
            }
            Event::Call { call, id, name } => {
                self.end_thought(out);
                self.text_start = None;
                if self.called >= CALLS_MAX {
                    return Err(BadReply::TooManyToolCalls);
                }
                let (id, name) = (clip(id).to_owned(), clip(name).to_owned());
                self.calls.push(Call { number: call, id, name, ..Call::default() });
                self.called += 1;
            }
            Event::Arguments { call, piece } => return self.arguments(call, piece),
            Event::Citation(page) => self.cite(&page),
            Event::Logprobs(list) => self.chunk(
                out,
                |e| e.object(|e| e.key("text").str("")),
                |e| logprobs::write_result([list].into_iter(), e),
            ),
            Event::Close => {
                self.end_thought(out);
                self.tell_calls(out);
                self.text_start = None;
            }
            // Encrypted thoughts have no place in a part; a seal comes before what it is repeated with.
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, finish: Finish, usage: Usage, out: &mut Vec<u8>) {
        self.end_thought(out);
        if finish == Finish::Length {
            self.calls.retain(|call| !call.arguments.is_empty()); // the one that was cut before they came
        }
        self.tell_calls(out);
        if finish != Finish::Length {
            std::mem::take(&mut self.calls).iter().for_each(|call| self.tell(call, out));
        }
        let cited: Vec<Cited<'_>> = self.cited.iter().map(Source::cited).collect();
        out.extend_from_slice(b"data: ");
        let e = &mut Emit::new(out);
        e.open(b'{');
        self.candidate(
            |e| e.object(|e| e.key("text").str("")),
            |e| {
                e.key("finishReason").str(finish_reason(finish));
                grounding::write(&cited, e);
            },
            e,
        );
        e.key("usageMetadata");
        usage::to_gemini(usage, e);
        self.close_event(out);
    }
}

impl Source {
    fn cited(&self) -> Cited<'_> {
        let Source { url, title, start, end } = self;
        Cited { url, title, part: 0, start: *start, end: *end, text: "" }
    }
}
