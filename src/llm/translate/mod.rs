//! Translation between the API formats, in both directions: requests, whole answers, errors, streams.
//!
//! All of it is functions from bytes to bytes. A body is decoded once with simd-json, which unescapes strings
//! in place (so the buffer is used up), and the other format's JSON is written straight into a `Vec<u8>`.
//!
//! Each format is a room of its own that reads and writes the [`hub`]'s values, and knows no other format:
//!
//! | what | function | in a format's room |
//! |---|---|---|
//! | a client's request | [`request`] | `read_request`, `write_request`, with `turns` and `tools` |
//! | a provider's whole answer | [`reply`] | `reply` |
//! | a provider's error (status >= 400) | [`error`] | `error` is for all formats |
//! | a provider's stream | [`StreamTranslator`] | `stream` |
//!
//! [`count`] and [`models`] are what formats say beside answers: counts of tokens, and lists of models.
//!
//! [`converse`] is a provider's format alone, so its room reads no request and writes no answer. What Claude models take,
//! whoever hosts them, is in [`claude`]. Embeddings are no conversations: all their formats are in [`embeddings`].
//!
//! What the target cannot carry is named in [`Lost`], so that a caller can count it; what would change the
//! meaning of the conversation (a file that another provider keeps) is refused as [`BadRequest`] instead.
//! Members that no table here knows pass through untouched, except to Gemini, which refuses what it does not know, and to
//! Bedrock, whose models do: there those pass that the model's family has. **A signature goes only to who made it** (`hub`'s
//! `Maker`): towards clients it is marked where the format is not its maker's own, and towards anybody else it is lost.

mod chat;
mod claude;
mod converse;
mod count;
mod embeddings;
pub(in crate::llm) mod emit;
mod error;
mod gemini;
mod hub;
mod lost;
mod messages;
mod models;
pub(in crate::llm) mod read;
mod responses;
mod stream;
pub(in crate::llm) mod usage;

pub use error::error;
pub use lost::{LOSSES, Lost};
pub use stream::{StreamTerms, StreamTranslator};

use super::refusal::{self, Refusal, RefusalKind};
use super::{Api, Format, Meter, Work};
use emit::Emit;
use read::{Decoder, Kept, Value};
use std::fmt;

/// What the gateway decides about a request that is translated.
#[derive(Clone, Copy, Debug)]
pub struct RequestTerms<'a> {
    /// The model to ask for, when the Backend names one; it wins over the client's.
    pub model: Option<&'a str>,
    /// `max_tokens` where the client gave none and the target demands one (Anthropic does); at least 1.
    pub default_max_tokens: u64,
    /// The model that the client's path named; Gemini's clients say it there.
    pub path_model: Option<&'a str>,
    /// Whether the client's path asked for a stream; Gemini's clients say it there.
    pub path_stream: Option<bool>,
    /// Whether chat completions may ask for the usage of a stream (`stream_options`).
    pub include_usage: bool,
    /// Whether chat completions say `max_tokens`, the older name of `max_completion_tokens`.
    pub says_max_tokens: bool,
    /// What a body of messages says of its version, and then no model, which stands in the path (Vertex AI).
    pub body_version: Option<&'static str>,
    /// Whether contents go to Vertex AI, which lacks members that the Gemini API has.
    pub at_vertex: bool,
    /// What Bedrock is to hold requests and answers to, whatever the client asks for.
    pub guardrail: Option<&'a Guardrail>,
}

/// A guardrail of Amazon Bedrock's (API reference, "GuardrailConfiguration").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardrail {
    /// Its id, or its ARN.
    pub identifier: String,
    /// A number, or `DRAFT`.
    pub version: String,
}

impl Default for RequestTerms<'_> {
    fn default() -> Self {
        RequestTerms {
            model: None,
            default_max_tokens: 4096,
            path_model: None,
            path_stream: None,
            include_usage: true,
            says_max_tokens: false,
            body_version: None,
            at_vertex: false,
            guardrail: None,
        }
    }
}

/// What the gateway knows about an answer that the answer itself does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyTerms<'a> {
    /// Seconds since 1970, for the `created` or `created_at` member of OpenAI answers; Anthropic sends no time.
    pub created_unix: u64,
    /// The model that was asked for, named in the answer when the provider does not name one.
    pub asked_model: Option<&'a str>,
    /// Of embeddings, the tokens of their input, as the provider told them in whatever place, or as they were counted here.
    pub input_tokens: u64,
    /// Whether the client wants its vectors as base64.
    pub base64: bool,
    /// The model that the provider was asked for. Bedrock's answers do not say whose thoughts they tell.
    pub provider_model: Option<&'a str>,
}

/// The client sent a request that cannot be translated: a 400 in the client's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// The guilty member as a path (`messages[2].content[0]`); empty when it is the body as a whole.
    pub param: String,
    /// What is wrong with it, for the person who wrote the client.
    pub message: String,
}

impl BadRequest {
    fn new(param: impl Into<String>, message: impl Into<String>) -> BadRequest {
        BadRequest { param: param.into(), message: message.into() }
    }

    /// Appends the body of the 400 in the client's format; only OpenAI's has a place for the member's name
    /// besides the message.
    pub fn write(&self, client: Format, out: &mut Vec<u8>) {
        let message = self.to_string();
        let param = Some(self.param.as_str()).filter(|param| !param.is_empty());
        let refusal = Refusal { param, ..Refusal::new(RefusalKind::InvalidRequest, &message) };
        refusal::write(Some(client), &refusal, out);
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.param.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.param, self.message)
        }
    }
}

impl std::error::Error for BadRequest {}

/// The provider sent an answer that cannot be translated: a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReply {
    /// It is not one JSON text (or is nested deeper than 128 levels).
    NotJson,
    /// It is JSON, but not an answer in the provider's format.
    NotAnAnswer,
    /// It says that it failed, or that it is not done yet.
    Unfinished,
    /// It holds more tool calls in one stream than are followed (128).
    TooManyToolCalls,
    /// It is longer than what is kept of one stream: 16 MiB for a format whose last event repeats all of it, 4 MiB of
    /// the arguments of calls for one that tells calls whole.
    TooLong,
}

impl BadReply {
    /// In words, for the client and for records.
    pub const fn reason(self) -> &'static str {
        match self {
            BadReply::NotJson => "the provider's answer is not valid JSON",
            BadReply::NotAnAnswer => "the provider's answer is not in its API format",
            BadReply::Unfinished => "the provider's answer says that it is not complete",
            BadReply::TooLong => "the provider's answer is too long",
            BadReply::TooManyToolCalls => "the provider's answer holds too many tool calls",
        }
    }
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for BadReply {}

/// Appends to `out` the request in format `to` that means what `body` in format `from` means.
///
/// Between equal formats `body` is copied unread and `terms` are not applied: that is editing, not translation. But for
/// Gemini's contents to embed, each of which names the model that the path names too: they get the one of `terms`.
///
/// # Errors
/// When `body` is not JSON, lacks what every request has, or asks for something that the target cannot do and
/// that may not be left out. `out` may then hold a part of a request and is to be thrown away.
pub fn request(
    from: Format,
    to: Format,
    body: &mut [u8],
    terms: &RequestTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadRequest> {
    if from == to && !embeddings::names_model_twice(from) {
        out.extend_from_slice(body);
        return Ok(Lost::default());
    }
    out.reserve(body.len() + 256);
    Decoder::default()
        .decode(body, |value| {
            if !value.is_object() {
                return Err(BadRequest::new("", "the request body must be a JSON object"));
            }
            translated(from, to, value, terms, out)
        })
        .unwrap_or_else(|| Err(BadRequest::new("", "the request body is not valid JSON")))
}

fn translated(
    from: Format,
    to: Format,
    body: Value<'_, '_>,
    terms: &RequestTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadRequest> {
    if from.work() == Work::Reads {
        return embeddings::request(from, to, body, terms, out);
    }
    let body = count::counted(from, body);
    let mut made = if from.api() == Api::Gemini { gemini::made_of_request(body) } else { Vec::new() };
    let made = Kept::of(&mut made);
    let request = match from {
        Format::OpenAiChat => chat::read_request(body),
        Format::OpenAiResponses => responses::read_request(body),
        Format::AnthropicMessages | Format::AnthropicCountTokens => messages::read_request(body),
        Format::GeminiGenerate | Format::GeminiCountTokens => gemini::read_request(body, made.value(), terms),
        _ => Err(unpaired()),
    }?;
    if terms.model.is_none() && request.model.is_empty() {
        return Err(BadRequest::new("model", "you must provide a model"));
    }
    let mut lost = request.lost.clone();
    let e = &mut Emit::new(out);
    match to {
        Format::OpenAiChat => chat::write_request(&request, terms, &mut lost, e),
        Format::OpenAiResponses => responses::write_request(&request, terms, &mut lost, e),
        Format::AnthropicMessages => messages::write_request(&request, terms, &mut lost, e),
        Format::GeminiGenerate => gemini::write_request(&request, terms, &mut lost, e),
        Format::BedrockConverse => converse::write_request(&request, terms, &mut lost, e),
        _ => count::write_request(to, &request, terms, &mut lost, e).unwrap_or_else(|| Err(unpaired())),
    }?;
    Ok(lost)
}

/// Of formats that pass as they are or not at all; [`SERVED`](super::provider::SERVED) keeps them from coming here.
fn unpaired() -> BadRequest {
    BadRequest::new("", "there is no translation between these formats")
}

/// Appends to `out` the whole answer in the client's format that means what `body` from the provider means.
///
/// # Errors
/// When `body` is not an answer of the provider; `out` is then to be thrown away.
pub fn reply(
    provider: Format,
    client: Format,
    body: &mut [u8],
    terms: &ReplyTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadReply> {
    if provider == client {
        out.extend_from_slice(body);
        return Ok(Lost::default());
    }
    out.reserve(body.len() + 256);
    if client.work() == Work::Reads {
        return embeddings::reply(provider, client, body, terms, out);
    }
    let translated = |answer: Value<'_, '_>| {
        match provider {
            _ if provider.is_lookup() && client.is_lookup() => {
                models::write_reply(provider, client, answer, &mut Emit::new(out))?;
                return Ok(Lost::default());
            }
            Format::AnthropicCountTokens | Format::GeminiCountTokens | Format::BedrockCountTokens => {
                count::write_reply(client, answer, &mut Emit::new(out))?;
                return Ok(Lost::default());
            }
            _ => {}
        }
        let mut made =
            if provider == Format::GeminiGenerate { gemini::made_of_reply(answer) } else { Vec::new() };
        let made = Kept::of(&mut made);
        let mut reply = match provider {
            Format::OpenAiChat => chat::read_reply(answer),
            Format::OpenAiResponses => responses::read_reply(answer),
            Format::AnthropicMessages => messages::read_reply(answer),
            Format::GeminiGenerate => gemini::read_reply(answer, made.value()),
            Format::BedrockConverse => {
                converse::read_reply(answer, converse::maker(terms.provider_model.unwrap_or_default()))
            }
            _ => Err(BadReply::NotAnAnswer),
        }?;
        let mut meter = Meter::new(provider, false);
        meter.see(answer);
        reply.usage = meter.usage().unwrap_or_default();
        let mut lost = reply.lost.clone();
        let e = &mut Emit::new(out);
        match client {
            Format::OpenAiChat => chat::write_reply(&reply, terms, &mut lost, e),
            Format::OpenAiResponses => responses::write_reply(&reply, terms, &mut lost, e),
            Format::AnthropicMessages => messages::write_reply(&reply, terms, &mut lost, e),
            Format::GeminiGenerate => gemini::write_reply(&reply, terms, &mut lost, e),
            _ => return Err(BadReply::NotAnAnswer),
        }
        Ok(lost)
    };
    Decoder::default().decode(body, translated).unwrap_or(Err(BadReply::NotJson))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [Format; 5] = [
        Format::OpenAiChat,
        Format::OpenAiResponses,
        Format::AnthropicMessages,
        Format::BedrockConverse,
        Format::GeminiGenerate,
    ];

    /// Names of events, where a format has them beside the data.
    const NAMES: [&str; 8] = [
        "",
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "throttlingException",
    ];

    /// JSON made of the words of all formats in places where they do not belong.
    fn jumbled() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            prop::sample::select(WORDS).prop_map(Into::into),
            ".{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((prop::sample::select(WORDS), inner), 0..6)
                    .prop_map(|m| m
                        .into_iter()
                        .map(|(k, v)| (k.to_owned(), v))
                        .collect::<serde_json::Map<_, _>>())
                    .prop_map(Into::into),
            ]
        })
    }

    const WORDS: &[&str] = &[
        "messages",
        "role",
        "user",
        "assistant",
        "system",
        "tool",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "file",
        "data:image/png;base64,AAAA",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "{}",
        "id",
        "tool_call_id",
        "model",
        "max_tokens",
        "tools",
        "tool_choice",
        "required",
        "input",
        "tool_use",
        "tool_result",
        "thinking",
        "source",
        "base64",
        "usage",
        "prompt_tokens",
        "input_tokens",
        "choices",
        "message",
        "delta",
        "index",
        "finish_reason",
        "stop",
        "stop_reason",
        "end_turn",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "content_block",
        "partial_json",
        "input_json_delta",
        "error",
        "stream",
        "response_format",
        "json_schema",
        "schema",
        "reasoning_effort",
        "high",
        "temperature",
        "contents",
        "parts",
        "inlineData",
        "mime_type",
        "functionCall",
        "functionResponse",
        "response",
        "args",
        "thoughtSignature",
        "candidates",
        "finishReason",
        "generationConfig",
        "responseSchema",
        "functionDeclarations",
        "parameters",
        "groundingMetadata",
        "groundingChunks",
        "groundingSupports",
        "segment",
        "endIndex",
        "promptFeedback",
        "blockReason",
        "usageMetadata",
        "output",
        "output_text",
        "input_text",
        "input_image",
        "refusal",
        "summary",
        "reasoning",
        "encrypted_content",
        "redacted_thinking:",
        "function_call",
        "function_call_output",
        "call_id",
        "item",
        "response",
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.reasoning_summary_part.added",
        "response.completed",
        "response.failed",
        "incomplete_details",
        "toolUse",
        "toolUseId",
        "reasoningContent",
        "reasoningText",
        "redactedContent",
        "citationsContent",
        "citation",
        "sourceContent",
        "location",
        "stopReason",
        "contentBlockIndex",
        "inputTokens",
        "additionalModelRequestFields",
    ];

    fn survive(bytes: &[u8]) {
        for (from, to) in
            FORMATS.iter().flat_map(|from| FORMATS.map(|to| (*from, to))).filter(|(a, b)| a != b)
        {
            let mut out = Vec::new();
            if request(from, to, &mut bytes.to_vec(), &RequestTerms::default(), &mut out).is_ok() {
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
            out.clear();
            if reply(from, to, &mut bytes.to_vec(), &ReplyTerms::default(), &mut out).is_ok() {
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
            out.clear();
            assert!(error(from, to, 500, &mut bytes.to_vec(), &mut out) >= 400);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            let mut stream = StreamTranslator::new(from, to, StreamTerms::default());
            out.clear();
            if to == Format::BedrockConverse {
                continue; // no client speaks it
            }
            for name in NAMES {
                let _ = stream.event(name, &mut bytes.to_vec(), &mut out);
            }
            stream.finish(&mut out);
            for line in std::str::from_utf8(&out).unwrap().lines().filter_map(|l| l.strip_prefix("data: ")) {
                assert!(
                    line == "[DONE]" || serde_json::from_str::<serde_json::Value>(line).is_ok(),
                    "{line}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            survive(&bytes);
        }

        #[test]
        fn any_json_is_survived_and_what_is_written_is_json(json in jumbled()) {
            survive(json.to_string().as_bytes());
        }

        #[test]
        fn any_content_of_bedrocks_answers_is_survived(content in jumbled(), usage in jumbled()) {
            let block = serde_json::json!({"toolUse": content, "reasoningContent": content, "text": content});
            let message = serde_json::json!({"content": [content, block, {"citationsContent": content}]});
            let answer = serde_json::json!({
                "output": {"message": message}, "stopReason": content, "usage": usage,
                "delta": block, "start": block, "contentBlockIndex": usage, "message": content,
            });
            survive(answer.to_string().as_bytes());
        }

        #[test]
        fn any_part_of_the_members_of_a_request_is_survived(
            role in prop::sample::select(&["user", "assistant", "tool", "system", "x"][..]),
            content in jumbled(),
            tools in jumbled(),
            choice in jumbled(),
        ) {
            let body = serde_json::json!({
                "model": "m", "messages": [{"role": role, "content": content}, {"role": "user", "content": "x"}],
                "tools": tools, "tool_choice": choice,
            });
            survive(body.to_string().as_bytes());
            let body = serde_json::json!({
                "model": "m", "input": [{"role": role, "content": content}, {"role": "user", "content": "x"}, content],
                "tools": tools, "tool_choice": choice, "reasoning": choice, "text": tools,
            });
            survive(body.to_string().as_bytes());
        }

        #[test]
        fn any_item_of_a_response_is_survived(item in jumbled(), kind in prop::sample::select(WORDS)) {
            survive(serde_json::json!({"output": [item, {"type": "message", "content": item}]}).to_string().as_bytes());
            survive(serde_json::json!({"type": kind, "item": item, "delta": "x", "response": item}).to_string().as_bytes());
        }

        #[test]
        fn any_part_of_the_members_of_a_request_of_geminis_is_survived(
            role in prop::sample::select(&["user", "model", "function", "x"][..]),
            parts in jumbled(),
            tools in jumbled(),
            config in jumbled(),
        ) {
            let body = serde_json::json!({
                "model": "m", "contents": [{"role": role, "parts": parts}, {"parts": {"text": "x"}}],
                "tools": tools, "toolConfig": config, "generationConfig": config,
            });
            survive(body.to_string().as_bytes());
        }
    }

    #[test]
    fn a_bad_request_is_written_in_the_clients_format() {
        for (client, param, expected) in [
            (
                Format::OpenAiChat,
                "model",
                r#"{"error":{"message":"model: is bad","type":"invalid_request_error","param":"model","code":null}}"#,
            ),
            (
                Format::OpenAiChat,
                "",
                r#"{"error":{"message":"is bad","type":"invalid_request_error","param":null,"code":null}}"#,
            ),
            (
                Format::AnthropicMessages,
                "model",
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"model: is bad"}}"#,
            ),
        ] {
            let mut out = Vec::new();
            BadRequest::new(param, "is bad").write(client, &mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        }
    }

    #[test]
    fn equal_formats_are_copied() {
        for format in FORMATS {
            let (mut body, mut out) = (*b"any bytes", Vec::new());
            request(format, format, &mut body, &RequestTerms::default(), &mut out).unwrap();
            reply(format, format, &mut body, &ReplyTerms::default(), &mut out).unwrap();
            assert_eq!(out, b"any bytesany bytes");
        }
    }
    #[test]
    fn what_no_room_reads_or_writes_is_refused() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
        for (from, to) in [
            (Format::BedrockConverse, Format::OpenAiChat),
            (Format::OpenAiChat, Format::OpenAiEmbeddings),
            (Format::AnthropicModels, Format::AnthropicMessages),
        ] {
            let bad = request(from, to, &mut body.to_vec(), &RequestTerms::default(), &mut Vec::new());
            assert_eq!(bad, Err(unpaired()), "{from:?} {to:?}");
        }
        let answer = br#"{"choices":[{"message":{"content":"x"}}]}"#;
        let bad = reply(
            Format::OpenAiChat,
            Format::BedrockConverse,
            &mut answer.to_vec(),
            &ReplyTerms::default(),
            &mut Vec::new(),
        );
        assert_eq!(bad, Err(BadReply::NotAnAnswer));
    }
}
