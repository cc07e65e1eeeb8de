//! OpenAI chat completions: <https://platform.openai.com/docs/api-reference/chat>.

mod check;
mod stream;

use super::{Ask, Refusal, argument_pieces, last_user_text, place, quoted};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing, Script};
use crate::text::{NUMBER_MARK, reply_pieces};
use check::Chat;

/// Every answer was made at this moment: answers are the same on every day.
pub(super) const CREATED: u64 = 1_700_000_000;

/// A key there must be; at Azure in a header of its own, and a version of the API.
pub(super) fn check_head(ask: &Ask<'_>) -> Result<(), Refusal> {
    let path = ask.path();
    let azures = ask.azure_api_key().filter(|_| place::is_azures(path.as_bytes()));
    if place::is_dated(path.as_bytes()) && ask.target().matches("api-version=").count() != 1 {
        return Err(Refusal::new(404, "Resource not found"));
    }
    match azures.or(ask.bearer()) {
        None => Err(Refusal::new(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using \
             Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )),
        Some(key) if !ask.is_expected(key) => {
            Err(Refusal::new(401, "Incorrect API key provided.").code("invalid_api_key"))
        }
        Some(_) => Ok(()),
    }
}

/// The answer to `POST /v1/chat/completions`.
pub(super) fn chat(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let chat = Chat::read(ask.body, ask.script.strict)?;
    let reply = Reply::to(&chat, ask);
    let mut plan = if chat.stream {
        stream::sheet(&chat, &reply, ask.fault).plan(&ask.stream_envelope())
    } else {
        reply.whole(ask)
    };
    plan.is_chat = true;
    Ok(plan)
}

/// What will be said, in either form.
struct Reply<'a> {
    script: &'a Script,
    /// The model's name as a JSON string.
    model: String,
    pieces: Vec<String>,
    usage: Usage,
    finish: &'static str,
}

impl<'a> Reply<'a> {
    fn to(chat: &Chat, ask: &Ask<'a>) -> Reply<'a> {
        let script = ask.script;
        let user_text = last_user_text(&chat.messages);
        let usage = ask.usage(chat.max_output);
        let (pieces, finish) = match &script.tool_call {
            Some(_) => (argument_pieces(script, &chat.model, &user_text), "tool_calls"),
            None => (reply_pieces(script, &chat.model, &user_text), "stop"),
        };
        let cut = usage.output < script.output_tokens;
        let finish = if cut { "length" } else { finish };
        Reply { script, model: quoted(&chat.model), pieces, usage, finish }
    }

    fn whole(&self, ask: &Ask<'_>) -> Plan {
        let text = self.pieces.concat();
        let message = match &self.script.tool_call {
            Some(name) => format!(
                "\"content\": null,\n        \"tool_calls\": [\n          {{\n            \"id\": \
                 \"call_sim{NUMBER_MARK}\",\n            \"type\": \"function\",\n            \"function\": {{\n\
                 \x20             \"name\": {},\n              \"arguments\": {}\n            }}\n          }}\n        ]",
                quoted(name),
                quoted(&text)
            ),
            None => format!("\"content\": {}", quoted(&text)),
        };
        let reasoning = match self.script.thinking {
            true => "\n        \"reasoning_content\": \"The user asks; I answer.\",",
            false => "",
        };
        let mut sheet = Sheet::default();
        sheet.text(&format!(
            "{{\n  \"id\": \"chatcmpl-sim{NUMBER_MARK}\",\n  \"object\": \"chat.completion\",\n  \"created\": \
             {CREATED},\n  \"model\": {},\n  \"choices\": [\n    {{\n      \"index\": 0,\n      \"message\": {{\n        \
             \"role\": \"assistant\",{reasoning}\n        {message},\n        \"refusal\": null,\n        \
             \"annotations\": []\n      }},\n      \"logprobs\": null,\n      \"finish_reason\": \"{}\"\n    }}\n  ]",
            self.model, self.finish
        ));
        if ask.fault != Fault::NoUsage {
            sheet.text(",\n  \"usage\": ");
            if ask.script.framing == Framing::Chunked {
                sheet.end_piece(None);
            }
            sheet.text(&usage_json(&self.usage));
            sheet.end_piece(Some(self.usage));
        }
        sheet.text(",\n  \"service_tier\": \"default\",\n  \"system_fingerprint\": \"fp_sim\"\n}\n");
        sheet.plan(&ask.envelope(200, "application/json"))
    }
}

/// The usage object: `prompt_tokens` holds the cached ones, `completion_tokens` the reasoning.
fn usage_json(usage: &Usage) -> String {
    let written = match usage.cache_write {
        0 => String::new(),
        tokens => format!("\"cache_write_tokens\":{tokens},"),
    };
    format!(
        "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\"prompt_tokens_details\":{{\
         \"cached_tokens\":{},{written}\"audio_tokens\":0}},\"completion_tokens_details\":{{\"reasoning_tokens\":{},\
         \"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}",
        usage.input,
        usage.output,
        usage.input.saturating_add(usage.output),
        usage.cached_input,
        usage.reasoning
    )
}
