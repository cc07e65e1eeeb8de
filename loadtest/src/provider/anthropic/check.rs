//! The checks of a messages request that Anthropic makes, in its words.

use super::super::Refusal;
use serde_json::Value;

/// What the answer needs to know of the request.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) model: String,
    pub(super) messages: Vec<Value>,
    pub(super) stream: bool,
    pub(super) max_tokens: u64,
}

/// The fields there are; any other is refused, which is how a translation that forgot something shows.
const FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "metadata",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "service_tier",
    "container",
    "mcp_servers",
    "context_management",
    "output_config",
    "output_format",
    "cache_control",
    "inference_geo",
    "speed",
];

impl Messages {
    /// Reads and checks a body.
    pub(super) fn read(body: &[u8], strict: bool) -> Result<Messages, Refusal> {
        let mut request = parse(body)?;
        let Some(max_tokens) = request.get("max_tokens").map(|value| value.as_u64()) else {
            return Err(refuse("max_tokens: Field required"));
        };
        let Some(max_tokens) = max_tokens.filter(|&tokens| tokens > 0) else {
            return Err(refuse("max_tokens: Input should be greater than or equal to 1"));
        };
        if strict {
            check_fields(&request)?;
        }
        let stream = match request.get("stream") {
            None => false,
            Some(value) => value.as_bool().ok_or(refuse("stream: Input should be a valid boolean"))?,
        };
        let (model, messages) = common(&mut request, strict)?;
        Ok(Messages { model, messages, stream, max_tokens })
    }

    /// Reads and checks a body of `count_tokens`, which has no `max_tokens`.
    pub(super) fn read_for_counting(body: &[u8]) -> Result<(), Refusal> {
        common(&mut parse(body)?, true).map(|_| ())
    }
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    match serde_json::from_slice::<Value>(body) {
        Ok(request) if request.is_object() => Ok(request),
        Ok(_) => Err(refuse("Input should be a valid dictionary")),
        Err(why) => Err(refuse(&format!("The request body is not valid JSON: {why}"))),
    }
}

/// What both endpoints need.
fn common(request: &mut Value, strict: bool) -> Result<(String, Vec<Value>), Refusal> {
    let model = match request.get("model") {
        None => return Err(refuse("model: Field required")),
        Some(model) => model.as_str().filter(|name| !name.is_empty()).map(str::to_string),
    };
    let Some(model) = model else { return Err(refuse("model: Input should be a valid string")) };
    let messages = match request.get_mut("messages").map(Value::take) {
        None => return Err(refuse("messages: Field required")),
        Some(Value::Array(messages)) => messages,
        Some(_) => return Err(refuse("messages: Input should be a valid list")),
    };
    if messages.is_empty() {
        return Err(refuse("messages: at least one message is required"));
    }
    for (index, message) in messages.iter().enumerate() {
        check_message(index, message)?;
    }
    if strict {
        check_order(&messages)?;
    }
    Ok((model, messages))
}

fn check_message(index: usize, message: &Value) -> Result<(), Refusal> {
    match message["role"].as_str() {
        Some("user" | "assistant") => {}
        None => return Err(refuse(&format!("messages.{index}.role: Field required"))),
        Some(role) => {
            let text = format!(
                "messages: Unexpected role {role:?}. The Messages API accepts a top-level `system` parameter, not \
                 \"system\" as an input message role."
            );
            return Err(refuse(&text));
        }
    }
    match &message["content"] {
        Value::String(text) if !text.is_empty() => Ok(()),
        Value::Array(blocks) if !blocks.is_empty() => check_blocks(index, blocks),
        Value::Null => Err(refuse(&format!("messages.{index}.content: Field required"))),
        Value::String(_) | Value::Array(_) => Err(refuse(&format!(
            "messages.{index}: all messages must have non-empty content except for the optional final assistant message"
        ))),
        _ => Err(refuse(&format!("messages.{index}.content: Input should be a valid list"))),
    }
}

fn check_blocks(index: usize, blocks: &[Value]) -> Result<(), Refusal> {
    for (place, block) in blocks.iter().enumerate() {
        let at = format!("messages.{index}.content.{place}");
        match block["type"].as_str() {
            None => return Err(refuse(&format!("{at}.type: Field required"))),
            Some("text") => match block["text"].as_str() {
                None => return Err(refuse(&format!("{at}.text.text: Field required"))),
                Some("") => return Err(refuse("messages: text content blocks must be non-empty")),
                Some(_) => {}
            },
            Some("tool_result") if !block["tool_use_id"].is_string() => {
                return Err(refuse(&format!("{at}.tool_result.tool_use_id: Field required")));
            }
            Some("image_url" | "input_text") => {
                return Err(refuse(&format!("{at}: Input tag does not match any of the expected tags")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The user speaks first, and nobody twice in a row.
fn check_order(messages: &[Value]) -> Result<(), Refusal> {
    let mut before = "assistant";
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == before {
            return Err(refuse(&match index {
                0 => "messages: first message must use the \"user\" role".to_string(),
                _ => format!(
                    "messages: roles must alternate between \"user\" and \"assistant\", but found multiple {role:?} \
                     roles in a row"
                ),
            }));
        }
        before = role;
    }
    Ok(())
}

fn check_fields(request: &Value) -> Result<(), Refusal> {
    let unknown =
        request.as_object().and_then(|fields| fields.keys().find(|name| !FIELDS.contains(&name.as_str())));
    match unknown {
        Some(name) => Err(refuse(&format!("{name}: Extra inputs are not permitted"))),
        None => Ok(()),
    }
}

fn refuse(message: &str) -> Refusal {
    Refusal::new(400, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_anthropic_refuses() {
        let user = r#"{"role":"user","content":"a"}"#;
        let cases = [
            ("{".to_string(), "The request body is not valid JSON"),
            ("[]".to_string(), "Input should be a valid dictionary"),
            (format!(r#"{{"model":"m","messages":[{user}]}}"#), "max_tokens: Field required"),
            (format!(r#"{{"model":"m","max_tokens":0,"messages":[{user}]}}"#), "max_tokens: Input should be"),
            (format!(r#"{{"max_tokens":9,"messages":[{user}]}}"#), "model: Field required"),
            (r#"{"model":"m","max_tokens":9}"#.to_string(), "messages: Field required"),
            (r#"{"model":"m","max_tokens":9,"messages":[]}"#.to_string(), "messages: at least one message"),
            (
                format!(
                    r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"system","content":"s"}},{user}]}}"#
                ),
                "messages: Unexpected role \"system\".",
            ),
            (
                format!(r#"{{"model":"m","max_tokens":9,"messages":[{user},{user}]}}"#),
                "messages: roles must alternate",
            ),
            (
                r#"{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":"s"}]}"#.to_string(),
                "messages: first message must use",
            ),
            (
                r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":""}]}"#.to_string(),
                "messages.0: all messages must have non-empty content",
            ),
            (
                format!(r#"{{"model":"m","max_tokens":9,"messages":[{user}],"stream_options":{{}}}}"#),
                "stream_options: Extra inputs are not permitted",
            ),
        ];
        for (body, start) in cases {
            let refusal = Messages::read(body.as_bytes(), true).unwrap_err();
            assert!(
                refusal.status == 400 && refusal.message.starts_with(start),
                "{body}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn lenience() {
        let twice = br#"{"model":"m","max_tokens":9,"n":1,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
        assert!(Messages::read(twice, false).is_ok());
        assert!(
            Messages::read_for_counting(br#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#)
                .is_ok()
        );
    }
}
