//! How one host speaks the formats of its provider, where they leave it a choice.

use super::{Provider, SERVED};
use crate::llm::Format;

/// What is particular to a host, or to a version of its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Who it is, in records, metrics and reports.
    pub name: &'static str,
    /// The formats that it has, of those that its provider speaks; `None` is all of them.
    pub has: Option<&'static [Format]>,
    /// Whether a chat request may ask for the usage of a stream (`stream_options.include_usage`). Where it may not, the
    /// stream is counted here.
    pub takes_include_usage: bool,
    /// Whether the most tokens of a chat completion are `max_tokens`, the older name, and not `max_completion_tokens`.
    pub says_max_tokens: bool,
}

impl Dialect {
    /// The provider's own.
    pub const fn of(provider: Provider) -> Dialect {
        Dialect { name: provider.name(), has: None, takes_include_usage: true, says_max_tokens: false }
    }

    /// Azure OpenAI's for deployments, in a version of its API that is a date, such as `2024-10-21` or
    /// `2024-09-01-preview`. What came with a version is from "Azure OpenAI in Azure AI Foundry Models API preview
    /// lifecycle", Changes between versions.
    pub fn of_azure(version: &str) -> Dialect {
        const FORMATS: &[Format] = &[Format::OpenAiChat, Format::OpenAiEmbeddings, Format::OpenAiModels];
        let is_older = version < "2024-09-01";
        Dialect {
            has: Some(FORMATS),
            takes_include_usage: !is_older,
            says_max_tokens: is_older,
            ..Dialect::of(Provider::AzureOpenAi)
        }
    }

    /// Vertex AI's, of a model of Anthropic's or of Google's. Of the latter those that are named after Gemini, but for the
    /// first, and open ones embed by `:embedContent`, all others by `:predict` (google-genai, `Models.embed_content`).
    pub fn of_vertex(model: &str, is_claude: bool) -> Dialect {
        const CLAUDE: &[Format] = &[Format::AnthropicMessages, Format::AnthropicCountTokens];
        const GEMINI: &[Format] = &[Format::GeminiGenerate, Format::GeminiCountTokens, Format::GeminiEmbed];
        const PREDICTS: &[Format] =
            &[Format::GeminiGenerate, Format::GeminiCountTokens, Format::GeminiPredict];
        let is_gemini = model.contains("gemini") && model != "gemini-embedding-001";
        let has = match is_claude {
            true => CLAUDE,
            false if is_gemini || model.contains("maas") => GEMINI,
            false => PREDICTS,
        };
        Dialect { has: Some(has), ..Dialect::of(Provider::VertexAi) }
    }

    /// The format that is spoken with the host for clients of the format `client`, its own before another; `None` when
    /// there is none.
    pub fn speaks(&self, provider: Provider, client: Format) -> Option<Format> {
        let has = |format| self.has.is_none_or(|formats| formats.contains(&format));
        let rows = SERVED.iter().filter(|row| (row.0, row.1) == (client, provider));
        rows.map(|row| row.2).find(|upstream| has(*upstream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::*;

    #[test]
    fn what_a_host_lacks_is_translated_where_that_is_possible() {
        let azure = Provider::AzureOpenAi;
        let (dated, v1) = (Dialect::of_azure("2024-10-21"), Dialect::of(azure));
        let vertex = Provider::VertexAi;
        for (model, client, upstream) in [
            ("claude-haiku-4-5@20251001", OpenAiChat, Some(AnthropicMessages)),
            ("claude-haiku-4-5@20251001", OpenAiResponses, Some(AnthropicMessages)),
            ("claude-haiku-4-5@20251001", AnthropicCountTokens, Some(AnthropicCountTokens)),
            ("claude-haiku-4-5@20251001", GeminiCountTokens, Some(AnthropicCountTokens)),
            ("claude-haiku-4-5@20251001", OpenAiModels, None),
            ("claude-haiku-4-5@20251001", GeminiGenerate, Some(AnthropicMessages)),
            ("claude-haiku-4-5@20251001", OpenAiEmbeddings, None),
            ("gemini-2.5-flash", GeminiGenerate, Some(GeminiGenerate)),
            ("gemini-2.5-flash", GeminiCountTokens, Some(GeminiCountTokens)),
            ("gemini-2.5-flash", AnthropicMessages, Some(GeminiGenerate)),
            ("gemini-2.5-flash", OpenAiChat, Some(GeminiGenerate)),
            ("gemini-2.5-flash", OpenAiResponses, Some(GeminiGenerate)),
            ("gemini-2.5-flash", AnthropicCountTokens, Some(GeminiCountTokens)),
            ("gemini-embedding-2", OpenAiEmbeddings, Some(GeminiEmbed)),
            ("gemini-embedding-2", GeminiEmbed, Some(GeminiEmbed)),
            ("gemini-embedding-001", OpenAiEmbeddings, Some(GeminiPredict)),
            ("gemini-embedding-001", GeminiEmbed, Some(GeminiPredict)),
            ("text-embedding-005", GeminiEmbedBatch, Some(GeminiPredict)),
            ("multilingual-e5-large-instruct-maas", GeminiEmbedBatch, Some(GeminiEmbed)),
        ] {
            let dialect = Dialect::of_vertex(model, model.starts_with("claude-"));
            assert_eq!(dialect.speaks(vertex, client), upstream, "{model} {client:?}");
        }
        let rows = [
            (dated, OpenAiChat, Some(OpenAiChat)),
            (dated, AnthropicMessages, Some(OpenAiChat)),
            (dated, OpenAiResponses, Some(OpenAiChat)),
            (v1, OpenAiResponses, Some(OpenAiResponses)),
            (v1, OpenAiEmbeddings, Some(OpenAiEmbeddings)),
            (v1, GeminiGenerate, Some(OpenAiChat)),
            (v1, AnthropicModels, Some(OpenAiModels)),
            (v1, AnthropicCountTokens, None),
        ];
        for (dialect, client, upstream) in rows {
            assert_eq!(dialect.speaks(azure, client), upstream, "{client:?} {dialect:?}");
        }
    }

    #[test]
    fn members_that_came_with_a_version_are_not_sent_to_an_older_one() {
        let rows = [
            ("2024-02-01", false),
            ("2024-08-01-preview", false),
            ("2024-09-01-preview", true),
            ("2024-10-21", true),
            ("2025-04-01-preview", true),
        ];
        for (version, is_newer) in rows {
            let dialect = Dialect::of_azure(version);
            assert_eq!(
                (dialect.takes_include_usage, dialect.says_max_tokens),
                (is_newer, !is_newer),
                "{version}"
            );
        }
    }
}
