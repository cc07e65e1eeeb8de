use super::{tools, write_items};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Effort, Maker, Request, Role, Shape, Wish, openai};
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// The fewest tokens that `max_output_tokens` may be; OpenAI refuses less.
const MAX_OUTPUT_MIN: u64 = 16;

/// What responses can say.
const HAS: &[Wish] =
    &[Wish::Logprobs, Wish::Notes, Wish::Verbosity, Wish::Tier, Wish::Allowed, Wish::User, Wish::Object];

/// Members that only this format has and that a client may give by their own names. OpenAI refuses a request with a
/// member that it does not know.
const PASSED_ON: &[&str] = &[
    "include",
    "max_tool_calls",
    "previous_response_id",
    "conversation",
    "prompt",
    "reasoning",
    "text",
    "truncation",
    "context_management",
    "store",
];

/// Writes a request for a response.
pub(crate) fn request(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.lose_all_but(HAS, lost);
    if !request.stop.is_empty() {
        lost.add("stop");
    }
    e.open(b'{');
    e.key("model").str(terms.model.unwrap_or(request.model));
    write_rest(request, lost, e);
    write_options(request, lost, e);
    write_reasoning(request, e);
    write_include(request, e);
    write_text(request, e);
    tools::write(request, e);
    write_items::write(request, lost, e)?;
    e.close(b'}');
    Ok(())
}

/// What the client gave by this format's own names wins over what its own format says.
fn write_rest(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    for (name, value) in &request.rest {
        if PASSED_ON.contains(name) {
            e.key(name).value(*value);
        } else {
            lost.add("unknown");
        }
    }
    if request.extra("store").is_none() {
        e.key("store").raw("false");
    }
}

fn write_options(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    for (name, number) in [("temperature", request.temperature), ("top_p", request.top_p)] {
        number.into_iter().for_each(|number| e.key(name).f64(number));
    }
    if let Some(tokens) = request.max_output {
        if tokens < MAX_OUTPUT_MIN {
            lost.add("max_tokens");
        }
        e.key("max_output_tokens").u64(tokens.max(MAX_OUTPUT_MIN));
    }
    if let Some(count) = request.top_logprobs {
        e.key("top_logprobs").u64(count);
    }
    if let Some(notes) = request.notes {
        e.key("metadata").value(notes);
    }
    for (name, word) in [("service_tier", request.tier), ("prompt_cache_key", request.cache_key)] {
        word.into_iter().for_each(|word| e.key(name).str(word));
    }
    openai::write_user(request, lost, e);
    if let Some(stream) = request.stream {
        e.key("stream").bool(stream);
    }
}

/// A summary is asked for only where the client wants to be told what was thought, as some organisations may not have
/// it.
fn write_reasoning(request: &Request<'_, '_>, e: &mut Emit<'_>) {
    let effort = request.reasoning.effort();
    let told = request.reasoning.shown == Some(true);
    if request.extra("reasoning").is_some() || (effort.is_none() && !told) {
        return;
    }
    e.key("reasoning").object(|e| {
        if let Some(effort) = effort {
            e.key("effort").str(openai::effort_word(effort));
        }
        if told {
            e.key("summary").str("auto");
        }
    });
}

/// Thoughts are to be given encrypted, so that the client can give them back; only where the request is about thoughts,
/// for OpenAI refuses that to models that do not think.
fn write_include(request: &Request<'_, '_>, e: &mut Emit<'_>) {
    if request.extra("include").is_some() {
        return;
    }
    let asked = request.reasoning;
    let said = request.turns.iter().filter(|turn| turn.role == Role::Assistant);
    let thinks = asked.effort().is_some_and(|effort| effort != Effort::None)
        || asked.shown == Some(true)
        || said.flat_map(|turn| &turn.parts).any(|part| part.what.signed_by() == Some(Maker::OpenAi));
    let logprobs = request.logprobs == Some(true);
    if thinks || logprobs {
        e.key("include").array(|e| {
            if thinks {
                e.str("reasoning.encrypted_content");
            }
            if logprobs {
                e.str("message.output_text.logprobs");
            }
        });
    }
}

/// `text` holds the form of the answer and how much is to be said.
fn write_text(request: &Request<'_, '_>, e: &mut Emit<'_>) {
    let is_plain = matches!(request.shape, Shape::Text);
    if request.extra("text").is_some() || (is_plain && request.verbosity.is_none()) {
        return;
    }
    e.key("text").object(|e| {
        if let Some(verbosity) = request.verbosity {
            e.key("verbosity").str(verbosity);
        }
        match request.shape {
            Shape::Text => {}
            Shape::Object => e.key("format").raw(r#"{"type":"json_object"}"#),
            Shape::Schema { name, description, schema, strict } => e.key("format").object(|e| {
                e.key("type").str("json_schema");
                openai::write_schema(name, description, schema, strict, e);
            }),
        }
    });
}
