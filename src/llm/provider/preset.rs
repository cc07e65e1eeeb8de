//! Hosts that are compatible with OpenAI, as data: a Backend names one like a provider.

use super::{Dialect, Provider};
use crate::llm::Format;

/// A host that speaks OpenAI's formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in configuration, price lists, records and metrics, and how it speaks.
    pub dialect: Dialect,
    /// Where it is; `None` where only its operator knows.
    pub host: Option<&'static str>,
    /// 443 is spoken to over TLS, every other in plain text.
    pub port: u16,
    /// What stands before `/chat/completions`, and before its neighbours.
    pub base: &'static str,
    /// Whether it may want no credential.
    pub is_keyless: bool,
}

use Format::{
    OpenAiChat as CHAT, OpenAiEmbeddings as EMBEDDINGS, OpenAiModels as MODELS, OpenAiResponses as RESPONSES,
};

/// Every preset, as their documentation has them at the end of 2026. What they lack of Responses is translated to chat.
///
/// Mistral and Cohere refuse members that they do not know, `stream_options` and `max_completion_tokens` among them;
/// Mistral and Perplexity tell the usage of a stream unasked. Of the others some know `max_tokens` alone, and pass
/// over the newer name, so that an answer would have no bound; all of those marked take the older one.
#[rustfmt::skip]
pub const PRESETS: [Preset; 16] = [
    host("mistral",     "api.mistral.ai",           "/v1",               &[CHAT, EMBEDDINGS, MODELS]).older().unasked(),
    host("deepseek",    "api.deepseek.com",         "/v1",               &[CHAT, MODELS]).older(),
    host("groq",        "api.groq.com",             "/openai/v1",        &[CHAT, RESPONSES, MODELS]),
    host("together",    "api.together.xyz",         "/v1",               &[CHAT, EMBEDDINGS, MODELS]).older(),
    host("xai",         "api.x.ai",                 "/v1",               &[CHAT, RESPONSES, MODELS]),
    host("cerebras",    "api.cerebras.ai",          "/v1",               &[CHAT, MODELS]),
    host("fireworks",   "api.fireworks.ai",         "/inference/v1",     &[CHAT, RESPONSES, EMBEDDINGS, MODELS]).older(),
    host("openrouter",  "openrouter.ai",            "/api/v1",           &[CHAT, RESPONSES, EMBEDDINGS, MODELS]),
    host("cohere",      "api.cohere.ai",            "/compatibility/v1", &[CHAT, EMBEDDINGS]).older().unasked(),
    host("perplexity",  "api.perplexity.ai",        "",                  &[CHAT]).older().unasked(),
    host("deepinfra",   "api.deepinfra.com",        "/v1/openai",        &[CHAT, EMBEDDINGS, MODELS]).older(),
    host("huggingface", "router.huggingface.co",    "/v1",               &[CHAT, MODELS]).older(),
    host("baseten",     "inference.baseten.co",     "/v1",               &[CHAT, MODELS]).older(),
    host("nvidia",      "integrate.api.nvidia.com", "/v1",               &[CHAT, EMBEDDINGS, MODELS]).older(),
    host("ollama",      "localhost",                "/v1",               &[CHAT, EMBEDDINGS, MODELS]).older().at_home(11434),
    host("vllm",        "",                         "/v1",               &[CHAT, RESPONSES, EMBEDDINGS, MODELS]).older().at_home(8000),
];

const fn host(name: &'static str, host: &'static str, base: &'static str, has: &'static [Format]) -> Preset {
    let dialect = Dialect { name, has: Some(has), ..Dialect::of(Provider::OpenAi) };
    let host = if host.is_empty() { None } else { Some(host) };
    Preset { dialect, host, port: 443, base, is_keyless: false }
}

impl Preset {
    /// The one of that name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.dialect.name == name)
    }

    /// It wants `max_tokens`.
    const fn older(mut self) -> Preset {
        self.dialect.says_max_tokens = true;
        self
    }

    /// It must not be asked for the usage of a stream, or need not.
    const fn unasked(mut self) -> Preset {
        self.dialect.takes_include_usage = false;
        self
    }

    /// It is a program that people run themselves.
    const fn at_home(mut self, port: u16) -> Preset {
        self.port = port;
        self.is_keyless = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::price::vendor::{VENDORS, paid_at};

    #[test]
    fn every_preset_is_somebody_who_can_be_paid() {
        for preset in &PRESETS {
            let name = preset.dialect.name;
            assert_eq!(Preset::named(name), Some(preset), "each name once");
            assert!(VENDORS.iter().any(|vendor| vendor.name == name), "{name}");
            if let Some(host) = preset.host.filter(|_| !preset.is_keyless) {
                assert_eq!(paid_at(Provider::OpenAi, host), name, "{host}");
            }
        }
    }

    #[test]
    fn every_preset_serves_chat_and_says_so_of_what_it_lacks() {
        for Preset { dialect, .. } in &PRESETS {
            let speaks = |client| dialect.speaks(Provider::OpenAi, client);
            for client in [CHAT, RESPONSES, Format::AnthropicMessages, Format::GeminiGenerate] {
                assert!(matches!(speaks(client), Some(CHAT | RESPONSES)), "{} {client:?}", dialect.name);
            }
            assert_eq!(speaks(Format::GeminiCountTokens), None, "{}", dialect.name);
        }
        let perplexity = Preset::named("perplexity").expect("it is there").dialect;
        assert_eq!(perplexity.speaks(Provider::OpenAi, EMBEDDINGS), None);
    }
}
