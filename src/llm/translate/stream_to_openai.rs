//! Anthropic's event stream as OpenAI's chunks.
//!
//! Source: Anthropic "Streaming messages": `message_start`, then per content block `content_block_start`,
//! deltas, `content_block_stop`, then `message_delta` with the stop reason and the final usage, `message_stop`;
//! `ping` anywhere, `error` instead of the rest; unknown events are to be ignored.

use super::emit::{Emit, compact, escape};
use super::error::stream_error;
use super::read::Value;
use super::reply_to_openai::finish_reason;
use super::stream::{Progress, StreamTerms, clip};
use super::usage::{self, AnthropicUsage};
use crate::llm::{Format, Usage};

pub(super) struct ToOpenAi {
    terms: StreamTerms,
    /// What every chunk begins with, up to its choices: id, object, created and model are the same in all.
    head: Vec<u8>,
    /// The content block that is open. Anthropic opens one at a time.
    block: Block,
    /// `index` of the next tool call.
    calls: u64,
    /// The finish chunk was sent: the answer is complete.
    finished: bool,
    usage: Option<AnthropicUsage>,
}

#[derive(Clone, Copy)]
enum Block {
    /// Text, thinking, or what has no counterpart: its deltas say what they are.
    Plain,
    /// A call of a tool of the client's, and whether some of its arguments were sent.
    Call { index: u64, has_arguments: bool },
}

impl ToOpenAi {
    pub(super) fn new(terms: StreamTerms) -> ToOpenAi {
        ToOpenAi { terms, head: Vec::new(), block: Block::Plain, calls: 0, finished: false, usage: None }
    }

    pub(super) fn include_usage(&mut self, include: bool) {
        self.terms.include_usage = include;
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.usage())
    }

    pub(super) fn event(&mut self, event: Value<'_, '_>, out: &mut Vec<u8>) -> Progress {
        match event.text("type") {
            "content_block_delta" => event.get("delta").into_iter().for_each(|delta| self.delta(delta, out)),
            "content_block_start" => {
                event.get("content_block").into_iter().for_each(|block| self.block_start(block, out));
            }
            "content_block_stop" => self.block_stop(out),
            "message_start" => self.start(event.get("message"), out),
            "message_delta" => self.message_delta(event, out),
            "message_stop" => {
                self.end("end_turn", None, out);
                return Progress::Over;
            }
            "error" => {
                stream_error(Format::OpenAiChat, event, out);
                return Progress::Over;
            }
            _ => {}
        }
        Progress::More
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.finished {
            self.end("", None, out);
        } else {
            super::error::stream_cut(Format::OpenAiChat, out);
        }
    }

    pub(super) fn cut(&mut self, counted: Option<Usage>, out: &mut Vec<u8>) {
        self.end("max_tokens", counted, out);
    }

    fn start(&mut self, message: Option<Value<'_, '_>>, out: &mut Vec<u8>) {
        if !self.head.is_empty() {
            return;
        }
        let of = |name: &str| clip(message.map_or("", |message| message.text(name)));
        let model = if of("model").is_empty() { clip(&self.terms.asked_model) } else { of("model") };
        let e = &mut Emit::new(&mut self.head);
        e.open(b'{');
        e.key("id").str(of("id"));
        e.key("object").str("chat.completion.chunk");
        e.key("created").u64(self.terms.created_unix);
        e.key("model").str(model);
        if let Some(usage) = message.and_then(|message| message.get("usage")) {
            self.usage.get_or_insert_default().update(usage);
        }
        self.chunk(out, None, |e| {
            e.key("role").str("assistant");
            e.key("content").str("");
        });
    }

    fn block_start(&mut self, block: Value<'_, '_>, out: &mut Vec<u8>) {
        self.block_stop(out);
        match block.text("type") {
            "tool_use" => {
                let index = self.calls;
                self.calls += 1;
                // A few compatible hosts give the whole input here instead of in deltas.
                let input = block.get("input").filter(|input| input.members().next().is_some()).map(compact);
                self.block = Block::Call { index, has_arguments: input.is_some() };
                self.chunk(out, None, |e| {
                    write_call(e, index, |e| {
                        e.key("id").str(block.text("id"));
                        e.key("type").str("function");
                        e.key("function").object(|e| {
                            e.key("name").str(block.text("name"));
                            e.key("arguments").str(input.as_deref().unwrap_or_default());
                        });
                    });
                });
            }
            "text" => self.piece("content", block.text("text"), out),
            "thinking" => self.piece("reasoning_content", block.text("thinking"), out),
            _ => {}
        }
    }

    fn delta(&mut self, delta: Value<'_, '_>, out: &mut Vec<u8>) {
        match delta.text("type") {
            "text_delta" => self.piece("content", delta.text("text"), out),
            "thinking_delta" => self.piece("reasoning_content", delta.text("thinking"), out),
            "input_json_delta" => {
                let piece = delta.text("partial_json");
                if let (Block::Call { index, .. }, false) = (self.block, piece.is_empty()) {
                    self.block = Block::Call { index, has_arguments: true };
                    self.arguments(index, piece, out);
                }
            }
            _ => {} // signatures and citations have no counterpart in a stream
        }
    }

    /// A call without arguments ends as the empty object, which clients can parse.
    fn block_stop(&mut self, out: &mut Vec<u8>) {
        if let Block::Call { index, has_arguments: false } = self.block {
            self.arguments(index, "{}", out);
        }
        self.block = Block::Plain;
    }

    fn message_delta(&mut self, event: Value<'_, '_>, out: &mut Vec<u8>) {
        if let Some(usage) = event.get("usage") {
            self.usage.get_or_insert_default().update(usage);
        }
        let reason = event.get("delta").map_or("", |delta| delta.text("stop_reason"));
        if !reason.is_empty() {
            self.finish_chunk(reason, out);
        }
    }

    fn end(&mut self, stop_reason: &str, counted: Option<Usage>, out: &mut Vec<u8>) {
        self.finish_chunk(stop_reason, out);
        if self.terms.include_usage {
            self.start(None, out);
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.head);
            let e = &mut Emit::inside(out, true);
            e.key("choices").raw("[]");
            e.key("usage");
            usage::to_openai(counted.or(self.usage()).unwrap_or_default(), e);
            e.close(b'}');
            out.extend_from_slice(b"\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn finish_chunk(&mut self, stop_reason: &str, out: &mut Vec<u8>) {
        if !self.finished {
            self.block_stop(out);
            self.finished = true;
            self.chunk(out, Some(finish_reason(stop_reason)), |_| {});
        }
    }

    /// A chunk whose delta is one string member; the path that nearly every event takes.
    fn piece(&mut self, member: &str, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.chunk(out, None, |e| e.key(member).str(text));
        }
    }

    fn arguments(&mut self, index: u64, piece: &str, out: &mut Vec<u8>) {
        self.chunk(out, None, |e| {
            write_call(e, index, |e| e.key("function").object(|e| e.key("arguments").str(piece)));
        });
    }

    fn chunk(&mut self, out: &mut Vec<u8>, finish: Option<&'static str>, delta: impl FnOnce(&mut Emit<'_>)) {
        if self.head.is_empty() {
            self.start(None, out); // the stream began in the middle
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#","choices":[{"index":0,"delta":"#);
        Emit::new(out).object(delta);
        out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
        match finish {
            Some(reason) => {
                out.push(b'"');
                escape(reason, out);
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

fn write_call(e: &mut Emit<'_>, index: u64, call: impl FnOnce(&mut Emit<'_>)) {
    e.key("tool_calls").array(|e| {
        e.object(|e| {
            e.key("index").u64(index);
            call(e);
        });
    });
}
