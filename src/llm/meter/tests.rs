use super::*;
use crate::llm::translate::read::Decoder;
use crate::llm::translate::{StreamTerms, StreamTranslator};
use Format::{
    AnthropicMessages, BedrockConverse, BedrockInvoke, GeminiEmbed, GeminiEmbedBatch, GeminiGenerate,
    GeminiPredict, OpenAiChat, OpenAiEmbeddings, OpenAiResponses,
};
use tollgate_loadtest::eventstream;

/// What a meter says, to compare and to write down in rows.
#[derive(Debug, PartialEq)]
struct Said {
    usage: Option<Usage>,
    model: Option<String>,
    output_bytes: u64,
    complete: bool,
    failed: bool,
    events: u64,
    malformed: u64,
}

fn meter<'a>(format: Format, streamed: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Said {
    let mut meter = Meter::new(format, streamed);
    pieces.into_iter().for_each(|piece| meter.feed(piece));
    Said {
        usage: meter.usage(),
        model: meter.model().map(str::to_owned),
        output_bytes: meter.output_bytes(),
        complete: meter.complete(),
        failed: meter.failed(),
        events: meter.events(),
        malformed: meter.malformed(),
    }
}

fn meter_every_way(format: Format, streamed: bool, body: &(impl AsRef<[u8]> + ?Sized)) -> Said {
    let body = body.as_ref();
    let whole = meter(format, streamed, [body]);
    assert_eq!(meter(format, streamed, body.chunks(1)), whole, "byte by byte");
    for at in 0..=body.len() {
        let (head, tail) = body.split_at(at);
        assert_eq!(meter(format, streamed, [head, tail]), whole, "split at {at}");
    }
    whole
}

/// Input, of it cached, of it written to the cache, output, of it reasoning.
fn usage([input, cached_input, cache_write, output, reasoning]: [u64; 5]) -> Option<Usage> {
    Some(Usage { input, cached_input, cache_write, output, reasoning, ..Usage::default() })
}

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

#[test]
fn openai_streams_report_usage_in_many_places() {
    let rows: [(&[&str], Option<Usage>); 16] = [
        (&[r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#], usage([7, 0, 0, 5, 0])),
        (
            &[r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#],
            usage([7, 0, 0, 5, 0]),
        ),
        (&[r#"{"usage":{"prompt_tokens":7,"completion_tokens":5},"choices":[]}"#], usage([7, 0, 0, 5, 0])),
        (
            &[
                r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#,
                r#"{"choices":[{"delta":{"content":"b"}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
                r#"{"choices":[],"usage":null}"#,
                r#"{"choices":[],"usage":{}}"#,
            ],
            usage([7, 0, 0, 2, 0]),
        ),
        (
            &[
                r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"completion_tokens":8,"completion_tokens_details":{"reasoning_tokens":3}}}"#,
            ],
            usage([9, 4, 2, 8, 3]),
        ),
        (
            &[r#"{"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":4,"completion_tokens":1}}"#],
            usage([9, 4, 0, 1, 0]),
        ),
        (&[r#"{"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":1}}}"#], usage([9, 0, 0, 1, 0])),
        (&[r#"{"choices":[{"usage":{"prompt_tokens":9,"completion_tokens":1}}]}"#], usage([9, 0, 0, 1, 0])),
        (&[r#"{"choices":[{"delta":{"usage":{"prompt_tokens":9}}}]}"#], None),
        (
            &[r#"{"usage":{"prompt_tokens":null,"completion_tokens":3,"prompt_tokens_details":null}}"#],
            usage([0, 0, 0, 3, 0]),
        ),
        (&[r#"{"usage":{"prompt_tokens":9,"completion_tokens":1}"#], usage([9, 0, 0, 1, 0])),
        (&[r#"{"usage":{"prompt_tokens":9,"completion_tokens":1"#, r#"{"choices":[]}"#], None),
        (
            &[
                r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"text_tokens":2,"audio_tokens":7},"completion_tokens":8,"completion_tokens_details":{"audio_tokens":6},"total_tokens":17}}"#,
            ],
            Some(Usage { input: 9, audio_input: 7, output: 8, audio_output: 6, ..Usage::default() }),
        ),
        // Reasoning beside the completion, as xAI has it; and within, however the members stand.
        (
            &[
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":14,"total_tokens":333,"completion_tokens_details":{"reasoning_tokens":310}}}"#,
            ],
            usage([9, 0, 0, 324, 310]),
        ),
        (
            &[
                r#"{"usage":{"total_tokens":333,"completion_tokens_details":{"reasoning_tokens":310},"completion_tokens":324,"prompt_tokens":9}}"#,
            ],
            usage([9, 0, 0, 324, 310]),
        ),
        (
            &[
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":14,"completion_tokens_details":{"reasoning_tokens":310}}}"#,
            ],
            usage([9, 0, 0, 14, 310]),
        ),
    ];
    for (data, expect) in rows {
        assert_eq!(meter_every_way(OpenAiChat, true, &events(data)).usage, expect, "{data:?}");
    }
}

#[test]
fn an_openai_stream_is_metered() {
    let stream = events(&[
        r#"{"model":"gpt-4o-2024","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
        r#"{"model":"gpt-4o-2024","choices":[{"delta":{"content":"h\u00e9"},"logprobs":{"content":[{"token":"xxxx"}]}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"abc","reasoning_details":[{"text":"abc"}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}"#,
    ]);
    let said = meter_every_way(OpenAiChat, true, &format!(": note\n\n{stream}"));
    let expect = Said {
        usage: None,
        model: Some("gpt-4o-2024".to_owned()),
        output_bytes: 3 + 3 + 1 + 2,
        complete: false,
        failed: false,
        events: 4,
        malformed: 0,
    };
    assert_eq!(said, expect);
    for end in ["data: [DONE]\n\n", "data: [DONE]", "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"]
    {
        assert!(meter_every_way(OpenAiChat, true, &format!("{stream}{end}")).complete, "{end}");
    }
    let said = meter_every_way(OpenAiChat, true, "data: [DONE]x\n\ndata: not json\n\ndata:\n\ndata: {}\n\n");
    assert_eq!((said.complete, said.events, said.malformed), (false, 3, 2));
    assert!(meter_every_way(OpenAiChat, true, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n").failed);
}

#[test]
fn an_anthropic_stream_is_metered() {
    let start = r#"{"type":"message_start","message":{"id":"m","model":"claude-x","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":1},"output_tokens":1}}}"#;
    let deltas = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"get","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"zzzz"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"abc"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
    ];
    let ends = [
        (
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":25}}"#,
            [16, 4, 2, 25, 0],
        ),
        (r#"{"type":"message_delta","usage":{"input_tokens":20,"output_tokens":25}}"#, [26, 4, 2, 25, 0]),
        (r#"{"type":"message_delta","usage":{"input_tokens":0,"output_tokens":25}}"#, [16, 4, 2, 25, 0]),
        (
            r#"{"type":"message_delta","usage":{"output_tokens":25,"output_tokens_details":{"thinking_tokens":9},"iterations":[{"output_tokens":3,"input_tokens":1}]}}"#,
            [16, 4, 2, 25, 9],
        ),
    ];
    for (end, expect) in ends {
        let stream = events(&[&[start], &deltas[..], &[end]].concat());
        let said = meter_every_way(AnthropicMessages, true, &stream);
        let expect = usage(expect).map(|usage| Usage { cache_write_1h: 1, ..usage });
        assert_eq!(said.usage, expect, "{end}");
        assert_eq!((said.model.as_deref(), said.output_bytes), (Some("claude-x"), 3 + 2 + 3 + 4));
        assert_eq!((said.events, said.complete, said.malformed), (7, false, 0));
    }
    let said = meter_every_way(AnthropicMessages, true, &events(&[start]));
    let expect = usage([16, 4, 2, 1, 0]).map(|usage| Usage { cache_write_1h: 1, ..usage });
    assert_eq!(said.usage, expect, "what an abort leaves");
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"  }\n\n";
    assert!(meter_every_way(AnthropicMessages, true, stop).complete);
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
    assert!(meter_every_way(AnthropicMessages, true, &events(&[error])).failed);
}

#[test]
fn whole_answers_are_metered() {
    let openai = r#"{"model":"gpt-4o","choices":[{"message":{"role":"assistant","content":"hey","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},
        "completion_tokens":8,"completion_tokens_details":{"reasoning_tokens":3}}}"#;
    let said = meter_every_way(OpenAiChat, false, openai);
    assert_eq!((said.usage, said.output_bytes, said.complete), (usage([9, 4, 0, 8, 3]), 6, true));
    let anthropic = r#"{"usage":{"input_tokens":5,"cache_read_input_tokens":3,"output_tokens":2},"model":"c","type":"message",
        "content":[{"type":"text","text":"hey"},{"type":"tool_use","name":"f","input":{"a":[1]}},{"type":"thinking","thinking":"hm","signature":"zz"}]}"#;
    let said = meter_every_way(AnthropicMessages, false, anthropic);
    assert_eq!((said.usage, said.output_bytes), (usage([8, 3, 0, 2, 0]), 3 + 1 + 9 + 2));
    assert_eq!((said.model.as_deref(), said.complete, said.events), (Some("c"), true, 0));
}

#[test]
fn what_is_no_answer_has_no_usage() {
    let rows = [
        (OpenAiChat, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#, true, true, 0),
        (AnthropicMessages, r#"{"type":"error","error":{"type":"x","message":"y"}}"#, true, true, 0),
        (OpenAiChat, "<html>502</html>", false, false, 1),
        (OpenAiChat, "", false, false, 0),
        (AnthropicMessages, r#"{"usage":{"output_tokens"#, false, false, 0),
        (OpenAiChat, r#"{"error":null,"model":""}"#, false, true, 0),
    ];
    for (format, body, failed, complete, malformed) in rows {
        let said = meter_every_way(format, false, body);
        assert_eq!((said.usage, said.model), (None, None), "{body}");
        assert_eq!((said.failed, said.complete, said.malformed), (failed, complete, malformed), "{body}");
    }
}

#[test]
fn a_model_name_that_is_too_long_is_not_kept() {
    for (length, kept) in [(128, true), (129, false)] {
        let body = format!(r#"{{"model":"{}"}}"#, "m".repeat(length));
        assert_eq!(meter_every_way(OpenAiChat, false, &body).model.is_some(), kept);
    }
}

#[test]
fn a_responses_stream_is_metered() {
    let begun = [
        r#"{"type":"response.created","response":{"id":"r","model":"gpt-5","output":[],"usage":null,"error":null}}"#,
        r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}"#,
        r#"{"type":"response.output_text.delta","delta":"h\u00e9","obfuscation":"xxxx","logprobs":[]}"#,
        r#"{"delta":"sum","type":"response.reasoning_summary_text.delta"}"#,
        r#"{"type":"response.function_call_arguments.delta","delta":"{}"}"#,
        r#"{"type":"response.output_text.done","text":"h\u00e9"}"#,
    ];
    let usage_json = r#"{"input_tokens":30,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":5},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":37}"#;
    let open = meter_every_way(OpenAiResponses, true, &events(&begun));
    assert_eq!((open.usage, open.output_bytes, open.complete, open.failed), (None, 3 + 3 + 2, false, false));
    assert_eq!((open.model.as_deref(), open.events, open.malformed), (Some("gpt-5"), 6, 0));
    for (kind, failed) in [("completed", false), ("incomplete", false), ("failed", true)] {
        let end = format!(
            r#"{{"type":"response.{kind}","response":{{"model":"gpt-5","output":[{{"content":[{{"text":"h"}}]}}],"usage":{usage_json}}}}}"#
        );
        let said = meter_every_way(OpenAiResponses, true, &events(&[&begun[..], &[&end]].concat()));
        assert_eq!((said.usage, said.output_bytes), (usage([30, 10, 5, 7, 3]), 8), "{kind}");
        assert_eq!((said.complete, said.failed), (true, failed), "{kind}");
    }
    let error = r#"{"type":"error","code":"server_error","message":"m","param":null,"sequence_number":2}"#;
    let said = meter_every_way(OpenAiResponses, true, &events(&[error]));
    assert!(said.failed && !said.complete);
    let whole = format!(
        r#"{{"object":"response","model":"gpt-5","error":null,"output":[{{"type":"reasoning","summary":[{{"text":"ab"}}]}},
        {{"type":"message","content":[{{"type":"output_text","text":"hey","annotations":[{{"text":"no"}}]}}]}},
        {{"type":"function_call","name":"f","arguments":"{{}}"}}],"text":{{"format":{{"type":"text"}}}},"usage":{usage_json}}}"#
    );
    let said = meter_every_way(OpenAiResponses, false, &whole);
    assert_eq!((said.usage, said.output_bytes), (usage([30, 10, 5, 7, 3]), 2 + 3 + 1 + 2));
    assert!(said.complete && !said.failed);
}

#[test]
fn embeddings_are_metered() {
    let rows = [
        (r#"{"prompt_tokens":8,"total_tokens":8}"#, usage([8, 0, 0, 0, 0])),
        (r#"{"total_tokens":4}"#, usage([4, 0, 0, 0, 0])),
        (
            r#"{"total_tokens":9,"prompt_tokens":8,"completion_tokens":0,"cost":{"total_tokens":1}}"#,
            usage([8, 0, 0, 0, 0]),
        ),
        ("{}", None),
        ("null", None),
    ];
    for (json, expect) in rows {
        let body = format!(
            r#"{{"object":"list","data":[{{"embedding":[0.1,-2e-3],"index":0}}],"model":"e","usage":{json}}}"#
        );
        let said = meter_every_way(OpenAiEmbeddings, false, &body);
        assert_eq!((said.usage, said.model.as_deref()), (expect, Some("e")), "{json}");
        assert_eq!((said.complete, said.output_bytes), (true, 0), "{json}");
    }
}

#[test]
fn embeddings_of_google_and_amazon_are_metered() {
    let predicted = |counts: [u64; 2]| {
        let one = |count| {
            format!(
                r#"{{"embeddings":{{"statistics":{{"truncated":false,"token_count":{count}}},"values":[0.1]}}}}"#
            )
        };
        format!(r#"{{"predictions":[{},{}],"metadata":{{"token_count":9}}}}"#, one(counts[0]), one(counts[1]))
    };
    for (format, body, expect) in [
        (GeminiPredict, predicted([3, 4]), usage([7, 0, 0, 0, 0])),
        (GeminiPredict, r#"{"predictions":[{"embeddings":{"values":[1]}}]}"#.to_owned(), None),
        (
            GeminiEmbed,
            r#"{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":5}}"#.to_owned(),
            usage([5, 0, 0, 0, 0]),
        ),
        (GeminiEmbedBatch, r#"{"embeddings":[{"values":[1]}]}"#.to_owned(), None),
        (BedrockInvoke, r#"{"embedding":[1],"inputTextTokenCount":6}"#.to_owned(), usage([6, 0, 0, 0, 0])),
        (BedrockInvoke, r#"{"embeddings":[[1]],"texts":["a"]}"#.to_owned(), None),
    ] {
        let said = meter_every_way(format, false, &body);
        assert_eq!((said.usage, said.complete, said.output_bytes), (expect, true, 0), "{body}");
    }
    let heard = r#"{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":9,"promptTokenDetails":[
        {"modality":"AUDIO","tokenCount":4},{"modality":"TEXT","tokenCount":5}]}}"#;
    let said = meter_every_way(GeminiEmbed, false, heard);
    assert_eq!(said.usage.map(|usage| (usage.input, usage.audio_input)), Some((9, 4)));
    for (body, expect) in
        [(r#"{"embeddings":[[1]]}"#, 5), (r#"{"embedding":[1],"inputTextTokenCount":6}"#, 6)]
    {
        let mut meter = Meter::new(BedrockInvoke, false);
        meter.note_input(5);
        meter.feed(body.as_bytes());
        assert_eq!(meter.usage().map(|usage| usage.input), Some(expect), "the body goes before the head");
    }
}

#[test]
fn a_gemini_stream_is_metered() {
    let chunks = [
        r#"{"candidates":[{"content":{"parts":[{"text":"h\u00e9"}],"role":"model"},"index":0}],"usageMetadata":{"trafficType":"x"},"modelVersion":"gemini-x"}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"th","thought":true,"thoughtSignature":"zzzz"}]}}],"usageMetadata":{"promptTokenCount":20,"totalTokenCount":25,"thoughtsTokenCount":5}}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":[1]},"id":"no"}}]}}],"usageMetadata":{"promptTokenCount":20,"toolUsePromptTokenCount":4,"cachedContentTokenCount":8,"candidatesTokenCount":3,"thoughtsTokenCount":5,"promptTokensDetails":[{"modality":"TEXT","tokenCount":20}]}}"#,
    ];
    let expect = [None, usage([20, 0, 0, 5, 5]), usage([24, 8, 0, 8, 5])];
    for (after, expect) in expect.into_iter().enumerate() {
        let said = meter_every_way(GeminiGenerate, true, &events(&chunks[..=after]).replace("\n", "\r\n"));
        assert_eq!((said.usage, said.complete, said.malformed), (expect, false, 0), "{after}");
        assert_eq!(said.model.as_deref(), Some("gemini-x"));
    }
    let ends = [
        (r#"{"candidates":[{"finishReason":"STOP"}]}"#, true, false),
        (r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, true, false),
        (r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, false, true),
    ];
    for (end, complete, failed) in ends {
        let said = meter_every_way(GeminiGenerate, true, &events(&[&chunks[..], &[end]].concat()));
        assert_eq!((said.usage, said.output_bytes), (usage([24, 8, 0, 8, 5]), 3 + 2 + 1 + 9), "{end}");
        assert_eq!((said.complete, said.failed), (complete, failed), "{end}");
    }
}

#[test]
fn geminis_audio_is_told_by_modality() {
    let details = |entries: &str| {
        format!(r#"{{"usageMetadata":{{"promptTokenCount":20,"candidatesTokenCount":9,{entries}}}}}"#)
    };
    let rows = [
        (
            r#""promptTokensDetails":[{"modality":"AUDIO","tokenCount":7},{"modality":"TEXT","tokenCount":13}]"#,
            7,
            0,
        ),
        (
            r#""candidatesTokensDetails":[{"tokenCount":2,"modality":"AUDIO"},{"tokenCount":3,"modality":"AUDIO"}]"#,
            0,
            5,
        ),
        (
            r#""promptTokensDetails":[{"modality":"AUDIO"},{"modality":"AUDIOS","tokenCount":4},{"tokenCount":5}]"#,
            0,
            0,
        ),
        (r#""cacheTokensDetails":[{"modality":"AUDIO","tokenCount":7}],"promptTokensDetails":[]"#, 0, 0),
    ];
    for (entries, input, output) in rows {
        let said = meter_every_way(GeminiGenerate, false, &details(entries)).usage.expect("usage");
        assert_eq!((said.input, said.audio_input, said.audio_output), (20, input, output), "{entries}");
    }
}

#[test]
fn what_is_free_has_no_usage() {
    for (format, body) in [
        (Format::AnthropicCountTokens, r#"{"input_tokens":14}"#),
        (Format::GeminiCountTokens, r#"{"totalTokens":31,"promptTokensDetails":[{"tokenCount":31}]}"#),
        (Format::OpenAiModels, r#"{"object":"list","data":[{"id":"gpt-5","object":"model"}]}"#),
        (Format::AnthropicModels, r#"{"data":[{"id":"claude"}],"has_more":false}"#),
        (Format::GeminiModels, r#"{"models":[{"name":"models/gemini","inputTokenLimit":5}]}"#),
    ] {
        let said = meter_every_way(format, false, body);
        assert_eq!((said.usage, said.output_bytes, said.complete), (None, 0, true), "{body}");
    }
}

fn frames(events: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    events.iter().for_each(|(name, payload)| eventstream::event(&mut out, name, payload.as_bytes()));
    out
}

#[test]
fn a_stream_of_bedrocks_is_metered() {
    let mut stream = frames(&[
        ("messageStart", r#"{"p":"abc","role":"assistant"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"zzzz"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"h\u00e9"},"p":"abcd"}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"get"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"a\""}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    ]);
    let expect = Said {
        usage: None,
        model: None,
        output_bytes: 2 + 3 + 3 + 4,
        complete: false,
        failed: false,
        events: 7,
        malformed: 0,
    };
    assert_eq!(meter_every_way(BedrockConverse, true, &stream), expect);
    stream.extend(frames(&[("messageStop", r#"{"stopReason":"tool_use"}"#)]));
    assert_eq!(meter_every_way(BedrockConverse, true, &stream), Said { complete: true, events: 8, ..expect });
    let metadata = r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":3,"cacheReadInputTokens":100,
        "cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":20,"outputTokens":5,"totalTokens":128,
        "cacheDetails":[{"ttl":"1h","inputTokens":15},{"inputTokens":5,"ttl":"5m"}],"serverToolUsage":{}},
        "trace":{"guardrail":{"usage":{"inputTokens":9,"outputTokens":9}}}}"#;
    stream.extend(frames(&[("metadata", metadata)]));
    let said = meter_every_way(BedrockConverse, true, &stream);
    let expect = Usage { cache_write_1h: 15, ..usage([123, 100, 20, 5, 0]).unwrap() };
    assert_eq!((said.usage, said.complete, said.events), (Some(expect), true, 9));
    let mut translator = StreamTranslator::new(BedrockConverse, OpenAiChat, StreamTerms::default());
    translator.event("metadata", &mut metadata.as_bytes().to_vec(), &mut Vec::new()).unwrap();
    assert_eq!(translator.usage(), said.usage, "the translator reads the same");
}

#[test]
fn faults_of_bedrocks_streams_are_told_apart() {
    let start = frames(&[("messageStart", r#"{"role":"assistant"}"#)]);
    let mut thrown = start.clone();
    eventstream::exception(
        &mut thrown,
        "throttlingException",
        br#"{"message":"slow down","usage":{"inputTokens":1}}"#,
    );
    let mut failed = start.clone();
    let headers = [(":message-type", "error"), (":error-code", "InternalError")];
    eventstream::message(
        &mut failed,
        &headers.map(|(name, text)| (name, eventstream::Value::String(text))),
        b"",
    );
    let mut broken = start.clone();
    broken.extend([0; 40]);
    let not_json = frames(&[("metadata", r#"{"usage":"#), ("metadata", r#"{"usage":{"outputTokens":2}}"#)]);
    for (stream, usage, failed, events, malformed) in [
        (thrown, None, true, 1, 0),
        (failed, None, true, 1, 0),
        (broken, None, false, 1, 1),
        (not_json, usage([0, 0, 0, 2, 0]), false, 2, 1),
    ] {
        let said = meter_every_way(BedrockConverse, true, &stream);
        assert_eq!((said.usage, said.failed), (usage, failed));
        assert_eq!((said.events, said.malformed, said.complete), (events, malformed, false));
    }
}

#[test]
fn a_whole_answer_of_bedrocks_is_metered() {
    let answer = r#"{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[
        {"reasoningContent":{"reasoningText":{"signature":"zz","text":"hm"}}},{"text":"hey"},
        {"toolUse":{"input":{"a":[1]},"name":"f","toolUseId":"t"}},
        {"citationsContent":{"content":[{"text":"cited"}],"citations":[{"sourceContent":[{"text":"no"}]}]}}]}},
        "stopReason":"tool_use","usage":{"inputTokens":5,"cacheReadInputTokens":3,"outputTokens":2,"totalTokens":10}}"#;
    let said = meter_every_way(BedrockConverse, false, answer);
    assert_eq!((said.usage, said.output_bytes), (usage([8, 3, 0, 2, 0]), 2 + 3 + 9 + 1 + 5));
    assert_eq!((said.complete, said.failed, said.events, said.malformed), (true, false, 0, 0));
    let refused = meter_every_way(BedrockConverse, false, r#"{"message":"no"}"#);
    assert_eq!((refused.usage, refused.complete), (None, true));
}

#[test]
fn a_decoded_document_is_read_as_its_bytes_are() {
    let openai = r#""prompt_tokens":9,"completion_tokens":8,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":40}"#;
    let rows: [(Format, &str, [u64; 5]); 8] = [
        (
            Format::OpenAiChat,
            &format!(
                r#"{{"model":"m","choices":[{{"delta":{{"content":"x"}}}}],"x_groq":{{"usage":{{{openai}}}}}}}"#
            ),
            [9, 9, 0, 8, 0],
        ),
        (Format::OpenAiChat, &format!(r#"{{"choices":[{{"usage":{{{openai}}}}}]}}"#), [9, 9, 0, 8, 0]),
        (
            Format::OpenAiChat,
            r#"{"usage":null,"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":5,"completion_tokens":1}}"#,
            [9, 5, 0, 1, 0],
        ),
        (
            Format::OpenAiResponses,
            r#"{"type":"response.completed","response":{"model":"m","usage":{"input_tokens":9,"output_tokens":3,"output_tokens_details":{"reasoning_tokens":2}}}}"#,
            [9, 0, 0, 3, 2],
        ),
        (
            Format::AnthropicMessages,
            r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"output_tokens":1}}}"#,
            [9, 4, 2, 1, 0],
        ),
        (
            Format::GeminiGenerate,
            r#"{"modelVersion":"m","candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":[1,null,true,"b"]}}}]}}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"thoughtsTokenCount":5}}"#,
            [9, 0, 0, 8, 5],
        ),
        (
            Format::GeminiGenerate,
            r#"{"model_version":"m","usage_metadata":{"prompt_token_count":9,"tool_use_prompt_token_count":1,"cached_content_token_count":2,"candidates_token_count":3}}"#,
            [10, 2, 0, 3, 0],
        ),
        (
            Format::BedrockConverse,
            r#"{"metrics":{},"usage":{"inputTokens":3,"cacheReadInputTokens":4,"cacheWriteInputTokens":2,"outputTokens":1}}"#,
            [9, 4, 2, 1, 0],
        ),
    ];
    for (format, body, expected) in rows {
        let (mut fed, mut seen) = (Meter::new(format, false), Meter::new(format, false));
        fed.feed(body.as_bytes());
        let decoded = Decoder::default().decode(&mut body.as_bytes().to_vec(), |document| seen.see(document));
        assert!(decoded.is_some(), "{body}");
        assert_eq!((seen.usage(), seen.model()), (fed.usage(), fed.model()), "{body}");
        assert_eq!(seen.usage(), usage(expected), "{body}");
    }
}
