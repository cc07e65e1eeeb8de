//! What it costs to turn one format into another: a request of a kilobyte, its answer, and a stream of 64 events, for every
//! pair that is served.

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use std::hint::black_box;
use tollgate::llm::Format::{
    self, AnthropicMessages, BedrockConverse, GeminiGenerate, OpenAiChat, OpenAiResponses,
};
use tollgate::llm::translate::{self, ReplyTerms, RequestTerms, StreamTerms, StreamTranslator};
use tollgate::wire::sse::Reader;

const CLIENTS: [Format; 4] = [OpenAiChat, OpenAiResponses, AnthropicMessages, GeminiGenerate];
const PROVIDERS: [Format; 5] =
    [OpenAiChat, OpenAiResponses, AnthropicMessages, GeminiGenerate, BedrockConverse];
const TEXT: &str = "All is well, and all will be well, and all manner of thing will be well. ";

/// A conversation of about a kilobyte, in OpenAI's chat format; the others are made of it.
fn chat() -> Vec<u8> {
    let text = TEXT.repeat(4);
    format!(
        r#"{{"model":"model-1","max_tokens":512,"messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"{text}"}},{{"role":"assistant","content":"{text}"}},{{"role":"user","content":"{text}"}}]}}"#
    )
    .into_bytes()
}

fn request(client: Format) -> Vec<u8> {
    let mut out = Vec::new();
    translate::request(OpenAiChat, client, &mut chat(), &RequestTerms::default(), &mut out)
        .expect("a request");
    out
}

/// A whole answer, in Anthropic's format; the others are made of it, but Converse's, which no client reads.
fn reply(provider: Format) -> Vec<u8> {
    let text = TEXT.repeat(8);
    if provider == BedrockConverse {
        return format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"{text}"}}]}}}},"stopReason":"end_turn","usage":{{"inputTokens":230,"outputTokens":85,"totalTokens":315}}}}"#
        )
        .into_bytes();
    }
    let answer = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"model-1","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":230,"output_tokens":85}}}}"#
    );
    let mut out = Vec::new();
    let terms = ReplyTerms::default();
    translate::reply(AnthropicMessages, provider, &mut answer.into_bytes(), &terms, &mut out)
        .expect("an answer");
    out
}

/// The data of a stream's events, 64 of them with text.
fn stream(provider: Format) -> Vec<Vec<u8>> {
    let mut chunks: Vec<String> = (0..64)
        .map(|_| {
            r#"{"id":"c","model":"model-1","choices":[{"index":0,"delta":{"content":" and so on"}}]}"#
                .to_owned()
        })
        .collect();
    chunks.push(r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned());
    chunks.push(r#"{"id":"c","choices":[],"usage":{"prompt_tokens":230,"completion_tokens":85}}"#.to_owned());
    chunks.push("[DONE]".to_owned());
    let chunks: Vec<Vec<u8>> = chunks.into_iter().map(String::into_bytes).collect();
    if provider == OpenAiChat {
        return chunks;
    }
    let (mut translator, mut out) = (StreamTranslator::new(OpenAiChat, provider, terms()), Vec::new());
    for mut chunk in chunks {
        translator.event("", &mut chunk, &mut out).expect("a chunk");
    }
    translator.finish(&mut out);
    let (mut reader, mut rest, mut events) = (Reader::new(1 << 20), out.as_slice(), Vec::new());
    while let Some(event) = reader.next(&mut rest).expect("whole events") {
        events.push(event.data.to_vec());
    }
    events
}

fn terms() -> StreamTerms {
    StreamTerms {
        created_unix: 1,
        asked_model: "model-1".into(),
        include_usage: true,
        ..StreamTerms::default()
    }
}

fn pairs(criterion: &mut Criterion) {
    for client in CLIENTS {
        for provider in PROVIDERS.into_iter().filter(|provider| *provider != client) {
            let mut group = criterion.benchmark_group(format!("{}/{}", client.name(), provider.name()));
            bench_pair(&mut group, client, provider);
        }
    }
}

fn bench_pair(group: &mut BenchmarkGroup<'_, WallTime>, client: Format, provider: Format) {
    let asked = RequestTerms { model: Some("model-1"), ..RequestTerms::default() };
    let (request, reply) = (request(client), reply(provider));
    let (mut copy, mut out) = (Vec::new(), Vec::new());
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function("request", |bench| {
        bench.iter(|| {
            copy.clone_from(black_box(&request));
            out.clear();
            translate::request(client, provider, &mut copy, &asked, &mut out).expect("a request");
        });
    });
    let told = ReplyTerms { created_unix: 1, asked_model: Some("model-1"), ..ReplyTerms::default() };
    group.throughput(Throughput::Bytes(reply.len() as u64));
    group.bench_function("reply", |bench| {
        bench.iter(|| {
            copy.clone_from(black_box(&reply));
            out.clear();
            translate::reply(provider, client, &mut copy, &told, &mut out).expect("an answer");
        });
    });
    if provider == BedrockConverse {
        return; // its streams are no SSE, and no client's writer makes one
    }
    let events = stream(provider);
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("stream", |bench| {
        bench.iter(|| {
            out.clear();
            let mut translator = StreamTranslator::new(provider, client, terms());
            for event in black_box(&events) {
                copy.clone_from(event);
                translator.event("", &mut copy, &mut out).expect("an event");
            }
            translator.finish(&mut out);
        });
    });
}

criterion_group!(benches, pairs);
criterion_main!(benches);
