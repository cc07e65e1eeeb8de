//! The stream of a response's events, as recorded from the real provider.

use super::super::error::overload;
use super::super::{Shape, escaped, quoted};
use super::{Reply, THOUGHT, part, reasoning_item, usage_json};
use crate::answer::Sheet;
use crate::ledger::Usage;
use crate::script::Fault;
use crate::text::NUMBER_MARK;

/// All events of the answer.
pub(super) fn sheet(reply: &Reply<'_>, fault: Fault) -> Sheet {
    let mut stream = Stream { sheet: Sheet::default(), reply, fault };
    stream.state("response.created", "in_progress", "", None);
    stream.state("response.in_progress", "in_progress", "", None);
    if reply.script.thinking {
        stream.thinking();
    }
    if stream.content(u64::from(reply.script.thinking)) {
        let usage = Some(reply.usage).filter(|_| fault != Fault::NoUsage);
        stream.state(&format!("response.{}", reply.status), reply.status, &reply.output(), usage);
    }
    stream.sheet
}

struct Stream<'a> {
    sheet: Sheet,
    reply: &'a Reply<'a>,
    fault: Fault,
}

impl Stream<'_> {
    /// An event with the whole response.
    fn state(&mut self, kind: &str, status: &str, output: &str, usage: Option<Usage>) {
        let (begin, end) = self.reply.response(status, output);
        let usage_text = usage.map_or("null".to_string(), |usage| usage_json(&usage));
        self.event(kind, &format!("\"response\":{begin}{usage_text}{end}"), usage);
    }

    fn thinking(&mut self) {
        let at = format!("\"item_id\":\"rs_sim{NUMBER_MARK}\",\"output_index\":0,\"summary_index\":0");
        self.item("response.output_item.added", 0, &reasoning_item(""));
        for thought in THOUGHT.split_inclusive(';') {
            self.event(
                "response.reasoning_summary_text.delta",
                &format!("{at},\"delta\":\"{thought}\""),
                None,
            );
        }
        self.event("response.reasoning_summary_text.done", &format!("{at},\"text\":\"{THOUGHT}\""), None);
        self.item("response.output_item.done", 0, &reasoning_item(THOUGHT));
    }

    /// The item with the answer. False when the script's error has ended the stream.
    fn content(&mut self, index: u64) -> bool {
        let reply = self.reply;
        let calls = reply.script.tool_call.is_some();
        let (id, name) = if calls { ("fc", "function_call_arguments") } else { ("msg", "output_text") };
        let place = if calls { "" } else { ",\"content_index\":0" };
        let at = format!("\"item_id\":\"{id}_sim{NUMBER_MARK}\",\"output_index\":{index}{place}");
        self.item("response.output_item.added", index, &reply.item("in_progress", ""));
        if !calls {
            self.event("response.content_part.added", &format!("{at},\"part\":{}", part("")), None);
        }
        let logprobs = if calls { "" } else { ",\"logprobs\":[]" };
        for piece in &reply.pieces {
            if self.broken() {
                return false;
            }
            let data = format!("{at},\"delta\":\"{}\"{logprobs}", escaped(piece));
            self.event(&format!("response.{name}.delta"), &data, None);
        }
        if self.broken() {
            return false;
        }
        let text = reply.pieces.concat();
        let said = if calls { "arguments" } else { "text" };
        let data = format!("{at},\"{said}\":\"{}\"{logprobs}", escaped(&text));
        self.event(&format!("response.{name}.done"), &data, None);
        if !calls {
            self.event("response.content_part.done", &format!("{at},\"part\":{}", part(&text)), None);
        }
        self.item("response.output_item.done", index, &reply.item("completed", &text));
        true
    }

    fn item(&mut self, kind: &str, index: u64, item: &str) {
        self.event(kind, &format!("\"output_index\":{index},\"item\":{item}"), None);
    }

    /// One event, numbered.
    fn event(&mut self, kind: &str, data: &str, usage: Option<Usage>) {
        let number = self.sheet.pieces();
        self.sheet.text(&format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",{data},\"sequence_number\":{number}}}\n\n"
        ));
        self.sheet.end_piece(usage);
    }

    /// Sends the provider's error when the script says that it is time.
    fn broken(&mut self) -> bool {
        match self.fault {
            Fault::StreamError(after) if self.sheet.pieces() >= after as usize => {
                let message = quoted(&overload(Shape::OpenAi, 500).message);
                self.event(
                    "error",
                    &format!("\"code\":\"server_error\",\"message\":{message},\"param\":null"),
                    None,
                );
                true
            }
            _ => false,
        }
    }
}
