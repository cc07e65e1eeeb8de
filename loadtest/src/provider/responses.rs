//! OpenAI responses: <https://platform.openai.com/docs/api-reference/responses>.

mod check;
mod stream;

use super::openai::CREATED;
use super::{Ask, Refusal, argument_pieces, escaped, last_user_text, quoted};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing, Script};
use crate::text::{NUMBER_MARK, reply_pieces};
use check::Request;

/// What the summary of the reasoning says.
const THOUGHT: &str = "The user asks; I answer.";

/// The answer to `POST /v1/responses`.
pub(super) fn response(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    let request = Request::read(ask.body, ask.script.strict)?;
    let reply = Reply::to(&request, ask);
    let mut plan = if request.stream {
        stream::sheet(&reply, ask.fault).plan(&ask.stream_envelope())
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
    /// `completed`, or `incomplete` when the request allows fewer tokens.
    status: &'static str,
}

impl<'a> Reply<'a> {
    fn to(request: &Request, ask: &Ask<'a>) -> Reply<'a> {
        let script = ask.script;
        let user_text = match &request.text {
            Some(text) => text.clone(),
            None => last_user_text(&request.items),
        };
        let usage = ask.usage(request.max_output);
        let pieces = match &script.tool_call {
            Some(_) => argument_pieces(script, &request.model, &user_text),
            None => reply_pieces(script, &request.model, &user_text),
        };
        let status = if usage.output < script.output_tokens { "incomplete" } else { "completed" };
        Reply { script, model: quoted(&request.model), pieces, usage, status }
    }

    fn whole(&self, ask: &Ask<'_>) -> Plan {
        let mut sheet = Sheet::default();
        let usage = Some(self.usage).filter(|_| ask.fault != Fault::NoUsage);
        let (begin, end) = self.response(self.status, &self.output());
        sheet.text(&begin);
        if ask.script.framing == Framing::Chunked {
            sheet.end_piece(None);
        }
        sheet.text(&usage.map_or("null".to_string(), |usage| usage_json(&usage)));
        sheet.end_piece(usage);
        sheet.text(&end);
        sheet.text("\n");
        sheet.plan(&ask.envelope(200, "application/json"))
    }

    /// All items of the output.
    fn output(&self) -> String {
        let reasoning = match self.script.thinking {
            true => format!("{},", reasoning_item(THOUGHT)),
            false => String::new(),
        };
        format!("{reasoning}{}", self.item("completed", &self.pieces.concat()))
    }

    /// The item that says or calls `text`.
    fn item(&self, status: &str, text: &str) -> String {
        match &self.script.tool_call {
            Some(name) => format!(
                "{{\"id\":\"fc_sim{NUMBER_MARK}\",\"type\":\"function_call\",\"status\":\"{status}\",\"arguments\":\"{}\",\
                 \"call_id\":\"call_sim{NUMBER_MARK}\",\"name\":{}}}",
                escaped(text),
                quoted(name)
            ),
            None => format!(
                "{{\"id\":\"msg_sim{NUMBER_MARK}\",\"type\":\"message\",\"status\":\"{status}\",\"content\":[{}],\
                 \"role\":\"assistant\"}}",
                if text.is_empty() { String::new() } else { part(text) }
            ),
        }
    }

    /// The response, up to its usage and from there on.
    fn response(&self, status: &str, output: &str) -> (String, String) {
        let details = match status {
            "incomplete" => "{\"reason\":\"max_output_tokens\"}",
            _ => "null",
        };
        let begin = format!(
            "{{\"id\":\"resp_sim{NUMBER_MARK}\",\"object\":\"response\",\"created_at\":{CREATED},\"status\":\"{status}\",\
             \"background\":false,\"error\":null,\"incomplete_details\":{details},\"instructions\":null,\
             \"max_output_tokens\":null,\"model\":{},\"output\":[{output}],\"parallel_tool_calls\":true,\
             \"previous_response_id\":null,\"reasoning\":{{\"effort\":null,\"summary\":null}},\"store\":true,\
             \"temperature\":1.0,\"text\":{{\"format\":{{\"type\":\"text\"}}}},\"tool_choice\":\"auto\",\"tools\":[],\
             \"top_p\":1.0,\"truncation\":\"disabled\",\"usage\":",
            self.model
        );
        (begin, ",\"user\":null,\"metadata\":{}}".to_string())
    }
}

fn part(text: &str) -> String {
    format!("{{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"{}\"}}", escaped(text))
}

fn reasoning_item(summary: &str) -> String {
    let summary = match summary {
        "" => String::new(),
        text => format!("{{\"type\":\"summary_text\",\"text\":\"{text}\"}}"),
    };
    format!("{{\"id\":\"rs_sim{NUMBER_MARK}\",\"type\":\"reasoning\",\"summary\":[{summary}]}}")
}

/// The usage object: `input_tokens` holds the cached ones, `output_tokens` the reasoning.
fn usage_json(usage: &Usage) -> String {
    let written = match usage.cache_write {
        0 => String::new(),
        tokens => format!("\"cache_write_tokens\":{tokens},"),
    };
    format!(
        "{{\"input_tokens\":{},\"input_tokens_details\":{{{written}\"cached_tokens\":{}}},\"output_tokens\":{},\
         \"output_tokens_details\":{{\"reasoning_tokens\":{}}},\"total_tokens\":{}}}",
        usage.input,
        usage.cached_input,
        usage.output,
        usage.reasoning,
        usage.input.saturating_add(usage.output)
    )
}
