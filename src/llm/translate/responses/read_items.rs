use super::{thought, tools};
use crate::llm::translate::BadRequest;
use crate::llm::translate::hub::{
    At, Json, Media, MediaKind, Part, Request, Role, Source, Tool, Turn, What, openai,
};
use crate::llm::translate::read::{Kind, Value};
use std::collections::HashSet;

/// Reads `instructions` and `input`. Neighbours that the model said (thoughts, messages, calls) are one turn, and so
/// are the results of neighbouring calls.
pub(super) fn turns<'t, 'b>(body: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    if let Some(instructions) = body.get("instructions") {
        let text = instructions.str().ok_or_else(|| BadRequest::new("instructions", "must be a string"))?;
        add(Role::System, vec![Part::text(text, At::default())], request);
    }
    let input = body.get("input").map(|input| (input, input.kind()));
    match input {
        Some((_, Kind::String(text))) => {
            add(Role::User, vec![Part::text(text, At::default())], request);
        }
        Some((items, Kind::Array)) => {
            let (mut last, mut known) = (Last::Other, known_tools(request));
            for (index, value) in items.elements().enumerate() {
                last = item(value, At::top("input", index), last, &mut known, request)?;
            }
        }
        _ => return Err(BadRequest::new("input", "must be a string or an array of items")),
    }
    if request.turns.is_empty() {
        return Err(BadRequest::new("input", "must hold at least one item with content"));
    }
    Ok(())
}

/// What the item before was, to whose turn the next may belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Said,
    Result,
    Other,
}

fn add<'t, 'b>(role: Role, parts: Vec<Part<'t, 'b>>, request: &mut Request<'t, 'b>) {
    request.turns.push(Turn { role, parts });
}

/// Adds to the turn that is open if the item before was of the same kind, else begins one.
fn join<'t, 'b>(role: Role, parts: Vec<Part<'t, 'b>>, joins: bool, request: &mut Request<'t, 'b>) {
    match request.turns.last_mut().filter(|_| joins) {
        Some(turn) => turn.parts.extend(parts),
        None => add(role, parts, request),
    }
}

/// Reads an item and says what it was.
fn item<'t, 'b>(
    item: Value<'t, 'b>,
    at: At,
    last: Last,
    known: &mut HashSet<&'b str>,
    request: &mut Request<'t, 'b>,
) -> Result<Last, BadRequest> {
    let said = |parts, request: &mut Request<'t, 'b>| {
        join(Role::Assistant, parts, last == Last::Said, request);
        Ok(Last::Said)
    };
    match item.text("type") {
        "message" => message(item, at, last, request),
        "" if item.get("role").is_some() => message(item, at, last, request),
        "function_call" => said(vec![call(item, at)?], request),
        "reasoning" => {
            let mut parts = Vec::new();
            thought::given_back(item, at, &mut parts);
            said(parts, request)
        }
        "function_call_output" => {
            join(Role::User, vec![result(item, at)?], last == Last::Result, request);
            Ok(Last::Result)
        }
        "additional_tools" => {
            more_tools(item, at, known, request)?;
            Ok(last)
        }
        kind => {
            request.lost.add(foreign(kind, item, at)?);
            Ok(last)
        }
    }
}

/// The hub's word for an item that no other provider can read, unless the conversation cannot do without it.
fn foreign(kind: &str, item: Value<'_, '_>, at: At) -> Result<&'static str, BadRequest> {
    match kind {
        "custom_tool_call" | "custom_tool_call_output" => Ok("custom_tools"),
        "item_reference" => Err(kept(at)),
        "" if item.get("id").is_some() => Err(kept(at)),
        "compaction" | "compaction_trigger" => {
            let words = "is a conversation that only OpenAI can read: send its items instead";
            Err(BadRequest::new(at.to_string(), words))
        }
        kind if kind.starts_with("mcp_") || kind.ends_with("_call") || kind.ends_with("_output") => {
            Ok("server_tools")
        }
        _ => {
            let words = "must be one of message, function_call, function_call_output, reasoning";
            Err(BadRequest::new(at.member("type"), words))
        }
    }
}

fn kept(at: At) -> BadRequest {
    let words = "points to what OpenAI keeps and this provider does not have: send the item itself";
    BadRequest::new(at.to_string(), words)
}

/// The names of the functions that the request has already.
fn known_tools<'b>(request: &Request<'_, 'b>) -> HashSet<&'b str> {
    let name = |tool: &Tool<'_, 'b>| match tool {
        Tool::Function(function) => Some(function.name),
        Tool::Foreign(_) => None,
    };
    request.tools.iter().filter_map(name).collect()
}

/// Tools that are added on the way; those that are `known` already are not added twice.
fn more_tools<'t, 'b>(
    item: Value<'t, 'b>,
    at: At,
    known: &mut HashSet<&'b str>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    for (index, tool) in item.get("tools").into_iter().flat_map(Value::elements).enumerate() {
        let name = tool.text("name");
        if known.contains(name) {
            continue;
        }
        tools::read_tool(tool, at.then("tools", index), request)?;
        if tool.text("type") == "function" {
            known.insert(name);
        }
    }
    Ok(())
}

fn message<'t, 'b>(
    message: Value<'t, 'b>,
    at: At,
    last: Last,
    request: &mut Request<'t, 'b>,
) -> Result<Last, BadRequest> {
    let role = match message.text("role") {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            let words = "must be one of system, developer, user, assistant";
            return Err(BadRequest::new(at.member("role"), words));
        }
    };
    let parts = match message.get("content").map(|content| (content, content.kind())) {
        Some((_, Kind::String(text))) => vec![Part::text(text, at)],
        Some((content, Kind::Array)) => contents(content, "content", at, role)?,
        _ => return Err(BadRequest::new(at.member("content"), "must be a string or an array of parts")),
    };
    if message.get("phase").is_some() {
        request.lost.add("phase"); // which of a model's messages is its answer: only OpenAI's models say so
    }
    let is_said = role == Role::Assistant;
    join(role, parts, is_said && last == Last::Said, request);
    Ok(if is_said { Last::Said } else { Last::Other })
}

/// The parts in `list`, which is called `name`.
fn contents<'t, 'b>(
    list: Value<'t, 'b>,
    name: &'static str,
    at: At,
    role: Role,
) -> Result<Vec<Part<'t, 'b>>, BadRequest> {
    let parts = list.elements().enumerate();
    parts.map(|(index, part)| content(part, at.then(name, index), role)).collect()
}

fn content<'t, 'b>(part: Value<'t, 'b>, at: At, role: Role) -> Result<Part<'t, 'b>, BadRequest> {
    let media = match part.text("type") {
        "input_text" | "output_text" | "text" => {
            return Ok(Part::text(part.text("text"), at).cached(part.get("cache_control")));
        }
        "refusal" if role == Role::Assistant => {
            return Ok(Part::new(What::Refusal(part.text("refusal")), at));
        }
        _ if role == Role::Assistant => {
            let words = "a message of the assistant holds only output_text and refusal";
            return Err(BadRequest::new(at.member("type"), words));
        }
        _ if role == Role::System => {
            return Err(BadRequest::new(at.member("type"), "a message of the system holds only input_text"));
        }
        "input_image" => image(part, at)?,
        "input_file" => file(part, at)?,
        "input_audio" => openai::audio(part, at)?,
        _ => {
            let words = "must be one of input_text, input_image, input_file, input_audio";
            return Err(BadRequest::new(at.member("type"), words));
        }
    };
    Ok(Part::new(What::Media(media), at).cached(part.get("cache_control")))
}

fn image<'b>(part: Value<'_, 'b>, at: At) -> Result<Media<'b>, BadRequest> {
    let source = match (part.text("image_url"), part.text("file_id")) {
        ("", id) if !id.is_empty() => Source::Kept(id),
        (url, _) => Source::of_url(url).ok_or_else(|| {
            BadRequest::new(at.member("image_url"), "must be an http(s) URL or a base64 data URL")
        })?,
    };
    Ok(Media { kind: MediaKind::Image, source, title: "", detail: part.text("detail") })
}

fn file<'b>(part: Value<'_, 'b>, at: At) -> Result<Media<'b>, BadRequest> {
    let title = part.text("filename");
    let (kind, source) = match (part.text("file_data"), part.text("file_url"), part.text("file_id")) {
        ("", "", "") => {
            return Err(BadRequest::new(at.member("file_data"), "must be given, or a file_url"));
        }
        ("", "", id) => (MediaKind::Document, Source::Kept(id)),
        ("", url, _) => match Source::of_url(url) {
            Some(source @ Source::Url(_)) => (MediaKind::Document, source),
            _ => return Err(BadRequest::new(at.member("file_url"), "must be an http(s) URL")),
        },
        (data, ..) => match Source::of_url(data) {
            Some(source @ Source::Base64 { media_type, .. }) => (MediaKind::of(media_type), source),
            _ => return Err(BadRequest::new(at.member("file_data"), "must be a base64 data URL")),
        },
    };
    Ok(Media { kind, source, title, detail: "" })
}

fn call<'t, 'b>(item: Value<'t, 'b>, at: At) -> Result<Part<'t, 'b>, BadRequest> {
    let (id, name) = (item.text("call_id"), item.text("name"));
    if id.is_empty() || name.is_empty() {
        return Err(BadRequest::new(at.to_string(), "must have a call_id and a name"));
    }
    let arguments = Json::of(item.get("arguments"));
    Ok(Part::new(What::Call { id, name, arguments, signature: openai::signature(item) }, at))
}

fn result<'t, 'b>(item: Value<'t, 'b>, at: At) -> Result<Part<'t, 'b>, BadRequest> {
    let id = item.text("call_id");
    if id.is_empty() {
        return Err(BadRequest::new(at.member("call_id"), "must name the call that this answers"));
    }
    let content = match item.get("output").map(|output| (output, output.kind())) {
        None => Vec::new(),
        Some((_, Kind::String(text))) => vec![Part::text(text, at)],
        Some((list, Kind::Array)) => contents(list, "output", at, Role::User)?,
        Some(_) => return Err(BadRequest::new(at.member("output"), "must be a string or an array of parts")),
    };
    Ok(Part::new(What::Result { id, name: "", content, failed: false }, at))
}
