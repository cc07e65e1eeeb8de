use crate::llm::Format::{self, AnthropicMessages, GeminiGenerate, OpenAiChat};
use crate::llm::translate::{
    BadReply, ReplyTerms, RequestTerms, StreamTerms, StreamTranslator, reply, request,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What comes of a stream: its events, and why it was given up.
fn stream(provider: Format, client: Format, events: &[Value]) -> (Vec<Value>, Option<BadReply>) {
    let mut stream = StreamTranslator::new(provider, client, StreamTerms::default());
    let (mut out, mut bad) = (Vec::new(), None);
    for event in events {
        let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
        if let Err(why) = stream.event("", &mut data.into_bytes(), &mut out) {
            bad = Some(why);
            break;
        }
    }
    stream.finish(&mut out);
    let text = String::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    (data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect(), bad)
}

fn call(index: usize, arguments: &str) -> Value {
    let function = json!({"name": "f", "arguments": arguments});
    let call = json!({"index": index, "id": format!("c{index}"), "function": function});
    json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
}

fn chunk(part: &Value) -> Value {
    json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}], "responseId": "r"})
}

#[test]
fn calls_of_a_stream_are_bounded() {
    let calls: Vec<Value> = (0..129).map(|index| call(index, "{}")).collect();
    assert_eq!(stream(OpenAiChat, GeminiGenerate, &calls).1, Some(BadReply::TooManyToolCalls));
    assert_eq!(stream(OpenAiChat, GeminiGenerate, &calls[..128]).1, None);
    let own = vec![chunk(&json!({"functionCall": {"name": "f"}})); 129];
    assert_eq!(stream(GeminiGenerate, OpenAiChat, &own).1, Some(BadReply::TooManyToolCalls));
    assert_eq!(stream(GeminiGenerate, OpenAiChat, &own[..128]).1, None);
}

#[test]
fn arguments_that_are_collected_are_bounded() {
    let piece = "x".repeat(1 << 20);
    let pieces: Vec<Value> = (0..4).map(|_| call(0, &piece)).collect();
    assert_eq!(stream(OpenAiChat, GeminiGenerate, &pieces).1, None);
    let (events, bad) = stream(OpenAiChat, GeminiGenerate, &[pieces, vec![call(1, "x")]].concat());
    assert_eq!((bad, events.len()), (Some(BadReply::TooLong), 1));
    assert!(events[0]["error"].is_object());
}

#[test]
fn a_signature_that_is_too_long_is_left_out() {
    let signed = |signature: &str| {
        let delta = json!({"type": "signature_delta", "signature": signature});
        let events = [
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "h"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_stop"}),
        ];
        let (events, _) = stream(AnthropicMessages, GeminiGenerate, &events);
        events
            .iter()
            .filter(|event| !event["candidates"][0]["content"]["parts"][0]["thoughtSignature"].is_null())
            .count()
    };
    assert_eq!((signed("abcd"), signed(&"x".repeat(320 << 10))), (1, 0));
}

#[test]
fn citations_are_bounded() {
    let chunks = vec![json!({"web": {"uri": "https://example.com/a", "title": "A"}}); 3];
    let supports = vec![json!({"segment": {"endIndex": 1}, "groundingChunkIndices": [0, 1, 2]}); 1000];
    let grounding = json!({"groundingChunks": chunks, "groundingSupports": supports});
    let content = json!({"parts": [{"text": "x"}]});
    let answer =
        json!({"candidates": [{"content": content, "groundingMetadata": grounding, "finishReason": "STOP"}]});
    let mut out = Vec::new();
    let mut body = answer.to_string().into_bytes();
    reply(GeminiGenerate, OpenAiChat, &mut body, &ReplyTerms::default(), &mut out).unwrap();
    let got: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(got["choices"][0]["message"]["annotations"].as_array().unwrap().len(), 256);
    let told = stream(GeminiGenerate, OpenAiChat, &[answer.clone(), answer]).0;
    let annotated = told.iter().filter(|chunk| chunk["choices"][0]["delta"]["annotations"].is_array());
    assert_eq!(annotated.count(), 256);
}

#[test]
fn ids_that_are_made_are_the_same_whole_and_streamed() {
    let part = json!({"functionCall": {"name": "f", "args": {"a": 1}}});
    for answer in [chunk(&part), json!({"candidates": [{"content": {"parts": [part]}}]})] {
        let mut out = Vec::new();
        let mut body = answer.to_string().into_bytes();
        reply(GeminiGenerate, OpenAiChat, &mut body, &ReplyTerms::default(), &mut out).unwrap();
        let whole: Value = serde_json::from_slice(&out).unwrap();
        let (streamed, _) = stream(GeminiGenerate, OpenAiChat, &[answer]);
        let id = |holder: &Value| holder["tool_calls"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(id(&whole["choices"][0]["message"]), id(&streamed[1]["choices"][0]["delta"]));
    }
}

/// Parts as Gemini gives them: texts, thoughts, calls with and without ids, all of them signed or not.
fn parts() -> impl Strategy<Value = Vec<Value>> {
    let signed = |part: Value, signature: Option<String>| match (part, signature) {
        (Value::Object(mut part), Some(signature)) => {
            part.insert("thoughtSignature".to_owned(), signature.into());
            Value::Object(part)
        }
        (part, _) => part,
    };
    let signature = || prop::option::of("[A-Za-z0-9+/]{4}");
    let text = ("[a-z]{1,4}", signature()).prop_map(move |(text, s)| signed(json!({"text": text}), s));
    let call = ("[a-z]{1,4}", prop::option::of("[a-z0-9]{8}"), signature()).prop_map(move |(name, id, s)| {
        let mut call = json!({"name": name, "args": {"a": 1}});
        if let Some(id) = id {
            call["id"] = id.into();
        }
        signed(json!({"functionCall": call}), s)
    });
    prop::collection::vec(prop_oneof![text, call], 1..6)
}

/// The answer as a client of the format keeps it for the next request.
fn kept(client: Format, answer: &Value) -> Value {
    match client {
        OpenAiChat => answer["choices"][0]["message"].clone(),
        _ => json!({"role": "assistant", "content": answer["content"]}),
    }
}

/// What Gemini gets back of an answer that a client of another format keeps, with results of all its calls.
fn given_back(client: Format, answer: &Value, results: bool) -> Value {
    let kept = kept(client, answer);
    let mut messages = vec![json!({"role": "user", "content": "x"}), kept.clone()];
    if results && client == OpenAiChat {
        let calls = kept["tool_calls"].as_array().into_iter().flatten();
        messages
            .extend(calls.map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "y"})));
    }
    let body = json!({"model": "gemini-2.5-pro", "max_tokens": 9, "messages": messages});
    let mut out = Vec::new();
    let terms = RequestTerms::default();
    request(client, GeminiGenerate, &mut body.to_string().into_bytes(), &terms, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn answered(client: Format, parts: &[Value]) -> Value {
    let answer = json!({"candidates": [{"content": {"parts": parts, "role": "model"}}], "responseId": "r1"});
    let mut out = Vec::new();
    let mut body = answer.to_string().into_bytes();
    reply(GeminiGenerate, client, &mut body, &ReplyTerms::default(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

proptest! {
    /// What Gemini said comes back to it word for word through a client of Anthropic's, signatures and all.
    #[test]
    fn anthropic_clients_give_back_what_gemini_gave(parts in parts()) {
        let back = given_back(AnthropicMessages, &answered(AnthropicMessages, &parts), false);
        prop_assert_eq!(&back["contents"][1]["parts"], &Value::from(parts));
    }

    /// OpenAI's clients keep texts and calls apart, but each call keeps its signature, and its id if it had one.
    #[test]
    fn openai_clients_give_back_calls_as_gemini_gave_them(parts in parts()) {
        let back = given_back(OpenAiChat, &answered(OpenAiChat, &parts), true);
        let is_call = |part: &&Value| part["functionCall"].is_object();
        let calls = |parts: &Value| parts.as_array().unwrap().iter().filter(is_call).cloned().collect::<Vec<_>>();
        let given = calls(&Value::from(parts));
        for (given, back) in given.iter().zip(calls(&back["contents"][1]["parts"])) {
            prop_assert_eq!(&given["functionCall"], &back["functionCall"]);
            if !given["thoughtSignature"].is_null() {
                prop_assert_eq!(&given["thoughtSignature"], &back["thoughtSignature"]);
            }
        }
        let results = &back["contents"][2]["parts"];
        for (given, result) in given.iter().zip(results.as_array().into_iter().flatten()) {
            prop_assert_eq!(&given["functionCall"]["name"], &result["functionResponse"]["name"]);
            prop_assert_eq!(&given["functionCall"]["id"], &result["functionResponse"]["id"]);
        }
    }

    /// Pieces of a stream make the same blocks as the whole answer.
    #[test]
    fn a_stream_of_parts_is_the_whole_of_them(parts in parts()) {
        let whole = answered(AnthropicMessages, &parts);
        let chunks: Vec<Value> = parts.iter().map(chunk).collect();
        let (events, _) = stream(GeminiGenerate, AnthropicMessages, &chunks);
        let starts = |kind: &str| events.iter().filter(|event| event["content_block"]["type"] == kind).count();
        let blocks = whole["content"].as_array().unwrap();
        for kind in ["tool_use", "thinking"] {
            prop_assert_eq!(blocks.iter().filter(|block| block["type"] == kind).count(), starts(kind));
        }
        let joined = |values: &[Value], of: fn(&Value) -> &Value| -> String {
            values.iter().filter_map(|value| of(value).as_str().map(str::to_owned)).collect()
        };
        prop_assert_eq!(joined(blocks, |b| &b["text"]), joined(&events, |e| &e["delta"]["text"]));
        prop_assert_eq!(joined(blocks, |b| &b["signature"]), joined(&events, |e| &e["delta"]["signature"]));
    }

    /// Whatever Gemini sends in whatever order, Anthropic's clients get blocks that are opened and closed in turn, and
    /// OpenAI's one end.
    #[test]
    fn clients_get_well_formed_streams(events in prop::collection::vec(prop::sample::select(GEMINI), 0..12)) {
        let events: Vec<Value> = events.iter().map(|event| Value::from(*event)).collect();
        let (got, _) = stream(GeminiGenerate, AnthropicMessages, &events);
        let (mut opened, mut open) = (0, None);
        for event in &got {
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    prop_assert_eq!((event["index"].as_u64(), open), (Some(opened), None));
                    (open, opened) = (Some(opened), opened + 1);
                }
                "content_block_delta" => prop_assert_eq!(event["index"].as_u64(), open),
                "content_block_stop" => prop_assert_eq!(event["index"].as_u64(), open.take()),
                "message_delta" => prop_assert_eq!(open, None),
                _ => {}
            }
        }
        prop_assert!(matches!(got.last().unwrap()["type"].as_str(), Some("message_stop" | "error")));
        let (got, _) = stream(GeminiGenerate, OpenAiChat, &events);
        let (last, chunks) = got.split_last().unwrap();
        let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
        prop_assert_eq!(finishes, usize::from(last == "[DONE]"));
        prop_assert!(last == "[DONE]" || last["error"].is_object());
    }

    /// Whatever others send, Gemini's clients get chunks, of which the last has the finish reason and usage, or an error.
    #[test]
    fn gemini_clients_get_well_formed_streams(
        of_openai in prop::collection::vec(prop::sample::select(OPENAI), 0..12),
        of_anthropic in prop::collection::vec(prop::sample::select(ANTHROPIC), 0..12),
    ) {
        for (provider, events) in [(OpenAiChat, of_openai), (AnthropicMessages, of_anthropic)] {
            let events: Vec<Value> = events.iter().map(|event| Value::from(*event)).collect();
            let (got, _) = stream(provider, GeminiGenerate, &events);
            let (last, chunks) = got.split_last().unwrap();
            for chunk in chunks {
                let candidate = &chunk["candidates"][0];
                let part = &candidate["content"]["parts"][0];
                prop_assert!(part["text"].is_string() || part["functionCall"]["args"].is_object(), "{}", chunk);
                prop_assert!(candidate["finishReason"].is_null() && chunk["responseId"].is_string());
            }
            let ended = last["candidates"][0]["finishReason"].is_string() && last["usageMetadata"].is_object();
            prop_assert!(ended || last["error"]["status"].is_string(), "{}", last);
        }
    }
}

const GEMINI: &[&str] = &[
    r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"responseId":"r"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"h","thought":true}]}}],"responseId":"r"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"x","thoughtSignature":"Zg=="}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"Zg=="}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"Zg=="},{"functionCall":{"name":"g"}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":7},{"executableCode":{}},7]}}]}"#,
    r#"{"candidates":[{"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}]}}]}"#,
    r#"{"candidates":[{"logprobsResult":{"chosenCandidates":[{"token":"x"}]}}]}"#,
    r#"{"candidates":[{"finishReason":"SAFETY","finishMessage":"no"}]}"#,
    r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
    r#"{"usageMetadata":{"promptTokenCount":3}}"#,
    r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
    r#"[{"error":{"code":503}}]"#,
    "{",
];

const OPENAI: &[&str] = &[
    r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"x"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"reasoning":"h"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"refusal":"no"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"annotations":[{"url_citation":{"url":"u","start_index":1,"end_index":0}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"x","logprob":-1}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "[DONE]",
    "{",
];

const ANTHROPIC: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":3}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"url":"u"}}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}"#,
    r#"{"type":"message_stop"}"#,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
    "{",
];
