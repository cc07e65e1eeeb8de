//! A chat completion of OpenAI as a message of Anthropic.

use super::emit::{Emit, compact};
use super::read::{Decoder, Kind, Value};
use super::usage;
use super::{BadReply, Lost, ReplyTerms};

/// Anthropic's `stop_reason` for OpenAI's `finish_reason`. Some providers say `stop` after tool calls, and
/// OpenAI itself says it after a refusal.
pub(super) fn stop_reason(finish_reason: &str, called_tools: bool, refused: bool) -> &'static str {
    match finish_reason {
        "length" => "max_tokens",
        "content_filter" => "refusal",
        "tool_calls" | "function_call" => "tool_use",
        _ if called_tools => "tool_use",
        _ if refused => "refusal",
        _ => "end_turn",
    }
}

pub(super) fn reply(
    completion: Value<'_, '_>,
    terms: &ReplyTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadReply> {
    let mut choices = completion.get("choices").into_iter().flat_map(Value::elements);
    let Some(choice) = choices.next() else { return Err(BadReply::NotAnAnswer) };
    // Azure leaves the message out when its filter took the whole answer; then the choice holds no content.
    let filtered = || (choice.text("finish_reason") == "content_filter").then_some(choice);
    let message = choice.get("message").or_else(filtered).ok_or(BadReply::NotAnAnswer)?;
    let mut lost = Lost::default();
    if choices.next().is_some() {
        lost.add("choices");
    }
    let called = message.get("tool_calls").is_some_and(|calls| calls.elements().next().is_some());
    let reason = stop_reason(choice.text("finish_reason"), called, message.get("refusal").is_some());
    let counted = completion.get("usage").map(usage::from_openai).unwrap_or_default();
    let model = completion.get("model").and_then(Value::str).or(terms.asked_model).unwrap_or_default();
    Emit::new(out).object(|e| {
        e.key("id").str(completion.text("id"));
        e.key("type").str("message");
        e.key("role").str("assistant");
        e.key("model").str(model);
        e.key("content").array(|e| write_content(message, e, &mut lost));
        e.key("stop_reason").str(reason);
        e.key("stop_sequence").raw("null");
        e.key("usage");
        usage::to_anthropic(counted, e);
    });
    Ok(lost)
}

/// What the model thought, by either of the names that providers give it.
pub(super) fn reasoning<'b>(message: Value<'_, 'b>) -> &'b str {
    let named = ["reasoning_content", "reasoning"].map(|name| message.text(name));
    named.into_iter().find(|thought| !thought.is_empty()).unwrap_or_default()
}

/// The text of a content that is a string, or parts as some providers send them.
pub(super) fn texts<'t, 'b>(content: Option<Value<'t, 'b>>) -> impl Iterator<Item = &'b str> + use<'t, 'b> {
    let whole = content.and_then(Value::str);
    let parts = content.into_iter().flat_map(Value::elements).map(|part| part.text("text"));
    whole.into_iter().chain(parts).filter(|text| !text.is_empty())
}

fn write_content(message: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) {
    let thought = reasoning(message);
    if !thought.is_empty() {
        e.object(|e| {
            e.key("type").str("thinking");
            e.key("thinking").str(thought);
            e.key("signature").str(""); // only Anthropic signs; its SDKs want the member
        });
    }
    if let Some(refusal) = message.get("refusal").and_then(Value::str) {
        write_text(refusal, e);
    }
    texts(message.get("content")).for_each(|text| write_text(text, e));
    for member in ["annotations", "audio"] {
        if message.get(member).is_some_and(|value| value.elements().next().is_some() || value.is_object()) {
            lost.add(if member == "audio" { "audio" } else { "annotations" });
        }
    }
    if let Some(call) = message.get("function_call") {
        write_tool_use("call_0", call, e, lost);
    }
    for (index, call) in message.get("tool_calls").into_iter().flat_map(Value::elements).enumerate() {
        match call.get("function") {
            // Some compatible hosts leave the id out; the client needs one to answer to.
            Some(function) if call.text("id").is_empty() => {
                write_tool_use(&format!("call_{index}"), function, e, lost);
            }
            Some(function) => write_tool_use(call.text("id"), function, e, lost),
            None => lost.add("tool_calls.custom"),
        }
    }
}

fn write_text(text: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("text");
        e.key("text").str(text);
    });
}

fn write_tool_use(id: &str, function: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) {
    e.object(|e| {
        e.key("type").str("tool_use");
        e.key("id").str(id);
        e.key("name").str(function.text("name"));
        e.key("input");
        write_input(function.get("arguments"), e, lost);
    });
}

/// A model may have written arguments that are no JSON object. The tokens are spent, so the answer is kept, and
/// the client gets the text under the name `raw_arguments` in the object that it must get.
fn write_input(arguments: Option<Value<'_, '_>>, e: &mut Emit<'_>, lost: &mut Lost) {
    let text = match arguments.map(Value::kind) {
        Some(Kind::String(text)) if !text.trim().is_empty() => text,
        Some(Kind::Object) => return arguments.into_iter().for_each(|object| e.value(object)),
        _ => return e.raw("{}"),
    };
    let decoded = |value: Value<'_, '_>| value.is_object().then(|| compact(value));
    match Decoder::default().decode(&mut text.as_bytes().to_vec(), decoded).flatten() {
        Some(object) => e.raw(&object),
        None => {
            lost.add("tool_calls.arguments");
            e.object(|e| e.key("raw_arguments").str(text));
        }
    }
}
