//! Texts that are read at once: URLs and paths, endpoints, tokens of JWTs, tokens of a vocabulary.

use super::choice;
use super::wellformed::text as lossy;
use serde_json::json;
use tollgate::base::base64;
use tollgate::llm::auth::Url;
use tollgate::llm::endpoint;
use tollgate::llm::{Api, Format, Tokenizer};
use tollgate::wire::http1::Method;
use tollgate::wire::{jwt, url as parts};

pub(super) fn url(data: &[u8]) {
    let text = lossy(data);
    if let Some(url) = Url::parse(&text) {
        assert!(url.target.starts_with('/') && url.target.bytes().all(parts::is_target));
        let authority = lossy(&url.authority());
        assert!(!authority.contains(['/', '@', '\r', '\n', ' ']), "{authority:?}");
        let again = format!("{}://{authority}{}", if url.tls { "https" } else { "http" }, url.target);
        assert_eq!(Url::parse(&again), Some(url), "{again}");
    }
    if let Some(found) = parts::host_port(data) {
        assert!(data.starts_with(found.host) && !found.host.is_empty());
        let lower = parts::lower(found.host);
        assert!(lower.eq_ignore_ascii_case(found.host) && !lower.iter().any(u8::is_ascii_uppercase));
    }
    let (path, query) = parts::split_query(data);
    let joined = query.map_or(path.to_vec(), |query| [path, b"?", query].concat());
    assert_eq!(joined, data);
    if parts::check_path(path).is_ok() {
        // It has the same segments whether it is split first or decoded first.
        let whole = parts::percent_decode(path).unwrap_or_else(|| panic!("escapes that are none"));
        let split: Vec<_> = path.split(|byte| *byte == b'/').map(parts::percent_decode).collect();
        let same = whole.split(|byte| *byte == b'/').map(|segment| Some(segment.into()));
        assert!(split.into_iter().eq(same), "two meanings: {}", path.escape_ascii());
        let is_dots = |name: &[u8]| matches!(name.split(|b| *b == b';').next(), Some(b"." | b".."));
        assert!(!whole.split(|byte| *byte == b'/').any(is_dots) && !whole.contains(&0));
    }
    let mut encoded = Vec::new();
    parts::percent_encode(&mut encoded, data);
    assert_eq!(parts::percent_decode(&encoded).as_deref(), Some(data));
    for (name, value) in parts::query_pairs(query.unwrap_or_default()) {
        let found = parts::query_value(query.unwrap_or_default(), name);
        assert!(found.is_some() || value.contains(&b'%'), "{}", name.escape_ascii());
    }
}

/// The first byte chooses the method and what the headers tell.
pub(super) fn endpoint(data: &[u8]) {
    let (chosen, target) = choice(data);
    let method = if chosen & 1 == 0 { Method::Post } else { Method::Get };
    let headers = [None, Some(Api::OpenAi), Some(Api::Anthropic), Some(Api::Gemini)][chosen >> 1 & 3];
    match endpoint::read(method, target, headers) {
        Ok(found) => {
            assert!(found.format != Format::BedrockConverse, "no client speaks it");
            assert_eq!(found.format.is_lookup(), method == Method::Get);
            if let Some(model) = found.model {
                let path = parts::split_query(target).0;
                assert!(model.range().end <= path.len() && !model.is_empty(), "a model beside the path");
            }
        }
        Err(wrong) => assert!(wrong.format() != Format::BedrockConverse),
    }
    for format in Format::ALL {
        if let Ok(found) = endpoint::read_as(format, method, target, headers) {
            assert!(found.format == format || found.format.is_lookup() && format.is_lookup());
        }
    }
}

/// A token as it is, and one whose payload the bytes are.
pub(super) fn jwt(data: &[u8]) {
    let mut token = b"e30.".to_vec();
    base64::push_url(&mut token, data);
    assert_eq!(base64::decode_url(&token[4..]).as_deref(), Some(data));
    token.extend_from_slice(b".x");
    let claims = serde_json::from_slice::<serde_json::Value>(data).ok();
    for name in ["sub", "org", "", "a.b"] {
        if let Some(claim) = jwt::claim(data, name) {
            assert!(data.len() <= jwt::TOKEN_BYTES_MAX && claim.len() <= data.len());
        }
        let found = jwt::claim(&token, name);
        let theirs = claims.as_ref().and_then(|claims| claims.get(name)).and_then(|claim| match claim {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Some(claim.to_string()),
            _ => None,
        });
        assert_eq!(found, theirs.filter(|_| token.len() <= jwt::TOKEN_BYTES_MAX));
    }
}

/// The first byte chooses the vocabulary and the format; the bytes are a text, and a body.
pub(super) fn tokenizer(data: &[u8]) {
    let (chosen, data) = choice(data);
    let data = &data[..data.len().min(4 << 10)];
    let tokenizer = Tokenizer::ALL[chosen & 1];
    let format = if chosen & 2 == 0 { Format::OpenAiChat } else { Format::AnthropicMessages };
    let text = lossy(data);
    let tokens = tokenizer.text(&text).unwrap_or_else(|| panic!("no vocabulary"));
    assert!(tokens <= text.len() as u64 && (tokens == 0) == text.is_empty(), "{tokens} tokens");
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    assert_eq!(tokenizer.count(format, body.as_bytes()), Some(tokens + 7));
    if let Some(counted) = tokenizer.count(format, data) {
        // Marks are counted for each message, tool, property and value, of which each takes two bytes at least.
        assert!((3..=16 * data.len() as u64).contains(&counted), "{counted} tokens of {} bytes", data.len());
    }
}
