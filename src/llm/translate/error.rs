//! Errors of a provider in the client's format, whole and in the middle of a stream.

use super::emit::event;
use super::read::{Decoder, Kind, Value};
use crate::llm::refusal::{self, Refusal, RefusalKind};
use crate::llm::{Api, Format};

/// The longest message that is handed on, in bytes; a provider's own are far shorter.
const MESSAGE_MAX: usize = 4096;

/// The words in which Anthropic says that a conversation does not fit the model, and by which its clients know
/// that they have to shorten it; OpenAI's know by the code `context_length_exceeded`.
const TOO_LONG: &str = "prompt is too long";

/// In which others say so: OpenAI and those who copy it, Bedrock in two ways, and Google.
const TOO_LONG_ELSEWHERE: [&str; 4] = [
    "maximum context length",
    "Input is too long for requested model",
    "exceed context limit",
    "exceeds the maximum number of tokens",
];

/// Appends to `out` the error that a provider answered with, in the client's format, and returns the status to
/// send. Any body will do: one that is empty, HTML or nonsense gives a message that names the status.
///
/// The status stays, since the SDKs of both decide by it whether to try again (408, 409, 429, and 500 and
/// above), with two exceptions: 529, which only Anthropic's clients know as "overloaded", is 503 to all
/// others; and a `status` below 400 is no error at all and becomes 502.
///
/// Between equal formats a body that has the format's shape is kept as it is. Whether a 401 or 403 should be
/// shown to the client at all (it is the gateway's credential that the provider refuses) is the caller's choice.
pub fn error(provider: Format, client: Format, status: u16, body: &mut [u8], out: &mut Vec<u8>) -> u16 {
    let start = out.len();
    if provider == client {
        out.extend_from_slice(body);
    }
    let found = Problem::read(body);
    let status = match status {
        0..400 => 502,
        529 if client.api() != Api::Anthropic => 503,
        status => status,
    };
    if provider == client && found.as_ref().is_some_and(|found| found.in_shape) {
        return status;
    }
    out.truncate(start);
    let kind = RefusalKind::of_status(status);
    found.unwrap_or_default().refuse(client, kind, Some(status), |refusal| {
        refusal::write(Some(client), refusal, out);
    });
    status
}

/// Appends the error event for one that came in the middle of a provider's stream. It is the `number`-th event of
/// a client's stream that numbers them.
pub(super) fn stream_error(client: Format, number: u64, event: Value<'_, '_>, out: &mut Vec<u8>) {
    let problem = Problem::of(event);
    let kind = kind_of_word(&problem.kind).or_else(|| kind_of_word(&problem.code));
    problem.refuse(client, kind.unwrap_or(RefusalKind::Internal), None, |refusal| {
        write_event(client, number, refusal, out);
    });
}

/// As [`stream_error`], for an error that is told by its name and its words.
pub(super) fn stream_failed(client: Format, number: u64, kind: &str, message: &str, out: &mut Vec<u8>) {
    let problem = Problem { kind: kind.to_owned(), message: message.to_owned(), ..Problem::default() };
    let kind = kind_of_word(kind).unwrap_or(RefusalKind::Internal);
    problem.refuse(client, kind, None, |refusal| write_event(client, number, refusal, out));
}

/// Appends the error event for a stream that ended before its answer did; see [`stream_error`].
pub(super) fn stream_cut(client: Format, number: u64, out: &mut Vec<u8>) {
    let refusal =
        Refusal::new(RefusalKind::Upstream, "the provider's stream ended before the answer was complete");
    write_event(client, number, &refusal, out);
}

fn write_event(client: Format, number: u64, refusal: &Refusal<'_>, out: &mut Vec<u8>) {
    if client == Format::OpenAiResponses {
        return event("error", out, |e| {
            let kind = refusal.kind;
            e.key("code").str(refusal.code.or(kind.openai_code()).unwrap_or(kind.openai_type()));
            e.key("message").str(refusal.message);
            e.key("param");
            match refusal.param {
                Some(param) => e.str(param),
                None => e.raw("null"),
            }
            e.key("sequence_number").u64(number);
        });
    }
    out.extend_from_slice(match client.api() {
        Api::OpenAi | Api::Gemini | Api::Bedrock => b"data: ",
        Api::Anthropic => b"event: error\ndata: ",
    });
    refusal::write(Some(client), refusal, out);
    out.extend_from_slice(b"\n\n");
}

/// What an error says, in any of the shapes that are met.
#[derive(Default)]
struct Problem {
    message: String,
    /// `error.type` (both formats), or the name of the exception (AWS); empty when missing.
    kind: String,
    /// `error.code` (OpenAI), a number as its digits (vLLM and others send one), or `error.status` (Google); empty when
    /// missing.
    code: String,
    /// `error.param` (OpenAI); empty when missing.
    param: String,
    /// Whether it is an object with an `error` object that has a message: what both formats demand.
    in_shape: bool,
}

impl Problem {
    /// Reads a JSON body, or takes a short plain text as the message; `None` when nothing can be made of it.
    fn read(body: &mut [u8]) -> Option<Problem> {
        let text = body.trim_ascii();
        if matches!(text.first(), Some(b'{' | b'[' | b'"')) {
            return Decoder::default()
                .decode(body, Problem::of)
                .filter(|problem| !problem.message.is_empty());
        }
        let is_plain = !text.is_empty() && text.len() <= 512 && text.first() != Some(&b'<');
        let message = std::str::from_utf8(text).ok().filter(|_| is_plain)?;
        Some(Problem { message: message.to_owned(), ..Problem::default() })
    }

    /// `{"error": {...}}`, `{"error": "text"}`, `{"message": "text"}`, the same with `Message` and `__type` (AWS),
    /// `{"detail": ...}` (FastAPI), a bare string, or a list of any of these (Gemini).
    fn of(value: Value<'_, '_>) -> Problem {
        let value = value.elements().next().unwrap_or(value);
        let nested = value.get("error");
        let holder = nested.filter(|error| error.is_object()).unwrap_or(value);
        let message = ["message", "Message", "detail", "error", "error_description"]
            .iter()
            .find_map(|name| holder.get(name));
        let message = message.or_else(|| value.str().map(|_| value)).map_or(String::new(), word);
        let of = |name: &str| holder.get(name).map_or(String::new(), word);
        let in_shape = nested.is_some_and(|error| error.is_object() && error.get("message").is_some());
        let kind = if nested.is_some() { of("type") } else { exception(&of("__type")).to_owned() };
        let code = match of("status") {
            status if !status.is_empty() && nested.is_some() => status, // Google's, whose code is the HTTP status again
            _ => of("code"),
        };
        Problem { in_shape, message, kind, code, param: of("param") }
    }

    /// Hands on what is to be told to the client.
    fn refuse(
        &self,
        client: Format,
        kind: RefusalKind,
        status: Option<u16>,
        write: impl FnOnce(&Refusal<'_>),
    ) {
        let nameless = status.map_or("the provider reported an error".to_owned(), |status| {
            format!("the provider answered with status {status}")
        });
        let mut message = if self.message.is_empty() { nameless } else { self.message.clone() };
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        let too_long = self.code == "context_length_exceeded"
            || message.contains(TOO_LONG)
            || TOO_LONG_ELSEWHERE.iter().any(|words| message.contains(words));
        if client == Format::AnthropicMessages && too_long && !message.contains(TOO_LONG) {
            message.insert_str(0, ": ");
            message.insert_str(0, TOO_LONG);
        }
        let own = [&self.code, &self.kind].into_iter().find(|word| !word.is_empty()).map(String::as_str);
        let code = match kind {
            _ if too_long => Some("context_length_exceeded"),
            RefusalKind::NotFound if message.starts_with("model: ") => Some("model_not_found"),
            RefusalKind::RateLimited | RefusalKind::Authentication => kind.openai_code(),
            _ => own.filter(|word| *word != kind.openai_type()),
        };
        let param = Some(self.param.as_str()).filter(|param| !param.is_empty());
        let own = Refusal::new(kind, &message);
        let refusal = Refusal { status: status.unwrap_or(own.status), param, code, ..own };
        write(&refusal);
    }
}

/// The name of an AWS exception without its namespace: `com.amazon.coral.service#ExpiredTokenException`, or a URL after a
/// colon (AWS restJson1 protocol, "Operation error serialization").
fn exception(kind: &str) -> &str {
    let name = kind.rsplit_once('#').map_or(kind, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

/// A string as it is, any other value as compact JSON.
fn word(value: Value<'_, '_>) -> String {
    match value.kind() {
        Kind::String(text) => text.to_owned(),
        _ => super::emit::compact(value),
    }
}

/// The kind of error that a provider's `type` or `code` stands for, or the status that some give there.
fn kind_of_word(word: &str) -> Option<RefusalKind> {
    Some(match word {
        "invalid_request_error"
        | "context_length_exceeded"
        | "INVALID_ARGUMENT"
        | "FAILED_PRECONDITION"
        | "OUT_OF_RANGE" => RefusalKind::InvalidRequest,
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" => RefusalKind::Authentication,
        "permission_error" | "billing_error" | "PERMISSION_DENIED" => RefusalKind::Permission,
        "not_found_error" | "model_not_found" | "NOT_FOUND" => RefusalKind::NotFound,
        "request_too_large" => RefusalKind::TooLarge,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "requests"
        | "tokens"
        | "insufficient_quota"
        | "RESOURCE_EXHAUSTED" => RefusalKind::RateLimited,
        "overloaded_error" | "overloaded" | "service_unavailable" | "UNAVAILABLE" => RefusalKind::Overloaded,
        "timeout_error" | "timeout" | "DEADLINE_EXCEEDED" => RefusalKind::Timeout,
        "api_error" | "server_error" | "INTERNAL" | "UNKNOWN" => RefusalKind::Internal,
        _ if word.ends_with("Exception") => return kind_of_exception(word),
        digits => RefusalKind::of_status(digits.parse().ok().filter(|status| (400..600).contains(status))?),
    })
}

/// What an exception of Bedrock's stands for (API reference, "Converse", "ConverseStreamOutput").
fn kind_of_exception(name: &str) -> Option<RefusalKind> {
    const KINDS: [(&str, RefusalKind); 10] = [
        ("ValidationException", RefusalKind::InvalidRequest),
        ("AccessDeniedException", RefusalKind::Permission),
        ("ResourceNotFoundException", RefusalKind::NotFound),
        ("ThrottlingException", RefusalKind::RateLimited),
        ("ServiceQuotaExceededException", RefusalKind::RateLimited),
        ("ModelNotReadyException", RefusalKind::Overloaded),
        ("ServiceUnavailableException", RefusalKind::Overloaded),
        ("ModelTimeoutException", RefusalKind::Timeout),
        ("InternalServerException", RefusalKind::Internal),
        ("ModelStreamErrorException", RefusalKind::Upstream),
    ];
    KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{AnthropicMessages as A, GeminiGenerate as G, OpenAiChat as O};

    fn check(provider: Format, client: Format, status: u16, body: &str, sent: u16, expected: &str) {
        let mut out = b"kept".to_vec();
        assert_eq!(error(provider, client, status, &mut body.as_bytes().to_vec(), &mut out), sent, "{body}");
        assert_eq!(std::str::from_utf8(&out[4..]).unwrap(), expected, "{body}");
    }

    #[test]
    fn anthropics_errors_towards_openai_clients() {
        for (status, body, sent, expected) in [
            (
                401,
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"},"request_id":"req_1"}"#,
                401,
                r#"{"error":{"message":"invalid x-api-key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
            ),
            (
                404,
                r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#,
                404,
                r#"{"error":{"message":"model: claude-x","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}}"#,
                400,
                r#"{"error":{"message":"max_tokens: required","type":"invalid_request_error","param":null,"code":null}}"#,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#,
                400,
                r#"{"error":{"message":"prompt is too long: 9 tokens > 8 maximum","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}"#,
            ),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#,
                429,
                r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
            ),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                503,
                r#"{"error":{"message":"Overloaded","type":"server_error","param":null,"code":"overloaded_error"}}"#,
            ),
            (
                502,
                "<html><body>Bad Gateway</body></html>",
                502,
                r#"{"error":{"message":"the provider answered with status 502","type":"server_error","param":null,"code":"upstream_error"}}"#,
            ),
            (
                500,
                "",
                500,
                r#"{"error":{"message":"the provider answered with status 500","type":"server_error","param":null,"code":null}}"#,
            ),
            (
                503,
                "upstream connect error\n",
                503,
                r#"{"error":{"message":"upstream connect error","type":"server_error","param":null,"code":"overloaded"}}"#,
            ),
            (
                200,
                "{",
                502,
                r#"{"error":{"message":"the provider answered with status 502","type":"server_error","param":null,"code":"upstream_error"}}"#,
            ),
        ] {
            check(A, O, status, body, sent, expected);
        }
    }

    #[test]
    fn openais_errors_towards_anthropic_clients() {
        let shaped = |kind: &str, message: &str| {
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#)
        };
        for (status, body, kind, message) in [
            (
                401,
                r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
                "authentication_error",
                "Incorrect API key",
            ),
            (
                400,
                r#"{"object":"error","message":"too many","code":400}"#,
                "invalid_request_error",
                "too many",
            ),
            (400, r#"{"error":{"message":"vllm","code":400}}"#, "invalid_request_error", "vllm"),
            (
                400,
                r#"{"error":{"message":"the limit is 8","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                "invalid_request_error",
                "prompt is too long: the limit is 8",
            ),
            (429, r#"{"error":"busy"}"#, "rate_limit_error", "busy"),
            (422, r#"{"detail":"no field"}"#, "invalid_request_error", "no field"),
            (422, r#"{"detail":[1]}"#, "invalid_request_error", "[1]"),
            (
                403,
                r#"[{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}]"#,
                "permission_error",
                "no",
            ),
            (503, r#"{"error":{"message":"full","type":"server_error"}}"#, "overloaded_error", "full"),
            (500, r#"{}"#, "api_error", "the provider answered with status 500"),
            (500, r#"null"#, "api_error", "null"),
            (500, r#""plain""#, "api_error", "plain"),
        ] {
            check(O, A, status, body, status, &shaped(kind, message));
        }
    }

    #[test]
    fn geminis_errors_and_errors_towards_geminis_clients() {
        for (provider, client, status, body, sent, expected) in [
            (
                G,
                O,
                400,
                r#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#,
                400,
                r#"{"error":{"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}"#,
            ),
            (
                G,
                O,
                400,
                r#"{"error":{"code":400,"message":"bad","status":"FAILED_PRECONDITION"}}"#,
                400,
                r#"{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":"FAILED_PRECONDITION"}}"#,
            ),
            (
                G,
                A,
                429,
                r#"[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}]"#,
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"quota"}}"#,
            ),
            (
                A,
                G,
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                503,
                r#"{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}"#,
            ),
            (
                O,
                G,
                401,
                r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key"}}"#,
                401,
                r#"{"error":{"code":401,"message":"Incorrect API key","status":"UNAUTHENTICATED"}}"#,
            ),
            (
                A,
                G,
                409,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"busy"}}"#,
                409,
                r#"{"error":{"code":409,"message":"busy","status":"INVALID_ARGUMENT"}}"#,
            ),
            (
                G,
                G,
                500,
                "",
                500,
                r#"{"error":{"code":500,"message":"the provider answered with status 500","status":"INTERNAL"}}"#,
            ),
        ] {
            check(provider, client, status, body, sent, expected);
        }
    }

    #[test]
    fn clients_of_responses_get_openais_errors_whole_and_events_of_their_own() {
        check(
            A,
            Format::OpenAiResponses,
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            503,
            r#"{"error":{"message":"Overloaded","type":"server_error","param":null,"code":"overloaded_error"}}"#,
        );
        for (body, expected) in [
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                r#""code":"overloaded_error","message":"Overloaded","param":null"#,
            ),
            (
                r#"{"error":{"message":"no","param":"input"}}"#,
                r#""code":"server_error","message":"no","param":"input""#,
            ),
            (r#"{}"#, r#""code":"server_error","message":"the provider reported an error","param":null"#),
        ] {
            let mut out = Vec::new();
            Decoder::default()
                .decode(&mut body.as_bytes().to_vec(), |event| {
                    stream_error(Format::OpenAiResponses, 7, event, &mut out);
                })
                .unwrap();
            let data = format!(r#"{{"type":"error",{expected},"sequence_number":7}}"#);
            assert_eq!(std::str::from_utf8(&out).unwrap(), format!("event: error\ndata: {data}\n\n"));
        }
    }

    #[test]
    fn between_equal_formats_a_good_shape_is_kept_and_a_bad_one_is_mended() {
        let good = r#"{"error": {"message":"m", "code": 42, "more": 1}}"#;
        check(O, O, 400, good, 400, good);
        check(
            A,
            A,
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
        );
        check(
            O,
            O,
            404,
            r#"{"detail":"Not Found"}"#,
            404,
            r#"{"error":{"message":"Not Found","type":"invalid_request_error","param":null,"code":null}}"#,
        );
    }

    #[test]
    fn a_long_message_is_shortened_at_a_character() {
        let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(MESSAGE_MAX));
        let mut out = Vec::new();
        error(O, A, 400, &mut body.into_bytes(), &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["error"]["message"].as_str().unwrap().len(), MESSAGE_MAX);
    }
    #[test]
    fn bedrocks_errors_towards_both() {
        let openai = |message: &str, kind: &str, code: &str| {
            format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":{code}}}}}"#)
        };
        let anthropic = |message: &str, kind: &str| {
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#)
        };
        let (invalid, server) = ("invalid_request_error", "server_error");
        for (status, body, message, kinds, code) in [
            (400, r#"{"message":"bad id"}"#, "bad id", (invalid, invalid), "null"),
            (
                403,
                r#"{"Message":"not authorized"}"#,
                "not authorized",
                (invalid, "permission_error"),
                r#""permission_denied""#,
            ),
            (
                400,
                r#"{"__type":"com.amazon.coral.validate#ValidationException:http://x/","message":"bad"}"#,
                "bad",
                (invalid, invalid),
                r#""ValidationException""#,
            ),
            (
                429,
                r#"{"message":"Too many"}"#,
                "Too many",
                ("rate_limit_error", "rate_limit_error"),
                r#""rate_limit_exceeded""#,
            ),
            (
                500,
                r#"{"__type":"InternalServerException"}"#,
                "the provider answered with status 500",
                (server, "api_error"),
                "null",
            ),
            (503, r#"{"message":"busy"}"#, "busy", (server, "overloaded_error"), r#""overloaded""#),
        ] {
            check(Format::BedrockConverse, O, status, body, status, &openai(message, kinds.0, code));
            check(Format::BedrockConverse, A, status, body, status, &anthropic(message, kinds.1));
        }
        let body = r#"{"message":"Input is too long for requested model."}"#;
        let words = "Input is too long for requested model.";
        let code = r#""context_length_exceeded""#;
        check(Format::BedrockConverse, O, 400, body, 400, &openai(words, invalid, code));
        check(
            Format::BedrockConverse,
            A,
            400,
            body,
            400,
            &anthropic(&format!("{TOO_LONG}: {words}"), invalid),
        );
    }

    #[test]
    fn exceptions_of_bedrock_have_kinds() {
        for (name, kind) in [
            ("throttlingException", Some(RefusalKind::RateLimited)),
            ("ThrottlingException", Some(RefusalKind::RateLimited)),
            ("modelStreamErrorException", Some(RefusalKind::Upstream)),
            ("validationException", Some(RefusalKind::InvalidRequest)),
            ("brandNewException", None),
        ] {
            assert_eq!(kind_of_word(name), kind, "{name}");
        }
    }
}
