//! The stream of message events, as recorded from the real provider.

use super::super::error::{anthropic_type, overload};
use super::super::{Shape, escaped, quoted, share};
use super::{Reply, SIGNATURE, THOUGHT, usage_json};
use crate::answer::Sheet;
use crate::ledger::Usage;
use crate::script::Fault;
use crate::text::NUMBER_MARK;

/// All events of the answer.
pub(super) fn sheet(reply: &Reply<'_>, fault: Fault) -> Sheet {
    let mut stream = Stream { sheet: Sheet::default(), reply, fault };
    stream.opening();
    if reply.script.thinking {
        stream.thinking();
    }
    if stream.content(usize::from(reply.script.thinking)) {
        stream.closing();
    }
    stream.sheet
}

struct Stream<'a> {
    sheet: Sheet,
    reply: &'a Reply<'a>,
    fault: Fault,
}

impl Stream<'_> {
    /// `message_start`: the input's tokens, and the first of the output.
    fn opening(&mut self) {
        let usage = Usage { output: self.reply.usage.output.min(1), reasoning: 0, ..self.reply.usage };
        let (stated, json) = match self.fault {
            Fault::NoUsage => (None, String::new()),
            _ => (Some(usage), format!(",\"usage\":{}", usage_json(&usage, true))),
        };
        let data = format!(
            "{{\"type\":\"message_start\",\"message\":{{\"model\":{},\"id\":\"msg_sim{NUMBER_MARK}\",\"type\":\
             \"message\",\"role\":\"assistant\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null{json}}}",
            self.reply.model
        );
        self.event("message_start", &data, stated);
    }

    fn thinking(&mut self) {
        self.block_start(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        for thought in THOUGHT {
            self.delta(0, &format!("{{\"type\":\"thinking_delta\",\"thinking\":\"{thought}\"}}"));
        }
        self.delta(0, &format!("{{\"type\":\"signature_delta\",\"signature\":\"{SIGNATURE}\"}}"));
        self.block_stop(0);
    }

    /// The block with the answer. False when the script's error has ended the stream.
    fn content(&mut self, index: usize) -> bool {
        let reply = self.reply;
        match &reply.script.tool_call {
            Some(name) => self.block_start(
                index,
                &format!(
                    "{{\"type\":\"tool_use\",\"id\":\"toolu_sim{NUMBER_MARK}\",\"name\":{},\"input\":{{}}}}",
                    quoted(name)
                ),
            ),
            None => self.block_start(index, "{\"type\":\"text\",\"text\":\"\"}"),
        }
        self.sheet.text("event: ping\ndata: {\"type\": \"ping\"}\n\n");
        self.sheet.end_piece(None);
        let total = reply.pieces.len();
        for (place, piece) in reply.pieces.iter().enumerate() {
            if self.broken() {
                return false;
            }
            self.delta(
                index,
                &match reply.script.tool_call {
                    Some(_) => {
                        format!("{{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}", escaped(piece))
                    }
                    None => format!("{{\"type\":\"text_delta\",\"text\":\"{}\"}}", escaped(piece)),
                },
            );
            if self.fault == Fault::UsageOnEveryChunk {
                let output = share(reply.usage.output, place + 1, total);
                let usage = Usage { output, reasoning: reply.usage.reasoning.min(output), ..reply.usage };
                self.message_delta("{\"stop_reason\":null,\"stop_sequence\":null}", Some(usage));
            }
        }
        self.block_stop(index);
        !self.broken()
    }

    /// `message_delta` with the final usage, and `message_stop`.
    fn closing(&mut self) {
        let delta = format!("{{\"stop_reason\":\"{}\",\"stop_sequence\":null}}", self.reply.stop_reason);
        match self.fault {
            Fault::NoUsage => self.message_delta(&delta, None),
            Fault::UsageWithEmptyDelta => {
                self.message_delta(&delta, None);
                self.message_delta("{}", Some(self.reply.usage));
            }
            _ => self.message_delta(&delta, Some(self.reply.usage)),
        }
        self.event("message_stop", "{\"type\":\"message_stop\"", None);
    }

    fn message_delta(&mut self, delta: &str, usage: Option<Usage>) {
        let json = usage.map_or(String::new(), |usage| format!(",\"usage\":{}", usage_json(&usage, false)));
        self.event("message_delta", &format!("{{\"type\":\"message_delta\",\"delta\":{delta}{json}"), usage);
    }

    fn block_start(&mut self, index: usize, block: &str) {
        let data = format!("{{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}");
        self.event("content_block_start", &data, None);
    }

    fn delta(&mut self, index: usize, delta: &str) {
        let data = format!("{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{delta}");
        self.event("content_block_delta", &data, None);
    }

    fn block_stop(&mut self, index: usize) {
        self.event(
            "content_block_stop",
            &format!("{{\"type\":\"content_block_stop\",\"index\":{index}"),
            None,
        );
    }

    /// One event; `data` lacks its last brace, before which the real provider puts spaces of its own choosing.
    fn event(&mut self, name: &str, data: &str, usage: Option<Usage>) {
        let spaces = self.sheet.pieces() * 7 % 16;
        self.sheet.text(&format!("event: {name}\ndata: {data}{:spaces$}}}\n\n", ""));
        self.sheet.end_piece(usage);
    }

    /// Sends the provider's error when the script says that it is time.
    fn broken(&mut self) -> bool {
        match self.fault {
            Fault::StreamError(after) if self.sheet.pieces() >= after as usize => {
                let refusal = overload(Shape::Anthropic, 529);
                self.sheet.text(&format!(
                    "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{}\",\"message\":{}}}}}\n\n",
                    anthropic_type(529),
                    quoted(&refusal.message)
                ));
                self.sheet.end_piece(None);
                true
            }
            _ => false,
        }
    }
}
