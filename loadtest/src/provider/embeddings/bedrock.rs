//! Amazon Bedrock's InvokeModel of models that embed texts:
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4.html>.

use super::super::{Ask, Refusal, converse};
use super::{object, plan, tokens, unknown, vector};
use crate::answer::Plan;
use crate::script::Fault;
use serde_json::Value;

/// The most texts that Cohere takes at once.
const TEXTS_MAX: usize = 96;

const MALFORMED: &str = "Malformed input request, please reformat your input and try again.";

/// The answer to `POST /model/{id}/invoke`, by the maker of the model.
pub(in super::super) fn invoke(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request = object(ask, MALFORMED)?;
    let model = converse::model(ask);
    let (usage, _) = tokens(ask, 1);
    let told = ask.fault != Fault::NoUsage;
    let body = match &model {
        model if model.contains("titan-embed") => titan(&request, usage.input, told)?,
        model if model.contains("cohere.embed") => cohere(&request, model.contains("v4"))?,
        model if model.contains("nova") => nova(&request)?,
        _ => return Err(Refusal::new(400, "The provided model identifier is invalid.")),
    };
    let line = format!("x-amzn-bedrock-input-token-count: {}\r\n", usage.input);
    let lines = if told { line.as_str() } else { "" };
    Ok(plan(ask, &body, Some(usage).filter(|_| told), lines))
}

fn titan(request: &Value, tokens: u64, told: bool) -> Result<String, Refusal> {
    if unknown(request, &["inputText", "dimensions", "normalize", "embeddingTypes"]).is_some()
        || !request["inputText"].is_string()
    {
        return Err(Refusal::new(400, MALFORMED));
    }
    let vector = vector(0, request["dimensions"].as_u64());
    let count = if told { format!(",\"inputTextTokenCount\":{tokens}") } else { String::new() };
    Ok(format!("{{\"embedding\":{vector},\"embeddingsByType\":{{\"float\":{vector}}}{count}}}"))
}

/// The third generation answers with a list, the fourth with lists by type.
fn cohere(request: &Value, by_type: bool) -> Result<String, Refusal> {
    let known = ["texts", "input_type", "truncate", "output_dimension", "embedding_types"];
    let texts = request["texts"].as_array().filter(|texts| texts.iter().all(Value::is_string));
    let count = texts.map_or(0, Vec::len);
    let types = ["search_document", "search_query", "classification", "clustering"];
    let is_typed = request["input_type"].as_str().is_some_and(|word| types.contains(&word));
    if unknown(request, &known).is_some() || !(1..=TEXTS_MAX).contains(&count) || !is_typed {
        return Err(Refusal::new(400, MALFORMED));
    }
    let vectors: Vec<String> =
        (0..count).map(|at| vector(at, request["output_dimension"].as_u64())).collect();
    let vectors = vectors.join(",");
    let texts = &request["texts"];
    Ok(match by_type {
        true => format!(
            "{{\"id\":\"3fa1\",\"texts\":{texts},\"embeddings\":{{\"float\":[{vectors}]}},\"response_type\":\"embeddings_by_type\"}}"
        ),
        false => format!(
            "{{\"embeddings\":[{vectors}],\"id\":\"fc74\",\"response_type\":\"embeddings_floats\",\"texts\":{texts}}}"
        ),
    })
}

fn nova(request: &Value) -> Result<String, Refusal> {
    let params = &request["singleEmbeddingParams"];
    let text = &params["text"];
    if request["taskType"] != "SINGLE_EMBEDDING"
        || unknown(params, &["embeddingPurpose", "embeddingDimension", "text"]).is_some()
        || !(params["embeddingPurpose"].is_string()
            && text["value"].is_string()
            && text["truncationMode"].is_string())
    {
        return Err(Refusal::new(400, MALFORMED));
    }
    let vector = vector(0, params["embeddingDimension"].as_u64());
    Ok(format!("{{\"embeddings\":[{{\"embedding\":{vector},\"embeddingType\":\"TEXT\"}}]}}"))
}
