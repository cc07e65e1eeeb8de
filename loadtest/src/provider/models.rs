//! Lists of models: <https://platform.openai.com/docs/api-reference/models>, <https://docs.anthropic.com/en/api/models>,
//! <https://ai.google.dev/api/models>; and which of the routes below `models` is asked for.

use super::openai::CREATED;
use super::{Ask, Refusal, Route, Shape, json_plan, quoted};
use crate::answer::Plan;

/// The models that every list has.
const MODELS: [&str; 2] = ["sim-large", "sim-small"];

/// What a path of models begins with.
const BEGINNINGS: [&[u8]; 2] = [b"/v1/models", b"/v1beta/models"];

pub(super) fn is_below(path: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| below(path, beginning).is_some())
}

fn below<'p>(path: &'p [u8], beginning: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(beginning).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The route of a target below `models`, whose path is `path`.
pub(super) fn route(method: &[u8], path: &[u8], target: &[u8], versioned: bool) -> Route {
    let google = path.starts_with(b"/v1beta");
    let shape = match versioned {
        _ if google => Shape::Gemini,
        true => Shape::Anthropic,
        false => Shape::OpenAi,
    };
    let streamed = target.split(|&b| matches!(b, b'?' | b'&')).any(|field| field == b"alt=sse");
    let verb = path.iter().rposition(|&b| b == b':').map_or(&b""[..], |colon| &path[colon..]);
    match (method, verb) {
        (b"POST", b":generateContent") => Route::GeminiGenerate { streamed: false },
        (b"POST", b":streamGenerateContent") if streamed => Route::GeminiGenerate { streamed: true },
        (b"POST", b":countTokens") => Route::GeminiCountTokens,
        (b"POST", b":embedContent") => Route::GeminiEmbed,
        (b"POST", b":batchEmbedContents") => Route::GeminiEmbedBatch,
        (b"GET", _) => Route::Models(shape),
        (b"POST", b"") => Route::WrongMethod(shape),
        (b"POST", _) => Route::Unknown(Shape::Gemini),
        _ => Route::WrongMethod(shape),
    }
}

/// The model that the path names; empty for a list.
pub(super) fn named(ask: &Ask<'_>) -> String {
    let path = ask.path();
    let rest = path.rsplit_once("/models").map_or("", |(_, rest)| rest.trim_start_matches('/'));
    match ask.route {
        Route::Models(_) => rest.to_string(),
        _ => rest.rsplit_once(':').map_or(rest, |(model, _)| model).to_string(),
    }
}

/// The answer to `GET /v1/models` and its kin.
pub(super) fn models(ask: &Ask<'_>, shape: Shape) -> Result<Plan, Refusal> {
    let name = named(ask);
    if !name.is_empty() {
        return match MODELS.contains(&name.as_str()) {
            true => Ok(json_plan(ask, 200, &entry(shape, &name))),
            false => {
                Err(Refusal::new(404, format!("The model '{name}' does not exist")).code("model_not_found"))
            }
        };
    }
    let entries = MODELS.map(|name| entry(shape, name)).join(",");
    let body = match shape {
        Shape::OpenAi => format!("{{\"object\":\"list\",\"data\":[{entries}]}}"),
        Shape::Anthropic => format!(
            "{{\"data\":[{entries}],\"has_more\":false,\"first_id\":{},\"last_id\":{}}}",
            quoted(MODELS[0]),
            quoted(MODELS[1])
        ),
        // Bedrock's lists are of another host, so that nothing is asked for in its shape.
        Shape::Gemini | Shape::Bedrock => format!("{{\"models\":[{entries}]}}"),
    };
    Ok(json_plan(ask, 200, &body))
}

fn entry(shape: Shape, name: &str) -> String {
    match shape {
        Shape::OpenAi => {
            format!(
                "{{\"id\":{},\"object\":\"model\",\"created\":{CREATED},\"owned_by\":\"sim\"}}",
                quoted(name)
            )
        }
        Shape::Anthropic => format!(
            "{{\"type\":\"model\",\"id\":{},\"display_name\":{},\"created_at\":\"2025-01-01T00:00:00Z\"}}",
            quoted(name),
            quoted(name)
        ),
        Shape::Gemini | Shape::Bedrock => format!(
            "{{\"name\":{},\"displayName\":{},\"inputTokenLimit\":1048576,\"outputTokenLimit\":8192,\
             \"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}}",
            quoted(&format!("models/{name}")),
            quoted(name)
        ),
    }
}
