//! What the simulated providers say: routes, checks, answers and errors, without sockets or time.

mod anthropic;
mod converse;
mod embeddings;
mod error;
mod gemini;
mod models;
mod openai;
mod place;
mod plain;
mod responses;
mod signature;
mod vertex;

pub(crate) use error::Refusal;
pub use signature::{AWS_SECRET_KEY, check_signature};

use crate::answer::{Envelope, Plan, Sheet};
use crate::http::Head;
use crate::ledger::Usage;
use crate::script::{Fault, Framing, Script};
use crate::text::NUMBER_MARK;
use serde_json::Value;

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    OpenAiChat,
    OpenAiResponses,
    OpenAiEmbeddings,
    AnthropicMessages,
    AnthropicCountTokens,
    /// Anthropic's format at Vertex AI, where the path names the model.
    VertexMessages {
        streamed: bool,
    },
    VertexCountTokens,
    /// Whole, or as a stream of events.
    GeminiGenerate {
        streamed: bool,
    },
    GeminiCountTokens,
    GeminiEmbed,
    GeminiEmbedBatch,
    /// Vertex AI's models of texts.
    GeminiPredict,
    /// Bedrock's models that embed texts.
    Invoke,
    /// Bedrock's Converse, whole or as a stream of frames.
    Converse {
        streamed: bool,
    },
    /// Bedrock's CountTokens.
    ConverseCountTokens,
    /// A list of models, or one of them, in this shape.
    Models(Shape),
    /// `/plain`; a POST's body is counted and hashed, not kept.
    Plain,
    Echo,
    /// No such path: 404 in this shape.
    Unknown(Shape),
    /// The path exists, the method does not: 405 in this shape.
    WrongMethod(Shape),
}

/// Whose errors are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
}

/// One request, as the providers see it.
pub(crate) struct Ask<'a> {
    pub(crate) route: Route,
    pub(crate) head: &'a Head,
    /// The head's bytes, which its ranges are about.
    pub(crate) bytes: &'a [u8],
    pub(crate) body: &'a [u8],
    /// The script in force for this request.
    pub(crate) script: &'a Script,
    /// The fault in force: the script's, or none when it is not this request's turn.
    pub(crate) fault: Fault,
    /// Length and hash of a body that was not kept.
    pub(crate) counted: (u64, u64),
    /// Its place among all requests, from 1.
    pub(crate) number: u64,
}

/// An answer and what the ledger must know about it.
pub(crate) struct Answered {
    pub(crate) plan: Plan,
    pub(crate) refused: bool,
}

impl Route {
    /// The route of a head whose bytes these are.
    pub(crate) fn of(head: &Head, bytes: &[u8]) -> Route {
        let method = &bytes[head.method.clone()];
        let target = &bytes[head.target.clone()];
        let path = target.split(|&b| b == b'?').next().unwrap_or_default();
        let posted = method == b"POST";
        let own = place::at_openai(path);
        let path = &*own;
        match path {
            b"/v1/chat/completions" if posted => Route::OpenAiChat,
            b"/v1/responses" if posted => Route::OpenAiResponses,
            b"/v1/embeddings" if posted => Route::OpenAiEmbeddings,
            b"/v1/messages" if posted => Route::AnthropicMessages,
            b"/v1/messages/count_tokens" if posted => Route::AnthropicCountTokens,
            b"/plain" if matches!(method, b"GET" | b"HEAD" | b"POST" | b"PUT") => Route::Plain,
            b"/echo" if posted => Route::Echo,
            b"/v1/chat/completions" | b"/v1/responses" | b"/v1/embeddings" | b"/plain" | b"/echo" => {
                Route::WrongMethod(Shape::OpenAi)
            }
            b"/v1/messages" | b"/v1/messages/count_tokens" => Route::WrongMethod(Shape::Anthropic),
            _ if posted && path.starts_with(b"/model/") => match path.rsplit(|&b| b == b'/').next() {
                Some(b"converse") => Route::Converse { streamed: false },
                Some(b"converse-stream") => Route::Converse { streamed: true },
                Some(b"invoke") => Route::Invoke,
                Some(b"count-tokens") => Route::ConverseCountTokens,
                _ => Route::Unknown(Shape::Bedrock),
            },
            _ if vertex::is_below(path) => vertex::route(method, path, target),
            _ if models::is_below(path) => {
                models::route(method, path, target, head.anthropic_version.is_some())
            }
            _ if head.anthropic_version.is_some() => Route::Unknown(Shape::Anthropic),
            _ => Route::Unknown(Shape::OpenAi),
        }
    }

    /// Whose errors this route sends.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Route::AnthropicMessages | Route::AnthropicCountTokens => Shape::Anthropic,
            Route::VertexMessages { .. } | Route::VertexCountTokens => Shape::Anthropic,
            Route::GeminiGenerate { .. } | Route::GeminiCountTokens => Shape::Gemini,
            Route::GeminiEmbed | Route::GeminiEmbedBatch | Route::GeminiPredict => Shape::Gemini,
            Route::Converse { .. } | Route::Invoke | Route::ConverseCountTokens => Shape::Bedrock,
            Route::Models(shape) | Route::Unknown(shape) | Route::WrongMethod(shape) => shape,
            _ => Shape::OpenAi,
        }
    }

    /// Whether the body alone says what is answered, so that the answer may be remembered by it.
    pub(crate) fn is_remembered(self) -> bool {
        matches!(
            self,
            Route::OpenAiChat | Route::OpenAiResponses | Route::OpenAiEmbeddings | Route::AnthropicMessages
        )
    }
}

/// The checks that need the head alone: the key, and Anthropic's version.
pub(crate) fn check_head(ask: &Ask<'_>) -> Result<(), Refusal> {
    match (ask.route, ask.route.shape()) {
        (Route::Plain | Route::Echo | Route::Unknown(_) | Route::WrongMethod(_), _) => Ok(()),
        (Route::VertexMessages { .. } | Route::VertexCountTokens, _) => vertex::check_head(ask),
        (_, Shape::OpenAi) => openai::check_head(ask),
        (_, Shape::Anthropic) => anthropic::check_head(ask),
        (_, Shape::Gemini) => gemini::check_head(ask),
        (_, Shape::Bedrock) => converse::check_head(ask),
    }
}

/// The answer to a request whose head passed [`check_head`].
pub(crate) fn answer(ask: &Ask<'_>) -> Answered {
    let plan = match ask.fault {
        Fault::Status(status) => Ok(error::scripted(ask, status)),
        Fault::Html(status) => Ok(error::html(ask, status)),
        Fault::GarbageJson => Ok(error::garbage(ask)),
        Fault::EarlyAnswer => Ok(error::early(ask)),
        _ => answer_well(ask),
    };
    match plan {
        Ok(plan) => Answered { plan, refused: false },
        Err(refusal) => refuse(ask, &refusal),
    }
}

/// The answer to a request that the provider refuses.
pub(crate) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Answered {
    Answered { plan: refusal.plan(ask), refused: true }
}

fn answer_well(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    match ask.route {
        Route::OpenAiChat => openai::chat(ask),
        Route::OpenAiResponses => responses::response(ask),
        Route::OpenAiEmbeddings => embeddings::embeddings(ask),
        Route::AnthropicMessages => anthropic::messages(ask),
        Route::AnthropicCountTokens => anthropic::count_tokens(ask),
        Route::VertexMessages { streamed } => vertex::messages(ask, streamed),
        Route::VertexCountTokens => vertex::count_tokens(ask),
        Route::GeminiGenerate { streamed } => gemini::generate(ask, streamed),
        Route::GeminiCountTokens => gemini::count_tokens(ask),
        Route::GeminiEmbed => embeddings::embed(ask),
        Route::GeminiEmbedBatch => embeddings::embed_batch(ask),
        Route::GeminiPredict => embeddings::predict(ask),
        Route::Invoke => embeddings::invoke(ask),
        Route::Converse { streamed } => converse::converse(ask, streamed),
        Route::ConverseCountTokens => converse::count_tokens(ask),
        Route::Models(shape) => models::models(ask, shape),
        Route::Plain => plain::plain(ask),
        Route::Echo => Ok(plain::echo(ask)),
        Route::Unknown(shape) => Err(Refusal::unknown_path(shape, &ask.method(), &ask.path())),
        Route::WrongMethod(shape) => Err(Refusal::wrong_method(shape, &ask.method(), &ask.path())),
    }
}

impl<'a> Ask<'a> {
    /// What goes around an answer: connection and framing from the request and the script.
    pub(crate) fn envelope(&self, status: u16, content_type: &'static str) -> Envelope {
        let script = self.script;
        let lines = match self.route.shape() {
            Shape::OpenAi => format!("openai-version: 2020-10-01\r\nx-request-id: req_sim{NUMBER_MARK}\r\n"),
            Shape::Anthropic => format!("request-id: req_sim{NUMBER_MARK}\r\n"),
            Shape::Gemini => "server-timing: gfet4t7; dur=1\r\n".to_string(),
            Shape::Bedrock => format!("x-amzn-requestid: sim{NUMBER_MARK}\r\n"),
        };
        Envelope {
            lines,
            framing: if script.framing == Framing::Auto { Framing::ContentLength } else { script.framing },
            coding: script.coding.clone(),
            number: self.number,
            keep_alive: self.head.keep_alive,
            http_1_1: self.head.http_1_1,
            head_only: &self.bytes[self.head.method.clone()] == b"HEAD",
            latency: script.latency,
            fault: self.fault,
            ..Envelope::plain(status, content_type)
        }
    }

    /// The envelope of a stream of events.
    fn stream_envelope(&self) -> Envelope {
        let media = match self.route.shape() {
            Shape::Bedrock => "application/vnd.amazon.eventstream",
            _ => "text/event-stream; charset=utf-8",
        };
        let mut envelope = self.envelope(200, media);
        envelope.lines.push_str("cache-control: no-cache\r\n");
        envelope.gap = self.script.chunk_gap;
        if self.script.framing == Framing::Auto {
            envelope.framing = Framing::Chunked;
        }
        envelope
    }

    pub(crate) fn method(&self) -> String {
        String::from_utf8_lossy(&self.bytes[self.head.method.clone()]).into_owned()
    }

    pub(crate) fn target(&self) -> String {
        String::from_utf8_lossy(&self.bytes[self.head.target.clone()]).into_owned()
    }

    fn path(&self) -> String {
        let target = self.target();
        target.split('?').next().unwrap_or_default().to_string()
    }

    /// The key of `Authorization: Bearer`, if there is one and it is not empty.
    fn bearer(&self) -> Option<&'a str> {
        let value = self.head.authorization.clone().and_then(|range| self.bytes.get(range))?;
        let (scheme, key) = value.split_at_checked(7)?;
        let key = std::str::from_utf8(key).ok()?.trim();
        (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then_some(key)
    }

    /// The value of `x-api-key`, if there is one and it is not empty.
    fn api_key(&self) -> Option<&'a str> {
        self.filled(self.head.api_key.clone())
    }

    /// The value of `api-key`, Azure's, if there is one and it is not empty.
    fn azure_api_key(&self) -> Option<&'a str> {
        self.filled(self.head.azure_api_key.clone())
    }

    /// The value of `x-goog-api-key`, if there is one and it is not empty.
    fn goog_api_key(&self) -> Option<&'a str> {
        self.filled(self.head.goog_api_key.clone())
    }

    fn filled(&self, value: Option<std::ops::Range<usize>>) -> Option<&'a str> {
        let value = value.and_then(|range| self.bytes.get(range))?;
        std::str::from_utf8(value).ok().map(str::trim).filter(|key| !key.is_empty())
    }

    fn is_expected(&self, key: &str) -> bool {
        self.script.expected_key.as_deref().is_none_or(|expected| expected == key)
    }

    /// The usage of the answer, when the request allows at most `max_output` tokens.
    fn usage(&self, max_output: Option<u64>) -> Usage {
        let script = self.script;
        let input = script.input_tokens.of(self.body.len());
        let output = script.output_tokens.min(max_output.unwrap_or(u64::MAX));
        let cached_input = script.cached_input_tokens.min(input);
        let cache_write = script.cache_write_tokens.min(input - cached_input);
        Usage { input, cached_input, cache_write, output, reasoning: script.reasoning_tokens.min(output) }
    }
}

/// A plan for a small JSON body without usage.
fn json_plan(ask: &Ask<'_>, status: u16, body: &str) -> Plan {
    let mut sheet = Sheet::default();
    sheet.text(body);
    sheet.plan(&ask.envelope(status, "application/json"))
}

/// A JSON string literal; the number's mark stays as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace("\\u0001", NUMBER_MARK)
}

/// The inside of a JSON string literal.
fn escaped(text: &str) -> String {
    let literal = quoted(text);
    literal[1..literal.len() - 1].to_string()
}

/// The text of the last message of role `user`: a string, or the text parts of a list joined.
fn last_user_text(messages: &[Value]) -> String {
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    match last.map(|message| &message["content"]) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// The pieces of the JSON arguments of a tool call: what [`crate::reply_text`] says, as an object.
fn argument_pieces(script: &Script, model: &str, user_text: &str) -> Vec<String> {
    let hash = crate::text::fnv1a64(user_text.as_bytes());
    let count = script.chunk_count();
    let first =
        format!("{{\"model\":{},\"request\":\"{NUMBER_MARK}\",\"hash\":\"{hash:016x}\"", quoted(model));
    let mut pieces: Vec<String> =
        std::iter::once(first).chain((1..count).map(|index| format!(",\"k{index}\":{index}"))).collect();
    if let Some(last) = pieces.last_mut() {
        last.push('}');
    }
    pieces
}

/// `total` shared out so far after `done` of `parts` parts.
fn share(total: u64, done: usize, parts: usize) -> u64 {
    (u128::from(total) * done as u128 / parts.max(1) as u128) as u64
}
