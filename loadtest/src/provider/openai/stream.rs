//! The stream of chat completion chunks, as recorded from the real provider.

use super::super::error::overload;
use super::super::{Shape, escaped, quoted, share};
use super::{CREATED, Chat, Reply, usage_json};
use crate::answer::Sheet;
use crate::ledger::Usage;
use crate::script::Fault;
use crate::text::NUMBER_MARK;

/// All events of the answer.
pub(super) fn sheet(chat: &Chat, reply: &Reply<'_>, fault: Fault) -> Sheet {
    let mut stream = Stream { sheet: Sheet::default(), chat, reply, fault };
    stream.opening();
    let total = reply.pieces.len();
    for (index, piece) in reply.pieces.iter().enumerate() {
        if stream.broken() {
            return stream.sheet;
        }
        let delta = match reply.script.tool_call {
            Some(_) => format!(
                "{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{}\"}}}}]}}",
                escaped(piece)
            ),
            None => format!("{{\"content\":\"{}\"}}", escaped(piece)),
        };
        stream.chunk(&delta, None, share(reply.usage.output, index + 1, total));
    }
    if stream.broken() {
        return stream.sheet;
    }
    stream.closing();
    stream.sheet
}

struct Stream<'a> {
    sheet: Sheet,
    chat: &'a Chat,
    reply: &'a Reply<'a>,
    fault: Fault,
}

impl Stream<'_> {
    /// The chunk that says who speaks.
    fn opening(&mut self) {
        let delta = match &self.reply.script.tool_call {
            Some(name) => format!(
                "{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"index\":0,\"id\":\
                 \"call_sim{NUMBER_MARK}\",\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":\"\"}}}}],\
                 \"refusal\":null}}",
                quoted(name)
            ),
            None => "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}".to_string(),
        };
        self.chunk(&delta, None, 0);
        if self.reply.script.thinking {
            self.chunk(
                "{\"reasoning_content\":\"The user asks; I answer.\"}",
                None,
                self.reply.usage.reasoning,
            );
        }
    }

    /// The chunk that says why it ended, the chunk with the usage, and the end.
    fn closing(&mut self) {
        self.chunk("{}", Some(self.reply.finish), self.reply.usage.output);
        if self.chat.include_usage && !matches!(self.fault, Fault::NoUsage | Fault::UsageWithEmptyDelta) {
            self.start();
            self.sheet.text(&format!("\"choices\":[],\"usage\":{}", usage_json(&self.reply.usage)));
            self.finish(Some(self.reply.usage));
        }
        self.sheet.text("data: [DONE]\n\n");
        self.sheet.end_piece(None);
    }

    /// One chunk with one choice, when `output` tokens have been said.
    fn chunk(&mut self, delta: &str, finish: Option<&str>, output: u64) {
        let finish_json = finish.map_or("null".to_string(), quoted);
        self.start();
        self.sheet.text(&format!(
            "\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish_json}}}]"
        ));
        let usage = self.usage_of_chunk(finish.is_some(), output);
        match usage {
            Some(usage) => self.sheet.text(&format!(",\"usage\":{}", usage_json(&usage))),
            None if self.chat.include_usage && self.fault != Fault::NoUsage => {
                self.sheet.text(",\"usage\":null")
            }
            None => {}
        }
        self.finish(usage);
    }

    /// What a content chunk states, which is nothing unless a fault says so.
    fn usage_of_chunk(&self, last: bool, output: u64) -> Option<Usage> {
        match self.fault {
            Fault::UsageWithEmptyDelta if last => Some(self.reply.usage),
            Fault::UsageOnEveryChunk => {
                let reasoning = self.reply.usage.reasoning.min(output);
                Some(Usage { output, reasoning, ..self.reply.usage })
            }
            _ => None,
        }
    }

    fn start(&mut self) {
        let model = &self.reply.model;
        self.sheet.text(&format!(
            "data: {{\"id\":\"chatcmpl-sim{NUMBER_MARK}\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\
             \"model\":{model},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_sim\","
        ));
    }

    /// Ends an event, with the filler by which the real one hides its lengths.
    fn finish(&mut self, usage: Option<Usage>) {
        let length = self.sheet.pieces() * 5 % 16;
        self.sheet.text(&format!(",\"obfuscation\":\"{}\"}}\n\n", &"aK3xPq0ZrT7mW9s"[..length]));
        self.sheet.end_piece(usage);
    }

    /// Sends the provider's error when the script says that it is time.
    fn broken(&mut self) -> bool {
        match self.fault {
            Fault::StreamError(after) if self.sheet.pieces() >= after as usize => {
                let body = overload(Shape::OpenAi, 500).body(Shape::OpenAi);
                self.sheet.text(&format!("data: {}\n\n", body.replace("\n", "")));
                self.sheet.end_piece(None);
                true
            }
            _ => false,
        }
    }
}
