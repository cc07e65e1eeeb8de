//! Responses against real traffic of providers, recorded elsewhere and not part of the repository: requests,
//! answers and streams in this format become those of others, and the other way round, with the same texts, calls
//! and usage.

use crate::recordings::{Case, anthropic_usage, load, report, request, split, stream};
use serde_json::Value;
use tollgate::llm::translate::{self, ReplyTerms, StreamTerms};
use tollgate::llm::{Format, Usage};

use Format::{AnthropicMessages, OpenAiChat, OpenAiResponses};

/// Folders whose provider speaks responses.
const PROVIDERS: &[&str] = &["openai", "azure", "deepseek", "x"];

/// Other providers' folders, by the format that they speak.
const OTHERS: &[(&str, Format)] = &[
    ("openai/chat", OpenAiChat),
    ("azure/chat", OpenAiChat),
    ("deepseek/chat", OpenAiChat),
    ("groq/chat", OpenAiChat),
    ("mistral/chat", OpenAiChat),
    ("openrouter/chat", OpenAiChat),
    ("cerebras/chat", OpenAiChat),
    ("anthropic/messages", AnthropicMessages),
];

#[test]
fn requests_become_those_of_other_providers() {
    let (mut good, mut refused) = (0, Vec::new());
    for case in ours("responses").chain(ours("responses-stream")) {
        let Some(body) = case.request.as_str().filter(|body| !body.is_empty()) else { continue };
        for to in [OpenAiChat, AnthropicMessages] {
            match request(OpenAiResponses, to, body) {
                Ok(got) => {
                    let messages = got["messages"].as_array().expect("messages");
                    assert!(!messages.is_empty() && got["model"].is_string(), "{}", case.name);
                    check_calls_are_answered(messages, &case.name);
                    for gone in ["input", "instructions", "include", "store", "reasoning", "text"] {
                        assert!(got.get(gone).is_none(), "{}: {gone}", case.name);
                    }
                    good += 1;
                }
                Err(bad) => refused.push((case.name.clone(), bad)),
            }
        }
    }
    report("requests", good, &refused);
    let why = ["points to what OpenAI keeps", "background", "only OpenAI can read", "cannot be sent"];
    assert!(refused.iter().all(|(_, bad)| why.iter().any(|why| bad.message.contains(why))), "{refused:#?}");
}

/// Calls of tools are answered in the message that follows.
fn check_calls_are_answered(messages: &[Value], name: &str) {
    let list = |message: &Value| message["content"].as_array().cloned().unwrap_or_default();
    let ids = |blocks: &[Value], id: &str| -> Vec<Value> {
        blocks.iter().map(|block| block[id].clone()).filter(|id| !id.is_null()).collect()
    };
    for (at, message) in messages.iter().enumerate() {
        let calls = [list(message), message["tool_calls"].as_array().cloned().unwrap_or_default()].concat();
        let is_call = |block: &&Value| matches!(block["type"].as_str(), Some("tool_use" | "function"));
        let calls: Vec<Value> = calls.iter().filter(is_call).map(|call| call["id"].clone()).collect();
        let after = messages.iter().skip(at + 1).take(calls.len());
        let answers: Vec<Value> = after
            .flat_map(|answer| {
                let alone = std::slice::from_ref(answer);
                [ids(&list(answer), "tool_use_id"), ids(alone, "tool_call_id")].concat()
            })
            .collect();
        for call in calls {
            assert!(answers.contains(&call), "{name}: {call} is answered at once, not in {answers:?}");
        }
    }
}

#[test]
fn requests_of_other_clients_become_ours() {
    let (mut good, mut refused) = (0, Vec::new());
    for (folder, from) in OTHERS {
        for case in load(folder).into_iter().chain(load(format!("{folder}-stream"))) {
            let Some(body) = case.request.as_str().filter(|body| !body.is_empty()) else { continue };
            match request(*from, OpenAiResponses, body) {
                Ok(got) => {
                    check_request(&got, &case.name);
                    good += 1;
                }
                Err(bad) => refused.push((case.name, bad)),
            }
        }
    }
    report("requests of others", good, &refused);
    let why =
        ["deprecated", "cannot be sent", "must be one of text, image_url", "kept at another", "function"];
    assert!(refused.iter().all(|(_, bad)| why.iter().any(|why| bad.message.contains(why))), "{refused:#?}");
}

fn check_request(got: &Value, name: &str) {
    assert!(got["model"].is_string() && got["store"] == false, "{name}");
    let input = got["input"].as_array().expect("input");
    assert!(!input.is_empty(), "{name}");
    for item in input {
        match item["type"].as_str() {
            None => assert!(item["role"].is_string() && !item["content"].is_null(), "{name}: {item}"),
            Some("function_call") => {
                assert!(item["call_id"].is_string() && item["arguments"].is_string(), "{name}: {item}");
            }
            Some("function_call_output") => {
                let called = input
                    .iter()
                    .any(|call| call["type"] == "function_call" && call["call_id"] == item["call_id"]);
                assert!(called && !item["output"].is_null(), "{name}: {item}");
            }
            Some("reasoning") => assert!(item["encrypted_content"].is_string(), "{name}: {item}"),
            Some(other) => panic!("{name}: {other}"),
        }
    }
    for tool in got["tools"].as_array().into_iter().flatten().filter(|tool| tool["type"] == "function") {
        assert!(tool["name"].is_string() && tool["parameters"].is_object(), "{name}: {tool}");
    }
    for gone in ["messages", "max_tokens", "max_completion_tokens", "system", "stop", "response_format"] {
        assert!(got.get(gone).is_none(), "{name}: {gone}");
    }
}

#[test]
fn replies_become_those_of_other_providers() {
    let mut good = 0;
    for case in ours("responses").filter(|case| case.status == 200) {
        let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
        if theirs["status"] == "queued" {
            continue; // which is only the beginning of an answer
        }
        let said = Said::by_items(&theirs["output"]);
        let chat = reply(OpenAiResponses, OpenAiChat, &case.body);
        assert_eq!(Said::by_message(&chat["choices"][0]["message"]), said, "{}", case.name);
        assert_eq!(chat_usage(&chat["usage"]), usage(&case.usage), "{}", case.name);
        let message = reply(OpenAiResponses, AnthropicMessages, &case.body);
        assert_eq!(Said::by_blocks(&message["content"]), said, "{}", case.name);
        good += 1;
    }
    report("replies", good, &[]);
}

#[test]
fn replies_of_other_providers_become_ours() {
    let mut good = 0;
    for (folder, from) in OTHERS {
        for case in load(folder).into_iter().filter(|case| case.status == 200) {
            let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
            let got = reply(*from, OpenAiResponses, &case.body);
            let (said, used) = match from {
                AnthropicMessages => (Said::by_blocks(&theirs["content"]), anthropic_usage(&case.usage)),
                _ => (Said::by_message(&theirs["choices"][0]["message"]), chat_usage(&case.usage)),
            };
            assert_eq!(Said::by_items(&got["output"]), said, "{}", case.name);
            assert_eq!(usage(&got["usage"]), used, "{}", case.name);
            good += 1;
        }
    }
    report("replies of others", good, &[]);
}

#[test]
fn streams_become_those_of_other_providers() {
    let mut good = 0;
    for case in ours("responses-stream").filter(|case| case.status == 200) {
        let said = Said::by_items(&split(&case.body).last().expect("an end")["response"]["output"]);
        let (chunks, used) = stream(OpenAiResponses, OpenAiChat, StreamTerms::default(), &case.body);
        assert_eq!(used, Some(usage(&case.usage)), "{}", case.name);
        assert_eq!(Said::by_chunks(&chunks), said, "{}", case.name);
        assert_eq!(chunks.last(), Some(&Value::from("[DONE]")), "{}", case.name);
        let (events, _) = stream(OpenAiResponses, AnthropicMessages, StreamTerms::default(), &case.body);
        assert_eq!(Said::by_events(&events), said, "{}", case.name);
        assert_eq!(events.last().expect("an end")["type"], "message_stop", "{}", case.name);
        good += 1;
    }
    report("streams", good, &[]);
}

#[test]
fn streams_of_other_providers_become_ours() {
    let mut good = 0;
    for (folder, from) in OTHERS {
        for case in load(format!("{folder}-stream")).into_iter().filter(|case| case.status == 200) {
            let theirs = split(&case.body);
            let (events, used) = stream(*from, OpenAiResponses, StreamTerms::default(), &case.body);
            let last = events.last().expect("an end");
            assert!(matches!(last["type"].as_str(), Some("response.completed" | "response.incomplete")));
            for (at, event) in events.iter().enumerate() {
                assert_eq!(event["sequence_number"], at, "{}", case.name);
            }
            let said = match from {
                AnthropicMessages => Said::by_events(&theirs),
                _ => Said::by_chunks(&theirs),
            };
            assert_eq!(Said::by_items(&last["response"]["output"]), said, "{}", case.name);
            assert_eq!(usage(&last["response"]["usage"]), used.unwrap_or_default(), "{}", case.name);
            good += 1;
        }
    }
    report("streams of others", good, &[]);
}

// --- what an answer says, in whatever format ------------------------------------------------------------

/// The text, the thoughts and the calls of an answer.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thoughts: String,
    calls: Vec<(String, Value)>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn arguments(value: &Value) -> Value {
    match value.as_str() {
        Some("") => serde_json::json!({}),
        None if value.is_null() => serde_json::json!({}),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        None => value.clone(),
    }
}

impl Said {
    fn by_items(items: &Value) -> Said {
        let mut said = Said::default();
        for item in items.as_array().expect("items") {
            match text(&item["type"]) {
                "message" => {
                    for part in item["content"].as_array().expect("content") {
                        said.text += text(&part["text"]);
                        said.text += text(&part["refusal"]);
                    }
                }
                "reasoning" => {
                    let of = |name: &str| -> String {
                        item[name].as_array().into_iter().flatten().map(|part| text(&part["text"])).collect()
                    };
                    let summary = of("summary");
                    said.thoughts += &if summary.is_empty() { of("content") } else { summary };
                }
                "function_call" => {
                    said.calls.push((text(&item["name"]).to_owned(), arguments(&item["arguments"])));
                }
                _ => {}
            }
        }
        said
    }

    fn by_message(message: &Value) -> Said {
        let texts = message["content"].as_array().into_iter().flatten().map(|part| text(&part["text"]));
        let texts: String = texts.collect();
        let call = |function: &Value| (text(&function["name"]).to_owned(), arguments(&function["arguments"]));
        let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["function"]);
        let older = Some(&message["function_call"]).filter(|function| function.is_object());
        let thoughts = ["reasoning_content", "reasoning"].map(|name| text(&message[name]));
        Said {
            text: [text(&message["refusal"]), text(&message["content"]), &texts].concat(),
            thoughts: thoughts.into_iter().find(|thought| !thought.is_empty()).unwrap_or_default().to_owned(),
            calls: older.into_iter().chain(calls).map(call).collect(),
        }
    }

    fn by_blocks(blocks: &Value) -> Said {
        let mut said = Said::default();
        for block in blocks.as_array().expect("blocks") {
            match text(&block["type"]) {
                "text" => said.text += text(&block["text"]),
                "thinking" => said.thoughts += text(&block["thinking"]),
                "tool_use" => said.calls.push((text(&block["name"]).to_owned(), block["input"].clone())),
                _ => {}
            }
        }
        said
    }

    fn by_chunks(chunks: &[Value]) -> Said {
        let mut said = Said::default();
        let mut calls: Vec<(String, String)> = Vec::new();
        for choice in chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == 0) {
            let delta = &choice["delta"];
            let piece = Said::by_message(delta);
            said.text += &piece.text;
            said.thoughts += &piece.thoughts;
            let older = Some(&delta["function_call"]).filter(|function| function.is_object());
            let pieces = delta["tool_calls"].as_array().into_iter().flatten();
            for (index, function) in pieces
                .map(|call| (call["index"].as_u64().unwrap_or_default() as usize, &call["function"]))
                .chain(older.map(|function| (0, function)))
            {
                calls.resize(calls.len().max(index + 1), Default::default());
                calls[index].0 += text(&function["name"]);
                calls[index].1 += text(&function["arguments"]);
            }
        }
        said.calls = calls.into_iter().map(|(name, json)| (name, arguments(&json.into()))).collect();
        said
    }

    fn by_events(events: &[Value]) -> Said {
        let mut said = Said::default();
        let mut calls: Vec<(String, String)> = Vec::new();
        let mut in_call = false;
        for event in events {
            let (block, delta) = (&event["content_block"], &event["delta"]);
            if event["type"] == "content_block_start" {
                in_call = block["type"] == "tool_use";
                said.text += text(&block["text"]);
                if in_call {
                    calls.push((text(&block["name"]).to_owned(), String::new()));
                }
            }
            said.text += text(&delta["text"]);
            said.thoughts += text(&delta["thinking"]);
            if let Some((_, json)) = calls.last_mut().filter(|_| in_call) {
                *json += text(&delta["partial_json"]);
            }
        }
        said.calls = calls.into_iter().map(|(name, json)| (name, arguments(&json.into()))).collect();
        said
    }
}

/// Hosts report more cached tokens than tokens, or the same ones as read and as written: parts are held to what the
/// whole allows.
fn counted(usage: &Value, [input, output]: [&str; 2], [of_input, of_output]: [&str; 2]) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let input = count(&usage[input]);
    let cached_input = count(&usage[of_input]["cached_tokens"]).min(input);
    Usage {
        input,
        cached_input,
        cache_write: count(&usage[of_input]["cache_write_tokens"]).min(input - cached_input),
        output: count(&usage[output]),
        reasoning: count(&usage[of_output]["reasoning_tokens"]),
        ..Usage::default()
    }
}

fn usage(usage: &Value) -> Usage {
    counted(usage, ["input_tokens", "output_tokens"], ["input_tokens_details", "output_tokens_details"])
}

fn chat_usage(usage: &Value) -> Usage {
    let details = ["prompt_tokens_details", "completion_tokens_details"];
    counted(usage, ["prompt_tokens", "completion_tokens"], details)
}

// --- running ---------------------------------------------------------------------------------------------

fn reply(provider: Format, client: Format, body: &str) -> Value {
    let mut out = Vec::new();
    let terms = ReplyTerms::default();
    translate::reply(provider, client, &mut body.as_bytes().to_vec(), &terms, &mut out)
        .expect("a recorded answer");
    serde_json::from_slice(&out).expect("a translation is JSON")
}

fn ours(kind: &str) -> impl Iterator<Item = Case> + use<'_> {
    PROVIDERS.iter().flat_map(move |provider| load(format!("{provider}/{kind}")))
}
