use super::model::Gemini;
use super::thinking::Thinking;
use super::{names, tools, write_turns};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Request, Shape, Wish};
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// Gemini takes at most this many stop sequences (API reference, `GenerationConfig`).
const STOP_MAX: usize = 5;

/// What Gemini can say. Of several answers only one would be handed on, so they are not asked for.
const HAS: &[Wish] =
    &[Wish::Logprobs, Wish::Penalties, Wish::Seed, Wish::TopK, Wish::Tier, Wish::Allowed, Wish::Object];

/// Members of Gemini's own that a client of another format may give by their names. Google refuses members that it
/// does not know, so all others stay here.
const OWN: &[&str] = &["safetySettings", "cachedContent", "labels"];

/// The same in `generationConfig`.
const OWN_CONFIG: &[&str] = &[
    "thinkingConfig",
    "mediaResolution",
    "responseModalities",
    "speechConfig",
    "imageConfig",
    "audioTimestamp",
];

/// Writes a request. It has no model and does not say whether to stream: both stand in the path.
pub(in crate::llm::translate) fn request(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.lose_all_but(HAS, lost);
    let gemini = Gemini::of(terms.model.unwrap_or(request.model));
    e.open(b'{');
    for (name, value) in own(request.rest.iter().copied(), OWN, lost) {
        e.key(name).value(value);
    }
    write_turns::write_system(request, e)?;
    e.key("contents");
    write_turns::write(request, gemini, !terms.at_vertex, lost, e)?;
    tools::write(request, lost, e);
    write_config(request, gemini, lost, e);
    match request.tier {
        // There a header says it, which belongs to a contract of its own.
        Some("flex" | "priority") if terms.at_vertex => lost.add("service_tier"),
        Some("default") if terms.at_vertex => {}
        Some("default") => e.key("serviceTier").str("standard"),
        Some(tier @ ("flex" | "priority")) => e.key("serviceTier").str(tier),
        Some("auto") | None => {}
        Some(_) => lost.add("service_tier"),
    }
    e.close(b'}');
    Ok(())
}

/// Writes a request to count the tokens of one: what is read, and nothing of how it is answered. The Gemini API takes more
/// than contents only within a whole request, which names its model; Vertex AI takes it beside them.
pub(in crate::llm::translate) fn count(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let model = terms.model.unwrap_or(request.model);
    e.open(b'{');
    if !terms.at_vertex {
        e.key("generateContentRequest").open(b'{');
        e.key("model").text(["models/", model]);
    }
    write_turns::write_system(request, e)?;
    e.key("contents");
    write_turns::write(request, Gemini::of(model), !terms.at_vertex, lost, e)?;
    tools::write_tools(request, lost, e);
    if !terms.at_vertex {
        e.close(b'}');
    }
    e.close(b'}');
    Ok(())
}

fn write_config(request: &Request<'_, '_>, gemini: Gemini, lost: &mut Lost, e: &mut Emit<'_>) {
    let given = request.rest.iter().rfind(|(given, _)| names::is(given, "generationConfig"));
    let own = own(given.into_iter().flat_map(|(_, config)| config.members()), OWN_CONFIG, lost);
    e.key("generationConfig").object(|e| {
        if let Some(tokens) = request.max_output {
            e.key("maxOutputTokens").u64(tokens);
        }
        // A penalty of nothing is none, and some models take none at all.
        let penalty = |penalty: Option<f64>| penalty.filter(|penalty| *penalty != 0.0);
        let numbers = [
            ("temperature", request.temperature),
            ("topP", request.top_p),
            ("presencePenalty", penalty(request.presence_penalty)),
            ("frequencyPenalty", penalty(request.frequency_penalty)),
        ];
        for (name, number) in numbers {
            number.into_iter().for_each(|number| e.key(name).f64(number));
        }
        if let Some(count) = request.top_k {
            e.key("topK").u64(count);
        }
        write_seed(request, lost, e);
        write_stop(request, lost, e);
        if request.logprobs == Some(true) {
            e.key("responseLogprobs").raw("true");
            request.top_logprobs.filter(|count| *count > 0).into_iter().for_each(|count| {
                e.key("logprobs").u64(count);
            });
        }
        write_shape(request, gemini, lost, e);
        if !own.iter().any(|(name, _)| *name == "thinkingConfig") {
            Thinking::of(request.reasoning, gemini, lost).write(e);
        }
        for (name, value) in own {
            e.key(name).value(value);
        }
    });
}

/// The members that are Gemini's own by these names, each as it is given last. All others are lost, but for the
/// configuration, which is read apart.
fn own<'t, 'b>(
    given: impl Iterator<Item = (&'b str, Value<'t, 'b>)>,
    names: &[&'static str],
    lost: &mut Lost,
) -> Vec<(&'static str, Value<'t, 'b>)> {
    let mut own: Vec<(&'static str, Value<'t, 'b>)> = Vec::new();
    for (given, value) in given {
        match names.iter().find(|name| names::is(given, name)) {
            Some(name) => {
                own.retain(|(known, _)| known != name);
                own.push((name, value));
            }
            None if names::is(given, "generationConfig") => {}
            None => lost.add("unknown"),
        }
    }
    own
}

/// A seed has 32 bits at Google.
fn write_seed(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    match request.seed.map(|seed| (seed, seed.kind())) {
        Some((seed, Kind::U64(0..=0x7fff_ffff) | Kind::I64(-0x8000_0000..=0x7fff_ffff))) => {
            e.key("seed").value(seed);
        }
        Some(_) => lost.add("seed"),
        None => {}
    }
}

fn write_stop(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    let kept = || request.stop.iter().filter(|one| !one.is_empty());
    if kept().count() > STOP_MAX || kept().count() < request.stop.len() {
        lost.add("stop");
    }
    if kept().next().is_some() {
        e.key("stopSequences").array(|e| kept().take(STOP_MAX).for_each(|one| e.str(one)));
    }
}

fn write_shape(request: &Request<'_, '_>, gemini: Gemini, lost: &mut Lost, e: &mut Emit<'_>) {
    let schema = match request.shape {
        Shape::Text => return,
        Shape::Object => None,
        Shape::Schema { schema, .. } => Some(schema),
    };
    if !request.tools.is_empty() && !gemini.takes_shape_beside_tools() {
        return lost.add("response_format");
    }
    e.key("responseMimeType").str("application/json");
    if let Some(schema) = schema {
        e.key("responseJsonSchema").value(schema);
    }
}
