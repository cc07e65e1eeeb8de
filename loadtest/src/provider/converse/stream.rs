//! The stream of events in AWS's frames, as recorded from the real provider.

use super::super::{Ask, Shape, escaped, quoted};
use super::{Reply, SIGNATURE, THOUGHT, usage_json};
use crate::answer::Sheet;
use crate::eventstream;
use crate::ledger::Usage;
use crate::provider::error::overload;
use crate::script::Fault;
use crate::text::{NUMBER_DIGITS, NUMBER_MARK};

/// All frames of the answer.
pub(super) fn sheet(reply: &Reply<'_>, ask: &Ask<'_>) -> Sheet {
    let mut stream = Stream { sheet: Sheet::default(), reply, fault: ask.fault, number: ask.number };
    stream.event("messageStart", "\"role\":\"assistant\"", None);
    if reply.script.thinking {
        stream.delta(0, &format!("{{\"reasoningContent\":{{\"text\":\"{THOUGHT}\"}}}}"));
        stream.delta(0, &format!("{{\"reasoningContent\":{{\"signature\":\"{SIGNATURE}\"}}}}"));
        stream.stop(0);
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
    /// The request's: what is in a frame is under its checksum, and cannot be filled in later.
    number: u64,
}

impl Stream<'_> {
    /// The block with the answer. False when the script's exception has ended the stream.
    fn content(&mut self, index: usize) -> bool {
        if let Some(name) = &self.reply.script.tool_call {
            let start = format!(
                "\"contentBlockIndex\":{index},\"start\":{{\"toolUse\":{{\"name\":{},\"toolUseId\":\
                 \"tooluse_sim{NUMBER_MARK}\"}}}}",
                quoted(name)
            );
            self.event("contentBlockStart", &start, None);
        }
        for piece in &self.reply.pieces {
            if self.broken() {
                return false;
            }
            let piece = escaped(piece);
            match self.reply.script.tool_call {
                Some(_) => self.delta(index, &format!("{{\"toolUse\":{{\"input\":\"{piece}\"}}}}")),
                None => self.delta(index, &format!("{{\"text\":\"{piece}\"}}")),
            }
        }
        self.stop(index);
        !self.broken()
    }

    /// `messageStop`, and `metadata` with the usage.
    fn closing(&mut self) {
        let reason = format!("\"stopReason\":\"{}\"", self.reply.stop_reason);
        self.event("messageStop", &reason, None);
        let usage = Some(self.reply.usage).filter(|_| self.fault != Fault::NoUsage);
        let json = usage.map_or(String::new(), |usage| format!(",\"usage\":{}", usage_json(&usage)));
        self.event("metadata", &format!("\"metrics\":{{\"latencyMs\":412}}{json}"), usage);
    }

    fn delta(&mut self, index: usize, delta: &str) {
        let members = format!("\"contentBlockIndex\":{index},\"delta\":{delta}");
        self.event("contentBlockDelta", &members, None);
    }

    fn stop(&mut self, index: usize) {
        self.event("contentBlockStop", &format!("\"contentBlockIndex\":{index}"), None);
    }

    /// One frame, with the filler by which the real one hides its lengths.
    fn event(&mut self, name: &str, members: &str, usage: Option<Usage>) {
        let filler = &"abcdefghijklmnop"[..self.sheet.pieces() * 5 % 16];
        let number = format!("{:0NUMBER_DIGITS$}", self.number);
        let payload = format!("{{{members},\"p\":\"{filler}\"}}").replace(NUMBER_MARK, &number);
        let mut frame = Vec::new();
        eventstream::event(&mut frame, name, payload.as_bytes());
        self.sheet.bytes(&frame);
        self.sheet.end_piece(usage);
    }

    /// Sends the provider's exception when the script says that it is time.
    fn broken(&mut self) -> bool {
        match self.fault {
            Fault::StreamError(after) if self.sheet.pieces() >= after as usize => {
                let mut frame = Vec::new();
                let body = overload(Shape::Bedrock, 429).body(Shape::Bedrock);
                eventstream::exception(&mut frame, "throttlingException", body.as_bytes());
                self.sheet.bytes(&frame);
                self.sheet.end_piece(None);
                true
            }
            _ => false,
        }
    }
}
