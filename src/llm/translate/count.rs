//! Counts of tokens: a request as for an answer, of which only what is read remains, and one number.
//!
//! Sources: Anthropic API reference, "Count tokens in a Message"; Gemini API reference, "Counting tokens"; Vertex AI
//! reference, `countTokens`; Amazon Bedrock API reference, "CountTokens".

use super::emit::Emit;
use super::read::Value;
use super::{BadReply, BadRequest, Lost, RequestTerms, converse, gemini, hub, messages};
use crate::llm::Format;

/// The request for an answer that a request for a count is about.
pub(super) fn counted<'t, 'b>(from: Format, body: Value<'t, 'b>) -> Value<'t, 'b> {
    match from {
        Format::GeminiCountTokens => gemini::counted(body),
        _ => body,
    }
}

/// Writes the request for a count; `None` where the format has none.
pub(super) fn write_request(
    to: Format,
    request: &hub::Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Option<Result<(), BadRequest>> {
    match to {
        Format::AnthropicCountTokens => Some(messages::write_count(request, terms, lost, e)),
        Format::GeminiCountTokens => Some(gemini::write_count(request, terms, lost, e)),
        Format::BedrockCountTokens => Some(converse::write_count(request, terms, lost, e)),
        _ => None,
    }
}

/// Writes the answer.
pub(super) fn write_reply(client: Format, answer: Value<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadReply> {
    let names = ["input_tokens", "totalTokens", "total_tokens", "inputTokens"];
    let tokens = names.iter().find_map(|name| answer.get(name)?.u64()).ok_or(BadReply::NotAnAnswer)?;
    let name = if client == Format::GeminiCountTokens { "totalTokens" } else { "input_tokens" };
    e.object(|e| e.key(name).u64(tokens));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{ReplyTerms, reply, request};
    use super::*;
    use Format::{AnthropicCountTokens, BedrockCountTokens, GeminiCountTokens};
    use serde_json::{Value as Json, json};

    fn sent(from: Format, to: Format, body: Json, terms: &RequestTerms<'_>) -> Json {
        let mut out = Vec::new();
        request(from, to, &mut body.to_string().into_bytes(), terms, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn what_is_counted_is_what_is_read() {
        let tool = json!({"name": "f", "input_schema": {"type": "object"}});
        let message = json!({
            "model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool.clone()],
            "thinking": {"type": "enabled", "budget_tokens": 2000}, "tool_choice": {"type": "any"},
        });
        let declared =
            json!([{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}]);
        let contents = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
        let system = json!({"parts": [{"text": "Be brief."}]});
        let own = RequestTerms { model: Some("gemini-2.5-flash"), ..RequestTerms::default() };
        let whole = json!({"contents": contents, "systemInstruction": system, "tools": declared});
        let mut nested = whole.clone();
        nested["model"] = "models/gemini-2.5-flash".into();
        assert_eq!(
            sent(AnthropicCountTokens, GeminiCountTokens, message.clone(), &own),
            json!({"generateContentRequest": nested})
        );
        let vertex = RequestTerms { at_vertex: true, ..own };
        assert_eq!(sent(AnthropicCountTokens, GeminiCountTokens, message.clone(), &vertex), whole);

        let claude = RequestTerms { model: Some("anthropic.claude-sonnet-4-5"), ..RequestTerms::default() };
        let bedrock = sent(AnthropicCountTokens, BedrockCountTokens, message, &claude);
        let converse = &bedrock["input"]["converse"];
        assert_eq!(converse["messages"], json!([{"role": "user", "content": [{"text": "Hi"}]}]));
        assert_eq!(converse["system"], json!([{"text": "Be brief."}]));
        assert_eq!(converse["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
        let names: Vec<&String> = converse.as_object().unwrap().keys().collect();
        assert_eq!(names, ["messages", "system", "toolConfig"], "nothing else may be said: {bedrock}");

        let theirs = RequestTerms { path_model: Some("claude-sonnet-4-5"), ..RequestTerms::default() };
        let expected = json!({
            "model": "claude-sonnet-4-5", "system": "Be brief.", "tools": [tool],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        });
        let mut nested = whole.clone();
        nested["generationConfig"] = json!({"maxOutputTokens": 9, "temperature": 1, "stopSequences": ["x"]});
        for body in [whole, json!({"generateContentRequest": nested})] {
            assert_eq!(sent(GeminiCountTokens, AnthropicCountTokens, body, &theirs), expected);
        }
        let at_vertex = RequestTerms { body_version: Some("vertex-2023-10-16"), ..theirs };
        let sent = sent(GeminiCountTokens, AnthropicCountTokens, json!({"contents": contents}), &at_vertex);
        assert_eq!(
            (&sent["model"], &sent["anthropic_version"]),
            (&"claude-sonnet-4-5".into(), &"vertex-2023-10-16".into())
        );
    }

    #[test]
    fn the_number_is_told_in_the_clients_word() {
        let rows = [
            (AnthropicCountTokens, GeminiCountTokens, r#"{"input_tokens":7}"#, Some(r#"{"totalTokens":7}"#)),
            (
                GeminiCountTokens,
                AnthropicCountTokens,
                r#"{"totalTokens":7,"promptTokensDetails":[]}"#,
                Some(r#"{"input_tokens":7}"#),
            ),
            (BedrockCountTokens, AnthropicCountTokens, r#"{"inputTokens":7}"#, Some(r#"{"input_tokens":7}"#)),
            (BedrockCountTokens, GeminiCountTokens, r#"{"inputTokens":7}"#, Some(r#"{"totalTokens":7}"#)),
            (BedrockCountTokens, GeminiCountTokens, r#"{"inputTokens":"7"}"#, None),
            (GeminiCountTokens, AnthropicCountTokens, "{}", None),
            (GeminiCountTokens, AnthropicCountTokens, "7", None),
        ];
        for (provider, client, body, expected) in rows {
            let mut out = Vec::new();
            let read =
                reply(provider, client, &mut body.as_bytes().to_vec(), &ReplyTerms::default(), &mut out);
            let told = read.is_ok().then(|| String::from_utf8(out).unwrap());
            assert_eq!(told.as_deref(), expected, "{body}");
        }
    }
}
