//! Images, documents, sounds and films, which Bedrock tells apart by a word for their format.

use crate::llm::translate::BadRequest;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Media, MediaKind, Source, bare_type};
use std::collections::HashMap;

/// Media types and what Bedrock calls them (`ImageBlock`, `DocumentBlock`, `VideoBlock`, `AudioBlock`).
const FORMATS: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("video/x-matroska", "mkv"),
    ("video/webm", "webm"),
    ("video/x-flv", "flv"),
    ("video/mpeg", "mpeg"),
    ("video/x-ms-wmv", "wmv"),
    ("video/3gpp", "three_gp"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/mp3", "mp3"),
    ("audio/mpeg", "mp3"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/ogg", "ogg"),
    ("audio/opus", "opus"),
    ("audio/mp4", "mp4"),
    ("audio/webm", "webm"),
];

/// Documents whose media type says nothing are known by how their names end.
const EXTENSIONS: &[&str] = &["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];

/// The longest name of a document in bytes (`DocumentBlock`).
const NAME_MAX: usize = 200;

/// One medium, as a block holds it.
pub(super) struct Block<'m> {
    kind: MediaKind,
    format: &'static str,
    data: &'m str,
    title: &'m str,
}

impl<'m> Block<'m> {
    /// Refuses what Bedrock cannot be sent.
    pub(super) fn of(media: &Media<'m>, at: At) -> Result<Block<'m>, BadRequest> {
        let Media { kind, source, title, .. } = *media;
        let (media_type, data) = match source {
            Source::Base64 { media_type, data } => (media_type, data),
            Source::Url(_) => {
                let words = "Amazon Bedrock fetches nothing from URLs: give the bytes themselves, in base64";
                return Err(BadRequest::new(at.to_string(), words));
            }
            Source::Kept(_) => return Err(media.unsendable(at)),
        };
        let bare = bare_type(media_type);
        let known = FORMATS.iter().find(|(known, _)| MediaKind::of(known) == kind && *known == bare);
        let ending = title.rsplit_once('.').map_or("", |(_, ending)| ending);
        let by_name = || {
            let named = EXTENSIONS.iter().find(|known| known.eq_ignore_ascii_case(ending));
            named.filter(|_| kind == MediaKind::Document)
        };
        let format = known.map(|(_, format)| *format).or_else(|| by_name().copied());
        let words = match kind {
            MediaKind::Image => "an image for Amazon Bedrock must be png, jpeg, gif or webp",
            MediaKind::Document => {
                "a document for Amazon Bedrock must be pdf, csv, doc, docx, xls, xlsx, html, txt or md"
            }
            MediaKind::Audio => {
                "audio for Amazon Bedrock must be wav, mp3, aac, flac, ogg, opus, mp4 or webm"
            }
            MediaKind::Video => "video for Amazon Bedrock must be mp4, mov, mkv, webm, flv, mpeg, wmv or 3gp",
        };
        let format = format.ok_or_else(|| BadRequest::new(at.to_string(), words))?;
        Ok(Block { kind, format, data, title })
    }

    pub(super) fn is_document(&self) -> bool {
        self.kind == MediaKind::Document
    }

    /// Whether the model sees it as it is: it can be cached then. Bedrock makes texts of other documents.
    pub(super) fn is_native(&self) -> bool {
        self.kind == MediaKind::Image || self.format == "pdf"
    }

    /// Writes the block; a document under this name.
    pub(super) fn write(&self, name: &str, e: &mut Emit<'_>) {
        let member = match self.kind {
            MediaKind::Image => "image",
            MediaKind::Document => "document",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        };
        e.object(|e| {
            e.key(member).object(|e| {
                e.key("format").str(self.format);
                if self.is_document() {
                    e.key("name").str(name);
                }
                e.key("source").object(|e| e.key("bytes").str(self.data));
            });
        });
    }
}

/// The names of a request's documents, which Bedrock wants all different.
#[derive(Default)]
pub(super) struct Names {
    /// How often a name was asked for, or the number it was given with.
    given: HashMap<String, u32>,
}

impl Names {
    /// The next name for a document; nothing for other media.
    pub(super) fn of(&mut self, block: &Block<'_>) -> String {
        if block.is_document() { self.name(block.title, block.format) } else { String::new() }
    }

    /// A name made of `title`: without its ending, of letters, digits, hyphens, brackets, and white space one at a
    /// time. The same titles get the same names in the next request, so that what was cached is found.
    fn name(&mut self, title: &str, format: &str) -> String {
        let stem = title.rsplit_once('.').filter(|(_, ending)| ending.eq_ignore_ascii_case(format));
        let title = stem.map_or(title, |(stem, _)| stem);
        let is_taken = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
        let words = title.split(|c: char| !is_taken(c)).filter(|word| !word.is_empty());
        let mut base = words.collect::<Vec<_>>().join(" ");
        base.truncate(NAME_MAX - " (4294967295)".len()); // ASCII alone is left
        let base = if base.is_empty() { "Document" } else { base.trim_end() };
        let mut number = self.given.get(base).copied().unwrap_or_default();
        let name = loop {
            number = number.saturating_add(1);
            let name = if number == 1 { base.to_owned() } else { format!("{base} ({number})") };
            if number == u32::MAX || !self.given.contains_key(&name) || number == 1 {
                break name;
            }
        };
        self.given.insert(base.to_owned(), number);
        self.given.entry(name.clone()).or_insert(1);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_and_all_different() {
        let mut names = Names::default();
        for (title, name) in [
            ("", "Document"),
            ("report.pdf", "report"),
            ("report.PDF", "report (2)"),
            ("report (2)", "report (2) (2)"),
            ("report.pdf", "report (3)"),
            ("Q3: Zürich / plan_b.docx", "Q3 Z rich plan b docx"),
            ("  a \t\n b [c] -d ", "a b [c] -d"),
            ("日本", "Document (2)"),
            (".pdf", "Document (3)"),
        ] {
            assert_eq!(names.name(title, "pdf"), name, "{title}");
        }
        assert_eq!(names.name(&"x".repeat(300), "pdf").len(), 187);
    }

    #[test]
    fn formats_are_told_by_type_or_by_name() {
        let format = |kind, media_type, title| {
            let source = Source::Base64 { media_type, data: "AA==" };
            Block::of(&Media { kind, source, title, detail: "" }, At::default())
                .ok()
                .map(|block| block.format)
        };
        for (kind, media_type, title, expected) in [
            (MediaKind::Image, "image/JPG", "", Some("jpeg")),
            (MediaKind::Image, "image/svg+xml", "", None),
            (MediaKind::Image, "application/pdf", "", None),
            (MediaKind::Document, "text/plain; charset=utf-8", "", Some("txt")),
            (MediaKind::Document, "application/octet-stream", "a.CSV", Some("csv")),
            (MediaKind::Document, "application/zip", "a.zip", None),
            (MediaKind::Audio, "audio/mp3", "", Some("mp3")),
            (MediaKind::Video, "video/3gpp", "", Some("three_gp")),
        ] {
            assert_eq!(format(kind, media_type, title), expected, "{media_type} {title}");
        }
    }
}
