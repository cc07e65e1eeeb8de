//! OpenAI embeddings: <https://platform.openai.com/docs/api-reference/embeddings>; Google's and Amazon's beside them.

mod bedrock;
mod google;

pub(super) use bedrock::invoke;
pub(super) use google::{embed, embed_batch, predict};

use super::{Ask, Refusal, quoted};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing};
use serde_json::Value;

/// How long vectors are when the request does not say.
const DIMENSIONS: u64 = 8;

/// How the numbers of vectors are written, one behind the other: as providers write them, white space and all.
const NUMBERS: [&str; 5] = ["-0.0125", "5.323092E-4", " 0.041551947593688965", "1", "-4.477483162190765e-5"];

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

/// The vector of the text at this place among those of its request, which its first number is.
fn vector(index: usize, dimensions: Option<u64>) -> String {
    let length = dimensions.unwrap_or(DIMENSIONS).clamp(1, DIMENSIONS_MAX) as usize;
    let rest = NUMBERS.iter().cycle().map(|number| (*number).to_string());
    let numbers: Vec<String> = std::iter::once(index.to_string()).chain(rest).take(length).collect();
    format!("[{}]", numbers.join(","))
}

/// The input's tokens, and what of them falls to each text.
fn tokens(ask: &Ask<'_>, texts: usize) -> (Usage, Vec<u64>) {
    let usage = Usage { input: ask.script.input_tokens.of(ask.body.len()), ..Usage::default() };
    let share = |index: usize| super::share(usage.input, index, texts);
    (usage, (0..texts).map(|index| share(index + 1) - share(index)).collect())
}

/// The whole answer, which ends with the usage if it states any.
fn plan(ask: &Ask<'_>, body: &str, usage: Option<Usage>, lines: &str) -> Plan {
    let mut sheet = Sheet::default();
    sheet.text(body);
    sheet.end_piece(usage);
    let mut envelope = ask.envelope(200, "application/json");
    envelope.lines.push_str(lines);
    let mut plan = sheet.plan(&envelope);
    plan.is_chat = true;
    plan
}

/// The object that a body is.
fn object(ask: &Ask<'_>, otherwise: &str) -> Result<Value, Refusal> {
    let request: Option<Value> = serde_json::from_slice(ask.body).ok();
    request.filter(Value::is_object).ok_or_else(|| Refusal::new(400, otherwise))
}

/// The first member that is not among `known`.
fn unknown<'v>(value: &'v Value, known: &[&str]) -> Option<&'v str> {
    let mut names = value.as_object()?.keys();
    names.find(|name| !known.contains(&name.as_str())).map(String::as_str)
}
