//! The checks of a responses request that OpenAI makes, in its words.

use super::super::Refusal;
use serde_json::Value;

/// What the answer needs to know of the request.
pub(super) struct Request {
    pub(super) model: String,
    /// The input, when it is one text.
    pub(super) text: Option<String>,
    /// The input, when it is a list of items.
    pub(super) items: Vec<Value>,
    pub(super) stream: bool,
    pub(super) max_output: Option<u64>,
}

/// Fields of other formats: what an edit or a translation that went wrong would leave behind.
const FOREIGN: &[&str] = &[
    "messages",
    "system",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stop",
    "contents",
    "generationConfig",
    "anthropic_version",
];

impl Request {
    /// Reads and checks a body.
    pub(super) fn read(body: &[u8], strict: bool) -> Result<Request, Refusal> {
        let mut request: Value = serde_json::from_slice(body)
            .map_err(|_| Refusal::new(400, "We could not parse the JSON body of your request."))?;
        if let Some(name) = FOREIGN.iter().find(|name| strict && !request[**name].is_null()) {
            let text = format!("Unknown parameter: '{name}'.");
            return Err(Refusal::new(400, text).param(*name).code("unknown_parameter"));
        }
        if strict && request["stream"] != true && request["stream_options"]["include_usage"] != Value::Null {
            let text = "Unknown parameter: 'stream_options.include_usage'.";
            return Err(Refusal::new(400, text).code("unknown_parameter"));
        }
        let Some(model) = request["model"].as_str().filter(|model| !model.is_empty()) else {
            return Err(missing("model"));
        };
        let model = model.to_string();
        let stream = request["stream"].as_bool().unwrap_or(false);
        let max_output = request["max_output_tokens"].as_u64();
        let (text, items) = match request["input"].take() {
            Value::String(text) => (Some(text), Vec::new()),
            Value::Array(items) if !items.is_empty() => (None, items),
            _ => return Err(missing("input")),
        };
        Ok(Request { model, text, items, stream, max_output })
    }
}

fn missing(param: &str) -> Refusal {
    let text = format!("Missing required parameter: '{param}'.");
    Refusal::new(400, text).param(param).code("missing_required_parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_openai_refuses() {
        let cases = [
            ("{", "We could not parse"),
            (r#"{"input":"a"}"#, "Missing required parameter: 'model'."),
            (r#"{"model":"m"}"#, "Missing required parameter: 'input'."),
            (r#"{"model":"m","input":[]}"#, "Missing required parameter: 'input'."),
            (r#"{"model":"m","input":"a","messages":[]}"#, "Unknown parameter: 'messages'."),
        ];
        for (body, start) in cases {
            let refusal = Request::read(body.as_bytes(), true).err().unwrap();
            assert!(refusal.message.starts_with(start), "{body}: {}", refusal.message);
        }
    }
}
