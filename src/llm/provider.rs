//! Who serves a model, as data: where it listens, which path, which format, how it wants its credential.

use super::Format;

/// A provider that tollgate knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// api.openai.com, or any host that speaks its chat format.
    OpenAi,
    /// api.anthropic.com.
    Anthropic,
}

/// How a credential is put on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialHeader {
    /// Header name, lower case.
    pub name: &'static str,
    /// What stands before the credential, with its space: `Bearer `, or nothing.
    pub prefix: &'static str,
}

impl Provider {
    /// The name used in configuration, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Provider::OpenAi => "openai",
            Provider::Anthropic => "anthropic",
        }
    }

    /// The host that is used when the Backend names none; always port 443 over TLS.
    pub const fn default_host(self) -> &'static str {
        match self {
            Provider::OpenAi => "api.openai.com",
            Provider::Anthropic => "api.anthropic.com",
        }
    }

    /// The format that its chat endpoint speaks.
    pub const fn format(self) -> Format {
        match self {
            Provider::OpenAi => Format::OpenAiChat,
            Provider::Anthropic => Format::AnthropicMessages,
        }
    }

    /// The path of its chat endpoint.
    pub const fn default_path(self) -> &'static str {
        match self {
            Provider::OpenAi => "/v1/chat/completions",
            Provider::Anthropic => "/v1/messages",
        }
    }

    /// The header that carries the credential.
    ///
    /// Anthropic takes API keys in `x-api-key`, but OAuth tokens (`sk-ant-oat...`) as a bearer.
    pub fn credential_header(self, credential: &str) -> CredentialHeader {
        const BEARER: CredentialHeader = CredentialHeader { name: "authorization", prefix: "Bearer " };
        match self {
            Provider::Anthropic if !credential.starts_with("sk-ant-oat") => {
                CredentialHeader { name: "x-api-key", prefix: "" }
            }
            Provider::OpenAi | Provider::Anthropic => BEARER,
        }
    }

    /// Headers that the provider requires on every request and that the client's do not overrule.
    pub const fn required_headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Provider::OpenAi => &[],
            Provider::Anthropic => &[("anthropic-version", "2023-06-01")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anthropic_oauth_tokens_travel_as_bearer_and_keys_as_x_api_key() {
        for (credential, name) in [("sk-ant-api03-x", "x-api-key"), ("sk-ant-oat01-x", "authorization")] {
            assert_eq!(Provider::Anthropic.credential_header(credential).name, name);
        }
        assert_eq!(Provider::OpenAi.credential_header("sk-x").prefix, "Bearer ");
    }
}
