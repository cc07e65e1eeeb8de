//! Hosts that are compatible with OpenAI, by their names.

use super::*;
use serde_json::json;
use support::{ROUTES, chat, message};
use tollgate::llm::Format;
use tollgate::llm::provider::{PRESETS, Preset, Provider};

const TOKEN: &str = "authToken: {kind: SecretRef, secretRef: {name: keys}}, model: forced";

/// The preset as a Backend has it, at a host of one's own where nobody else knows it.
fn llm(preset: &Preset) -> String {
    let host = if preset.host.is_none() { "host: plain.example, port: 8000, " } else { "" };
    format!("{host}{}: {{{TOKEN}}}", preset.dialect.name)
}

fn ask(rig: &Rig, path: &str, body: &str) -> support::Answer {
    let answer = rig.client().ask(path, "", body);
    assert_eq!((answer.status, answer.complete), (200, true), "{path}: {}", answer.text());
    answer
}

#[test]
fn every_preset_serves_chat_messages_responses_and_contents_where_it_has_them() {
    for preset in &PRESETS {
        let (name, base) = (preset.dialect.name, preset.base);
        let rig = rig(script(), &llm(preset), "");
        let chats = format!("{base}/chat/completions");
        let responses = match preset.dialect.speaks(Provider::OpenAi, Format::OpenAiResponses) {
            Some(Format::OpenAiResponses) => format!("{base}/responses"),
            _ => chats.clone(),
        };
        let response =
            json!({"model": "asked", "input": support::USER_TEXT, "max_output_tokens": 500, "stream": true});
        let contents = json!({
            "contents": [{"parts": [{"text": support::USER_TEXT}]}], "generationConfig": {"maxOutputTokens": 500},
        })
        .to_string();
        for (path, body, target) in [
            ("/cloud/v1/chat/completions", chat("asked", false), &chats),
            ("/cloud/v1/chat/completions", chat("asked", true), &chats),
            ("/cloud/v1/messages", message("asked", true), &chats),
            ("/cloud/v1/responses", response.to_string(), &responses),
            ("/cloud/v1beta/models/asked:generateContent", contents.clone(), &chats),
            ("/cloud/v1beta/models/asked:streamGenerateContent?alt=sse", contents.clone(), &chats),
        ] {
            let answer = ask(&rig, path, &body);
            assert!(answer.text().contains("forced"), "{name}: {}", answer.text());
            let seen = seen(&rig);
            assert_eq!(&seen.target, target, "{name} {path}");
            assert_eq!(seen.header("authorization"), Some("Bearer sk-live-secret"), "{name} {path}");
            let sent = sent(&rig);
            let asks = sent["stream"] == true && target == &chats && preset.dialect.takes_include_usage;
            assert_eq!(!sent["stream_options"].is_null(), asks, "{name} {path}: {sent}");
            let is_translated = !path.ends_with("/chat/completions") && target == &chats;
            let older = is_translated && preset.dialect.says_max_tokens;
            assert_eq!(sent["max_tokens"].is_u64(), older, "{name} {path}: {sent}");
            assert_eq!(sent["max_completion_tokens"].is_u64(), is_translated && !older, "{name} {path}");
        }
        if preset.dialect.takes_include_usage {
            rig.assert_ledgers_agree();
            assert_eq!(rig.settled().counted, 0, "{name}");
        }
    }
}

#[test]
fn what_a_preset_has_not_is_told_in_its_name() {
    let perplexity = PRESETS.iter().find(|preset| preset.dialect.name == "perplexity").expect("it is there");
    let rig = rig(script(), &llm(perplexity), "");
    let answer = rig.client().ask("/cloud/v1/embeddings", "", r#"{"model":"m","input":"x"}"#);
    assert_eq!(answer.status, 501);
    assert!(answer.text().contains("with the provider perplexity"), "{}", answer.text());
}

#[test]
fn usage_of_streams_is_not_asked_for_where_the_backend_says_so_and_counted_here() {
    let openai = ROUTES.into_iter().find(|route| route.is_native() && route.openai_client).expect("one");
    let asked = openai.body("asked", true);
    // What is under llm; whether a stream that did not ask for usage goes out asking for it.
    let rows = [
        (format!("openai: {{{TOKEN}}}"), true),
        (format!("includeUsage: true, openai: {{{TOKEN}}}"), true),
        (format!("includeUsage: false, openai: {{{TOKEN}}}"), false),
        (format!("includeUsage: false, groq: {{{TOKEN}}}"), false),
        (format!("mistral: {{{TOKEN}}}"), false),
        (format!("includeUsage: true, mistral: {{{TOKEN}}}"), true),
    ];
    for (llm, asks) in rows {
        let rig = rig(script(), &llm, "");
        for (path, body) in [
            ("/cloud/v1/chat/completions", chat("asked", true)),
            ("/cloud/v1/messages", message("asked", true)),
        ] {
            ask(&rig, path, &body);
            assert_eq!(sent(&rig)["stream_options"]["include_usage"] == true, asks, "{llm} {path}");
        }
        let settled = rig.settled();
        assert_eq!(settled.counted, if asks { 0 } else { 2 }, "{llm}");
        assert!(settled.input > 0 && settled.output > 0, "{llm}: {settled:?}");
        // A client that asks gets what it asks for: it is its own request.
        let said = openai.read(&ask(&rig, "/cloud/v1/chat/completions", &asked));
        assert_eq!(said.usage, Some([1_000, 300, 0, 77, 0]), "{llm}");
    }
}

#[test]
fn usage_that_is_told_unasked_is_settled_and_passes() {
    // As Mistral and Perplexity do it.
    let told = Script { fault: tollgate_loadtest::Fault::UsageOnEveryChunk, ..script() };
    let rig = rig(told, &format!("mistral: {{{TOKEN}}}"), "");
    let answer = ask(&rig, "/cloud/v1/chat/completions", &chat("asked", true));
    assert!(answer.text().contains("\"usage\":{"), "{}", answer.text());
    rig.assert_ledgers_agree();
    assert_eq!((rig.settled().counted, rig.settled().input), (0, 1_000));
}
