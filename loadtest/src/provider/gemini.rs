//! Gemini's contents: <https://ai.google.dev/api/generate-content>.

mod check;

use super::error::overload;
use super::{Ask, Refusal, Shape, argument_pieces, escaped, json_plan, models, quoted, share, vertex};
use crate::answer::{Plan, Sheet};
use crate::ledger::Usage;
use crate::script::{Fault, Framing, Script};
use crate::text::{NUMBER_MARK, reply_pieces};
use check::Contents;

/// What the thoughts say.
const THOUGHT: &str = "The user asks; I answer.";

/// A key there must be, in its header: in a query it would stand in logs.
pub(super) fn check_head(ask: &Ask<'_>) -> Result<(), Refusal> {
    match ask.goog_api_key().or(ask.bearer()) {
        None => Err(Refusal::new(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or \
             other form of API consumer identity to call this API.",
        )),
        Some(key) if !ask.is_expected(key) => {
            Err(Refusal::new(400, "API key not valid. Please pass a valid API key."))
        }
        Some(_) => Ok(()),
    }
}

/// The answer to `POST :generateContent` and `:streamGenerateContent?alt=sse`.
pub(super) fn generate(ask: &Ask<'_>, streamed: bool) -> Result<Plan, Refusal> {
    let contents = Contents::read(ask.body, ask.script.strict, vertex::is_below(ask.path().as_bytes()))?;
    let reply = Reply::to(&contents, ask);
    let mut plan = match streamed {
        true => reply.stream(ask.fault).plan(&ask.stream_envelope()),
        false => reply.whole(ask),
    };
    plan.is_chat = true;
    Ok(plan)
}

/// The answer to `POST :countTokens`. It is no usage: nothing was spent.
pub(super) fn count_tokens(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    Contents::read_for_counting(ask.body)?;
    let tokens = ask.script.input_tokens.of(ask.body.len());
    let body = format!(
        "{{\"totalTokens\":{tokens},\"promptTokensDetails\":[{{\"modality\":\"TEXT\",\"tokenCount\":{tokens}}}]}}"
    );
    Ok(json_plan(ask, 200, &body))
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
    fn to(contents: &Contents, ask: &Ask<'a>) -> Reply<'a> {
        let script = ask.script;
        let model = models::named(ask);
        // Nothing is said about what is written to a cache.
        let usage = Usage { cache_write: 0, ..ask.usage(contents.max_output) };
        let pieces = match &script.tool_call {
            Some(_) => argument_pieces(script, &model, &contents.user_text),
            None => reply_pieces(script, &model, &contents.user_text),
        };
        let finish = if usage.output < script.output_tokens { "MAX_TOKENS" } else { "STOP" };
        Reply { script, model: quoted(&model), pieces, usage, finish }
    }

    fn whole(&self, ask: &Ask<'_>) -> Plan {
        let thought = if self.script.thinking { format!("{},", thought(THOUGHT)) } else { String::new() };
        let parts = format!("{thought}{}", self.part(&self.pieces.concat()));
        let usage = Some(self.usage).filter(|_| ask.fault != Fault::NoUsage);
        let mut sheet = Sheet::default();
        self.chunk(&mut sheet, &parts, Some(self.finish), usage, ask.script.framing == Framing::Chunked);
        sheet.end_piece(usage);
        sheet.plan(&ask.envelope(200, "application/json; charset=UTF-8"))
    }

    /// The chunks: the usage so far stands on each.
    fn stream(&self, fault: Fault) -> Sheet {
        let mut sheet = Sheet::default();
        let usage = |output: u64| {
            let reasoning = self.usage.reasoning.min(output);
            Some(Usage { output, reasoning, ..self.usage }).filter(|_| fault != Fault::NoUsage)
        };
        if self.script.thinking {
            self.event(&mut sheet, &thought(THOUGHT), None, usage(self.usage.reasoning));
        }
        // A call comes whole.
        let call = [self.pieces.concat()];
        let pieces = if self.script.tool_call.is_some() { &call[..] } else { &self.pieces[..] };
        for (index, piece) in pieces.iter().enumerate() {
            if broken(&mut sheet, fault) {
                return sheet;
            }
            let output = share(self.usage.output, index, pieces.len()).max(self.usage.reasoning);
            self.event(&mut sheet, &self.part(piece), None, usage(output));
        }
        if !broken(&mut sheet, fault) {
            self.event(&mut sheet, "{\"text\":\"\"}", Some(self.finish), usage(self.usage.output));
        }
        sheet
    }

    fn part(&self, text: &str) -> String {
        match &self.script.tool_call {
            Some(name) => format!("{{\"functionCall\":{{\"name\":{},\"args\":{text}}}}}", quoted(name)),
            None => format!("{{\"text\":\"{}\"}}", escaped(text)),
        }
    }

    fn event(&self, sheet: &mut Sheet, parts: &str, finish: Option<&str>, usage: Option<Usage>) {
        sheet.text("data: ");
        self.chunk(sheet, parts, finish, usage, false);
        sheet.text("\r\n\r\n");
        sheet.end_piece(usage);
    }

    /// One answer, or a part of one; `apart` sends what stands before the usage alone.
    fn chunk(&self, sheet: &mut Sheet, parts: &str, finish: Option<&str>, usage: Option<Usage>, apart: bool) {
        let reason = finish.map_or(String::new(), |reason| format!(",\"finishReason\": \"{reason}\""));
        sheet.text(&format!(
            "{{\"candidates\": [{{\"content\": {{\"parts\": [{parts}],\"role\": \"model\"}}{reason},\"index\": 0}}],\
             \"modelVersion\": {},\"responseId\": \"sim{NUMBER_MARK}\"",
            self.model
        ));
        if apart {
            sheet.end_piece(None);
        }
        if let Some(usage) = usage {
            sheet.text(&format!(",\"usageMetadata\": {}", self.usage_json(&usage)));
        }
        sheet.text("}");
    }

    /// The usage object: tools' input is apart from the prompt's, thoughts from the candidates' tokens.
    fn usage_json(&self, usage: &Usage) -> String {
        let of_tools = if self.script.tool_call.is_some() { usage.input / 10 } else { 0 };
        let optional = [
            ("toolUsePromptTokenCount", of_tools),
            ("cachedContentTokenCount", usage.cached_input),
            ("candidatesTokenCount", usage.output - usage.reasoning),
            ("thoughtsTokenCount", usage.reasoning),
        ];
        let optional: String = optional
            .iter()
            .filter(|(_, tokens)| *tokens > 0)
            .map(|(name, tokens)| format!("\"{name}\": {tokens},"))
            .collect();
        let total = usage.input.saturating_add(usage.output);
        format!("{{\"promptTokenCount\": {},{optional}\"totalTokenCount\": {total}}}", usage.input - of_tools)
    }
}

fn thought(text: &str) -> String {
    format!("{{\"text\":\"{text}\",\"thought\":true}}")
}

/// Sends the provider's error when the script says that it is time.
fn broken(sheet: &mut Sheet, fault: Fault) -> bool {
    match fault {
        Fault::StreamError(after) if sheet.pieces() >= after as usize => {
            let body = overload(Shape::Gemini, 503).body(Shape::Gemini).replace('\n', "");
            sheet.text(&format!("data: {body}\r\n\r\n"));
            sheet.end_piece(None);
            true
        }
        _ => false,
    }
}
