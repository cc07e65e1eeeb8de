use super::{read_items, tools};
use crate::llm::translate::hub::{Request, Shape, at_least_one, effort, number, openai, positive};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// Members that point to what OpenAI keeps, without which another provider would not know what was said; and what to
/// write instead.
const KEPT_AT_OPENAI: &[(&str, &str)] = &[
    ("previous_response_id", "send the whole conversation in input"),
    ("conversation", "send the whole conversation in input"),
    ("prompt", "send its text in instructions and input"),
];

/// Members that no other format has.
const WITHOUT_COUNTERPART: &[&str] =
    &["max_tool_calls", "context_management", "moderation", "image", "access_programs", "background_options"];

/// Members that ask OpenAI to keep something or how to send, not for another answer.
const QUIET: &[&str] = &[
    "store",
    "stream_options",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prompt_cache_diagnostics",
    "client_metadata", // Codex
];

/// Reads a request for a response.
pub(crate) fn request<'t, 'b>(body: Value<'t, 'b>) -> Result<Request<'t, 'b>, BadRequest> {
    for (name, instead) in KEPT_AT_OPENAI {
        if body.get(name).is_some() {
            let words = format!("points to what OpenAI keeps and this provider does not have: {instead}");
            return Err(BadRequest::new(*name, words));
        }
    }
    let mut request = Request::default();
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        member(name, value, &mut request)?;
    }
    if request.logprobs.is_none() {
        request.top_logprobs = None; // which are of tokens that nobody asked for
    }
    request.user = body.get("safety_identifier").or_else(|| body.get("user")).and_then(Value::str);
    tools::read(body, &mut request)?;
    read_items::turns(body, &mut request)?; // which may add tools
    tools::read_choice(body, &mut request)?;
    Ok(request)
}

fn member<'t, 'b>(
    name: &'b str,
    value: Value<'t, 'b>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    match name {
        // Read apart.
        "input" | "instructions" | "tools" | "tool_choice" | "user" | "safety_identifier" => {}
        "model" => request.model = value.str().unwrap_or_default(),
        "max_output_tokens" => request.max_output = Some(at_least_one(name, value)?),
        "temperature" => request.temperature = Some(positive(name, value)?),
        "top_p" => request.top_p = Some(positive(name, value)?),
        "presence_penalty" => request.presence_penalty = Some(number(name, value)?),
        "frequency_penalty" => request.frequency_penalty = Some(number(name, value)?),
        "top_logprobs" => request.top_logprobs = value.u64(),
        "parallel_tool_calls" => request.parallel = value.bool(),
        "service_tier" => request.tier = value.str(),
        "metadata" => request.notes = Some(value),
        "prompt_cache_key" => request.cache_key = value.str(),
        "reasoning" => reasoning(value, request)?,
        "text" => text(value, request)?,
        "include" => include(value, request),
        "stream" => {
            let stream = value.bool().ok_or_else(|| BadRequest::new(name, "must be true or false"))?;
            request.stream = Some(stream);
        }
        "background" if value.bool() == Some(false) => {}
        "background" => {
            let words = "answers in the background are not to be had from this provider: leave it out";
            return Err(BadRequest::new(name, words));
        }
        "truncation" => {
            if value.str() != Some("disabled") {
                request.lost.add("truncation");
            }
        }
        _ if QUIET.contains(&name) => {}
        _ => match WITHOUT_COUNTERPART.iter().find(|known| **known == name) {
            Some(known) => request.lost.add(known),
            None => request.rest.push((name, value)),
        },
    }
    Ok(())
}

/// Thoughts are summarised for the client only where it asks for a summary.
fn reasoning<'t, 'b>(reasoning: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    if let Some(word) = reasoning.get("effort") {
        request.reasoning.effort = Some(effort("reasoning.effort", word)?);
    }
    let summary = ["summary", "generate_summary"].map(|name| reasoning.text(name));
    request.reasoning.shown = Some(summary.iter().any(|word| !word.is_empty()));
    for (name, neutral, lost) in
        [("context", "auto", "reasoning.context"), ("mode", "standard", "reasoning.mode")]
    {
        if reasoning.get(name).is_some_and(|word| word.str() != Some(neutral)) {
            request.lost.add(lost);
        }
    }
    Ok(())
}

fn text<'t, 'b>(text: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    request.verbosity = text.get("verbosity").and_then(Value::str);
    if let Some(format) = text.get("format") {
        request.shape = shape(format, &mut request.lost)?;
    }
    Ok(())
}

fn shape<'t, 'b>(format: Value<'t, 'b>, lost: &mut Lost) -> Result<Shape<'t, 'b>, BadRequest> {
    match format.text("type") {
        "text" => Ok(Shape::Text),
        "json_object" => Ok(Shape::Object),
        "json_schema" => openai::schema(Some(format), "text.format"),
        _ => {
            lost.add("response_format");
            Ok(Shape::Text)
        }
    }
}

/// Encrypted thoughts are always given where a provider has them; the rest is of tools that run at OpenAI.
fn include<'t, 'b>(include: Value<'t, 'b>, request: &mut Request<'t, 'b>) {
    for what in include.elements() {
        match what.str() {
            Some("reasoning.encrypted_content") => {}
            Some("message.output_text.logprobs") => request.logprobs = Some(true),
            _ => request.lost.add("include"),
        }
    }
}
