//! Answers of providers, streamed and whole, and the meter that reads their usage.

use std::hint::black_box;
use tollgate::llm::{Format, Meter};

/// What a read from a socket brings when a provider sends events as they come: one or a few.
pub(crate) const PIECE: usize = 1400;

/// Events of a stream that carry text.
pub(crate) const EVENTS: usize = 1000;

/// A whole answer of about a kilobyte, as the provider of OpenAI's format sends it.
const WHOLE: &str = r#"{"id":"chatcmpl-ChZNa5AVXUvGOZAleY7FgQlVr6bxn","object":"chat.completion","created":1764500138,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"@TEXT@","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":230,"completion_tokens":85,"total_tokens":315,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_50906f2aac"}"#;

/// Meters a stream.
pub(crate) fn meter_stream(format: Format, stream: Vec<u8>) -> impl FnMut() {
    move || {
        let mut meter = Meter::new(format, true);
        black_box(&stream).chunks(PIECE).for_each(|piece| meter.feed(piece));
        assert!(meter.usage().is_some() && meter.events() >= EVENTS as u64);
        black_box(meter.output_bytes());
    }
}

/// Meters an answer that is no stream.
pub(crate) fn meter_whole() -> impl FnMut() {
    let answer = WHOLE.replace("@TEXT@", &"All is well, and all will be well. ".repeat(10)).into_bytes();
    move || {
        let mut meter = Meter::new(Format::OpenAiChat, false);
        meter.feed(black_box(&answer));
        assert!(meter.usage().is_some() && meter.complete());
        black_box(meter.output_bytes());
    }
}

/// A stream of 1,000 events, and the two at its end.
pub(crate) fn openai() -> Vec<u8> {
    let head = r#"data: {"id":"chatcmpl-ChZNa5AVXUvGOZAleY7FgQlVr6bxn","object":"chat.completion.chunk","created":1764500138,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_50906f2aac","choices":["#;
    let delta = r#"{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"LPXc94h4G"}"#;
    let usage = r#"],"usage":{"prompt_tokens":23,"completion_tokens":1000,"total_tokens":1023,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#;
    format!("{}{head}{usage}\n\ndata: [DONE]\n\n", format!("{head}{delta}\n\n").repeat(EVENTS)).into_bytes()
}

/// A stream of 1,000 events, and the three around them.
pub(crate) fn anthropic() -> Vec<u8> {
    let start = r#"{"type":"message_start","message":{"model":"claude-x","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}"#;
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" token"}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1000}}"#;
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let mut stream = event("message_start", start);
    stream.push_str(&event("content_block_delta", delta).repeat(EVENTS));
    stream.push_str(&event("message_delta", end));
    stream.push_str(&event("message_stop", r#"{"type":"message_stop"}"#));
    stream.into_bytes()
}
