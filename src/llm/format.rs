/// The wire shape of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenAI `POST /v1/chat/completions`.
    OpenAiChat,
    /// OpenAI `POST /v1/responses`.
    OpenAiResponses,
    /// OpenAI `POST /v1/embeddings`.
    OpenAiEmbeddings,
    /// OpenAI `GET /v1/models` and `GET /v1/models/{id}`.
    OpenAiModels,
    /// Anthropic `POST /v1/messages`.
    AnthropicMessages,
    /// Anthropic `POST /v1/messages/count_tokens`.
    AnthropicCountTokens,
    /// Anthropic `GET /v1/models` and `GET /v1/models/{id}`.
    AnthropicModels,
    /// Gemini `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    GeminiGenerate,
    /// Gemini `POST /v1beta/models/{model}:countTokens`.
    GeminiCountTokens,
    /// Gemini `GET /v1beta/models` and `GET /v1beta/models/{id}`.
    GeminiModels,
    /// Gemini `POST /v1beta/models/{model}:embedContent`, one content.
    GeminiEmbed,
    /// Gemini `POST /v1beta/models/{model}:batchEmbedContents`, several.
    GeminiEmbedBatch,
    /// Vertex AI `POST .../models/{model}:predict` of models that embed texts: of providers alone.
    GeminiPredict,
    /// Amazon Bedrock `POST /model/{id}/converse` and `/converse-stream`: of providers alone, no client speaks it.
    BedrockConverse,
    /// Amazon Bedrock `POST /model/{id}/invoke` of models that embed texts, whose maker decides the body: of providers alone.
    BedrockInvoke,
    /// Amazon Bedrock `POST /model/{id}/count-tokens`: of providers alone.
    BedrockCountTokens,
}

/// Whose API a format belongs to: what its errors and its headers look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's, and what is compatible with it.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// Amazon Bedrock's, which no client speaks.
    Bedrock,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 16] = [
        Format::OpenAiChat,
        Format::OpenAiResponses,
        Format::OpenAiEmbeddings,
        Format::OpenAiModels,
        Format::AnthropicMessages,
        Format::AnthropicCountTokens,
        Format::AnthropicModels,
        Format::GeminiGenerate,
        Format::GeminiCountTokens,
        Format::GeminiModels,
        Format::GeminiEmbed,
        Format::GeminiEmbedBatch,
        Format::GeminiPredict,
        Format::BedrockConverse,
        Format::BedrockInvoke,
        Format::BedrockCountTokens,
    ];

    /// The name used in configuration, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Format::OpenAiChat => "openai.chat",
            Format::OpenAiResponses => "openai.responses",
            Format::OpenAiEmbeddings => "openai.embeddings",
            Format::OpenAiModels => "openai.models",
            Format::AnthropicMessages => "anthropic.messages",
            Format::AnthropicCountTokens => "anthropic.count_tokens",
            Format::AnthropicModels => "anthropic.models",
            Format::GeminiGenerate => "gemini.generate",
            Format::GeminiCountTokens => "gemini.count_tokens",
            Format::GeminiModels => "gemini.models",
            Format::GeminiEmbed => "gemini.embed",
            Format::GeminiEmbedBatch => "gemini.embed_batch",
            Format::GeminiPredict => "gemini.predict",
            Format::BedrockConverse => "bedrock.converse",
            Format::BedrockInvoke => "bedrock.invoke",
            Format::BedrockCountTokens => "bedrock.count_tokens",
        }
    }

    /// Whose it is.
    pub const fn api(self) -> Api {
        match self {
            Format::OpenAiChat
            | Format::OpenAiResponses
            | Format::OpenAiEmbeddings
            | Format::OpenAiModels => Api::OpenAi,
            Format::AnthropicMessages | Format::AnthropicCountTokens | Format::AnthropicModels => {
                Api::Anthropic
            }
            Format::GeminiGenerate
            | Format::GeminiCountTokens
            | Format::GeminiModels
            | Format::GeminiEmbed
            | Format::GeminiEmbedBatch
            | Format::GeminiPredict => Api::Gemini,
            Format::BedrockConverse | Format::BedrockInvoke | Format::BedrockCountTokens => Api::Bedrock,
        }
    }

    /// What a request of it costs tokens for.
    pub const fn work(self) -> Work {
        match self {
            Format::OpenAiChat
            | Format::OpenAiResponses
            | Format::AnthropicMessages
            | Format::GeminiGenerate
            | Format::BedrockConverse => Work::Generates,
            Format::OpenAiEmbeddings
            | Format::GeminiEmbed
            | Format::GeminiEmbedBatch
            | Format::GeminiPredict
            | Format::BedrockInvoke => Work::Reads,
            Format::OpenAiModels
            | Format::AnthropicCountTokens
            | Format::AnthropicModels
            | Format::GeminiCountTokens
            | Format::BedrockCountTokens
            | Format::GeminiModels => Work::Free,
        }
    }

    /// Where a request of it names its model.
    pub const fn model_place(self) -> ModelPlace {
        match self {
            Format::OpenAiChat
            | Format::OpenAiResponses
            | Format::OpenAiEmbeddings
            | Format::AnthropicMessages
            | Format::AnthropicCountTokens => ModelPlace::Body,
            Format::GeminiGenerate
            | Format::GeminiCountTokens
            | Format::GeminiEmbed
            | Format::GeminiEmbedBatch
            | Format::GeminiPredict
            | Format::BedrockConverse
            | Format::BedrockInvoke
            | Format::BedrockCountTokens => ModelPlace::Path,
            Format::OpenAiModels | Format::AnthropicModels | Format::GeminiModels => ModelPlace::Question,
        }
    }

    /// Whether its requests are GET and have no body.
    pub const fn is_lookup(self) -> bool {
        matches!(self.model_place(), ModelPlace::Question)
    }
}

/// Where a request names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    /// The member `model` of the body.
    Body,
    /// The path.
    Path,
    /// The path, as what is asked about: no model of a Backend goes before it.
    Question,
}

/// What a request is charged for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// Input and output.
    #[default]
    Generates,
    /// Input alone: embeddings.
    Reads,
    /// Nothing. Lists of models and counts of tokens are free at the providers (Anthropic, "Token counting", Pricing;
    /// Gemini, "Understand and count tokens"); they are requests all the same, and limits on those count them.
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_begin_with_their_api() {
        for (at, format) in Format::ALL.iter().enumerate() {
            let api = match format.api() {
                Api::OpenAi => "openai.",
                Api::Anthropic => "anthropic.",
                Api::Gemini => "gemini.",
                Api::Bedrock => "bedrock.",
            };
            assert!(format.name().starts_with(api), "{format:?}");
            assert!(Format::ALL[..at].iter().all(|other| other.name() != format.name()), "{format:?}");
            assert!(!format.is_lookup() || format.work() == Work::Free, "{format:?}");
        }
    }
}
