use super::claude::Claude;
use super::reasoning::Thinking;
use super::{tools, write_turns};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Request, Shape, Wish};
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// What messages can say.
const HAS: &[Wish] = &[Wish::TopK, Wish::Allowed, Wish::User];

/// Writes a messages request.
pub(crate) fn request(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.lose_all_but(HAS, lost);
    let model = terms.model.unwrap_or(request.model);
    let max_tokens = request.max_output.unwrap_or(terms.default_max_tokens);
    let claude = Claude::of(model);
    let thinking = Thinking::of(request, claude, max_tokens, lost);
    e.open(b'{');
    // What the client gave by Anthropic's own name wins over what its own format says.
    for (name, value) in &request.rest {
        e.key(name).value(*value);
    }
    e.key("model").str(model);
    e.key("max_tokens").u64(max_tokens);
    thinking.write(e);
    write_sampling(request, claude, thinking.thinks(), lost, e);
    write_stop(request, lost, e);
    write_output_config(request, &thinking, e);
    tools::write(request, lost, e);
    if let Some(user) = request.user {
        e.key("metadata").object(|e| e.key("user_id").str(user));
    }
    if let Some(stream) = request.stream {
        e.key("stream").bool(stream);
    }
    write_turns::write_system(request, e)?;
    e.key("messages");
    write_turns::write(request, lost, e)?;
    e.close(b'}');
    Ok(())
}

/// Temperature is 0 to 1 at Anthropic, and 1 when thinking. `top_p` of 1 asks for nothing and is left out.
fn write_sampling(
    request: &Request<'_, '_>,
    claude: Claude,
    thinks: bool,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) {
    let keeps_temperature = claude.takes_sampling() && !thinks;
    if let Some(degrees) = request.temperature {
        if degrees != 1.0 && (degrees > 1.0 || !keeps_temperature) {
            lost.add("temperature");
        }
        if keeps_temperature {
            e.key("temperature").f64(degrees.min(1.0));
        }
    }
    if let Some(part) = request.top_p.filter(|part| *part != 1.0) {
        let beside_temperature = request.temperature.is_some() && keeps_temperature;
        if !claude.takes_sampling()
            || (thinks && part < 0.95)
            || (beside_temperature && !claude.takes_both_samplings())
        {
            lost.add("top_p");
        } else {
            e.key("top_p").f64(part);
        }
    }
    match request.top_k {
        Some(count) if keeps_temperature => e.key("top_k").u64(count),
        Some(_) => lost.add("top_k"),
        None => {}
    }
}

/// Anthropic refuses stop sequences that are only white space, such as OpenAI clients' `"\n"`.
fn write_stop(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    if request.extra("stop_sequences").is_some() {
        return;
    }
    let is_blank = |one: &str| one.trim().is_empty();
    if request.stop.iter().any(|one| is_blank(one)) {
        lost.add("stop");
    }
    let kept = || request.stop.iter().filter(|one| !is_blank(one));
    if kept().next().is_some() {
        e.key("stop_sequences").array(|e| kept().for_each(|one| e.str(one)));
    }
}

/// `output_config` holds the effort and the schema of the answer.
fn write_output_config(request: &Request<'_, '_>, thinking: &Thinking, e: &mut Emit<'_>) {
    let schema = match request.shape {
        Shape::Schema { schema, .. } => Some(schema),
        Shape::Text | Shape::Object => None,
    };
    let effort = thinking.effort();
    if request.extra("output_config").is_some() || (schema.is_none() && effort.is_none()) {
        return;
    }
    e.key("output_config").object(|e| {
        if let Some(effort) = effort {
            e.key("effort").str(effort);
        }
        if let Some(schema) = schema {
            e.key("format").object(|e| {
                e.key("type").str("json_schema");
                e.key("schema").value(schema);
            });
        }
    });
}
