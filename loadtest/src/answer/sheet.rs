//! What a provider says, before framing.

use super::plan::{After, Plan, StepKind, write_number};
use crate::coding::{Coding, content_encoding};
use crate::ledger::Usage;
use crate::script::{Fault, Framing};
use crate::text::{NUMBER_DIGITS, NUMBER_MARK};
use std::time::Duration;

/// A body under construction.
#[derive(Default)]
pub(crate) struct Sheet {
    bytes: Vec<u8>,
    /// Positions of the open number in `bytes`.
    slots: Vec<usize>,
    pieces: Vec<Piece>,
    start: usize,
}

/// A part of the body that is sent at once.
struct Piece {
    end: usize,
    usage: Option<Usage>,
}

/// Everything about an answer but its body.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// More header lines, each ended by CR LF; [`NUMBER_MARK`] stands for the request's number.
    pub(crate) lines: String,
    pub(crate) framing: Framing,
    /// Content codings of the body, as applied, and the request's number, which is coded with it.
    pub(crate) coding: Vec<Coding>,
    pub(crate) number: u64,
    /// The request allows another after it, and chunked framing.
    pub(crate) keep_alive: bool,
    pub(crate) http_1_1: bool,
    /// Answer to HEAD: everything but the body.
    pub(crate) head_only: bool,
    /// Instead of the sheet: so many bytes of the plain body.
    pub(crate) fill: Option<u64>,
    pub(crate) latency: Duration,
    pub(crate) gap: Duration,
    pub(crate) fault: Fault,
}

impl Sheet {
    /// Adds text; [`NUMBER_MARK`] in it stands for the request's number.
    pub(crate) fn text(&mut self, text: &str) {
        append(&mut self.bytes, &mut self.slots, text);
    }

    /// Adds bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Ends a piece: an event of a stream, or a part of a whole body that states `usage`.
    pub(crate) fn end_piece(&mut self, usage: Option<Usage>) {
        if self.bytes.len() > self.start {
            self.start = self.bytes.len();
            self.pieces.push(Piece { end: self.start, usage });
        }
    }

    /// How many pieces there are.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// A whole body is one piece, or as many as carry usage; a stream has many. Ends the last piece if it is open.
    pub(crate) fn plan(mut self, envelope: &Envelope) -> Plan {
        self.end_piece(None);
        if !envelope.coding.is_empty() {
            self.encode(&envelope.coding, envelope.number);
        }
        let framing = envelope.framing_of();
        let mut plan = Plan::default();
        if let Fault::Interim(code) = envelope.fault {
            plan.text(interim(code));
            plan.end_step(StepKind::Send, Duration::ZERO, None);
        }
        plan.text(&envelope.head(framing));
        if let Framing::Auto | Framing::ContentLength = framing {
            plan.text(&format!("content-length: {}\r\n", envelope.fill.unwrap_or(self.bytes.len() as u64)));
        }
        plan.text("\r\n");
        plan.end_step(StepKind::Send, envelope.latency, None);
        plan.head_steps = plan.steps.len();
        if !envelope.head_only {
            self.body_steps(&mut plan, framing, envelope);
        }
        plan.after = envelope.after(framing);
        plan.with_fault(envelope.fault)
    }

    /// Compresses the body piece by piece, with the number filled in.
    fn encode(&mut self, codings: &[Coding], number: u64) {
        for slot in std::mem::take(&mut self.slots) {
            write_number(&mut self.bytes[slot..slot + NUMBER_DIGITS], number);
        }
        let mut from = 0;
        let ends = self.pieces.iter().map(|piece| piece.end);
        let plain: Vec<&[u8]> = ends.map(|end| &self.bytes[std::mem::replace(&mut from, end)..end]).collect();
        let coded = encoded(codings, &plain);
        self.bytes.clear();
        for (piece, bytes) in self.pieces.iter_mut().zip(&coded) {
            self.bytes.extend_from_slice(bytes);
            piece.end = self.bytes.len();
        }
    }

    fn body_steps(&self, plan: &mut Plan, framing: Framing, envelope: &Envelope) {
        let chunked = framing == Framing::Chunked;
        if let Some(bytes) = envelope.fill {
            plan.end_step(StepKind::Fill { bytes, chunked }, Duration::ZERO, None);
        }
        let mut from = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            if chunked {
                plan.text(&format!("{:x}\r\n", piece.end - from));
            }
            plan.copy(&self.bytes, &self.slots, from..piece.end);
            if chunked {
                plan.text("\r\n");
            }
            let wait = if index == 0 { Duration::ZERO } else { envelope.gap };
            plan.end_step(StepKind::Send, wait, piece.usage);
            from = piece.end;
        }
        if chunked {
            plan.text("0\r\n\r\n");
            plan.end_step(StepKind::Send, Duration::ZERO, None);
        }
    }
}

impl Envelope {
    /// A small answer with nothing special about it.
    pub(crate) fn plain(status: u16, content_type: &'static str) -> Envelope {
        Envelope {
            status,
            content_type,
            lines: String::new(),
            framing: Framing::ContentLength,
            coding: Vec::new(),
            number: 0,
            keep_alive: true,
            http_1_1: true,
            head_only: false,
            fill: None,
            latency: Duration::ZERO,
            gap: Duration::ZERO,
            fault: Fault::None,
        }
    }

    /// The framing in force: HTTP/1.0 knows no chunks.
    fn framing_of(&self) -> Framing {
        match self.framing {
            Framing::Chunked if !self.http_1_1 => Framing::CloseDelimited,
            framing => framing,
        }
    }

    pub(crate) fn after(&self, framing: Framing) -> After {
        match self.fault {
            Fault::CloseUnannounced | Fault::CloseAfterResponse | Fault::EarlyAnswer => After::Close,
            _ if framing == Framing::CloseDelimited || !self.keep_alive => After::Close,
            _ => After::KeepAlive,
        }
    }

    /// The head up to the lines that frame the body.
    pub(crate) fn head(&self, framing: Framing) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status));
        head.push_str(&format!("content-type: {}\r\n{}", self.content_type, self.lines));
        if !self.coding.is_empty() {
            head.push_str(&format!("content-encoding: {}\r\n", content_encoding(&self.coding)));
        }
        head.push_str(&format!("x-sim-request: {NUMBER_MARK}\r\n"));
        if self.after(framing) == After::Close && self.fault != Fault::CloseUnannounced {
            head.push_str("connection: close\r\n");
        } else if !self.http_1_1 {
            head.push_str("connection: keep-alive\r\n");
        }
        if framing == Framing::Chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        }
        head
    }
}

#[cfg(feature = "codings")]
use crate::coding::encode as encoded;

/// Scripts of a build without encoders ask for none.
#[cfg(not(feature = "codings"))]
fn encoded(_: &[Coding], pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    pieces.iter().map(|piece| piece.to_vec()).collect()
}

/// Appends text, leaving room for the number wherever its mark stands.
pub(super) fn append(bytes: &mut Vec<u8>, slots: &mut Vec<usize>, text: &str) {
    for (index, part) in text.split(NUMBER_MARK).enumerate() {
        if index > 0 {
            slots.push(bytes.len());
            bytes.extend_from_slice(&[b'0'; NUMBER_DIGITS]);
        }
        bytes.extend_from_slice(part.as_bytes());
    }
}

fn interim(code: u16) -> &'static str {
    match code {
        100 => "HTTP/1.1 100 Continue\r\n\r\n",
        102 => "HTTP/1.1 102 Processing\r\n\r\n",
        _ => "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Site Is Overloaded",
        _ => "Error",
    }
}
