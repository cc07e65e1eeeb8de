use super::{read_turns, tools};
use crate::llm::translate::BadRequest;
use crate::llm::translate::hub::{Effort, Reasoning, Request, Shape, at_least_one, positive};
use crate::llm::translate::read::Value;

/// Members that no other format has.
const WITHOUT_COUNTERPART: &[&str] =
    &["context_management", "container", "mcp_servers", "inference_geo", "speed", "fallbacks"];

/// Members that tell the provider how to serve, not what to answer: left out without a word.
const QUIET: &[&str] = &["cache_control", "anthropic_version", "anthropic_beta", "betas", "stream_options"];

/// Reads a messages request.
pub(crate) fn request<'t, 'b>(body: Value<'t, 'b>) -> Result<Request<'t, 'b>, BadRequest> {
    let Some(turns) = body.get("messages").filter(|turns| turns.is_array()) else {
        return Err(BadRequest::new("messages", "must be an array of messages"));
    };
    let mut request = Request::default();
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        member(name, value, &mut request)?;
    }
    request.reasoning = reasoning(body);
    request.shape = shape(body);
    tools::read(body, &mut request)?;
    request.turns = read_turns::turns(body.get("system"), turns, &mut request.lost)?;
    Ok(request)
}

fn member<'t, 'b>(
    name: &'b str,
    value: Value<'t, 'b>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    let positive = || positive(name, value);
    match name {
        // Read apart.
        "messages" | "system" | "tools" | "tool_choice" | "thinking" | "output_config" | "output_format" => {}
        "model" => request.model = value.str().unwrap_or_default(),
        "max_tokens" => request.max_output = Some(at_least_one(name, value)?),
        "temperature" => request.temperature = Some(positive()?),
        "top_p" => request.top_p = Some(positive()?),
        "top_k" => request.top_k = value.u64(),
        "stop_sequences" => request.stop = value.elements().filter_map(Value::str).collect(),
        "metadata" => {
            request.user = value.get("user_id").and_then(Value::str).filter(|user| !user.is_empty())
        }
        "service_tier" => {
            request.tier = Some(if value.str() == Some("standard_only") { "default" } else { "auto" });
        }
        "stream" => {
            let stream = value.bool().ok_or_else(|| BadRequest::new(name, "must be true or false"))?;
            request.stream = Some(stream);
        }
        _ if QUIET.contains(&name) => {}
        _ => match WITHOUT_COUNTERPART.iter().find(|known| **known == name) {
            Some(known) => request.lost.add(known),
            None => request.rest.push((name, value)),
        },
    }
    Ok(())
}

fn reasoning(body: Value<'_, '_>) -> Reasoning {
    let thinking = body.get("thinking");
    let kind = thinking.map_or("", |thinking| thinking.text("type"));
    let budget = thinking.and_then(|thinking| thinking.get("budget_tokens")?.u64());
    Reasoning {
        effort: body.get("output_config").and_then(|config| Effort::of(config.text("effort"))),
        budget: budget.filter(|_| kind == "enabled").or((kind == "disabled").then_some(0)),
        adaptive: kind == "adaptive",
        shown: thinking.map(|thinking| kind != "disabled" && thinking.text("display") != "omitted"),
    }
}

/// The schema of the answer, in its place of today or of the beta.
fn shape<'t, 'b>(body: Value<'t, 'b>) -> Shape<'t, 'b> {
    let config = body.get("output_config").and_then(|config| config.get("format"));
    let schema = config.or_else(|| body.get("output_format")).and_then(|format| format.get("schema"));
    schema.map_or(Shape::Text, |schema| Shape::Schema {
        name: "",
        description: None,
        schema,
        strict: Some(true),
    })
}
