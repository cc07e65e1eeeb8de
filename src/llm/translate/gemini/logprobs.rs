//! Probabilities of tokens: `logprobsResult` from and into the list that OpenAI has.

use super::names;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::read::Value;

/// Writes a `logprobsResult` as OpenAI's list of tokens.
pub(super) fn write_list(result: Value<'_, '_>, e: &mut Emit<'_>) {
    let mut tops = names::each(result, "topCandidates");
    e.array(|e| {
        for chosen in names::each(result, "chosenCandidates") {
            let top = tops.next();
            e.object(|e| {
                write_token(chosen, e);
                e.key("top_logprobs").array(|e| {
                    let others = top.into_iter().flat_map(|top| names::each(top, "candidates"));
                    others.for_each(|other| e.object(|e| write_token(other, e)));
                });
            });
        }
    });
}

fn write_token(token: Value<'_, '_>, e: &mut Emit<'_>) {
    let word = names::text(token, "token");
    e.key("token").str(word);
    e.key("logprob").f64(names::get(token, "logProbability").and_then(Value::f64).unwrap_or_default());
    e.key("bytes").array(|e| word.bytes().for_each(|byte| e.u64(byte.into())));
}

/// Writes the member `logprobsResult` from OpenAI's lists of tokens.
pub(super) fn write_result<'t, 'b: 't>(lists: impl Iterator<Item = Value<'t, 'b>> + Clone, e: &mut Emit<'_>) {
    let tokens = || lists.clone().flat_map(Value::elements);
    let write = |token: Value<'_, '_>, e: &mut Emit<'_>| {
        e.object(|e| {
            e.key("token").str(token.text("token"));
            e.key("logProbability").f64(token.get("logprob").and_then(Value::f64).unwrap_or_default());
        });
    };
    e.key("logprobsResult").object(|e| {
        e.key("chosenCandidates").array(|e| tokens().for_each(|token| write(token, e)));
        e.key("topCandidates").array(|e| {
            for token in tokens() {
                let others = token.get("top_logprobs").into_iter().flat_map(Value::elements);
                e.object(|e| e.key("candidates").array(|e| others.for_each(|other| write(other, e))));
            }
        });
    });
}
