use super::reply::{citation, finish_of, marked, stop_reason, write_citation};
use crate::llm::Usage;
use crate::llm::translate::BadReply;
use crate::llm::translate::emit::{Emit, compact, event};
use crate::llm::translate::hub::{Event, Finish, Maker, Signature, write_call_id};
use crate::llm::translate::read::Value;
use crate::llm::translate::stream::{ReadEvents, Sink, WriteEvents, clip};
use crate::llm::translate::usage;
use arrayvec::ArrayVec;

/// Reads the events of a stream: `message_start`, then per content block `content_block_start`, deltas,
/// `content_block_stop`, then `message_delta` with the stop reason and the final usage, `message_stop`; `ping`
/// anywhere, `error` instead of the rest; unknown events are to be ignored.
#[derive(Default)]
pub(crate) struct Reader {
    calls: u32,
    /// Whether the block that is open is a call of a tool of the client's; Anthropic opens one at a time.
    in_call: bool,
}

impl ReadEvents for Reader {
    fn read(&mut self, _: &str, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        match event.text("type") {
            "content_block_delta" => event.get("delta").map_or(Ok(()), |delta| self.delta(delta, to)),
            "content_block_start" => {
                event.get("content_block").map_or(Ok(()), |block| self.block_start(block, to))
            }
            "content_block_stop" => {
                self.in_call = false;
                to(Event::Close)
            }
            "message_start" => {
                let message = event.get("message");
                let of = |name: &str| message.map_or("", |message| message.text(name));
                to(Event::Start { id: of("id"), model: of("model") })
            }
            "message_delta" => match event.get("delta").map_or("", |delta| delta.text("stop_reason")) {
                "" => Ok(()),
                reason => to(Event::Finish(finish_of(reason))),
            },
            "message_stop" => to(Event::End),
            "error" => to(Event::Fail(event)),
            _ => Ok(()),
        }
    }
}

impl Reader {
    fn block_start(&mut self, block: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        self.in_call = false;
        match block.text("type") {
            "tool_use" => {
                let call = self.calls;
                self.in_call = true;
                self.calls += 1;
                to(Event::Call { call, id: block.text("id"), name: block.text("name") })?;
                // A few compatible hosts give the whole input here instead of in deltas.
                match block.get("input").filter(|input| input.members().next().is_some()) {
                    Some(input) => to(Event::Arguments { call, piece: &compact(input) }),
                    None => Ok(()),
                }
            }
            "text" => piece(Event::Text, block.text("text"), to),
            "thinking" => piece(Event::Thinking, block.text("thinking"), to),
            "redacted_thinking" => piece(|data| Event::Redacted(marked(data)), block.text("data"), to),
            _ => Ok(()),
        }
    }

    fn delta(&mut self, delta: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        match delta.text("type") {
            "text_delta" => piece(Event::Text, delta.text("text"), to),
            "thinking_delta" => piece(Event::Thinking, delta.text("thinking"), to),
            "signature_delta" => piece(
                |text| Event::Signature(Signature { by: Maker::Claude, text }),
                delta.text("signature"),
                to,
            ),
            "input_json_delta" if self.in_call => {
                let call = self.calls.saturating_sub(1);
                piece(|piece| Event::Arguments { call, piece }, delta.text("partial_json"), to)
            }
            "citations_delta" => {
                delta.get("citation").map_or(Ok(()), |cited| to(Event::Citation(citation(cited))))
            }
            _ => Ok(()),
        }
    }
}

/// Hands a piece on if there is anything in it.
fn piece<'b>(
    event: impl FnOnce(&'b str) -> Event<'b, 'b>,
    text: &'b str,
    to: &mut Sink<'_>,
) -> Result<(), BadReply> {
    if text.is_empty() { Ok(()) } else { to(event(text)) }
}

/// Writes the events of a stream. Content comes in blocks that are opened and closed: a block is closed when
/// another kind of piece comes.
#[derive(Default)]
pub(crate) struct Writer {
    /// Blocks opened so far; the one that is open is the last.
    blocks: u64,
    open: Open,
    /// A part of the signature of the thought that is open was told.
    signed: bool,
    /// Block index of each call by its number.
    calls: ArrayVec<u64, 128>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Text,
    Thinking,
    Call,
}

impl WriteEvents for Writer {
    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        event("message_start", out, |e| {
            e.key("message").object(|e| {
                e.key("id").str(clip(id));
                e.key("type").str("message");
                e.key("role").str("assistant");
                e.key("model").str(clip(model));
                e.key("content").raw("[]");
                e.key("stop_reason").raw("null");
                e.key("stop_sequence").raw("null");
                e.key("usage").raw(r#"{"input_tokens":0,"output_tokens":0}"#); // known at the end only
            });
        });
    }

    fn event(&mut self, event: Event<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        match event {
            Event::Text(text) | Event::Refusal(text) => self.text(text, out),
            Event::Thinking(text) => {
                self.thought(out);
                block_delta(self.last(), "thinking_delta", "thinking", text, out);
            }
            Event::Signature(signature) if self.open == Open::Thinking => {
                let is_first = !std::mem::replace(&mut self.signed, true);
                let bare = if is_first { Maker::Claude } else { signature.by }; // the mark stands once
                self.sign(signature, bare, out);
            }
            Event::Seal(signature) => {
                self.thought(out);
                self.sign(Signature { by: Maker::Gemini, text: signature }, Maker::Claude, out);
                self.close_block(out);
            }
            Event::Redacted(data) => {
                self.open_block(Open::Nothing, out, |e| {
                    e.object(|e| {
                        e.key("type").str("redacted_thinking");
                        e.key("data").text(data.with_mark(Maker::Claude));
                    });
                });
                self.close_block(out);
            }
            Event::Call { call, id, name } => return self.call(call, id, name, out),
            Event::Arguments { call, piece } => {
                // A piece of a call whose block is closed already (a provider that mixes its calls) still goes to
                // its own index, which SDKs put together rightly.
                if let Some(block) = self.calls.get(call as usize) {
                    block_delta(*block, "input_json_delta", "partial_json", piece, out);
                }
            }
            Event::Citation(cited) if self.open == Open::Text => {
                event_with_delta(self.last(), "citations_delta", out, |e| {
                    write_citation(&cited, e.key("citation"));
                });
            }
            Event::Close => self.close(out),
            _ => {}
        }
        Ok(())
    }

    /// The open block closed, `message_delta` with stop reason and usage, `message_stop`.
    fn end(&mut self, finish: Finish, usage: Usage, out: &mut Vec<u8>) {
        self.close(out);
        event("message_delta", out, |e| {
            e.key("delta").object(|e| {
                e.key("stop_reason").str(stop_reason(finish));
                e.key("stop_sequence").raw("null");
            });
            e.key("usage");
            usage::to_anthropic(usage, e);
        });
        event("message_stop", out, |_| {});
    }
}

impl Writer {
    fn last(&self) -> u64 {
        self.blocks.saturating_sub(1)
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.open != Open::Text {
            self.open_block(Open::Text, out, |e| e.raw(r#"{"type":"text","text":""}"#));
        }
        block_delta(self.last(), "text_delta", "text", text, out);
    }

    fn thought(&mut self, out: &mut Vec<u8>) {
        if self.open != Open::Thinking {
            let block = r#"{"type":"thinking","thinking":"","signature":""}"#;
            self.open_block(Open::Thinking, out, |e| e.raw(block));
        }
    }

    fn sign(&mut self, signature: Signature<'_>, bare: Maker, out: &mut Vec<u8>) {
        event_with_delta(self.last(), "signature_delta", out, |e| {
            e.key("signature").text(signature.with_mark(bare));
        });
    }

    fn call(&mut self, call: u32, id: &str, name: &str, out: &mut Vec<u8>) -> Result<(), BadReply> {
        debug_assert_eq!(call as usize, self.calls.len(), "readers number calls in their order");
        let made_up = self.blocks;
        self.calls.try_push(self.blocks).map_err(|_| BadReply::TooManyToolCalls)?;
        self.open_block(Open::Call, out, |e| {
            e.object(|e| {
                e.key("type").str("tool_use");
                write_call_id(id, made_up, e.key("id"));
                e.key("name").str(name);
                e.key("input").raw("{}");
            });
        });
        Ok(())
    }

    fn open_block(&mut self, kind: Open, out: &mut Vec<u8>, block: impl FnOnce(&mut Emit<'_>)) {
        self.close(out);
        let index = self.blocks;
        event("content_block_start", out, |e| {
            e.key("index").u64(index);
            block(e.key("content_block"));
        });
        self.blocks += 1;
        (self.open, self.signed) = (kind, false);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open != Open::Nothing {
            self.close_block(out);
        }
    }

    fn close_block(&mut self, out: &mut Vec<u8>) {
        let index = self.last();
        event("content_block_stop", out, |e| e.key("index").u64(index));
        self.open = Open::Nothing;
    }
}

fn block_delta(block: u64, kind: &str, member: &str, text: &str, out: &mut Vec<u8>) {
    event_with_delta(block, kind, out, |e| e.key(member).str(text));
}

fn event_with_delta(block: u64, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Emit<'_>)) {
    event("content_block_delta", out, |e| {
        e.key("index").u64(block);
        e.key("delta").object(|e| {
            e.key("type").str(kind);
            members(e);
        });
    });
}
