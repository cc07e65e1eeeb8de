//! How the simulator behaves: [`Script`], and the words by which it is set.
//!
//! Every setting has one name, the same in three places: `Script::set(name, value)`, the request header
//! `x-sim-<name>: value` (for that request alone), and the command line `--<name> value`.
//!
//! | name | value | default |
//! |---|---|---|
//! | `input-tokens` | a number, or `body` (body bytes / 4) | `body` |
//! | `output-tokens` | a number; the request's own maximum is obeyed | 16 |
//! | `cached-input-tokens`, `cache-write-tokens` | a number; parts of the input | 0 |
//! | `reasoning-tokens` | a number; part of the output | 0 |
//! | `reply` | text to answer, or nothing for [`crate::reply_text`] | |
//! | `chunks` | content events in a stream, 1 to 100,000 | 4 |
//! | `chunk-bytes` | bytes of text in each of them after the first | 6 |
//! | `tool-call` | name of a function to call instead of answering text | |
//! | `thinking` | `true`: a thinking block (Anthropic), `reasoning_content` (OpenAI-compatible) | `false` |
//! | `latency` | before the first byte of the answer: `20ms`, `1s`, `150us` | `0ms` |
//! | `chunk-gap` | between two events of a stream | `0ms` |
//! | `framing` | `auto`, `length`, `chunked`, `close` | `auto` |
//! | `coding` | content codings as applied, such as `gzip` or `deflate, br`: see [`Coding`]; feature `codings` | |
//! | `fault` | see [`Fault`] | `none` |
//! | `fault-every` | only every n-th request has the fault | 1 |
//! | `fault-times` | only so many requests have the fault, counted from when the script was set | no end |
//! | `retry-after` | seconds, sent with the status faults 429, 503 and 529; `none` | 1 |
//! | `idle-timeout` | a kept-alive connection idle so long is closed; `none` | `none` |
//! | `expected-key` | any other key is answered 401; `none` | `none` |
//! | `strict` | fields and roles that the real provider would refuse are refused | `true` |
//! | `body-limit` | bytes; longer bodies are answered 413 | 64 MiB |
//! | `record` | remember requests for [`crate::Simulator::requests`] | `true` |
//! | `journal` | keep how each request ended for [`crate::Simulator::take_answers`] | `false` |
//! | `tag` | a number by which the journal calls the request | 0 |

mod fault;
mod words;

pub use fault::{Ending, Fault};
pub use words::parse_duration;

use crate::coding::Coding;
use crate::limits;
use std::time::Duration;

/// Where a number of tokens comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Always this many.
    Fixed(u64),
    /// The request body's bytes divided by 4, at least 1.
    FromBody,
}

impl Count {
    /// The number for a body of `bytes` bytes.
    pub fn of(self, bytes: usize) -> u64 {
        match self {
            Count::Fixed(tokens) => tokens,
            Count::FromBody => (bytes as u64 / 4).max(1),
        }
    }
}

/// What the answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// [`crate::reply_text`]: the model asked for, the request's number and a hash of the last user text.
    Derived,
    /// This text, cut into `chunks` pieces when streamed.
    Text(String),
}

/// How the end of an answer's body is marked (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Content-Length for whole answers, chunked for streams: what real providers do.
    Auto,
    /// Content-Length always.
    ContentLength,
    /// Chunked always; one chunk per event, three for a whole answer.
    Chunked,
    /// Neither: the end of the connection is the end of the body.
    CloseDelimited,
}

/// The behaviour of a [`crate::Simulator`]. Every field has a default; see the table of [`crate::script`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// All input tokens of a request, cached and cache-written ones included.
    pub input_tokens: Count,
    /// Output tokens, reasoning included, unless the request allows fewer.
    pub output_tokens: u64,
    /// Part of the input read from the prompt cache; never more than the input.
    pub cached_input_tokens: u64,
    /// Part of the input written to the prompt cache; never more than what the cached part leaves.
    pub cache_write_tokens: u64,
    /// Part of the output; never more than the output.
    pub reasoning_tokens: u64,
    /// What is answered.
    pub reply: Reply,
    /// Content events in a stream.
    pub chunks: u32,
    /// Bytes of text in each content event after the first (which carries the derived text's facts).
    pub chunk_bytes: u32,
    /// Call the function of this name instead of answering with text.
    pub tool_call: Option<String>,
    /// Think aloud before answering.
    pub thinking: bool,
    /// Wait before the first byte of an answer.
    pub latency: Duration,
    /// Wait before every event of a stream but the first.
    pub chunk_gap: Duration,
    /// How the answer's end is marked.
    pub framing: Framing,
    /// What the answer is compressed with, in this order, whatever the client accepts; a stream is flushed event by event.
    pub coding: Vec<Coding>,
    /// What goes wrong.
    pub fault: Fault,
    /// The fault strikes every n-th request; 0 and 1 mean every one. Not for faults asked by header.
    pub fault_every: u64,
    /// The fault strikes so many requests, counted from when the script was set. Not for faults asked by header.
    pub fault_times: u64,
    /// Seconds in `retry-after`, sent with [`Fault::Status`] 429, 503 and 529.
    pub retry_after: Option<u64>,
    /// Close a kept-alive connection that was idle so long, without a word, as providers do.
    pub idle_timeout: Option<Duration>,
    /// Most bytes that the kernel holds of what is sent over one connection; without it as many as it likes, which with
    /// thousands of slow readers is all that a host has for TCP.
    pub send_buffer: Option<usize>,
    /// The only key that is accepted; without it any non-empty key is.
    pub expected_key: Option<String>,
    /// Refuse the fields and orders of roles that the real provider refuses.
    pub strict: bool,
    /// Longest request body in bytes; `/plain` has no limit.
    pub body_limit: usize,
    /// Remember requests.
    pub record: bool,
    /// Keep how each request ended.
    pub journal: bool,
    /// What the journal calls the request.
    pub tag: u64,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            input_tokens: Count::FromBody,
            output_tokens: 16,
            cached_input_tokens: 0,
            cache_write_tokens: 0,
            reasoning_tokens: 0,
            reply: Reply::Derived,
            chunks: 4,
            chunk_bytes: 6,
            tool_call: None,
            thinking: false,
            latency: Duration::ZERO,
            chunk_gap: Duration::ZERO,
            framing: Framing::Auto,
            coding: Vec::new(),
            fault: Fault::None,
            fault_every: 1,
            fault_times: u64::MAX,
            retry_after: Some(1),
            idle_timeout: None,
            send_buffer: None,
            expected_key: None,
            strict: true,
            body_limit: 64 * 1024 * 1024,
            record: true,
            journal: false,
            tag: 0,
        }
    }
}

impl Script {
    /// Sets one value by its name in the table of [`crate::script`]; the error says what was expected.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        words::set(self, name, value)
    }

    /// Content events, within bounds.
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.clamp(1, limits::CHUNKS_MAX) as usize
    }

    /// Bytes of text per content event, so that the answer stays within bounds.
    pub(crate) fn chunk_size(&self) -> usize {
        (self.chunk_bytes as usize).min(limits::REPLY_BYTES_MAX / self.chunk_count())
    }
}
