//! What both of OpenAI's formats word equally.

use super::part::{At, Citation, Media, MediaKind, Source};
use super::request::{Choice, Effort, Request, Shape};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// The longest `user` that OpenAI takes, in characters. Claude Code's ids are twice as long.
const USER_MAX: usize = 64;

/// What the result of a tool that failed begins with: OpenAI has no flag for it.
pub(crate) const FAILED: &str = "The tool failed:";

/// Writes who asks.
pub(crate) fn write_user(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    match request.user {
        Some(user) if user.chars().count() <= USER_MAX => e.key("user").str(user),
        Some(_) => lost.add("user"),
        None => {}
    }
}

/// The word for an effort; `max` is not one of OpenAI's.
pub(crate) fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::Max => Effort::XHigh.word(),
        effort => effort.word(),
    }
}

/// The word for whether a tool must be called; `auto` is what nobody says.
pub(crate) fn choice_word(choice: Option<Choice<'_>>) -> &'static str {
    match choice {
        Some(Choice::Never) => "none",
        Some(Choice::Any | Choice::Named(_)) => "required",
        Some(Choice::Auto) | None => "auto",
    }
}

/// Reads the schema of an answer, whose members stand in `holder`, which is at `path`.
pub(crate) fn schema<'t, 'b>(holder: Option<Value<'t, 'b>>, path: &str) -> Result<Shape<'t, 'b>, BadRequest> {
    let schema = holder
        .and_then(|holder| holder.get("schema"))
        .ok_or_else(|| BadRequest::new(format!("{path}.schema"), "must be given with type json_schema"))?;
    Ok(Shape::Schema {
        name: holder.map_or("", |holder| holder.text("name")),
        description: holder.and_then(|holder| holder.get("description")?.str()),
        schema,
        strict: holder.and_then(|holder| holder.get("strict")?.bool()),
    })
}

/// Writes the members of [`Shape::Schema`].
pub(crate) fn write_schema(
    name: &str,
    description: Option<&str>,
    schema: Value<'_, '_>,
    strict: Option<bool>,
    e: &mut Emit<'_>,
) {
    e.key("name").str(if name.is_empty() { "output" } else { name }); // OpenAI demands one
    if let Some(description) = description {
        e.key("description").str(description);
    }
    e.key("schema").value(schema);
    if let Some(strict) = strict {
        e.key("strict").bool(strict);
    }
}

/// Reads a part of type `input_audio`.
pub(crate) fn audio<'b>(part: Value<'_, 'b>, at: At) -> Result<Media<'b>, BadRequest> {
    let audio = part.get("input_audio");
    let of = |name: &str| audio.map_or("", |audio| audio.text(name));
    let media_type = match of("format") {
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        _ => return Err(BadRequest::new(at.member("input_audio.format"), "must be wav or mp3")),
    };
    let source = Source::Base64 { media_type, data: of("data") };
    Ok(Media { kind: MediaKind::Audio, source, title: "", detail: "" })
}

/// Writes a part of type `input_audio`; false where it is neither of the two kinds that OpenAI takes.
pub(crate) fn write_audio(media: &Media<'_>, e: &mut Emit<'_>) -> bool {
    let (format, data) = match (media.kind, media.source) {
        (MediaKind::Audio, Source::Base64 { media_type: "audio/wav" | "audio/x-wav", data }) => ("wav", data),
        (MediaKind::Audio, Source::Base64 { media_type: "audio/mp3" | "audio/mpeg", data }) => ("mp3", data),
        _ => return false,
    };
    e.object(|e| {
        e.key("type").str("input_audio");
        e.key("input_audio").object(|e| {
            e.key("data").str(data);
            e.key("format").str(format);
        });
    });
    true
}

/// Writes the members of a document that is sent along.
pub(crate) fn write_file(title: &str, media_type: &str, data: &str, e: &mut Emit<'_>) {
    e.key("filename").str(if title.is_empty() { "document.pdf" } else { title });
    e.key("file_data").text(["data:", media_type, ";base64,", data]);
}

/// Reads a citation of a page.
pub(crate) fn citation<'b>(cited: Value<'_, 'b>) -> Citation<'b> {
    let place = |name: &str| cited.get(name).and_then(Value::u64);
    Citation {
        url: cited.text("url"),
        title: cited.text("title"),
        quote: "",
        span: place("start_index").zip(place("end_index")),
    }
}

/// Writes the members of a citation of a page.
pub(crate) fn write_citation(page: &Citation<'_>, e: &mut Emit<'_>) {
    let (start, end) = page.span.unwrap_or_default();
    e.key("start_index").u64(start);
    e.key("end_index").u64(end);
    e.key("title").str(page.title);
    e.key("url").str(page.url);
}

/// The signature of a call, where Google's own hosts put it when they speak OpenAI's format.
pub(crate) fn signature<'b>(call: Value<'_, 'b>) -> &'b str {
    let google = call.get("extra_content").and_then(|extra| extra.get("google"));
    google.map_or("", |google| google.text("thought_signature"))
}

/// Writes the signature of a call, where Google's clients look for it and give it back.
pub(crate) fn write_signature(signature: &str, e: &mut Emit<'_>) {
    if !signature.is_empty() {
        e.key("extra_content").object(|e| {
            e.key("google").object(|e| e.key("thought_signature").str(signature));
        });
    }
}
