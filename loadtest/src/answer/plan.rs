//! What goes over the wire, and when.

use super::sheet::append;
use crate::ledger::Usage;
use crate::script::{Ending, Fault};
use crate::text::NUMBER_DIGITS;
use std::ops::Range;
use std::time::Duration;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum After {
    #[default]
    KeepAlive,
    Close,
}

/// An answer, ready to be followed step by step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    bytes: Vec<u8>,
    /// Positions of the open number in `bytes`, ascending.
    slots: Vec<usize>,
    pub(crate) steps: Vec<Step>,
    /// How many of the steps are interim answers and the head.
    pub(crate) head_steps: usize,
    pub(crate) after: After,
    /// A successful chat answer, which is expected to report usage.
    pub(crate) is_chat: bool,
    start: usize,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    /// Wait before it.
    pub(crate) wait: Duration,
    pub(crate) bytes: Range<usize>,
    /// The usage that its last byte states.
    pub(crate) usage: Option<Usage>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// Hands over its bytes.
    Send,
    /// Hands over so many bytes of the plain body, which are not stored anywhere.
    Fill { bytes: u64, chunked: bool },
    /// Ends the connection once everything before it has been taken by the kernel.
    Cut(Ending),
    /// Nothing more is sent; the client must end it.
    Stall,
}

impl Plan {
    /// Adds text to the step under construction.
    pub(super) fn text(&mut self, text: &str) {
        append(&mut self.bytes, &mut self.slots, text);
    }

    /// Adds a range of other bytes with the slots that lie in it.
    pub(super) fn copy(&mut self, bytes: &[u8], slots: &[usize], range: Range<usize>) {
        let base = self.bytes.len();
        let within = slots.iter().filter(|&&slot| range.contains(&slot));
        self.slots.extend(within.map(|slot| base + slot - range.start));
        self.bytes.extend_from_slice(&bytes[range]);
    }

    /// Ends the step under construction.
    pub(super) fn end_step(&mut self, kind: StepKind, wait: Duration, usage: Option<Usage>) {
        let bytes = self.start..self.bytes.len();
        self.start = self.bytes.len();
        self.steps.push(Step { kind, wait, bytes, usage });
    }

    /// Copies the bytes of a step to `out` with the request's number filled in.
    pub(crate) fn copy_out(&self, step: &Step, number: u64, out: &mut Vec<u8>) {
        let base = out.len();
        out.extend_from_slice(&self.bytes[step.bytes.clone()]);
        let first = self.slots.partition_point(|&slot| slot < step.bytes.start);
        for &slot in self.slots[first..].iter().take_while(|&&slot| slot < step.bytes.end) {
            let at = base + slot - step.bytes.start;
            write_number(&mut out[at..at + NUMBER_DIGITS], number);
        }
    }

    /// The plan with the number filled in for good, so that its steps may be cut anywhere.
    pub(crate) fn filled(mut self, number: u64) -> Plan {
        for slot in std::mem::take(&mut self.slots) {
            write_number(&mut self.bytes[slot..slot + NUMBER_DIGITS], number);
        }
        self
    }

    /// Applies the faults that are about bytes and time. The steps must not be cut within a slot: see
    /// [`Plan::filled`], which the caller applies before the plan is followed.
    pub(super) fn with_fault(mut self, fault: Fault) -> Plan {
        match fault {
            Fault::NoAnswer(ending) => self.keep_bytes(0, StepKind::Cut(ending)),
            Fault::Stall => self.keep_bytes(0, StepKind::Stall),
            Fault::CutInHead(ending) => self.keep_bytes(self.head_end() / 2, StepKind::Cut(ending)),
            Fault::CutAfterChunks(count, ending) => self.keep_events(count, StepKind::Cut(ending)),
            Fault::StallAfterChunks(count) => self.keep_events(count, StepKind::Stall),
            Fault::CutAt(count, ending) if (count as usize) < self.bytes.len() => {
                self.keep_bytes(count as usize, StepKind::Cut(ending));
            }
            Fault::Nonsense(seed) => self.become_nonsense(seed),
            Fault::Truncate(ending) => self.keep_half(ending),
            Fault::SlowBody { bytes, gap } => self.slice_body(bytes as usize, gap),
            _ => {}
        }
        self
    }

    fn head_end(&self) -> usize {
        self.head_steps.checked_sub(1).and_then(|last| self.steps.get(last)).map_or(0, |step| step.bytes.end)
    }

    /// Keeps so many bytes, then does `last`. A step that loses bytes loses its usage too.
    fn keep_bytes(&mut self, keep: usize, last: StepKind) {
        let latency = self.steps.first().map_or(Duration::ZERO, |step| step.wait);
        self.steps.retain(|step| step.bytes.start < keep);
        if let Some(step) = self.steps.last_mut().filter(|step| step.bytes.end > keep) {
            step.bytes.end = keep;
            step.usage = None;
        }
        let wait = if self.steps.is_empty() { latency } else { Duration::ZERO };
        self.steps.push(Step { kind: last, wait, bytes: keep..keep, usage: None });
    }

    /// Bytes in place of the answer that are the same for the same seed. The first is none that HTTP begins with.
    fn become_nonsense(&mut self, seed: u32) {
        let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        };
        let wait = self.steps.first().map_or(Duration::ZERO, |step| step.wait);
        let count = 1 + usize::from(next()) * 4;
        self.bytes = std::iter::once(0x16).chain((1..count).map(|_| next())).collect();
        self.slots.clear();
        let send = Step { kind: StepKind::Send, wait, bytes: 0..count, usage: None };
        let cut =
            Step { kind: StepKind::Cut(Ending::Fin), wait: Duration::ZERO, bytes: count..count, usage: None };
        (self.steps, self.head_steps) = (vec![send, cut], 1);
    }

    /// Keeps the head and half of the body.
    fn keep_half(&mut self, ending: Ending) {
        if let Some(Step { kind: StepKind::Fill { bytes, chunked }, .. }) = self.steps.get(self.head_steps) {
            let kind = StepKind::Fill { bytes: bytes / 2, chunked: *chunked };
            self.keep_events(0, StepKind::Cut(ending));
            let at = self.head_end();
            let fill = Step { kind, wait: Duration::ZERO, bytes: at..at, usage: None };
            self.steps.insert(self.head_steps, fill);
        } else {
            let half = (self.head_end() + self.bytes.len()) / 2;
            self.keep_bytes(half, StepKind::Cut(ending));
        }
    }

    /// Keeps the head and so many body steps, never the one that ends the framing.
    fn keep_events(&mut self, count: u32, last: StepKind) {
        let body = self.steps.len() - self.head_steps;
        let keep = (count as usize).min(body.saturating_sub(1));
        self.steps.truncate(self.head_steps + keep);
        let at = self.steps.last().map_or(0, |step| step.bytes.end);
        self.steps.push(Step { kind: last, wait: Duration::ZERO, bytes: at..at, usage: None });
    }

    /// Cuts every body step to pieces of at most `size` bytes, with `gap` before each.
    fn slice_body(&mut self, size: usize, gap: Duration) {
        let body = self.steps.split_off(self.head_steps);
        for step in body {
            if let StepKind::Fill { bytes, chunked } = step.kind {
                self.slice_fill(bytes, chunked, size as u64, gap);
                continue;
            }
            let mut from = step.bytes.start;
            while from < step.bytes.end {
                let to = step.bytes.end.min(from + size.max(1));
                let usage = step.usage.filter(|_| to == step.bytes.end);
                self.steps.push(Step { kind: StepKind::Send, wait: gap, bytes: from..to, usage });
                from = to;
            }
        }
    }

    fn slice_fill(&mut self, bytes: u64, chunked: bool, size: u64, gap: Duration) {
        let at = self.head_end();
        let size = size.max(bytes / FILL_STEPS_MAX).max(1);
        let mut left = bytes;
        while left > 0 {
            let kind = StepKind::Fill { bytes: left.min(size), chunked };
            self.steps.push(Step { kind, wait: gap, bytes: at..at, usage: None });
            left -= left.min(size);
        }
    }
}

/// Most pieces that a plain body is sliced into.
const FILL_STEPS_MAX: u64 = 100_000;

/// Writes a number over exactly these digits.
pub(super) fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
