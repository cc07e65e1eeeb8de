//! Fuzz targets: one function for each reader, from bytes to nothing, which panics where the reader breaks a promise.
//!
//! What is promised is checked in the target, with the library's public interface alone: that a reader says the same however its
//! bytes are cut, that what is written is read again, that a naive reader agrees, that a translated stream is well-formed, that no
//! fault repeats a secret. `tests/fuzz.rs` runs them on stable, `fuzz_targets` with libFuzzer.

mod access;
mod answers;
mod coding;
mod config;
mod credentials;
mod cuts;
mod guard;
mod http;
mod json;
mod policy;
mod store;
mod streams;
mod text;
mod translate;
mod wellformed;

/// A reader that is fuzzed.
pub struct Target {
    /// Its name, which its corpus has too.
    pub name: &'static str,
    /// Reads the bytes. Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// The words that mean something to it: a file of `words`.
    pub words: &'static str,
    /// How many inputs the bounded run makes up: the dearer one is, the fewer.
    pub inputs: usize,
    /// Bytes of memory that may be held at once, the target's own records included, beside [`PER_BYTE`] for each byte of input.
    pub bytes_max: u64,
}

/// Bytes of memory that a byte of input may cost: lists of lines, trees, and what a target writes down of every cut.
pub const PER_BYTE: u64 = 512;

/// The most bytes of input that are read: what is longer is cut there. More says nothing new and takes long.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// All of them.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    Target { name: "request_head",      run: http::request_head,        words: "http", inputs: 3600, bytes_max: 256 * KIB },
    Target { name: "response_head",     run: http::response_head,       words: "http", inputs: 3600, bytes_max: 256 * KIB },
    Target { name: "body",              run: http::body,                words: "http", inputs: 3600, bytes_max: 64 * KIB },
    Target { name: "url",               run: text::url,                 words: "http", inputs: 5400, bytes_max: 64 * KIB },
    Target { name: "endpoint",          run: text::endpoint,            words: "http", inputs: 5400, bytes_max: 64 * KIB },
    Target { name: "jwt",               run: text::jwt,                 words: "json", inputs: 3600, bytes_max: 64 * KIB },
    Target { name: "token",             run: access::token,             words: "json", inputs: 2400, bytes_max: 256 * KIB },
    Target { name: "key_set",           run: access::key_set,           words: "json", inputs: 2400, bytes_max: 256 * KIB },
    Target { name: "password",          run: access::password,          words: "text", inputs: 3600, bytes_max: 256 * KIB },
    Target { name: "cel",               run: access::cel,               words: "cel",  inputs: 3600, bytes_max: MIB },
    Target { name: "tokenizer",         run: text::tokenizer,           words: "json", inputs: 720,  bytes_max: 64 * MIB },
    Target { name: "json",              run: json::json,                words: "json", inputs: 2400, bytes_max: 256 * KIB },
    Target { name: "inspect",           run: json::inspect,             words: "json", inputs: 2400, bytes_max: 256 * KIB },
    Target { name: "policy",            run: policy::policy,            words: "json", inputs: 2400, bytes_max: 256 * KIB },
    Target { name: "sse",               run: streams::sse,              words: "sse",  inputs: 2400, bytes_max: 64 * KIB },
    Target { name: "eventstream",       run: streams::eventstream,      words: "sse",  inputs: 2400, bytes_max: 256 * KIB },
    Target { name: "coding",            run: coding::coding,            words: "sse",  inputs: 600,  bytes_max: 64 * MIB },
    Target { name: "meter",             run: answers::meter,            words: "sse",  inputs: 1800, bytes_max: 256 * KIB },
    Target { name: "cut",               run: answers::cut,              words: "sse",  inputs: 1200, bytes_max: 256 * KIB },
    Target { name: "strip",             run: answers::strip,            words: "sse",  inputs: 1800, bytes_max: 256 * KIB },
    Target { name: "translate_request", run: translate::request,        words: "json", inputs: 2400, bytes_max: MIB },
    Target { name: "translate_reply",   run: translate::reply,          words: "json", inputs: 2400, bytes_max: MIB },
    Target { name: "translate_stream",  run: translate::stream,         words: "sse",  inputs: 1800, bytes_max: MIB },
    Target { name: "translate_error",   run: translate::error,          words: "json", inputs: 2400, bytes_max: MIB },
    Target { name: "guard_stream",      run: guard::stream,             words: "sse",  inputs: 600,  bytes_max: 16 * MIB },
    Target { name: "guard_text",        run: guard::text,               words: "text", inputs: 600,  bytes_max: 16 * MIB },
    Target { name: "config",            run: config::config,            words: "yaml", inputs: 360,  bytes_max: 64 * MIB },
    Target { name: "prices",            run: config::prices,            words: "yaml", inputs: 360,  bytes_max: 64 * MIB },
    Target { name: "account",           run: config::account,           words: "yaml", inputs: 2400, bytes_max: MIB },
    Target { name: "journal",           run: store::journal,            words: "text", inputs: 600,  bytes_max: 8 * MIB },
    Target { name: "aws_profile",       run: credentials::aws_profile,  words: "text", inputs: 3600, bytes_max: 64 * KIB },
    Target { name: "google_key",        run: credentials::google_key,   words: "json", inputs: 1200, bytes_max: 256 * KIB },
    Target { name: "token_answer",      run: credentials::token_answer, words: "json", inputs: 2400, bytes_max: 256 * KIB },
];

/// Runs the target of that name. Panics where a promise is broken, and where there is none of that name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name:?}"));
    (target.run)(&data[..data.len().min(INPUT_BYTES_MAX)]);
}

/// The client's format and the provider's of every pair that is translated, as the first byte of a translation's input chooses them.
pub fn pairs() -> &'static [(tollgate::llm::Format, tollgate::llm::Format)] {
    &translate::PAIRS
}

/// The first byte of an input, which says what the rest is.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}
