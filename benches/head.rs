//! What HTTP/1.1 framing costs: heads of requests and responses, chunked bodies, and writing a head.

#[path = "cases/head.rs"]
mod cases;

use cases::{MINIMAL, RESPONSE, SDK, parse_request, parse_response};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::wire::http1::{BodyReader, Framing, HeadLimits, HeadScan, Known, request, write};

fn heads(c: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = c.benchmark_group("head");
    for (name, head) in [("request/minimal", MINIMAL), ("request/sdk", SDK)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |b| b.iter(parse_request(head)));
    }
    group.throughput(Throughput::Bytes(SDK.len() as u64));
    group.bench_function("request/sdk in 8 pieces", |b| {
        b.iter(|| {
            let mut scan = HeadScan::default();
            let cuts = (1..8).map(|piece| SDK.len() * piece / 8).chain([SDK.len()]);
            cuts.filter_map(|end| scan.request(black_box(&SDK[..end]), &limits).ok().flatten()).last()
        });
    });
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response", |b| b.iter(parse_response()));
    group.finish();
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    for (name, chunk, count) in [("chunked/200 B", 200, 100), ("chunked/16 KiB", 16 << 10, 4)] {
        let mut body = Vec::new();
        for _ in 0..count {
            write::chunk_head(&mut body, chunk);
            body.resize(body.len() + chunk, b'x');
            body.extend_from_slice(write::CHUNK_END);
        }
        body.extend_from_slice(write::LAST_CHUNK);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut payload = 0;
                let mut reader = BodyReader::new(Framing::Chunked, u64::MAX).ok()?;
                reader.read(black_box(&body), |span| payload += span.len()).ok()?;
                Some(payload)
            });
        });
    }
    group.finish();
}

fn writing(c: &mut Criterion) {
    let limits = HeadLimits::default();
    let Ok(Some(head)) = request(SDK, &limits) else { return };
    let mut out = Vec::with_capacity(4096);
    c.bench_function("write/forwarded request", |b| {
        b.iter(|| {
            out.clear();
            write::request_line(&mut out, head.method_text.of(SDK), head.target.of(SDK));
            write::header(&mut out, b"host", b"api.openai.com");
            let skip = |known| matches!(known, Known::Host | Known::Authorization | Known::XForwardedFor);
            write::copy_end_to_end(&mut out, SDK, &head.headers, |header, _| skip(header.known));
            write::header(&mut out, b"authorization", b"Bearer sk-proj-0123456789abcdefghijklmnopqrstuvwxyz");
            write::content_length(&mut out, 1234);
            write::end(&mut out);
            black_box(out.len())
        });
    });
}

criterion_group!(benches, heads, bodies, writing);
criterion_main!(benches);
