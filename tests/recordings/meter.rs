//! Real exchanges with providers: the inspector must accept every request, the meter must read the usage that was
//! computed independently, the stripper must take out usage and nothing else.

use crate::recordings;
use serde_json::Value;
use tollgate::llm::{Api, BadBody, Edits, Format, Inspector, Meter, Usage, UsageStripper, Work};

/// Folder, format, whether its answers are streams.
const FOLDERS: [(&str, Format, bool); 31] = [
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
    ("openai/responses", Format::OpenAiResponses, false),
    ("openai/responses-stream", Format::OpenAiResponses, true),
    ("azure/responses", Format::OpenAiResponses, false),
    ("deepseek/responses", Format::OpenAiResponses, false),
    ("deepseek/responses-stream", Format::OpenAiResponses, true),
    ("x/responses", Format::OpenAiResponses, false),
    ("x/responses-stream", Format::OpenAiResponses, true),
    ("openai/embeddings", Format::OpenAiEmbeddings, false),
    ("azure/embeddings", Format::OpenAiEmbeddings, false),
    ("openai-compatible-local/embeddings", Format::OpenAiEmbeddings, false),
    ("perplexity/embeddings", Format::OpenAiEmbeddings, false),
    ("voyageai/embeddings", Format::OpenAiEmbeddings, false),
    ("gemini/generateContent", Format::GeminiGenerate, false),
    ("gemini/streamGenerateContent", Format::GeminiGenerate, true),
    ("vertex/generateContent", Format::GeminiGenerate, false),
    ("vertex/streamGenerateContent", Format::GeminiGenerate, true),
    ("anthropic/count_tokens", Format::AnthropicCountTokens, false),
    ("gemini/countTokens", Format::GeminiCountTokens, false),
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
            assert!(meter.model().is_some() || format.work() == Work::Free, "{name}");
            let output = expect.map_or(0, |usage| usage.output - usage.reasoning);
            let withheld = body.contains("\"content_filter\"") || output <= 3 || is_drawn(body);
            assert!(meter.output_bytes() > 0 || withheld, "{name}: {output} tokens without text");
            assert_eq!(meter.events() > 0, streamed, "{name}");
        }
    });
}

/// Whether the answer is a picture, which is no text: of Gemini's image models.
fn is_drawn(body: &str) -> bool {
    body.contains("\"inlineData\"")
}

#[test]
fn the_inspector_reads_every_recorded_request() {
    for_each_recording(|name, format, _, recording| {
        let body = text(recording, "request");
        let read = Inspector::new(format).finish(body.as_bytes());
        let tree: Value = serde_json::from_str(body).unwrap();
        if tree["background"] == true {
            let refused = matches!(read, Err(BadBody::Field { name: "background", .. }));
            return assert!(refused, "{name}: {read:?}");
        }
        let ask = read.unwrap_or_else(|bad| panic!("{name}: {bad:?}"));
        let in_path = format.api() == Api::Gemini;
        let model = tree["model"].as_str().filter(|_| !in_path);
        assert_eq!(ask.model.map(|span| &body[span.range()]), model, "{name}");
        assert_eq!(ask.stream, tree["stream"].as_bool(), "{name}");
        let limits = [
            &tree["max_tokens"],
            &tree["max_completion_tokens"],
            &tree["max_output_tokens"],
            &tree["generationConfig"]["maxOutputTokens"],
        ];
        assert_eq!(ask.max_output, limits.map(Value::as_u64).into_iter().max().flatten(), "{name}");
        let bytes: u64 = parts(format).iter().filter_map(|part| tree.pointer(part)).map(string_bytes).sum();
        assert!(ask.text_bytes + ask.input_tokens > 0, "{name}");
        assert_eq!(ask.text_bytes + ask.media_bytes, bytes, "{name}");
    });
}

/// What a model reads of a request.
fn parts(format: Format) -> &'static [&'static str] {
    match format {
        Format::OpenAiResponses => &["/input", "/instructions", "/tools", "/text", "/prompt"],
        Format::OpenAiEmbeddings => &["/input"],
        Format::AnthropicMessages | Format::AnthropicCountTokens => &["/messages", "/system", "/tools"],
        Format::GeminiGenerate | Format::GeminiCountTokens => &[
            "/contents",
            "/systemInstruction",
            "/tools",
            "/generationConfig/responseSchema",
            "/generationConfig/responseJsonSchema",
            "/generationConfig/response_json_schema",
            "/generateContentRequest",
        ],
        _ => &["/messages", "/system", "/tools", "/functions", "/response_format"],
    }
}

#[test]
fn edits_of_recorded_requests_equal_edits_of_their_trees() {
    for_each_recording(|name, format, _, recording| {
        let body = text(recording, "request");
        let mut tree: Value = serde_json::from_str(body).unwrap();
        // Gemini's models stand in paths; what is answered in the background is refused.
        if format.api() == Api::Gemini || tree["background"] == true {
            return;
        }
        let ask = Inspector::new(format).finish(body.as_bytes()).unwrap();
        let mut edits = Edits::new();
        edits.set_model(&ask, "another-model");
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
    if recordings::root().is_none() {
        return;
    }
    let mut count = 0;
    for (folder, format, streamed) in FOLDERS {
        for (name, recording) in recordings::all(folder) {
            check(&name, format, streamed, &recording);
            count += 1;
        }
    }
    eprintln!("{count} recordings checked");
}

fn text<'a>(recording: &'a Value, side: &str) -> &'a str {
    recording[side]["body"].as_str().unwrap_or_default()
}

/// The recorded usage, normalised by hand.
fn recorded_usage(format: Format, usage: &Value) -> Option<Usage> {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    usage.as_object()?;
    let usage = match format {
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
        Format::OpenAiResponses => Usage {
            input: number("/input_tokens"),
            cached_input: number("/input_tokens_details/cached_tokens"),
            cache_write: number("/input_tokens_details/cache_write_tokens"),
            output: number("/output_tokens"),
            reasoning: number("/output_tokens_details/reasoning_tokens"),
            ..Usage::default()
        },
        Format::OpenAiEmbeddings => Usage { input: number("/total_tokens"), ..Usage::default() },
        Format::GeminiGenerate => Usage {
            input: number("/promptTokenCount") + number("/toolUsePromptTokenCount"),
            cached_input: number("/cachedContentTokenCount"),
            output: number("/candidatesTokenCount") + number("/thoughtsTokenCount"),
            reasoning: number("/thoughtsTokenCount"),
            audio_input: audio(&usage["promptTokensDetails"]),
            audio_output: audio(&usage["candidatesTokensDetails"]),
            ..Usage::default()
        },
        _ => Usage {
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
    };
    // Azure's Grok tells more cached tokens than input, OpenRouter that the same ones were read and written.
    let cached_input = usage.cached_input.min(usage.input);
    let cache_write = usage.cache_write.min(usage.input - cached_input);
    Some(Usage { cached_input, cache_write, ..usage })
}

/// What a list of Gemini's by modality says of audio.
fn audio(details: &Value) -> u64 {
    let entries = details.as_array().into_iter().flatten();
    let audio = entries.filter(|entry| entry["modality"] == "AUDIO");
    audio.map(|entry| entry["tokenCount"].as_u64().unwrap_or(0)).sum()
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
