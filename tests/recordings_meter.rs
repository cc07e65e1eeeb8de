//! Real exchanges with providers: the inspector must accept every request, the meter must read the usage that was
//! computed independently, the stripper must take out usage and nothing else.
//!
//! The recordings are not part of the repository. They are looked for in `$TOLLGATE_FIXTURES`, else in
//! `../shared/fixtures`; without them these tests pass and say so.

use serde_json::Value;
use std::path::{Path, PathBuf};
use tollgate::llm::{Edits, Format, Inspector, Meter, Usage, UsageStripper};

/// Folder, format, whether its answers are streams.
const FOLDERS: [(&str, Format, bool); 13] = [
    ("openai/chat", Format::OpenAiChat, false),
    ("openai/chat-stream", Format::OpenAiChat, true),
    ("anthropic/messages", Format::AnthropicMessages, false),
    ("anthropic/messages-stream", Format::AnthropicMessages, true),
    ("azure/chat", Format::OpenAiChat, false),
    ("azure/chat-stream", Format::OpenAiChat, true),
    ("deepseek/chat", Format::OpenAiChat, false),
    ("deepseek/chat-stream", Format::OpenAiChat, true),
    ("groq/chat", Format::OpenAiChat, false),
    ("groq/chat-stream", Format::OpenAiChat, true),
    ("mistral/chat-stream", Format::OpenAiChat, true),
    ("openrouter/chat", Format::OpenAiChat, false),
    ("openrouter/chat-stream", Format::OpenAiChat, true),
];

#[test]
fn the_meter_reads_the_recorded_usage() {
    for_each_recording(|name, format, streamed, recording| {
        let body = text(recording, "response");
        let expect = recorded_usage(format, &recording["usage"]);
        for piece in [usize::MAX, 1, 7, 1000] {
            let mut meter = Meter::new(format, streamed);
            body.as_bytes().chunks(piece).for_each(|piece| meter.feed(piece));
            assert_eq!(meter.usage(), expect, "{name}");
            assert_eq!(meter.malformed(), 0, "{name}");
            assert!(meter.complete(), "{name}");
            assert!(meter.model().is_some(), "{name}");
            let output = expect.map_or(0, |usage| usage.output - usage.reasoning);
            let withheld = body.contains("\"content_filter\"") || output <= 3;
            assert!(meter.output_bytes() > 0 || withheld, "{name}: {output} tokens without text");
            assert_eq!(meter.events() > 0, streamed, "{name}");
        }
    });
}

#[test]
fn the_inspector_reads_every_recorded_request() {
    for_each_recording(|name, format, _, recording| {
        let body = text(recording, "request");
        let ask =
            Inspector::new(format).finish(body.as_bytes()).unwrap_or_else(|bad| panic!("{name}: {bad:?}"));
        let tree: Value = serde_json::from_str(body).unwrap();
        assert_eq!(ask.model.map(|span| &body[span.range()]), tree["model"].as_str(), "{name}");
        assert_eq!(ask.stream, tree["stream"].as_bool(), "{name}");
        let limits = [&tree["max_tokens"], &tree["max_completion_tokens"]].map(Value::as_u64);
        assert_eq!(ask.max_output, limits.into_iter().max().flatten(), "{name}");
        let parts = ["messages", "system", "tools", "functions", "response_format"];
        let bytes: u64 = parts.iter().map(|part| string_bytes(&tree[part])).sum();
        assert!(ask.text_bytes > 0, "{name}");
        let openai_only =
            if format == Format::OpenAiChat { 0 } else { string_bytes(&tree["response_format"]) };
        assert_eq!(ask.text_bytes + ask.media_bytes + openai_only, bytes, "{name}");
    });
}

#[test]
fn edits_of_recorded_requests_equal_edits_of_their_trees() {
    for_each_recording(|name, format, _, recording| {
        let body = text(recording, "request");
        let ask = Inspector::new(format).finish(body.as_bytes()).unwrap();
        let mut edits = Edits::new();
        edits.set_model(&ask, "another-model");
        let mut tree: Value = serde_json::from_str(body).unwrap();
        tree["model"] = Value::from("another-model");
        if format == Format::OpenAiChat {
            edits.include_usage(&ask);
            tree["stream_options"]["include_usage"] = Value::from(true);
        }
        let mut out = Vec::new();
        edits.apply(body.as_bytes(), &mut out);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), tree, "{name}");
    });
}

#[test]
fn a_stripped_stream_lacks_usage_and_nothing_else() {
    for_each_recording(|name, format, streamed, recording| {
        if !streamed || format != Format::OpenAiChat {
            return;
        }
        let body = text(recording, "response");
        let expect: Vec<Value> = data_of(body)
            .filter(|chunk| !(chunk["choices"] == Value::Array(vec![]) && chunk["usage"].is_object()))
            .map(|mut chunk| {
                chunk.as_object_mut().unwrap().remove("usage");
                chunk
            })
            .collect();
        for piece in [usize::MAX, 1, 100] {
            let (mut stripper, mut out) = (UsageStripper::new(), Vec::new());
            body.as_bytes().chunks(piece).for_each(|piece| stripper.feed(piece, &mut out));
            stripper.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains("data: [DONE]"), "{name}");
            assert_eq!(data_of(&out).collect::<Vec<_>>(), expect, "{name}");
        }
    });
}

/// Calls `check` with name, format, streamed and content of each recording that succeeded.
fn for_each_recording(mut check: impl FnMut(&str, Format, bool, &Value)) {
    let Some(fixtures) = fixtures() else {
        eprintln!("no recordings found: set TOLLGATE_FIXTURES to check against them");
        return;
    };
    let mut count = 0;
    for (folder, format, streamed) in FOLDERS {
        let Ok(entries) = std::fs::read_dir(fixtures.join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let recording: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            check(&path.display().to_string(), format, streamed, &recording);
            count += 1;
        }
    }
    eprintln!("{count} recordings checked");
}

fn fixtures() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let path = std::env::var_os("TOLLGATE_FIXTURES").map_or_else(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

fn text<'a>(recording: &'a Value, side: &str) -> &'a str {
    recording[side]["body"].as_str().unwrap_or_default()
}

/// The recorded usage, normalised by hand.
fn recorded_usage(format: Format, usage: &Value) -> Option<Usage> {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    usage.as_object()?;
    Some(match format {
        Format::OpenAiChat => Usage {
            input: number("/prompt_tokens"),
            cached_input: number("/prompt_tokens_details/cached_tokens"),
            cache_write: number("/prompt_tokens_details/cache_write_tokens"),
            output: number("/completion_tokens"),
            reasoning: number("/completion_tokens_details/reasoning_tokens"),
            audio_input: number("/prompt_tokens_details/audio_tokens"),
            audio_output: number("/completion_tokens_details/audio_tokens"),
            cache_write_1h: 0,
        },
        Format::AnthropicMessages => Usage {
            input: number("/input_tokens")
                + number("/cache_read_input_tokens")
                + number("/cache_creation_input_tokens"),
            cached_input: number("/cache_read_input_tokens"),
            cache_write: number("/cache_creation_input_tokens"),
            output: number("/output_tokens"),
            reasoning: number("/output_tokens_details/thinking_tokens"),
            cache_write_1h: number("/cache_creation/ephemeral_1h_input_tokens"),
            ..Usage::default()
        },
    })
}

/// Bytes of all string values in `value`.
fn string_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(string_bytes).sum(),
        Value::Object(members) => members.values().map(string_bytes).sum(),
        _ => 0,
    }
}

/// The JSON in the `data` lines of a stream.
fn data_of(stream: &str) -> impl Iterator<Item = Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap())
}
