use super::model::Gemini;
use super::{ids, media};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Json, Maker, Media, Part, Request, Role, What};
use crate::llm::translate::{BadRequest, Lost};
use std::collections::HashMap;

/// What stands in place of a signature that no Gemini model gave, so that the call is not refused (Gemini API, "Thought
/// signatures", FAQs; Vertex AI has it too). The model then does without the thought that led to the call.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// Writes `systemInstruction` from all system messages, a part each; nothing when there are none, or when they stand
/// alone.
pub(super) fn write_system(request: &Request<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let texts = request.system_texts()?;
    if !texts.is_empty() {
        e.key("systemInstruction").object(|e| {
            e.key("parts")
                .array(|e| texts.iter().for_each(|(text, _)| e.object(|e| e.key("text").str(text))));
        });
    }
    Ok(())
}

/// Writes the array of contents. Neighbours of one role become one content, as turns alternate at Gemini; so the
/// results of parallel calls stand together in one, in the order of their calls. `has_ids` says that calls have ids, which
/// is not so in `v1` of Vertex AI (reference of its client libraries, `FunctionCall`): there the order is enough.
pub(super) fn write(
    request: &Request<'_, '_>,
    gemini: Gemini,
    has_ids: bool,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let mut contents =
        Contents { e, open: None, gemini, has_ids, calls: HashMap::new(), count: 0, called: false, lost };
    contents.e.open(b'[');
    for run in request.runs() {
        match run.role {
            Role::Assistant => contents.model(&run.parts)?,
            Role::User | Role::System => contents.user(&run.parts)?,
        }
    }
    contents.close();
    if contents.count == 0 {
        return Err(BadRequest::new("messages", "must hold at least one message with content"));
    }
    contents.e.close(b']');
    Ok(())
}

/// Writes parts into contents, opening a content when its first part comes: Gemini refuses empty ones.
struct Contents<'e, 'o, 'l, 'b> {
    e: &'e mut Emit<'o>,
    open: Option<&'static str>,
    gemini: Gemini,
    has_ids: bool,
    /// The name of the tool that each call is of, by the call's id.
    calls: HashMap<&'b str, &'b str>,
    /// Contents so far.
    count: usize,
    /// Whether the content that is open holds a call.
    called: bool,
    lost: &'l mut Lost,
}

impl<'o, 'b> Contents<'_, 'o, '_, 'b> {
    /// What came with the results is sent after them.
    fn user<'t>(&mut self, parts: &[&Part<'t, 'b>]) -> Result<(), BadRequest> {
        let mut attached = Vec::new();
        for part in parts {
            self.result(part, &mut attached)?;
        }
        for part in attached.into_iter().chain(parts.iter().copied()) {
            match &part.what {
                What::Text { text: "", .. } | What::Result { .. } => {}
                What::Text { text, .. } => self.part("user").object(|e| e.key("text").str(text)),
                What::Media(media) => {
                    self.lose_words(media);
                    media::write(media, part.at, self.part("user"))?;
                }
                _ => self.lost.add("server_tools"),
            }
        }
        Ok(())
    }

    /// The signature of a thought that is Gemini's own belongs to the part after it; with none after it, to an empty
    /// text, as it came.
    fn model(&mut self, parts: &[&Part<'_, 'b>]) -> Result<(), BadRequest> {
        let mut pending = "";
        for part in parts {
            match &part.what {
                What::Thinking { text, signature } => {
                    if !text.is_empty() {
                        self.part("model").object(|e| {
                            e.key("text").str(text);
                            e.key("thought").raw("true");
                        });
                    }
                    match part.what.signed_by() {
                        Some(Maker::Gemini) => {
                            let before = std::mem::replace(&mut pending, signature.text);
                            self.sealed(before);
                        }
                        Some(_) => self.lost.add("thinking"),
                        None => {}
                    }
                }
                What::Text { text: "", .. } => {}
                What::Text { text, .. } | What::Refusal(text) => {
                    self.said(text, std::mem::take(&mut pending));
                }
                What::Call { id, name, arguments, signature } => {
                    let before = std::mem::take(&mut pending);
                    let signature = if signature.is_empty() { before } else { signature };
                    self.call(part, id, name, *arguments, signature)?;
                }
                What::Redacted(_) => self.lost.add("thinking"),
                What::Media(_) | What::Result { .. } | What::Foreign => self.lost.add("server_tools"),
            }
        }
        self.sealed(pending);
        Ok(())
    }

    /// A signature of what is not told.
    fn sealed(&mut self, signature: &str) {
        if !signature.is_empty() {
            self.said("", signature);
        }
    }

    fn said(&mut self, text: &str, signature: &str) {
        self.part("model").object(|e| {
            e.key("text").str(text);
            write_signature(signature, e);
        });
    }

    /// Of parallel calls the first alone is signed.
    fn call(
        &mut self,
        part: &Part<'_, 'b>,
        id: &'b str,
        name: &'b str,
        arguments: Json<'_, '_>,
        signature: &str,
    ) -> Result<(), BadRequest> {
        let args = arguments.object().ok_or_else(|| {
            let words = "the arguments of a call must be a JSON object in a string";
            BadRequest::new(part.at.to_string(), words)
        })?;
        self.calls.insert(id, name);
        let is_first = self.open != Some("model") || !self.called;
        let id = Some(id).filter(|_| self.has_ids).unwrap_or_default();
        let unsigned = signature.is_empty() && is_first && self.gemini.demands_signatures();
        self.part("model").object(|e| {
            e.key("functionCall").object(|e| {
                write_id(id, e);
                e.key("name").str(name);
                e.key("args").raw(&args);
            });
            write_signature(if unsigned { UNSIGNED } else { signature }, e);
        });
        self.called = true;
        Ok(())
    }

    /// Media that the model does not take from a tool go to `attached`, for the user to send.
    fn result<'p, 't>(
        &mut self,
        part: &'p Part<'t, 'b>,
        attached: &mut Vec<&'p Part<'t, 'b>>,
    ) -> Result<(), BadRequest> {
        let What::Result { id, name, content, failed } = &part.what else { return Ok(()) };
        let name = self.calls.get(id).copied().unwrap_or(name);
        if name.is_empty() {
            let words = "must answer a call of a message before it: Gemini asks for the name of its tool";
            return Err(BadRequest::new(part.at.to_string(), words));
        }
        let (mut texts, mut held) = (Vec::new(), Vec::new());
        for part in content {
            match &part.what {
                What::Text { text, .. } => texts.push(*text),
                What::Media(media) if self.gemini.takes_media_from_tools() && media::is_of_tools(media) => {
                    held.push((media, part));
                }
                What::Media(_) => {
                    texts.push("[attached after the results]");
                    attached.push(part);
                }
                _ => {}
            }
        }
        let id = Some(*id).filter(|_| self.has_ids).unwrap_or_default();
        let e = self.part("user");
        e.open(b'{');
        e.key("functionResponse").open(b'{');
        write_id(id, e);
        e.key("name").str(name);
        e.key("response");
        write_response(&texts, *failed, e);
        if !held.is_empty() {
            e.key("parts").open(b'[');
            for (media, part) in held {
                media::write(media, part.at, e)?;
            }
            e.close(b']');
        }
        e.close(b'}');
        e.close(b'}');
        Ok(())
    }

    /// How closely an image is to be looked at, and what a document is called, no part says.
    fn lose_words(&mut self, media: &Media<'_>) {
        if !media.title.is_empty() {
            self.lost.add("title");
        }
        if !matches!(media.detail, "" | "auto") {
            self.lost.add("image_url.detail");
        }
    }

    /// Where the next part of `role` is to be written.
    fn part(&mut self, role: &'static str) -> &mut Emit<'o> {
        if self.open != Some(role) {
            self.close();
            self.e.open(b'{');
            self.e.key("role").str(role);
            self.e.key("parts").open(b'[');
            self.open = Some(role);
            self.called = false;
            self.count += 1;
        }
        self.e
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.e.close(b']');
            self.e.close(b'}');
        }
    }
}

/// Ids that were made up here mean nothing to Gemini.
fn write_id(id: &str, e: &mut Emit<'_>) {
    if !id.is_empty() && !ids::is_made(id) {
        e.key("id").str(id);
    }
}

fn write_signature(signature: &str, e: &mut Emit<'_>) {
    if !signature.is_empty() {
        e.key("thoughtSignature").str(signature);
    }
}

/// What a tool gave, as an object: its own where its text is one; else in `result`, and in `error` when it failed.
fn write_response(texts: &[&str], failed: bool, e: &mut Emit<'_>) {
    let object = match texts {
        [text] if !failed && text.trim_start().starts_with('{') => Json::Text(text).object(),
        _ => None,
    };
    match object {
        Some(object) => e.raw(&object),
        None => e.object(|e| e.key(if failed { "error" } else { "result" }).joined(texts, "\n")),
    }
}
