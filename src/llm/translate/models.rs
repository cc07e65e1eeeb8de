//! Lists of models, and entries of them, in another API's words.
//!
//! Sources: OpenAI API reference, "Models"; Anthropic API reference, "Models"; Gemini API reference, "Models". A list is one
//! page: providers are asked for the largest that they give.

use super::BadReply;
use super::emit::Emit;
use super::read::{Kind, Value};
use crate::llm::{Api, Format};
use jiff::Timestamp;

/// A model.
struct Model<'b> {
    id: &'b str,
    /// Empty when it has none but its id.
    name: &'b str,
    /// Seconds since 1970; 0 when nobody says, as Anthropic has it.
    created: i64,
    owner: &'b str,
    /// The most tokens of input and of output; 0 when nobody says.
    limits: (u64, u64),
    /// Whether its tokens can be counted.
    counts: bool,
}

/// Writes the list that `answer` is, or the entry, in the format of the client.
pub(super) fn write_reply(
    provider: Format,
    client: Format,
    answer: Value<'_, '_>,
    e: &mut Emit<'_>,
) -> Result<(), BadReply> {
    let list = answer.get(if provider == Format::GeminiModels { "models" } else { "data" });
    match list.filter(|list| list.is_array()) {
        Some(list) => {
            let models: Vec<Model<'_>> = list.elements().filter_map(|entry| read(provider, entry)).collect();
            write_list(client, &models, e);
        }
        // Gemini leaves an empty list out.
        None if provider == Format::GeminiModels && answer.members().next().is_none() => {
            write_list(client, &[], e);
        }
        None => write(client, &read(provider, answer).ok_or(BadReply::NotAnAnswer)?, e),
    }
    Ok(())
}

/// What an entry is; `None` when it has no name.
fn read<'b>(provider: Format, entry: Value<'_, 'b>) -> Option<Model<'b>> {
    let number = |name: &str| entry.get(name).and_then(Value::u64).unwrap_or_default();
    let model = match provider.api() {
        Api::Anthropic => Model {
            id: entry.text("id"),
            name: entry.text("display_name"),
            created: entry.text("created_at").parse().map_or(0, Timestamp::as_second),
            owner: "anthropic",
            limits: (number("max_input_tokens"), number("max_tokens")),
            counts: true,
        },
        Api::Gemini => Model {
            id: entry.text("name").strip_prefix("models/").unwrap_or(entry.text("name")),
            name: entry.text("displayName"),
            created: 0,
            owner: "google",
            limits: (number("inputTokenLimit"), number("outputTokenLimit")),
            counts: true,
        },
        Api::OpenAi | Api::Bedrock => Model {
            id: entry.text("id"),
            name: "",
            created: match entry.get("created").map(Value::kind) {
                Some(Kind::U64(created)) => i64::try_from(created).unwrap_or_default(),
                _ => 0,
            },
            owner: entry.text("owned_by"),
            limits: (0, 0),
            counts: false,
        },
    };
    (!model.id.is_empty()).then_some(model)
}

fn write_list(client: Format, models: &[Model<'_>], e: &mut Emit<'_>) {
    let entries = |e: &mut Emit<'_>| e.array(|e| models.iter().for_each(|model| write(client, model, e)));
    e.object(|e| match client.api() {
        Api::Gemini => entries(e.key("models")),
        Api::Anthropic => {
            entries(e.key("data"));
            e.key("has_more").bool(false);
            for (name, model) in [("first_id", models.first()), ("last_id", models.last())] {
                match model {
                    Some(model) => e.key(name).str(model.id),
                    None => e.key(name).raw("null"),
                }
            }
        }
        Api::OpenAi | Api::Bedrock => {
            e.key("object").str("list");
            entries(e.key("data"));
        }
    });
}

fn write(client: Format, model: &Model<'_>, e: &mut Emit<'_>) {
    let name = if model.name.is_empty() { model.id } else { model.name };
    let limits = |names: [&str; 2], e: &mut Emit<'_>| {
        let (input, output) = model.limits;
        for (name, tokens) in names.into_iter().zip([input, output]).filter(|(_, tokens)| *tokens > 0) {
            e.key(name).u64(tokens);
        }
    };
    e.object(|e| match client.api() {
        Api::Anthropic => {
            e.key("type").str("model");
            e.key("id").str(model.id);
            e.key("display_name").str(name);
            e.key("created_at").str(&Timestamp::from_second(model.created).unwrap_or_default().to_string());
            limits(["max_input_tokens", "max_tokens"], e);
        }
        Api::Gemini => {
            e.key("name").text(["models/", model.id]);
            e.key("displayName").str(name);
            limits(["inputTokenLimit", "outputTokenLimit"], e);
            e.key("supportedGenerationMethods").array(|e| {
                e.str("generateContent");
                if model.counts {
                    e.str("countTokens");
                }
            });
        }
        Api::OpenAi | Api::Bedrock => {
            e.key("id").str(model.id);
            e.key("object").str("model");
            e.key("created").u64(u64::try_from(model.created).unwrap_or_default());
            e.key("owned_by").str(model.owner);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{BadReply, ReplyTerms, reply};
    use super::*;
    use Format::{AnthropicModels, GeminiModels, OpenAiModels};
    use serde_json::{Value as Json, json};

    fn told(provider: Format, client: Format, body: Json) -> Result<Json, BadReply> {
        let mut out = Vec::new();
        let mut body = body.to_string().into_bytes();
        reply(provider, client, &mut body, &ReplyTerms::default(), &mut out)?;
        Ok(serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn lists_and_entries_are_told_in_every_apis_words() {
        let openai =
            json!({"id": "gpt-4o", "object": "model", "created": 1_715_367_049, "owned_by": "system"});
        let anthropic = json!({
            "type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-02-19T00:00:00Z",
            "max_input_tokens": 200_000, "max_tokens": 64_000, "capabilities": {"batch": {"supported": true}},
        });
        let gemini = json!({
            "name": "models/gemini-x", "displayName": "Gemini X", "inputTokenLimit": 1_048_576, "outputTokenLimit": 8192,
            "supportedGenerationMethods": ["generateContent", "countTokens"], "version": "001",
        });
        let to_openai = |id: &str, created: u64, owner: &str| json!({"id": id, "object": "model", "created": created, "owned_by": owner});
        let methods = json!(["generateContent", "countTokens"]);
        let rows = [
            (AnthropicModels, &anthropic, OpenAiModels, to_openai("claude-x", 1_739_923_200, "anthropic")),
            (GeminiModels, &gemini, OpenAiModels, to_openai("gemini-x", 0, "google")),
            (
                OpenAiModels,
                &openai,
                AnthropicModels,
                json!({"type": "model", "id": "gpt-4o", "display_name": "gpt-4o", "created_at": "2024-05-10T18:50:49Z"}),
            ),
            (
                GeminiModels,
                &gemini,
                AnthropicModels,
                json!({"type": "model", "id": "gemini-x", "display_name": "Gemini X", "created_at": "1970-01-01T00:00:00Z",
                    "max_input_tokens": 1_048_576, "max_tokens": 8192}),
            ),
            (
                OpenAiModels,
                &openai,
                GeminiModels,
                json!({"name": "models/gpt-4o", "displayName": "gpt-4o", "supportedGenerationMethods": ["generateContent"]}),
            ),
            (
                AnthropicModels,
                &anthropic,
                GeminiModels,
                json!({"name": "models/claude-x", "displayName": "Claude X", "inputTokenLimit": 200_000,
                    "outputTokenLimit": 64_000, "supportedGenerationMethods": methods}),
            ),
        ];
        for (provider, entry, client, expected) in rows {
            assert_eq!(told(provider, client, entry.clone()).unwrap(), expected);
            let nameless = json!({"object": "model", "type": "model"});
            let list = match provider {
                GeminiModels => json!({"models": [entry, nameless], "nextPageToken": "x"}),
                _ => json!({"data": [entry, nameless], "has_more": true}),
            };
            let id = expected["id"].clone();
            let list_expected = match client {
                GeminiModels => json!({"models": [expected]}),
                AnthropicModels => {
                    json!({"data": [expected], "has_more": false, "first_id": id, "last_id": id})
                }
                _ => json!({"object": "list", "data": [expected]}),
            };
            assert_eq!(told(provider, client, list).unwrap(), list_expected);
        }
    }

    #[test]
    fn what_is_no_list_and_no_entry_is_no_answer() {
        assert_eq!(
            told(GeminiModels, OpenAiModels, json!({})).unwrap(),
            json!({"object": "list", "data": []})
        );
        let nothing = json!({"data": [], "has_more": false, "first_id": null, "last_id": null});
        assert_eq!(told(OpenAiModels, AnthropicModels, json!({"data": []})).unwrap(), nothing);
        for body in [json!({"data": {}}), json!({}), json!([]), json!("x")] {
            assert_eq!(
                told(OpenAiModels, AnthropicModels, body.clone()),
                Err(BadReply::NotAnAnswer),
                "{body}"
            );
        }
    }

    #[test]
    fn times_that_are_none_are_the_epoch() {
        for created in [json!("soon"), json!(-1), json!(u64::MAX), json!(1e300)] {
            let entry = json!({"id": "m", "created": created, "created_at": created});
            let told = told(OpenAiModels, AnthropicModels, entry.clone()).unwrap();
            assert_eq!(told["created_at"], "1970-01-01T00:00:00Z", "{entry}");
        }
    }
}
