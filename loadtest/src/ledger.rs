//! The provider's own books: what was asked, what was answered, and every token that was reported.

use crate::limits;
use std::collections::VecDeque;
use std::fmt;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Tokens of answers, normalised so that both providers mean the same: `input` holds the cached and cache-written
/// parts, `output` holds the reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// The part of `input` read from the prompt cache.
    pub cached_input: u64,
    /// The part of `input` written to the prompt cache.
    pub cache_write: u64,
    /// All output tokens.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.input += other.input;
        self.cached_input += other.cached_input;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }
}

/// Counts since the simulator was started; a snapshot is exact at the moment when it is taken.
///
/// **Reported** means: the last byte of the JSON text that states the usage was handed to the kernel. An answer that
/// states usage several times (Anthropic does so twice) counts with its last statement alone. An answer's usage is
/// entered once, when the answer ends: under `reported` when its last byte, framing included, was handed over; under
/// `reported_in_cut` when it ended before that, by the script's fault or because the client had gone.
///
/// At every moment `requests = completed + cut + client_gone + answers still being sent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Connections accepted.
    pub connections: u64,
    /// Requests received whole (head and body; head alone for [`crate::Fault::EarlyAnswer`]), malformed ones apart.
    pub requests: u64,
    /// Answers handed to the kernel whole, errors included.
    pub completed: u64,
    /// Answers ended early by the script.
    pub cut: u64,
    /// Answers ended early because the client closed or reset the connection.
    pub client_gone: u64,
    /// Requests whose connection ended before they had arrived whole.
    pub incomplete: u64,
    /// Answers of status 400 and above made by the provider's own checks (key, fields, path).
    pub refused: u64,
    /// Answers that the script's fault changed.
    pub faulted: u64,
    /// Answers of status 200 to chat requests that were completed and reported no usage.
    pub without_usage: u64,
    /// Tokens reported in completed answers.
    pub reported: Usage,
    /// Tokens reported in answers that ended early.
    pub reported_in_cut: Usage,
    /// Body bytes of requests received.
    pub body_bytes_in: u64,
    /// All bytes handed to the kernel.
    pub bytes_out: u64,
    /// Requests that are not HTTP/1.1: answered 400, connection closed.
    pub malformed: u64,
    /// Rules of HTTP that a request broke although it could be read (a hop-by-hop field left over, a field twice).
    pub protocol_faults: u64,
    /// The first reasons of the two, each once.
    pub reasons: Vec<String>,
}

impl Ledger {
    pub(crate) fn reason(&mut self, text: String) {
        if self.reasons.len() < limits::REASONS_MAX && !self.reasons.contains(&text) {
            self.reasons.push(text);
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("connections", self.connections),
            ("requests", self.requests),
            ("completed", self.completed),
            ("cut", self.cut),
            ("client gone", self.client_gone),
            ("incomplete", self.incomplete),
            ("refused", self.refused),
            ("faulted", self.faulted),
            ("without usage", self.without_usage),
            ("body bytes in", self.body_bytes_in),
            ("bytes out", self.bytes_out),
            ("malformed", self.malformed),
            ("protocol faults", self.protocol_faults),
        ];
        for (name, value) in counts {
            writeln!(f, "{name:<22}{value:>16}")?;
        }
        writeln!(f, "{:<22}{:>16}{:>16}", "tokens", "completed", "cut")?;
        let (whole, cut) = (self.reported, self.reported_in_cut);
        for (name, a, b) in [
            ("  input", whole.input, cut.input),
            ("  of it cached", whole.cached_input, cut.cached_input),
            ("  of it cache write", whole.cache_write, cut.cache_write),
            ("  output", whole.output, cut.output),
            ("  of it reasoning", whole.reasoning, cut.reasoning),
        ] {
            writeln!(f, "{name:<22}{a:>16}{b:>16}")?;
        }
        for reason in &self.reasons {
            writeln!(f, "fault: {reason}")?;
        }
        Ok(())
    }
}

/// One request from its arrival to the end of its answer, kept when the script says `journal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The request's number, as in [`SeenRequest::number`].
    pub number: u64,
    /// What the request called itself by `x-sim-tag`; 0 when it did not.
    pub tag: u64,
    /// By this moment the request had been received whole.
    pub arrived: Instant,
    /// Not before this moment was its last byte handed over, or its connection found to have ended.
    pub ended: Instant,
    /// The usage that the answer reported.
    pub usage: Option<Usage>,
    /// How it ended.
    pub end: AnswerEnd,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEnd {
    /// Handed to the kernel whole.
    Completed,
    /// Ended early by the script.
    Cut,
    /// Ended early because the client had gone.
    ClientGone,
}

/// What the journal held.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// In the order in which they ended; those still being sent are not among them.
    pub list: Vec<Answered>,
    /// How many had no room ([`limits::ANSWERS_MAX`]).
    pub lost: u64,
}

impl Answers {
    pub(crate) fn push(&mut self, answered: Answered) {
        match self.list.len() < limits::ANSWERS_MAX {
            true => self.list.push(answered),
            false => self.lost += 1,
        }
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// The request's number: the one in its answer's id, text and `x-sim-request` header. The first is 1.
    pub number: u64,
    /// The connection it came on, numbered from 1: equal numbers mean that the connection was reused.
    pub connection: u64,
    /// When it was complete, counted from the simulator's start.
    pub when: Duration,
    /// `POST`, `GET`...
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Header lines in order, names as sent.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its framing; empty for `/plain`, which does not keep it.
    pub body: Vec<u8>,
}

impl SeenRequest {
    /// The first header line of this name (any case), as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// The last requests, within bounds of number and of bytes.
#[derive(Default)]
pub(crate) struct Recorder {
    seen: VecDeque<SeenRequest>,
    body_bytes: usize,
}

impl Recorder {
    pub(crate) fn push(&mut self, request: SeenRequest) {
        self.body_bytes += request.body.len();
        self.seen.push_back(request);
        while self.seen.len() > limits::SEEN_REQUESTS_MAX || self.body_bytes > limits::SEEN_BYTES_MAX {
            let Some(oldest) = self.seen.pop_front() else { break };
            self.body_bytes -= oldest.body.len();
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<SeenRequest> {
        self.seen.iter().cloned().collect()
    }
}
