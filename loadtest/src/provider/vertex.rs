//! Vertex AI: Gemini's format and Anthropic's below the path of a project, a location and a publisher:
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude>.

use super::{Ask, Refusal, Route, Shape, anthropic, models};
use crate::answer::Plan;
use serde_json::Value;

/// What every body of Anthropic's format says.
const VERSION: &str = "vertex-2023-10-16";

pub(super) fn is_below(path: &[u8]) -> bool {
    path.starts_with(b"/v1/projects/") || path.starts_with(b"/v1beta1/projects/")
}

/// The route of a target below a project, whose path is `path`.
pub(super) fn route(method: &[u8], path: &[u8], target: &[u8]) -> Route {
    let text = String::from_utf8_lossy(path);
    // /v1/projects/P/locations/L/publishers/X/models/M:method
    let segments: Vec<&str> = text.split('/').collect();
    let [_, _, "projects", _, "locations", _, "publishers", publisher, "models", last] = segments[..] else {
        return Route::Unknown(Shape::Gemini);
    };
    let (model, verb) = last.split_once(':').unwrap_or((last, ""));
    match (publisher, model, verb) {
        _ if method != b"POST" => Route::WrongMethod(Shape::Gemini),
        ("anthropic", "count-tokens", "rawPredict") => Route::VertexCountTokens,
        ("anthropic", _, "rawPredict") => Route::VertexMessages { streamed: false },
        ("anthropic", _, "streamRawPredict") => Route::VertexMessages { streamed: true },
        ("google", _, "predict") => Route::GeminiPredict,
        // It has no batches that answer at once.
        ("google", _, "batchEmbedContents") => Route::Unknown(Shape::Gemini),
        ("google", ..) => models::route(method, path, target, false),
        _ => Route::Unknown(Shape::Gemini),
    }
}

/// An access token there must be, and nothing in its place.
pub(super) fn check_head(ask: &Ask<'_>) -> Result<(), Refusal> {
    match ask.bearer() {
        Some(token) if ask.is_expected(token) && ask.api_key().is_none() => Ok(()),
        _ => Err(Refusal::new(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
             authentication credential.",
        )),
    }
}

/// The answer to `POST :rawPredict` and `:streamRawPredict`: whether it is a stream, path and body must agree.
pub(super) fn messages(ask: &Ask<'_>, streamed: bool) -> Result<Plan, Refusal> {
    let mut body = versioned(ask)?;
    if body.get("model").is_some() {
        return Err(Refusal::new(400, "model: Extra inputs are not permitted"));
    }
    if (body["stream"] == true) != streamed {
        return Err(Refusal::new(400, "stream: does not fit the method"));
    }
    body["model"] = models::named(ask).into();
    anthropic::messages(&Ask { body: body.to_string().as_bytes(), ..*ask })
}

/// The answer to `POST count-tokens:rawPredict`, whose body names the model.
pub(super) fn count_tokens(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let body = versioned(ask)?;
    anthropic::count_tokens(&Ask { body: body.to_string().as_bytes(), ..*ask })
}

/// The body without its version, which there must be.
fn versioned(ask: &Ask<'_>) -> Result<Value, Refusal> {
    let body: Option<Value> = serde_json::from_slice(ask.body).ok();
    let mut body =
        body.filter(Value::is_object).ok_or(Refusal::new(400, "Invalid JSON payload received."))?;
    match body.as_object_mut().and_then(|body| body.remove("anthropic_version")) {
        Some(version) if version == VERSION => Ok(body),
        _ => Err(Refusal::new(400, "anthropic_version: Field required")),
    }
}
