use crate::llm::translate::hub::{
    At, Citation, Finish, Json, Maker, Media, MediaKind, Part, Reply, Signature, Source, What,
};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadReply, Lost};

/// What `stopReason` says.
pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "tool_use" => Finish::Calls,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => Finish::StopSequence,
        "guardrail_intervened" | "content_filtered" => Finish::Refused,
        _ => Finish::Stop, // end_turn, malformed_model_output, malformed_tool_use, and what is yet to come
    }
}

/// Reads the answer to Converse. It says neither an id nor the model, so that who asked must know whose signatures are in it.
pub(crate) fn read<'t, 'b>(answer: Value<'t, 'b>, maker: Maker) -> Result<Reply<'t, 'b>, BadReply> {
    let message = answer.get("output").and_then(|output| output.get("message"));
    let content = message.and_then(|message| message.get("content")).filter(|content| content.is_array());
    let content = content.ok_or(BadReply::NotAnAnswer)?;
    let reason = answer.text("stopReason");
    let mut whats = Vec::new();
    content.elements().for_each(|block| read_block(block, maker, &mut whats));
    let called = whats.iter().any(|what| matches!(what, What::Call { .. }));
    let mut lost = Lost::default();
    if reason.starts_with("malformed_") {
        lost.add("stop_reason"); // no other format says that a model wrote what Bedrock cannot read
    }
    let more = answer.get("additionalModelResponseFields");
    Ok(Reply {
        id: "",
        model: "",
        parts: whats.into_iter().map(|what| Part::new(what, At::default())).collect(),
        finish: finish_of(reason).given(called, false),
        stop_sequence: more.and_then(|more| more.get("stop_sequence")?.str()),
        lost,
        ..Reply::default()
    })
}

/// What a block of the model's is; a block is an object with the one member that it is.
fn read_block<'t, 'b>(block: Value<'t, 'b>, by: Maker, to: &mut Vec<What<'t, 'b>>) {
    let Some((kind, held)) = block.members().find(|(_, held)| !held.is_null()) else { return };
    match kind {
        "text" => to.push(text(held.str().unwrap_or_default(), Vec::new())),
        "toolUse" if is_clients(held) => to.push(What::Call {
            id: held.text("toolUseId"),
            name: held.text("name"),
            arguments: Json::of(held.get("input")),
            signature: "",
        }),
        "reasoningContent" => match held.get("reasoningText") {
            Some(thought) => to.push(What::Thinking {
                text: thought.text("text"),
                signature: Signature { by, text: thought.text("signature") },
            }),
            None => to.push(What::Redacted(Signature { by, text: held.text("redactedContent") })),
        },
        "citationsContent" => {
            let texts = held.get("content").into_iter().flat_map(Value::elements);
            to.extend(texts.map(|piece| text(piece.text("text"), Vec::new())));
            let cited = held.get("citations").into_iter().flat_map(Value::elements).map(citation);
            if let Some(What::Text { citations, .. }) = to.last_mut() {
                citations.extend(cited);
            }
        }
        "image" => {
            let data = held.get("source").map_or("", |source| source.text("bytes"));
            let media_type = match held.text("format") {
                "jpeg" => "image/jpeg",
                "gif" => "image/gif",
                "webp" => "image/webp",
                _ => "image/png",
            };
            let source = Source::Base64 { media_type, data };
            to.push(What::Media(Media { kind: MediaKind::Image, source, title: "", detail: "" }));
        }
        _ => to.push(What::Foreign), // calls and results of tools that ran at Bedrock, and what is yet to come
    }
}

fn text<'t, 'b>(text: &'b str, citations: Vec<Citation<'b>>) -> What<'t, 'b> {
    What::Text { text, citations, logprobs: None }
}

/// Whether a call is of a tool of the client's; those that run at Bedrock have a type of their own. Claude's own word for
/// it comes through.
pub(super) fn is_clients(call: Value<'_, '_>) -> bool {
    matches!(call.text("type"), "" | "tool_use")
}

/// What is cited: a page, a search result that the client sent, or a place in a document of the client's.
pub(super) fn citation<'b>(cited: Value<'_, 'b>) -> Citation<'b> {
    let page =
        cited.get("location").and_then(|location| location.get("web")).map_or("", |web| web.text("url"));
    let source = Some(cited.text("source")).filter(|source| source.starts_with("http"));
    let quotes = cited.get("sourceContent").into_iter().flat_map(Value::elements);
    Citation {
        url: if page.is_empty() { source.unwrap_or_default() } else { page },
        title: cited.text("title"),
        quote: quotes.map(|quote| quote.text("text")).next().unwrap_or_default(),
        span: None,
    }
}
