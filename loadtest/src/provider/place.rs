//! Where hosts have OpenAI's endpoints: below a prefix of their own, at Azure below the name of a deployment.

use std::borrow::Cow;

/// What stands before `/v1` at hosts that are compatible with OpenAI, and before Anthropic's at Azure.
const PREFIXES: [&[u8]; 5] = [b"/openai", b"/inference", b"/api", b"/compatibility", b"/anthropic"];

/// Whether the path is one that Azure could have.
pub(super) fn is_azures(path: &[u8]) -> bool {
    path.starts_with(b"/openai/")
}

/// Whether the path names a deployment or is beside those, and so wants a version of the API in its query.
pub(super) fn is_dated(path: &[u8]) -> bool {
    is_azures(path) && !path.starts_with(b"/openai/v1/")
}

/// The path as OpenAI itself has it.
pub(super) fn at_openai(path: &[u8]) -> Cow<'_, [u8]> {
    let below_v1 = |rest: &[u8]| Cow::Owned([b"/v1/", rest].concat());
    if let Some(deployment) = path.strip_prefix(b"/openai/deployments/") {
        let name = deployment.iter().position(|&b| b == b'/').unwrap_or(deployment.len());
        return below_v1(deployment.get(name + 1..).unwrap_or_default());
    }
    let is_below_v1 = |rest: &&[u8]| rest.starts_with(b"/v1/");
    if let Some(rest) = PREFIXES.iter().find_map(|prefix| path.strip_prefix(*prefix).filter(is_below_v1)) {
        return Cow::Borrowed(rest);
    }
    match path.strip_prefix(b"/openai/").or(path.strip_prefix(b"/v1/openai/")) {
        Some(rest) => below_v1(rest),
        None if path == b"/chat/completions" => below_v1(b"chat/completions"),
        None => Cow::Borrowed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_off() {
        for (path, own, dated) in [
            ("/v1/chat/completions", "/v1/chat/completions", false),
            ("/openai/deployments/d/chat/completions", "/v1/chat/completions", true),
            ("/openai/deployments/d", "/v1/", true),
            ("/openai/models", "/v1/models", true),
            ("/openai/v1/responses", "/v1/responses", false),
            ("/inference/v1/embeddings", "/v1/embeddings", false),
            ("/v1/openai/models", "/v1/models", false),
            ("/chat/completions", "/v1/chat/completions", false),
            ("/apis/v1/x", "/apis/v1/x", false),
        ] {
            assert_eq!(&*at_openai(path.as_bytes()), own.as_bytes(), "{path}");
            assert_eq!(is_dated(path.as_bytes()), dated, "{path}");
        }
    }
}
