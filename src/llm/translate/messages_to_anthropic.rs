//! OpenAI's messages as Anthropic's: the system prompt apart, turns that alternate, content in typed blocks.

use super::emit::Emit;
use super::media_to_anthropic::Media;
use super::read::{Decoder, Kind, Value};
use super::{BadRequest, Lost};

/// Whether there are system messages, and whether there are others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    None,
    Some,
    Alone,
}

pub(super) fn system(messages: Value<'_, '_>) -> System {
    let (any, all) = (messages.elements().any(is_system), messages.elements().all(is_system));
    match (any, all) {
        (false, _) => System::None,
        (true, false) => System::Some,
        (true, true) => System::Alone,
    }
}

/// Writes the member `system` from all system and developer messages, joined with a line feed; nothing when
/// there are none. It is a list of blocks only if a part carries a `cache_control` that has to be kept.
pub(super) fn write_system(messages: Value<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let mut parts: Vec<(&str, Option<Value<'_, '_>>)> = Vec::new();
    for (at, message) in messages.elements().enumerate().filter(|(_, message)| is_system(*message)) {
        let Some(content) = message.get("content") else { continue };
        match content.kind() {
            Kind::String(text) => parts.push((text, message.get("cache_control"))),
            Kind::Array => {
                for (index, part) in content.elements().enumerate() {
                    if part.text("type") != "text" {
                        let param = format!("messages[{at}].content[{index}]");
                        return Err(BadRequest::new(param, "a system message holds only text"));
                    }
                    parts.push((part.text("text"), part.get("cache_control")));
                }
            }
            _ => return Err(bad_content(&format!("messages[{at}]"))),
        }
    }
    parts.retain(|(text, _)| !is_blank(text));
    if parts.is_empty() {
        return Ok(());
    }
    e.key("system");
    if parts.iter().any(|(_, cache)| cache.is_some()) {
        e.array(|e| parts.iter().for_each(|(text, cache)| write_text(text, *cache, e)));
    } else {
        let joints = std::iter::once("").chain(std::iter::repeat("\n"));
        e.text(parts.iter().zip(joints).flat_map(|((text, _), joint)| [joint, text]));
    }
    Ok(())
}

/// Writes the array of all other messages. Neighbours of one role become one message, as Anthropic's turns
/// alternate; so the results of parallel tool calls stand together in one user message. A system prompt that
/// stands alone, which OpenAI answers and Anthropic refuses, is what the user says.
pub(super) fn write(messages: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
    let mut turns = Turns { e, open: None, lost };
    turns.e.open(b'[');
    let count = messages.elements().count();
    let alone = system(messages) == System::Alone;
    for (at, message) in messages.elements().enumerate().filter(|(_, message)| alone || !is_system(*message))
    {
        let path = format!("messages[{at}]");
        match message.text("role") {
            "user" | "system" | "developer" => turns.user(message, &path)?,
            "assistant" => turns.assistant(message, at + 1 == count, &path)?,
            "tool" => turns.tool_result(message, &path)?,
            "function" => {
                let words = "messages of role function are deprecated and not translated: use role tool";
                return Err(BadRequest::new(path + ".role", words));
            }
            _ => {
                let words = "must be one of system, developer, user, assistant, tool";
                return Err(BadRequest::new(path + ".role", words));
            }
        }
    }
    if turns.open.is_none() {
        return Err(BadRequest::new("messages", "must hold at least one message with content"));
    }
    turns.close();
    turns.e.close(b']');
    Ok(())
}

/// Whether the conversation stands in a tool loop (tool calls after the last user message) whose calls come
/// without the thinking blocks that Anthropic demands back when thinking is on.
pub(super) fn tool_loop_without_thinking(messages: Value<'_, '_>) -> bool {
    messages.elements().fold(false, |without, message| match message.text("role") {
        "user" => false,
        "assistant" if message.get("tool_calls").is_some() => message.get("thinking_blocks").is_none(),
        _ => without,
    })
}

fn is_system(message: Value<'_, '_>) -> bool {
    matches!(message.text("role"), "system" | "developer")
}

/// Writes blocks into messages, opening a message when its first block comes; a message without any block is
/// not written, as Anthropic refuses empty ones.
struct Turns<'e, 'o, 'l> {
    e: &'e mut Emit<'o>,
    /// The role of the message that is open.
    open: Option<&'static str>,
    lost: &'l mut Lost,
}

impl<'o> Turns<'_, 'o, '_> {
    fn user(&mut self, message: Value<'_, '_>, path: &str) -> Result<(), BadRequest> {
        let Some(content) = message.get("content") else { return Err(bad_content(path)) };
        match content.kind() {
            Kind::String(text) => self.text("user", text, message.get("cache_control")),
            Kind::Array => {
                for (index, part) in content.elements().enumerate() {
                    self.user_part(part, &|| format!("{path}.content[{index}]"))?;
                }
            }
            _ => return Err(bad_content(path)),
        }
        Ok(())
    }

    fn user_part(&mut self, part: Value<'_, '_>, path: &dyn Fn() -> String) -> Result<(), BadRequest> {
        let kind = part.text("type");
        if kind == "text" {
            self.text("user", part.text("text"), part.get("cache_control"));
            return Ok(());
        }
        let media = Media::of(kind, part, path, self.lost)?;
        media.write(part.get("cache_control"), self.block("user"));
        Ok(())
    }

    /// Thinking first, then text, then tool calls: the order in which Anthropic itself answers. White space at
    /// the end of the last message, an answer to be continued, is cut off: Anthropic refuses it.
    fn assistant(&mut self, message: Value<'_, '_>, is_last: bool, path: &str) -> Result<(), BadRequest> {
        let trimmed = |text| if is_last { str::trim_end(text) } else { text };
        if message.get("function_call").is_some() {
            let words = "is deprecated and not translated: use tool_calls";
            return Err(BadRequest::new(format!("{path}.function_call"), words));
        }
        if let Some(blocks) = message.get("thinking_blocks") {
            blocks.elements().for_each(|block| self.block("assistant").value(block));
        }
        match message.get("content").map(|content| (content, content.kind())) {
            None => {}
            Some((_, Kind::String(text))) => {
                self.text("assistant", trimmed(text), message.get("cache_control"))
            }
            Some((content, Kind::Array)) => {
                for (index, part) in content.elements().enumerate() {
                    let text = match part.text("type") {
                        "text" => part.text("text"),
                        "refusal" => part.text("refusal"),
                        "thinking" => {
                            self.lost.add("thinking"); // unsigned, so Anthropic would refuse it
                            continue;
                        }
                        _ => {
                            let param = format!("{path}.content[{index}].type");
                            return Err(BadRequest::new(
                                param,
                                "an assistant message holds only text and refusal",
                            ));
                        }
                    };
                    self.text("assistant", trimmed(text), part.get("cache_control"));
                }
            }
            Some(_) => return Err(bad_content(path)),
        }
        self.text("assistant", message.text("refusal"), None);
        let calls = message.get("tool_calls");
        for (index, call) in calls.into_iter().flat_map(Value::elements).enumerate() {
            self.tool_use(call, &|| format!("{path}.tool_calls[{index}]"))?;
        }
        Ok(())
    }

    fn tool_use(&mut self, call: Value<'_, '_>, path: &dyn Fn() -> String) -> Result<(), BadRequest> {
        let Some(function) = call.get("function") else {
            return Err(BadRequest::new(path(), "must be a call of type function"));
        };
        let (id, name) = (call.text("id"), function.text("name"));
        if id.is_empty() || name.is_empty() {
            return Err(BadRequest::new(path(), "must have an id and a function name"));
        }
        let input = function.get("arguments");
        let input = arguments(input).ok_or_else(|| {
            BadRequest::new(path() + ".function.arguments", "must be a JSON object in a string")
        })?;
        self.block("assistant").object(|e| {
            e.key("type").str("tool_use");
            e.key("id");
            write_tool_id(id, e);
            e.key("name").str(name);
            e.key("input").raw(&input);
        });
        Ok(())
    }

    fn tool_result(&mut self, message: Value<'_, '_>, path: &str) -> Result<(), BadRequest> {
        let id = message.text("tool_call_id");
        if id.is_empty() {
            return Err(BadRequest::new(
                format!("{path}.tool_call_id"),
                "must name the tool call that this answers",
            ));
        }
        self.block("user");
        let e = &mut *self.e; // apart from self.lost, which media may need
        e.open(b'{');
        e.key("type").str("tool_result");
        e.key("tool_use_id");
        write_tool_id(id, e);
        match message.get("content").map(|content| (content, content.kind())) {
            None => {}
            Some((_, Kind::String(text))) if is_blank(text) => {}
            Some((_, Kind::String(text))) => e.key("content").str(text),
            Some((content, Kind::Array)) => {
                e.key("content").open(b'[');
                for (index, part) in content.elements().enumerate() {
                    match part.text("type") {
                        "text" if is_blank(part.text("text")) => {}
                        "text" => write_text(part.text("text"), None, e),
                        kind => {
                            let path = || format!("{path}.content[{index}]");
                            Media::of(kind, part, &path, self.lost)?.write(None, e);
                        }
                    }
                }
                e.close(b']');
            }
            Some(_) => return Err(bad_content(path)),
        }
        if let Some(cache) = message.get("cache_control") {
            e.key("cache_control").value(cache);
        }
        e.close(b'}');
        Ok(())
    }

    /// A text block; none for blank text, which Anthropic refuses.
    fn text(&mut self, role: &'static str, text: &str, cache: Option<Value<'_, '_>>) {
        if !is_blank(text) {
            write_text(text, cache, self.block(role));
        }
    }

    /// Where the next block of `role` is to be written.
    fn block(&mut self, role: &'static str) -> &mut Emit<'o> {
        if self.open != Some(role) {
            self.close();
            self.e.open(b'{');
            self.e.key("role").str(role);
            self.e.key("content").open(b'[');
            self.open = Some(role);
        }
        self.e
    }

    fn close(&mut self) {
        if self.open.is_some() {
            self.e.close(b']');
            self.e.close(b'}');
        }
    }
}

/// The arguments of a tool call as the JSON text of an object; nothing, white space and `null` are no arguments.
fn arguments(given: Option<Value<'_, '_>>) -> Option<String> {
    let Some(given) = given else { return Some("{}".to_owned()) };
    if given.is_object() {
        return Some(super::emit::compact(given)); // not a string, as OpenAI says, but plain in its meaning
    }
    let text = given.str()?;
    if matches!(text.trim(), "" | "null") {
        return Some("{}".to_owned());
    }
    let mut text = text.as_bytes().to_vec();
    Decoder::default()
        .decode(&mut text, |value| value.is_object().then(|| super::emit::compact(value)))
        .flatten()
}

fn write_text(text: &str, cache: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("text");
        e.key("text").str(text);
        if let Some(cache) = cache {
            e.key("cache_control").value(cache);
        }
    });
}

/// Tool ids match `^[a-zA-Z0-9_-]+$` at Anthropic; other providers' ids (`functions.get:0`) are made to.
fn write_tool_id(id: &str, e: &mut Emit<'_>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let joints = std::iter::once("").chain(std::iter::repeat("_"));
    e.text(id.split(|c| !fits(c)).zip(joints).flat_map(|(piece, joint)| [joint, piece]));
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn bad_content(path: &str) -> BadRequest {
    BadRequest::new(format!("{path}.content"), "must be a string or an array of parts")
}
