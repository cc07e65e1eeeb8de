//! Amazon Bedrock's Converse and ConverseStream:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

mod check;
mod stream;

use super::{Ask, Refusal, argument_pieces, escaped, json_plan, quoted, signature};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing, Script};
use crate::text::{NUMBER_MARK, reply_pieces};
use check::Conversation;

/// What the reasoning says, and the signature that must come back unchanged.
const THOUGHT: &str = "The user asks; I answer.";
const SIGNATURE: &str = "EuYDCmMIDBgCKkC05Zda4P+Cdk/LQKE=";

/// A signature there must be, or an API key as a bearer.
pub(super) fn check_head(ask: &Ask<'_>) -> Result<(), Refusal> {
    match ask.bearer() {
        Some(key) if ask.is_expected(key) => Ok(()),
        Some(_) => Err(Refusal::new(403, "Authentication failed: Please make sure your API Key is valid.")),
        None => signature::check(ask),
    }
}

/// The answer to `POST /model/{id}/converse` and `/converse-stream`.
pub(super) fn converse(ask: &Ask<'_>, streamed: bool) -> Result<Plan, Refusal> {
    let conversation = Conversation::read(ask.body, ask.script.strict)?;
    let reply = Reply::to(&conversation, ask);
    let mut plan = match streamed {
        true => stream::sheet(&reply, ask).plan(&ask.stream_envelope()),
        false => reply.whole(ask),
    };
    plan.is_chat = true;
    Ok(plan)
}

/// The answer to `POST /model/{id}/count-tokens`. Only models of Anthropic's are counted, by their own ids.
pub(super) fn count_tokens(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    if !model(ask).starts_with("anthropic.") {
        return Err(Refusal::new(400, "The provided model doesn't support counting tokens."));
    }
    check::check_counted(ask.body, ask.script.strict)?;
    let tokens = ask.script.input_tokens.of(ask.body.len());
    Ok(json_plan(ask, 200, &format!("{{\"inputTokens\":{tokens}}}")))
}

/// The model that the path names.
pub(super) fn model(ask: &Ask<'_>) -> String {
    let path = ask.path();
    let encoded =
        path.strip_prefix("/model/").and_then(|rest| rest.rsplit_once('/')).map_or("", |(id, _)| id);
    let mut decoded = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let digits = if byte == b'%' { encoded.get(encoded.len() - rest.len()..) } else { None };
        match digits.and_then(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest.nth(1);
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What will be said, in either form.
struct Reply<'a> {
    script: &'a Script,
    pieces: Vec<String>,
    usage: Usage,
    stop_reason: &'static str,
}

impl<'a> Reply<'a> {
    fn to(conversation: &Conversation, ask: &Ask<'a>) -> Reply<'a> {
        let script = ask.script;
        // Nothing is said about reasoning.
        let usage = Usage { reasoning: 0, ..ask.usage(conversation.max_output) };
        let (pieces, stop_reason) = match &script.tool_call {
            Some(_) => (argument_pieces(script, &model(ask), &conversation.user_text), "tool_use"),
            None => (reply_pieces(script, &model(ask), &conversation.user_text), "end_turn"),
        };
        let cut = usage.output < script.output_tokens;
        Reply { script, pieces, usage, stop_reason: if cut { "max_tokens" } else { stop_reason } }
    }

    fn whole(&self, ask: &Ask<'_>) -> Plan {
        let text = self.pieces.concat();
        let thinking = match self.script.thinking {
            true => format!(
                "{{\"reasoningContent\":{{\"reasoningText\":{{\"text\":\"{THOUGHT}\",\"signature\":\"{SIGNATURE}\"}}}}}},"
            ),
            false => String::new(),
        };
        let block = match &self.script.tool_call {
            Some(name) => format!(
                "{{\"toolUse\":{{\"input\":{text},\"name\":{},\"toolUseId\":\"tooluse_sim{NUMBER_MARK}\"}}}}",
                quoted(name)
            ),
            None => format!("{{\"text\":\"{}\"}}", escaped(&text)),
        };
        let mut sheet = Sheet::default();
        sheet.text(&format!(
            "{{\"metrics\":{{\"latencyMs\":412}},\"output\":{{\"message\":{{\"content\":[{thinking}{block}],\"role\":\
             \"assistant\"}}}},\"stopReason\":\"{}\"",
            self.stop_reason
        ));
        if ask.fault != Fault::NoUsage {
            sheet.text(",\"usage\":");
            if ask.script.framing == Framing::Chunked {
                sheet.end_piece(None);
            }
            sheet.text(&usage_json(&self.usage));
            sheet.end_piece(Some(self.usage));
        }
        sheet.text("}");
        sheet.plan(&ask.envelope(200, "application/json"))
    }
}

/// The usage object: `inputTokens` holds neither the cached nor the cache-written ones.
fn usage_json(usage: &Usage) -> String {
    let fresh = usage.input - usage.cached_input - usage.cache_write;
    format!(
        "{{\"cacheReadInputTokens\":{},\"cacheWriteInputTokens\":{},\"inputTokens\":{fresh},\"outputTokens\":{},\
         \"serverToolUsage\":{{}},\"totalTokens\":{}}}",
        usage.cached_input,
        usage.cache_write,
        usage.output,
        usage.input.saturating_add(usage.output)
    )
}
