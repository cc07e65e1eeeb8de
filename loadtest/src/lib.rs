//! The load kit of tollgate: a simulated LLM provider that keeps its own books.
//!
//! [`Simulator`] is a real HTTP/1.1 server on loopback with one thread. It speaks OpenAI chat completions,
//! Responses and embeddings, Anthropic messages, Gemini's contents and Bedrock's Converse, whole and streamed, and answers
//! as its [`Script`] says: how many tokens, how fast, with which fault. Its [`Ledger`] holds every token that it reported, so that a gateway's settlement can be compared
//! with what the provider said. Nothing here is shared with the gateway: a mistake is not made twice.
//!
//! | path | answer |
//! |---|---|
//! | `POST /v1/chat/completions` | OpenAI chat completion, or its SSE stream |
//! | `POST /v1/responses` | OpenAI response, or its SSE stream |
//! | `POST /v1/embeddings` | OpenAI embeddings of the same numbers |
//! | `POST /v1/messages` | Anthropic message, or its SSE stream |
//! | `POST /v1/messages/count_tokens` | `{"input_tokens":N}` |
//! | `POST /v1beta/models/M:generateContent`, `:streamGenerateContent?alt=sse` | Gemini content, or its SSE stream |
//! | `POST /v1beta/models/M:countTokens` | `{"totalTokens":N}` |
//! | `POST /v1beta/models/M:embedContent`, `:batchEmbedContents` | Gemini embeddings, whose first numbers count them |
//! | `POST /v1/projects/.../models/M:predict` | Vertex AI's, each with its tokens |
//! | `POST /model/M/converse`, `/model/M/converse-stream` | Bedrock message, or its frames; the signature is verified |
//! | `POST /model/M/invoke` | Bedrock embeddings of Titan, Cohere or Nova, their tokens in the head too |
//! | the endpoints of OpenAI below the prefixes of compatible hosts, or a deployment of Azure's | the same |
//! | `GET /v1/models`, `/v1beta/models`, and below | two models in the shape that path and headers ask for |
//! | `GET /plain?bytes=N` | N bytes of [`plain_body`] |
//! | `POST /plain` | `{"bytes":N,"fnv1a64":"..."}` of the body received, which may be of any length |
//! | `POST /echo` | the body received |
//! | anything else | 404 in the provider's error shape |
//!
//! Reading order: [`script`] (what can be asked for), `ledger` (what is counted), `simulator` (the handle),
//! `server` (the loop), `connection` (one client), `http` (requests in), `provider` (what is answered),
//! `answer` (bytes out, and every fault).
//!
//! [`eventstream`] writes the streams of Amazon Bedrock, for tests of the gateway's reader.
//!
//! [`client`] is the other end: a load client that checks every answer against what the simulator must have said.
//!
//! Invariants: one thread owns every socket; buffers have bounds ([`limits`]); a slow reader stops the production
//! of its own answer and costs no CPU; after a quiet moment `requests = completed + cut + client_gone + open`.

mod answer;
pub mod client;
pub mod coding;
mod connection;
pub mod eventstream;
mod http;
mod ledger;
pub mod limits;
mod memo;
mod provider;
mod readiness;
pub mod script;
mod server;
mod simulator;
mod text;
mod timers;

pub use ledger::{AnswerEnd, Answered, Answers, Ledger, SeenRequest, Usage};
pub use provider::{AWS_SECRET_KEY, check_signature};
pub use script::{Count, Ending, Fault, Framing, Reply, Script};
pub use simulator::Simulator;
pub use text::{fnv1a64, plain_body, reply_text};
