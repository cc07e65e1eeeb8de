//! What it costs to inspect the body of a chat request, beside other ways to look at the same bytes.
//!
//! `simd_json::to_tape` destroys its input, so that its time contains the copy of the body; `copy` says how much that
//! is. `serde_json` as `IgnoredAny` validates and finds nothing: the least that a tree-free parse could do.

#[path = "cases/json.rs"]
mod cases;

use cases::{PROSE, chat};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::llm::{Format, Inspector};

fn inspect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inspect");
    for (kind, words) in [("prose", PROSE), ("code", CODE), ("chinese", CHINESE), ("tools", "")] {
        for kib in [1, 16, 256] {
            let body = chat(words, kib * 1024);
            group.throughput(Throughput::Bytes(body.len() as u64));
            let id = |name: &str| BenchmarkId::new(format!("{kind}/{name}"), format!("{kib}KiB"));
            let mut inspect = cases::inspect(body.clone());
            group.bench_function(id("inspector"), |bench| bench.iter(&mut inspect));
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

fn edit(criterion: &mut Criterion) {
    let mut edit = cases::edit(chat(PROSE, 1024));
    criterion.bench_function("edit/model and usage", |bench| bench.iter(&mut edit));
}

const CODE: &str = "    if (value == \\\"none\\\") {\\n        return lookup(table, key);\\n    }\\n";
const CHINESE: &str = "请用一段话解释服务网格的数据平面如何工作。";

criterion_group!(benches, inspect, edit);
criterion_main!(benches);
