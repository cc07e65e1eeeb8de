use crate::llm::translate::claude::Claude;
use crate::llm::translate::hub::Maker;

/// Whose model a request is for, as far as Converse leaves differences to the models. Read off the id, with a region
/// before it or not, or off an ARN that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Claude(Claude),
    /// Amazon's of the first generation, which do not reason on demand.
    Nova,
    Nova2,
    /// OpenAI's open models.
    GptOss,
    /// OpenAI's others.
    OpenAi,
    Qwen,
    /// Models that cannot be held to a schema: Titan, Llama, Command, Jamba.
    Plain,
    /// All others, and ids that do not tell (application inference profiles): Bedrock judges what they take.
    Other,
}

impl Family {
    pub(super) fn of(model: &str) -> Family {
        let makers = [
            ("amazon.nova-2", Family::Nova2),
            ("amazon.nova", Family::Nova),
            ("openai.gpt-oss", Family::GptOss),
            ("openai.", Family::OpenAi),
            ("qwen.", Family::Qwen),
            ("amazon.titan", Family::Plain),
            ("meta.llama", Family::Plain),
            ("cohere.", Family::Plain),
            ("ai21.", Family::Plain),
        ];
        if model.contains("claude") {
            return Family::Claude(Claude::of(model));
        }
        makers.iter().find(|(maker, _)| model.contains(maker)).map_or(Family::Other, |(_, family)| *family)
    }

    pub(super) fn is_nova(self) -> bool {
        matches!(self, Family::Nova | Family::Nova2)
    }

    pub(super) fn is_claude(self) -> bool {
        matches!(self, Family::Claude(_))
    }

    /// Whose signatures it knows.
    pub(super) fn maker(self) -> Maker {
        if self.is_claude() { Maker::Claude } else { Maker::Bedrock }
    }

    /// Whether it has a field of that name beside what Converse itself says (Amazon Bedrock user guide, the pages of each
    /// maker's models). A family that is not known has none: a client can give `additionalModelRequestFields`.
    pub(super) fn knows(self, field: &str) -> bool {
        let fields: &[&str] = match self {
            Family::Claude(_) => &[
                "anthropic_beta",
                "context_management",
                "output_config",
                "reasoning_config",
                "thinking",
                "top_k",
            ],
            Family::Nova | Family::Nova2 => &["inferenceConfig", "reasoningConfig"],
            Family::GptOss | Family::OpenAi => &["reasoning", "reasoning_effort"],
            Family::Qwen => &["chat_template_kwargs", "enable_thinking", "reasoning_config"],
            Family::Plain | Family::Other => &[],
        };
        fields.contains(&field)
    }

    /// Whether the prompt can be cached up to a place that the client marks ("Prompt caching", Supported models).
    pub(super) fn takes_cache_points(self) -> bool {
        self.is_claude() || self.is_nova()
    }

    /// Whether such a cache can be kept for an hour instead of five minutes.
    pub(super) fn caches_for_an_hour(self) -> bool {
        matches!(self, Family::Claude(claude) if claude.is_since(4, 5))
    }

    /// Whether the answer and the arguments of calls can be held to a schema ("Get validated JSON results from models").
    pub(super) fn takes_schemas(self) -> bool {
        match self {
            Family::Claude(claude) => claude.takes_schemas(),
            Family::Nova | Family::Nova2 | Family::Plain => false,
            Family::GptOss | Family::OpenAi | Family::Qwen | Family::Other => true,
        }
    }

    /// Whether the result of a tool may say that it failed (`ToolResultBlock`).
    pub(super) fn takes_status(self) -> bool {
        self.is_claude() || self.is_nova()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_read_off_ids() {
        for (model, family) in [
            ("us.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("amazon.nova-micro-v1:0", Family::Nova),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
            ("global.openai.gpt-5.6-luna", Family::OpenAi),
            ("qwen.qwen3-32b-v1:0", Family::Qwen),
            ("us.meta.llama4-maverick-17b-instruct-v1:0", Family::Plain),
            ("moonshot.kimi-k2-thinking", Family::Other),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", Family::Other),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                Family::Claude(Claude::of("claude-sonnet-4-5")),
            ),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }

    #[test]
    fn only_later_releases_of_claude_take_schemas_and_long_caches() {
        for (model, takes) in [
            ("anthropic.claude-3-sonnet-20240229-v1:0", false),
            ("us.anthropic.claude-opus-4-1-20250805-v1:0", false),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", true),
            ("anthropic.claude-opus-4-6-v1", true),
        ] {
            let family = Family::of(model);
            assert_eq!((family.takes_schemas(), family.caches_for_an_hour()), (takes, takes), "{model}");
        }
    }
}
