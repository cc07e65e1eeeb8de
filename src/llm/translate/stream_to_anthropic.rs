//! OpenAI's chunks as Anthropic's event stream.
//!
//! Anthropic's content comes in blocks that are opened and closed, OpenAI's in deltas that say nothing of an
//! end: a block is closed when another kind of delta comes. OpenAI sends usage after the finish reason, in a
//! chunk without choices, while Anthropic sends both in one `message_delta`: it is held back until `[DONE]` or
//! the end of the body.

use super::emit::{Emit, event};
use super::error::{stream_cut, stream_error};
use super::read::Value;
use super::reply_to_anthropic::{reasoning, stop_reason, texts};
use super::stream::{Progress, StreamTerms, clip};
use super::{BadReply, usage};
use crate::llm::{Format, Usage};
use arrayvec::{ArrayString, ArrayVec};

/// The index of calls that come without one.
const NO_INDEX: u64 = u64::MAX;

pub(super) struct ToAnthropic {
    terms: StreamTerms,
    started: bool,
    /// Blocks opened so far; the open one has the index below.
    blocks: u64,
    open: Open,
    /// Block index of each tool call by the provider's index of it.
    calls: ArrayVec<Call, 128>,
    finish_reason: Option<ArrayString<32>>,
    refused: bool,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Call,
}

struct Call {
    index: u64,
    block: u64,
    /// The first bytes of its id: a provider that numbers all its calls 0 tells them apart by id.
    id: ArrayString<64>,
}

impl ToAnthropic {
    pub(super) fn new(terms: StreamTerms) -> ToAnthropic {
        ToAnthropic {
            terms,
            started: false,
            blocks: 0,
            open: Open::Nothing,
            calls: ArrayVec::new(),
            finish_reason: None,
            refused: false,
            usage: None,
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub(super) fn chunk(&mut self, chunk: Value<'_, '_>, out: &mut Vec<u8>) -> Result<Progress, BadReply> {
        if chunk.get("error").is_some() {
            stream_error(Format::AnthropicMessages, chunk, out);
            return Ok(Progress::Over);
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = Some(usage::from_openai(usage)); // cumulative where it comes more than once
        }
        let choices = chunk.get("choices").into_iter().flat_map(Value::elements);
        let first =
            choices.into_iter().find(|choice| choice.get("index").is_none_or(|index| index.u64() == Some(0)));
        let Some(choice) = first else { return Ok(Progress::More) };
        self.start(chunk, out);
        if let Some(delta) = choice.get("delta") {
            self.delta(delta, out)?;
        }
        let reason = choice.text("finish_reason");
        if !reason.is_empty() {
            self.finish_reason = Some(ArrayString::from(reason).unwrap_or_default());
        }
        Ok(Progress::More)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.finish_reason.is_some() {
            self.end(out);
        } else {
            stream_cut(Format::AnthropicMessages, out);
        }
    }

    pub(super) fn cut(&mut self, counted: Option<Usage>, out: &mut Vec<u8>) {
        self.usage = counted.or(self.usage);
        if self.finish_reason.is_none() {
            self.finish_reason = ArrayString::from("length").ok(); // else the answer was complete already
        }
        self.end(out);
    }

    /// The proper end: the open block closed, `message_delta` with stop reason and usage, `message_stop`.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.start_as("", "", out);
        self.close(out);
        let reason = self.finish_reason.as_deref().unwrap_or_default();
        let reason = stop_reason(reason, !self.calls.is_empty(), self.refused);
        let usage = self.usage.unwrap_or_default();
        event("message_delta", out, |e| {
            e.key("delta").object(|e| {
                e.key("stop_reason").str(reason);
                e.key("stop_sequence").raw("null");
            });
            e.key("usage");
            usage::to_anthropic(usage, e);
        });
        event("message_stop", out, |_| {});
    }

    fn start(&mut self, chunk: Value<'_, '_>, out: &mut Vec<u8>) {
        self.start_as(chunk.text("id"), chunk.text("model"), out);
    }

    fn start_as(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let model = if model.is_empty() { &self.terms.asked_model } else { model };
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

    fn delta(&mut self, delta: Value<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        self.piece(Open::Thinking, reasoning(delta), out);
        texts(delta.get("content")).for_each(|text| self.piece(Open::Text, text, out));
        let refusal = delta.text("refusal");
        self.refused |= !refusal.is_empty();
        self.piece(Open::Text, refusal, out);
        for call in delta.get("tool_calls").into_iter().flat_map(Value::elements) {
            self.call_delta(call, out)?;
        }
        if let Some(function) = delta.get("function_call") {
            let block = self.call_block(0, "", function.text("name"), out)?;
            arguments(block, function.text("arguments"), out);
        }
        Ok(())
    }

    fn piece(&mut self, kind: Open, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.open != kind {
            self.open_block(kind, out, |e| match kind {
                Open::Thinking => e.raw(r#"{"type":"thinking","thinking":"","signature":""}"#),
                _ => e.raw(r#"{"type":"text","text":""}"#),
            });
        }
        let (delta, member) =
            if kind == Open::Thinking { ("thinking_delta", "thinking") } else { ("text_delta", "text") };
        block_delta(self.blocks - 1, delta, member, text, out);
    }

    fn call_delta(&mut self, call: Value<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply> {
        let function = call.get("function");
        let of = |name: &str| function.map_or("", |function| function.text(name));
        let id = call.text("id");
        let index = match call.get("index").and_then(Value::u64) {
            Some(index) => index,
            // Without an index, the id tells the calls apart, and what has none belongs to the last one.
            None if id.is_empty() => self.calls.last().map_or(NO_INDEX, |last| last.index),
            None => NO_INDEX,
        };
        let block = self.call_block(index, id, of("name"), out)?;
        arguments(block, of("arguments"), out);
        Ok(())
    }

    /// The block of the call with this index, opened if it is new. A piece of a call whose block is closed
    /// already (a provider that mixes its calls) still goes to its own index, which SDKs put together rightly.
    fn call_block(&mut self, index: u64, id: &str, name: &str, out: &mut Vec<u8>) -> Result<u64, BadReply> {
        let same_id = |call: &Call| id.is_empty() || call.id.is_empty() || call.id.as_str() == head(id);
        if let Some(call) = self.calls.iter().rev().find(|call| call.index == index && same_id(call)) {
            return Ok(call.block);
        }
        if self.calls.is_full() {
            return Err(BadReply::TooManyToolCalls);
        }
        let made_up = format!("call_{}", self.blocks);
        self.open_block(Open::Call, out, |e| {
            e.object(|e| {
                e.key("type").str("tool_use");
                e.key("id").str(if id.is_empty() { &made_up } else { id });
                e.key("name").str(name);
                e.key("input").raw("{}");
            });
        });
        let block = self.blocks - 1;
        let id = ArrayString::from(head(id)).unwrap_or_default();
        self.calls.push(Call { index, block, id });
        Ok(block)
    }

    fn open_block(&mut self, kind: Open, out: &mut Vec<u8>, block: impl FnOnce(&mut Emit<'_>)) {
        self.close(out);
        let index = self.blocks;
        event("content_block_start", out, |e| {
            e.key("index").u64(index);
            block(e.key("content_block"));
        });
        self.blocks += 1;
        self.open = kind;
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open != Open::Nothing {
            let index = self.blocks - 1;
            event("content_block_stop", out, |e| e.key("index").u64(index));
            self.open = Open::Nothing;
        }
    }
}

/// As much of an id as is kept to tell calls apart.
fn head(id: &str) -> &str {
    id.get(..id.floor_char_boundary(64)).unwrap_or(id)
}

fn arguments(block: u64, piece: &str, out: &mut Vec<u8>) {
    if !piece.is_empty() {
        block_delta(block, "input_json_delta", "partial_json", piece, out);
    }
}

fn block_delta(block: u64, kind: &str, member: &str, text: &str, out: &mut Vec<u8>) {
    event("content_block_delta", out, |e| {
        e.key("index").u64(block);
        e.key("delta").object(|e| {
            e.key("type").str(kind);
            e.key(member).str(text);
        });
    });
}
