use super::{tools, write_turns};
use crate::llm::translate::claude::{Claude, Sampling, Thinking, can_be_closed, write_closed};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Request, Shape, Wish};
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// Members that are written from what the hub holds; other formats have them by these names, too, or by their own.
const OWNED: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "metadata",
    "stream",
];

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
    request.write_rest(OWNED, lost, e);
    match terms.body_version {
        Some(version) => e.key("anthropic_version").str(version),
        None => e.key("model").str(model),
    }
    e.key("max_tokens").u64(max_tokens);
    thinking.write(e);
    write_sampling(Sampling::of(request, claude, thinking.thinks(), lost), e);
    write_stop(request, lost, e);
    write_output_config(request, claude, &thinking, lost, e);
    tools::write(request, claude, lost, e);
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

/// Writes a request to count the tokens of one: what is read, and nothing of how it is answered. At Vertex AI the model
/// stands in the body beside the version.
pub(crate) fn count(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let model = terms.model.unwrap_or(request.model);
    e.open(b'{');
    if let Some(version) = terms.body_version {
        e.key("anthropic_version").str(version);
    }
    e.key("model").str(model);
    tools::write(request, Claude::of(model), lost, e);
    write_turns::write_system(request, e)?;
    e.key("messages");
    write_turns::write(request, lost, e)?;
    e.close(b'}');
    Ok(())
}

/// `top_p` and the like as the model's release takes them.
fn write_sampling(sampling: Sampling, e: &mut Emit<'_>) {
    for (name, number) in [("temperature", sampling.temperature), ("top_p", sampling.top_p)] {
        number.into_iter().for_each(|number| e.key(name).f64(number));
    }
    sampling.top_k.into_iter().for_each(|count| e.key("top_k").u64(count));
}

/// Anthropic refuses stop sequences that are only white space, such as OpenAI clients' `"\n"`.
fn write_stop(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    if request.extra("stop_sequences").is_some() {
        return;
    }
    let kept = request.stop_where(|one| !one.trim().is_empty(), lost);
    if !kept.is_empty() {
        e.key("stop_sequences").array(|e| kept.iter().for_each(|one| e.str(one)));
    }
}

/// `output_config` holds the effort and the schema of the answer.
fn write_output_config(
    request: &Request<'_, '_>,
    claude: Claude,
    thinking: &Thinking,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) {
    let schema = match request.shape {
        Shape::Schema { schema, .. } if claude.takes_schemas() && can_be_closed(schema) => Some(schema),
        Shape::Schema { .. } => {
            lost.add("response_format");
            None
        }
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
                if write_closed(schema, e.key("schema")) {
                    lost.add("response_format");
                }
            });
        }
    });
}
