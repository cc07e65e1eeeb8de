//! Golden cases of the translation: every file below `tests/golden/translate` is one.
//!
//! `<what>/<from>-to-<to>/<name>.json`, where `what` is `request`, `reply` or `stream`. A case holds `in` (the
//! body; or `in_text`, for bodies that are no JSON; or `events`, the data of a stream's events, of Bedrock's each under
//! its name), what the gateway knows (`model`, `path_model`, `path_stream`, `at_vertex`, `asked_model`, `provider_model`, `include_usage`, `cut_after`),
//! and what must come out: `out`, `lost`, `error`.
//! Set `TOLLGATE_BLESS=1` to write what comes out into the files, and read the difference before keeping it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tollgate::llm::Format;
use tollgate::llm::translate::{self, ReplyTerms, RequestTerms, StreamTerms, StreamTranslator};

/// The folders, which need not be there for every kind of case.
const PAIRS: [(&str, Format, Format); 20] = [
    ("openai-to-anthropic", Format::OpenAiChat, Format::AnthropicMessages),
    ("anthropic-to-openai", Format::AnthropicMessages, Format::OpenAiChat),
    ("responses-to-openai", Format::OpenAiResponses, Format::OpenAiChat),
    ("responses-to-anthropic", Format::OpenAiResponses, Format::AnthropicMessages),
    ("openai-to-responses", Format::OpenAiChat, Format::OpenAiResponses),
    ("anthropic-to-responses", Format::AnthropicMessages, Format::OpenAiResponses),
    ("openai-to-converse", Format::OpenAiChat, Format::BedrockConverse),
    ("anthropic-to-converse", Format::AnthropicMessages, Format::BedrockConverse),
    ("converse-to-openai", Format::BedrockConverse, Format::OpenAiChat),
    ("converse-to-anthropic", Format::BedrockConverse, Format::AnthropicMessages),
    ("openai-to-gemini", Format::OpenAiChat, Format::GeminiGenerate),
    ("gemini-to-openai", Format::GeminiGenerate, Format::OpenAiChat),
    ("anthropic-to-gemini", Format::AnthropicMessages, Format::GeminiGenerate),
    ("gemini-to-anthropic", Format::GeminiGenerate, Format::AnthropicMessages),
    ("gemini-to-converse", Format::GeminiGenerate, Format::BedrockConverse),
    ("converse-to-gemini", Format::BedrockConverse, Format::GeminiGenerate),
    ("responses-to-converse", Format::OpenAiResponses, Format::BedrockConverse),
    ("converse-to-responses", Format::BedrockConverse, Format::OpenAiResponses),
    ("responses-to-gemini", Format::OpenAiResponses, Format::GeminiGenerate),
    ("gemini-to-responses", Format::GeminiGenerate, Format::OpenAiResponses),
];

const CREATED: u64 = 1_700_000_000;

#[test]
fn requests() {
    check("request", 200, |from, to, case| {
        let terms = RequestTerms {
            model: case["model"].as_str(),
            path_model: case["path_model"].as_str(),
            path_stream: case["path_stream"].as_bool(),
            at_vertex: case["at_vertex"] == true,
            ..RequestTerms::default()
        };
        let mut out = Vec::new();
        match translate::request(from, to, &mut body(case), &terms, &mut out) {
            Ok(lost) => json!({"out": unique(&out), "lost": lost.names()}),
            Err(bad) => json!({"error": {"param": bad.param, "message": bad.message}}),
        }
    });
}

#[test]
fn replies() {
    check("reply", 90, |provider, client, case| {
        let terms = ReplyTerms {
            created_unix: CREATED,
            asked_model: case["asked_model"].as_str(),
            provider_model: case["provider_model"].as_str(),
            ..ReplyTerms::default()
        };
        let mut out = Vec::new();
        match translate::reply(provider, client, &mut body(case), &terms, &mut out) {
            Ok(lost) => json!({"out": unique(&out), "lost": lost.names()}),
            Err(bad) => json!({"error": bad.reason()}),
        }
    });
}

#[test]
fn streams() {
    check("stream", 80, |provider, client, case| {
        let terms = StreamTerms {
            created_unix: CREATED,
            asked_model: case["asked_model"].as_str().unwrap_or_default().to_owned(),
            provider_model: case["provider_model"].as_str().unwrap_or_default().to_owned(),
            include_usage: case["include_usage"].as_bool().unwrap_or_default(),
        };
        let mut stream = StreamTranslator::new(provider, client, terms);
        let mut out = Vec::new();
        let mut error = None;
        let cut_after = case["cut_after"].as_u64().unwrap_or(u64::MAX);
        for (at, event) in case["events"].as_array().expect("events").iter().enumerate() {
            if at as u64 == cut_after {
                stream.cut(None, &mut out);
            }
            let (name, event) = named(provider, event);
            let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
            if let Err(bad) = stream.event(name, &mut data.into_bytes(), &mut out) {
                error = Some(bad.reason());
                break;
            }
        }
        stream.finish(&mut out);
        let len = out.len();
        stream.finish(&mut out);
        stream.cut(None, &mut out);
        stream.event("", &mut b"{}".to_vec(), &mut out).expect("events after the end are dropped");
        assert_eq!(out.len(), len, "nothing follows the end");
        match error {
            Some(error) => json!({"out": events(&out), "error": error}),
            None => json!({"out": events(&out)}),
        }
    });
}

/// Runs every case of a kind, of which there are at least `least`.
fn check(kind: &str, least: usize, run: impl Fn(Format, Format, &Value) -> Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/translate").join(kind);
    let mut failed = Vec::new();
    let mut count = 0;
    for (folder, from, to) in PAIRS {
        let folder = root.join(folder);
        for file in if folder.is_dir() { files(&folder) } else { Vec::new() } {
            count += 1;
            let text = std::fs::read(&file).expect("readable case");
            let mut case: Value =
                serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let got = run(from, to, &case);
            let expected: Value = ["out", "lost", "error"]
                .iter()
                .filter_map(|name| Some((name.to_string(), case.get(name)?.clone())))
                .collect::<serde_json::Map<_, _>>()
                .into();
            if got == expected {
                continue;
            }
            if std::env::var_os("TOLLGATE_BLESS").is_some() {
                let object = case.as_object_mut().expect("a case is an object");
                ["out", "lost", "error"].iter().for_each(|name| drop(object.remove(*name)));
                object.extend(got.as_object().cloned().unwrap_or_default());
                std::fs::write(&file, format!("{case:#}\n")).expect("writable case");
            } else {
                failed.push(format!("{}\n  expected {expected}\n  got      {got}", file.display()));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {count} cases differ:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= least, "only {count} cases of {kind}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

fn body(case: &Value) -> Vec<u8> {
    case["in_text"].as_str().map_or_else(|| case["in"].to_string(), str::to_owned).into_bytes()
}

/// An event's name, where it stands beside the data, and the data.
fn named(provider: Format, event: &Value) -> (&str, &Value) {
    match event.as_object().and_then(|one| one.iter().next()) {
        Some((name, data)) if provider == Format::BedrockConverse => (name, data),
        _ => ("", event),
    }
}

/// The SSE events in `out`: the data of each, and that an event's name is the type its data gives.
fn events(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).expect("UTF-8");
    let event = |event: &str| {
        let (name, data) = match event.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")) {
            Some((name, data)) => (Some(name), data),
            None => (None, event.strip_prefix("data: ").unwrap_or_else(|| panic!("no SSE event: {event:?}"))),
        };
        assert!(!data.contains('\n'), "data of one line: {data:?}");
        if data == "[DONE]" {
            return json!(data);
        }
        let data = unique(data.as_bytes());
        assert!(name.is_none_or(|name| data["type"] == name), "{name:?} is not the type of {data}");
        data
    };
    assert!(text.is_empty() || text.ends_with("\n\n"), "ends in the middle of an event");
    text.split_terminator("\n\n").map(event).collect()
}

/// Parses JSON and insists that no object names a member twice.
fn unique(json: &[u8]) -> Value {
    let value: Value =
        serde_json::from_slice(json).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(json)));
    let names = json.windows(2).filter(|pair| pair == b"\":").count();
    let written = value.to_string();
    let kept = written.as_bytes().windows(2).filter(|pair| pair == b"\":").count();
    assert_eq!(names, kept, "a member is named twice in {}", String::from_utf8_lossy(json));
    value
}
