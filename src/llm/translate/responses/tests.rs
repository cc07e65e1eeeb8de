//! Streams of whatever kind towards and from clients of responses, and conversations that go round.

use crate::llm::Format::{self, AnthropicMessages, OpenAiChat, OpenAiResponses};
use crate::llm::Usage;
use crate::llm::translate::{self, BadReply, ReplyTerms, RequestTerms, StreamTerms, StreamTranslator};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Events of providers that do not fit one another.
const MESSAGES: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":3}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"t"}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"redacted_thinking","data":"d"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"url":"u"}}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}"#,
    r#"{"type":"message_stop"}"#,
    "{",
];

const CHUNKS: &[&str] = &[
    r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x"}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"reasoning":"h"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"refusal":"no"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    r#"{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
    r#"{"error":{"message":"no"}}"#,
    "[DONE]",
    "{",
];

const EVENTS: &[&str] = &[
    r#"{"type":"response.created","response":{"id":"r","model":"m"}}"#,
    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message"}}"#,
    r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"a","name":"f"}}"#,
    r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"reasoning"}}"#,
    r#"{"type":"response.content_part.added","output_index":0,"content_index":1,"part":{"type":"output_text"}}"#,
    r#"{"type":"response.output_text.delta","output_index":0,"delta":"x","logprobs":[{"token":"x"}]}"#,
    r#"{"type":"response.output_text.done","output_index":0,"text":"xy"}"#,
    r#"{"type":"response.refusal.delta","output_index":0,"delta":"no"}"#,
    r#"{"type":"response.reasoning_summary_text.delta","output_index":2,"delta":"h"}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{}"}"#,
    r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}}"#,
    r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"reasoning","summary":[],"encrypted_content":"e"}}"#,
    r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message"}}"#,
    r#"{"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":2}}}"#,
    r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"no"}}}"#,
    r#"{"type":"response.brand_new"}"#,
    "{",
];

fn streamed(provider: Format, client: Format, events: &[&str]) -> Vec<Value> {
    let mut stream = StreamTranslator::new(provider, client, StreamTerms::default());
    let mut out = Vec::new();
    for event in events {
        if stream.event("", &mut event.as_bytes().to_vec(), &mut out).is_err() {
            break;
        }
    }
    stream.finish(&mut out);
    let text = String::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

/// What a client has put together of the events: items by their place, parts by theirs.
#[derive(Default)]
struct Client {
    items: Vec<Value>,
    open: Vec<bool>,
}

impl Client {
    /// Takes an event, and insists that it is about what is open.
    fn take(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap();
        let place = event["output_index"].as_u64().unwrap() as usize;
        if kind == "response.output_item.added" {
            assert_eq!(place, self.items.len(), "items come in their order");
            self.items.push(event["item"].clone());
            self.open.push(true);
            return;
        }
        assert!(self.open[place], "{event} is about an item that is open");
        let item = &mut self.items[place];
        if kind == "response.output_item.done" {
            let mut whole = event["item"].clone();
            assert_eq!(item["id"], whole["id"]);
            self.open[place] = false;
            // What comes with the end alone.
            for late in ["status", "encrypted_content", "extra_content"] {
                item[late] = whole[late].take();
                whole[late] = item[late].clone();
            }
            assert_eq!(*item, whole, "the whole is what the pieces make");
            return;
        }
        assert_eq!(item["id"], event["item_id"]);
        let (list, index) = match event["summary_index"].as_u64() {
            Some(index) => ("summary", index),
            None => ("content", event["content_index"].as_u64().unwrap_or_default()),
        };
        let append = |text: &mut Value| {
            *text = json!([text.as_str(), event["delta"].as_str()].map(Option::unwrap).concat())
        };
        let name = kind.strip_prefix("response.").unwrap();
        match name {
            "content_part.added" | "reasoning_summary_part.added" => {
                assert_eq!(index as usize, item[list].as_array().unwrap().len(), "{event}");
                item[list].as_array_mut().unwrap().push(event["part"].clone());
            }
            "output_text.delta" => {
                let part = &mut item[list][index as usize];
                append(&mut part["text"]);
                let tokens = event["logprobs"].as_array().unwrap().clone();
                part["logprobs"].as_array_mut().unwrap().extend(tokens);
            }
            "refusal.delta" => append(&mut item[list][index as usize]["refusal"]),
            "reasoning_summary_text.delta" => append(&mut item[list][index as usize]["text"]),
            "function_call_arguments.delta" => append(&mut item["arguments"]),
            "output_text.annotation.added" => {
                let pages = item[list][index as usize]["annotations"].as_array_mut().unwrap();
                assert_eq!(event["annotation_index"], pages.len());
                pages.push(event["annotation"].clone());
            }
            "content_part.done" | "reasoning_summary_part.done" => {
                assert_eq!(item[list][index as usize], event["part"]);
            }
            "output_text.done" | "reasoning_summary_text.done" => {
                assert_eq!(item[list][index as usize]["text"], event["text"]);
            }
            "refusal.done" => assert_eq!(item[list][index as usize]["refusal"], event["refusal"]),
            "function_call_arguments.done" => assert_eq!(item["arguments"], event["arguments"]),
            _ => panic!("{kind}"),
        }
    }
}

/// Insists that a client can read the stream and that it is told the same by the pieces and by the end.
fn check_stream(events: &[Value]) {
    let mut client = Client::default();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "{event}");
        match event["type"].as_str().unwrap() {
            "response.created" => assert_eq!(at, 0),
            "response.in_progress" => assert_eq!(at, 1),
            "error" => assert_eq!(at + 1, events.len()),
            "response.completed" | "response.incomplete" => {
                assert_eq!(at + 1, events.len());
                assert!(client.open.iter().all(|open| !open), "all items are closed");
                let strip = |item: &Value| {
                    let members = item.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
                    members
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect::<serde_json::Map<_, _>>()
                };
                let told: Vec<_> = client.items.iter().map(strip).collect();
                let whole: Vec<_> =
                    event["response"]["output"].as_array().unwrap().iter().map(strip).collect();
                assert_eq!(told, whole);
            }
            _ => client.take(event),
        }
    }
    let last = events.last().unwrap()["type"].as_str().unwrap();
    assert!(matches!(last, "error" | "response.completed" | "response.incomplete"), "{last}");
}

proptest! {
    #[test]
    fn clients_get_well_formed_streams_of_messages(
        events in prop::collection::vec(prop::sample::select(MESSAGES), 0..16),
    ) {
        check_stream(&streamed(AnthropicMessages, OpenAiResponses, &events));
    }

    #[test]
    fn clients_get_well_formed_streams_of_chat(
        events in prop::collection::vec(prop::sample::select(CHUNKS), 0..16),
    ) {
        check_stream(&streamed(OpenAiChat, OpenAiResponses, &events));
    }

    /// Blocks are opened and closed in turn, and there is one end.
    #[test]
    fn anthropic_clients_get_well_formed_streams(
        events in prop::collection::vec(prop::sample::select(EVENTS), 0..16),
    ) {
        let got = streamed(OpenAiResponses, AnthropicMessages, &events);
        let (mut opened, mut open) = (0, None);
        for event in &got {
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    prop_assert_eq!((event["index"].as_u64(), open), (Some(opened), None));
                    (open, opened) = (Some(opened), opened + 1);
                }
                "content_block_delta" => prop_assert!(event["index"].as_u64().unwrap() < opened),
                "content_block_stop" => prop_assert_eq!(event["index"].as_u64(), open.take()),
                _ => {}
            }
        }
        let ends = got.iter().filter(|event| event["type"] == "message_stop" || event["type"] == "error");
        prop_assert_eq!(ends.count(), 1);
        prop_assert!(matches!(got.last().unwrap()["type"].as_str(), Some("message_stop" | "error")));
    }

    #[test]
    fn openai_clients_get_well_formed_streams(
        events in prop::collection::vec(prop::sample::select(EVENTS), 0..16),
    ) {
        let got = streamed(OpenAiResponses, OpenAiChat, &events);
        let (last, chunks) = got.split_last().unwrap();
        prop_assert!(*last == "[DONE]" || last["error"].is_object());
        let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
        prop_assert_eq!(finishes, usize::from(*last == "[DONE]"));
    }
}

#[test]
fn what_is_kept_of_a_stream_is_bounded() {
    let mut stream = StreamTranslator::new(OpenAiChat, OpenAiResponses, StreamTerms::default());
    let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(1 << 20));
    let mut tell = || stream.event("", &mut chunk.clone().into_bytes(), &mut Vec::new());
    let told: Vec<_> = (0..17).map(|_| tell()).collect();
    assert!(told[..15].iter().all(Result::is_ok));
    assert_eq!(told[16], Err(BadReply::TooLong));
    let mut out = Vec::new();
    stream.finish(&mut out);
    assert!(out.starts_with(b"event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_error\""));
}

#[test]
fn items_without_text_are_bounded_too() {
    let mut stream = StreamTranslator::new(AnthropicMessages, OpenAiResponses, StreamTerms::default());
    let mut tell = |event: &str| stream.event("", &mut event.as_bytes().to_vec(), &mut Vec::new());
    let mut count = 0;
    while tell(MESSAGES[6]).is_ok() && tell(MESSAGES[4]).is_ok() {
        count += 1;
        assert!(count < 1 << 20, "the items of a stream have no bound");
    }
}

#[test]
fn calls_of_one_stream_are_bounded() {
    let call = |index: u64| {
        let item = format!(r#"{{"type":"function_call","call_id":"c{index}","name":"f"}}"#);
        format!(r#"{{"type":"response.output_item.added","output_index":{index},"item":{item}}}"#)
    };
    let mut stream = StreamTranslator::new(OpenAiResponses, OpenAiChat, StreamTerms::default());
    let told: Vec<_> =
        (0..129).map(|index| stream.event("", &mut call(index).into_bytes(), &mut Vec::new())).collect();
    assert!(told[..128].iter().all(Result::is_ok));
    assert_eq!(told[128], Err(BadReply::TooManyToolCalls));
}

#[test]
fn what_the_gateway_counted_is_reported_when_it_cuts() {
    let mut stream = StreamTranslator::new(AnthropicMessages, OpenAiResponses, StreamTerms::default());
    let mut out = Vec::new();
    stream.event("", &mut MESSAGES[4].as_bytes().to_vec(), &mut out).unwrap();
    out.clear();
    stream.cut(Some(Usage { input: 3, output: 2, ..Usage::default() }), &mut out);
    let text = std::str::from_utf8(&out).unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["response"]["usage"]["total_tokens"], 5);
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "x");
}

fn reply(provider: Format, client: Format, body: &Value) -> Value {
    let mut out = Vec::new();
    let terms = ReplyTerms::default();
    translate::reply(provider, client, &mut body.to_string().into_bytes(), &terms, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn request(from: Format, to: Format, body: &Value) -> Value {
    let mut out = Vec::new();
    translate::request(from, to, &mut body.to_string().into_bytes(), &RequestTerms::default(), &mut out)
        .unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// A client that sends its items back gives a provider its own thoughts back, unchanged.
#[test]
fn thoughts_go_round_through_a_client_of_responses() {
    let content = json!([
        {"type": "thinking", "thinking": "Two calls.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "RW5j"},
        {"type": "thinking", "thinking": "", "signature": "b21pdA=="},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
    ]);
    let message = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": content});
    let mut input = vec![json!({"role": "user", "content": "x"})];
    input.extend(reply(AnthropicMessages, OpenAiResponses, &message)["output"].as_array().unwrap().clone());
    for id in ["toolu_1", "toolu_2"] {
        input.push(json!({"type": "function_call_output", "call_id": id, "output": "y"}));
    }
    let next = request(OpenAiResponses, AnthropicMessages, &json!({"model": "m", "input": input}));
    assert_eq!(next["messages"][1], json!({"role": "assistant", "content": content}));
}

/// And so does a client of another format, when the provider speaks responses.
#[test]
fn thoughts_go_round_through_clients_of_other_formats() {
    let items = json!([
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}], "encrypted_content": "gAAAAAB1"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB2"},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}"},
    ]);
    let response = json!({"id": "resp_1", "status": "completed", "output": items});
    let message = reply(OpenAiResponses, AnthropicMessages, &response);
    let messages = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "y"}]},
    ]);
    let next = request(
        AnthropicMessages,
        OpenAiResponses,
        &json!({"model": "m", "max_tokens": 99, "messages": messages}),
    );
    assert_eq!(next["input"].as_array().unwrap()[1..4], *items.as_array().unwrap());
    assert_eq!(next["include"], json!(["reasoning.encrypted_content"]));
}

/// A stream ends with the response that the same answer would be as a whole.
#[test]
fn a_stream_and_a_whole_answer_say_the_same() {
    let block = |index: u64, start: Value, deltas: &[Value]| {
        let mut events = vec![json!({"type": "content_block_start", "index": index, "content_block": start})];
        events.extend(
            deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
        events
    };
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 3}}});
    let events = [
        vec![start],
        block(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            &[
                json!({"type": "thinking_delta", "thinking": "Hm"}),
                json!({"type": "signature_delta", "signature": "c2"}),
                json!({"type": "signature_delta", "signature": "ln"}),
            ],
        ),
        block(1, json!({"type": "redacted_thinking", "data": "RW5j"}), &[]),
        block(
            2,
            json!({"type": "text", "text": ""}),
            &[
                json!({"type": "text_delta", "text": "Os"}),
                json!({"type": "text_delta", "text": "lo"}),
                json!({"type": "citations_delta", "citation": {"url": "https://x", "title": "T"}}),
            ],
        ),
        block(3, json!({"type": "text", "text": ""}), &[json!({"type": "text_delta", "text": "."})]),
        block(
            4,
            json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
            &[
                json!({"type": "input_json_delta", "partial_json": "{\"a\""}),
                json!({"type": "input_json_delta", "partial_json": ":1}"}),
            ],
        ),
        vec![
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}}),
            json!({"type": "message_stop"}),
        ],
    ];
    let events: Vec<String> = events.concat().iter().map(Value::to_string).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let got = streamed(AnthropicMessages, OpenAiResponses, &events);
    check_stream(&got);
    let whole = json!({"type": "message", "id": "msg_1", "model": "c", "stop_reason": "tool_use", "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "RW5j"},
        {"type": "text", "text": "Oslo", "citations": [{"url": "https://x", "title": "T"}]},
        {"type": "text", "text": "."},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ], "usage": {"input_tokens": 3, "output_tokens": 2}});
    assert_eq!(got.last().unwrap()["response"], reply(AnthropicMessages, OpenAiResponses, &whole));
}
