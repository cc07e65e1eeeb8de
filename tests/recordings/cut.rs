//! Streams of providers, ended early after every event: the client must see a proper end. And guarded: nothing that is to be
//! masked passes, and all else does.
//!
//! The golden streams of the translation are part of the repository. Without the recordings these tests check them alone.

use crate::recordings;
use Format::{AnthropicMessages, GeminiGenerate, OpenAiChat, OpenAiResponses};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tollgate::llm::guard::{Action, Guard, Masker, Pattern};
use tollgate::llm::translate::{StreamTerms, StreamTranslator};
use tollgate::llm::{Cutter, Format, Meter, Usage};
use tollgate::wire::sse;

const COUNTED: Usage = Usage { input: 900, output: 77, ..Usage::none() };

#[test]
fn a_passing_stream_is_cut_after_every_event() {
    let mut ends = 0;
    for Stream { name, format, body } in streams() {
        let begins_at_start =
            data(body.as_bytes()).first().is_none_or(|first| first.contains("message_start"));
        if format == AnthropicMessages && !begins_at_start {
            continue; // golden streams begin in the middle too; how they end is nobody's promise
        }
        let mut cutter = Cutter::new(format);
        let mut at = 0;
        while at <= body.len() && !cutter.is_over() {
            let mut cut = body.as_bytes()[..at].to_vec();
            assert!(cutter.finish(&COUNTED, true, &mut cut), "{name} at {at}");
            ends += 1;
            check(format, &cut, &name);
            let Some(next) = next_boundary(&body, at) else { break };
            // In two pieces, of which the first ends inside the event.
            let middle = at + (next - at) / 2;
            cutter.feed(&body.as_bytes()[at..middle]);
            // Where lines end in CRLF, the last LF may still come.
            let lf = usize::from(body[..next].ends_with("\r\n"));
            let boundary = cutter.boundary_in(&body.as_bytes()[middle..]);
            assert_eq!(boundary, Some(next - middle - lf), "{name}");
            assert!(!cutter.at_boundary() && !cutter.finish(&COUNTED, true, &mut cut), "{name}");
            cutter.feed(&body.as_bytes()[middle..next]);
            at = next;
        }
        assert!(cutter.is_over() || !body.contains("[DONE]"), "{name}");
    }
    assert!(ends > 100, "only {ends}");
    eprintln!("{ends} cuts checked");
}

#[test]
fn a_translated_stream_is_cut_after_every_event() {
    let mut ends = 0;
    let translated = |stream: &Stream| matches!(stream.format, OpenAiChat | AnthropicMessages);
    for Stream { name, format, body } in streams().into_iter().filter(translated) {
        let client = if format == OpenAiChat { AnthropicMessages } else { OpenAiChat };
        let events = data(body.as_bytes());
        for after in 0..events.len() {
            let terms = StreamTerms { include_usage: true, ..StreamTerms::default() };
            let mut translator = StreamTranslator::new(format, client, terms);
            let mut out = Vec::new();
            // Golden streams hold faults too; what comes behind one never passes.
            let passed = events[..after]
                .iter()
                .all(|event| translator.event("", &mut event.clone().into_bytes(), &mut out).is_ok());
            if !passed {
                break;
            }
            translator.cut(Some(COUNTED), &mut out);
            if !String::from_utf8_lossy(&out).contains("\"error\"") {
                ends += 1;
                check(client, &out, &name);
            }
        }
    }
    assert!(ends > 100, "only {ends}");
    eprintln!("{ends} cuts checked");
}

/// What a guard with this pattern makes of a stream that arrives in pieces of so many bytes: the data of its events.
fn guarded(stream: &Stream, pattern: &str, size: usize) -> Vec<String> {
    let pattern = Pattern::custom(pattern, "X").expect("it compiles");
    let mut masker = Masker::new(stream.format, Arc::new(Guard::new([(vec![pattern], Action::Mask)])));
    let mut out = Vec::new();
    for bytes in stream.body.as_bytes().chunks(size) {
        masker.feed(bytes, &mut out).expect("no event is too long");
    }
    masker.finish(&mut out);
    data(&out)
}

/// Takes out the probabilities of tokens, which a guard does not let pass.
fn without_probabilities(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_probabilities),
        Value::Object(members) => {
            members.retain(|name, _| !matches!(name.as_str(), "logprobs" | "logprobsResult"));
            members.values_mut().for_each(without_probabilities);
        }
        _ => {}
    }
}

/// The running texts in an event, by the names that they have in some format.
fn texts<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v str>) {
    const NAMES: [&str; 8] = [
        "content",
        "text",
        "thinking",
        "partial_json",
        "arguments",
        "reasoning",
        "reasoning_content",
        "delta",
    ];
    match value {
        Value::String(text) if NAMES.contains(&name) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, name, found)),
        Value::Object(members) => members.iter().for_each(|(name, value)| texts(value, name, found)),
        _ => {}
    }
}

#[test]
fn a_guard_that_finds_nothing_lets_every_event_pass() {
    let (mut events, parse) =
        (0, |data: &String| serde_json::from_str(data).unwrap_or_else(|_| data.as_str().into()));
    for stream in streams() {
        for size in [usize::MAX, 100] {
            // Every letter could begin it.
            let passed: Vec<Value> = guarded(&stream, r"[\w ]+\x01", size).iter().map(parse).collect();
            let mut before: Vec<Value> = data(stream.body.as_bytes()).iter().map(parse).collect();
            let mut after = passed;
            before.iter_mut().chain(&mut after).for_each(without_probabilities);
            assert_eq!(after, before, "{}", stream.name);
            events += after.len();
        }
    }
    assert!(events > 100, "only {events}");
    eprintln!("{events} events passed");
}

#[test]
fn what_a_guard_masks_is_in_no_event() {
    let mut masked = 0;
    for stream in streams() {
        for event in guarded(&stream, "[a-z]{3,}", 1_000) {
            let Ok(event) = serde_json::from_str::<Value>(&event) else { continue };
            let mut found = Vec::new();
            texts(&event, "", &mut found);
            for text in found {
                let longest = text.split(|c: char| !c.is_ascii_lowercase()).map(str::len).max();
                assert!(longest.unwrap_or(0) < 3, "{}: {text:?} in {event}", stream.name);
                masked += text.matches("<X>").count();
            }
        }
    }
    // The golden streams alone hold some; the recordings, where they are, thousands.
    assert!(masked > 10, "only {masked}");
    eprintln!("{masked} words masked");
}

/// A stream in its provider's format.
struct Stream {
    name: String,
    format: Format,
    body: String,
}

fn streams() -> Vec<Stream> {
    let mut streams = golden("openai-to-anthropic", OpenAiChat);
    streams.extend(golden("anthropic-to-openai", AnthropicMessages));
    let mut recorded = |folder: String, format| streams.extend(recorded(&folder, format));
    for provider in ["openai", "azure", "deepseek", "groq", "mistral", "openrouter", "router.huggingface.co"]
    {
        recorded(format!("{provider}/chat-stream"), OpenAiChat);
    }
    recorded("anthropic/messages-stream".to_owned(), AnthropicMessages);
    for provider in ["openai", "deepseek", "x"] {
        recorded(format!("{provider}/responses-stream"), OpenAiResponses);
    }
    for provider in ["gemini", "vertex"] {
        recorded(format!("{provider}/streamGenerateContent"), GeminiGenerate);
    }
    streams
}

/// The provider's side of the golden streams; those with an event that is no JSON are left out.
fn golden(folder: &str, format: Format) -> Vec<Stream> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/translate/stream").join(folder);
    let mut streams = Vec::new();
    for (name, case) in recordings::files(&folder) {
        let events = case["events"].as_array().expect("events");
        if events.iter().any(|event| event.as_str().is_some_and(|text| text != "[DONE]")) {
            continue;
        }
        let mut body = Vec::new();
        for event in events {
            let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
            sse::write(&mut body, event["type"].as_str().unwrap_or_default(), data.as_bytes());
        }
        streams.push(Stream { name, format, body: String::from_utf8(body).expect("UTF-8") });
    }
    assert!(streams.len() > 5, "golden streams of {format:?}");
    streams
}

fn recorded(folder: &str, format: Format) -> impl Iterator<Item = Stream> {
    let good = recordings::load(folder).into_iter().filter(|case| case.status == 200);
    good.map(move |case| Stream { name: case.name, format, body: case.body })
}

/// Where the event after `at` ends, by its blank line.
fn next_boundary(body: &str, at: usize) -> Option<usize> {
    let rest = &body[at..];
    let ends = ["\n\n", "\r\n\r\n"].into_iter().filter_map(|blank| Some(rest.find(blank)? + blank.len()));
    ends.min().map(|end| at + end)
}

/// Complete by the project's own readers, one end and not two, stopped by length unless it was finished before.
fn check(format: Format, stream: &[u8], name: &str) {
    let mut meter = Meter::new(format, true);
    meter.feed(stream);
    let shown = || format!("{name}\n{}", String::from_utf8_lossy(stream));
    assert!(meter.complete() && meter.malformed() == 0, "{}", shown());
    let events = data(stream);
    let parsed: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
    let (end, ends) = match format {
        OpenAiChat => ("[DONE]", events.iter().filter(|event| *event == "[DONE]").count()),
        AnthropicMessages => ("message_stop", parsed.iter().filter(|e| e["type"] == "message_stop").count()),
        OpenAiResponses => ("response.", parsed.iter().filter(|e| is_end_of_response(e)).count()),
        _ => {
            ("finishReason", parsed.iter().filter(|e| e["candidates"][0]["finishReason"].is_string()).count())
        }
    };
    assert_eq!(ends, 1, "{}", shown());
    assert!(events.last().is_some_and(|last| last.contains(end)), "{}", shown());
    match format {
        OpenAiChat => check_choices(&parsed, &shown),
        AnthropicMessages => check_blocks(&parsed, &shown),
        OpenAiResponses => check_response(&parsed, &shown),
        _ => assert!(parsed.last().is_some_and(|last| last["usageMetadata"].is_object()), "{}", shown()),
    }
}

fn is_end_of_response(event: &Value) -> bool {
    matches!(event["type"].as_str(), Some("response.completed" | "response.incomplete"))
}

fn check_response(events: &[Value], shown: &dyn Fn() -> String) {
    // The oldest recordings have no numbers.
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{}", shown());
    let response =
        |event: &Value| ["id", "object", "created_at", "model"].map(|name| event["response"][name].clone());
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!(first["type"] == "response.created", events.len() > 1, "{}", shown());
    assert_eq!(response(first), response(last), "{}", shown());
    assert!(last["response"]["usage"]["output_tokens"].is_u64(), "{}", shown());
}

fn check_choices(chunks: &[Value], shown: &dyn Fn() -> String) {
    let choices = || chunks.iter().flat_map(|chunk| chunk["choices"].as_array().into_iter().flatten());
    assert!(choices().count() > 0, "{}", shown());
    let index = |choice: &Value| choice["index"].as_u64().unwrap_or_default();
    for wanted in choices().map(index) {
        let finishes = choices().filter(|choice| index(choice) == wanted);
        let finishes =
            finishes.filter(|choice| choice["finish_reason"].as_str().is_some_and(|r| !r.is_empty()));
        assert!(finishes.count() >= 1, "{}", shown());
    }
    assert!(chunks.iter().any(|chunk| chunk["usage"].is_object()), "{}", shown());
}

fn check_blocks(events: &[Value], shown: &dyn Fn() -> String) {
    let mut open: Vec<&Value> = Vec::new();
    assert_eq!(events[0]["type"], "message_start", "{}", shown());
    for event in events {
        match event["type"].as_str().expect("a type") {
            "content_block_start" => open.push(&event["index"]),
            "content_block_stop" => open.retain(|index| **index != event["index"]),
            "message_delta" | "message_stop" => assert!(open.is_empty(), "{}", shown()),
            _ => {}
        }
    }
    let reasons = events.iter().filter(|event| event["delta"]["stop_reason"].is_string());
    assert_eq!(reasons.count(), 1, "{}", shown());
}

/// The data of each event.
fn data(stream: &[u8]) -> Vec<String> {
    let (mut reader, mut rest, mut events) = (sse::Reader::new(usize::MAX), stream, Vec::new());
    while let Some(event) = reader.next(&mut rest).expect("no bound") {
        events.push(String::from_utf8(event.data.to_vec()).expect("UTF-8"));
    }
    events
}
