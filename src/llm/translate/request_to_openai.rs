//! A messages request of Anthropic as a chat completion request of OpenAI.

use super::emit::Emit;
use super::messages_to_openai as messages;
use super::read::Value;
use super::{BadRequest, Lost, RequestTerms};

/// OpenAI takes at most this many stop sequences (API reference, `stop`).
const STOP_MAX: usize = 4;

/// The longest `user` that OpenAI takes, in characters. Claude Code's ids are twice as long.
const USER_MAX: usize = 64;

/// Members of Anthropic's request that OpenAI has no counterpart for.
const WITHOUT_COUNTERPART: &[&str] =
    &["top_k", "context_management", "container", "mcp_servers", "inference_geo", "speed", "fallbacks"];

/// Members that tell the provider how to serve, not what to answer: left out without a word.
const QUIET: &[&str] = &["cache_control", "anthropic_version", "anthropic_beta", "betas", "stream_options"];

pub(super) fn request(
    body: Value<'_, '_>,
    terms: &RequestTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadRequest> {
    let mut lost = Lost::default();
    let Some(turns) = body.get("messages").filter(|turns| turns.is_array()) else {
        return Err(BadRequest::new("messages", "must be an array of messages"));
    };
    let e = &mut Emit::new(out);
    e.open(b'{');
    let model = terms.model.or_else(|| body.get("model")?.str());
    e.key("model").str(model.ok_or_else(|| BadRequest::new("model", "you must provide a model"))?);
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        member(name, value, e, &mut lost)?;
    }
    write_reasoning_effort(body, &mut lost, e);
    write_response_format(body, e);
    write_tools(body, e, &mut lost)?;
    e.key("messages").open(b'[');
    messages::write_system(body.get("system"), e)?;
    messages::write(turns, e, &mut lost)?;
    e.close(b']');
    e.close(b'}');
    Ok(lost)
}

/// Writes what one member alone decides.
fn member(name: &str, value: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
    match name {
        "model" | "messages" | "system" | "tools" | "tool_choice" | "thinking" | "output_config"
        | "output_format" => {}
        // max_tokens is deprecated at OpenAI and refused by its reasoning models.
        "max_tokens" => match value.u64().filter(|tokens| *tokens >= 1) {
            Some(tokens) => e.key("max_completion_tokens").u64(tokens),
            None => return Err(BadRequest::new(name, "must be a whole number of at least 1")),
        },
        "stop_sequences" => {
            if value.elements().nth(STOP_MAX).is_some() {
                lost.add("stop_sequences");
            }
            if value.elements().next().is_some() {
                e.key("stop").array(|e| value.elements().take(STOP_MAX).for_each(|one| e.value(one)));
            }
        }
        "metadata" => match value.text("user_id") {
            "" => {}
            user if user.chars().count() <= USER_MAX => e.key("user").str(user),
            _ => lost.add("metadata.user_id"),
        },
        // Usage is what a gateway lives on, and Anthropic's streams always carry it.
        "stream" => match value.bool() {
            Some(true) => {
                e.key("stream").raw("true");
                e.key("stream_options").raw(r#"{"include_usage":true}"#);
            }
            Some(false) => e.key("stream").raw("false"),
            None => return Err(BadRequest::new(name, "must be true or false")),
        },
        "service_tier" => {
            e.key(name).str(if value.str() == Some("standard_only") { "default" } else { "auto" });
        }
        _ if QUIET.contains(&name) => {}
        _ => match WITHOUT_COUNTERPART.iter().find(|known| **known == name) {
            Some(known) => lost.add(known),
            None => e.key(name).value(value),
        },
    }
    Ok(())
}

/// An effort that is named wins over one that is guessed from a budget of thinking tokens.
fn write_reasoning_effort(body: Value<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    let thinking = body.get("thinking");
    let budget = thinking.and_then(|thinking| thinking.get("budget_tokens")?.u64());
    let named = body.get("output_config").map_or("", |config| config.text("effort"));
    let effort = match (named, budget) {
        ("low" | "medium" | "high" | "xhigh", _) => named,
        ("max", _) => "xhigh",
        (_, Some(budget)) if thinking.is_some_and(|thinking| thinking.text("type") == "enabled") => {
            match budget {
                0..2048 => "low",
                2048..4096 => "medium",
                _ => "high",
            }
        }
        _ => {
            if thinking.is_some_and(|thinking| thinking.text("type") == "adaptive") {
                lost.add("thinking");
            }
            return;
        }
    };
    e.key("reasoning_effort").str(effort);
}

fn write_response_format(body: Value<'_, '_>, e: &mut Emit<'_>) {
    let config = body.get("output_config").and_then(|config| config.get("format"));
    let schema = config.or_else(|| body.get("output_format")).and_then(|format| format.get("schema"));
    let Some(schema) = schema else { return };
    e.key("response_format").object(|e| {
        e.key("type").str("json_schema");
        e.key("json_schema").object(|e| {
            e.key("name").str("output"); // OpenAI demands a name, Anthropic has none
            e.key("schema").value(schema);
            e.key("strict").raw("true");
        });
    });
}

fn write_tools(body: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
    let tools: Vec<(usize, Value<'_, '_>)> =
        body.get("tools").into_iter().flat_map(Value::elements).enumerate().collect();
    let is_client_tool = |tool: Value<'_, '_>| matches!(tool.text("type"), "" | "custom");
    if tools.iter().any(|(_, tool)| !is_client_tool(*tool)) {
        lost.add("server_tools");
    }
    let mut kept = tools.into_iter().filter(|(_, tool)| is_client_tool(*tool)).peekable();
    if kept.peek().is_none() {
        return Ok(()); // OpenAI refuses an empty list, and a choice without tools
    }
    e.key("tools").open(b'[');
    for (at, tool) in kept {
        if tool.text("name").is_empty() {
            return Err(BadRequest::new(format!("tools[{at}].name"), "must be a non-empty string"));
        }
        write_tool(tool, e);
    }
    e.close(b']');
    write_tool_choice(body, e)
}

fn write_tool(tool: Value<'_, '_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("function");
        e.key("function").object(|e| {
            e.key("name").str(tool.text("name"));
            if let Some(description) = tool.get("description") {
                e.key("description").value(description);
            }
            if let Some(schema) = tool.get("input_schema") {
                e.key("parameters").value(schema);
            }
            if let Some(strict) = tool.get("strict") {
                e.key("strict").value(strict);
            }
        });
    });
}

fn write_tool_choice(body: Value<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let Some(choice) = body.get("tool_choice") else { return Ok(()) };
    match choice.text("type") {
        "auto" => e.key("tool_choice").str("auto"),
        "none" => e.key("tool_choice").str("none"),
        "any" => e.key("tool_choice").str("required"),
        "tool" if !choice.text("name").is_empty() => e.key("tool_choice").object(|e| {
            e.key("type").str("function");
            e.key("function").object(|e| e.key("name").str(choice.text("name")));
        }),
        _ => {
            return Err(BadRequest::new(
                "tool_choice",
                "must be of type auto, any, none, or tool with a name",
            ));
        }
    }
    if choice.get("disable_parallel_tool_use").and_then(Value::bool) == Some(true) {
        e.key("parallel_tool_calls").raw("false");
    }
    Ok(())
}
