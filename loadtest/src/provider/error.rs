//! Errors in the providers' shapes.

use super::{Ask, Shape, json_plan, quoted};
use crate::answer::{Plan, Sheet};
use crate::text::NUMBER_MARK;

/// Why a request is refused, before it has a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// OpenAI's `param` and `code`.
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), param: None, code: None }
    }

    pub(crate) fn code(mut self, code: &'static str) -> Refusal {
        self.code = Some(code);
        self
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Refusal {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn unknown_path(shape: Shape, method: &str, path: &str) -> Refusal {
        Refusal::new(
            404,
            match shape {
                Shape::OpenAi => format!("Invalid URL ({method} {path})"),
                Shape::Anthropic => "Not found".to_string(),
                Shape::Gemini => format!("Requested entity was not found: {path}."),
                Shape::Bedrock => {
                    format!("Unable to determine service/operation name to be authorized: {path}")
                }
            },
        )
    }

    pub(crate) fn wrong_method(shape: Shape, method: &str, path: &str) -> Refusal {
        Refusal::new(
            405,
            match shape {
                Shape::OpenAi => format!("Not allowed to {method} on {path}."),
                Shape::Anthropic => "Method Not Allowed".to_string(),
                Shape::Gemini | Shape::Bedrock => format!("{method} is not allowed here."),
            },
        )
    }

    pub(crate) fn too_large() -> Refusal {
        Refusal::new(413, "Request exceeds the maximum size")
    }

    /// The answer in the shape of the route that was asked.
    pub(crate) fn plan(&self, ask: &Ask<'_>) -> Plan {
        json_plan(ask, self.status, &self.body(ask.route.shape()))
    }

    /// The error's JSON.
    pub(crate) fn body(&self, shape: Shape) -> String {
        let message = quoted(&self.message);
        match shape {
            Shape::OpenAi => {
                let param = self.param.as_deref().map_or("null".to_string(), quoted);
                let code = self.code.map_or("null".to_string(), quoted);
                let kind = openai_type(self.status);
                format!(
                    "{{\n  \"error\": {{\n    \"message\": {message},\n    \"type\": \"{kind}\",\n    \
                     \"param\": {param},\n    \"code\": {code}\n  }}\n}}\n"
                )
            }
            Shape::Anthropic => format!(
                "{{\"type\":\"error\",\"error\":{{\"type\":\"{}\",\"message\":{message}}},\
                 \"request_id\":\"req_sim{NUMBER_MARK}\"}}",
                anthropic_type(self.status)
            ),
            Shape::Bedrock => format!("{{\"message\":{message}}}"),
            Shape::Gemini => {
                let status = google_status(self.status);
                format!(
                    "{{\n  \"error\": {{\n    \"code\": {},\n    \"message\": {message},\n    \"status\": \
                     \"{status}\"\n  }}\n}}\n",
                    self.status
                )
            }
        }
    }
}

/// The error of a status that the script asks for.
pub(super) fn scripted(ask: &Ask<'_>, status: u16) -> Plan {
    let refusal = overload(ask.route.shape(), status);
    let mut envelope = ask.envelope(status, "application/json");
    if let (Some(seconds), 429 | 503 | 529) = (ask.script.retry_after, status) {
        envelope.lines.push_str(&format!("retry-after: {seconds}\r\n"));
    }
    let mut sheet = Sheet::default();
    sheet.text(&refusal.body(ask.route.shape()));
    sheet.plan(&envelope)
}

/// What a load balancer in front of a provider says.
pub(super) fn html(ask: &Ask<'_>, status: u16) -> Plan {
    let mut sheet = Sheet::default();
    sheet.text(&format!(
        "<html>\r\n<head><title>{status} Bad Gateway</title></head>\r\n<body>\r\n<center><h1>{status} Bad \
         Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    ));
    sheet.plan(&ask.envelope(status, "text/html"))
}

/// 200, and a body that begins like JSON and is none.
pub(super) fn garbage(ask: &Ask<'_>) -> Plan {
    json_plan(
        ask,
        200,
        "{\"id\":\"chatcmpl-\",\"usage\":{\"prompt_tokens\":12,,\"completion_tokens\": \u{7f}<<<]",
    )
}

/// What a provider says that will not read the body.
pub(super) fn early(ask: &Ask<'_>) -> Plan {
    Refusal::too_large().plan(ask)
}

/// The message of a status, as the providers word it.
pub(super) fn overload(shape: Shape, status: u16) -> Refusal {
    let message = match (shape, status) {
        (Shape::Anthropic, 529) => "Overloaded",
        (Shape::Anthropic, 429) => "This request would exceed your organization's rate limit.",
        (Shape::Anthropic, _) => "Internal server error",
        (Shape::Bedrock, 429) => "Too many requests, please wait before trying again.",
        (Shape::Bedrock, 503) => "Bedrock is unable to process your request.",
        (Shape::Bedrock, _) => {
            "The system encountered an unexpected error during processing. Try your request again."
        }
        (Shape::Gemini, 429) => "You exceeded your current quota. Please retry in 1s.",
        (Shape::Gemini, 503) => "The model is overloaded. Please try again later.",
        (Shape::Gemini, _) => "An internal error has occurred.",
        (Shape::OpenAi, 429) => "Rate limit reached for requests. Please try again in 1s.",
        (Shape::OpenAi, 503) => "The engine is currently overloaded, please try again later.",
        (Shape::OpenAi, _) => "The server had an error while processing your request. Sorry about that!",
    };
    let refusal = Refusal::new(status, message);
    if status == 429 { refusal.code("rate_limit_exceeded") } else { refusal }
}

/// <https://platform.openai.com/docs/guides/error-codes>
fn openai_type(status: u16) -> &'static str {
    match status {
        429 => "requests",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// <https://docs.anthropic.com/en/api/errors>
pub(super) fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// <https://ai.google.dev/gemini-api/docs/troubleshooting>
fn google_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}
