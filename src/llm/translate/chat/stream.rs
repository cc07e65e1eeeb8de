use super::reply::{finish_of, finish_reason, reasoning, texts};
use crate::llm::Usage;
use crate::llm::translate::emit::{Emit, escape};
use crate::llm::translate::hub::openai::{citation, signature, write_citation, write_signature};
use crate::llm::translate::hub::{Event, Finish, Maker, Signature, write_call_id};
use crate::llm::translate::read::Value;
use crate::llm::translate::stream::{ReadEvents, Sink, StreamTerms, WriteEvents, clip};
use crate::llm::translate::{BadReply, usage};
use arrayvec::{ArrayString, ArrayVec};

/// The index of calls that come without one.
const NO_INDEX: u64 = u64::MAX;

/// Reads the chunks of a stream; of several choices the first.
#[derive(Default)]
pub(crate) struct Reader {
    /// The calls so far, in the order in which they began.
    calls: ArrayVec<Call, 128>,
}

/// How the pieces of a call are known to be its own.
struct Call {
    index: u64,
    /// The first bytes of its id: a provider that numbers all its calls 0 tells them apart by id.
    id: ArrayString<64>,
}

impl ReadEvents for Reader {
    fn read(&mut self, _: &str, chunk: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        if chunk.get("error").is_some() {
            return to(Event::Fail(chunk));
        }
        let mut choices = chunk.get("choices").into_iter().flat_map(Value::elements);
        let first = choices.find(|choice| choice.get("index").is_none_or(|index| index.u64() == Some(0)));
        let Some(choice) = first else { return Ok(()) };
        to(Event::Start { id: chunk.text("id"), model: chunk.text("model") })?;
        if let Some(delta) = choice.get("delta") {
            self.delta(delta, to)?;
        }
        if let Some(logprobs) = choice.get("logprobs").and_then(|logprobs| logprobs.get("content")) {
            to(Event::Logprobs(logprobs))?;
        }
        match choice.text("finish_reason") {
            "" => Ok(()),
            reason => to(Event::Finish(finish_of(reason))),
        }
    }
}

impl Reader {
    fn delta(&mut self, delta: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        match reasoning(delta) {
            "" => {}
            thought => to(Event::Thinking(thought))?,
        }
        for text in texts(delta.get("content")) {
            to(Event::Text(text))?;
        }
        match delta.text("refusal") {
            "" => {}
            refusal => to(Event::Refusal(refusal))?,
        }
        let annotations = delta.get("annotations").into_iter().flat_map(Value::elements);
        for cited in annotations.filter_map(|annotation| annotation.get("url_citation")) {
            to(Event::Citation(citation(cited)))?;
        }
        for call in delta.get("tool_calls").into_iter().flat_map(Value::elements) {
            let function = call.get("function");
            let index = call.get("index").and_then(Value::u64);
            self.call(index, call.text("id"), function, to)?;
            match signature(call) {
                "" => {}
                text => to(Event::Signature(Signature { by: Maker::Gemini, text }))?,
            }
        }
        match delta.get("function_call") {
            Some(function) => self.call(Some(0), "", Some(function), to),
            None => Ok(()),
        }
    }

    /// A piece of a call: without an index the id tells the calls apart, and what has neither belongs to the last.
    fn call(
        &mut self,
        index: Option<u64>,
        id: &str,
        function: Option<Value<'_, '_>>,
        to: &mut Sink<'_>,
    ) -> Result<(), BadReply> {
        let index = match index {
            Some(index) => index,
            None if id.is_empty() => self.calls.last().map_or(NO_INDEX, |last| last.index),
            None => NO_INDEX,
        };
        let of = |name: &str| function.map_or("", |function| function.text(name));
        let same_id = |call: &Call| id.is_empty() || call.id.is_empty() || call.id.as_str() == head(id);
        let known = self.calls.iter().rposition(|call| call.index == index && same_id(call));
        let number = known.unwrap_or(self.calls.len());
        let call = u32::try_from(number).unwrap_or(u32::MAX);
        if known.is_none() {
            let kept = ArrayString::from(head(id)).unwrap_or_default();
            self.calls.try_push(Call { index, id: kept }).map_err(|_| BadReply::TooManyToolCalls)?;
            to(Event::Call { call, id, name: of("name") })?;
        }
        match of("arguments") {
            "" => Ok(()),
            piece => to(Event::Arguments { call, piece }),
        }
    }
}

/// As much of an id as is kept to tell calls apart.
fn head(id: &str) -> &str {
    id.get(..id.floor_char_boundary(64)).unwrap_or(id)
}

/// Writes the chunks of a stream. The chunk with the finish reason, the one with usage if the client asked for
/// it, and the terminator are the end.
pub(crate) struct Writer {
    terms: StreamTerms,
    /// What every chunk begins with, up to its choices: id, object, created and model are the same in all.
    head: Vec<u8>,
    /// The call that came last, while nothing else came, and whether some of its arguments were sent.
    open: Option<(u32, bool)>,
}

impl Writer {
    pub(crate) fn new(terms: StreamTerms) -> Writer {
        Writer { terms, head: Vec::new(), open: None }
    }

    /// A call without arguments ends as the empty object, which clients can parse.
    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((call, false)) = self.open.take() {
            self.arguments(call, "{}", out);
        }
    }

    /// A chunk whose delta is one string member; the path that nearly every event takes.
    fn piece(&mut self, member: &str, text: &str, out: &mut Vec<u8>) {
        self.close(out);
        self.chunk(out, None, None, |e| e.key(member).str(text));
    }

    fn call(&mut self, call: u32, id: &str, name: &str, out: &mut Vec<u8>) {
        self.close(out);
        self.open = Some((call, false));
        self.chunk(out, None, None, |e| {
            write_call(e, call, |e| {
                write_call_id(id, u64::from(call), e.key("id"));
                e.key("type").str("function");
                e.key("function").object(|e| {
                    e.key("name").str(name);
                    e.key("arguments").str("");
                });
            });
        });
    }

    fn arguments(&mut self, call: u32, piece: &str, out: &mut Vec<u8>) {
        self.chunk(out, None, None, |e| {
            write_call(e, call, |e| e.key("function").object(|e| e.key("arguments").str(piece)));
        });
    }

    fn chunk(
        &mut self,
        out: &mut Vec<u8>,
        finish: Option<Finish>,
        logprobs: Option<Value<'_, '_>>,
        delta: impl FnOnce(&mut Emit<'_>),
    ) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#","choices":[{"index":0,"delta":"#);
        Emit::new(out).object(delta);
        out.extend_from_slice(br#","logprobs":"#);
        match logprobs {
            Some(content) => Emit::new(out).object(|e| e.key("content").value(content)),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","finish_reason":"#);
        match finish {
            Some(finish) => {
                out.push(b'"');
                escape(finish_reason(finish), out);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}]");
        if self.terms.include_usage {
            out.extend_from_slice(br#","usage":null"#);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

impl WriteEvents for Writer {
    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        let e = &mut Emit::new(&mut self.head);
        e.open(b'{');
        e.key("id").str(clip(id));
        e.key("object").str("chat.completion.chunk");
        e.key("created").u64(self.terms.created_unix);
        e.key("model").str(clip(model));
        self.chunk(out, None, None, |e| {
            e.key("role").str("assistant");
            e.key("content").str("");
        });
    }

    fn event(&mut self, event: Event<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        match event {
            Event::Text(text) => self.piece("content", text, out),
            Event::Thinking(text) => self.piece("reasoning_content", text, out),
            Event::Refusal(text) => self.piece("refusal", text, out),
            Event::Call { call, id, name } => self.call(call, id, name, out),
            Event::Arguments { call, piece } => {
                if let Some((open, has_arguments)) = &mut self.open {
                    *has_arguments |= *open == call;
                }
                self.arguments(call, piece, out);
            }
            Event::Signature(signature) if signature.by == Maker::Gemini => {
                if let Some((call, _)) = self.open {
                    self.chunk(out, None, None, |e| {
                        write_call(e, call, |e| write_signature(signature.text, e))
                    });
                }
            }
            Event::Citation(page) if !page.url.is_empty() => self.chunk(out, None, None, |e| {
                e.key("annotations").array(|e| {
                    e.object(|e| {
                        e.key("type").str("url_citation");
                        e.key("url_citation").object(|e| write_citation(&page, e));
                    });
                });
            }),
            Event::Logprobs(content) => self.chunk(out, None, Some(content), |_| {}),
            Event::Close => self.close(out),
            // Encrypted thoughts and what is cited of documents have no place in a chunk.
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, finish: Finish, usage: Usage, out: &mut Vec<u8>) {
        self.close(out);
        self.chunk(out, Some(finish), None, |_| {});
        if self.terms.include_usage {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.head);
            let e = &mut Emit::inside(out, true);
            e.key("choices").raw("[]");
            e.key("usage");
            usage::to_openai(usage, e);
            e.close(b'}');
            out.extend_from_slice(b"\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn include_usage(&mut self, include: bool) {
        self.terms.include_usage = include;
    }
}

fn write_call(e: &mut Emit<'_>, index: u32, call: impl FnOnce(&mut Emit<'_>)) {
    e.key("tool_calls").array(|e| {
        e.object(|e| {
            e.key("index").u64(u64::from(index));
            call(e);
        });
    });
}
