//! The checks of a chat request that OpenAI makes, in its words.

use super::super::Refusal;
use serde_json::Value;

/// What the answer needs to know of the request.
pub(super) struct Chat {
    pub(super) model: String,
    pub(super) messages: Vec<Value>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) max_output: Option<u64>,
}

/// Fields of other providers' formats: what a translation that forgot something would leave behind.
const FOREIGN: &[&str] =
    &["system", "stop_sequences", "top_k", "thinking", "anthropic_version", "contents", "inferenceConfig"];

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function"];

impl Chat {
    /// Reads and checks a body.
    pub(super) fn read(body: &[u8], strict: bool) -> Result<Chat, Refusal> {
        let mut request: Value = serde_json::from_slice(body).map_err(|_| {
            Refusal::new(
                400,
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your \
                 HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
            )
        })?;
        let messages = match request.get_mut("messages").map(Value::take) {
            Some(Value::Array(messages)) => messages,
            None | Some(Value::Null) => return Err(missing("messages")),
            Some(_) => return Err(wrong_type("messages", "an array of objects")),
        };
        let Some(model) = request["model"].as_str().filter(|model| !model.is_empty()) else {
            return Err(Refusal::new(400, "you must provide a model parameter"));
        };
        if messages.is_empty() {
            let text = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty \
                        array instead.";
            return Err(Refusal::new(400, text).param("messages").code("empty_array"));
        }
        for (index, message) in messages.iter().enumerate() {
            check_message(index, message)?;
        }
        if strict {
            check_fields(&request)?;
        }
        Ok(Chat {
            model: model.to_string(),
            messages,
            stream: flag(&request["stream"], "stream")?,
            include_usage: flag(&request["stream_options"]["include_usage"], "stream_options.include_usage")?,
            max_output: limit(&request, "max_completion_tokens")?.or(limit(&request, "max_tokens")?),
        })
    }
}

fn check_message(index: usize, message: &Value) -> Result<(), Refusal> {
    let param = format!("messages[{index}].role");
    match message["role"].as_str() {
        None => return Err(missing(&param)),
        Some(role) if !ROLES.contains(&role) => {
            let text = format!(
                "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', \
                 and 'developer'."
            );
            return Err(Refusal::new(400, text).param(param).code("invalid_value"));
        }
        Some("tool") if !message["tool_call_id"].is_string() => {
            return Err(missing(&format!("messages[{index}].tool_call_id")));
        }
        Some(_) => {}
    }
    match &message["content"] {
        Value::String(_) | Value::Array(_) => Ok(()),
        Value::Null if message["role"] == "assistant" => Ok(()),
        Value::Null => Err(missing(&format!("messages[{index}].content"))),
        _ => Err(wrong_type(&format!("messages[{index}].content"), "one of a string or array of objects")),
    }
}

fn check_fields(request: &Value) -> Result<(), Refusal> {
    if let Some(name) = FOREIGN.iter().find(|name| !request[**name].is_null()) {
        return Err(Refusal::new(400, format!("Unrecognized request argument supplied: {name}")));
    }
    if !request["stream_options"].is_null() && request["stream"] != true {
        let text = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Refusal::new(400, text).param("stream_options"));
    }
    Ok(())
}

fn flag(value: &Value, param: &str) -> Result<bool, Refusal> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(wrong_type(param, "a boolean")),
    }
}

fn limit(request: &Value, param: &str) -> Result<Option<u64>, Refusal> {
    match &request[param] {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(0) | None => Err(wrong_type(param, "an integer of at least 1")),
            some => Ok(some),
        },
    }
}

fn missing(param: &str) -> Refusal {
    let text = format!("Missing required parameter: '{param}'.");
    Refusal::new(400, text).param(param).code("missing_required_parameter")
}

fn wrong_type(param: &str, expected: &str) -> Refusal {
    Refusal::new(400, format!("Invalid type for '{param}': expected {expected}."))
        .param(param)
        .code("invalid_type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_openai_refuses() {
        let cases = [
            ("{", "We could not parse"),
            ("[]", "Missing required parameter: 'messages'."),
            (r#"{"model":"m"}"#, "Missing required parameter: 'messages'."),
            (r#"{"messages":[{"role":"user","content":"a"}]}"#, "you must provide a model parameter"),
            (r#"{"model":"m","messages":[]}"#, "Invalid 'messages': empty array."),
            (r#"{"model":"m","messages":[{"role":"robot","content":"a"}]}"#, "Invalid value: 'robot'."),
            (
                r#"{"model":"m","messages":[{"role":"user"}]}"#,
                "Missing required parameter: 'messages[0].content'.",
            ),
            (
                r#"{"model":"m","messages":[{"role":"tool","content":"a"}]}"#,
                "Missing required parameter: 'messages[0].t",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":1}"#,
                "Invalid type for 'stream'",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":0}"#,
                "Invalid type for 'max_tok",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"a"}],"system":"s"}"#,
                "Unrecognized request argu",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream_options":{"include_usage":true}}"#,
                "The 'stream_options' parameter is only allowed",
            ),
        ];
        for (body, start) in cases {
            let refusal = Chat::read(body.as_bytes(), true).err().unwrap();
            assert!(
                refusal.status == 400 && refusal.message.starts_with(start),
                "{body}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn limits_are_read_in_order() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":9,"max_completion_tokens":5}"#;
        assert_eq!(Chat::read(body, true).ok().and_then(|chat| chat.max_output), Some(5));
    }
}
