use super::family::Family;
use super::media::{Block, Names};
use super::tools::{BAD_NAME, is_name};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Blocks, Part, Request, Role, Run, What, digest, write_plain_id};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// The longest id of a call in bytes (`ToolUseBlock`).
const ID_MAX: usize = 64;

/// Writes the member `system`, a text each, with cache points where the client marked them; nothing when there are
/// none, or when they stand alone.
pub(super) fn write_system(
    request: &Request<'_, '_>,
    family: Family,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let texts = request.system_texts()?;
    if texts.is_empty() {
        return Ok(());
    }
    e.key("system").array(|e| {
        for (text, cache) in texts {
            e.object(|e| e.key("text").str(text));
            if let Some(marker) = cache.filter(|_| family.takes_cache_points()) {
                write_cache_point(marker, family, e);
            }
        }
    });
    Ok(())
}

/// Writes a cache point for a marker of the client's; only its time can be told.
pub(super) fn write_cache_point(marker: Value<'_, '_>, family: Family, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("cachePoint").object(|e| {
            e.key("type").str("default");
            if marker.text("ttl") == "1h" && family.caches_for_an_hour() {
                e.key("ttl").str("1h");
            }
        });
    });
}

/// Writes the array of messages.
pub(super) fn write<'t, 'b>(
    request: &Request<'t, 'b>,
    family: Family,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let mut turns = Turns {
        blocks: Blocks::new(e),
        family,
        names: Names::default(),
        message: Message::default(),
        nameless: Nameless::default(),
        lost,
    };
    let runs = request.runs();
    for (index, run) in runs.iter().enumerate() {
        match run.role {
            Role::User | Role::System => turns.user(run)?,
            Role::Assistant => turns.assistant(run, index + 1 == runs.len())?,
        }
    }
    turns.end_message();
    match turns.blocks.end() {
        true => Ok(()),
        false => Err(BadRequest::new("messages", "must hold at least one message with content")),
    }
}

struct Turns<'t, 'b, 'e, 'o, 'l> {
    blocks: Blocks<'e, 'o>,
    family: Family,
    names: Names,
    message: Message<'t, 'b>,
    nameless: Nameless,
    lost: &'l mut Lost,
}

/// The message that is open.
#[derive(Default)]
struct Message<'t, 'b> {
    has_text: bool,
    /// The name of its first document.
    document: Option<String>,
    /// A marker whose cache point waits for a block after which it may stand.
    marker: Option<Value<'t, 'b>>,
}

/// How many calls and results without an id there were; the first of the one belongs to the first of the other.
#[derive(Default)]
struct Nameless {
    calls: u64,
    results: u64,
}

impl<'t, 'b, 'o> Turns<'t, 'b, '_, 'o, '_> {
    fn user(&mut self, run: &Run<'_, 't, 'b>) -> Result<(), BadRequest> {
        for part in run.parts.iter().copied() {
            match &part.what {
                What::Text { text, .. } => self.text("user", text, part)?,
                What::Media(media) => {
                    let block = Block::of(media, part.at)?;
                    if media.asks_for_detail() {
                        self.lost.add("image_url.detail");
                    }
                    self.open("user", part.at)?;
                    let name = self.names.of(&block);
                    block.write(&name, self.blocks.of("user"));
                    if block.is_document() {
                        self.message.document.get_or_insert(name);
                    }
                    self.mark("user", part, self.family.is_claude() && block.is_native());
                }
                What::Result { id, content, failed, .. } => {
                    self.open("user", part.at)?;
                    self.result(id, content, *failed)?;
                    self.mark("user", part, self.family.is_claude());
                }
                _ => self.lost.add("server_tools"),
            }
        }
        Ok(())
    }

    /// White space at the end of the last message, an answer to be continued, is cut off: Claude refuses it.
    fn assistant(&mut self, run: &Run<'_, 't, 'b>, is_last: bool) -> Result<(), BadRequest> {
        let end = run.last_text().filter(|_| is_last);
        let maker = self.family.maker();
        let mut pieces: Vec<&str> = Vec::new();
        for (index, part) in run.parts.iter().copied().enumerate() {
            match &part.what {
                // A client that keeps the pieces of a stream gives the signature with the last of them (Gemini's).
                What::Thinking { text, signature } if signature.is_empty() => {
                    pieces.push(text);
                    continue;
                }
                What::Thinking { text, signature } if signature.by == maker => {
                    pieces.push(text);
                    self.open("assistant", part.at)?;
                    write_thought(&pieces, signature.text, self.blocks.of("assistant"));
                    pieces.clear();
                    self.mark("assistant", part, false);
                    continue;
                }
                _ => self.lose_thoughts(&mut pieces),
            }
            match &part.what {
                What::Text { text, .. } | What::Refusal(text) => {
                    let text = if end == Some(index) { text.trim_end() } else { text };
                    self.text("assistant", text, part)?
                }
                What::Redacted(data) if data.by == maker => {
                    self.open("assistant", part.at)?;
                    self.blocks.of("assistant").object(|e| {
                        e.key("reasoningContent").object(|e| e.key("redactedContent").str(data.text));
                    });
                    self.mark("assistant", part, false);
                }
                What::Thinking { .. } | What::Redacted(_) => self.lost.add("thinking"),
                What::Call { id, name, arguments, .. } => {
                    let input = arguments.demand_object(part.at)?;
                    if !is_name(name) {
                        return Err(BadRequest::new(part.at.to_string(), BAD_NAME));
                    }
                    self.open("assistant", part.at)?;
                    let number = &mut self.nameless.calls;
                    self.blocks.of("assistant").object(|e| {
                        e.key("toolUse").object(|e| {
                            write_id(id, number, e.key("toolUseId"));
                            e.key("name").str(name);
                            e.key("input").raw(&input);
                        });
                    });
                    self.mark("assistant", part, self.family.is_claude());
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

    /// A result that failed says so in a text where the model knows no other way.
    fn result(&mut self, id: &str, content: &[Part<'_, '_>], failed: bool) -> Result<(), BadRequest> {
        let mut media = Vec::new();
        for part in content {
            if let What::Media(medium) = &part.what {
                media.push(Block::of(medium, part.at)?);
            }
        }
        let mut media = media.iter();
        let Turns { blocks, family, names, nameless, .. } = self;
        blocks.of("user").object(|e| {
            e.key("toolResult").object(|e| {
                write_id(id, &mut nameless.results, e.key("toolUseId"));
                e.key("content").array(|e| {
                    if failed && !family.takes_status() {
                        e.object(|e| e.key("text").str("The tool failed:"));
                    }
                    for part in content {
                        match &part.what {
                            What::Text { text, .. } if !text.trim().is_empty() => {
                                e.object(|e| e.key("text").str(text));
                            }
                            What::Media(_) => {
                                media.next().into_iter().for_each(|block| block.write(&names.of(block), e))
                            }
                            _ => {}
                        }
                    }
                });
                if failed && family.takes_status() {
                    e.key("status").str("error");
                }
            });
        });
        Ok(())
    }

    /// A text; none for blank text, which Bedrock refuses.
    fn text(&mut self, role: &'static str, text: &str, part: &Part<'t, 'b>) -> Result<(), BadRequest> {
        if text.trim().is_empty() {
            return Ok(());
        }
        self.open(role, part.at)?;
        self.blocks.of(role).object(|e| e.key("text").str(text));
        self.message.has_text = true;
        self.mark(role, part, true);
        Ok(())
    }

    /// Makes ready for a block of `role`; refuses a conversation that the user does not begin.
    fn open(&mut self, role: &'static str, at: At) -> Result<(), BadRequest> {
        match self.blocks.role() {
            None if role == "assistant" => {
                let words = "Amazon Bedrock wants the user to speak first: put a user message before it";
                Err(BadRequest::new(at.to_string(), words))
            }
            Some(open) if open != role => {
                self.end_message();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Says what is missing of the message that is open: Bedrock refuses a document without a text beside it, which
    /// clients send that have said before what is to be done with it.
    fn end_message(&mut self) {
        let message = std::mem::take(&mut self.message);
        let Some((name, role)) = message.document.filter(|_| !message.has_text).zip(self.blocks.role())
        else {
            return;
        };
        self.blocks.of(role).object(|e| e.key("text").text(["[document: ", &name, "]"]));
        if let Some(marker) = message.marker {
            write_cache_point(marker, self.family, self.blocks.of(role));
        }
    }

    /// Writes the cache point of a marked part, or one that waits. `takes` says whether it may stand after the block
    /// that was written last: Bedrock refuses it after documents that it makes texts of, and Nova caches texts alone.
    fn mark(&mut self, role: &'static str, part: &Part<'t, 'b>, takes: bool) {
        if self.family.takes_cache_points() {
            self.message.marker = part.cache.or(self.message.marker);
        }
        if let Some(marker) = self.message.marker.filter(|_| takes) {
            self.message.marker = None;
            write_cache_point(marker, self.family, self.blocks.of(role));
        }
    }
}

/// Writes a thought of several pieces as a block.
fn write_thought(pieces: &[&str], signature: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("reasoningContent").object(|e| {
            e.key("reasoningText").object(|e| {
                e.key("text").text(pieces.iter().copied());
                e.key("signature").str(signature);
            });
        });
    });
}

/// Writes the id of a call, or of a result, as Bedrock takes it: one that is too long keeps its head and gets a digest,
/// one that is missing gets the next number.
fn write_id(id: &str, nameless: &mut u64, e: &mut Emit<'_>) {
    if id.is_empty() {
        e.str(&format!("call_{nameless}"));
        *nameless += 1;
    } else if id.chars().count() <= ID_MAX {
        write_plain_id(id, e);
    } else {
        let head: String = id.chars().take(ID_MAX - 17).collect();
        write_plain_id(&format!("{head}_{:016x}", digest(id)), e);
    }
}
