//! Parts with media: their bytes, or where Google finds them.

use super::names;
use crate::llm::translate::BadRequest;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Media, MediaKind, Source};
use crate::llm::translate::read::Value;

/// Media that the result of a tool may hold (Gemini API, "Multimodal function responses").
const MEDIA_OF_TOOLS: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"];

/// An image, a document, a sound or a film; `None` when the part is none. What lies at Google is known there alone.
pub(super) fn read<'t, 'b>(
    part: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    at: At,
) -> Result<Option<Media<'b>>, BadRequest> {
    let (holder, source) = if let Some(held) = names::get(part, "inlineData") {
        let media_type = names::text(held, "mimeType");
        if media_type.is_empty() {
            return Err(BadRequest::new(at.member("inlineData.mimeType"), "must be given"));
        }
        let data = match made.map_or("", |made| made.text("data")) {
            "" => names::text(held, "data"),
            made => made,
        };
        (held, Source::Base64 { media_type, data })
    } else if let Some(file) = names::get(part, "fileData") {
        let uri = names::text(file, "fileUri");
        let source = match Source::of_url(uri) {
            Some(Source::Url(url)) if !is_kept(url) => Source::Url(url),
            _ => Source::Kept(uri),
        };
        (file, source)
    } else {
        return Ok(None);
    };
    let kind = MediaKind::of(names::text(holder, "mimeType"));
    Ok(Some(Media { kind, source, title: names::text(holder, "displayName"), detail: "" }))
}

/// Whether only Google can read what the URL names: a file of its Files API or of its storage.
fn is_kept(uri: &str) -> bool {
    uri.starts_with("gs://") || uri.starts_with("https://generativelanguage.googleapis.com/")
}

/// Whether a model that takes media from tools takes this.
pub(super) fn is_of_tools(media: &Media<'_>) -> bool {
    match media.source {
        Source::Base64 { media_type, .. } => MEDIA_OF_TOOLS.contains(&media_type),
        Source::Url(_) | Source::Kept(_) => false,
    }
}

/// Writes a part with bytes, or with where Google finds them. A type is told with a URL where its name shows it: the
/// Gemini API does without, Vertex AI demands one.
pub(super) fn write(media: &Media<'_>, at: At, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    match media.source {
        Source::Base64 { media_type, data } => e.object(|e| {
            e.key("inlineData").object(|e| {
                e.key("mimeType").str(media_type);
                e.key("data").str(data);
            });
        }),
        Source::Kept(uri) if !is_kept(uri) => return Err(media.unsendable(at)),
        Source::Url(uri) | Source::Kept(uri) => e.object(|e| {
            e.key("fileData").object(|e| {
                if let Some(media_type) = media_type(uri, media) {
                    e.key("mimeType").str(media_type);
                }
                e.key("fileUri").str(uri);
            });
        }),
    }
    Ok(())
}

/// The media type that the name at the end of a URL shows.
fn media_type(url: &str, media: &Media<'_>) -> Option<&'static str> {
    const TYPES: [(&str, &str); 17] = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("heic", "image/heic"),
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("csv", "text/csv"),
        ("html", "text/html"),
        ("wav", "audio/wav"),
        ("mp3", "audio/mp3"),
        ("flac", "audio/flac"),
        ("mp4", "video/mp4"),
        ("mov", "video/quicktime"),
        ("webm", "video/webm"),
    ];
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    let shown =
        TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(end)).map(|(_, media_type)| *media_type);
    // All documents that other formats send by a URL are PDF.
    let by_url = matches!((media.kind, media.source), (MediaKind::Document, Source::Url(_)));
    shown.or(by_url.then_some("application/pdf"))
}
