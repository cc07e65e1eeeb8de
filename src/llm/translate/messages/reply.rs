use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Citation, Finish, Maker, Part, Reply, Signature, What, write_call_id};
use crate::llm::translate::read::Value;
use crate::llm::translate::usage;
use crate::llm::translate::{BadReply, Lost, ReplyTerms};

/// What `stop_reason` says.
pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::Calls,
        "refusal" => Finish::Refused,
        "stop_sequence" => Finish::StopSequence,
        "pause_turn" => Finish::Paused,
        _ => Finish::Stop, // end_turn, and what is yet to come
    }
}

/// `stop_reason`.
pub(super) fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Refused => "refusal",
        Finish::Paused => "pause_turn",
    }
}

/// What a block of the model's is.
pub(super) fn block<'t, 'b>(block: Value<'t, 'b>) -> What<'t, 'b> {
    match block.text("type") {
        "text" => What::Text {
            text: block.text("text"),
            citations: block.get("citations").into_iter().flat_map(Value::elements).map(citation).collect(),
            logprobs: None,
        },
        "thinking" => {
            What::Thinking { text: block.text("thinking"), signature: marked(block.text("signature")) }
        }
        "redacted_thinking" => What::Redacted(marked(block.text("data"))),
        "tool_use" => What::Call {
            id: block.text("id"),
            name: block.text("name"),
            arguments: super::read_turns::input(block),
            signature: "",
        },
        _ => What::Foreign, // calls and results of tools that ran at the provider
    }
}

/// A signature as its clients hold it: Claude's own bare.
pub(super) fn marked(text: &str) -> Signature<'_> {
    Signature::marked(text, Maker::Claude)
}

/// What is cited: a page that was found, or a place in a document of the client's.
pub(super) fn citation<'b>(cited: Value<'_, 'b>) -> Citation<'b> {
    let title = ["title", "document_title"].map(|name| cited.text(name));
    Citation {
        url: cited.text("url"),
        title: title.into_iter().find(|title| !title.is_empty()).unwrap_or_default(),
        quote: cited.text("cited_text"),
        span: None,
    }
}

/// Reads a message.
pub(crate) fn read<'t, 'b>(message: Value<'t, 'b>) -> Result<Reply<'t, 'b>, BadReply> {
    let content = message.get("content").filter(|content| content.is_array());
    let Some(content) = content.filter(|_| message.text("type") == "message") else {
        return Err(BadReply::NotAnAnswer);
    };
    let refusal = message.get("stop_details").and_then(|details| details.get("explanation")?.str());
    let whats = content.elements().map(block).chain(refusal.map(What::Refusal));
    Ok(Reply {
        id: message.text("id"),
        model: message.text("model"),
        parts: whats.map(|what| Part::new(what, At::default())).collect(),
        finish: finish_of(message.text("stop_reason")),
        stop_sequence: message.get("stop_sequence").and_then(Value::str),
        ..Reply::default()
    })
}

/// Writes a message.
pub(crate) fn write(reply: &Reply<'_, '_>, terms: &ReplyTerms<'_>, lost: &mut Lost, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("id").str(reply.id);
        e.key("type").str("message");
        e.key("role").str("assistant");
        e.key("model").str(reply.model_or(terms));
        e.key("content").array(|e| {
            let mut calls = 0;
            let mut told = "";
            for (at, part) in reply.parts.iter().enumerate() {
                let next = reply.parts.get(at + 1).map_or("", |next| seal(&next.what));
                match &part.what {
                    What::Thinking { text, signature } if signature.is_empty() && !next.is_empty() => {
                        sealed(text, next, e);
                        told = next;
                        continue;
                    }
                    what if seal(what) != told => sealed("", seal(what), e),
                    _ => {}
                }
                told = "";
                write_block(&part.what, &mut calls, lost, e);
            }
        });
        e.key("stop_reason").str(stop_reason(reply.finish));
        e.key("stop_sequence");
        match reply.stop_sequence {
            Some(sequence) => e.str(sequence),
            None => e.raw("null"),
        }
        e.key("usage");
        usage::to_anthropic(reply.usage, e);
    });
}

fn write_block(what: &What<'_, '_>, calls: &mut u64, lost: &mut Lost, e: &mut Emit<'_>) {
    match what {
        What::Text { text, citations, logprobs } => {
            if logprobs.is_some() {
                lost.add("logprobs");
            }
            write_text(text, citations, e);
        }
        What::Refusal(text) => write_text(text, &[], e),
        What::Thinking { .. } | What::Redacted(_) => thinking(what, e),
        What::Call { id, name, arguments, .. } => {
            e.object(|e| {
                e.key("type").str("tool_use");
                write_call_id(id, *calls, e.key("id"));
                e.key("name").str(name);
                if !arguments.write_object(e.key("input")) {
                    lost.add("tool_calls.arguments");
                }
            });
            *calls += 1;
        }
        What::Media(_) | What::Result { .. } | What::Foreign => lost.add("server_tools"),
    }
}

/// The signature of a call (Gemini's), for which a `tool_use` block has no place.
fn seal<'b>(what: &What<'_, 'b>) -> &'b str {
    if let What::Call { signature, .. } = what { signature } else { "" }
}

/// The thought before a call, with the call's signature: clients give it back with the call.
fn sealed(text: &str, signature: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("thinking");
        e.key("thinking").str(text);
        let signature = Signature { by: Maker::Gemini, text: signature };
        e.key("signature").text(signature.with_mark(Maker::Claude));
    });
}

fn write_text(text: &str, citations: &[Citation<'_>], e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("text");
        e.key("text").str(text);
        if !citations.is_empty() {
            e.key("citations").array(|e| citations.iter().for_each(|citation| write_citation(citation, e)));
        }
    });
}

/// A citation as one of a page that was found; the index into Anthropic's own results is empty.
pub(super) fn write_citation(citation: &Citation<'_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("web_search_result_location");
        e.key("cited_text").str(citation.quote);
        e.key("encrypted_index").str("");
        e.key("title").str(citation.title);
        e.key("url").str(citation.url);
    });
}

/// Writes a thought of several pieces as a block.
pub(super) fn thought(pieces: &[&str], signature: Signature<'_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("thinking");
        e.key("thinking").text(pieces.iter().copied());
        e.key("signature").text(signature.with_mark(Maker::Claude));
    });
}

/// Writes a thought as a block; nothing for anything else. Only Anthropic signs; its SDKs want the member.
pub(crate) fn thinking(what: &What<'_, '_>, e: &mut Emit<'_>) {
    match *what {
        What::Thinking { text, signature } => thought(&[text], signature, e),
        What::Redacted(data) => e.object(|e| {
            e.key("type").str("redacted_thinking");
            e.key("data").text(data.with_mark(Maker::Claude));
        }),
        _ => {}
    }
}
