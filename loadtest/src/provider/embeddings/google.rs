//! Gemini's contents to embed, <https://ai.google.dev/api/embeddings>, and Vertex AI's predictions,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>.

use super::super::{Ask, Refusal, models};
use super::{object, plan, tokens, unknown, vector};
use crate::answer::Plan;
use crate::script::Fault;
use serde_json::Value;

/// The most requests of a batch, and the most instances of a prediction.
const BATCH_MAX: usize = 100;
const INSTANCES_MAX: usize = 250;

const NO_JSON: &str = "Invalid JSON payload received.";

/// What a request of one content may have; `model` in a batch alone, `autoTruncate` at Vertex AI.
const MEMBERS: [&str; 7] =
    ["content", "taskType", "title", "outputDimensionality", "embedContentConfig", "model", "autoTruncate"];

/// The answer to `POST :embedContent`. Where the path is below a project, no body names a model.
pub(in super::super) fn embed(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request = object(ask, NO_JSON)?;
    let is_vertex = ask.path().contains("/projects/");
    check(&request, if is_vertex { "autoTruncate" } else { "model" })?;
    let values = vector(0, request["outputDimensionality"].as_u64());
    Ok(answer(ask, &format!("\"embedding\": {{\"values\": {values}}}")))
}

/// The answer to `POST :batchEmbedContents`, whose requests all name the model of the path.
pub(in super::super) fn embed_batch(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request = object(ask, NO_JSON)?;
    let requests = request["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    if requests.is_empty() || requests.len() > BATCH_MAX {
        let text = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch";
        return Err(Refusal::new(400, text));
    }
    let model = format!("models/{}", models::named(ask));
    for one in requests {
        check(one, "model")?;
        if one["model"] != *model {
            let text = "* BatchEmbedContentsRequest.requests[].model: must match the model of the batch";
            return Err(Refusal::new(400, text));
        }
    }
    let vectors: Vec<String> = requests
        .iter()
        .enumerate()
        .map(|(at, one)| format!("{{\"values\": {}}}", vector(at, one["outputDimensionality"].as_u64())))
        .collect();
    Ok(answer(ask, &format!("\"embeddings\": [{}]", vectors.join(","))))
}

fn answer(ask: &Ask<'_>, vectors: &str) -> Plan {
    let (usage, _) = tokens(ask, 1);
    let told = Some(usage).filter(|_| ask.fault != Fault::NoUsage);
    let metadata = told.map_or(String::new(), |usage| {
        format!(",\"usageMetadata\": {{\"promptTokenCount\": {}}}", usage.input)
    });
    plan(ask, &format!("{{{vectors}{metadata}}}\n"), told, "")
}

/// Refuses what is no content, and members that are not known or, but for `also`, not here.
fn check(request: &Value, also: &str) -> Result<(), Refusal> {
    let known: Vec<&str> = MEMBERS
        .into_iter()
        .filter(|name| !matches!(*name, "model" | "autoTruncate") || *name == also)
        .collect();
    if let Some(name) = unknown(request, &known) {
        let text = format!("{NO_JSON} Unknown name \"{name}\": Cannot find field.");
        return Err(Refusal::new(400, text));
    }
    let parts = request["content"]["parts"].as_array();
    match parts.is_some_and(|parts| !parts.is_empty() && parts.iter().all(|part| part["text"].is_string())) {
        true => Ok(()),
        false => Err(Refusal::new(400, "* EmbedContentRequest.content: contents is not specified")),
    }
}

/// The answer to `POST :predict`: each vector with the tokens of its text.
pub(in super::super) fn predict(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request = object(ask, NO_JSON)?;
    let instances = request["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
    if unknown(&request, &["instances", "parameters"]).is_some() || instances.is_empty() {
        return Err(Refusal::new(400, NO_JSON));
    }
    if instances.len() > INSTANCES_MAX {
        let text =
            format!("{} instance(s) is allowed per prediction. Actual: {}", INSTANCES_MAX, instances.len());
        return Err(Refusal::new(400, text));
    }
    let is_text = |one: &Value| {
        one["content"].is_string() && unknown(one, &["content", "task_type", "title"]).is_none()
    };
    if !instances.iter().all(is_text) {
        return Err(Refusal::new(400, "The text content is empty."));
    }
    let dimensions = request["parameters"]["outputDimensionality"].as_u64();
    let (usage, shares) = tokens(ask, instances.len());
    let told = ask.fault != Fault::NoUsage;
    let predictions: Vec<String> = shares
        .iter()
        .enumerate()
        .map(|(at, tokens)| {
            let statistics = match told {
                true => format!("\"statistics\": {{\"truncated\": false,\"token_count\": {tokens}}},"),
                false => String::new(),
            };
            format!("{{\"embeddings\": {{{statistics}\"values\": {}}}}}", vector(at, dimensions))
        })
        .collect();
    let body = format!("{{\"predictions\": [{}]}}\n", predictions.join(","));
    Ok(plan(ask, &body, Some(usage).filter(|_| told), ""))
}
