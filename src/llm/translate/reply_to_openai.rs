//! A message of Anthropic as a chat completion of OpenAI.

use super::emit::{Emit, compact};
use super::read::Value;
use super::usage::{self, AnthropicUsage};
use super::{BadReply, Lost, ReplyTerms};

/// OpenAI's `finish_reason` for Anthropic's `stop_reason`.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop", // end_turn, stop_sequence, pause_turn, and what is yet to come
    }
}

pub(super) fn reply(
    message: Value<'_, '_>,
    terms: &ReplyTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadReply> {
    let content = message.get("content").filter(|content| content.is_array());
    let Some(content) = content.filter(|_| message.text("type") == "message") else {
        return Err(BadReply::NotAnAnswer);
    };
    let mut lost = Lost::default();
    let mut counted = AnthropicUsage::default();
    if let Some(usage) = message.get("usage") {
        counted.update(usage);
    }
    Emit::new(out).object(|e| {
        e.key("id").str(message.text("id"));
        e.key("object").str("chat.completion");
        e.key("created").u64(terms.created_unix);
        e.key("model")
            .str(message.get("model").and_then(Value::str).or(terms.asked_model).unwrap_or_default());
        e.key("choices").array(|e| {
            e.object(|e| {
                e.key("index").u64(0);
                e.key("message").object(|e| write_message(message, content, e, &mut lost));
                e.key("logprobs").raw("null");
                e.key("finish_reason").str(finish_reason(message.text("stop_reason")));
            });
        });
        e.key("usage");
        usage::to_openai(counted.usage(), e);
    });
    Ok(lost)
}

fn write_message(message: Value<'_, '_>, content: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) {
    let of = |kind: &'static str| content.elements().filter(move |block| block.text("type") == kind);
    for block in content.elements() {
        match block.text("type") {
            "text" if block.get("citations").is_some() => lost.add("citations"),
            "text" | "thinking" | "redacted_thinking" | "tool_use" => {}
            _ => lost.add("server_tools"), // calls and results of tools that ran at the provider
        }
    }
    let calls = of("tool_use").next().is_some();
    let refusal = message.get("stop_details").and_then(|details| details.get("explanation"));
    e.key("role").str("assistant");
    if of("text").next().is_none() && (calls || refusal.is_some()) {
        e.key("content").raw("null");
    } else {
        e.key("content").text(of("text").map(|block| block.text("text")));
    }
    match refusal {
        Some(explanation) => e.key("refusal").value(explanation),
        None => e.key("refusal").raw("null"),
    }
    write_thinking(content, e);
    if calls {
        e.key("tool_calls").array(|e| of("tool_use").for_each(|block| write_tool_call(block, e)));
    }
}

/// Thinking has no member of OpenAI's own; `reasoning_content` is what other providers and clients call it.
/// `thinking_blocks` holds the blocks with their signatures, to be given back in the next request of a tool loop.
fn write_thinking(content: Value<'_, '_>, e: &mut Emit<'_>) {
    let is_thinking = |block: &Value<'_, '_>| matches!(block.text("type"), "thinking" | "redacted_thinking");
    if content.elements().any(|block| block.text("type") == "thinking") {
        let thoughts = content.elements().filter(|block| block.text("type") == "thinking");
        e.key("reasoning_content").text(thoughts.map(|block| block.text("thinking")));
    }
    if content.elements().any(|block| is_thinking(&block)) {
        e.key("thinking_blocks")
            .array(|e| content.elements().filter(is_thinking).for_each(|block| e.value(block)));
    }
}

fn write_tool_call(block: Value<'_, '_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("id").str(block.text("id"));
        e.key("type").str("function");
        e.key("function").object(|e| {
            e.key("name").str(block.text("name"));
            e.key("arguments").str(&block.get("input").map_or_else(|| "{}".to_owned(), compact));
        });
    });
}
