//! OpenAI embeddings: <https://platform.openai.com/docs/api-reference/embeddings>.

use super::{Ask, Refusal, quoted};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing};
use serde_json::Value;

/// How long vectors are when the request does not say.
const DIMENSIONS: u64 = 8;

/// The longest vectors, and the most of them.
const DIMENSIONS_MAX: u64 = 3072;
const INPUTS_MAX: usize = 2048;

/// The answer to `POST /v1/embeddings`: vectors of the same numbers, and usage of the input alone.
pub(super) fn embeddings(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request: Value = serde_json::from_slice(ask.body)
        .map_err(|_| Refusal::new(400, "We could not parse the JSON body of your request."))?;
    let Some(model) = request["model"].as_str().filter(|model| !model.is_empty()) else {
        return Err(Refusal::new(400, "you must provide a model parameter"));
    };
    let inputs = match &request["input"] {
        Value::String(text) if !text.is_empty() => 1,
        Value::Array(list) if list.iter().all(Value::is_u64) && !list.is_empty() => 1,
        Value::Array(list) if (1..=INPUTS_MAX).contains(&list.len()) => list.len(),
        _ => return Err(Refusal::new(400, "'$.input' is invalid.").param("input")),
    };
    let dimensions = request["dimensions"].as_u64().unwrap_or(DIMENSIONS).clamp(1, DIMENSIONS_MAX);
    let vector = vec!["-0.0125"; dimensions as usize].join(",");
    let data: Vec<String> = (0..inputs)
        .map(|index| format!("{{\"object\":\"embedding\",\"index\":{index},\"embedding\":[{vector}]}}"))
        .collect();
    let usage = Usage { input: ask.script.input_tokens.of(ask.body.len()), ..Usage::default() };
    let mut sheet = Sheet::default();
    sheet.text(&format!("{{\"object\":\"list\",\"data\":[{}],\"model\":{}", data.join(","), quoted(model)));
    if ask.fault != Fault::NoUsage {
        if ask.script.framing == Framing::Chunked {
            sheet.end_piece(None);
        }
        sheet.text(&format!(",\"usage\":{{\"prompt_tokens\":{0},\"total_tokens\":{0}}}", usage.input));
        sheet.end_piece(Some(usage));
    }
    sheet.text("}\n");
    let mut plan = sheet.plan(&ask.envelope(200, "application/json"));
    plan.is_chat = true;
    Ok(plan)
}
