use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{
    Media, MediaKind, Part, Request, Role, Run, Source, Turn, What, openai, runs,
};
use crate::llm::translate::{BadRequest, Lost};

/// Writes all turns into an array that is open: one `tool` message per tool result, calls beside the text.
pub(super) fn write(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    for run in runs(&request.turns) {
        match run.role {
            Role::System => run.turns.iter().for_each(|turn| write_system(turn, e)),
            Role::User => write_user(&run, lost, e)?,
            Role::Assistant => write_assistant(&run, lost, e),
        }
    }
    Ok(())
}

fn write_system(turn: &Turn<'_, '_>, e: &mut Emit<'_>) {
    let texts: Vec<&str> = texts(&turn.parts).filter(|text| !text.is_empty()).collect();
    if !texts.is_empty() {
        e.object(|e| {
            e.key("role").str("system");
            e.key("content").joined(&texts, "\n");
        });
    }
}

/// Tool results first, each a message of its own right after the calls they answer, as OpenAI demands; then
/// one user message with the rest and with the images and documents that tools gave, which OpenAI takes from
/// users only.
fn write_user(run: &Run<'_, '_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let mut parts = Vec::new();
    for part in &run.parts {
        if let What::Result { id, content, failed, .. } = &part.what {
            write_tool_result(id, content, *failed, &mut parts, e);
        }
    }
    for part in &run.parts {
        match &part.what {
            What::Text { .. } | What::Media(_) => parts.push(part),
            What::Result { .. } => {}
            _ => lost.add("server_tools"),
        }
    }
    let parts = match parts.as_slice() {
        [] => return Ok(()),
        parts => parts,
    };
    e.open(b'{');
    e.key("role").str("user");
    e.key("content");
    match parts {
        [Part { what: What::Text { text, .. }, .. }] => e.str(text),
        parts => {
            e.open(b'[');
            for part in parts {
                write_part(part, e)?;
            }
            e.close(b']');
        }
    }
    e.close(b'}');
    Ok(())
}

fn write_tool_result<'p, 't, 'b>(
    id: &str,
    content: &'p [Part<'t, 'b>],
    failed: bool,
    media: &mut Vec<&'p Part<'t, 'b>>,
    e: &mut Emit<'_>,
) {
    let mut texts = Vec::new();
    if failed {
        texts.push(openai::FAILED);
    }
    for part in content {
        match &part.what {
            What::Text { text, .. } => texts.push(text),
            What::Media(_) => {
                texts.push("[attached to the next user message]");
                media.push(part);
            }
            _ => {}
        }
    }
    e.object(|e| {
        e.key("role").str("tool");
        e.key("tool_call_id").str(id);
        e.key("content").joined(&texts, "\n");
    });
}

/// One message, as the results that follow answer all calls of the message before them. What was said in several turns
/// stays apart by a line feed.
fn write_assistant(run: &Run<'_, '_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    for part in &run.parts {
        match part.what {
            What::Thinking { .. } | What::Redacted(_) => lost.add("thinking"),
            What::Foreign | What::Media(_) | What::Result { .. } => lost.add("server_tools"),
            What::Text { .. } | What::Refusal(_) | What::Call { .. } => {}
        }
    }
    let calls = run.parts.iter().any(|part| matches!(part.what, What::Call { .. }));
    let refusals = run.parts.iter().filter_map(|part| match part.what {
        What::Refusal(text) => Some(text),
        _ => None,
    });
    let refusals: Vec<&str> = refusals.collect();
    e.object(|e| {
        e.key("role").str("assistant");
        match said(&run.turns) {
            None if calls || !refusals.is_empty() => e.key("content").raw("null"),
            pieces => e.key("content").text(pieces.unwrap_or_default()),
        }
        if !refusals.is_empty() {
            e.key("refusal").joined(&refusals, "\n");
        }
        if calls {
            e.key("tool_calls").array(|e| run.parts.iter().for_each(|part| write_tool_call(part, e)));
        }
    });
}

/// The texts of all turns; `None` when there is none, not even an empty one.
fn said<'b>(turns: &[&Turn<'_, 'b>]) -> Option<Vec<&'b str>> {
    let mut pieces = None;
    for turn in turns {
        let mut joint =
            Some("\n").filter(|_| pieces.as_ref().is_some_and(|before: &Vec<&str>| !before.is_empty()));
        for text in texts(&turn.parts) {
            let pieces = pieces.get_or_insert_with(Vec::new);
            if !text.is_empty() {
                pieces.extend(joint.take());
                pieces.push(text);
            }
        }
    }
    pieces
}

/// A call; nothing for any other part.
fn write_tool_call(part: &Part<'_, '_>, e: &mut Emit<'_>) {
    let What::Call { id, name, arguments, .. } = part.what else { return };
    e.object(|e| {
        e.key("id").str(id);
        e.key("type").str("function");
        e.key("function").object(|e| {
            e.key("name").str(name);
            e.key("arguments").str(&arguments.text());
        });
    });
}

fn texts<'b>(parts: &[Part<'_, 'b>]) -> impl Iterator<Item = &'b str> {
    parts.iter().filter_map(|part| match part.what {
        What::Text { text, .. } => Some(text),
        _ => None,
    })
}

fn write_part(part: &Part<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    match &part.what {
        What::Text { text, .. } => e.object(|e| {
            e.key("type").str("text");
            e.key("text").str(text);
        }),
        What::Media(media) => return write_media(media, part, e),
        _ => {}
    }
    Ok(())
}

fn write_media(media: &Media<'_>, part: &Part<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let detail = |e: &mut Emit<'_>| {
        if !media.detail.is_empty() {
            e.key("detail").str(media.detail);
        }
    };
    match (media.kind, media.source) {
        (MediaKind::Image, Source::Url(url)) => e.object(|e| {
            e.key("type").str("image_url");
            e.key("image_url").object(|e| {
                e.key("url").str(url);
                detail(e);
            });
        }),
        (MediaKind::Image, Source::Base64 { media_type, data }) => e.object(|e| {
            e.key("type").str("image_url");
            e.key("image_url").object(|e| {
                e.key("url").text(["data:", media_type, ";base64,", data]);
                detail(e);
            });
        }),
        (MediaKind::Document, Source::Base64 { media_type, data }) => e.object(|e| {
            e.key("type").str("file");
            e.key("file").object(|e| openai::write_file(media.title, media_type, data, e));
        }),
        _ if openai::write_audio(media, e) => {}
        _ => return Err(media.unsendable(part.at)),
    }
    Ok(())
}
