use super::{names, read_turns, tools};
use crate::llm::translate::hub::{Effort, Reasoning, Request, Shape, positive};
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// Members that no other format has; those of `generationConfig` among them.
const WITHOUT_COUNTERPART: &[&str] = &[
    "safetySettings",
    "audioTimestamp",
    "audioTranscriptionConfig",
    "continuationToken",
    "enableAffectiveDialog",
    "enableEnhancedCivicAnswers",
    "imageConfig",
    "mediaResolution",
    "modelArmorConfig",
    "modelSelectionConfig",
    "routingConfig",
    "speechConfig",
    "translationConfig",
];

/// The request that a request for a count is about: the one within it, or else itself.
pub(in crate::llm::translate) fn counted<'t, 'b>(body: Value<'t, 'b>) -> Value<'t, 'b> {
    names::get(body, "generateContentRequest").filter(|request| request.is_object()).unwrap_or(body)
}

/// Reads a request. `made` is what was made of it ([`super::made_of_request`]).
pub(in crate::llm::translate) fn request<'t, 'b>(
    body: Value<'t, 'b>,
    made: Value<'t, 'b>,
    terms: &RequestTerms<'b>,
) -> Result<Request<'t, 'b>, BadRequest> {
    if names::each(body, "contents").next().is_none() {
        return Err(BadRequest::new("contents", "must be an array of at least one content"));
    }
    let mut request = Request::default();
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        member(name, value, made, &mut request)?;
    }
    if let Some(model) = terms.path_model {
        request.model = model;
    }
    request.stream = terms.path_stream;
    tools::read(body, made.get("tools"), &mut request)?;
    request.turns = read_turns::turns(body, made.get("contents"), &mut request.lost)?;
    Ok(request)
}

fn member<'t, 'b>(
    given: &'b str,
    value: Value<'t, 'b>,
    made: Value<'t, 'b>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    let is = |name: &str| names::is(given, name);
    if ["contents", "systemInstruction", "tools", "toolConfig"].iter().any(|name| is(name)) {
        return Ok(()); // read apart
    }
    if is("generationConfig") {
        return config(value, made.get("schema"), request);
    }
    if is("cachedContent") {
        let words = "names a cache at Google, which another provider cannot read: send its contents";
        return Err(BadRequest::new("cachedContent", words));
    }
    match given {
        "model" => {
            request.model = value.str().map_or("", |model| model.strip_prefix("models/").unwrap_or(model))
        }
        "labels" => request.notes = Some(value),
        "store" => {} // asks to keep something, not for another answer
        _ if is("serviceTier") => {
            request.tier = value.str().and_then(|tier| match tier.to_ascii_lowercase().as_str() {
                "flex" => Some("flex"),
                "priority" => Some("priority"),
                "standard" => Some("default"),
                _ => None,
            });
        }
        _ => match without_counterpart(given) {
            Some(known) => lose(known, value, &mut request.lost),
            None => request.rest.push((given, value)),
        },
    }
    Ok(())
}

fn without_counterpart(given: &str) -> Option<&'static str> {
    WITHOUT_COUNTERPART.iter().find(|name| names::is(given, name)).copied()
}

/// An empty list or object asks for nothing.
fn lose(known: &'static str, value: Value<'_, '_>, lost: &mut Lost) {
    let is_empty = match value.kind() {
        Kind::Array => value.elements().next().is_none(),
        Kind::Object => value.members().next().is_none(),
        Kind::Bool(is) => !is,
        _ => false,
    };
    if !is_empty {
        lost.add(known);
    }
}

/// `generationConfig`; `openapi` is the JSON schema made of its `responseSchema`.
fn config<'t, 'b>(
    config: Value<'t, 'b>,
    openapi: Option<Value<'t, 'b>>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    for (given, value) in config.members().filter(|(_, value)| !value.is_null()) {
        let is = |name: &str| names::is(given, name);
        let path = |name: &str| format!("generationConfig.{name}");
        match given {
            "temperature" => request.temperature = Some(positive(&path("temperature"), value)?),
            "seed" => request.seed = Some(value),
            "logprobs" => request.top_logprobs = value.u64(),
            _ if is("topP") => request.top_p = Some(positive(&path("topP"), value)?),
            _ if is("topK") => request.top_k = value.u64(),
            _ if is("candidateCount") => request.choices = value.u64(),
            _ if is("maxOutputTokens") => {
                let whole = value.u64().filter(|tokens| *tokens >= 1);
                let bad = || BadRequest::new(path("maxOutputTokens"), "must be a whole number of at least 1");
                request.max_output = Some(whole.ok_or_else(bad)?);
            }
            _ if is("presencePenalty") => request.presence_penalty = value.f64(),
            _ if is("frequencyPenalty") => request.frequency_penalty = value.f64(),
            _ if is("responseLogprobs") => request.logprobs = value.bool(),
            _ if is("stopSequences") => {
                request.stop = value.elements().filter_map(Value::str).collect();
            }
            _ if is("thinkingConfig") => request.reasoning = reasoning(value)?,
            _ if is("responseModalities") => {
                let text =
                    |mode: Value<'_, '_>| mode.str().is_some_and(|mode| mode.eq_ignore_ascii_case("text"));
                if !value.elements().all(text) {
                    request.lost.add("modalities");
                }
            }
            // Read together.
            _ if ["responseMimeType", "responseSchema", "responseJsonSchema"].iter().any(|name| is(name)) => {
            }
            _ => lose(without_counterpart(given).unwrap_or("unknown"), value, &mut request.lost),
        }
    }
    request.shape = shape(config, openapi, &mut request.lost);
    Ok(())
}

fn reasoning(config: Value<'_, '_>) -> Result<Reasoning, BadRequest> {
    let level = match names::text(config, "thinkingLevel").to_ascii_lowercase().as_str() {
        "" | "thinking_level_unspecified" => None,
        word => Some(Effort::of(word).filter(|effort| *effort != Effort::None).ok_or_else(|| {
            let at = "generationConfig.thinkingConfig.thinkingLevel";
            BadRequest::new(at, "must be one of MINIMAL, LOW, MEDIUM, HIGH")
        })?),
    };
    let budget = names::get(config, "thinkingBudget");
    Ok(Reasoning {
        effort: level,
        budget: budget.and_then(Value::u64),
        adaptive: budget.is_some_and(|budget| budget.kind() == Kind::I64(-1)),
        shown: names::get(config, "includeThoughts").and_then(Value::bool),
    })
}

fn shape<'t, 'b>(config: Value<'t, 'b>, openapi: Option<Value<'t, 'b>>, lost: &mut Lost) -> Shape<'t, 'b> {
    let schema = names::get(config, "responseJsonSchema").or(openapi);
    match (names::text(config, "responseMimeType"), schema) {
        ("application/json" | "", Some(schema)) => {
            Shape::Schema { name: "", description: None, schema, strict: None }
        }
        ("application/json", None) => Shape::Object,
        ("" | "text/plain", _) => Shape::Text,
        _ => {
            lost.add("response_format");
            Shape::Text
        }
    }
}
