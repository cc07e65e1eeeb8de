//! The translation against real traffic of providers, recorded elsewhere and not part of the repository.

use crate::recordings::{anthropic_usage, load, report, request, split, stream};
use serde_json::Value;
use tollgate::llm::translate::{self, ReplyTerms, StreamTerms};
use tollgate::llm::{Format, Usage};

use Format::{AnthropicMessages, OpenAiChat};

/// Folders whose provider speaks OpenAI's chat format.
const OPENAI_LIKE: &[&str] = &[
    "openai",
    "azure",
    "deepseek",
    "groq",
    "mistral",
    "openrouter",
    "cerebras",
    "perplexity",
    "openai-compatible-local",
    "router.huggingface.co",
    "us.inference.heroku",
    "z",
];

#[test]
fn openai_requests_become_anthropic_requests() {
    let (mut good, mut refused) = (0, Vec::new());
    for case in
        OPENAI_LIKE.iter().flat_map(|p| [format!("{p}/chat"), format!("{p}/chat-stream")]).flat_map(load)
    {
        let Some(body) = case.request.as_str().filter(|body| !body.is_empty()) else { continue };
        match request(OpenAiChat, AnthropicMessages, body) {
            Ok(got) => {
                check_anthropic_request(&got, &case.name);
                good += 1;
            }
            Err(bad) => refused.push((case.name, bad)),
        }
    }
    report("OpenAI requests", good, &refused);
    let why = ["deprecated", "audio", "kept at OpenAI", "must be one of text, image_url, file", "function"];
    assert!(refused.iter().all(|(_, bad)| why.iter().any(|why| bad.message.contains(why))), "{refused:#?}");
}

#[test]
fn anthropic_requests_become_openai_requests() {
    let (mut good, mut refused) = (0, Vec::new());
    for case in ["anthropic/messages", "anthropic/messages-stream"].into_iter().flat_map(load) {
        let Some(body) = case.request.as_str() else { continue };
        match request(AnthropicMessages, OpenAiChat, body) {
            Ok(got) => {
                check_openai_request(&got, &case.name);
                good += 1;
            }
            Err(bad) => refused.push((case.name, bad)),
        }
    }
    report("Anthropic requests", good, &refused);
    assert!(refused.iter().all(|(_, bad)| bad.message.contains("cannot be sent")), "{refused:#?}");
}

#[test]
fn anthropic_replies_become_openai_replies() {
    let mut good = 0;
    for case in load("anthropic/messages").into_iter().filter(|case| case.status == 200) {
        let got =
            reply(AnthropicMessages, OpenAiChat, &case.body).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
        assert_eq!(openai_usage(&got["usage"]), anthropic_usage(&case.usage), "{}", case.name);
        let of = |kind: &str| {
            theirs["content"].as_array().expect("content").iter().filter(|b| b["type"] == kind).count()
        };
        let message = &got["choices"][0]["message"];
        let calls = message["tool_calls"].as_array().map_or(0, Vec::len);
        assert_eq!(calls, of("tool_use"), "{}", case.name);
        assert_eq!(message["content"].is_string(), of("text") > 0 || calls == 0, "{}", case.name);
        assert_eq!(message["reasoning_content"].is_string(), of("thinking") > 0, "{}", case.name);
        good += 1;
    }
    report("Anthropic replies", good, &[]);
}

#[test]
fn openai_replies_become_anthropic_replies_and_back() {
    let mut good = 0;
    for case in
        OPENAI_LIKE.iter().map(|p| format!("{p}/chat")).flat_map(load).filter(|case| case.status == 200)
    {
        let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
        let there =
            reply(OpenAiChat, AnthropicMessages, &case.body).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(
            anthropic_usage(&there["usage"]),
            without_reasoning(openai_usage(&case.usage)),
            "{}",
            case.name
        );
        let back = reply(AnthropicMessages, OpenAiChat, &there.to_string()).expect("own output");
        let (was, is) = (&theirs["choices"][0], &back["choices"][0]);
        if was["message"]["content"].as_str().is_some_and(|text| !text.is_empty()) {
            assert_eq!(is["message"]["content"], was["message"]["content"], "{}", case.name);
        }
        for (was, is) in calls(&was["message"]).zip(calls(&is["message"])) {
            assert_eq!(was, is, "{}", case.name);
        }
        let called =
            calls(&was["message"]).count() + usize::from(was["message"]["function_call"].is_object());
        assert_eq!(called, calls(&is["message"]).count(), "{}", case.name);
        if matches!(was["finish_reason"].as_str(), Some("length" | "tool_calls" | "content_filter")) {
            assert_eq!(is["finish_reason"], was["finish_reason"], "{}", case.name);
        }
        good += 1;
    }
    report("OpenAI replies", good, &[]);
}

#[test]
fn anthropic_streams_become_openai_streams() {
    let mut good = 0;
    for case in load("anthropic/messages-stream").into_iter().filter(|case| case.status == 200) {
        let (events, usage) = stream(AnthropicMessages, OpenAiChat, counting(), &case.body);
        assert_eq!(usage.unwrap_or_default(), anthropic_usage(&case.usage), "{}", case.name);
        assert_eq!(events.last(), Some(&Value::from("[DONE]")), "{}", case.name);
        let chunks = &events[..events.len() - 1];
        let last = chunks.last().expect("usage chunk");
        assert_eq!(openai_usage(&last["usage"]), anthropic_usage(&case.usage), "{}", case.name);
        for chunk in chunks {
            assert_eq!((&chunk["id"], &chunk["model"]), (&last["id"], &last["model"]), "{}", case.name);
        }
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
        assert_eq!(finishes, 1, "{}", case.name);
        let theirs = split(&case.body);
        assert_eq!(
            joined(chunks, |chunk| &chunk["choices"][0]["delta"]["content"]),
            joined(&theirs, |event| &event["delta"]["text"]),
        );
        assert_eq!(
            joined(chunks, |chunk| &chunk["choices"][0]["delta"]["reasoning_content"]),
            joined(&theirs, |event| &event["delta"]["thinking"]),
        );
        good += 1;
    }
    report("Anthropic streams", good, &[]);
}

#[test]
fn openai_streams_become_anthropic_streams() {
    let mut good = 0;
    for case in
        OPENAI_LIKE.iter().map(|p| format!("{p}/chat-stream")).flat_map(load).filter(|c| c.status == 200)
    {
        let (events, usage) = stream(OpenAiChat, AnthropicMessages, counting(), &case.body);
        let recorded = openai_usage(&case.usage);
        assert_eq!(usage.unwrap_or_default(), recorded, "{}", case.name);
        check_anthropic_stream(&events, &case.name);
        let delta = events.iter().find(|event| event["type"] == "message_delta").expect("message_delta");
        assert_eq!(anthropic_usage(&delta["usage"]), without_reasoning(recorded), "{}", case.name);
        let theirs: Vec<Value> = split(&case.body);
        let first = |chunk: &Value| chunk["choices"][0]["index"] == 0;
        let theirs: Vec<Value> = theirs.into_iter().filter(first).collect();
        assert_eq!(
            joined(&events, |event| &event["delta"]["text"]),
            joined(&theirs, |chunk| &chunk["choices"][0]["delta"]["content"]),
            "{}",
            case.name
        );
        good += 1;
    }
    report("OpenAI streams", good, &[]);
}

#[test]
fn every_recorded_error_is_put_in_the_clients_format() {
    let mut good = 0;
    for case in ["openai", "anthropic", "groq", "openrouter", "vertex", "bedrock"]
        .iter()
        .flat_map(|p| load(format!("{p}/errors")))
    {
        for (provider, client) in
            [(OpenAiChat, AnthropicMessages), (AnthropicMessages, OpenAiChat), (OpenAiChat, OpenAiChat)]
        {
            let mut out = Vec::new();
            let sent = translate::error(
                provider,
                client,
                case.status,
                &mut case.body.clone().into_bytes(),
                &mut out,
            );
            assert_eq!(sent, case.status);
            let got: Value = serde_json::from_slice(&out).expect("JSON");
            let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
            let said = [&theirs["error"]["message"], &theirs["message"]].into_iter().find_map(|m| m.as_str());
            let sent = got["error"]["message"].as_str().expect("a message");
            assert_eq!(Some(sent.trim_start_matches("prompt is too long: ")), said, "{}", case.name);
            assert!(provider == client || got["error"]["type"].is_string(), "{}", case.name);
        }
        good += 1;
    }
    report("errors", good, &[]);
}

// --- what is demanded of a translation ------------------------------------------------------------

fn check_anthropic_request(got: &Value, name: &str) {
    assert!(got["model"].is_string() && got["max_tokens"].as_u64().is_some_and(|max| max >= 1), "{name}");
    let messages = got["messages"].as_array().expect("messages");
    assert!(!messages.is_empty(), "{name}");
    for pair in messages.windows(2) {
        assert_ne!(pair[0]["role"], pair[1]["role"], "{name}: roles alternate");
    }
    for block in messages.iter().flat_map(|message| message["content"].as_array().expect("blocks")) {
        match block["type"].as_str().expect("type") {
            "text" => assert!(block["text"].as_str().is_some_and(|text| !text.trim().is_empty()), "{name}"),
            "tool_use" => assert!(block["input"].is_object() && block["id"].is_string(), "{name}"),
            "tool_result" => assert!(block["tool_use_id"].is_string(), "{name}"),
            "image" | "document" => assert!(block["source"]["type"].is_string(), "{name}"),
            other => panic!("{name}: {other}"),
        }
    }
    let is_function = |tool: &&Value| tool["type"].is_null();
    for tool in got["tools"].as_array().into_iter().flatten().filter(is_function) {
        assert_eq!(tool["input_schema"]["type"], "object", "{name}");
    }
    for gone in ["max_completion_tokens", "stop", "n", "response_format", "tool_calls", "stream_options"] {
        assert!(got.get(gone).is_none(), "{name}: {gone}");
    }
}

fn check_openai_request(got: &Value, name: &str) {
    assert!(got["model"].is_string() && got["max_completion_tokens"].is_u64(), "{name}");
    let mut open_calls: Vec<&Value> = Vec::new();
    for message in got["messages"].as_array().expect("messages") {
        match message["role"].as_str().expect("role") {
            "tool" => {
                let at = open_calls.iter().position(|id| **id == message["tool_call_id"]);
                open_calls.remove(at.unwrap_or_else(|| panic!("{name}: a result without its call")));
                assert!(message["content"].is_string(), "{name}");
            }
            "assistant" => {
                open_calls =
                    message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]).collect();
                assert!(message["content"].is_string() || !open_calls.is_empty(), "{name}");
            }
            _ => assert!(message["content"].is_string() || message["content"].is_array(), "{name}"),
        }
    }
    for gone in ["max_tokens", "system", "stop_sequences", "thinking", "top_k", "metadata", "output_config"] {
        assert!(got.get(gone).is_none(), "{name}: {gone}");
    }
}

/// Blocks are opened and closed in turn, and the message too.
fn check_anthropic_stream(events: &[Value], name: &str) {
    let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    assert_eq!(events.first().map(kind).as_deref(), Some("message_start"), "{name}");
    assert_eq!(events.last().map(kind).as_deref(), Some("message_stop"), "{name}");
    assert_eq!(kind(&events[events.len() - 2]), "message_delta", "{name}");
    let (mut next, mut open) = (0, None);
    for event in &events[1..events.len() - 2] {
        let index = event["index"].as_u64();
        match kind(event).as_str() {
            "content_block_start" => {
                assert_eq!((index, open), (Some(next), None), "{name}");
                (open, next) = (index, next + 1);
            }
            "content_block_delta" => assert_eq!(index, open, "{name}"),
            "content_block_stop" => {
                assert_eq!(index, open, "{name}");
                open = None;
            }
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(open, None, "{name}");
}

fn calls(message: &Value) -> impl Iterator<Item = (Value, Value, Value)> + '_ {
    message["tool_calls"].as_array().into_iter().flatten().map(|call| {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let arguments = serde_json::from_str(if arguments.is_empty() { "{}" } else { arguments });
        (call["id"].clone(), call["function"]["name"].clone(), arguments.unwrap_or_default())
    })
}

fn joined(events: &[Value], text: impl Fn(&Value) -> &Value) -> String {
    events.iter().filter_map(|event| text(event).as_str().map(str::to_owned)).collect()
}

/// Some hosts count more cached tokens than tokens, or the same ones as read and as written: parts are held to
/// what the whole allows.
fn openai_usage(usage: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let input = count(&usage["prompt_tokens"]);
    let cached_input = count(&usage["prompt_tokens_details"]["cached_tokens"]).min(input);
    Usage {
        input,
        cached_input,
        cache_write: count(&usage["prompt_tokens_details"]["cache_write_tokens"]).min(input - cached_input),
        output: count(&usage["completion_tokens"]),
        reasoning: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
        ..Usage::default()
    }
}

/// Anthropic's answers of today need not say how much of the output was reasoning.
fn without_reasoning(usage: Usage) -> Usage {
    Usage { reasoning: 0, ..usage }
}

// --- running -----------------------------------------------------------------------------------------

fn reply(provider: Format, client: Format, body: &str) -> Result<Value, translate::BadReply> {
    let mut out = Vec::new();
    translate::reply(provider, client, &mut body.as_bytes().to_vec(), &ReplyTerms::default(), &mut out)?;
    Ok(serde_json::from_slice(&out).expect("a translation is JSON"))
}

fn counting() -> StreamTerms {
    StreamTerms { include_usage: true, ..StreamTerms::default() }
}
