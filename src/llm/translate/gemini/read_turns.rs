use super::{media, names, signature};
use crate::llm::translate::hub::{At, Json, Maker, Part, Role, Turn, What};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// What runs at Google is told in these parts.
const AT_GOOGLE: [&str; 4] = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];

/// Reads the system instruction and all contents; `made` is what was made of them. Neighbours of the model's are one
/// turn: clients keep the pieces of a stream apart.
pub(super) fn turns<'t, 'b>(
    body: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    lost: &mut Lost,
) -> Result<Vec<Turn<'t, 'b>>, BadRequest> {
    let mut turns: Vec<Turn<'t, 'b>> = Vec::new();
    if let Some(system) = names::get(body, "systemInstruction") {
        let parts = system_parts(system)?;
        turns.push(Turn { role: Role::System, parts });
    }
    let mut made = made.into_iter().flat_map(Value::elements);
    for (index, content) in names::each(body, "contents").enumerate() {
        let turn = turn(content, made.next(), At::top("contents", index), lost)?;
        match turns.last_mut().filter(|last| (last.role, turn.role) == (Role::Assistant, Role::Assistant)) {
            Some(last) => last.parts.extend(turn.parts),
            None => turns.push(turn),
        }
    }
    Ok(turns)
}

fn system_parts<'t, 'b>(system: Value<'t, 'b>) -> Result<Vec<Part<'t, 'b>>, BadRequest> {
    let whole = system.str().map(|text| Part::text(text, At::default()));
    let parts = names::each(system, "parts").map(|part| {
        let text = names::get(part, "text").and_then(Value::str);
        let text = text.ok_or_else(|| BadRequest::new("systemInstruction.parts", "must hold only text"))?;
        Ok(Part::text(text, At::default()))
    });
    whole.into_iter().map(Ok).chain(parts).collect()
}

fn turn<'t, 'b>(
    content: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    at: At,
    lost: &mut Lost,
) -> Result<Turn<'t, 'b>, BadRequest> {
    let role = match names::text(content, "role").to_ascii_lowercase().as_str() {
        "" | "user" | "function" => Role::User,
        "model" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(BadRequest::new(at.member("role"), "must be user or model")),
    };
    if names::get(content, "parts").is_none_or(|parts| !parts.is_array() && !parts.is_object()) {
        return Err(BadRequest::new(at.member("parts"), "must be an array of parts"));
    }
    let mut made = made.into_iter().flat_map(Value::elements);
    let mut parts = Vec::new();
    for (index, part) in names::each(content, "parts").enumerate() {
        let at = at.then("parts", index);
        parts.extend(read(part, made.next(), role, at, lost)?.map(|what| Part::new(what, at)));
    }
    Ok(Turn { role, parts })
}

/// What a part is; `None` when there is nothing in it but a signature of what stood there.
fn read<'t, 'b>(
    part: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    role: Role,
    at: At,
    lost: &mut Lost,
) -> Result<Option<What<'t, 'b>>, BadRequest> {
    let of_made = |name: &str, given: &'b str| match made.map_or("", |made| made.text(name)) {
        "" => given,
        made => made,
    };
    for name in ["videoMetadata", "mediaResolution"] {
        if names::get(part, name).is_some() {
            lost.add(name);
        }
    }
    let signature = signature::read(of_made("signature", names::text(part, "thoughtSignature")));
    if let Some(text) = names::get(part, "text").and_then(Value::str) {
        let thought = names::get(part, "thought").and_then(Value::bool) == Some(true);
        return Ok(match (thought, text) {
            (true, _) if role == Role::Assistant => Some(What::Thinking { text, signature }),
            (_, "") => None,
            _ => Some(What::Text { text, citations: Vec::new(), logprobs: None }),
        });
    }
    if let Some(media) = media::read(part, made, at)? {
        return Ok(Some(What::Media(media)));
    }
    if let Some(call) = names::get(part, "functionCall") {
        let own = if signature.by == Maker::Gemini { signature.text } else { "" };
        return read_call(call, of_made("id", names::text(call, "id")), own, role, at).map(Some);
    }
    if let Some(result) = names::get(part, "functionResponse") {
        return read_result(result, made, role, at).map(Some);
    }
    if AT_GOOGLE.iter().any(|name| names::get(part, name).is_some()) {
        return Ok(Some(What::Foreign));
    }
    if part.members().all(|(name, _)| names::is(name, "thought") || names::is(name, "thoughtSignature")) {
        return Ok(None);
    }
    let words = "must hold one of text, inlineData, fileData, functionCall, functionResponse";
    Err(BadRequest::new(at.to_string(), words))
}

fn read_call<'t, 'b>(
    call: Value<'t, 'b>,
    id: &'b str,
    signature: &'b str,
    role: Role,
    at: At,
) -> Result<What<'t, 'b>, BadRequest> {
    let name = names::text(call, "name");
    if name.is_empty() {
        return Err(BadRequest::new(at.member("functionCall.name"), "must be a non-empty string"));
    }
    if role != Role::Assistant {
        return Err(BadRequest::new(at.member("functionCall"), "must stand in a content of role model"));
    }
    Ok(What::Call { id, name, arguments: Json::of(names::get(call, "args")), signature })
}

fn read_result<'t, 'b>(
    result: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    role: Role,
    at: At,
) -> Result<What<'t, 'b>, BadRequest> {
    if role == Role::Assistant {
        return Err(BadRequest::new(at.member("functionResponse"), "must stand in a content of role user"));
    }
    let of_made = |name: &str| made.map_or("", |made| made.text(name));
    let id = match names::text(result, "id") {
        "" => of_made("id"),
        id => id,
    };
    let (words, failed) = told(result);
    let words = words.map(|words| words.str().unwrap_or_else(|| of_made("text")));
    let mut content: Vec<Part<'t, 'b>> =
        words.filter(|words| !words.is_empty()).map(|words| Part::text(words, at)).into_iter().collect();
    let mut made = made.and_then(|made| made.get("parts")).into_iter().flat_map(Value::elements);
    for part in names::each(result, "parts") {
        let media = media::read(part, made.next(), at)?.ok_or_else(|| {
            BadRequest::new(at.member("functionResponse.parts"), "must hold inlineData or fileData")
        })?;
        content.push(Part::new(What::Media(media), at));
    }
    Ok(What::Result { id, name: names::text(result, "name"), content, failed })
}

/// What the result of a tool says, and whether it says that the tool failed: the one member `error`, `output` or
/// `result` of its `response` (API reference, `FunctionResponse`), else all of it.
pub(super) fn told<'t, 'b>(result: Value<'t, 'b>) -> (Option<Value<'t, 'b>>, bool) {
    let Some(response) = names::get(result, "response") else { return (None, false) };
    let mut members = response.members();
    match (members.next(), members.next()) {
        (Some(("error", words)), None) => (Some(words), true),
        (Some(("output" | "result", words)), None) => (Some(words), false),
        (None, _) if response.is_object() => (None, false),
        _ => (Some(response), false),
    }
}
