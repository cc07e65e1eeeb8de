use super::signature::{Maker, Signature};
use crate::llm::translate::BadRequest;
use crate::llm::translate::emit::{Emit, compact};
use crate::llm::translate::read::{Decoder, Value};
use std::borrow::Cow;
use std::fmt;

/// A piece of a turn or of an answer.
#[derive(Clone)]
pub(crate) struct Part<'t, 'b> {
    pub(crate) what: What<'t, 'b>,
    /// Anthropic's marker that the prompt up to here shall be cached (`cache_control`).
    pub(crate) cache: Option<Value<'t, 'b>>,
    /// Where the client gave it, for errors.
    pub(crate) at: At,
}

impl<'t, 'b> Part<'t, 'b> {
    /// A piece without a marker.
    pub(crate) fn new(what: What<'t, 'b>, at: At) -> Part<'t, 'b> {
        Part { what, cache: None, at }
    }

    /// Plain text.
    pub(crate) fn text(text: &'b str, at: At) -> Part<'t, 'b> {
        Part::new(What::Text { text, citations: Vec::new(), logprobs: None }, at)
    }

    /// The same piece with this marker.
    pub(crate) fn cached(self, cache: Option<Value<'t, 'b>>) -> Part<'t, 'b> {
        Part { cache, ..self }
    }
}

/// What a piece is.
#[derive(Clone)]
pub(crate) enum What<'t, 'b> {
    Text {
        text: &'b str,
        /// What it is based on.
        citations: Vec<Citation<'b>>,
        /// Its tokens with their logarithmic probabilities, as OpenAI lists them.
        logprobs: Option<Value<'t, 'b>>,
    },
    Media(Media<'b>),
    /// What the model thought.
    Thinking {
        text: &'b str,
        /// Empty when the provider gave none.
        signature: Signature<'b>,
    },
    /// What the model thought, encrypted by the provider.
    Redacted(Signature<'b>),
    /// Why the model does not answer.
    Refusal(&'b str),
    /// The model calls a tool of the client's.
    Call {
        /// Empty where the format or the provider has none.
        id: &'b str,
        name: &'b str,
        arguments: Json<'t, 'b>,
        /// Gemini signs a call with the thought that led to it; empty elsewhere.
        signature: &'b str,
    },
    /// The client answers a call.
    Result {
        /// The call's.
        id: &'b str,
        /// The tool's, where the format says it (Gemini); else empty.
        name: &'b str,
        /// Texts and media.
        content: Vec<Part<'t, 'b>>,
        /// The tool failed.
        failed: bool,
    },
    /// What only the client's own provider knows: calls of tools that run at the provider, and their results.
    Foreign,
}

impl What<'_, '_> {
    /// Who knows it for a thought of its own; `None` when nobody does.
    pub(crate) fn signed_by(&self) -> Option<Maker> {
        match self {
            What::Thinking { signature, .. } => Some(signature.by).filter(|_| !signature.is_empty()),
            What::Redacted(data) => Some(data.by),
            _ => None,
        }
    }
}

/// An image, a document, a sound or a film.
#[derive(Clone, Copy)]
pub(crate) struct Media<'b> {
    pub(crate) kind: MediaKind,
    pub(crate) source: Source<'b>,
    /// A document's name; empty when it has none.
    pub(crate) title: &'b str,
    /// How closely an image shall be looked at, in OpenAI's words; empty when that is not said.
    pub(crate) detail: &'b str,
}

impl Media<'_> {
    /// Whether an image shall be looked at more or less closely than by default, which only OpenAI can be asked for.
    pub(crate) fn asks_for_detail(&self) -> bool {
        !matches!(self.detail, "" | "auto")
    }

    /// Why a format refuses it: no provider but its own has what is kept there, and none takes everything.
    pub(crate) fn unsendable(&self, at: At) -> BadRequest {
        let words = match (self.kind, self.source) {
            (_, Source::Kept(_)) => "a file that is kept at another provider cannot be sent to this one",
            (MediaKind::Audio, _) => "audio of this kind cannot be sent to this provider",
            (MediaKind::Video, _) => "video of this kind cannot be sent to this provider",
            (MediaKind::Image, _) => "an image of this kind cannot be sent to this provider",
            (MediaKind::Document, _) => "a document of this kind cannot be sent to this provider",
        };
        BadRequest::new(at.to_string(), words)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Document,
    Audio,
    Video,
}

impl MediaKind {
    /// The kind of a media type; what is not an image, a sound or a film is a document.
    pub(crate) fn of(media_type: &str) -> MediaKind {
        let family = media_type.split('/').next().unwrap_or_default();
        let known = [("image", MediaKind::Image), ("audio", MediaKind::Audio), ("video", MediaKind::Video)];
        let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(family));
        found.map_or(MediaKind::Document, |(_, kind)| kind)
    }
}

/// A media type without its parameters; types are the same in either case (RFC 9110, section 8.3.1).
pub(crate) fn bare_type(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or(media_type).trim().to_ascii_lowercase()
}

/// The registered name of the four types of images that every provider takes, from what clients call them.
pub(crate) fn image_type(media_type: &str) -> Option<&'static str> {
    match bare_type(media_type).as_str() {
        "image/jpeg" | "image/jpg" => Some("image/jpeg"),
        "image/png" => Some("image/png"),
        "image/gif" => Some("image/gif"),
        "image/webp" => Some("image/webp"),
        _ => None,
    }
}

/// Where the bytes are.
#[derive(Clone, Copy)]
pub(crate) enum Source<'b> {
    Base64 {
        media_type: &'b str,
        data: &'b str,
    },
    Url(&'b str),
    /// Kept at the provider under this name, which no other provider knows.
    Kept(&'b str),
}

impl<'b> Source<'b> {
    /// Of `data:<media type>[;parameters];base64,<data>` (RFC 2397), or of an http(s) URL.
    pub(crate) fn of_url(url: &'b str) -> Option<Source<'b>> {
        if url.starts_with("https://") || url.starts_with("http://") {
            return Some(Source::Url(url));
        }
        let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
        let head = head.strip_suffix(";base64")?;
        let media_type = head.split(';').next().unwrap_or(head);
        (!media_type.is_empty() && !data.is_empty()).then_some(Source::Base64 { media_type, data })
    }
}

/// What a text is based on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Citation<'b> {
    /// Empty for a document that the client sent.
    pub(crate) url: &'b str,
    pub(crate) title: &'b str,
    /// The words that are cited.
    pub(crate) quote: &'b str,
    /// Which characters of the text are based on it, first and one past the last.
    pub(crate) span: Option<(u64, u64)>,
}

/// Writes the id of a call; the `number`-th of an answer gets one where its provider gave none, for the client needs
/// something to answer to.
pub(crate) fn write_call_id(id: &str, number: u64, e: &mut Emit<'_>) {
    match id {
        "" => e.str(&format!("call_{number}")),
        id => e.str(id),
    }
}

/// Writes the id of a call with the letters, digits, `_` and `-` alone that Anthropic and Bedrock take; what else other
/// providers' ids hold (`functions.get:0`) becomes `_`.
pub(crate) fn write_plain_id(id: &str, e: &mut Emit<'_>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let joints = std::iter::once("").chain(std::iter::repeat("_"));
    e.text(id.split(|c| !fits(c)).zip(joints).flat_map(|(piece, joint)| [joint, piece]));
}

/// A digest for ids that are made here (FNV-1a): the same in every process, as a prompt that was cached must look the same
/// again.
pub(crate) fn digest(words: &str) -> u64 {
    words
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// JSON that some formats hold as an object and some as its text.
#[derive(Clone, Copy)]
pub(crate) enum Json<'t, 'b> {
    Nothing,
    Text(&'b str),
    Value(Value<'t, 'b>),
}

impl<'t, 'b> Json<'t, 'b> {
    /// What a member holds.
    pub(crate) fn of(given: Option<Value<'t, 'b>>) -> Json<'t, 'b> {
        match given {
            None => Json::Nothing,
            Some(value) => value.str().map_or(Json::Value(value), Json::Text),
        }
    }

    /// The JSON text of an object; nothing, white space and `null` are the empty one; `None` for all else, which
    /// a model may well have written.
    pub(crate) fn object(self) -> Option<Cow<'static, str>> {
        const EMPTY: Option<Cow<'static, str>> = Some(Cow::Borrowed("{}"));
        match self {
            Json::Nothing => EMPTY,
            Json::Value(value) => value.is_object().then(|| compact(value).into()),
            Json::Text(text) if matches!(text.trim(), "" | "null") => EMPTY,
            Json::Text(text) => {
                let object = |value: Value<'_, '_>| value.is_object().then(|| compact(value).into());
                Decoder::default().decode(&mut text.as_bytes().to_vec(), object).flatten()
            }
        }
    }

    /// The JSON text of the object that some formats hold, asked of the client's part `at`.
    pub(crate) fn demand_object(self, at: At) -> Result<Cow<'static, str>, BadRequest> {
        let words = "the arguments of a call must be a JSON object in a string";
        self.object().ok_or_else(|| BadRequest::new(at.to_string(), words))
    }

    /// Writes the object; what is none is kept as its text in the member `raw_arguments`, for the tokens are spent.
    /// False when that was needed.
    pub(crate) fn write_object(self, e: &mut Emit<'_>) -> bool {
        let object = self.object();
        match (self, &object) {
            (_, Some(object)) => e.raw(object),
            (Json::Text(text), None) => e.object(|e| e.key("raw_arguments").str(text)),
            (_, None) => e.raw("{}"),
        }
        object.is_some()
    }

    /// The text as it came, or that of the object.
    pub(crate) fn text(self) -> Cow<'b, str> {
        match self {
            Json::Nothing => "{}".into(),
            Json::Text(text) => text.into(),
            Json::Value(value) => compact(value).into(),
        }
    }
}

/// The way to a member of the client's body: `messages[2].content[0]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    steps: [(&'static str, u32); 3],
    len: u8,
}

impl At {
    /// The element `index` of the list `list` at the top.
    pub(crate) fn top(list: &'static str, index: usize) -> At {
        At::default().then(list, index)
    }

    /// The element `index` of the list `list` within this one; the fourth step is not told any more.
    pub(crate) fn then(mut self, list: &'static str, index: usize) -> At {
        if let Some(step) = self.steps.get_mut(usize::from(self.len)) {
            *step = (list, u32::try_from(index).unwrap_or(u32::MAX));
            self.len += 1;
        }
        self
    }

    /// The member `name` of it.
    pub(crate) fn member(self, name: &str) -> String {
        format!("{self}.{name}")
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (list, element)) in self.steps.iter().take(usize::from(self.len)).enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{list}[{element}]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, parts) in [
            ("data:image/png;base64,AA==", Some(("image/png", "AA=="))),
            ("data:application/pdf;name=a.pdf;base64,JVBE", Some(("application/pdf", "JVBE"))),
            ("data:image/png;base64,", None),
            ("data:;base64,AA==", None),
            ("data:image/svg+xml,<svg/>", None),
            ("data:image/png;base64", None),
            ("https://example.com/a.png", Some(("", "https://example.com/a.png"))),
            ("ftp://example.com/a.png", None),
        ] {
            let got = Source::of_url(url).map(|source| match source {
                Source::Base64 { media_type, data } => (media_type, data),
                Source::Url(url) | Source::Kept(url) => ("", url),
            });
            assert_eq!(got, parts, "{url}");
        }
    }

    #[test]
    fn arguments_are_objects() {
        for (text, object) in [
            (r#"{"a": 1}"#, Some(r#"{"a":1}"#)),
            ("", Some("{}")),
            (" null ", Some("{}")),
            ("[1]", None),
            ("{", None),
        ] {
            assert_eq!(Json::Text(text).object().as_deref(), object, "{text}");
        }
    }

    #[test]
    fn a_way_is_told_as_a_client_writes_it() {
        let at = At::top("messages", 2).then("content", 0);
        assert_eq!(
            (at.to_string(), at.member("type")),
            ("messages[2].content[0]".into(), "messages[2].content[0].type".into())
        );
        let deep = at.then("a", 1).then("b", 2);
        assert_eq!(deep.to_string(), "messages[2].content[0].a[1]");
    }
}
