//! OpenAI's images and files as Anthropic's image and document blocks.

use super::emit::Emit;
use super::read::Value;
use super::{BadRequest, Lost};

/// An image or a document, and where its bytes are.
pub(super) struct Media<'b> {
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
    /// Reads a part of OpenAI's; refuses what Anthropic cannot be sent. `path` names the part in errors.
    pub(super) fn of(
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

    /// Writes the block.
    pub(super) fn write(&self, cache: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
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

#[cfg(test)]
mod tests {
    use super::data_url;

    #[test]
    fn data_urls_are_taken_apart() {
        for (url, parts) in [
            ("data:image/png;base64,AA==", Some(("image/png", "AA=="))),
            ("data:application/pdf;name=a.pdf;base64,JVBE", Some(("application/pdf", "JVBE"))),
            ("data:image/png;base64,", None),
            ("data:;base64,AA==", None),
            ("data:image/svg+xml,<svg/>", None),
            ("data:image/png;base64", None),
            ("https://example.com/a.png", None),
        ] {
            assert_eq!(data_url(url), parts, "{url}");
        }
    }
}
