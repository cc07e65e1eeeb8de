use super::*;
use crate::llm::translate::{StreamTerms, StreamTranslator};
use crate::llm::{Format, Meter};
use Format::{AnthropicMessages, GeminiGenerate, OpenAiChat, OpenAiResponses};
use proptest::prelude::*;
use serde_json::Value;

const USAGE: Usage = Usage { input: 30, cached_input: 10, output: 7, reasoning: 2, ..Usage::none() };

const CHAT: &str = r#"data: {"id":"c\"1","object":"chat.completion.chunk","created":17,"model":"m\u00e9","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"id":"c\"1","object":"chat.completion.chunk","created":17,"model":"m\u00e9","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}

: keep alive

data: {"id":"c\"1","object":"chat.completion.chunk","created":17,"model":"m\u00e9","system_fingerprint":"fp","choices":[{"finish_reason":"stop","delta":{},"index":0}]}

data: {"id":"c\"1","object":"chat.completion.chunk","created":17,"model":"m\u00e9","system_fingerprint":"fp","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}

data: [DONE]

"#;

const CHOICES: &str = r#"data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[]}

data: {"id":"c","created":5,"model":"m","choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}

data: {"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"a"}},{"index":2,"delta":{}}]}

data: {"id":"c","created":5,"model":"m","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":2,"finish_reason":"stop"}]}

data: [DONE]

"#;

const MESSAGE: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}},"type":"content_block_start"}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"index\":"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}

event: message_stop
data: {"type":"message_stop"}

"#;

const RESPONSE: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":17,"status":"in_progress","model":"m\u00e9","output":[],"usage":null,"tools":[{"id":"no","model":"no"}]}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message"},"sequence_number":1}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"a","sequence_number":4}

event: response.completed
data: {"type":"response.completed","sequence_number":5,"response":{"id":"resp_1","status":"completed","usage":{"input_tokens":3,"output_tokens":2}}}

"#;

const GEMINI: &str = r#"data: {"candidates": [{"content": {"parts": [{"text": "a"}],"role": "model"}}],"usageMetadata": {"promptTokenCount": 3},"modelVersion": "g","responseId": "r"}

data: {"candidates": [{"content": {"parts": [{"text": "b"}]},"index": 2}],"modelVersion": "g","responseId": "r"}

data: {"candidates": [{"finishReason": "STOP","index": 2}],"modelVersion": "g","responseId": "r"}

data: {"candidates": [{"content": {"parts": [{"text": "c"}]},"finishReason": "STOP","index": 0}],"modelVersion": "g","responseId": "r"}

"#;

const STREAMS: [(Format, &str); 5] = [
    (OpenAiChat, CHAT),
    (OpenAiChat, CHOICES),
    (AnthropicMessages, MESSAGE),
    (OpenAiResponses, RESPONSE),
    (GeminiGenerate, GEMINI),
];

fn crlf(stream: &str) -> String {
    stream.replace('\n', "\r\n")
}

/// The stream cut at the first boundary at or after `at`, or `None` when it was over there.
fn cut(format: Format, stream: &[u8], at: usize, include_usage: bool) -> Option<String> {
    let mut cutter = Cutter::new(format);
    cutter.feed(&stream[..at]);
    let more = cutter.boundary_in(&stream[at..])?;
    cutter.feed(&stream[at..at + more]);
    assert!(cutter.at_boundary());
    let mut out = stream[..at + more].to_vec();
    let wrote = cutter.finish(&USAGE, include_usage, &mut out);
    assert_eq!(wrote, out.len() > at + more);
    assert_eq!(wrote, !cutter.is_over());
    Some(String::from_utf8(out).unwrap())
}

/// The data of the events of a stream whose events have one line of it.
fn data(stream: &str) -> Vec<Value> {
    let lines = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data))).collect()
}

/// Every choice that was begun has one finish reason, the members of all chunks agree, `[DONE]` comes last and once.
fn check_chat(stream: &str) {
    let events = data(stream);
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "[DONE]", "{stream}");
    assert!(!chunks.is_empty() && chunks.iter().all(Value::is_object), "{stream}");
    let choices = || chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
    assert!(choices().count() > 0, "{stream}");
    for index in choices().map(|choice| &choice["index"]) {
        let finishes =
            choices().filter(|choice| choice["index"] == *index && choice["finish_reason"].is_string());
        assert_eq!(finishes.count(), 1, "{stream}");
    }
    assert!(chunks.iter().filter(|chunk| chunk["usage"].is_object()).count() <= 1, "{stream}");
    let last = chunks.last().unwrap();
    let named = |chunk: &&Value| chunk["id"] != "" && chunk["created"].is_u64();
    for chunk in chunks.iter().filter(named) {
        for name in ["id", "created", "model", "system_fingerprint"] {
            assert!(last["created"].is_null() || chunk[name] == last[name], "{name}: {stream}");
        }
    }
}

/// Blocks are opened and closed in turn, and the message ends once.
fn check_message(stream: &str) {
    let events = data(stream);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "message_start", "{stream}");
    assert_eq!(kinds[kinds.len() - 2..], ["message_delta", "message_stop"], "{stream}");
    for kind in ["message_start", "message_delta", "message_stop"] {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), 1, "{stream}");
    }
    let mut open = None;
    for event in &events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => assert_eq!(open.replace(&event["index"]), None, "{stream}"),
            "content_block_stop" => assert_eq!(open.take(), Some(&event["index"]), "{stream}"),
            "content_block_delta" => assert_eq!(open, Some(&event["index"]), "{stream}"),
            _ => {}
        }
    }
    assert_eq!(open, None, "{stream}");
    for (name, event) in stream.lines().filter_map(|line| line.strip_prefix("event: ")).zip(&events) {
        assert_eq!(event["type"], name);
    }
}

/// The numbers go up, and one event ends the response.
fn check_response(stream: &str) {
    let events = data(stream);
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{stream}");
    let (last, before) = events.split_last().unwrap();
    assert!(
        ["response.completed", "response.incomplete"].contains(&last["type"].as_str().unwrap()),
        "{stream}"
    );
    assert_eq!(before.first().map_or(&last["type"], |first| &first["type"]), "response.created", "{stream}");
    assert!(before.iter().all(|event| event["response"]["usage"].is_null()), "{stream}");
    assert!(last["response"]["usage"]["input_tokens"].is_u64(), "{stream}");
    for (name, event) in stream.lines().filter_map(|line| line.strip_prefix("event: ")).zip(&events) {
        assert_eq!(event["type"], name);
    }
}

/// Every candidate that was begun has one finish reason.
fn check_gemini(stream: &str) {
    let chunks = data(stream);
    let candidates = || chunks.iter().flat_map(|chunk| chunk["candidates"].as_array().unwrap());
    let index = |candidate: &Value| candidate["index"].as_u64().unwrap_or(0);
    assert!(candidates().count() > 0, "{stream}");
    for wanted in candidates().map(index) {
        let ends = candidates().filter(|one| index(one) == wanted && one["finishReason"].is_string());
        assert_eq!(ends.count(), 1, "{stream}");
    }
    let names = chunks.iter().map(|chunk| (&chunk["modelVersion"], &chunk["responseId"]));
    assert!(chunks.len() == 1 || names.clone().all(|name| Some(name) == names.clone().next()), "{stream}");
}

fn check(format: Format, stream: &str) {
    match format {
        OpenAiChat => check_chat(stream),
        AnthropicMessages => check_message(stream),
        OpenAiResponses => check_response(stream),
        _ => check_gemini(stream),
    }
}

/// What the project's own readers say: complete, nothing malformed, and translated to its end.
fn check_read(format: Format, stream: &str) {
    let mut meter = Meter::new(format, true);
    meter.feed(stream.as_bytes());
    assert!(meter.complete() && meter.malformed() == 0 && !meter.failed(), "{stream}");
    if !matches!(format, OpenAiChat | AnthropicMessages) {
        return; // it is not translated
    }
    let other = if format == OpenAiChat { AnthropicMessages } else { OpenAiChat };
    let mut translator = StreamTranslator::new(format, other, StreamTerms::default());
    let mut out = Vec::new();
    for event in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        translator.event("", &mut event.as_bytes().to_vec(), &mut out).unwrap();
    }
    let len = out.len();
    translator.finish(&mut out);
    assert_eq!(out.len(), len, "the translator saw the end: {stream}");
    let mut meter = Meter::new(other, true);
    meter.feed(&out);
    assert!(meter.complete() && !meter.failed(), "{stream}");
}

#[test]
fn a_stream_cut_anywhere_is_well_formed() {
    for (format, stream) in STREAMS {
        for stream in [stream.to_owned(), crlf(stream)] {
            for at in 0..=stream.len() {
                for include_usage in [false, true] {
                    let cut = cut(format, stream.as_bytes(), at, include_usage).expect("a boundary");
                    check_read(format, &cut);
                    check(format, &cut);
                }
            }
        }
    }
}

#[test]
fn what_is_appended_is_exactly_this() {
    let chunk = r#"data: {"id":"c\"1","object":"chat.completion.chunk","created":17,"model":"mé","system_fingerprint":"fp","choices":"#;
    let last = r#"[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]"#;
    let usage = r#"[],"usage":{"prompt_tokens":30,"completion_tokens":7,"total_tokens":37,"prompt_tokens_details":{"cached_tokens":10},"completion_tokens_details":{"reasoning_tokens":2}}"#;
    let done = "data: [DONE]\n\n";
    let unseen = r#"data: {"id":"","object":"chat.completion.chunk","created":0,"model":"","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":"length"}]}"#;
    let started = r#"event: message_start
data: {"type":"message_start","message":{"id":"","type":"message","role":"assistant","model":"","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":10,"output_tokens":0}}}"#;
    let closed = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n";
    let stopped = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\",\
        \"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n";
    let ended = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let response = |number: u64,
                    kind: &str,
                    id: &str,
                    made: u64,
                    status: &str,
                    details: &str,
                    model: &str,
                    usage: &str| {
        format!(
            "event: response.{kind}\ndata: {{\"type\":\"response.{kind}\",\"sequence_number\":{number},\"response\":{{\"id\":\"{id}\",\
             \"object\":\"response\",\"created_at\":{made},\"status\":\"{status}\",\"error\":null,\"incomplete_details\":{details},\
             \"instructions\":null,\"metadata\":{{}},\"model\":\"{model}\",\"output\":[],\"parallel_tool_calls\":true,\
             \"temperature\":null,\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"usage\":{usage}}}}}\n\n"
        )
    };
    let details = r#"{"reason":"max_output_tokens"}"#;
    let counted = r#"{"input_tokens":30,"input_tokens_details":{"cached_tokens":10},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":37}"#;
    let unbegun = response(0, "created", "", 0, "in_progress", "null", "", "null")
        + &response(1, "incomplete", "", 0, "incomplete", details, "", counted);
    let incomplete =
        |number| response(number, "incomplete", "resp_1", 17, "incomplete", details, "mé", counted);
    let ended_candidate = |index: u64| {
        format!(
            r#"{{"content":{{"parts":[{{"text":""}}],"role":"model"}},"finishReason":"MAX_TOKENS","index":{index}}}"#
        )
    };
    let chunk_of = |candidates: &str, names: &str| {
        format!(
            r#"data: {{"candidates":[{candidates}],"usageMetadata":{{"promptTokenCount":30,"candidatesTokenCount":5,"totalTokenCount":37,"cachedContentTokenCount":10,"thoughtsTokenCount":2}}{names}}}"#
        ) + "\n\n"
    };
    let names = r#","modelVersion":"g","responseId":"r""#;
    let both = format!("{},{}", ended_candidate(0), ended_candidate(2));
    // Format, stream, after how many blank lines it is cut, whether usage was asked for, what must follow.
    let rows = [
        (OpenAiChat, CHAT, 0, false, format!("{unseen}\n\n{done}")),
        (OpenAiChat, CHAT, 1, false, format!("{chunk}{last}}}\n\n{done}")),
        (OpenAiChat, CHAT, 3, true, format!("{chunk}{last},\"usage\":null}}\n\n{chunk}{usage}}}\n\n{done}")),
        (OpenAiChat, CHAT, 4, true, format!("{chunk}{usage}}}\n\n{done}")),
        (OpenAiChat, CHAT, 4, false, done.to_owned()),
        (OpenAiChat, CHAT, 5, true, done.to_owned()),
        (OpenAiChat, CHAT, 6, true, String::new()),
        (AnthropicMessages, MESSAGE, 0, true, format!("{started}\n\n{stopped}{ended}")),
        (AnthropicMessages, MESSAGE, 1, true, format!("{stopped}{ended}")),
        (AnthropicMessages, MESSAGE, 5, false, format!("{stopped}{ended}")),
        (AnthropicMessages, MESSAGE, 7, false, format!("{closed}{stopped}{ended}")),
        (AnthropicMessages, MESSAGE, 9, false, ended.to_owned()),
        (AnthropicMessages, MESSAGE, 10, false, String::new()),
        (OpenAiResponses, RESPONSE, 0, false, unbegun),
        (OpenAiResponses, RESPONSE, 2, false, incomplete(2)),
        (OpenAiResponses, RESPONSE, 3, true, incomplete(5)),
        (OpenAiResponses, RESPONSE, 4, false, String::new()),
        (GeminiGenerate, GEMINI, 0, false, chunk_of(&ended_candidate(0), "")),
        (GeminiGenerate, GEMINI, 1, false, chunk_of(&ended_candidate(0), names)),
        (GeminiGenerate, GEMINI, 2, true, chunk_of(&both, names)),
        (GeminiGenerate, GEMINI, 3, false, chunk_of(&ended_candidate(0), names)),
        (GeminiGenerate, GEMINI, 4, false, String::new()),
    ];
    for (format, stream, events, include_usage, expect) in rows {
        let at: usize = stream.split_inclusive("\n\n").take(events).map(str::len).sum();
        let cut = cut(format, stream.as_bytes(), at, include_usage).unwrap();
        assert_eq!(&cut[at..], expect, "{format:?} after {events}");
    }
}

#[test]
fn nothing_is_written_inside_an_event_or_after_an_error() {
    let rows = [
        (OpenAiChat, "data: {\"choices\":[]}", None),
        (OpenAiChat, "data: [DONE]\n", None),
        (OpenAiChat, ": note\n", None),
        (OpenAiChat, "data: {\"error\":{\"message\":\"m\"}}\n\n", Some(0)),
        (OpenAiChat, "data: {\"error\":\"m\"}\n\n", Some(0)),
        (AnthropicMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n", Some(0)),
        (AnthropicMessages, "event: error\n", None),
        (OpenAiResponses, "event: error\ndata: {\"type\":\"error\",\"message\":\"m\"}\n\n", Some(0)),
        (OpenAiResponses, "data: {\"type\":\"response.failed\"}\n\n", Some(0)),
        (GeminiGenerate, "data: {\"error\":{\"code\":503}}\r\n\r\n", Some(0)),
        (GeminiGenerate, "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", Some(0)),
    ];
    for (format, stream, boundary) in rows {
        let (mut cutter, mut out) = (Cutter::new(format), Vec::new());
        cutter.feed(stream.as_bytes());
        assert_eq!(cutter.boundary_in(b""), boundary, "{stream:?}");
        assert!(!cutter.finish(&USAGE, true, &mut out) && out.is_empty(), "{stream:?}");
    }
}

#[test]
fn a_boundary_is_found_whatever_ends_the_lines() {
    let rows: [(&str, &str, Option<usize>); 8] = [
        ("", "data: a\n\n", Some(0)),
        ("data: a", "b\n\ndata: c\n\n", Some(3)),
        ("data: a\n", "\ndata", Some(1)),
        ("data: a\r\n\r", "\ndata", Some(0)),
        ("data: a\r", "\n\r\n", Some(2)),
        ("data: a\r", "\r", Some(1)),
        ("data: a\n\nevent: b", "\ndata: c\n", None),
        ("data: a\r\n\r\n", ": c\n\n", Some(0)),
    ];
    for (passed, next, expect) in rows {
        let mut cutter = Cutter::new(OpenAiChat);
        cutter.feed(passed.as_bytes());
        assert_eq!(cutter.boundary_in(next.as_bytes()), expect, "{passed:?} {next:?}");
    }
}

#[test]
fn events_that_are_no_json_change_nothing_and_names_are_bounded() {
    let long = "é".repeat(NAME_BYTES_MAX);
    let stream = format!(
        "data: {{\"id\":\"half\ndata: {{\n\ndata: {{\"id\":\"{long}\",\ndata: \"choices\":[{{\"index\":999}}]}}\n\n\
         data: {{\"choices\":[{{\"index\":3,\"finish_reason\":\"stop\"}}]\n\n"
    );
    let cut = cut(OpenAiChat, stream.as_bytes(), stream.len(), false).unwrap();
    let last: Value = data(&cut).pop().unwrap();
    assert_eq!(last, "[DONE]");
    let end = &data(&cut[stream.len()..])[0];
    assert_eq!(end["id"], "é".repeat(NAME_BYTES_MAX / 2));
    assert_eq!(end["choices"][0]["index"], 0);
}

#[test]
fn blocks_that_are_open_together_are_closed_up_to_the_bound() {
    let start = |index: usize| format!("data: {{\"type\":\"content_block_start\",\"index\":{index}}}\n\n");
    let stream: String = (0..20).map(start).collect();
    let cut = cut(AnthropicMessages, stream.as_bytes(), stream.len(), false).unwrap();
    let closed = data(&cut).iter().filter(|event| event["type"] == "content_block_stop").count();
    assert_eq!(closed, 16);
}

proptest! {
    /// The pieces in which the bytes came do not matter.
    #[test]
    fn any_split_of_the_bytes_gives_the_same_end(which in 0..STREAMS.len(), at in 0..4000usize, piece in 1..60usize, wide: bool) {
        let (format, stream) = STREAMS[which];
        let stream = if wide { crlf(stream) } else { stream.to_owned() };
        let stream = &stream.as_bytes()[..at.min(stream.len())];
        let (mut whole, mut pieces) = (Cutter::new(format), Cutter::new(format));
        whole.feed(stream);
        stream.chunks(piece).for_each(|piece| pieces.feed(piece));
        prop_assert_eq!(whole.at_boundary(), pieces.at_boundary());
        prop_assert_eq!(whole.is_over(), pieces.is_over());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        prop_assert_eq!(whole.finish(&USAGE, true, &mut one), pieces.finish(&USAGE, true, &mut other));
        prop_assert_eq!(one, other);
    }
}
