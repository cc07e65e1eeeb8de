//! What it costs to inspect the body of a chat request, beside other ways to look at the same bytes.
//!
//! `simd_json::to_tape` destroys its input, so that its time contains the copy of the body; `copy` says how much that
//! is. `serde_json` as `IgnoredAny` validates and finds nothing: the least that a tree-free parse could do.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::llm::{Format, Inspector};

fn inspect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inspect");
    for (kind, words) in [("prose", PROSE), ("code", CODE), ("chinese", CHINESE), ("tools", "")] {
        for kib in [1, 16, 256] {
            let body = request(words, kib * 1024);
            group.throughput(Throughput::Bytes(body.len() as u64));
            let id = |name: &str| BenchmarkId::new(format!("{kind}/{name}"), format!("{kib}KiB"));
            group.bench_function(id("inspector"), |bench| {
                bench.iter(|| Inspector::new(Format::OpenAiChat).finish(black_box(&body)).unwrap());
            });
            group.bench_function(id("inspector-in-4KiB-pieces"), |bench| {
                bench.iter(|| {
                    let mut inspector = Inspector::new(Format::OpenAiChat);
                    for end in (0..body.len()).step_by(4096) {
                        inspector.feed(black_box(&body[..end])).unwrap();
                    }
                    inspector.finish(black_box(&body)).unwrap()
                });
            });
            group.bench_function(id("serde_json-ignored"), |bench| {
                bench.iter(|| serde_json::from_slice::<serde::de::IgnoredAny>(black_box(&body)).unwrap());
            });
            group.bench_function(id("simd_json-copy-and-tape"), |bench| {
                bench.iter(|| {
                    let mut copy = black_box(&body).clone();
                    simd_json::to_tape(&mut copy).unwrap().0.len()
                });
            });
            group.bench_function(id("copy"), |bench| bench.iter(|| black_box(&body).clone()));
        }
    }
    group.finish();
}

const PROSE: &str = "The quick brown fox jumps over the lazy dog, and thinks nothing of it at all. ";
const CODE: &str = "    if (value == \\\"none\\\") {\\n        return lookup(table, key);\\n    }\\n";
const CHINESE: &str = "请用一段话解释服务网格的数据平面如何工作。";

/// A request of about `size` bytes: a conversation of `words` in messages of up to 8 KiB, or one with many tools.
fn request(words: &str, size: usize) -> Vec<u8> {
    let mut body = String::from(r#"{"model":"gpt-4o-mini","stream":true,"max_tokens":1024,"#);
    if words.is_empty() {
        let tool = r#"{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1}},"required":["city"]}}}"#;
        let count = (size.saturating_sub(150) / (tool.len() + 1)).max(1);
        body.push_str(&format!(r#""tools":[{}],"#, vec![tool; count].join(",")));
    }
    body.push_str(r#""messages":["#);
    let mut first = true;
    while first || body.len() + 60 < size {
        let room = (size - body.len()).saturating_sub(60).min(8192);
        let text = words.repeat(room / words.len().max(1));
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        body.push_str(&format!(r#"{comma}{{"role":"user","content":"{text}"}}"#));
        if words.is_empty() || text.is_empty() {
            break;
        }
    }
    body.push_str("]}");
    body.into_bytes()
}

criterion_group!(benches, inspect);
criterion_main!(benches);
