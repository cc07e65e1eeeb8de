//! What HTTP/1.1 framing costs: heads of requests and responses, chunked bodies, and writing a head.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::wire::http1::{
    BodyReader, Framing, HeadLimits, HeadScan, Known, Method, request, response, write,
};

const MINIMAL: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// As the OpenAI SDK for Python sends it.
const SDK: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\n\
    Host: gateway.example.com:8080\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Accept: application/json\r\n\
    Content-Type: application/json\r\n\
    User-Agent: OpenAI/Python 1.99.9\r\n\
    X-Stainless-Lang: python\r\n\
    X-Stainless-Package-Version: 1.99.9\r\n\
    X-Stainless-OS: Linux\r\n\
    X-Stainless-Arch: x64\r\n\
    X-Stainless-Runtime: CPython\r\n\
    X-Stainless-Runtime-Version: 3.12.3\r\n\
    Authorization: Bearer sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567\r\n\
    X-Stainless-Async: false\r\n\
    x-stainless-retry-count: 0\r\n\
    x-stainless-read-timeout: 600\r\n\
    Content-Length: 1234\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Mon, 01 Sep 2025 10:00:00 GMT\r\n\
    Content-Type: text/event-stream; charset=utf-8\r\n\
    Transfer-Encoding: chunked\r\n\
    Connection: keep-alive\r\n\
    openai-organization: org-0123456789\r\n\
    openai-processing-ms: 312\r\n\
    openai-version: 2020-10-01\r\n\
    x-ratelimit-limit-requests: 10000\r\n\
    x-ratelimit-limit-tokens: 30000000\r\n\
    x-ratelimit-remaining-requests: 9999\r\n\
    x-ratelimit-remaining-tokens: 29999967\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\n\
    Server: cloudflare\r\n\r\n";

fn heads(c: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = c.benchmark_group("head");
    for (name, head) in [("request/minimal", MINIMAL), ("request/sdk", SDK)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |b| b.iter(|| request(black_box(head), &limits)));
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
    group.bench_function("response", |b| b.iter(|| response(black_box(RESPONSE), &limits, Method::Post)));
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
