//! What it costs to watch a stream of 1,000 events: splitting it, metering it, taking the usage out of it.

#[path = "cases/answer.rs"]
mod cases;

use cases::{PIECE, anthropic, meter_stream, meter_whole, openai};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::llm::{Format, UsageStripper};
use tollgate::wire::sse::{Parts, Reader};

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
        let mut meter = meter_stream(format, stream.clone());
        group.bench_function("meter", |bench| bench.iter(&mut meter));
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

fn whole(criterion: &mut Criterion) {
    let mut meter = meter_whole();
    criterion.bench_function("answer/openai/meter", |bench| bench.iter(&mut meter));
}

criterion_group!(benches, streams, whole);
criterion_main!(benches);
