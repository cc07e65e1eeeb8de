use crate::llm::translate::hub::{
    At, Json, Maker, Media, MediaKind, Part, Role, Signature, Source, Turn, What, openai,
};
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadRequest, Lost};

/// Reads all messages.
pub(super) fn turns<'t, 'b>(
    messages: Value<'t, 'b>,
    lost: &mut Lost,
) -> Result<Vec<Turn<'t, 'b>>, BadRequest> {
    let turn = |(index, message)| turn(message, At::top("messages", index), lost);
    messages.elements().enumerate().map(turn).collect()
}

fn turn<'t, 'b>(message: Value<'t, 'b>, at: At, lost: &mut Lost) -> Result<Turn<'t, 'b>, BadRequest> {
    let (role, parts) = match message.text("role") {
        "system" | "developer" => (Role::System, contents(message, at, true)?),
        "user" => (Role::User, contents(message, at, false)?),
        "assistant" => (Role::Assistant, assistant(message, at, lost)?),
        "tool" => (Role::User, vec![tool_result(message, at)?]),
        "function" => {
            let words = "messages of role function are deprecated and not translated: use role tool";
            return Err(BadRequest::new(at.member("role"), words));
        }
        _ => {
            let words = "must be one of system, developer, user, assistant, tool";
            return Err(BadRequest::new(at.member("role"), words));
        }
    };
    Ok(Turn { role, parts })
}

/// The content of a message that is no assistant's: a string, or a list of parts.
fn contents<'t, 'b>(
    message: Value<'t, 'b>,
    at: At,
    may_be_missing: bool,
) -> Result<Vec<Part<'t, 'b>>, BadRequest> {
    match message.get("content").map(|content| (content, content.kind())) {
        None if may_be_missing => Ok(Vec::new()),
        Some((_, Kind::String(text))) => Ok(vec![Part::text(text, at).cached(message.get("cache_control"))]),
        Some((content, Kind::Array)) => {
            let parts = content.elements().enumerate();
            parts.map(|(index, part)| content_part(part, at.then("content", index))).collect()
        }
        _ => Err(bad_content(at)),
    }
}

fn content_part<'t, 'b>(part: Value<'t, 'b>, at: At) -> Result<Part<'t, 'b>, BadRequest> {
    let what = match part.text("type") {
        "text" => return Ok(Part::text(part.text("text"), at).cached(part.get("cache_control"))),
        "image_url" => image(part, at)?,
        "file" => file(part, at)?,
        "input_audio" => openai::audio(part, at)?,
        _ => {
            let words = "must be one of text, image_url, file, input_audio";
            return Err(BadRequest::new(at.member("type"), words));
        }
    };
    Ok(Part::new(What::Media(what), at).cached(part.get("cache_control")))
}

fn image<'b>(part: Value<'_, 'b>, at: At) -> Result<Media<'b>, BadRequest> {
    let image = part.get("image_url");
    let url = image.map_or("", |image| image.str().unwrap_or_else(|| image.text("url")));
    let words = "must be an http(s) URL or a base64 data URL";
    let source = Source::of_url(url).ok_or_else(|| BadRequest::new(at.member("image_url.url"), words))?;
    let detail = image.map_or("", |image| image.text("detail"));
    Ok(Media { kind: MediaKind::Image, source, title: "", detail })
}

fn file<'b>(part: Value<'_, 'b>, at: At) -> Result<Media<'b>, BadRequest> {
    let Some(file) = part.get("file") else {
        return Err(BadRequest::new(at.member("file"), "must be an object"));
    };
    let title = file.text("filename");
    let (kind, source) = match (file.text("file_data"), file.text("file_id")) {
        ("", "") => {
            return Err(BadRequest::new(at.member("file.file_data"), "must be given, or a file_id"));
        }
        ("", id) => (MediaKind::Document, Source::Kept(id)),
        (data, _) => match Source::of_url(data) {
            Some(source @ Source::Base64 { media_type, .. }) => (MediaKind::of(media_type), source),
            _ => return Err(BadRequest::new(at.member("file.file_data"), "must be a base64 data URL")),
        },
    };
    Ok(Media { kind, source, title, detail: "" })
}

/// Thinking first, then text, then tool calls: the order in which they were said.
fn assistant<'t, 'b>(
    message: Value<'t, 'b>,
    at: At,
    lost: &mut Lost,
) -> Result<Vec<Part<'t, 'b>>, BadRequest> {
    if message.get("function_call").is_some() {
        let words = "is deprecated and not translated: use tool_calls";
        return Err(BadRequest::new(at.member("function_call"), words));
    }
    if message.get("audio").is_some() {
        lost.add("audio"); // an id of what OpenAI said before
    }
    let mut parts = thoughts(message, at);
    match message.get("content").map(|content| (content, content.kind())) {
        None => {}
        Some((_, Kind::String(text))) => {
            parts.push(Part::text(text, at).cached(message.get("cache_control")));
        }
        Some((content, Kind::Array)) => {
            for (index, part) in content.elements().enumerate() {
                let at = at.then("content", index);
                let part = match part.text("type") {
                    "text" => Part::text(part.text("text"), at).cached(part.get("cache_control")),
                    "refusal" => Part::new(What::Refusal(part.text("refusal")), at),
                    "thinking" => Part::new(thought(part), at), // Mistral's, and clients that mix formats
                    _ => {
                        let words = "an assistant message holds only text and refusal";
                        return Err(BadRequest::new(at.member("type"), words));
                    }
                };
                parts.push(part);
            }
        }
        Some(_) => return Err(bad_content(at)),
    }
    if let Some(refusal) = message.get("refusal").and_then(Value::str) {
        parts.push(Part::new(What::Refusal(refusal), at));
    }
    for (index, call) in message.get("tool_calls").into_iter().flat_map(Value::elements).enumerate() {
        parts.push(tool_call(call, at.then("tool_calls", index))?);
    }
    Ok(parts)
}

/// What was thought: blocks with their signatures as `reply` gives them out, else what other providers call
/// `reasoning_content`.
fn thoughts<'t, 'b>(message: Value<'t, 'b>, at: At) -> Vec<Part<'t, 'b>> {
    let Some(blocks) = message.get("thinking_blocks") else {
        let text = super::reply::reasoning(message);
        let thought = (!text.is_empty()).then_some(What::Thinking { text, signature: Signature::NONE });
        return thought.into_iter().map(|what| Part::new(what, at)).collect();
    };
    let thought = |block: Value<'t, 'b>| match block.text("type") {
        "redacted_thinking" => What::Redacted(Signature::marked(block.text("data"), Maker::Claude)),
        _ => thought(block),
    };
    blocks.elements().map(|block| Part::new(thought(block), at)).collect()
}

fn thought<'t, 'b>(block: Value<'t, 'b>) -> What<'t, 'b> {
    let signature = Signature::marked(block.text("signature"), Maker::Claude);
    What::Thinking { text: block.text("thinking"), signature }
}

fn tool_call<'t, 'b>(call: Value<'t, 'b>, at: At) -> Result<Part<'t, 'b>, BadRequest> {
    let Some(function) = call.get("function") else {
        return Err(BadRequest::new(at.to_string(), "must be a call of type function"));
    };
    let (id, name) = (call.text("id"), function.text("name"));
    if id.is_empty() || name.is_empty() {
        return Err(BadRequest::new(at.to_string(), "must have an id and a function name"));
    }
    let arguments = Json::of(function.get("arguments"));
    Ok(Part::new(What::Call { id, name, arguments, signature: openai::signature(call) }, at))
}

fn tool_result<'t, 'b>(message: Value<'t, 'b>, at: At) -> Result<Part<'t, 'b>, BadRequest> {
    let id = message.text("tool_call_id");
    if id.is_empty() {
        return Err(BadRequest::new(at.member("tool_call_id"), "must name the tool call that this answers"));
    }
    let content = contents(message, at, true)?.into_iter().map(|part| part.cached(None)).collect();
    let what = What::Result { id, name: message.text("name"), content, failed: false };
    Ok(Part::new(what, at).cached(message.get("cache_control")))
}

fn bad_content(at: At) -> BadRequest {
    BadRequest::new(at.member("content"), "must be a string or an array of parts")
}
