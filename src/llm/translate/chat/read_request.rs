use super::read_turns;
use super::tools;
use crate::llm::translate::hub::{Request, Shape, at_least_one, effort, number, openai, positive};
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadRequest, Lost};

/// Members that no other format has, and the value (if any) that asks for nothing special, so that leaving it
/// out loses nothing.
const WITHOUT_COUNTERPART: &[(&str, Neutral)] = &[
    ("logit_bias", Neutral::Empty),
    ("modalities", Neutral::OnlyText),
    ("audio", Neutral::Never),
    ("prediction", Neutral::Never),
    ("web_search_options", Neutral::Never),
    ("moderation", Neutral::Never),
    // These ask the provider to keep something or how to send, not for another answer.
    ("store", Neutral::Always),
    ("stream_options", Neutral::Always),
    ("prompt_cache_retention", Neutral::Always),
];

enum Neutral {
    Empty,
    OnlyText,
    Always,
    Never,
}

impl Neutral {
    fn is(&self, value: Value<'_, '_>) -> bool {
        match self {
            Neutral::Empty => value.is_object() && value.members().next().is_none(),
            Neutral::OnlyText => value.is_array() && value.elements().all(|mode| mode.str() == Some("text")),
            Neutral::Always => true,
            Neutral::Never => false,
        }
    }
}

/// Reads a chat completion request.
pub(crate) fn request<'t, 'b>(body: Value<'t, 'b>) -> Result<Request<'t, 'b>, BadRequest> {
    let Some(messages) = body.get("messages").filter(|messages| messages.is_array()) else {
        return Err(BadRequest::new("messages", "must be an array of messages"));
    };
    let mut request = Request::default();
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        member(name, value, &mut request)?;
    }
    request.user = body.get("user").or_else(|| body.get("safety_identifier")).and_then(Value::str);
    request.max_output = max_output(body)?;
    tools::read(body, &mut request)?;
    request.turns = read_turns::turns(messages, &mut request.lost)?;
    Ok(request)
}

fn member<'t, 'b>(
    name: &'b str,
    value: Value<'t, 'b>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    match name {
        // Read apart.
        "messages"
        | "max_tokens"
        | "max_completion_tokens"
        | "user"
        | "safety_identifier"
        | "tools"
        | "tool_choice" => {}
        "model" => request.model = value.str().unwrap_or_default(),
        "temperature" => request.temperature = Some(positive(name, value)?),
        "top_p" => request.top_p = Some(positive(name, value)?),
        "presence_penalty" => request.presence_penalty = Some(number(name, value)?),
        "frequency_penalty" => request.frequency_penalty = Some(number(name, value)?),
        "seed" => request.seed = Some(value),
        "n" => request.choices = value.u64(),
        "logprobs" => request.logprobs = value.bool(),
        "top_logprobs" => request.top_logprobs = value.u64(),
        "stop" => request.stop = stop(value)?,
        "response_format" => request.shape = shape(value, &mut request.lost)?,
        "parallel_tool_calls" => request.parallel = value.bool(),
        "reasoning_effort" => request.reasoning.effort = Some(effort(name, value)?),
        "verbosity" => request.verbosity = value.str(),
        "service_tier" => request.tier = value.str(),
        "metadata" => request.notes = Some(value),
        "prompt_cache_key" => request.cache_key = value.str(),
        "stream" => {
            let stream = value.bool().ok_or_else(|| BadRequest::new(name, "must be true or false"))?;
            request.stream = Some(stream);
        }
        "functions" | "function_call" => {
            let words = "is deprecated and not translated: use tools and tool_choice";
            return Err(BadRequest::new(name, words));
        }
        _ => match WITHOUT_COUNTERPART.iter().find(|(known, _)| *known == name) {
            Some((_, neutral)) if neutral.is(value) => {}
            Some((known, _)) => request.lost.add(known),
            None => request.rest.push((name, value)),
        },
    }
    Ok(())
}

/// `max_tokens` is the older name.
fn max_output(body: Value<'_, '_>) -> Result<Option<u64>, BadRequest> {
    for name in ["max_completion_tokens", "max_tokens"] {
        if let Some(given) = body.get(name) {
            return at_least_one(name, given).map(Some);
        }
    }
    Ok(None)
}

fn stop<'b>(value: Value<'_, 'b>) -> Result<Vec<&'b str>, BadRequest> {
    let bad = || BadRequest::new("stop", "must be a string or an array of strings");
    match value.kind() {
        Kind::String(one) => Ok(vec![one]),
        Kind::Array => value.elements().map(|one| one.str().ok_or_else(bad)).collect(),
        _ => Err(bad()),
    }
}

fn shape<'t, 'b>(format: Value<'t, 'b>, lost: &mut Lost) -> Result<Shape<'t, 'b>, BadRequest> {
    match format.text("type") {
        "text" => Ok(Shape::Text),
        "json_object" => Ok(Shape::Object),
        "json_schema" => openai::schema(format.get("json_schema"), "response_format.json_schema"),
        _ => {
            lost.add("response_format");
            Ok(Shape::Text)
        }
    }
}
