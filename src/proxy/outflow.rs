//! An answer on its way out: what is written and not sent yet, and how the provider's bytes become the client's.

mod coded;
mod guarded;

use super::call::Call;
use super::client::Client;
use super::credit::Standings;
use super::entry::Entry;
use super::exchange::Then;
use super::fault::Fault;
use super::judge::Judges;
use super::passage::{Passage, WHOLE_BYTES_MAX, passage, translate_whole};
use super::policy;
use super::reply::{LIMIT_HEADERS, connection, limit_headers};
use crate::base::Span;
use crate::config::Timeouts;
use crate::llm::guard::{Guard, Phase};
use crate::llm::{Cutter, Format, Work};
use crate::runtime::{Gather, PIECES_MAX};
use crate::wire::http1::{BodyFault, BodyReader, Framing, Known, Progress, ResponseHead, Version, write};
use coded::Decoding;
use guarded::{Sieve, sift};
use std::sync::Arc;

/// Bytes of a stream that may be cut that are taken at once: a few events.
const CUT_PART: usize = 1 << 10;

/// How the end of the body is told to the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    /// There is no body.
    None,
    /// By the length in the head.
    Length,
    Chunks,
    /// By closing: the client speaks HTTP/1.0.
    Close,
}

/// The answer on its way out: what is written and not sent yet.
pub(super) struct Outflow {
    gather: Gather,
    passage: Passage,
    /// What reads a body that its provider compressed.
    decoding: Option<Box<Decoding>>,
    delimiter: Delimiter,
    keep_alive: bool,
    /// Bytes of the head have left.
    pub(super) begun: bool,
    /// Where the head, or what else was written for the next send, ends in `gather.ours`.
    head_len: usize,
    /// Payload in the provider's bytes, to go as it is.
    spans: Vec<Span>,
    /// Watches what passes of a stream that may be cut.
    cutter: Option<Box<Cutter>>,
    /// Guards the stream, in the client's format.
    sieve: Option<Box<Sieve>>,
    /// Guards the answer when it is whole.
    guard: Option<Arc<Guard>>,
    /// Who is asked about what is said.
    judges: Option<Box<Judges>>,
    /// Nothing covers more of the stream: it ends where its next event would begin.
    is_exhausted: bool,
    first_byte_noted: bool,
    /// The status and the head are written when the body is known: see `Passage::Whole`.
    standings: Standings,
    /// When the head was written.
    unix_ms: i64,
}

pub(super) struct Taken {
    pub(super) consumed: usize,
    pub(super) done: bool,
}

impl From<Progress> for Taken {
    fn from(progress: Progress) -> Taken {
        Taken { consumed: progress.consumed, done: progress.done }
    }
}

impl Outflow {
    pub(super) fn new(
        client: &mut Client,
        call: &Call<'_>,
        head: &ResponseHead,
        streamed: bool,
        keep_alive: bool,
        entry: &Entry,
    ) -> Outflow {
        let guards = policy::guards_of(call, head.status, streamed);
        let passage = match (passage(call, head, streamed, entry), guards) {
            (Passage::AsIs, Some(_)) if streamed => Passage::Decoded,
            (Passage::AsIs, Some(_)) => Passage::Whole(Vec::new()),
            (passage, _) => passage,
        };
        let may_be_rejected = streamed && guards.is_some_and(|guards| guards.reject_answers());
        let may_be_cut = streamed && entry.may_be_cut() && call.client.work() == Work::Generates;
        let cutter = (may_be_cut || may_be_rejected).then(|| Box::new(Cutter::new(call.client)));
        let asked = guards.filter(|guards| !guards.response_services.is_empty());
        let judges = |services| Box::new(Judges::new(Phase::Response, services, call.rule, entry));
        // What may end early has no length.
        let unchanged = matches!(passage, Passage::AsIs) && cutter.is_none();
        let delimiter = match head.framing {
            Framing::None => Delimiter::None,
            Framing::Length(_) if unchanged => Delimiter::Length,
            _ => Delimiter::Chunks,
        };
        Outflow {
            gather: client.spare(),
            passage,
            decoding: None,
            delimiter,
            keep_alive,
            begun: false,
            head_len: 0,
            spans: client.spare_spans(),
            cutter,
            sieve: guards.filter(|_| streamed).map(|guards| Sieve::new(call, guards)),
            guard: guards.filter(|_| !streamed).map(|guards| guards.response.clone()),
            judges: asked.map(|guards| judges(guards.response_services.clone())),
            is_exhausted: false,
            first_byte_noted: false,
            standings: Standings::new(),
            unix_ms: 0,
        }
    }

    /// Writes the head, unless the answer must be known whole first.
    pub(super) fn begin(&mut self, entry: &Entry, call: &Call<'_>, head: &ResponseHead, bytes: &[u8]) {
        self.standings = entry.standings();
        self.unix_ms = entry.worker.moment().unix_ms;
        if let Some(judges) = &mut self.judges {
            judges.read_lines(&head.headers, bytes, entry);
        }
        if call.http10 && self.delimiter == Delimiter::Chunks {
            (self.delimiter, self.keep_alive) = (Delimiter::Close, false);
        }
        let content_length =
            (self.delimiter == Delimiter::Length).then(|| head.content_length(bytes)).flatten();
        self.write_head(entry, call, head, bytes);
        match self.delimiter {
            Delimiter::Chunks if !matches!(self.passage, Passage::Whole(_)) => {
                self.gather.ours.extend_from_slice(write::TRANSFER_ENCODING_CHUNKED);
            }
            Delimiter::Length => {
                write::header(&mut self.gather.ours, b"content-length", content_length.unwrap_or(b"0"));
            }
            _ => {}
        }
        if !matches!(self.passage, Passage::Whole(_)) {
            write::end(&mut self.gather.ours);
        }
        self.head_len = self.gather.ours.len();
    }

    fn write_head(&mut self, entry: &Entry, call: &Call<'_>, head: &ResponseHead, bytes: &[u8]) {
        let Outflow { gather, standings, passage, keep_alive, unix_ms, .. } = self;
        let out = &mut gather.ours;
        write::status_line(out, head.status);
        let (rule, share) = (&call.rule.filters.response_headers, &call.edits.response_headers);
        let translated = matches!(passage, Passage::Whole(_));
        // The streams of all clients are events as browsers know them.
        let unframed = matches!(passage, Passage::Stream(_)) && call.upstream == Format::BedrockConverse;
        let unchanged = matches!(passage, Passage::AsIs);
        write::copy_end_to_end(out, bytes, &head.headers, |header, name| {
            let ours = !standings.is_empty() && is_limit_header(name);
            let retyped = (translated || unframed) && header.known == Known::ContentType;
            let decoded = !unchanged && header.known == Known::ContentEncoding;
            ours || retyped || decoded || !rule.keeps(name) || !share.keeps(name) || entry.replaces(name)
        });
        if translated {
            write::header(out, b"content-type", b"application/json");
        }
        if unframed {
            write::header(out, b"content-type", b"text/event-stream");
        }
        for (name, value) in rule.written().chain(share.written()) {
            write::header(out, name.as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(&entry.cors);
        limit_headers(out, standings, Some(call.client), *unix_ms);
        connection(out, *keep_alive, if call.http10 { Version::Http10 } else { Version::Http11 });
    }

    /// Bytes that are kept of the answer, besides what leaves with the next send.
    pub(super) fn held_bytes(&self) -> usize {
        let decoding = self.decoding.as_ref().map_or(0, |decoding| decoding.held_bytes());
        let sieve = self.sieve.as_ref().map_or(0, |sieve| sieve.held_bytes());
        self.passage.held_bytes() + decoding + sieve
    }

    /// How far of `bytes` is taken at once, from `at` on. A stream that may be cut is taken in small parts, so that
    /// little more passes than what is covered, however much comes with one read.
    pub(super) fn part(&self, at: usize, bytes: &[u8]) -> usize {
        match self.cutter {
            Some(_) => bytes.len().min(at + CUT_PART),
            None => bytes.len(),
        }
    }

    /// Takes what has arrived of the body: meters it and readies it for the client.
    pub(super) fn take(
        &mut self,
        body: &mut BodyReader,
        bytes: &[u8],
        at: usize,
        entry: &mut Entry,
    ) -> Result<Taken, Fault> {
        // What an earlier part of the same bytes left to be sent is seen already.
        let first = self.spans.len();
        let read = body.read(&bytes[at..], |span| self.spans.push(span.shifted(at)));
        if self.decoding.is_some() {
            return self.take_coded(read, bytes, first, entry);
        }
        let Outflow { gather, passage, spans, cutter, sieve, is_exhausted, .. } = self;
        // Of a stream that ends at its next event, what comes after that is neither passed nor charged.
        if let (Passage::AsIs, Some(cutter)) = (&passage, &mut *cutter) {
            watch(cutter, spans, first, bytes, *is_exhausted);
        }
        for span in &spans[first..] {
            let data = span.of(bytes);
            if let Some(meter) = &mut entry.meter {
                meter.feed(data);
            }
            pass(passage, cutter, sieve, data, &mut gather.ours)?;
        }
        if !matches!(passage, Passage::AsIs) {
            spans.clear();
        }
        progress(read).map(Taken::from)
    }

    /// The provider's answer is complete: writes what only its end brings. Services are not asked: see
    /// [`finish_judged`](Outflow::finish_judged).
    pub(super) fn finish(&mut self, entry: &mut Entry, call: &Call<'_>, status: u16) -> Result<(), Fault> {
        if let Some((status, answer)) = self.whole(entry, call, status)? {
            self.write_whole(entry, status, &answer);
            return Ok(());
        }
        self.finish_stream(entry)?;
        if self.is_rejected() {
            self.end_rejected(entry, call);
        }
        Ok(())
    }

    /// The answer that was collected, in the client's format and guarded by patterns, and its status; `None` of one that was not
    /// collected.
    fn whole(
        &mut self,
        entry: &Entry,
        call: &Call<'_>,
        status: u16,
    ) -> Result<Option<(u16, Vec<u8>)>, Fault> {
        let Passage::Whole(whole) = &mut self.passage else { return Ok(None) };
        let mut translated = Vec::new();
        let status = translate_whole(call, status, whole, entry, &mut translated)?;
        if let Some(guard) = &self.guard
            && let Some(masked) = policy::guarded(guard, call.client, &translated, entry)?
        {
            translated = masked;
        }
        Ok(Some((status, translated)))
    }

    fn write_whole(&mut self, entry: &mut Entry, status: u16, answer: &[u8]) {
        let ours = &mut self.gather.ours;
        if status != entry.record.status {
            replace_status(ours, status);
            entry.record.status = status;
        }
        write::content_length(ours, answer.len() as u64);
        write::end(ours);
        ours.extend_from_slice(answer);
        self.delimiter = Delimiter::Length;
    }

    /// Writes what only the end of a stream brings.
    fn finish_stream(&mut self, entry: &Entry) -> Result<(), Fault> {
        let ours = &mut self.gather.ours;
        let before = ours.len();
        match &mut self.passage {
            Passage::Strip(stripper) => stripper.finish(ours),
            Passage::Stream(translation) => translation.translator.finish(ours),
            Passage::AsIs | Passage::Decoded | Passage::Whole(_) => {}
        }
        self.sift_last(before)?;
        self.note_patterns(entry);
        Ok(())
    }

    /// Sees to it that what has passed of a stream is covered. Says no when nothing covers more and the end of the
    /// stream has been written, as its format says that a stream ends which reached its length.
    pub(super) fn keep_up(&mut self, bytes: &[u8], entry: &mut Entry, call: &Call<'_>) -> bool {
        if !self.is_exhausted && entry.keep_up() {
            return true;
        }
        self.is_exhausted = true;
        let (usage, _) = entry.usage_of_answer();
        let include_usage = call.ask.include_usage == Some(true);
        let ours = &mut self.gather.ours;
        let before = ours.len();
        match (&mut self.passage, &self.cutter) {
            // Only whole events have passed; what nobody has judged does not any more.
            (_, Some(cutter)) if self.judges.is_some() => {
                cutter.finish(&usage, include_usage, ours);
                return false;
            }
            (Passage::Stream(translation), _) => {
                translation.translator.cut(Some(usage), ours);
                // The events of the end are short, and what was rejected has an end of its own.
                let _ = self.sift_last(before);
            }
            (_, Some(cutter)) if cutter.at_boundary() => {
                // What is ours goes out before what is theirs, and this must come after it.
                for span in self.spans.drain(..) {
                    ours.extend_from_slice(span.of(bytes));
                }
                let before = ours.len();
                let _ = self.sift_last(before);
                if let Some(cutter) = self.cutter.as_ref().filter(|_| !self.is_rejected()) {
                    cutter.finish(&usage, include_usage, &mut self.gather.ours);
                }
            }
            _ => return true, // in the middle of an event
        }
        if self.is_rejected() {
            self.end_rejected(entry, call);
        }
        false
    }

    /// Whether the client was given less of a stream than has come, because nothing covers more.
    pub(super) fn is_cut_short(&self) -> bool {
        let is_between = |cutter: &Cutter| cutter.at_boundary() && !cutter.is_over();
        self.is_exhausted && self.cutter.as_deref().is_some_and(is_between)
    }

    /// Ends a translated stream that broke off with the error of its format; whether it is one.
    pub(super) fn say_broken_off(&mut self) -> bool {
        match &mut self.passage {
            Passage::Stream(translation) => {
                let before = self.gather.ours.len();
                translation.translator.finish(&mut self.gather.ours);
                // What follows is an end, which is short.
                let _ = self.sift_last(before);
                self.drop_unjudged();
                true
            }
            _ => false,
        }
    }

    /// Sends what is ready, if anything is, and gives the provider's buffer back, empty.
    pub(super) async fn pass_on(
        &mut self,
        client: &mut Client,
        entry: &mut Entry,
        bytes: Vec<u8>,
        timeouts: &Timeouts,
    ) -> Result<Vec<u8>, Fault> {
        let held_back = matches!(self.passage, Passage::Whole(_));
        let payload = self.gather.ours.len() > self.head_len || !self.spans.is_empty();
        if held_back || (self.begun && !payload) {
            let mut bytes = bytes;
            bytes.clear();
            return Ok(bytes);
        }
        self.send(client, entry, bytes, false, timeouts).await
    }

    /// Sends the last of it. Says what becomes of the connection.
    pub(super) async fn flush(
        &mut self,
        client: &mut Client,
        entry: &mut Entry,
        bytes: Vec<u8>,
        last: bool,
        timeouts: &Timeouts,
    ) -> Result<Then, Fault> {
        let mut bytes = self.send(client, entry, bytes, last, timeouts).await?;
        bytes.clear();
        let mut gather = std::mem::take(&mut self.gather);
        gather.theirs = bytes;
        client.recycle(gather);
        client.keep_spans(std::mem::take(&mut self.spans));
        Ok(if self.keep_alive { Then::Next } else { Then::Linger })
    }

    /// One gathered write: the head if it has not left, then the payload with its chunk framing.
    async fn send(
        &mut self,
        client: &mut Client,
        entry: &mut Entry,
        mut bytes: Vec<u8>,
        last: bool,
        timeouts: &Timeouts,
    ) -> Result<Vec<u8>, Fault> {
        if self.spans.len() + 4 > PIECES_MAX {
            // A provider that sends many tiny chunks at once: one copy instead of many pieces.
            for span in self.spans.drain(..) {
                self.gather.ours.extend_from_slice(span.of(&bytes));
            }
        }
        let written = Span::new(self.head_len, self.gather.ours.len());
        let payload = written.len() + self.spans.iter().map(|span| span.len()).sum::<usize>();
        let chunked = self.delimiter == Delimiter::Chunks;
        let ours = &mut self.gather.ours;
        let framing = ours.len();
        if chunked && payload > 0 {
            write::chunk_head(ours, payload);
        }
        let chunk_head = Span::new(framing, ours.len());
        let tail = ours.len();
        match (chunked, payload > 0, last) {
            (true, true, true) => ours.extend_from_slice(write::CHUNK_END_AND_LAST_CHUNK),
            (true, true, false) => ours.extend_from_slice(write::CHUNK_END),
            (true, false, true) => ours.extend_from_slice(write::LAST_CHUNK),
            _ => {}
        }
        let tail = Span::new(tail, ours.len());
        self.gather.theirs = std::mem::take(&mut bytes);
        let mut fits =
            self.gather.push_ours(Span::new(0, self.head_len)) && self.gather.push_ours(chunk_head);
        fits &= self.gather.push_ours(written);
        for span in self.spans.drain(..) {
            fits &= self.gather.push_theirs(span);
        }
        fits &= self.gather.push_ours(tail);
        debug_assert!(fits, "spans were counted above");
        entry.record.bytes_out += self.gather.len() as u64;
        if payload > 0 && !std::mem::replace(&mut self.first_byte_noted, true) {
            entry.first_byte();
        }
        self.begun = true;
        self.head_len = 0;
        let gather = std::mem::take(&mut self.gather);
        if gather.is_empty() {
            self.gather = gather;
            return Ok(std::mem::take(&mut self.gather.theirs));
        }
        self.gather = client.send(gather, timeouts.stream_idle).await?;
        Ok(std::mem::take(&mut self.gather.theirs))
    }
}

/// Readies a piece of payload for the client, unless it goes as it is.
fn pass(
    passage: &mut Passage,
    cutter: &mut Option<Box<Cutter>>,
    sieve: &mut Option<Box<Sieve>>,
    data: &[u8],
    ours: &mut Vec<u8>,
) -> Result<(), Fault> {
    let before = ours.len();
    match passage {
        Passage::AsIs => {}
        Passage::Decoded => ours.extend_from_slice(data),
        Passage::Strip(stripper) => stripper.feed(data, ours),
        Passage::Stream(translation) => translation.feed(data, ours),
        Passage::Whole(whole) if whole.len() + data.len() > WHOLE_BYTES_MAX => {
            return Err(Fault::ProviderMalformed("it is too large to be read whole"));
        }
        Passage::Whole(whole) => whole.extend_from_slice(data),
    }
    if let Some(sieve) = sieve {
        return sift(sieve, cutter, ours, before, false);
    }
    if let (Passage::Decoded | Passage::Strip(_), Some(cutter)) = (passage, cutter) {
        cutter.feed(&ours[before..]);
    }
    Ok(())
}

/// How far the body of a provider's answer was read.
fn progress(read: Result<Progress, BodyFault>) -> Result<Progress, Fault> {
    read.map_err(|fault| match fault {
        BodyFault::Truncated => Fault::Cut,
        fault => Fault::ProviderMalformed(fault.reason()),
    })
}

/// Rewrites the status line that `ours` begins with.
fn replace_status(ours: &mut Vec<u8>, status: u16) {
    let rest = ours.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut line = Vec::new();
    write::status_line(&mut line, status);
    ours.splice(..rest, line);
}

fn is_limit_header(name: &[u8]) -> bool {
    LIMIT_HEADERS.iter().any(|prefix| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

/// Shows `cutter` the payload that stands in `spans` of `bytes`, from the `first` on. With `is_last`, only as much of it as brings the
/// stream between two events, and the rest is left out.
fn watch(cutter: &mut Cutter, spans: &mut Vec<Span>, first: usize, bytes: &[u8], is_last: bool) {
    for place in first..spans.len() {
        let span = spans[place];
        let end = cutter.boundary_in(span.of(bytes)).filter(|_| is_last);
        let shown =
            Span::new(span.start as usize, end.map_or(span.end as usize, |end| span.start as usize + end));
        cutter.feed(shown.of(bytes));
        if end.is_some() {
            spans[place] = shown;
            return spans.truncate(place + 1);
        }
    }
}
