//! Errors that the gateway itself makes, in the format of the client that gets them.

use super::translate::emit::{Emit, event};
use super::{Api, Format};
use std::time::Duration;

/// The media type of every refusal.
pub const CONTENT_TYPE: &str = "application/json";

/// Why a request is refused. [`RefusalKind::status`] is its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The request is malformed or asks for what cannot be done: 400.
    InvalidRequest,
    /// No credential, or one that nobody knows: 401.
    Authentication,
    /// The caller is known and may not: 403.
    Permission,
    /// No route, or no such model: 404.
    NotFound,
    /// The body is larger than is accepted: 413.
    TooLarge,
    /// A limit does not admit it now: 429.
    RateLimited,
    /// A fault of the gateway: 500.
    Internal,
    /// An endpoint, or a pair of formats, that is known and not served: 501.
    Unserved,
    /// The provider cannot be reached or gave an answer that makes no sense: 502.
    Upstream,
    /// No capacity here or at the provider: 503.
    Overloaded,
    /// The provider did not answer in time: 504.
    Timeout,
}

use RefusalKind::*;

impl RefusalKind {
    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            InvalidRequest => 400,
            Authentication => 401,
            Permission => 403,
            NotFound => 404,
            TooLarge => 413,
            RateLimited => 429,
            Internal => 500,
            Unserved => 501,
            Upstream => 502,
            Overloaded => 503,
            Timeout => 504,
        }
    }

    /// The kind that an HTTP status of 400 or more stands for; 529 is Anthropic's "overloaded".
    pub const fn of_status(status: u16) -> RefusalKind {
        match status {
            401 => Authentication,
            402 | 403 => Permission,
            404 => NotFound,
            413 => TooLarge,
            429 => RateLimited,
            408 | 504 => Timeout,
            501 | 505 => Unserved,
            502 => Upstream,
            503 | 529 => Overloaded,
            400..=499 => InvalidRequest,
            _ => Internal,
        }
    }

    /// The name in records, metrics and in errors to clients of no known format.
    pub const fn name(self) -> &'static str {
        match self {
            InvalidRequest => "invalid_request",
            Authentication => "authentication",
            Permission => "permission",
            NotFound => "not_found",
            TooLarge => "too_large",
            RateLimited => "rate_limited",
            Internal => "internal",
            Unserved => "unserved",
            Upstream => "upstream",
            Overloaded => "overloaded",
            Timeout => "timeout",
        }
    }

    /// `error.type` at Anthropic (API reference, "Errors").
    pub const fn anthropic_type(self) -> &'static str {
        match self {
            InvalidRequest | Unserved => "invalid_request_error",
            Authentication => "authentication_error",
            Permission => "permission_error",
            NotFound => "not_found_error",
            TooLarge => "request_too_large",
            RateLimited => "rate_limit_error",
            Internal | Upstream => "api_error",
            Overloaded => "overloaded_error",
            Timeout => "timeout_error",
        }
    }

    /// `error.type` at OpenAI, which calls all faults of the client by one name.
    pub const fn openai_type(self) -> &'static str {
        match self {
            InvalidRequest | Authentication | Permission | NotFound | TooLarge | Unserved => {
                "invalid_request_error"
            }
            RateLimited => "rate_limit_error",
            Internal | Upstream | Overloaded | Timeout => "server_error",
        }
    }

    /// `error.code` at OpenAI where the refusal gives none.
    pub const fn openai_code(self) -> Option<&'static str> {
        match self {
            Authentication => Some("invalid_api_key"),
            Permission => Some("permission_denied"),
            TooLarge => Some("request_too_large"),
            RateLimited => Some("rate_limit_exceeded"),
            Upstream => Some("upstream_error"),
            Overloaded => Some("overloaded"),
            Timeout => Some("timeout"),
            Unserved => Some("unsupported_endpoint"),
            InvalidRequest | NotFound | Internal => None,
        }
    }

    /// `error.status` at Google: the name of a gRPC code (google.rpc.Code; Gemini, "Troubleshooting guide").
    pub const fn google_status(self) -> &'static str {
        match self {
            InvalidRequest | TooLarge => "INVALID_ARGUMENT",
            Authentication => "UNAUTHENTICATED",
            Permission => "PERMISSION_DENIED",
            NotFound => "NOT_FOUND",
            RateLimited => "RESOURCE_EXHAUSTED",
            Internal => "INTERNAL",
            Unserved => "UNIMPLEMENTED",
            Upstream | Overloaded => "UNAVAILABLE",
            Timeout => "DEADLINE_EXCEEDED",
        }
    }
}

/// An error that the gateway answers with. Build it with [`Refusal::new`] and set what else is known.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The HTTP status, 400 or more.
    pub status: u16,
    /// What kind of error it is.
    pub kind: RefusalKind,
    /// For the person who wrote the client.
    pub message: &'a str,
    /// The guilty member of the request (OpenAI only).
    pub param: Option<&'a str>,
    /// A word for programs (OpenAI only) instead of the kind's own.
    pub code: Option<&'a str>,
    /// What a limit counts, `requests` or `tokens`: OpenAI's `type` of a 429.
    pub unit: Option<&'a str>,
    /// After what time the client may come again (Gemini only; the others read it in a header).
    pub wait: Option<Duration>,
}

impl<'a> Refusal<'a> {
    /// A refusal with its kind's own status and words.
    pub const fn new(kind: RefusalKind, message: &'a str) -> Refusal<'a> {
        Refusal { status: kind.status(), kind, message, param: None, code: None, unit: None, wait: None }
    }
}

/// Appends the body of the error; `client` is `None` where no format is known (no route was found).
pub fn write(client: Option<Format>, refusal: &Refusal<'_>, out: &mut Vec<u8>) {
    let e = &mut Emit::new(out);
    match client.map(Format::api) {
        Some(Api::OpenAi) => e.object(|e| {
            e.key("error").object(|e| write_openai(refusal, e));
        }),
        Some(Api::Anthropic) => e.object(|e| {
            e.key("type").str("error");
            e.key("error").object(|e| {
                e.key("type").str(refusal.kind.anthropic_type());
                e.key("message").str(refusal.message);
            });
        }),
        Some(Api::Gemini) => e.object(|e| {
            e.key("error").object(|e| write_google(refusal, e));
        }),
        // No client speaks it; in its own shape all the same.
        Some(Api::Bedrock) => e.object(|e| e.key("message").str(refusal.message)),
        None => e.object(|e| {
            e.key("error").object(|e| {
                e.key("type").str(refusal.kind.name());
                e.key("message").str(refusal.message);
            });
        }),
    }
}

/// The error that ends a stream of OpenAI's Responses (API reference, "Streaming events", `error`), as a whole event.
/// `sequence_number` is the one after the last that passed.
pub fn write_responses_event(refusal: &Refusal<'_>, sequence_number: u64, out: &mut Vec<u8>) {
    event("error", out, |e| {
        nullable(
            e.key("code"),
            refusal.code.or(refusal.kind.openai_code()).or(Some(refusal.kind.openai_type())),
        );
        e.key("message").str(refusal.message);
        nullable(e.key("param"), refusal.param);
        e.key("sequence_number").u64(sequence_number);
    });
}

fn write_openai(refusal: &Refusal<'_>, e: &mut Emit<'_>) {
    let limited = refusal.unit.filter(|_| refusal.kind == RateLimited);
    e.key("message").str(refusal.message);
    e.key("type").str(limited.unwrap_or(refusal.kind.openai_type()));
    nullable(e.key("param"), refusal.param);
    nullable(e.key("code"), refusal.code.or(refusal.kind.openai_code()));
}

/// `google.rpc.Status` as JSON, with `google.rpc.RetryInfo` where there is a time to wait (AIP-193).
fn write_google(refusal: &Refusal<'_>, e: &mut Emit<'_>) {
    e.key("code").u64(refusal.status.into());
    e.key("message").str(refusal.message);
    e.key("status").str(refusal.kind.google_status());
    let Some(wait) = refusal.wait else { return };
    // Rounded up to a millisecond, so that nobody comes too early.
    let millis = wait.as_nanos().div_ceil(1_000_000);
    e.key("details").array(|e| {
        e.object(|e| {
            e.key("@type").str("type.googleapis.com/google.rpc.RetryInfo");
            e.key("retryDelay").str(&format!("{}.{:03}s", millis / 1000, millis % 1000));
        });
    });
}

fn nullable(e: &mut Emit<'_>, text: Option<&str>) {
    match text {
        Some(text) => e.str(text),
        None => e.raw("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(client: Option<Format>, refusal: &Refusal<'_>) -> String {
        let mut out = Vec::new();
        write(client, refusal, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn refusals_are_written_in_the_clients_format() {
        let limited = Refusal { unit: Some("tokens"), ..Refusal::new(RateLimited, "wait 3 s") };
        let invalid = Refusal { param: Some("model"), ..Refusal::new(InvalidRequest, "say \"which\"") };
        for (client, refusal, expected) in [
            (
                Some(Format::OpenAiChat),
                limited,
                r#"{"error":{"message":"wait 3 s","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
            ),
            (
                Some(Format::OpenAiChat),
                Refusal { unit: None, ..limited },
                r#"{"error":{"message":"wait 3 s","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
            ),
            (
                Some(Format::AnthropicMessages),
                limited,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"wait 3 s"}}"#,
            ),
            (None, limited, r#"{"error":{"type":"rate_limited","message":"wait 3 s"}}"#),
            (
                Some(Format::OpenAiEmbeddings),
                Refusal::new(Unserved, "no"),
                r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"unsupported_endpoint"}}"#,
            ),
            (
                Some(Format::AnthropicCountTokens),
                invalid,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"say \"which\""}}"#,
            ),
            (
                Some(Format::GeminiGenerate),
                Refusal { wait: Some(Duration::from_nanos(3_000_000_001)), ..limited },
                r#"{"error":{"code":429,"message":"wait 3 s","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.001s"}]}}"#,
            ),
            (
                Some(Format::GeminiModels),
                Refusal { status: 405, ..Refusal::new(InvalidRequest, "GET") },
                r#"{"error":{"code":405,"message":"GET","status":"INVALID_ARGUMENT"}}"#,
            ),
            (
                Some(Format::OpenAiChat),
                invalid,
                r#"{"error":{"message":"say \"which\"","type":"invalid_request_error","param":"model","code":null}}"#,
            ),
        ] {
            assert_eq!(written(client, &refusal), expected);
        }
    }

    #[test]
    fn a_stream_of_responses_ends_with_an_event_of_its_own() {
        let mut out = Vec::new();
        write_responses_event(&Refusal::new(Upstream, "it broke"), 7, &mut out);
        let expect = "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_error\",\"message\":\"it broke\",\
                      \"param\":null,\"sequence_number\":7}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn a_status_and_its_kind_agree() {
        let kinds = [
            InvalidRequest,
            Authentication,
            Permission,
            NotFound,
            TooLarge,
            RateLimited,
            Internal,
            Unserved,
            Upstream,
            Overloaded,
            Timeout,
        ];
        for kind in kinds {
            assert_eq!(RefusalKind::of_status(kind.status()), kind);
        }
        for (status, kind) in [(529, Overloaded), (422, InvalidRequest), (599, Internal), (402, Permission)] {
            assert_eq!(RefusalKind::of_status(status), kind);
        }
    }
}
