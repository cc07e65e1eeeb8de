//! Which endpoint of which API a request is for, read off its method and path.

use super::{Api, Format};
use crate::base::Span;
use crate::wire::http1::Method;

/// What method and path say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The format that the client speaks.
    pub format: Format,
    /// Where the path names a model, undecoded, in the target that was read.
    pub model: Option<Span>,
    /// Whether the path asks for a stream; `None` where the body says so.
    pub streamed: Option<bool>,
}

/// Why a request cannot be served, though its endpoint is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The endpoint takes another method.
    Method {
        /// Whose endpoint it is.
        format: Format,
        /// The method that it takes.
        allow: Method,
    },
    /// An endpoint of this API that is not served.
    Unserved(Api),
    /// A stream of Gemini's without `alt=sse`, which would come as one JSON array.
    NoSse,
}

impl Mismatch {
    /// A format in whose words the client is told.
    pub const fn format(self) -> Format {
        match self {
            Mismatch::Method { format, .. } => format,
            // No path is read as Bedrock's, so none of its endpoints is missed.
            Mismatch::Unserved(Api::OpenAi | Api::Bedrock) => Format::OpenAiChat,
            Mismatch::Unserved(Api::Anthropic) => Format::AnthropicMessages,
            Mismatch::Unserved(Api::Gemini) | Mismatch::NoSse => Format::GeminiGenerate,
        }
    }
}

/// Reads a request's method and target, which is the path after the rule's rewrite and its query; `headers` is the API that
/// its headers tell: `anthropic-version` is Anthropic's, `x-goog-api-key` Google's. They matter where the three have the same
/// paths, which are those of models and files.
///
/// Endpoints are known by how the path ends, so that routes may have prefixes. A path that is none of theirs is taken for
/// OpenAI's chat, whatever it is: so do agentgateway's route types, and the walkthrough needs it.
///
/// # Errors
/// An endpoint that is known and cannot be served so.
pub fn read(method: Method, target: &[u8], headers: Option<Api>) -> Result<Endpoint, Mismatch> {
    let path = match target.iter().position(|byte| matches!(byte, b'?' | b'#')) {
        Some(end) => target.get(..end).unwrap_or_default(),
        None => target,
    };
    // The two that most requests are for, by one comparison each.
    if path.ends_with(b"/chat/completions") {
        return posted(method, Format::OpenAiChat);
    }
    if path.ends_with(b"/v1/messages") {
        return posted(method, Format::AnthropicMessages);
    }
    let Some((version, at)) = versioned_part(path) else { return posted(method, Format::OpenAiChat) };
    let rest = path.get(at..).unwrap_or_default();
    let (name, under) = cut_at_slash(rest);
    match (name, under) {
        (b"models", under) => models(method, target, path, version, under, headers),
        (b"responses", None) => posted(method, Format::OpenAiResponses),
        (b"embeddings", None) => posted(method, Format::OpenAiEmbeddings),
        (b"messages", Some(b"count_tokens")) => posted(method, Format::AnthropicCountTokens),
        _ => match unserved(version, name, headers) {
            Some(api) => Err(Mismatch::Unserved(api)),
            None => posted(method, Format::OpenAiChat),
        },
    }
}

/// As [`read`], of a request whose path an operator has given the format `format`; what the path says beside that is still
/// read. Of models the list of the API that headers and path tell is meant.
///
/// # Errors
/// As [`read`], where the endpoint is the one that was given.
pub fn read_as(
    format: Format,
    method: Method,
    target: &[u8],
    headers: Option<Api>,
) -> Result<Endpoint, Mismatch> {
    let is_meant = |read: Format| read == format || read.is_lookup() && format.is_lookup();
    match read(method, target, headers) {
        Ok(endpoint) if is_meant(endpoint.format) => Ok(endpoint),
        Err(Mismatch::Method { format, allow }) if is_meant(format) => {
            Err(Mismatch::Method { format, allow })
        }
        Err(Mismatch::NoSse) if format == Format::GeminiGenerate => Err(Mismatch::NoSse),
        _ if format.is_lookup() => looked_up(method, format, None),
        // Whether Gemini's answer streams only its own paths say.
        _ => posted(method, format).map(|endpoint| Endpoint {
            streamed: (format == Format::GeminiGenerate).then_some(false),
            ..endpoint
        }),
    }
}

/// The version in a path, as Google and the others write it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// `v1`, which all three have.
    V1,
    /// `v1beta` or `v1alpha`, which only Google has.
    Google,
}

/// The last version that stands in `path` as a segment of its own, and where what follows it begins.
fn versioned_part(path: &[u8]) -> Option<(Version, usize)> {
    let mut end = path.len();
    while let Some(slash) = path.get(..end)?.iter().rposition(|byte| *byte == b'/') {
        let (segment, _) = cut_at_slash(path.get(slash + 1..)?);
        let version = match segment {
            b"v1" => Some(Version::V1),
            b"v1beta" | b"v1alpha" => Some(Version::Google),
            _ => None,
        };
        if let Some(version) = version {
            return Some((version, (slash + segment.len() + 2).min(path.len())));
        }
        end = slash;
    }
    None
}

fn cut_at_slash(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let slash = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
    (text.get(..slash).unwrap_or_default(), text.get(slash + 1..))
}

fn posted(method: Method, format: Format) -> Result<Endpoint, Mismatch> {
    match method {
        Method::Post => Ok(Endpoint { format, model: None, streamed: None }),
        _ => wrong_method(format, Method::Post),
    }
}

fn wrong_method(format: Format, allow: Method) -> Result<Endpoint, Mismatch> {
    Err(Mismatch::Method { format, allow })
}

/// What stands under `models`: lists and entries of all three APIs, and Gemini's methods of a model.
fn models(
    method: Method,
    target: &[u8],
    path: &[u8],
    version: Version,
    under: Option<&[u8]>,
    headers: Option<Api>,
) -> Result<Endpoint, Mismatch> {
    let listed = match (version, headers) {
        (Version::Google, _) | (Version::V1, Some(Api::Gemini)) => Format::GeminiModels,
        (Version::V1, Some(Api::Anthropic)) => Format::AnthropicModels,
        (Version::V1, _) => Format::OpenAiModels,
    };
    let Some(id) = under.filter(|id| !id.is_empty()) else { return looked_up(method, listed, None) };
    let begin = path.len() - id.len();
    let colon = id.iter().rposition(|byte| *byte == b':');
    let (name, verb) = colon.and_then(|colon| id.split_at_checked(colon)).unwrap_or((id, b""));
    let model = Some(Span::new(begin, begin + name.len())).filter(|model| !model.is_empty());
    let called = |format, streamed| match method {
        Method::Post => Ok(Endpoint { format, model, streamed }),
        _ => wrong_method(format, Method::Post),
    };
    match verb {
        b":generateContent" => called(Format::GeminiGenerate, Some(false)),
        b":streamGenerateContent" if !asks_for_events(target) && method == Method::Post => {
            Err(Mismatch::NoSse)
        }
        b":streamGenerateContent" => called(Format::GeminiGenerate, Some(true)),
        b":countTokens" => called(Format::GeminiCountTokens, None),
        b":embedContent" => called(Format::GeminiEmbed, None),
        b":batchEmbedContents" => called(Format::GeminiEmbedBatch, None),
        // Names of OpenAI's fine-tuned models have colons, so what follows one is a method of Gemini's only in a POST.
        b"" | b":" => looked_up(method, listed, Some(Span::new(begin, path.len()))),
        _ if method == Method::Post => Err(Mismatch::Unserved(Api::Gemini)),
        _ => looked_up(method, listed, Some(Span::new(begin, path.len()))),
    }
}

fn looked_up(method: Method, format: Format, model: Option<Span>) -> Result<Endpoint, Mismatch> {
    match method {
        Method::Get => Ok(Endpoint { format, model, streamed: None }),
        _ => wrong_method(format, Method::Get),
    }
}

/// Whether the query has `alt=sse`, also as `$alt`, which Google takes for the same.
fn asks_for_events(target: &[u8]) -> bool {
    let query = target.iter().position(|byte| *byte == b'?').and_then(|at| target.get(at + 1..));
    let mut fields = query.unwrap_or_default().split(|byte| *byte == b'&');
    fields.any(|field| matches!(field, b"alt=sse" | b"$alt=sse" | b"%24alt=sse"))
}

/// What OpenAI has under `/v1` and is not served (API reference, 2026). Below `responses` and `messages` stand those that
/// look up or cancel; `files` and `skills` are also Anthropic's.
#[rustfmt::skip]
const OPENAI: [&[u8]; 22] = [
    b"completions", b"responses", b"audio", b"images", b"videos", b"moderations", b"files", b"uploads", b"batches",
    b"fine_tuning", b"vector_stores", b"assistants", b"threads", b"conversations", b"containers", b"evals",
    b"realtime", b"organization", b"projects", b"chatkit", b"skills", b"edits",
];

/// What Anthropic has under `/v1` and is not served (API reference, 2026).
const ANTHROPIC: [&[u8]; 5] = [b"messages", b"complete", b"files", b"skills", b"organizations"];

/// What Gemini has under `/v1beta` and is not served (API reference, 2026).
#[rustfmt::skip]
const GEMINI: [&[u8]; 11] = [
    b"tunedModels", b"files", b"cachedContents", b"corpora", b"fileSearchStores", b"batches", b"operations",
    b"generatedFiles", b"interactions", b"dynamic", b"auth_tokens",
];

/// Whose endpoint `name` under a version is, if it is one that is not served.
fn unserved(version: Version, name: &[u8], headers: Option<Api>) -> Option<Api> {
    let has = |names: &[&[u8]]| names.contains(&name);
    match (version, headers) {
        (Version::Google, _) | (_, Some(Api::Gemini)) if has(&GEMINI) => Some(Api::Gemini),
        (Version::Google, _) => None,
        (Version::V1, Some(Api::Anthropic)) if has(&ANTHROPIC) => Some(Api::Anthropic),
        (Version::V1, _) if matches!(name, b"messages" | b"complete") => Some(Api::Anthropic),
        (Version::V1, _) => has(&OPENAI).then_some(Api::OpenAi),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::*;

    const ANTHROPIC_HEADER: Option<Api> = Some(Api::Anthropic);

    fn read(
        method: Method,
        target: &str,
        headers: Option<Api>,
    ) -> Result<(Format, Option<&str>, Option<bool>), Mismatch> {
        let endpoint = super::read(method, target.as_bytes(), headers)?;
        Ok((endpoint.format, endpoint.model.map(|model| &target[model.range()]), endpoint.streamed))
    }

    #[test]
    fn the_path_after_rewriting_names_the_clients_format() {
        let rows = [
            ("/v1/chat/completions", OpenAiChat),
            ("/anthropic", OpenAiChat),
            ("/", OpenAiChat),
            ("", OpenAiChat),
            ("/v1", OpenAiChat),
            ("/v1/", OpenAiChat),
            ("/v1/whatever/else", OpenAiChat),
            ("/v1beta/openai/chat/completions", OpenAiChat),
            ("/v1/chat/completions?x=/v1/messages", OpenAiChat),
            ("/responses", OpenAiChat),
            ("/v1/messages", AnthropicMessages),
            ("/x/v1/messages?beta=true", AnthropicMessages),
            ("/v1/messages/count_tokens", AnthropicCountTokens),
            ("/x/v1/messages/count_tokens?beta=true", AnthropicCountTokens),
            ("/v1/responses", OpenAiResponses),
            ("/openai/v1/responses?x=1", OpenAiResponses),
            ("/v1/embeddings", OpenAiEmbeddings),
            ("/v1beta/x/v1/embeddings#x", OpenAiEmbeddings),
        ];
        for (path, format) in rows {
            assert_eq!(read(Method::Post, path, None), Ok((format, None, None)), "{path}");
            let wrong = Err(Mismatch::Method { format, allow: Method::Post });
            assert_eq!(read(Method::Get, path, Some(Api::Anthropic)), wrong, "{path}");
        }
    }

    #[test]
    fn models_are_looked_up() {
        let rows = [
            ("/v1/models", None, OpenAiModels, None),
            ("/v1/models/", None, OpenAiModels, None),
            ("/x/v1/models?limit=5", ANTHROPIC_HEADER, AnthropicModels, None),
            ("/v1/models/gpt-4o", None, OpenAiModels, Some("gpt-4o")),
            ("/v1/models/ft:gpt-4o:us::x", None, OpenAiModels, Some("ft:gpt-4o:us::x")),
            ("/v1/models/meta/llama", None, OpenAiModels, Some("meta/llama")),
            ("/v1/models/claude-x?a=b", ANTHROPIC_HEADER, AnthropicModels, Some("claude-x")),
            ("/v1beta/models", None, GeminiModels, None),
            ("/v1/models", Some(Api::Gemini), GeminiModels, None),
            ("/v1/models/gemini-x", Some(Api::Gemini), GeminiModels, Some("gemini-x")),
            ("/g/v1beta/models/gemini-2.5-pro", None, GeminiModels, Some("gemini-2.5-pro")),
        ];
        for (path, headers, format, model) in rows {
            assert_eq!(read(Method::Get, path, headers), Ok((format, model, None)), "{path}");
            let wrong = Err(Mismatch::Method { format, allow: Method::Get });
            assert_eq!(read(Method::Head, path, headers), wrong, "{path}");
            assert_eq!(read(Method::Delete, path, headers), wrong, "{path}");
        }
    }

    #[test]
    fn geminis_paths_name_model_and_method() {
        let rows = [
            ("/v1beta/models/gemini-2.5-flash:generateContent", GeminiGenerate, Some(false)),
            ("/v1/models/gemini-2.5-flash:generateContent?key=k", GeminiGenerate, Some(false)),
            (
                "/x/v1beta/models/gemini-2.5-flash:streamGenerateContent?key=k&alt=sse",
                GeminiGenerate,
                Some(true),
            ),
            ("/v1alpha/models/gemini-2.5-flash:streamGenerateContent?%24alt=sse", GeminiGenerate, Some(true)),
            ("/v1beta/models/gemini-2.5-flash:countTokens", GeminiCountTokens, None),
            ("/v1beta/models/gemini-2.5-flash:embedContent", GeminiEmbed, None),
            ("/x/v1/models/gemini-2.5-flash:batchEmbedContents?key=k", GeminiEmbedBatch, None),
        ];
        for (path, format, streamed) in rows {
            assert_eq!(
                read(Method::Post, path, None),
                Ok((format, Some("gemini-2.5-flash"), streamed)),
                "{path}"
            );
            let wrong = Err(Mismatch::Method { format, allow: Method::Post });
            assert_eq!(read(Method::Get, path, None), wrong, "{path}");
        }
        for query in ["", "?alt=json", "?altx=sse", "?x=alt=sse"] {
            let path = format!("/v1beta/models/gemini:streamGenerateContent{query}");
            assert_eq!(read(Method::Post, &path, None), Err(Mismatch::NoSse), "{path}");
        }
    }

    #[test]
    fn endpoints_that_are_not_served_are_told_from_chat() {
        let rows = [
            ("/v1/completions", None, Api::OpenAi),
            ("/x/v1/completions?y", None, Api::OpenAi),
            ("/v1/audio/speech", None, Api::OpenAi),
            ("/v1/images/generations", None, Api::OpenAi),
            ("/v1/files", None, Api::OpenAi),
            ("/v1/files/file-1/content", ANTHROPIC_HEADER, Api::Anthropic),
            ("/v1/batches", None, Api::OpenAi),
            ("/v1/responses/resp_1/cancel", None, Api::OpenAi),
            ("/v1/responses/compact", None, Api::OpenAi),
            ("/v1/messages/batches", None, Api::Anthropic),
            ("/v1/messages/batches/b/results", ANTHROPIC_HEADER, Api::Anthropic),
            ("/v1/complete", None, Api::Anthropic),
            ("/v1beta/models/gemini:asyncBatchEmbedContent", None, Api::Gemini),
            ("/v1/models/gemini:predict", None, Api::Gemini),
            ("/v1beta/cachedContents", None, Api::Gemini),
            ("/upload/v1beta/files", None, Api::Gemini),
            ("/v1/files", Some(Api::Gemini), Api::Gemini),
        ];
        for (path, headers, api) in rows {
            assert_eq!(read(Method::Post, path, headers), Err(Mismatch::Unserved(api)), "{path}");
        }
        assert_eq!(read(Method::Get, "/v1/responses/resp_1", None), Err(Mismatch::Unserved(Api::OpenAi)));
        assert_eq!(read(Method::Get, "/v1/files", None), Err(Mismatch::Unserved(Api::OpenAi)));
    }
}
