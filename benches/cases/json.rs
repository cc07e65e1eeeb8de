//! Bodies of chat requests: inspected, and edited over what the inspection found.

use std::hint::black_box;
use tollgate::llm::{Edits, Format, Inspector};

pub(crate) const PROSE: &str =
    "The quick brown fox jumps over the lazy dog, and thinks nothing of it at all. ";

/// A request of about `size` bytes: a conversation of `words` in messages of up to 8 KiB, or one with many tools.
pub(crate) fn chat(words: &str, size: usize) -> Vec<u8> {
    let mut body = String::from(r#"{"model":"gpt-4o-mini","stream":true,"max_tokens":1024,"#);
    if words.is_empty() {
        let tool = r#"{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1}},"required":["city"]}}}"#;
        let count = (size.saturating_sub(150) / (tool.len() + 1)).max(1);
        body.push_str(&format!(r#""tools":[{}],"#, vec![tool; count].join(",")));
    }
    body.push_str(r#""messages":["#);
    let mut first = true;
    while first || body.len() + 60 < size {
        let room = (size - body.len()).saturating_sub(60).min(8192);
        let text = words.repeat(room / words.len().max(1));
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        body.push_str(&format!(r#"{comma}{{"role":"user","content":"{text}"}}"#));
        if words.is_empty() || text.is_empty() {
            break;
        }
    }
    body.push_str("]}");
    body.into_bytes()
}

/// Reads out of `body` what it asks for, all of it in one piece.
pub(crate) fn inspect(body: Vec<u8>) -> impl FnMut() {
    move || {
        black_box(&Inspector::new(Format::OpenAiChat).finish(black_box(&body))).as_ref().unwrap();
    }
}

/// Sets another model in `body` and asks for the usage, up to the pieces that are sent. What the inspection found is
/// known.
pub(crate) fn edit(body: Vec<u8>) -> impl FnMut() {
    let ask = Inspector::new(Format::OpenAiChat).finish(&body).unwrap();
    let mut buffer = Vec::new();
    move || {
        let mut edits = Edits::in_buffer(std::mem::take(&mut buffer));
        edits.set_model(black_box(&ask), black_box("gpt-4o-mini-2024-07-18"));
        edits.include_usage(black_box(&ask));
        black_box(edits.body_len(body.len()));
        black_box(&edits.pieces(body.len()));
        buffer = edits.into_buffer();
    }
}
