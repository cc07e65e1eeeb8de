//! The checks of contents that Gemini makes, in its words.

use super::super::Refusal;
use serde_json::Value;

/// What the answer needs to know of the request.
pub(super) struct Contents {
    /// The text of the last content of the user.
    pub(super) user_text: String,
    pub(super) max_output: Option<u64>,
}

/// The fields there are; any other is refused.
const FIELDS: &[&str] = &[
    "contents",
    "systemInstruction",
    "system_instruction",
    "generationConfig",
    "generation_config",
    "safetySettings",
    "safety_settings",
    "tools",
    "toolConfig",
    "tool_config",
    "cachedContent",
    "cached_content",
    "labels",
    "model",
    "serviceTier",
];

impl Contents {
    /// Reads and checks a body, of a request to Vertex AI or to the Gemini API, which has one member more.
    pub(super) fn read(body: &[u8], strict: bool, at_vertex: bool) -> Result<Contents, Refusal> {
        let request = parse(body)?;
        let unknown = |(name, _): &(&String, &Value)| {
            !FIELDS.contains(&name.as_str()) || (at_vertex && *name == "serviceTier")
        };
        if let Some((name, _)) = request.as_object().filter(|_| strict).and_then(|r| r.iter().find(unknown)) {
            let text = format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.");
            return Err(Refusal::new(400, text));
        }
        let config = [&request["generationConfig"], &request["generation_config"]];
        let max_output = config.iter().find_map(|config| config["maxOutputTokens"].as_u64());
        Ok(Contents { user_text: user_text(&request["contents"])?, max_output })
    }

    /// The same for a request that only counts: contents, or a whole request in them.
    pub(super) fn read_for_counting(body: &[u8]) -> Result<(), Refusal> {
        let request = parse(body)?;
        let nested = &request["generateContentRequest"];
        let request = if nested.is_object() { nested } else { &request };
        user_text(&request["contents"]).map(|_| ())
    }
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    let request: Option<Value> = serde_json::from_slice(body).ok();
    request.filter(Value::is_object).ok_or(Refusal::new(400, "Invalid JSON payload received."))
}

fn user_text(contents: &Value) -> Result<String, Refusal> {
    let list = contents.as_array().filter(|list| !list.is_empty());
    let list =
        list.ok_or(Refusal::new(400, "* GenerateContentRequest.contents: contents is not specified"))?;
    // A content without a role is the user's.
    let last = list.iter().rev().find(|content| matches!(content["role"].as_str(), None | Some("user")));
    let parts = last.and_then(|content| content["parts"].as_array());
    Ok(parts.into_iter().flatten().filter_map(|part| part["text"].as_str()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_gemini_refuses() {
        let cases = [
            ("{", "Invalid JSON payload received."),
            ("[]", "Invalid JSON payload received."),
            ("{}", "* GenerateContentRequest.contents"),
            (r#"{"contents":[]}"#, "* GenerateContentRequest.contents"),
            (
                r#"{"contents":[{}],"messages":[]}"#,
                "Invalid JSON payload received. Unknown name \"messages\"",
            ),
        ];
        for (body, start) in cases {
            let refusal = Contents::read(body.as_bytes(), true, false).err().unwrap();
            assert!(
                refusal.status == 400 && refusal.message.starts_with(start),
                "{body}: {}",
                refusal.message
            );
        }
    }
}
