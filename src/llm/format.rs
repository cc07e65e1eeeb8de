/// The wire shape of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenAI `POST /v1/chat/completions`.
    OpenAiChat,
    /// Anthropic `POST /v1/messages`.
    AnthropicMessages,
}

impl Format {
    /// The name used in configuration, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Format::OpenAiChat => "openai.chat",
            Format::AnthropicMessages => "anthropic.messages",
        }
    }
}
