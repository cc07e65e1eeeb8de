//! Who serves a model, as data: where it listens, which formats it speaks on which paths, how it wants its credential.

mod dialect;
mod preset;

pub use dialect::Dialect;
pub use preset::{PRESETS, Preset};

use super::{Api, Format, ModelPlace};
use crate::wire::url::percent_encode;

/// A provider that tollgate knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// api.openai.com, or any host that speaks its formats.
    OpenAi,
    /// api.anthropic.com.
    Anthropic,
    /// generativelanguage.googleapis.com: Google's Gemini API.
    Gemini,
    /// OpenAI's models at a resource of Azure's, each under the name of a deployment.
    AzureOpenAi,
    /// Amazon Bedrock, by its Converse API.
    Bedrock,
    /// Google's Vertex AI: Gemini by its own format, Claude by Anthropic's.
    VertexAi,
}

/// How a credential is put on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialHeader {
    /// Header name, lower case.
    pub name: &'static str,
    /// What stands before the credential, with its space: `Bearer `, or nothing.
    pub prefix: &'static str,
}

/// What is served: the client's format, the provider, the format that is spoken with it. Where the two formats are one,
/// bodies pass with edits over spans; where they differ, they are translated. A pair that is not here is refused. Of a pair
/// that stands here twice, the second row is for hosts, or for publishers, that lack the first one's format: see
/// [`Dialect::speaks`].
#[rustfmt::skip]
pub const SERVED: [(Format, Provider, Format); 70] = [
    (Format::OpenAiChat,           Provider::OpenAi,    Format::OpenAiChat),
    (Format::OpenAiChat,           Provider::Anthropic, Format::AnthropicMessages),
    (Format::AnthropicMessages,    Provider::Anthropic, Format::AnthropicMessages),
    (Format::AnthropicMessages,    Provider::OpenAi,    Format::OpenAiChat),
    (Format::OpenAiChat,           Provider::Gemini,    Format::GeminiGenerate),
    (Format::AnthropicMessages,    Provider::Gemini,    Format::GeminiGenerate),
    (Format::OpenAiResponses,      Provider::OpenAi,    Format::OpenAiResponses),
    (Format::OpenAiResponses,      Provider::Anthropic, Format::AnthropicMessages),
    (Format::OpenAiResponses,      Provider::Gemini,    Format::GeminiGenerate),
    (Format::OpenAiResponses,      Provider::OpenAi,    Format::OpenAiChat),
    (Format::OpenAiEmbeddings,     Provider::OpenAi,    Format::OpenAiEmbeddings),
    (Format::OpenAiModels,         Provider::OpenAi,    Format::OpenAiModels),
    (Format::AnthropicCountTokens, Provider::Anthropic, Format::AnthropicCountTokens),
    (Format::AnthropicModels,      Provider::Anthropic, Format::AnthropicModels),
    (Format::GeminiGenerate,       Provider::Gemini,    Format::GeminiGenerate),
    (Format::GeminiGenerate,       Provider::OpenAi,    Format::OpenAiChat),
    (Format::GeminiGenerate,       Provider::Anthropic, Format::AnthropicMessages),
    (Format::GeminiCountTokens,    Provider::Gemini,    Format::GeminiCountTokens),
    (Format::GeminiModels,         Provider::Gemini,    Format::GeminiModels),
    (Format::OpenAiChat,           Provider::AzureOpenAi, Format::OpenAiChat),
    (Format::AnthropicMessages,    Provider::AzureOpenAi, Format::OpenAiChat),
    (Format::OpenAiResponses,      Provider::AzureOpenAi, Format::OpenAiResponses),
    (Format::OpenAiResponses,      Provider::AzureOpenAi, Format::OpenAiChat),
    (Format::OpenAiEmbeddings,     Provider::AzureOpenAi, Format::OpenAiEmbeddings),
    (Format::OpenAiModels,         Provider::AzureOpenAi, Format::OpenAiModels),
    (Format::GeminiGenerate,       Provider::AzureOpenAi, Format::OpenAiChat),
    (Format::OpenAiChat,           Provider::Bedrock,   Format::BedrockConverse),
    (Format::AnthropicMessages,    Provider::Bedrock,   Format::BedrockConverse),
    (Format::OpenAiResponses,      Provider::Bedrock,   Format::BedrockConverse),
    (Format::GeminiGenerate,       Provider::Bedrock,   Format::BedrockConverse),
    (Format::AnthropicMessages,    Provider::VertexAi,  Format::AnthropicMessages),
    (Format::AnthropicCountTokens, Provider::VertexAi,  Format::AnthropicCountTokens),
    (Format::OpenAiChat,           Provider::VertexAi,  Format::AnthropicMessages),
    (Format::OpenAiResponses,      Provider::VertexAi,  Format::AnthropicMessages),
    (Format::GeminiGenerate,       Provider::VertexAi,  Format::GeminiGenerate),
    (Format::GeminiGenerate,       Provider::VertexAi,  Format::AnthropicMessages),
    (Format::OpenAiChat,           Provider::VertexAi,  Format::GeminiGenerate),
    (Format::AnthropicMessages,    Provider::VertexAi,  Format::GeminiGenerate),
    (Format::OpenAiResponses,      Provider::VertexAi,  Format::GeminiGenerate),
    (Format::GeminiCountTokens,    Provider::VertexAi,  Format::GeminiCountTokens),
    (Format::GeminiCountTokens,    Provider::VertexAi,  Format::AnthropicCountTokens),
    (Format::AnthropicCountTokens, Provider::VertexAi,  Format::GeminiCountTokens),
    (Format::AnthropicCountTokens, Provider::Gemini,    Format::GeminiCountTokens),
    (Format::AnthropicCountTokens, Provider::Bedrock,   Format::BedrockCountTokens),
    (Format::GeminiCountTokens,    Provider::Anthropic, Format::AnthropicCountTokens),
    (Format::GeminiCountTokens,    Provider::Bedrock,   Format::BedrockCountTokens),
    (Format::OpenAiModels,         Provider::Anthropic, Format::AnthropicModels),
    (Format::OpenAiModels,         Provider::Gemini,    Format::GeminiModels),
    (Format::AnthropicModels,      Provider::OpenAi,    Format::OpenAiModels),
    (Format::AnthropicModels,      Provider::Gemini,    Format::GeminiModels),
    (Format::AnthropicModels,      Provider::AzureOpenAi, Format::OpenAiModels),
    (Format::GeminiModels,         Provider::OpenAi,    Format::OpenAiModels),
    (Format::GeminiModels,         Provider::Anthropic, Format::AnthropicModels),
    (Format::GeminiModels,         Provider::AzureOpenAi, Format::OpenAiModels),
    // Embeddings.
    (Format::OpenAiEmbeddings,     Provider::Gemini,    Format::GeminiEmbedBatch),
    (Format::OpenAiEmbeddings,     Provider::VertexAi,  Format::GeminiPredict),
    (Format::OpenAiEmbeddings,     Provider::VertexAi,  Format::GeminiEmbed),
    (Format::OpenAiEmbeddings,     Provider::Bedrock,   Format::BedrockInvoke),
    (Format::GeminiEmbed,          Provider::Gemini,    Format::GeminiEmbed),
    (Format::GeminiEmbed,          Provider::VertexAi,  Format::GeminiEmbed),
    (Format::GeminiEmbed,          Provider::VertexAi,  Format::GeminiPredict),
    (Format::GeminiEmbed,          Provider::OpenAi,    Format::OpenAiEmbeddings),
    (Format::GeminiEmbed,          Provider::AzureOpenAi, Format::OpenAiEmbeddings),
    (Format::GeminiEmbed,          Provider::Bedrock,   Format::BedrockInvoke),
    (Format::GeminiEmbedBatch,     Provider::Gemini,    Format::GeminiEmbedBatch),
    (Format::GeminiEmbedBatch,     Provider::VertexAi,  Format::GeminiPredict),
    (Format::GeminiEmbedBatch,     Provider::VertexAi,  Format::GeminiEmbed),
    (Format::GeminiEmbedBatch,     Provider::OpenAi,    Format::OpenAiEmbeddings),
    (Format::GeminiEmbedBatch,     Provider::AzureOpenAi, Format::OpenAiEmbeddings),
    (Format::GeminiEmbedBatch,     Provider::Bedrock,   Format::BedrockInvoke),
];

impl Provider {
    /// The name used in configuration, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Provider::OpenAi => "openai",
            Provider::Anthropic => "anthropic",
            Provider::Gemini => "gemini",
            Provider::AzureOpenAi => "azureopenai",
            Provider::Bedrock => "bedrock",
            Provider::VertexAi => "vertexai",
        }
    }

    /// The host that is used when the Backend names none; always port 443 over TLS. Of clouds, where each customer or
    /// region has its own, what all of them end with.
    pub const fn default_host(self) -> &'static str {
        match self {
            Provider::OpenAi => "api.openai.com",
            Provider::Anthropic => "api.anthropic.com",
            Provider::Gemini => "generativelanguage.googleapis.com",
            Provider::AzureOpenAi => "openai.azure.com",
            Provider::Bedrock => "amazonaws.com",
            Provider::VertexAi => "aiplatform.googleapis.com",
        }
    }

    /// The path of its chat endpoint; of Gemini, Vertex AI and Bedrock, whose paths name the model, what stands before it: of
    /// the first two before `/models`.
    pub const fn default_path(self) -> &'static str {
        match self {
            Provider::OpenAi => "/v1/chat/completions",
            Provider::Anthropic => "/v1/messages",
            Provider::Gemini => "/v1beta",
            Provider::AzureOpenAi => "/openai/v1/chat/completions",
            Provider::Bedrock => "/model",
            Provider::VertexAi => "/v1",
        }
    }

    /// Appends the path of the endpoint that speaks `format`, for `model` where the path names one.
    ///
    /// `configured` is the path of the chat endpoint, [`default_path`](Provider::default_path) unless a Backend has another
    /// one; the other endpoints are taken to be its neighbours, as they are at hosts that are compatible with OpenAI, with
    /// the same query. Where it does not end as the provider's own one does, they are where the provider has them.
    pub fn path(self, format: Format, configured: &str, model: &[u8], streamed: bool, out: &mut Vec<u8>) {
        let (chat, rest) = match format {
            Format::AnthropicMessages if self == Provider::VertexAi => ("", "/models"),
            Format::AnthropicCountTokens if self == Provider::VertexAi => {
                ("", "/models/count-tokens:rawPredict")
            }
            Format::OpenAiChat | Format::AnthropicMessages => {
                return out.extend_from_slice(configured.as_bytes());
            }
            Format::BedrockConverse | Format::BedrockInvoke | Format::BedrockCountTokens => {
                let counts = format == Format::BedrockCountTokens;
                let model = if counts { foundation_model(model) } else { model };
                for part in [configured.as_bytes(), b"/"] {
                    out.extend_from_slice(part);
                }
                // Names have colons, and ARNs slashes, which are no separators here.
                percent_encode(out, model);
                return out.extend_from_slice(match (format, streamed) {
                    (Format::BedrockInvoke, _) => b"/invoke",
                    (Format::BedrockCountTokens, _) => b"/count-tokens",
                    (_, true) => b"/converse-stream",
                    (_, false) => b"/converse",
                });
            }
            Format::OpenAiResponses => ("/chat/completions", "/responses"),
            Format::OpenAiEmbeddings => ("/chat/completions", "/embeddings"),
            Format::OpenAiModels => ("/chat/completions", "/models"),
            Format::AnthropicCountTokens => ("/messages", "/messages/count_tokens"),
            Format::AnthropicModels => ("/messages", "/models"),
            Format::GeminiGenerate
            | Format::GeminiCountTokens
            | Format::GeminiModels
            | Format::GeminiEmbed
            | Format::GeminiEmbedBatch
            | Format::GeminiPredict => ("", "/models"),
        };
        let (configured, query) = match configured.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (configured, None),
        };
        let own = self.default_path();
        let mut before = configured.strip_suffix(chat).or(own.strip_suffix(chat)).unwrap_or(own);
        if self == Provider::AzureOpenAi && format == Format::OpenAiModels {
            // Models are the resource's, not a deployment's.
            before = before.split("/deployments/").next().unwrap_or(before);
        }
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(rest.as_bytes());
        if !model.is_empty() {
            out.push(b'/');
            segment(model, out);
        }
        match (format, streamed) {
            (Format::GeminiGenerate, false) => out.extend_from_slice(b":generateContent"),
            (Format::GeminiGenerate, true) => out.extend_from_slice(b":streamGenerateContent"),
            (Format::GeminiCountTokens, _) => out.extend_from_slice(b":countTokens"),
            (Format::GeminiEmbed, _) => out.extend_from_slice(b":embedContent"),
            (Format::GeminiEmbedBatch, _) => out.extend_from_slice(b":batchEmbedContents"),
            (Format::GeminiPredict, _) => out.extend_from_slice(b":predict"),
            (Format::AnthropicMessages, false) => out.extend_from_slice(b":rawPredict"),
            (Format::AnthropicMessages, true) => out.extend_from_slice(b":streamRawPredict"),
            _ => {}
        }
        if let Some(query) = query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }

    /// The header that carries the credential.
    ///
    /// Anthropic takes API keys in `x-api-key`, Gemini in `x-goog-api-key`, Azure in `api-key`; OAuth tokens
    /// (`sk-ant-oat...`, Google's `ya29.`, Entra's `eyJ...`) travel as a bearer.
    pub fn credential_header(self, credential: &str) -> CredentialHeader {
        const BEARER: CredentialHeader = CredentialHeader { name: "authorization", prefix: "Bearer " };
        match self {
            Provider::Anthropic if !credential.starts_with("sk-ant-oat") => {
                CredentialHeader { name: "x-api-key", prefix: "" }
            }
            Provider::Gemini if !credential.starts_with("ya29.") => {
                CredentialHeader { name: "x-goog-api-key", prefix: "" }
            }
            Provider::AzureOpenAi if !credential.starts_with("eyJ") => {
                CredentialHeader { name: "api-key", prefix: "" }
            }
            Provider::OpenAi
            | Provider::Anthropic
            | Provider::Gemini
            | Provider::AzureOpenAi
            | Provider::Bedrock
            | Provider::VertexAi => BEARER,
        }
    }

    /// Headers that the provider requires on every request and that the client's do not overrule.
    pub const fn required_headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Provider::OpenAi
            | Provider::Gemini
            | Provider::AzureOpenAi
            | Provider::Bedrock
            | Provider::VertexAi => &[],
            Provider::Anthropic => &[("anthropic-version", "2023-06-01")],
        }
    }
}

impl Provider {
    /// Where a request to it names its model.
    pub const fn model_place(self, format: Format) -> ModelPlace {
        match (self, format) {
            (Provider::VertexAi, Format::AnthropicMessages) => ModelPlace::Path,
            _ => format.model_place(),
        }
    }

    /// What bodies of Anthropic's formats say of their version, where a header does not (Google Cloud, "Request
    /// predictions with Claude models").
    pub const fn body_version(self) -> Option<&'static str> {
        match self {
            Provider::VertexAi => Some("vertex-2023-10-16"),
            _ => None,
        }
    }

    /// Whether a field of a client's query, as `name=value`, is for the Backend to say: the version of Azure's API.
    pub fn overrules(self, field: &[u8]) -> bool {
        self == Provider::AzureOpenAi && field.starts_with(b"api-version=")
    }
}

/// Whether a field of a query, as `name=value`, is a client's credential for `api`, which its provider must not get.
pub fn is_credential(api: Api, field: &[u8]) -> bool {
    let name = field.split(|byte| *byte == b'=').next().unwrap_or_default();
    api == Api::Gemini && matches!(name, b"key" | b"$key" | b"%24key" | b"access_token" | b"oauth_token")
}

/// The id of the model that an inference profile across regions is of, `anthropic.claude...` of `eu.anthropic.claude...`:
/// tokens are counted by it alone (Amazon Bedrock user guide, "Monitor your token usage by counting tokens").
fn foundation_model(id: &[u8]) -> &[u8] {
    let at = id.windows(b".anthropic.".len()).position(|part| part == b".anthropic.");
    let is_arn = id.starts_with(b"arn:");
    at.filter(|_| !is_arn).and_then(|at| id.get(at + 1..)).unwrap_or(id)
}

/// Appends a model's name to a path. What a target cannot hold is written in percent signs; a name of a client's path is
/// written in them already and stays.
fn segment(model: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in model {
        match byte {
            b'?'
            | b'#'
            | 0..=b' '
            | 0x7f..
            | b'"'
            | b'<'
            | b'>'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}' => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
            byte => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Provider::*;

    #[test]
    fn api_keys_and_oauth_tokens_travel_in_headers_of_their_own() {
        let rows = [
            (Anthropic, "sk-ant-api03-x", "x-api-key", ""),
            (Anthropic, "sk-ant-oat01-x", "authorization", "Bearer "),
            (OpenAi, "sk-x", "authorization", "Bearer "),
            (Gemini, "AIza-x", "x-goog-api-key", ""),
            (Gemini, "ya29.x", "authorization", "Bearer "),
            (Bedrock, "ABSKx", "authorization", "Bearer "),
            (VertexAi, "ya29.x", "authorization", "Bearer "),
            (AzureOpenAi, "0123456789abcdef", "api-key", ""),
            (AzureOpenAi, "eyJ0eXAi.x.y", "authorization", "Bearer "),
        ];
        for (provider, credential, name, prefix) in rows {
            assert_eq!(provider.credential_header(credential), CredentialHeader { name, prefix });
        }
    }

    #[test]
    fn every_pair_stands_in_the_table_once_the_native_one_first_and_every_format_somewhere() {
        for (at, row) in SERVED.iter().enumerate() {
            assert!(!SERVED[..at].contains(row), "{row:?}");
            let before = SERVED[..at].iter().find(|other| (other.0, other.1) == (row.0, row.1));
            assert!(before.is_none() || row.0 != row.2, "{row:?}");
        }
        // Bedrock's and Vertex AI's own are spoken for clients of other formats alone.
        let is_spoken = |format: &Format| format.api() != Api::Bedrock && *format != Format::GeminiPredict;
        for format in Format::ALL.into_iter().filter(is_spoken) {
            assert!(
                SERVED.iter().any(|row| row.0 == format && row.2 == format),
                "{format:?} is native somewhere"
            );
        }
        let speaks = |provider: Provider, client| Dialect::of(provider).speaks(provider, client);
        assert_eq!(speaks(Gemini, Format::OpenAiEmbeddings), Some(Format::GeminiEmbedBatch));
        assert_eq!(speaks(Anthropic, Format::OpenAiEmbeddings), None);
        assert_eq!(speaks(Anthropic, Format::OpenAiChat), Some(Format::AnthropicMessages));
    }

    #[test]
    fn endpoints_have_their_paths() {
        let path = |provider: Provider, format, configured: &str, model: &str, streamed| {
            let mut out = Vec::new();
            provider.path(format, configured, model.as_bytes(), streamed, &mut out);
            String::from_utf8(out).unwrap()
        };
        let own = [
            (OpenAi, Format::OpenAiChat, "", "/v1/chat/completions"),
            (OpenAi, Format::OpenAiResponses, "", "/v1/responses"),
            (OpenAi, Format::OpenAiEmbeddings, "", "/v1/embeddings"),
            (OpenAi, Format::OpenAiModels, "", "/v1/models"),
            (OpenAi, Format::OpenAiModels, "ft:gpt-4o:us::x", "/v1/models/ft:gpt-4o:us::x"),
            (Anthropic, Format::AnthropicMessages, "", "/v1/messages"),
            (Anthropic, Format::AnthropicCountTokens, "", "/v1/messages/count_tokens"),
            (Anthropic, Format::AnthropicModels, "claude", "/v1/models/claude"),
            (Gemini, Format::GeminiGenerate, "gemini-2.5", "/v1beta/models/gemini-2.5:generateContent"),
            (Gemini, Format::GeminiCountTokens, "a?b c", "/v1beta/models/a%3Fb%20c:countTokens"),
            (Gemini, Format::GeminiModels, "", "/v1beta/models"),
            (Gemini, Format::GeminiEmbed, "gemini-x", "/v1beta/models/gemini-x:embedContent"),
            (Gemini, Format::GeminiEmbedBatch, "gemini-x", "/v1beta/models/gemini-x:batchEmbedContents"),
            (Bedrock, Format::BedrockInvoke, "amazon.x-v2:0", "/model/amazon.x-v2%3A0/invoke"),
            (AzureOpenAi, Format::OpenAiResponses, "", "/openai/v1/responses"),
            (AzureOpenAi, Format::OpenAiModels, "", "/openai/v1/models"),
        ];
        for (provider, format, model, expect) in own {
            assert_eq!(path(provider, format, provider.default_path(), model, false), expect);
        }
        let google = "/v1/projects/p/locations/global/publishers/google";
        let anthropic = "/v1/projects/p/locations/global/publishers/anthropic";
        for (format, configured, streamed, rest) in [
            (Format::GeminiGenerate, google, false, "/models/m:generateContent"),
            (Format::GeminiGenerate, google, true, "/models/m:streamGenerateContent"),
            (Format::GeminiCountTokens, google, false, "/models/m:countTokens"),
            (Format::GeminiEmbed, google, false, "/models/m:embedContent"),
            (Format::GeminiPredict, google, false, "/models/m:predict"),
            (Format::AnthropicMessages, anthropic, false, "/models/m:rawPredict"),
            (Format::AnthropicMessages, anthropic, true, "/models/m:streamRawPredict"),
        ] {
            assert_eq!(path(VertexAi, format, configured, "m", streamed), format!("{configured}{rest}"));
        }
        let counts = path(VertexAi, Format::AnthropicCountTokens, anthropic, "", false);
        assert_eq!(counts, format!("{anthropic}/models/count-tokens:rawPredict"));
        let bedrock = |model, streamed| path(Bedrock, Format::BedrockConverse, "/model", model, streamed);
        assert_eq!(bedrock("amazon.nova-lite-v1:0", false), "/model/amazon.nova-lite-v1%3A0/converse");
        assert_eq!(bedrock("a:b/c", true), "/model/a%3Ab%2Fc/converse-stream");
        let counted = |model| path(Bedrock, Format::BedrockCountTokens, "/model", model, false);
        for (model, id) in [
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1%3A0"),
            ("anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6-v1"),
            ("arn:aws:b:i/us.anthropic.x", "arn%3Aaws%3Ab%3Ai%2Fus.anthropic.x"),
            ("us.amazon.nova-2-lite-v1:0", "us.amazon.nova-2-lite-v1%3A0"),
        ] {
            assert_eq!(counted(model), format!("/model/{id}/count-tokens"));
        }
        let streamed = path(Gemini, Format::GeminiGenerate, "/v1", "m", true);
        assert_eq!(streamed, "/v1/models/m:streamGenerateContent");
        let configured = [
            (Format::OpenAiChat, "/openai/v1/chat/completions?v=1", "/openai/v1/chat/completions?v=1"),
            (Format::OpenAiEmbeddings, "/openai/v1/chat/completions", "/openai/v1/embeddings"),
            (Format::OpenAiEmbeddings, "/v1/chat/completions?v=1", "/v1/embeddings?v=1"),
            (Format::OpenAiEmbeddings, "/chat", "/v1/embeddings"),
        ];
        let azure = "/openai/deployments/d/chat/completions?api-version=2024-10-21";
        for (format, expect) in [
            (Format::OpenAiChat, azure),
            (Format::OpenAiEmbeddings, "/openai/deployments/d/embeddings?api-version=2024-10-21"),
            (Format::OpenAiModels, "/openai/models?api-version=2024-10-21"),
        ] {
            assert_eq!(path(AzureOpenAi, format, azure, "", false), expect);
        }
        for (format, configured, expect) in configured {
            assert_eq!(path(OpenAi, format, configured, "", false), expect, "{configured}");
        }
    }

    #[test]
    fn a_clients_key_in_a_query_is_geminis_alone() {
        for (api, field, expect) in [
            (Api::Gemini, "key=AIza", true),
            (Api::Gemini, "access_token=x", true),
            (Api::Gemini, "alt=sse", false),
            (Api::Gemini, "keys=x", false),
            (Api::OpenAi, "key=x", false),
        ] {
            assert_eq!(is_credential(api, field.as_bytes()), expect, "{field}");
        }
        assert!(AzureOpenAi.overrules(b"api-version=2024-10-21") && !OpenAi.overrules(b"api-version=1"));
    }
}
