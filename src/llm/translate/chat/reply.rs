use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::openai::{citation, signature, write_citation, write_signature};
use crate::llm::translate::hub::{
    At, Citation, Finish, Json, Maker, Part, Reply, Signature, What, write_call_id,
};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadReply, Lost, ReplyTerms, usage};

/// What `finish_reason` says.
pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "length" => Finish::Length,
        "content_filter" => Finish::Refused,
        "tool_calls" | "function_call" => Finish::Calls,
        _ => Finish::Stop,
    }
}

/// `finish_reason`.
pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
        Finish::Refused => "content_filter",
        Finish::Stop | Finish::StopSequence | Finish::Paused => "stop",
    }
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

/// Reads a chat completion; of several choices the first.
pub(crate) fn read<'t, 'b>(completion: Value<'t, 'b>) -> Result<Reply<'t, 'b>, BadReply> {
    let mut choices = completion.get("choices").into_iter().flat_map(Value::elements);
    let Some(choice) = choices.next() else { return Err(BadReply::NotAnAnswer) };
    // Azure leaves the message out when its filter took the whole answer; then the choice holds no content.
    let filtered = || (choice.text("finish_reason") == "content_filter").then_some(choice);
    let message = choice.get("message").or_else(filtered).ok_or(BadReply::NotAnAnswer)?;
    let mut lost = Lost::default();
    if choices.next().is_some() {
        lost.add("choices");
    }
    let parts = read_parts(message, choice, &mut lost);
    let called = parts.iter().any(|part| matches!(part.what, What::Call { .. }));
    let refused = !message.text("refusal").is_empty(); // some hosts say nothing in it, not null
    Ok(Reply {
        id: completion.text("id"),
        model: completion.text("model"),
        parts,
        finish: finish_of(choice.text("finish_reason")).given(called, refused),
        stop_sequence: None,
        lost,
        ..Reply::default()
    })
}

fn read_parts<'t, 'b>(message: Value<'t, 'b>, choice: Value<'t, 'b>, lost: &mut Lost) -> Vec<Part<'t, 'b>> {
    let mut whats = Vec::new();
    let thought = reasoning(message);
    if !thought.is_empty() {
        whats.push(What::Thinking { text: thought, signature: Signature::NONE });
    }
    whats.extend(Some(message.text("refusal")).filter(|words| !words.is_empty()).map(What::Refusal));
    let mut citations = read_citations(message, lost);
    let mut logprobs = choice.get("logprobs").and_then(|logprobs| logprobs.get("content"));
    for text in texts(message.get("content")) {
        let (citations, logprobs) = (std::mem::take(&mut citations), logprobs.take());
        whats.push(What::Text { text, citations, logprobs });
    }
    if message.get("audio").is_some_and(Value::is_object) {
        lost.add("audio");
    }
    if let Some(call) = message.get("function_call") {
        whats.push(read_call("", call, ""));
    }
    for call in message.get("tool_calls").into_iter().flat_map(Value::elements) {
        match call.get("function") {
            Some(function) => whats.push(read_call(call.text("id"), function, signature(call))),
            None => lost.add("tool_calls.custom"),
        }
    }
    whats.into_iter().map(|what| Part::new(what, At::default())).collect()
}

fn read_call<'t, 'b>(id: &'b str, function: Value<'t, 'b>, signature: &'b str) -> What<'t, 'b> {
    What::Call { id, name: function.text("name"), arguments: Json::of(function.get("arguments")), signature }
}

fn read_citations<'b>(message: Value<'_, 'b>, lost: &mut Lost) -> Vec<Citation<'b>> {
    let annotations = message.get("annotations").into_iter().flat_map(Value::elements);
    let citation = |annotation: Value<'_, 'b>| {
        let cited = annotation.get("url_citation");
        if cited.is_none() {
            lost.add("annotations");
        }
        cited.map(citation)
    };
    annotations.filter_map(citation).collect()
}

/// Writes a chat completion.
pub(crate) fn write(reply: &Reply<'_, '_>, terms: &ReplyTerms<'_>, lost: &mut Lost, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("id").str(reply.id);
        e.key("object").str("chat.completion");
        e.key("created").u64(terms.created_unix);
        e.key("model").str(reply.model_or(terms));
        e.key("choices").array(|e| {
            e.object(|e| {
                e.key("index").u64(0);
                e.key("message").object(|e| write_message(&reply.parts, lost, e));
                e.key("logprobs");
                write_logprobs(&reply.parts, e);
                e.key("finish_reason").str(finish_reason(reply.finish));
            });
        });
        e.key("usage");
        usage::to_openai(reply.usage, e);
    });
}

fn write_message(parts: &[Part<'_, '_>], lost: &mut Lost, e: &mut Emit<'_>) {
    if parts.iter().any(|part| matches!(part.what, What::Foreign | What::Media(_) | What::Result { .. })) {
        lost.add("server_tools");
    }
    let calls = parts.iter().any(|part| matches!(part.what, What::Call { .. }));
    let text = || parts.iter().filter_map(text_of);
    let refusal = || parts.iter().filter_map(refusal_of);
    e.key("role").str("assistant");
    if text().next().is_none() && (calls || refusal().next().is_some()) {
        e.key("content").raw("null");
    } else {
        e.key("content").text(text());
    }
    match refusal().next() {
        Some(_) => e.key("refusal").text(refusal()),
        None => e.key("refusal").raw("null"),
    }
    write_thinking(parts, e);
    write_annotations(parts, lost, e);
    if calls {
        let mut number = 0;
        e.key("tool_calls").array(|e| parts.iter().for_each(|part| write_tool_call(part, &mut number, e)));
    }
}

fn text_of<'b>(part: &Part<'_, 'b>) -> Option<&'b str> {
    if let What::Text { text, .. } = part.what { Some(text) } else { None }
}

fn refusal_of<'b>(part: &Part<'_, 'b>) -> Option<&'b str> {
    if let What::Refusal(text) = part.what { Some(text) } else { None }
}

/// Thinking has no member of OpenAI's own; `reasoning_content` is what other providers and clients call it.
/// `thinking_blocks` holds the blocks with their signatures, to be given back in the next request of a tool loop.
fn write_thinking(parts: &[Part<'_, '_>], e: &mut Emit<'_>) {
    let thoughts = || {
        parts.iter().filter_map(|part| match part.what {
            // A mere signature of Gemini's is nothing to read.
            What::Thinking { text: "", signature } if signature.by == Maker::Gemini => None,
            What::Thinking { text, .. } => Some(text),
            _ => None,
        })
    };
    if thoughts().next().is_some() {
        e.key("reasoning_content").text(thoughts());
    }
    if parts.iter().any(|part| part.what.signed_by().is_some()) {
        e.key("thinking_blocks").array(|e| {
            parts
                .iter()
                .filter(|part| part.what.signed_by().is_some())
                .for_each(|part| crate::llm::translate::messages::thinking(&part.what, e));
        });
    }
}

/// Pages that are cited; what is cited of the client's own documents has no place here.
fn write_annotations(parts: &[Part<'_, '_>], lost: &mut Lost, e: &mut Emit<'_>) {
    let mut pages = Vec::new();
    let mut chars = 0;
    for part in parts {
        let What::Text { text, citations, .. } = &part.what else { continue };
        let start = chars;
        chars += text.chars().count() as u64;
        for citation in citations {
            match citation.url {
                "" => lost.add("citations"),
                // Who does not say what is based on the page means all of the text.
                _ => pages.push(Citation { span: citation.span.or(Some((start, chars))), ..*citation }),
            }
        }
    }
    if pages.is_empty() {
        return;
    }
    e.key("annotations").array(|e| {
        for page in &pages {
            e.object(|e| {
                e.key("type").str("url_citation");
                e.key("url_citation").object(|e| write_citation(page, e));
            });
        }
    });
}

fn write_tool_call(part: &Part<'_, '_>, number: &mut u64, e: &mut Emit<'_>) {
    let What::Call { id, name, arguments, signature } = part.what else { return };
    e.object(|e| {
        e.key("id");
        write_call_id(id, *number, e);
        e.key("type").str("function");
        e.key("function").object(|e| {
            e.key("name").str(name);
            e.key("arguments").str(&arguments.text());
        });
        write_signature(signature, e);
    });
    *number += 1;
}

fn write_logprobs(parts: &[Part<'_, '_>], e: &mut Emit<'_>) {
    let lists = || {
        parts.iter().filter_map(|part| match part.what {
            What::Text { logprobs, .. } => logprobs,
            _ => None,
        })
    };
    if lists().next().is_none() {
        return e.raw("null");
    }
    e.object(|e| {
        e.key("content").array(|e| lists().flat_map(Value::elements).for_each(|token| e.value(token)));
        e.key("refusal").raw("null");
    });
}
