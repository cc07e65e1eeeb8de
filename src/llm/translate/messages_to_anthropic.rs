//! OpenAI's messages as Anthropic's: the system prompt apart, turns that alternate, content in typed blocks.

use super::emit::Emit;
use super::read::{Decoder, Kind, Value};
use super::{BadRequest, Lost};

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
    let only_system = is_only_system(messages);
    for (at, message) in
        messages.elements().enumerate().filter(|(_, message)| only_system || !is_system(*message))
    {
        let path = format!("messages[{at}]");
        match message.text("role") {
            "user" | "system" | "developer" => turns.user(message, &path)?,
            "assistant" => turns.assistant(message, &path)?,
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

/// Whether there is nothing but a system prompt.
pub(super) fn is_only_system(messages: Value<'_, '_>) -> bool {
    messages.elements().all(is_system)
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

    /// Thinking first, then text, then tool calls: the order in which Anthropic itself answers.
    fn assistant(&mut self, message: Value<'_, '_>, path: &str) -> Result<(), BadRequest> {
        if message.get("function_call").is_some() {
            let words = "is deprecated and not translated: use tool_calls";
            return Err(BadRequest::new(format!("{path}.function_call"), words));
        }
        if let Some(blocks) = message.get("thinking_blocks") {
            blocks.elements().for_each(|block| self.block("assistant").value(block));
        }
        match message.get("content").map(|content| (content, content.kind())) {
            None => {}
            Some((_, Kind::String(text))) => self.text("assistant", text, message.get("cache_control")),
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
                    self.text("assistant", text, part.get("cache_control"));
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

/// An image or a document, and where its bytes are.
struct Media<'b> {
    /// Anthropic's block type.
    block: &'static str,
    source: Source<'b>,
    title: &'b str,
}

enum Source<'b> {
    Base64 { media_type: &'b str, data: &'b str },
    Url(&'b str),
}

impl<'b> Media<'b> {
    fn of(
        kind: &str,
        part: Value<'_, 'b>,
        path: &dyn Fn() -> String,
        lost: &mut Lost,
    ) -> Result<Media<'b>, BadRequest> {
        match kind {
            "image_url" => Media::image(part, path, lost),
            "file" => Media::file(part, path),
            "input_audio" => Err(BadRequest::new(path(), "audio cannot be sent to this provider")),
            _ => Err(BadRequest::new(path() + ".type", "must be one of text, image_url, file")),
        }
    }

    fn image(
        part: Value<'_, 'b>,
        path: &dyn Fn() -> String,
        lost: &mut Lost,
    ) -> Result<Media<'b>, BadRequest> {
        let image = part.get("image_url");
        let url = image.map_or("", |image| image.str().unwrap_or_else(|| image.text("url")));
        if image.is_some_and(|image| !matches!(image.text("detail"), "" | "auto")) {
            lost.add("image_url.detail");
        }
        let source = if url.starts_with("https://") || url.starts_with("http://") {
            Some(Source::Url(url))
        } else {
            data_url(url).map(|(media_type, data)| Source::Base64 { media_type, data })
        };
        let bad =
            || BadRequest::new(path() + ".image_url.url", "must be an http(s) URL or a base64 data URL");
        Ok(Media { block: "image", source: source.ok_or_else(bad)?, title: "" })
    }

    fn file(part: Value<'_, 'b>, path: &dyn Fn() -> String) -> Result<Media<'b>, BadRequest> {
        let bad = |member: &str, words: &str| BadRequest::new(path() + ".file" + member, words);
        let Some(file) = part.get("file") else { return Err(bad("", "must be an object")) };
        let Some(given) = file.get("file_data").and_then(Value::str) else {
            return Err(bad(
                ".file_data",
                "must be given: a file that is kept at OpenAI cannot be sent to this provider",
            ));
        };
        let Some((media_type, data)) = data_url(given) else {
            return Err(bad(".file_data", "must be a base64 data URL"));
        };
        let block = match media_type {
            "application/pdf" => "document",
            image if image.starts_with("image/") => "image",
            _ => return Err(bad(".file_data", "must be a PDF or an image")),
        };
        let title = if block == "document" { file.text("filename") } else { "" };
        Ok(Media { block, source: Source::Base64 { media_type, data }, title })
    }

    fn write(&self, cache: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
        e.object(|e| {
            e.key("type").str(self.block);
            e.key("source").object(|e| match self.source {
                Source::Url(url) => {
                    e.key("type").str("url");
                    e.key("url").str(url);
                }
                Source::Base64 { media_type, data } => {
                    e.key("type").str("base64");
                    e.key("media_type").str(media_type);
                    e.key("data").str(data);
                }
            });
            if !self.title.is_empty() {
                e.key("title").str(self.title);
            }
            if let Some(cache) = cache {
                e.key("cache_control").value(cache);
            }
        });
    }
}

/// Media type and base64 text of `data:<media type>[;parameters];base64,<data>` (RFC 2397).
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    let media_type = head.split(';').next().unwrap_or(head);
    (!media_type.is_empty() && !data.is_empty()).then_some((media_type, data))
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
