//! How much a model is to say and think, and how it chooses its words.

use super::family::Family;
use super::fields::{self, Fields};
use crate::llm::translate::claude::{Claude, Sampling, Thinking};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Effort, Request};
use crate::llm::translate::{Lost, RequestTerms};

/// Writes `inferenceConfig`, which is for all models, and adds to the fields what only some take.
pub(super) fn write<'b>(
    request: &Request<'_, 'b>,
    family: Family,
    terms: &RequestTerms<'_>,
    fields: &mut Fields<'b>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) {
    let most = request.max_output.or_else(|| fields::maximum(request));
    let (sampling, max_tokens) = match family {
        Family::Claude(claude) => of_claude(request, claude, most, terms, fields, lost),
        _ => (of_others(request, family, most, fields, lost), most),
    };
    // Bedrock takes none that is empty, Anthropic none that is only white space.
    let is_taken = |one: &str| if family.is_claude() { !one.trim().is_empty() } else { !one.is_empty() };
    let stop = request.stop_where(is_taken, lost);
    if let Some(count) = sampling.top_k {
        match family {
            Family::Claude(_) => fields.put("top_k", |e| e.u64(count)),
            _ => fields.put("inferenceConfig", |e| e.object(|e| e.key("topK").u64(count))),
        }
    }
    let numbers = [("temperature", sampling.temperature), ("topP", sampling.top_p)];
    if max_tokens.is_none() && stop.is_empty() && numbers.iter().all(|(_, number)| number.is_none()) {
        return;
    }
    e.key("inferenceConfig").object(|e| {
        max_tokens.into_iter().for_each(|tokens| e.key("maxTokens").u64(tokens));
        for (name, number) in numbers {
            number.into_iter().for_each(|number| e.key(name).f64(number));
        }
        if !stop.is_empty() {
            e.key("stopSequences").array(|e| stop.iter().for_each(|one| e.str(one)));
        }
    });
}

/// Thinks and samples as at Anthropic; the members for it are additional fields by Anthropic's names. Who asks for a
/// budget of thinking and names no maximum gets room for the answer beside it, as what Bedrock would allow by itself
/// depends on the model.
fn of_claude<'b>(
    request: &Request<'_, 'b>,
    claude: Claude,
    most: Option<u64>,
    terms: &RequestTerms<'_>,
    fields: &mut Fields<'b>,
    lost: &mut Lost,
) -> (Sampling, Option<u64>) {
    let thinking = Thinking::of(request, claude, most.unwrap_or(u64::MAX), lost);
    if thinking.thinks() {
        fields.put("thinking", |e| thinking.write_value(e));
    }
    if let Some(effort) = thinking.effort() {
        fields.put("output_config", |e| e.object(|e| e.key("effort").str(effort)));
    }
    let sampling = Sampling::of(request, claude, thinking.thinks(), lost);
    let room = match thinking {
        Thinking::Budget(budget) => Some(budget.saturating_add(terms.default_max_tokens)),
        Thinking::Adaptive { .. } | Thinking::Unasked => None,
    };
    (sampling, most.or(room))
}

/// Both temperature and `topP` are at most 1 at Bedrock (`InferenceConfiguration`).
fn of_others<'b>(
    request: &Request<'_, 'b>,
    family: Family,
    most: Option<u64>,
    fields: &mut Fields<'b>,
    lost: &mut Lost,
) -> Sampling {
    let samples = reason(request, family, most, fields, lost);
    let mut capped = |name, number: Option<f64>| {
        if number.is_some_and(|number| number > 1.0 || !samples) {
            lost.add(name);
        }
        number.filter(|_| samples).map(|number| number.min(1.0))
    };
    let temperature = capped("temperature", request.temperature);
    let top_p = capped("top_p", request.top_p);
    let top_k = request.top_k.filter(|_| family.is_nova() && samples);
    if top_k != request.top_k {
        lost.add("top_k");
    }
    Sampling { temperature, top_p, top_k }
}

/// Asks for reasoning by the family's name for it. Whether the model then still takes temperature and the like.
fn reason<'b>(
    request: &Request<'_, 'b>,
    family: Family,
    most: Option<u64>,
    fields: &mut Fields<'b>,
    lost: &mut Lost,
) -> bool {
    let Some(effort) = request.reasoning.effort() else {
        if request.reasoning.adaptive {
            lost.add("thinking");
        }
        return true;
    };
    match (family, effort) {
        (Family::OpenAi, _) => {
            let word = if effort == Effort::Minimal { Effort::Low } else { effort }.word();
            fields.put("reasoning", |e| e.object(|e| e.key("effort").str(word)));
        }
        (Family::GptOss, Effort::None) => lost.add("reasoning_effort"), // it always reasons
        (Family::GptOss, _) => fields.put("reasoning_effort", |e| e.str(of_three(effort))),
        (_, Effort::None) => {} // the others do not unless they are asked to
        (Family::Qwen, _) => fields.put("reasoning_config", |e| e.str(of_three(effort))),
        (Family::Nova2, _) => return reason_of_nova(most.is_some(), effort, fields, lost),
        _ => lost.add("reasoning_effort"),
    }
    true
}

/// At high effort Nova 2 takes neither sampling nor a maximum of tokens. The maximum is money, the effort a wish: who
/// gives both gets less effort.
fn reason_of_nova<'b>(is_bounded: bool, effort: Effort, fields: &mut Fields<'b>, lost: &mut Lost) -> bool {
    let is_high = of_three(effort) == "high";
    if is_high && is_bounded {
        lost.add("reasoning_effort");
    }
    let word = if is_high && is_bounded { "medium" } else { of_three(effort) };
    fields.put("reasoningConfig", |e| {
        e.object(|e| {
            e.key("type").str("enabled");
            e.key("maxReasoningEffort").str(word);
        });
    });
    word != "high"
}

/// The effort in the words of models that know three.
fn of_three(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    }
}
