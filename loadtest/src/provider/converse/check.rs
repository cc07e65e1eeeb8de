//! The checks of a conversation that Bedrock makes, in its words.

use super::super::Refusal;
use serde_json::Value;

/// What the answer needs to know of the request.
pub(super) struct Conversation {
    /// The text of the last message of the user.
    pub(super) user_text: String,
    pub(super) max_output: Option<u64>,
}

/// The members there are; any other is refused.
const FIELDS: &[&str] = &[
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "promptVariables",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];

/// The members of a conversation that is counted.
const COUNTED: &[&str] = &["messages", "system", "toolConfig", "additionalModelRequestFields"];

/// Checks the body of a request to count tokens: a conversation within it.
pub(super) fn check_counted(body: &[u8], strict: bool) -> Result<(), Refusal> {
    let request: Option<Value> = serde_json::from_slice(body).ok();
    let conversation =
        request.as_ref().map(|request| &request["input"]["converse"]).filter(|one| one.is_object());
    let conversation = conversation.ok_or_else(|| Refusal::new(400, "input: Field required"))?;
    let unknown = |name: &&String| strict && !COUNTED.contains(&name.as_str());
    match conversation.as_object().and_then(|members| members.keys().find(unknown)) {
        Some(name) => Err(Refusal::new(400, format!("{name}: Extra inputs are not permitted"))),
        None => Conversation::read(conversation.to_string().as_bytes(), strict).map(|_| ()),
    }
}

impl Conversation {
    /// Reads and checks a body.
    pub(super) fn read(body: &[u8], strict: bool) -> Result<Conversation, Refusal> {
        let request: Option<Value> = serde_json::from_slice(body).ok();
        let request = request.filter(Value::is_object);
        let request = request.ok_or_else(|| Refusal::new(400, "The request body is not valid JSON."))?;
        let unknown = |(name, _): &(&String, &Value)| !FIELDS.contains(&name.as_str());
        if let Some((name, _)) = request.as_object().filter(|_| strict).and_then(|r| r.iter().find(unknown)) {
            return Err(Refusal::new(
                400,
                format!("The model returned the following errors: {name}: Extra inputs"),
            ));
        }
        let messages = request["messages"].as_array().filter(|messages| !messages.is_empty());
        let messages = messages.ok_or_else(|| {
            Refusal::new(
                400,
                "A conversation must start with a user message. Try again with a conversation that does.",
            )
        })?;
        for (index, message) in messages.iter().enumerate() {
            check_message(index, message)?;
        }
        if !request["guardrailConfig"].is_null()
            && !["guardrailIdentifier", "guardrailVersion"]
                .iter()
                .all(|name| request["guardrailConfig"][*name].is_string())
        {
            return Err(Refusal::new(
                400,
                "The guardrail identifier or version provided in the request does not exist.",
            ));
        }
        let last = messages.iter().rev().find(|message| message["role"] == "user");
        let blocks = last.and_then(|message| message["content"].as_array()).into_iter().flatten();
        Ok(Conversation {
            user_text: blocks.filter_map(|block| block["text"].as_str()).collect(),
            max_output: request["inferenceConfig"]["maxTokens"].as_u64(),
        })
    }
}

/// Roles take turns, and the user begins.
fn check_message(index: usize, message: &Value) -> Result<(), Refusal> {
    let expected = if index.is_multiple_of(2) { "user" } else { "assistant" };
    if message["role"] != expected {
        return Err(Refusal::new(400, "A conversation must alternate between user and assistant roles."));
    }
    match message["content"].as_array() {
        Some(blocks) if !blocks.is_empty() => Ok(()),
        _ => Err(Refusal::new(
            400,
            format!("The content field in the Message object at messages.{index} is empty."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_bedrock_refuses() {
        let message = r#"{"role":"user","content":[{"text":"a"}]}"#;
        let cases = [
            ("{".to_owned(), "The request body is not valid JSON."),
            ("{}".to_owned(), "A conversation must start with a user message."),
            (
                r#"{"messages":[{"role":"assistant","content":[{"text":"a"}]}]}"#.to_owned(),
                "A conversation must alternate",
            ),
            (format!("{{\"messages\":[{message},{message}]}}"), "A conversation must alternate"),
            (r#"{"messages":[{"role":"user","content":[]}]}"#.to_owned(), "The content field"),
            (
                format!("{{\"model\":\"m\",\"messages\":[{message}]}}"),
                "The model returned the following errors: model",
            ),
            (format!("{{\"guardrailConfig\":{{}},\"messages\":[{message}]}}"), "The guardrail identifier"),
        ];
        for (body, start) in cases {
            let refusal = Conversation::read(body.as_bytes(), true).err().unwrap();
            assert!(
                refusal.status == 400 && refusal.message.starts_with(start),
                "{body}: {}",
                refusal.message
            );
        }
        let body = format!("{{\"inferenceConfig\":{{\"maxTokens\":9}},\"messages\":[{message}]}}");
        let read = Conversation::read(body.as_bytes(), true).ok().unwrap();
        assert_eq!((read.user_text.as_str(), read.max_output), ("a", Some(9)));
    }
}
