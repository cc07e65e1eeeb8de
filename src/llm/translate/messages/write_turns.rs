use super::reply::thought;
use crate::llm::translate::claude;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{
    Blocks, Media, MediaKind, Part, Request, Role, Run, Source, What, bare_type, image_type, write_plain_id,
};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// Writes the member `system` from all system messages, joined with a line feed; nothing when there are none, or
/// when they stand alone. It is a list of blocks only if a part carries a `cache_control` that has to be kept.
pub(super) fn write_system(request: &Request<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    if request.has_system_alone() || request.system().next().is_none() {
        return Ok(());
    }
    if request.extra("system").is_some() {
        return Err(BadRequest::new("system", "must not be given beside messages of role system"));
    }
    let texts = request.system_texts()?;
    if texts.is_empty() {
        return Ok(());
    }
    e.key("system");
    if texts.iter().any(|(_, cache)| cache.is_some()) {
        e.array(|e| texts.iter().for_each(|(text, cache)| write_text(text, *cache, e)));
    } else {
        let texts: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
        e.joined(&texts, "\n");
    }
    Ok(())
}

/// Writes the array of messages.
pub(super) fn write(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let mut turns = Turns { blocks: Blocks::new(e), lost };
    let runs = request.runs();
    for (index, run) in runs.iter().enumerate() {
        match run.role {
            Role::User | Role::System => turns.user(run)?,
            Role::Assistant => turns.assistant(run, index + 1 == runs.len())?,
        }
    }
    match turns.blocks.end() {
        true => Ok(()),
        false => Err(BadRequest::new("messages", "must hold at least one message with content")),
    }
}

struct Turns<'e, 'o, 'l> {
    blocks: Blocks<'e, 'o>,
    lost: &'l mut Lost,
}

impl Turns<'_, '_, '_> {
    fn user(&mut self, run: &Run<'_, '_, '_>) -> Result<(), BadRequest> {
        for part in &run.parts {
            match &part.what {
                What::Text { text, .. } => self.text("user", text, part.cache),
                What::Media(media) => {
                    let block = Block::of(media, part)?;
                    if media.asks_for_detail() {
                        self.lost.add("image_url.detail");
                    }
                    block.write(part.cache, self.blocks.of("user"));
                }
                What::Result { id, content, failed, .. } => self.tool_result(part, id, content, *failed)?,
                _ => self.lost.add("server_tools"),
            }
        }
        Ok(())
    }

    /// White space at the end of the last message, an answer to be continued, is cut off: Anthropic refuses it.
    fn assistant(&mut self, run: &Run<'_, '_, '_>, is_last: bool) -> Result<(), BadRequest> {
        let end = run.last_text().filter(|_| is_last);
        let mut pieces: Vec<&str> = Vec::new();
        for (index, part) in run.parts.iter().enumerate() {
            match &part.what {
                // A client that keeps the pieces of a stream gives the signature with the last of them (Gemini's).
                What::Thinking { text, signature } if signature.is_empty() => {
                    pieces.push(text);
                    continue;
                }
                What::Thinking { text, signature } if claude::knows(&part.what) => {
                    pieces.push(text);
                    thought(&std::mem::take(&mut pieces), *signature, self.blocks.of("assistant"));
                    continue;
                }
                _ => self.lose_thoughts(&mut pieces),
            }
            match &part.what {
                What::Text { text, .. } | What::Refusal(text) => {
                    let text = if end == Some(index) { text.trim_end() } else { text };
                    self.text("assistant", text, part.cache);
                }
                what @ What::Redacted(_) if claude::knows(what) => {
                    super::reply::thinking(what, self.blocks.of("assistant"))
                }
                What::Thinking { .. } | What::Redacted(_) => self.lost.add("thinking"),
                What::Call { id, name, arguments, .. } => {
                    let input = arguments.demand_object(part.at)?;
                    self.blocks.of("assistant").object(|e| {
                        e.key("type").str("tool_use");
                        write_plain_id(id, e.key("id"));
                        e.key("name").str(name);
                        e.key("input").raw(&input);
                    });
                }
                What::Media(_) | What::Result { .. } | What::Foreign => self.lost.add("server_tools"),
            }
        }
        self.lose_thoughts(&mut pieces);
        Ok(())
    }

    /// Thoughts that are not signed are refused.
    fn lose_thoughts(&mut self, pieces: &mut Vec<&str>) {
        if !pieces.is_empty() {
            self.lost.add("thinking");
            pieces.clear();
        }
    }

    fn tool_result(
        &mut self,
        result: &Part<'_, '_>,
        id: &str,
        content: &[Part<'_, '_>],
        failed: bool,
    ) -> Result<(), BadRequest> {
        let e = self.blocks.of("user");
        e.open(b'{');
        e.key("type").str("tool_result");
        write_plain_id(id, e.key("tool_use_id"));
        match content {
            [Part { what: What::Text { text, .. }, .. }] if is_blank(text) => {}
            [Part { what: What::Text { text, .. }, .. }] => e.key("content").str(text),
            [] => {}
            parts => {
                e.key("content").open(b'[');
                for part in parts {
                    match &part.what {
                        What::Text { text, .. } if !is_blank(text) => write_text(text, None, e),
                        What::Media(media) => Block::of(media, part)?.write(None, e),
                        _ => {}
                    }
                }
                e.close(b']');
            }
        }
        if failed {
            e.key("is_error").raw("true");
        }
        if let Some(cache) = result.cache {
            e.key("cache_control").value(cache);
        }
        e.close(b'}');
        Ok(())
    }

    /// A text block; none for blank text, which Anthropic refuses.
    fn text(&mut self, role: &'static str, text: &str, cache: Option<Value<'_, '_>>) {
        if !is_blank(text) {
            write_text(text, cache, self.blocks.of(role));
        }
    }
}

/// The one type of documents that Anthropic takes as bytes.
const PDF: &str = "application/pdf";

/// An image or document block.
struct Block<'m> {
    kind: &'static str,
    source: Source<'m>,
    title: &'m str,
}

impl<'m> Block<'m> {
    /// Refuses what Anthropic does not take.
    fn of(media: &Media<'m>, part: &Part<'_, '_>) -> Result<Block<'m>, BadRequest> {
        let Media { kind, source, title, .. } = *media;
        let refused = || media.unsendable(part.at);
        let (kind, media_type, title) = match (kind, source) {
            (MediaKind::Image, Source::Url(_)) => ("image", "", ""),
            (MediaKind::Image, Source::Base64 { media_type, .. }) => {
                ("image", image_type(media_type).ok_or_else(refused)?, "")
            }
            (MediaKind::Document, Source::Url(_)) => ("document", "", title),
            (MediaKind::Document, Source::Base64 { media_type, .. }) if bare_type(media_type) == PDF => {
                ("document", PDF, title)
            }
            _ => return Err(refused()),
        };
        let source = match source {
            Source::Base64 { data, .. } => Source::Base64 { media_type, data },
            source => source,
        };
        Ok(Block { kind, source, title })
    }

    fn write(&self, cache: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
        e.object(|e| {
            e.key("type").str(self.kind);
            e.key("source").object(|e| match self.source {
                Source::Base64 { media_type, data } => {
                    e.key("type").str("base64");
                    e.key("media_type").str(media_type);
                    e.key("data").str(data);
                }
                Source::Url(url) | Source::Kept(url) => {
                    e.key("type").str("url");
                    e.key("url").str(url);
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

fn write_text(text: &str, cache: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("text");
        e.key("text").str(text);
        if let Some(cache) = cache {
            e.key("cache_control").value(cache);
        }
    });
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
