//! Anthropic's messages as OpenAI's: one `tool` message per tool result, images by URL, calls beside the text.

use super::emit::{Emit, compact};
use super::read::{Kind, Value};
use super::{BadRequest, Lost};

/// Writes the system prompt, a string or text blocks, as the first message.
pub(super) fn write_system(system: Option<Value<'_, '_>>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let Some(system) = system else { return Ok(()) };
    let whole = system.str();
    if whole.is_none() && !system.is_array() {
        return Err(BadRequest::new("system", "must be a string or an array of text blocks"));
    }
    let blocks = system.elements().map(|block| block.text("text"));
    let texts: Vec<&str> = whole.into_iter().chain(blocks).filter(|text| !text.is_empty()).collect();
    if !texts.is_empty() {
        e.object(|e| {
            e.key("role").str("system");
            e.key("content");
            write_joined(&texts, e);
        });
    }
    Ok(())
}

/// Writes all turns into an array that is open.
pub(super) fn write(turns: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
    for (at, turn) in turns.elements().enumerate() {
        let path = format!("messages[{at}]");
        let Some(content) =
            turn.get("content").filter(|content| content.str().is_some() || content.is_array())
        else {
            return Err(BadRequest::new(path + ".content", "must be a string or an array of blocks"));
        };
        match turn.text("role") {
            "user" => write_user(content, &path, e, lost)?,
            "assistant" => write_assistant(content, &path, e, lost)?,
            "system" => write_system(Some(content), e)?,
            _ => return Err(BadRequest::new(path + ".role", "must be user or assistant")),
        }
    }
    Ok(())
}

/// Tool results first, each a message of its own right after the calls they answer, as OpenAI demands; then
/// one user message with the rest and with the images and documents that tools gave, which OpenAI takes from
/// users only.
fn write_user(
    content: Value<'_, '_>,
    path: &str,
    e: &mut Emit<'_>,
    lost: &mut Lost,
) -> Result<(), BadRequest> {
    if let Some(text) = content.str() {
        e.object(|e| {
            e.key("role").str("user");
            e.key("content").str(text);
        });
        return Ok(());
    }
    let mut parts = Vec::new();
    for (index, block) in content.elements().enumerate() {
        let path = || format!("{path}.content[{index}]");
        if block.text("type") == "tool_result" {
            write_tool_result(block, &path, &mut parts, e, lost)?;
        }
    }
    for (index, block) in content.elements().enumerate() {
        let path = || format!("{path}.content[{index}]");
        if block.text("type") != "tool_result" {
            collect_parts(block, &path, &mut parts)?;
        }
    }
    if parts.is_empty() {
        return Ok(());
    }
    e.object(|e| {
        e.key("role").str("user");
        e.key("content");
        match parts.as_slice() {
            [Part::Text(text)] => e.str(text),
            parts => e.array(|e| parts.iter().for_each(|part| part.write(e))),
        }
    });
    Ok(())
}

fn write_tool_result<'b>(
    result: Value<'_, 'b>,
    path: &dyn Fn() -> String,
    media: &mut Vec<Part<'b>>,
    e: &mut Emit<'_>,
    lost: &mut Lost,
) -> Result<(), BadRequest> {
    let mut texts = Vec::new();
    if result.get("is_error").and_then(Value::bool) == Some(true) {
        texts.push("The tool failed:"); // OpenAI has no flag for it
    }
    match result.get("content").map(|content| (content, content.kind())) {
        None => {}
        Some((_, Kind::String(text))) => texts.push(text),
        Some((content, _)) => {
            for block in content.elements() {
                if block.text("type") == "tool_reference" {
                    lost.add("tool_reference");
                    continue;
                }
                let start = media.len();
                collect_parts(block, path, media)?;
                for part in media.split_off(start) {
                    match part {
                        Part::Text(text) => texts.push(text),
                        other => {
                            texts.push("[attached to the next user message]");
                            media.push(other);
                        }
                    }
                }
            }
        }
    }
    e.object(|e| {
        e.key("role").str("tool");
        e.key("tool_call_id").str(result.text("tool_use_id"));
        e.key("content");
        write_joined(&texts, e);
    });
    Ok(())
}

fn write_assistant(
    content: Value<'_, '_>,
    path: &str,
    e: &mut Emit<'_>,
    lost: &mut Lost,
) -> Result<(), BadRequest> {
    for (index, block) in content.elements().enumerate() {
        match block.text("type") {
            "text" | "tool_use" => {}
            "thinking" | "redacted_thinking" => lost.add("thinking"),
            "" => {
                return Err(BadRequest::new(
                    format!("{path}.content[{index}].type"),
                    "must name the type of the block",
                ));
            }
            _ => lost.add("server_tools"),
        }
    }
    let of = |kind: &'static str| content.elements().filter(move |block| block.text("type") == kind);
    let calls = of("tool_use").next().is_some();
    e.object(|e| {
        e.key("role").str("assistant");
        let texts = content.str().into_iter().chain(of("text").map(|block| block.text("text")));
        if calls && of("text").next().is_none() {
            e.key("content").raw("null");
        } else {
            e.key("content").text(texts);
        }
        if calls {
            e.key("tool_calls").array(|e| of("tool_use").for_each(|block| write_tool_call(block, e)));
        }
    });
    Ok(())
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

/// A part of a user message.
enum Part<'b> {
    Text(&'b str),
    ImageUrl(&'b str),
    Image { media_type: &'b str, data: &'b str },
    File { name: &'b str, media_type: &'b str, data: &'b str },
}

impl Part<'_> {
    fn write(&self, e: &mut Emit<'_>) {
        e.object(|e| match *self {
            Part::Text(text) => {
                e.key("type").str("text");
                e.key("text").str(text);
            }
            Part::ImageUrl(url) => {
                e.key("type").str("image_url");
                e.key("image_url").object(|e| e.key("url").str(url));
            }
            Part::Image { media_type, data } => {
                e.key("type").str("image_url");
                e.key("image_url").object(|e| e.key("url").text(["data:", media_type, ";base64,", data]));
            }
            Part::File { name, media_type, data } => {
                e.key("type").str("file");
                e.key("file").object(|e| {
                    e.key("filename").str(if name.is_empty() { "document.pdf" } else { name });
                    e.key("file_data").text(["data:", media_type, ";base64,", data]);
                });
            }
        });
    }
}

/// The parts that one block of a user message or of a tool result becomes.
fn collect_parts<'b>(
    block: Value<'_, 'b>,
    path: &dyn Fn() -> String,
    parts: &mut Vec<Part<'b>>,
) -> Result<(), BadRequest> {
    let source = block.get("source");
    let of = |name: &str| source.map_or("", |source| source.text(name));
    match (block.text("type"), of("type")) {
        ("text", _) => parts.push(Part::Text(block.text("text"))),
        ("image", "url") => parts.push(Part::ImageUrl(of("url"))),
        ("image", "base64") => parts.push(Part::Image { media_type: of("media_type"), data: of("data") }),
        ("document", "base64") => {
            parts.push(Part::File {
                name: block.text("title"),
                media_type: of("media_type"),
                data: of("data"),
            });
        }
        ("document", "text") => parts.push(Part::Text(of("data"))),
        ("document", "content") => {
            let held = source.and_then(|source| source.get("content"));
            parts.extend(held.and_then(Value::str).map(Part::Text));
            for inner in
                held.into_iter().flat_map(Value::elements).filter(|inner| inner.text("type") != "document")
            {
                collect_parts(inner, path, parts)?;
            }
        }
        ("search_result", _) => {
            parts.push(Part::Text(block.text("title")));
            let held = block.get("content").into_iter().flat_map(Value::elements);
            parts.extend(held.map(|inner| Part::Text(inner.text("text"))));
        }
        ("image" | "document", _) => {
            return Err(BadRequest::new(
                path() + ".source",
                "is of a type that cannot be sent to this provider",
            ));
        }
        _ => {
            return Err(BadRequest::new(path() + ".type", "is a block that cannot be sent to this provider"));
        }
    }
    Ok(())
}

fn write_joined(texts: &[&str], e: &mut Emit<'_>) {
    let joints = std::iter::once("").chain(std::iter::repeat("\n"));
    e.text(texts.iter().zip(joints).flat_map(|(text, joint)| [joint, text]));
}
