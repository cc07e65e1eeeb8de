use crate::llm::translate::hub::{At, Json, Media, MediaKind, Part, Role, Source, Turn, What};
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadRequest, Lost};

/// Reads the system prompt, a string or text blocks, and all turns.
pub(super) fn turns<'t, 'b>(
    system: Option<Value<'t, 'b>>,
    messages: Value<'t, 'b>,
    lost: &mut Lost,
) -> Result<Vec<Turn<'t, 'b>>, BadRequest> {
    let mut turns = Vec::new();
    if let Some(system) = system {
        let words = "must be a string or an array of text blocks";
        let parts = texts(system, At::default()).ok_or_else(|| BadRequest::new("system", words))?;
        turns.push(Turn { role: Role::System, parts });
    }
    for (index, message) in messages.elements().enumerate() {
        turns.push(turn(message, At::top("messages", index), lost)?);
    }
    Ok(turns)
}

/// A string or an array of text blocks.
fn texts<'t, 'b>(given: Value<'t, 'b>, at: At) -> Option<Vec<Part<'t, 'b>>> {
    match given.kind() {
        Kind::String(text) => Some(vec![Part::text(text, at)]),
        Kind::Array => Some(given.elements().map(|block| text(block, at)).collect()),
        _ => None,
    }
}

fn text<'t, 'b>(block: Value<'t, 'b>, at: At) -> Part<'t, 'b> {
    Part::text(block.text("text"), at).cached(block.get("cache_control"))
}

fn turn<'t, 'b>(message: Value<'t, 'b>, at: At, lost: &mut Lost) -> Result<Turn<'t, 'b>, BadRequest> {
    let content = message.get("content").filter(|content| content.str().is_some() || content.is_array());
    let Some(content) = content else {
        return Err(BadRequest::new(at.member("content"), "must be a string or an array of blocks"));
    };
    let role = match message.text("role") {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => {
            let parts = texts(content, at).unwrap_or_default();
            return Ok(Turn { role: Role::System, parts });
        }
        _ => return Err(BadRequest::new(at.member("role"), "must be user or assistant")),
    };
    let mut parts: Vec<Part<'t, 'b>> = content.str().map(|text| Part::text(text, at)).into_iter().collect();
    for (index, block) in content.elements().enumerate() {
        let at = at.then("content", index);
        match role {
            Role::Assistant => parts.push(said(block, at)?),
            _ => asked(block, at, &mut parts, lost)?,
        }
    }
    Ok(Turn { role, parts })
}

/// A block of the model's.
fn said<'t, 'b>(block: Value<'t, 'b>, at: At) -> Result<Part<'t, 'b>, BadRequest> {
    match block.text("type") {
        "text" => Ok(text(block, at)),
        "" => Err(BadRequest::new(at.member("type"), "must name the type of the block")),
        _ => Ok(Part::new(super::reply::block(block), at).cached(block.get("cache_control"))),
    }
}

/// The parts that one block of the user's becomes.
fn asked<'t, 'b>(
    block: Value<'t, 'b>,
    at: At,
    parts: &mut Vec<Part<'t, 'b>>,
    lost: &mut Lost,
) -> Result<(), BadRequest> {
    if block.text("type") != "tool_result" {
        return content(block, at, parts);
    }
    let mut held = Vec::new();
    match block.get("content").map(|content| (content, content.kind())) {
        None => {}
        Some((_, Kind::String(text))) => held.push(Part::text(text, at)),
        Some((list, _)) => {
            for inner in list.elements() {
                match inner.text("type") {
                    "tool_reference" => lost.add("tool_reference"),
                    _ => content(inner, at, &mut held)?,
                }
            }
        }
    }
    let what = What::Result {
        id: block.text("tool_use_id"),
        name: "",
        content: held,
        failed: block.get("is_error").and_then(Value::bool) == Some(true),
    };
    parts.push(Part::new(what, at).cached(block.get("cache_control")));
    Ok(())
}

/// The parts that one block of a user's turn or of a tool's result becomes.
fn content<'t, 'b>(block: Value<'t, 'b>, at: At, parts: &mut Vec<Part<'t, 'b>>) -> Result<(), BadRequest> {
    let source = block.get("source");
    let of = |name: &str| source.map_or("", |source| source.text(name));
    match (block.text("type"), of("type")) {
        ("text", _) => parts.push(text(block, at)),
        ("document", "text") => parts.push(Part::text(of("data"), at).cached(block.get("cache_control"))),
        ("document", "content") => {
            let held = source.and_then(|source| source.get("content"));
            parts.extend(held.and_then(Value::str).map(|text| Part::text(text, at)));
            let blocks = held.into_iter().flat_map(Value::elements);
            for inner in blocks.filter(|inner| inner.text("type") != "document") {
                content(inner, at, parts)?;
            }
        }
        ("search_result", _) => {
            parts.push(Part::text(block.text("title"), at));
            let held = block.get("content").into_iter().flat_map(Value::elements);
            parts.extend(held.map(|inner| Part::text(inner.text("text"), at)));
        }
        (kind @ ("image" | "document"), from) => {
            let source = match from {
                "url" => Source::Url(of("url")),
                "base64" => Source::Base64 { media_type: of("media_type"), data: of("data") },
                "file" => Source::Kept(of("file_id")),
                _ => {
                    return Err(BadRequest::new(
                        at.member("source"),
                        "must be of type base64, url, text, content or file",
                    ));
                }
            };
            let kind = if kind == "image" { MediaKind::Image } else { MediaKind::Document };
            let media = Media { kind, source, title: block.text("title"), detail: "" };
            parts.push(Part::new(What::Media(media), at).cached(block.get("cache_control")));
        }
        _ => {
            return Err(BadRequest::new(
                at.member("type"),
                "is a block that cannot be sent to this provider",
            ));
        }
    }
    Ok(())
}

/// The input of a call.
pub(super) fn input<'t, 'b>(block: Value<'t, 'b>) -> Json<'t, 'b> {
    Json::of(block.get("input"))
}
