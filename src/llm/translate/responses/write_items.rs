use super::{items, thought};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{
    Maker, Media, MediaKind, Part, Request, Role, Run, Source, Turn, What, openai, runs,
};
use crate::llm::translate::{BadRequest, Lost};

/// Writes `instructions`, what the system says before all others, and `input`.
pub(super) fn write(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let is_system = |turn: &&Turn<'_, '_>| turn.role == Role::System;
    let alone = request.has_system_alone(); // then it is all the input there is
    let first = if alone { 0 } else { request.turns.iter().take_while(is_system).count() };
    let (instructions, input) = request.turns.split_at_checked(first).unwrap_or_default();
    let texts: Vec<&str> = instructions.iter().flat_map(|turn| texts(&turn.parts)).collect();
    if !texts.is_empty() {
        e.key("instructions").joined(&texts, "\n");
    }
    e.key("input").open(b'[');
    for run in runs(input) {
        match run.role {
            Role::System => run.turns.iter().for_each(|turn| write_system(turn, e)),
            Role::User => write_user(&run, lost, e)?,
            Role::Assistant => run.turns.iter().for_each(|turn| write_assistant(turn, lost, e)),
        }
    }
    e.close(b']');
    Ok(())
}

/// The texts that say something.
fn texts<'b>(parts: &[Part<'_, 'b>]) -> impl Iterator<Item = &'b str> {
    parts.iter().filter_map(|part| match part.what {
        What::Text { text, .. } if !text.is_empty() => Some(text),
        _ => None,
    })
}

fn write_system(turn: &Turn<'_, '_>, e: &mut Emit<'_>) {
    let texts: Vec<&str> = texts(&turn.parts).collect();
    if !texts.is_empty() {
        write_role("system", e, |e| e.joined(&texts, "\n"));
    }
}

fn write_role(role: &str, e: &mut Emit<'_>, content: impl FnOnce(&mut Emit<'_>)) {
    e.object(|e| {
        e.key("role").str(role);
        content(e.key("content"));
    });
}

/// The results of calls first, each an item of its own right after the calls they answer; then one message with the
/// rest.
fn write_user(run: &Run<'_, '_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let mut parts = Vec::new();
    for part in run.parts.iter().copied() {
        match &part.what {
            What::Result { id, content, failed, .. } => write_result(id, content, *failed, e)?,
            What::Text { .. } | What::Media(_) => parts.push(part),
            _ => lost.add("server_tools"),
        }
    }
    match parts.as_slice() {
        [] => {}
        [Part { what: What::Text { text, .. }, .. }] => write_role("user", e, |e| e.str(text)),
        parts => {
            e.open(b'{');
            e.key("role").str("user");
            e.key("content");
            write_parts(parts.iter().copied(), e)?;
            e.close(b'}');
        }
    }
    Ok(())
}

fn write_result(
    id: &str,
    content: &[Part<'_, '_>],
    failed: bool,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let failure = Part::text(openai::FAILED, Default::default());
    e.open(b'{');
    e.key("type").str("function_call_output");
    e.key("call_id").str(id);
    e.key("output");
    if content.iter().all(|part| matches!(part.what, What::Text { .. })) {
        let texts: Vec<&str> = failed.then_some(openai::FAILED).into_iter().chain(texts(content)).collect();
        e.joined(&texts, "\n");
    } else {
        write_parts(failed.then_some(&failure).into_iter().chain(content), e)?;
    }
    e.close(b'}');
    Ok(())
}

/// What was thought, said and called, in that order. A thought that nobody signed is lost, except in front of a signed
/// one: OpenAI's own thoughts are told in several parts, of which the last has the signature.
fn write_assistant(turn: &Turn<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    let mut summary = Vec::new();
    let is_said = |part: &Part<'_, '_>| matches!(part.what, What::Text { .. } | What::Refusal(_));
    for group in turn.parts.chunk_by(|one, next| is_said(one) && is_said(next)) {
        match group {
            [Part { what: What::Thinking { text, signature }, .. }] if signature.is_empty() => {
                summary.push(*text);
                continue;
            }
            [Part { what: What::Thinking { text, signature }, .. }] if signature.by == Maker::OpenAi => {
                summary.push(*text);
                thought::write(None, &summary, ["", "", "", signature.text], e);
                summary.clear();
            }
            [Part { what: What::Redacted(data), .. }] if data.by == Maker::OpenAi => {
                thought::write(None, &[], ["", "", "", data.text], e);
            }
            [Part { what: What::Thinking { .. } | What::Redacted(_), .. }] => lost.add("thinking"),
            [Part { what: What::Call { id, name, arguments, .. }, .. }] => e.object(|e| {
                e.key("type").str("function_call");
                e.key("call_id").str(id);
                e.key("name").str(name);
                e.key("arguments").str(&arguments.text());
            }),
            [Part { what: What::Foreign | What::Media(_) | What::Result { .. }, .. }] => {
                lost.add("server_tools");
            }
            said => write_said(said, e),
        }
        if !summary.is_empty() {
            lost.add("thinking");
            summary.clear();
        }
    }
    if !summary.is_empty() {
        lost.add("thinking");
    }
}

/// A message of the model's.
fn write_said(parts: &[Part<'_, '_>], e: &mut Emit<'_>) {
    match parts {
        [Part { what: What::Text { text: "", .. }, .. }] => {}
        [Part { what: What::Text { text, .. }, .. }] => write_role("assistant", e, |e| e.str(text)),
        parts => write_role("assistant", e, |e| {
            e.array(|e| {
                parts.iter().for_each(|part| match part.what {
                    What::Text { text, .. } => write_text("output_text", text, e),
                    What::Refusal(text) => items::write_refusal(text, e),
                    _ => {}
                });
            });
        }),
    }
}

fn write_text(kind: &str, text: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str(kind);
        e.key("text").str(text);
    });
}

fn write_parts<'p, 't: 'p, 'b: 't>(
    parts: impl Iterator<Item = &'p Part<'t, 'b>>,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    e.open(b'[');
    for part in parts {
        match &part.what {
            What::Text { text, .. } => write_text("input_text", text, e),
            What::Media(media) => write_media(media, part, e)?,
            _ => {}
        }
    }
    e.close(b']');
    Ok(())
}

fn write_media(media: &Media<'_>, part: &Part<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    match (media.kind, media.source) {
        (MediaKind::Image, Source::Url(url)) => write_image([url, "", "", ""], media.detail, e),
        (MediaKind::Image, Source::Base64 { media_type, data }) => {
            write_image(["data:", media_type, ";base64,", data], media.detail, e);
        }
        (MediaKind::Document, Source::Url(url)) => e.object(|e| {
            e.key("type").str("input_file");
            e.key("file_url").str(url);
        }),
        (MediaKind::Document, Source::Base64 { media_type, data }) => e.object(|e| {
            e.key("type").str("input_file");
            openai::write_file(media.title, media_type, data, e);
        }),
        _ if openai::write_audio(media, e) => {}
        _ => return Err(media.unsendable(part.at)),
    }
    Ok(())
}

/// OpenAI's own types demand how closely an image is to be looked at.
fn write_image(url: [&str; 4], detail: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("input_image");
        e.key("image_url").text(url);
        e.key("detail").str(if detail.is_empty() { "auto" } else { detail });
    });
}
