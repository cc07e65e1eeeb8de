//! Bedrock's Converse against what Amazon sent: answers and streams become those of clients with the same texts, calls
//! and usage; the meter reads the usage that was computed independently, split at every byte; requests that others
//! were sent become requests that Converse takes.

use crate::recordings;
use crate::recordings::anthropic_usage;
use serde_json::Value;
use tollgate::base::base64;
use tollgate::llm::Format::{AnthropicMessages, BedrockConverse, OpenAiChat};
use tollgate::llm::translate::{self, ReplyTerms, RequestTerms, StreamTerms, StreamTranslator};
use tollgate::llm::{Format, Meter, Usage};
use tollgate::wire::eventstream::{Kind, Reader};

const CLIENTS: [Format; 2] = [OpenAiChat, AnthropicMessages];

#[test]
fn answers_keep_their_texts_calls_and_usage() {
    let mut good = 0;
    for case in load("bedrock/converse") {
        let answer: Value = serde_json::from_slice(&case.body).expect("JSON");
        let theirs = Said::of_blocks(answer["output"]["message"]["content"].as_array().expect("content"));
        for client in CLIENTS {
            let mut out = Vec::new();
            let mut body = case.body.clone();
            let lost = translate::reply(BedrockConverse, client, &mut body, &ReplyTerms::default(), &mut out);
            assert_eq!(lost.map(|lost| lost.is_empty()), Ok(true), "{}", case.name);
            let ours: Value = serde_json::from_slice(&out).expect("JSON");
            let (said, usage) = match client {
                OpenAiChat => {
                    (Said::of_message(&ours["choices"][0]["message"]), openai_usage(&ours["usage"]))
                }
                _ => (Said::of_content(&ours["content"]), anthropic_usage(&ours["usage"])),
            };
            assert_eq!((said, usage), (theirs.clone(), case.usage), "{}", case.name);
        }
        good += 1;
    }
    report("answers", good, 39);
}

#[test]
fn streams_keep_their_texts_calls_and_usage() {
    let mut good = 0;
    for case in load("bedrock/converse-stream") {
        let events = events(&case.body);
        let theirs = Said::of_events(&events);
        for client in CLIENTS {
            let terms = StreamTerms { include_usage: true, ..StreamTerms::default() };
            let mut stream = StreamTranslator::new(BedrockConverse, client, terms);
            let mut out = Vec::new();
            for (name, payload) in &events {
                stream.event(name, &mut payload.clone(), &mut out).expect("a recorded event");
            }
            stream.finish(&mut out);
            assert_eq!(stream.usage(), Some(case.usage), "{}", case.name);
            let text = String::from_utf8(out).expect("UTF-8");
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let ours: Vec<Value> = data.filter_map(|data| serde_json::from_str(data).ok()).collect();
            let (said, end) = match client {
                OpenAiChat => (Said::of_chunks(&ours), text.ends_with("data: [DONE]\n\n")),
                _ => (Said::of_deltas(&ours), ours.last().is_some_and(|last| last["type"] == "message_stop")),
            };
            assert_eq!((said, end), (theirs.clone(), true), "{}", case.name);
        }
        good += 1;
    }
    report("streams", good, 9);
}

#[test]
fn the_meter_reads_what_was_used() {
    let mut good = 0;
    for (folder, streamed) in [("bedrock/converse", false), ("bedrock/converse-stream", true)] {
        for case in load(folder) {
            let read = |pieces: &[&[u8]]| {
                let mut meter = Meter::new(BedrockConverse, streamed);
                pieces.iter().for_each(|piece| meter.feed(piece));
                assert!(meter.complete() && !meter.failed() && meter.malformed() == 0, "{}", case.name);
                (meter.usage(), meter.output_bytes(), meter.events())
            };
            let whole = read(&[&case.body]);
            assert_eq!(whole.0, Some(case.usage), "{}", case.name);
            assert!(whole.1 > 0, "{}: something was said", case.name);
            for at in 0..=case.body.len() {
                let (head, tail) = case.body.split_at(at);
                assert_eq!(read(&[head, tail]), whole, "{}: split at {at}", case.name);
            }
            good += 1;
        }
    }
    report("answers and streams metered", good, 48);
}

#[test]
fn errors_keep_their_words() {
    let mut good = 0;
    for case in load("bedrock/errors") {
        let theirs: Value = serde_json::from_slice(&case.body).expect("JSON");
        for client in CLIENTS {
            let mut out = Vec::new();
            let status =
                translate::error(BedrockConverse, client, case.status, &mut case.body.clone(), &mut out);
            let ours: Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(
                (status, &ours["error"]["message"]),
                (case.status, &theirs["message"]),
                "{}",
                case.name
            );
        }
        good += 1;
    }
    report("errors", good, 3);
}

#[test]
fn requests_that_others_were_sent_become_requests_of_converse() {
    let (mut good, mut refused) = (0, 0);
    for (folder, client) in [
        ("openai/chat", OpenAiChat),
        ("openai/chat-stream", OpenAiChat),
        ("anthropic/messages", AnthropicMessages),
        ("anthropic/messages-stream", AnthropicMessages),
    ] {
        for case in load(folder) {
            let terms = RequestTerms {
                model: Some("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
                ..RequestTerms::default()
            };
            let mut out = Vec::new();
            match translate::request(client, BedrockConverse, &mut case.request.clone(), &terms, &mut out) {
                Ok(_) => {
                    check_request(&serde_json::from_slice(&out).expect("JSON"), &case.name);
                    good += 1;
                }
                Err(bad) => {
                    eprintln!("  {}: {bad}", case.name);
                    refused += 1;
                }
            }
        }
    }
    eprintln!("requests refused: {refused}");
    report("requests", good, 100);
}

// --- what is demanded -----------------------------------------------------------------------------------

fn check_request(got: &Value, name: &str) {
    let messages = got["messages"].as_array().expect("messages");
    assert_eq!(messages.first().map(|first| &first["role"]), Some(&Value::from("user")), "{name}");
    for pair in messages.windows(2) {
        assert_ne!(pair[0]["role"], pair[1]["role"], "{name}: roles alternate");
    }
    let mut names = Vec::new();
    let (mut calls, mut tools) = (Vec::new(), false);
    for message in messages {
        let blocks = message["content"].as_array().expect("blocks");
        assert!(!blocks.is_empty(), "{name}");
        for block in blocks {
            let (kind, held) = block.as_object().and_then(|one| one.iter().next()).expect("one member");
            assert_eq!(block.as_object().map(|one| one.len()), Some(1), "{name}");
            match kind.as_str() {
                "text" => assert!(held.as_str().is_some_and(|text| !text.trim().is_empty()), "{name}"),
                "toolUse" => {
                    assert!(is_plain(&held["toolUseId"]) && is_plain(&held["name"]), "{name}: {held}");
                    assert!(held["input"].is_object(), "{name}");
                    calls.push(held["toolUseId"].clone());
                    tools = true;
                }
                "toolResult" => {
                    assert!(calls.contains(&held["toolUseId"]), "{name}: a result without its call");
                    assert!(held["content"].is_array(), "{name}");
                }
                "image" | "document" | "video" | "audio" => {
                    assert!(held["format"].is_string() && held["source"]["bytes"].is_string(), "{name}");
                    if kind == "document" {
                        assert!(!names.contains(&&held["name"]), "{name}: {}", held["name"]);
                        assert!(blocks.iter().any(|beside| beside["text"].is_string()), "{name}");
                        names.push(&held["name"]);
                    }
                }
                "cachePoint" => assert_eq!(held["type"], "default", "{name}"),
                "reasoningContent" => assert!(held.is_object(), "{name}"),
                other => panic!("{name}: {other}"),
            }
        }
    }
    let specs = got["toolConfig"]["tools"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(!tools || !specs.is_empty(), "{name}: Bedrock wants the tools that were called");
    for spec in specs.iter().filter_map(|tool| tool.get("toolSpec")) {
        assert!(is_plain(&spec["name"]) && spec["inputSchema"]["json"]["type"] == "object", "{name}: {spec}");
    }
    const MEMBERS: [&str; 11] = [
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "outputConfig",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "serviceTier",
        "guardrailConfig",
        "performanceConfig",
    ];
    for member in got.as_object().expect("an object").keys() {
        assert!(MEMBERS.contains(&member.as_str()), "{name}: {member}");
    }
}

fn is_plain(name: &Value) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    name.as_str().is_some_and(|name| (1..=64).contains(&name.len()) && name.bytes().all(fits))
}

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    text: String,
    thought: String,
    /// Id, name and arguments of each call.
    calls: Vec<(String, String, Value)>,
}

impl Said {
    fn call(&mut self, id: &Value, name: &Value, arguments: Value) {
        self.calls.push((string(id), string(name), arguments));
    }

    fn of_blocks(blocks: &[Value]) -> Said {
        let mut said = Said::default();
        for block in blocks {
            said.text += &string(&block["text"]);
            said.thought += &string(&block["reasoningContent"]["reasoningText"]["text"]);
            if let Some(call) = block.get("toolUse") {
                said.call(&call["toolUseId"], &call["name"], call["input"].clone());
            }
        }
        said
    }

    fn of_message(message: &Value) -> Said {
        let mut said = Said {
            text: string(&message["content"]),
            thought: string(&message["reasoning_content"]),
            calls: Vec::new(),
        };
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            said.call(
                &call["id"],
                &call["function"]["name"],
                parsed(&string(&call["function"]["arguments"])),
            );
        }
        said
    }

    fn of_content(content: &Value) -> Said {
        let mut said = Said::default();
        for block in content.as_array().expect("content") {
            said.text += &string(&block["text"]);
            said.thought += &string(&block["thinking"]);
            if block["type"] == "tool_use" {
                said.call(&block["id"], &block["name"], block["input"].clone());
            }
        }
        said
    }

    fn of_events(events: &[(String, Vec<u8>)]) -> Said {
        let mut pieces = Pieces::default();
        for (name, payload) in events {
            let event: Value = serde_json::from_slice(payload).expect("JSON");
            let delta = &event["delta"];
            match name.as_str() {
                "contentBlockStart" => {
                    pieces.begin(&event["start"]["toolUse"]["toolUseId"], &event["start"]["toolUse"]["name"])
                }
                _ => {
                    pieces.add(&delta["text"], &delta["reasoningContent"]["text"], &delta["toolUse"]["input"])
                }
            }
        }
        pieces.said()
    }

    fn of_chunks(chunks: &[Value]) -> Said {
        let mut pieces = Pieces::default();
        for delta in chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]) {
            let call = &delta["tool_calls"][0];
            if call["id"].is_string() {
                pieces.begin(&call["id"], &call["function"]["name"]);
            }
            pieces.add(&delta["content"], &delta["reasoning_content"], &call["function"]["arguments"]);
        }
        pieces.said()
    }

    fn of_deltas(events: &[Value]) -> Said {
        let mut pieces = Pieces::default();
        for event in events {
            let (block, delta) = (&event["content_block"], &event["delta"]);
            if block["type"] == "tool_use" {
                pieces.begin(&block["id"], &block["name"]);
            }
            pieces.add(&delta["text"], &delta["thinking"], &delta["partial_json"]);
        }
        pieces.said()
    }
}

/// What a stream says, piece by piece; calls come one after another.
#[derive(Default)]
struct Pieces {
    said: Said,
    arguments: Vec<String>,
}

impl Pieces {
    fn begin(&mut self, id: &Value, name: &Value) {
        self.said.call(id, name, Value::Null);
        self.arguments.push(String::new());
    }

    fn add(&mut self, text: &Value, thought: &Value, arguments: &Value) {
        self.said.text += &string(text);
        self.said.thought += &string(thought);
        if let Some(last) = self.arguments.last_mut() {
            *last += &string(arguments);
        }
    }

    fn said(mut self) -> Said {
        self.said.calls.iter_mut().zip(&self.arguments).for_each(|(call, text)| call.2 = parsed(text));
        self.said
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(if arguments.is_empty() { "{}" } else { arguments }).expect("arguments are JSON")
}

fn openai_usage(usage: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let details = &usage["prompt_tokens_details"];
    Usage {
        input: count(&usage["prompt_tokens"]),
        cached_input: count(&details["cached_tokens"]),
        cache_write: count(&details["cache_write_tokens"]),
        output: count(&usage["completion_tokens"]),
        ..Usage::none()
    }
}

// --- the recordings -------------------------------------------------------------------------------------

struct Case {
    name: String,
    request: Vec<u8>,
    status: u16,
    body: Vec<u8>,
    usage: Usage,
}

/// The names and payloads of a stream's events.
fn events(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut reader, mut rest, mut events) = (Reader::default(), body, Vec::new());
    while let Some(message) = reader.next(&mut rest).expect("a sound stream") {
        let Kind::Event(name) = message.head.kind else { panic!("no event: {:?}", message.head) };
        events.push((String::from_utf8_lossy(name).into_owned(), message.payload.to_vec()));
    }
    events
}

/// Bedrock counts the three kinds of input apart: its total shows that they add up.
fn bedrock_usage(usage: &Value, name: &str) -> Usage {
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    let (read, written) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
    let usage = Usage {
        input: count("inputTokens") + read + written,
        cached_input: read,
        cache_write: written,
        output: count("outputTokens"),
        ..Usage::none()
    };
    assert_eq!(usage.total(), count("totalTokens"), "{name}");
    usage
}

fn load(folder: &str) -> Vec<Case> {
    let case = |(name, recorded): (String, Value)| {
        let response = &recorded["response"];
        let body = match response["body_b64"].as_str() {
            Some(body) => base64::decode(body.as_bytes()).expect("base64"),
            None => string(&response["body"]).into_bytes(),
        };
        let request = &recorded["request"]["body"];
        let request = request.as_str().map_or_else(|| request.to_string(), str::to_owned);
        Case {
            request: request.into_bytes(),
            status: recordings::status(&recorded),
            body,
            usage: bedrock_usage(&recorded["usage"], &name),
            name,
        }
    };
    recordings::all(folder).into_iter().map(case).collect()
}

fn report(what: &str, good: usize, least: usize) {
    if recordings::root().is_some() {
        eprintln!("{what}: {good}");
        assert!(good >= least, "{what}: only {good}");
    }
}
