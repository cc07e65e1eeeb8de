use super::{tools, write_turns};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Request, Shape, Tool, Wish, openai};
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// OpenAI takes at most this many stop sequences (API reference, `stop`).
const STOP_MAX: usize = 4;

/// Members that are written from what the hub holds, by all names that OpenAI has for them: clients of other formats
/// say the same by their own.
const OWNED: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "logprobs",
    "stop",
    "reasoning_effort",
    "response_format",
    "user",
    "stream",
    "stream_options",
];

/// What chat completions can say. Of several answers only one would be handed on, so they are not asked for.
const HAS: &[Wish] = &[
    Wish::Logprobs,
    Wish::Penalties,
    Wish::Seed,
    Wish::Notes,
    Wish::Verbosity,
    Wish::Tier,
    Wish::Allowed,
    Wish::User,
    Wish::Object,
];

/// Writes a chat completion request.
pub(crate) fn request(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.lose_all_but(HAS, lost);
    if request.tools.iter().any(|tool| matches!(tool, Tool::Foreign(_))) {
        lost.add("server_tools");
    }
    e.open(b'{');
    e.key("model").str(terms.model.unwrap_or(request.model));
    request.write_rest(OWNED, lost, e);
    write_options(request, terms, e);
    write_bounded(request, lost, e);
    write_reasoning_effort(request, lost, e);
    write_shape(&request.shape, e);
    tools::write(request, e);
    e.key("messages").open(b'[');
    write_turns::write(request, lost, e)?;
    e.close(b']');
    e.close(b'}');
    Ok(())
}

fn write_options(request: &Request<'_, '_>, terms: &RequestTerms<'_>, e: &mut Emit<'_>) {
    let numbers = [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("presence_penalty", request.presence_penalty),
        ("frequency_penalty", request.frequency_penalty),
    ];
    for (name, number) in numbers {
        number.into_iter().for_each(|number| e.key(name).f64(number));
    }
    // max_tokens is deprecated at OpenAI and refused by its reasoning models; others know nothing else.
    let most = if terms.says_max_tokens { "max_tokens" } else { "max_completion_tokens" };
    let counts = [(most, request.max_output), ("top_logprobs", request.top_logprobs)];
    for (name, count) in counts {
        count.into_iter().for_each(|count| e.key(name).u64(count));
    }
    for (name, value) in [("seed", request.seed), ("metadata", request.notes)] {
        value.into_iter().for_each(|value| e.key(name).value(value));
    }
    let words = [
        ("verbosity", request.verbosity),
        ("service_tier", request.tier),
        ("prompt_cache_key", request.cache_key),
    ];
    for (name, word) in words {
        word.into_iter().for_each(|word| e.key(name).str(word));
    }
    if let Some(logprobs) = request.logprobs {
        e.key("logprobs").bool(logprobs);
    }
    // Usage is what a gateway lives on, and the streams of all other formats carry it.
    match request.stream {
        Some(true) => {
            e.key("stream").raw("true");
            if terms.include_usage {
                e.key("stream_options").raw(r#"{"include_usage":true}"#);
            }
        }
        Some(false) => e.key("stream").raw("false"),
        None => {}
    }
}

fn write_bounded(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    if request.stop.len() > STOP_MAX {
        lost.add("stop");
    }
    if !request.stop.is_empty() {
        e.key("stop").array(|e| request.stop.iter().take(STOP_MAX).for_each(|one| e.str(one)));
    }
    openai::write_user(request, lost, e);
}

/// An effort that is named wins over one that is guessed from a budget of thinking tokens.
fn write_reasoning_effort(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    match request.reasoning.effort() {
        Some(effort) => e.key("reasoning_effort").str(openai::effort_word(effort)),
        None if request.reasoning.adaptive => lost.add("thinking"),
        None => {}
    }
}

fn write_shape(shape: &Shape<'_, '_>, e: &mut Emit<'_>) {
    match *shape {
        Shape::Text => {}
        Shape::Object => e.key("response_format").raw(r#"{"type":"json_object"}"#),
        Shape::Schema { name, description, schema, strict } => e.key("response_format").object(|e| {
            e.key("type").str("json_schema");
            e.key("json_schema").object(|e| openai::write_schema(name, description, schema, strict, e));
        }),
    }
}
