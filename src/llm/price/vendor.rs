//! Who is paid: a provider, or a host that speaks a provider's format and has prices of its own.

use crate::llm::provider::Provider;

/// Somebody whose prices can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// The name in price lists, records and metrics. A provider's is [`Provider::name`], a preset's its own.
    pub name: &'static str,
    /// Its hosts. One that begins with `.` stands for all names below it; `*` in front of one for any beginning of its
    /// first label.
    hosts: &'static [&'static str],
}

/// Everybody whose prices can be listed.
pub const VENDORS: [Vendor; 22] = [
    Vendor { name: "openai", hosts: &["api.openai.com"] },
    Vendor { name: "anthropic", hosts: &["api.anthropic.com"] },
    Vendor { name: "gemini", hosts: &["generativelanguage.googleapis.com"] },
    Vendor { name: "vertexai", hosts: &["aiplatform.googleapis.com", "*-aiplatform.googleapis.com"] },
    Vendor { name: "bedrock", hosts: &[".amazonaws.com", ".api.aws"] },
    Vendor {
        name: "azureopenai",
        hosts: &[".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"],
    },
    Vendor { name: "mistral", hosts: &["api.mistral.ai", "codestral.mistral.ai"] },
    Vendor { name: "deepseek", hosts: &["api.deepseek.com"] },
    Vendor { name: "groq", hosts: &["api.groq.com"] },
    Vendor { name: "together", hosts: &["api.together.xyz", "api.together.ai"] },
    Vendor { name: "xai", hosts: &["api.x.ai", ".api.x.ai"] },
    Vendor { name: "cohere", hosts: &["api.cohere.com", "api.cohere.ai"] },
    Vendor { name: "fireworks", hosts: &["api.fireworks.ai"] },
    Vendor { name: "perplexity", hosts: &["api.perplexity.ai"] },
    Vendor { name: "openrouter", hosts: &["openrouter.ai"] },
    Vendor { name: "cerebras", hosts: &["api.cerebras.ai"] },
    Vendor { name: "deepinfra", hosts: &["api.deepinfra.com"] },
    Vendor { name: "huggingface", hosts: &["router.huggingface.co"] },
    Vendor { name: "baseten", hosts: &["inference.baseten.co"] },
    Vendor { name: "nvidia", hosts: &["integrate.api.nvidia.com"] },
    // Programs that people run themselves, by the name of a Backend's provider.
    Vendor { name: "ollama", hosts: &[] },
    Vendor { name: "vllm", hosts: &[] },
];

/// Whose prices apply to what `host` answers, which speaks as `provider` does: the host's own where it is known, else the
/// provider's, for a host of one's own may pass requests on to it.
pub fn paid_at(provider: Provider, host: &str) -> &'static str {
    let known = VENDORS.iter().find(|vendor| vendor.hosts.iter().any(|pattern| is_at(host, pattern)));
    known.map_or(provider.name(), |vendor| vendor.name)
}

fn is_at(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => host.strip_suffix(end).is_some_and(|label| !label.is_empty() && !label.contains('.')),
        None if pattern.starts_with('.') => host.ends_with(pattern),
        None => host == pattern,
    }
}

/// Another name under which `vendor` lists the same model, for one that no row names: without the path in front of it, or
/// without the geography of one of Bedrock's inference profiles.
///
/// * Gemini and Vertex AI: `models/gemini-2.5-pro`, `google/gemini-2.5-pro`, `publishers/anthropic/models/...`;
/// * Bedrock: `arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-...`, `eu.anthropic.claude-...`.
pub(super) fn shorter<'m>(vendor: &str, model: &'m str) -> Option<&'m str> {
    /// Amazon Bedrock user guide, "Supported Regions and models for inference profiles".
    const GEOGRAPHIES: [&str; 10] = ["global", "us", "us-gov", "eu", "apac", "jp", "au", "ca", "sa", "in"];
    match (vendor, model.rsplit_once('/')) {
        ("gemini" | "vertexai" | "bedrock", Some((_, name))) => Some(name),
        ("bedrock", None) => {
            let (geography, name) = model.split_once('.')?;
            GEOGRAPHIES.contains(&geography).then_some(name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_known_have_prices_of_their_own() {
        use Provider::{Anthropic, OpenAi};
        for (provider, host, paid) in [
            (OpenAi, "api.openai.com", "openai"),
            (OpenAi, "api.groq.com", "groq"),
            (OpenAi, "127.0.0.1", "openai"),
            (OpenAi, "relay.example.com", "openai"),
            (OpenAi, "groq.com", "openai"),
            (OpenAi, "api.groq.com.example.com", "openai"),
            (OpenAi, "house.openai.azure.com", "azureopenai"),
            (OpenAi, "openai.azure.com", "openai"),
            (OpenAi, "europe-west4-aiplatform.googleapis.com", "vertexai"),
            (OpenAi, "x.y-aiplatform.googleapis.com", "openai"),
            (OpenAi, "generativelanguage.googleapis.com", "gemini"),
            (OpenAi, "bedrock-runtime.eu-west-1.amazonaws.com", "bedrock"),
            (OpenAi, "eu-west-1.api.x.ai", "xai"),
            (Anthropic, "api.anthropic.com", "anthropic"),
            (Anthropic, "api.deepseek.com", "deepseek"),
            (Anthropic, "127.0.0.1", "anthropic"),
        ] {
            assert_eq!(paid_at(provider, host), paid, "{host}");
        }
    }

    #[test]
    fn every_vendor_has_one_name_and_every_provider_is_one() {
        for (place, vendor) in VENDORS.iter().enumerate() {
            assert!(VENDORS.iter().skip(place + 1).all(|other| other.name != vendor.name), "{}", vendor.name);
        }
        for provider in [Provider::OpenAi, Provider::Anthropic] {
            assert_eq!(paid_at(provider, provider.default_host()), provider.name());
        }
    }

    #[test]
    fn a_model_is_also_known_without_what_stands_in_front_of_it() {
        for (vendor, model, other) in [
            ("gemini", "models/gemini-2.5-pro", Some("gemini-2.5-pro")),
            ("gemini", "gemini-2.5-pro", None),
            ("vertexai", "publishers/anthropic/models/claude-x", Some("claude-x")),
            (
                "bedrock",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
                Some("us.amazon.nova-pro-v1:0"),
            ),
            ("bedrock", "us.amazon.nova-pro-v1:0", Some("amazon.nova-pro-v1:0")),
            ("bedrock", "amazon.nova-pro-v1:0", None),
            ("together", "openai/gpt-oss-20b", None),
            ("openai", "us.x", None),
        ] {
            assert_eq!(shorter(vendor, model), other, "{vendor} {model}");
        }
    }
}
