use arrayvec::ArrayVec;

/// Every name that [`Lost`] can hold: the hub's word for each thing that some format cannot say.
pub const LOSSES: [&str; 71] = [
    "access_programs",
    "annotations",
    "audio",
    "audioTimestamp",
    "audioTranscriptionConfig",
    "background_options",
    "choices",
    "citations",
    "container",
    "context_management",
    "continuationToken",
    "custom_tools",
    "enableAffectiveDialog",
    "enableEnhancedCivicAnswers",
    "fallbacks",
    "finish_reason",
    "frequency_penalty",
    "image",
    "imageConfig",
    "image_url.detail",
    "include",
    "inference_geo",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "max_tool_calls",
    "mcp_servers",
    "mediaResolution",
    "metadata",
    "modalities",
    "modelArmorConfig",
    "modelSelectionConfig",
    "moderation",
    "n",
    "parallel_tool_calls",
    "phase",
    "prediction",
    "presence_penalty",
    "reasoning.context",
    "reasoning.mode",
    "reasoning_effort",
    "response_format",
    "routingConfig",
    "safetySettings",
    "seed",
    "server_tools",
    "service_tier",
    "speechConfig",
    "speed",
    "stop",
    "stop_reason",
    "strict",
    "temperature",
    "thinking",
    "title",
    "tool_calls.arguments",
    "tool_calls.custom",
    "tool_choice",
    "tool_choice.allowed_tools",
    "tool_reference",
    "tools.strict",
    "top_k",
    "top_logprobs",
    "top_p",
    "translationConfig",
    "truncation",
    "unknown",
    "user",
    "verbosity",
    "videoMetadata",
    "web_search_options",
];

/// What the target format could not carry, by name: each name of [`LOSSES`] once, at most 24 of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    names: ArrayVec<&'static str, 24>,
}

impl Lost {
    /// The names, in the order in which they were met.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Whether everything was carried over.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn add(&mut self, name: &'static str) {
        debug_assert!(LOSSES.contains(&name), "{name} is not listed");
        if !self.names.contains(&name) {
            let _ = self.names.try_push(name); // names beyond the bound add nothing that a metric shows
        }
    }
}
