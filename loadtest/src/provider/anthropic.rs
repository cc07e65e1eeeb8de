//! Anthropic messages: <https://docs.anthropic.com/en/api/messages>.

mod check;
mod stream;

use super::{Ask, Refusal, argument_pieces, escaped, json_plan, last_user_text, quoted};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing, Script};
use crate::text::{NUMBER_MARK, reply_pieces};
use check::Messages;

/// What the thinking block says, and the signature that must come back unchanged.
const THOUGHT: &[&str] = &["The user asks", "; I answer."];
const SIGNATURE: &str = "EuYDCmMIDBgCKkC05Zda4P+Cdk/LQKE=";

/// A key and a version there must be.
pub(super) fn check_head(ask: &Ask<'_>) -> Result<(), Refusal> {
    match ask.api_key().or(ask.bearer()) {
        None => return Err(Refusal::new(401, "x-api-key header is required")),
        Some(key) if !ask.is_expected(key) => return Err(Refusal::new(401, "invalid x-api-key")),
        Some(_) => {}
    }
    match ask.head.anthropic_version.clone().and_then(|range| ask.bytes.get(range)) {
        None | Some([]) => Err(Refusal::new(400, "anthropic-version: header is required")),
        // The official SDKs send the newest.
        Some(b"2023-01-01" | b"2023-06-01" | b"2026-10-21") => Ok(()),
        Some(other) => {
            let text =
                format!("anthropic-version: {:?} is not a valid version", String::from_utf8_lossy(other));
            Err(Refusal::new(400, text))
        }
    }
}

/// The answer to `POST /v1/messages`.
pub(super) fn messages(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request = Messages::read(ask.body, ask.script.strict)?;
    let reply = Reply::to(&request, ask);
    let mut plan = if request.stream {
        stream::sheet(&reply, ask.fault).plan(&ask.stream_envelope())
    } else {
        reply.whole(ask)
    };
    plan.is_chat = true;
    Ok(plan)
}

/// The answer to `POST /v1/messages/count_tokens`. It is no usage: nothing was spent.
pub(super) fn count_tokens(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    Messages::read_for_counting(ask.body)?;
    Ok(json_plan(ask, 200, &format!("{{\"input_tokens\":{}}}", ask.script.input_tokens.of(ask.body.len()))))
}

/// What will be said, in either form.
struct Reply<'a> {
    script: &'a Script,
    /// The model's name as a JSON string.
    model: String,
    pieces: Vec<String>,
    usage: Usage,
    stop_reason: &'static str,
}

impl<'a> Reply<'a> {
    fn to(request: &Messages, ask: &Ask<'a>) -> Reply<'a> {
        let script = ask.script;
        let user_text = last_user_text(&request.messages);
        let usage = ask.usage(Some(request.max_tokens));
        let (pieces, stop_reason) = match &script.tool_call {
            Some(_) => (argument_pieces(script, &request.model, &user_text), "tool_use"),
            None => (reply_pieces(script, &request.model, &user_text), "end_turn"),
        };
        let cut = usage.output < script.output_tokens;
        let stop_reason = if cut { "max_tokens" } else { stop_reason };
        Reply { script, model: quoted(&request.model), pieces, usage, stop_reason }
    }

    fn whole(&self, ask: &Ask<'_>) -> Plan {
        let text = self.pieces.concat();
        let thinking = match self.script.thinking {
            true => format!(
                "{{\"type\":\"thinking\",\"thinking\":\"{}\",\"signature\":\"{SIGNATURE}\"}},",
                THOUGHT.concat()
            ),
            false => String::new(),
        };
        let block = match &self.script.tool_call {
            Some(name) => format!(
                "{{\"type\":\"tool_use\",\"id\":\"toolu_sim{NUMBER_MARK}\",\"name\":{},\"input\":{text}}}",
                quoted(name)
            ),
            None => format!("{{\"type\":\"text\",\"text\":\"{}\"}}", escaped(&text)),
        };
        let mut sheet = Sheet::default();
        sheet.text(&format!(
            "{{\"model\":{},\"id\":\"msg_sim{NUMBER_MARK}\",\"type\":\"message\",\"role\":\"assistant\",\"content\":\
             [{thinking}{block}],\"stop_reason\":\"{}\",\"stop_sequence\":null",
            self.model, self.stop_reason
        ));
        if ask.fault != Fault::NoUsage {
            sheet.text(",\"usage\":");
            if ask.script.framing == Framing::Chunked {
                sheet.end_piece(None);
            }
            sheet.text(&usage_json(&self.usage, true));
            sheet.end_piece(Some(self.usage));
        }
        sheet.text("}");
        sheet.plan(&ask.envelope(200, "application/json"))
    }
}

/// The usage object: `input_tokens` holds neither the cached nor the cache-written ones.
fn usage_json(usage: &Usage, in_full: bool) -> String {
    let fresh = usage.input - usage.cached_input - usage.cache_write;
    let detail = match in_full {
        true => format!(
            "\"cache_creation\":{{\"ephemeral_5m_input_tokens\":{},\"ephemeral_1h_input_tokens\":0}},",
            usage.cache_write
        ),
        false => String::new(),
    };
    let tail =
        if in_full { ",\"service_tier\":\"standard\",\"inference_geo\":\"not_available\"" } else { "" };
    format!(
        "{{\"input_tokens\":{fresh},\"cache_creation_input_tokens\":{},\"cache_read_input_tokens\":{},{detail}\
         \"output_tokens\":{}{tail}}}",
        usage.cache_write, usage.cached_input, usage.output
    )
}
