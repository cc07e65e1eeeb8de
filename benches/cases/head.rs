//! Heads of requests and of answers, and parsing them.

use std::hint::black_box;
use tollgate::wire::http1::{HeadLimits, Method, request, response};

pub(crate) const MINIMAL: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// As the OpenAI SDK for Python sends it.
pub(crate) const SDK: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\n\
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

pub(crate) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
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

/// Parses the head of a request.
pub(crate) fn parse_request(head: &'static [u8]) -> impl FnMut() {
    let limits = HeadLimits::default();
    move || {
        black_box(&request(black_box(head), &limits));
    }
}

/// Parses [`RESPONSE`].
pub(crate) fn parse_response() -> impl FnMut() {
    let limits = HeadLimits::default();
    move || {
        black_box(&response(black_box(RESPONSE), &limits, Method::Post));
    }
}
