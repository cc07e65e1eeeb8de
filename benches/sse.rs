//! What it costs to watch a stream of 1,000 events: splitting it, metering it, taking the usage out of it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::llm::{Format, Meter, UsageStripper};
use tollgate::wire::sse::{Parts, Reader};

/// What a read from a socket brings when a provider sends events as they come: one or a few.
const PIECE: usize = 1400;

fn streams(criterion: &mut Criterion) {
    for (name, format, stream) in
        [("openai", Format::OpenAiChat, openai()), ("anthropic", Format::AnthropicMessages, anthropic())]
    {
        let mut group = criterion.benchmark_group(format!("stream/{name}"));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function("parts", |bench| {
            bench.iter(|| {
                let (mut parts, mut count) = (Parts::new(), 0);
                for mut piece in black_box(&stream).chunks(PIECE) {
                    while parts.next(&mut piece).is_some() {
                        count += 1;
                    }
                }
                count
            });
        });
        group.bench_function("reader", |bench| {
            bench.iter(|| {
                let (mut reader, mut count) = (Reader::new(1 << 20), 0);
                for mut piece in black_box(&stream).chunks(PIECE) {
                    while reader.next(&mut piece).unwrap().is_some() {
                        count += 1;
                    }
                }
                count
            });
        });
        group.bench_function("meter", |bench| {
            bench.iter(|| {
                let mut meter = Meter::new(format, true);
                black_box(&stream).chunks(PIECE).for_each(|piece| meter.feed(piece));
                assert!(meter.usage().is_some() && meter.events() >= 1000);
                meter.output_bytes()
            });
        });
        if format == Format::OpenAiChat {
            let mut out = Vec::with_capacity(stream.len());
            group.bench_function("strip", |bench| {
                bench.iter(|| {
                    out.clear();
                    let mut stripper = UsageStripper::new();
                    black_box(&stream).chunks(PIECE).for_each(|piece| stripper.feed(piece, &mut out));
                    stripper.finish(&mut out);
                    out.len()
                });
            });
        }
        group.finish();
    }
}

fn openai() -> Vec<u8> {
    let head = r#"data: {"id":"chatcmpl-ChZNa5AVXUvGOZAleY7FgQlVr6bxn","object":"chat.completion.chunk","created":1764500138,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_50906f2aac","choices":["#;
    let delta = r#"{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"LPXc94h4G"}"#;
    let usage = r#"],"usage":{"prompt_tokens":23,"completion_tokens":1000,"total_tokens":1023,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#;
    format!("{}{head}{usage}\n\ndata: [DONE]\n\n", format!("{head}{delta}\n\n").repeat(1000)).into_bytes()
}

fn anthropic() -> Vec<u8> {
    let start = r#"{"type":"message_start","message":{"model":"claude-x","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}"#;
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" token"}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1000}}"#;
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let mut stream = event("message_start", start);
    stream.push_str(&event("content_block_delta", delta).repeat(1000));
    stream.push_str(&event("message_delta", end));
    stream.push_str(&event("message_stop", r#"{"type":"message_stop"}"#));
    stream.into_bytes()
}

criterion_group!(benches, streams);
criterion_main!(benches);
