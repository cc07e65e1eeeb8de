//! The tokenizer against what OpenAI billed: conversations of text must be counted exactly.

use crate::recordings;
use serde_json::Value;
use tollgate::llm::{Format, Tokenizer};

/// By how a model's name begins; reasoning models are not counted exactly and have no row.
const MODELS: [(&str, Tokenizer); 4] = [
    ("gpt-4o", Tokenizer::O200kBase),
    ("gpt-4.1", Tokenizer::O200kBase),
    ("gpt-4", Tokenizer::Cl100kBase),
    ("gpt-3.5", Tokenizer::Cl100kBase),
];

#[test]
fn conversations_of_text_are_counted_as_billed() {
    if recordings::root().is_none() {
        return;
    }
    let (mut exact, mut close) = (0, 0);
    for folder in ["openai/chat", "openai/chat-stream"] {
        let recorded = recordings::all(folder);
        assert!(!recorded.is_empty(), "no recordings in {folder}");
        for (name, recording) in recorded {
            let body = recording["request"]["body"].as_str().unwrap_or_default();
            let Some(billed) = recording["usage"]["prompt_tokens"].as_u64() else { continue };
            let request: Value = serde_json::from_str(body).expect("JSON");
            let model = request["model"].as_str().unwrap_or_default();
            let Some((_, tokenizer)) = MODELS.iter().find(|(begin, _)| model.starts_with(begin)) else {
                continue;
            };
            let counted = tokenizer.count(Format::OpenAiChat, body.as_bytes()).expect("a request");
            if has_media(&request) {
                continue;
            }
            if is_text_only(&request) {
                assert_eq!(counted, billed, "{}", name);
                exact += 1;
            } else {
                // How tools are written out is not published; a third is far off already.
                assert!(counted.abs_diff(billed) * 3 <= billed.max(30), "{counted} {billed} {}", name);
                close += 1;
            }
        }
    }
    eprintln!("{exact} recordings counted exactly, {close} with tools or schemas closely");
    assert!(exact >= 20 && close >= 20);
}

fn has_media(request: &Value) -> bool {
    let parts = request["messages"].as_array().into_iter().flatten().flat_map(|m| m["content"].as_array());
    parts.flatten().any(|part| part["type"] != "text")
}

fn is_text_only(request: &Value) -> bool {
    let tools = ["tools", "functions", "response_format"].iter().any(|member| !request[member].is_null());
    let roles = request["messages"].as_array().into_iter().flatten().map(|message| &message["role"]);
    !tools && roles.clone().all(|role| role != "tool")
}
