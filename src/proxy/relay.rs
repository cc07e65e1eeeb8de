//! The way back: the provider's answer, metered as it passes, in the client's format.

use super::call::{Answered, Call, deadline};
use super::client::Client;
use super::credit::Standings;
use super::entry::{Entry, Reached};
use super::exchange::Then;
use super::fault::Fault;
use super::reply::{LIMIT_HEADERS, connection, limit_headers};
use super::upstream::Upstream;
use super::worker::Worker;
use crate::base::Span;
use crate::config::Timeouts;
use crate::llm::translate::{self, ReplyTerms, StreamTerms, StreamTranslator};
use crate::llm::{Meter, UsageStripper};
use crate::runtime::{Gather, PIECES_MAX};
use crate::telemetry::Outcome;
use crate::wire::http1::{BodyFault, BodyReader, Framing, Known, ResponseHead, Version, write};
use crate::wire::sse;
use std::io;

/// How the bytes of an answer become the client's.
enum Passage {
    /// They are the client's already.
    AsIs,
    /// The usage that only we asked for is taken out.
    Strip(Box<UsageStripper>),
    /// Event by event into another format.
    Stream(Box<Translation>),
    /// Collected to the end, then translated: an answer that arrives whole, or an error.
    Whole(Vec<u8>),
}

struct Translation {
    reader: sse::Reader,
    translator: StreamTranslator,
    /// The translator decodes in place; the event's data is copied here for it.
    data: Vec<u8>,
    /// The stream cannot be read further; what comes is dropped.
    broken: bool,
}

/// The most bytes of one event of a stream.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// The most bytes of an answer that is collected to be translated.
const WHOLE_BYTES_MAX: usize = 32 << 20;

/// Sends the answer on until its end, with backpressure: the next bytes are taken from the provider when the
/// client has taken the last.
///
/// # Errors
/// Before anything went to the client, faults that can still be answered; after that [`Fault::Cut`] and its
/// kin, which close the connection.
pub(super) async fn answer(
    worker: &Worker,
    client: &mut Client,
    entry: &mut Entry,
    call: &Call<'_>,
    answered: Answered,
    timeouts: &Timeouts,
) -> Result<Then, Fault> {
    let Answered { upstream, head, mut bytes, sent } = answered;
    let streamed = is_event_stream(&head, &bytes);
    entry.record.status = head.status;
    entry.record.streamed = streamed;
    match head.status {
        200..300 => entry.meter = Some(Meter::new(call.provider.format(), streamed)),
        _ => entry.reached = Reached::Refusal,
    }
    let mut body =
        BodyReader::new(head.framing, u64::MAX).map_err(|f| Fault::ProviderMalformed(f.reason()))?;
    let passage = passage(call, &head, streamed, entry);
    let mut out = Outflow::new(client.spare(), passage, &head, call.keep_alive && !worker.is_draining());
    out.begin(entry, call, &head, &bytes);
    let mut at = head.len;
    let from_provider = &worker.desk.counters.upstream_bytes_in;
    from_provider.add(bytes.len() as u64);
    let last = deadline(entry, call, worker.ring.now());
    loop {
        let progress = match out.take(&mut body, &bytes, at, entry) {
            Ok(progress) => progress,
            Err(fault) => return broken_off(worker, out, client, entry, fault, timeouts).await,
        };
        at += progress.consumed;
        if progress.done && head.framing == Framing::UntilClose && breaks_off(streamed, entry) {
            return broken_off(worker, out, client, entry, Fault::Cut, timeouts).await;
        }
        if progress.done {
            let rest = bytes.len() - at;
            let reusable =
                sent.is_some() && head.keep_alive && rest == 0 && head.framing != Framing::UntilClose;
            if let Err(fault) = out.finish(entry, call, &head) {
                return broken_off(worker, out, client, entry, fault, timeouts).await;
            }
            let then = out.flush(client, entry, bytes, true, timeouts).await?;
            entry.ended(if streamed || head.status < 400 {
                Outcome::Completed
            } else {
                Outcome::UpstreamFailed
            });
            if reusable {
                upstream.give_back(worker);
            }
            if let Some(request) = sent {
                client.keep_request(request);
            }
            return Ok(then);
        }
        bytes = out.pass_on(client, entry, bytes, timeouts).await?;
        at = 0;
        let now = worker.ring.now();
        upstream.socket().set_deadline(last.min(now + timeouts.stream_idle));
        // A provider that never pauses is never waited for, so the clock is looked at here too.
        let more = match now < last {
            true => next_bytes(&upstream, client, &mut body, &mut bytes).await,
            false => Err(Fault::CutSlow),
        };
        if let Err(fault) = more {
            return broken_off(worker, out, client, entry, fault, timeouts).await;
        }
        from_provider.add(bytes.len() as u64);
    }
}

/// Waits for more of the answer. Its end is no fault for an answer that is delimited by it.
async fn next_bytes(
    upstream: &Upstream,
    client: &Client,
    body: &mut BodyReader,
    bytes: &mut Vec<u8>,
) -> Result<(), Fault> {
    match upstream.fill_for(&client.socket, bytes).await? {
        Ok(0) => body.end_of_stream().map_err(|_| Fault::Cut),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Fault::CutSlow),
        Err(_) => Err(Fault::Cut),
    }
}

/// Whether a stream that ended with its connection lacks the end that its format has: nothing else tells a
/// cut from an end there.
fn breaks_off(streamed: bool, entry: &Entry) -> bool {
    streamed && entry.meter.as_ref().is_some_and(|meter| !meter.complete() && !meter.failed())
}

/// The answer broke off. A client that has seen nothing gets an error; one in the middle of a translated
/// stream gets the error event of its format; else closing is all that can be said.
async fn broken_off(
    worker: &Worker,
    mut out: Outflow,
    client: &mut Client,
    entry: &mut Entry,
    fault: Fault,
    timeouts: &Timeouts,
) -> Result<Then, Fault> {
    if matches!(fault, Fault::ClientGone) {
        return Err(fault);
    }
    worker.desk.counters.upstream_failures.add(1);
    if !out.begun {
        return Err(match fault {
            Fault::CutSlow => Fault::ProviderSlow,
            Fault::Cut => Fault::ProviderMalformed("it broke off"),
            other => other,
        });
    }
    // Nothing may be answered in the middle of an answer, whatever was wrong with it.
    let fault = if fault.status().is_some() { Fault::Cut } else { fault };
    if let Passage::Stream(translation) = &mut out.passage {
        entry.ended(fault.outcome());
        translation.translator.finish(&mut out.gather.ours);
        out.flush(client, entry, Vec::new(), true, timeouts).await?;
        return Ok(Then::Close);
    }
    Err(fault)
}

fn passage(call: &Call<'_>, head: &ResponseHead, streamed: bool, entry: &Entry) -> Passage {
    if !call.translates() {
        return match streamed && call.injects_usage() && head.status < 300 {
            true => Passage::Strip(Box::default()),
            false => Passage::AsIs,
        };
    }
    if !streamed || head.status >= 300 {
        return Passage::Whole(Vec::new());
    }
    let terms = StreamTerms {
        created_unix: entry.record.time_unix_ms / 1000,
        asked_model: call.asked_model.to_string(),
        include_usage: call.ask.include_usage == Some(true),
    };
    Passage::Stream(Box::new(Translation {
        reader: sse::Reader::new(EVENT_BYTES_MAX),
        translator: StreamTranslator::new(call.provider.format(), call.client, terms),
        data: Vec::new(),
        broken: false,
    }))
}

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
struct Outflow {
    gather: Gather,
    passage: Passage,
    delimiter: Delimiter,
    keep_alive: bool,
    /// Bytes of the head have left.
    begun: bool,
    /// Where the head, or what else was written for the next send, ends in `gather.ours`.
    head_len: usize,
    /// Payload in the provider's bytes, to go as it is.
    spans: Vec<Span>,
    first_byte_noted: bool,
    /// The status and the head are written when the body is known: see `Passage::Whole`.
    standings: Standings,
    /// When the head was written.
    unix_ms: i64,
}

struct Taken {
    consumed: usize,
    done: bool,
}

impl Outflow {
    fn new(gather: Gather, passage: Passage, head: &ResponseHead, keep_alive: bool) -> Outflow {
        let unchanged = matches!(passage, Passage::AsIs);
        let delimiter = match head.framing {
            Framing::None => Delimiter::None,
            Framing::Length(_) if unchanged => Delimiter::Length,
            _ => Delimiter::Chunks,
        };
        Outflow {
            gather,
            passage,
            delimiter,
            keep_alive,
            begun: false,
            head_len: 0,
            spans: Vec::new(),
            first_byte_noted: false,
            standings: Standings::new(),
            unix_ms: 0,
        }
    }

    /// Writes the head, unless the answer must be known whole first.
    fn begin(&mut self, entry: &Entry, call: &Call<'_>, head: &ResponseHead, bytes: &[u8]) {
        self.standings = entry.standings();
        self.unix_ms = entry.worker.moment().unix_ms;
        if call.http10 && self.delimiter == Delimiter::Chunks {
            (self.delimiter, self.keep_alive) = (Delimiter::Close, false);
        }
        let content_length =
            (self.delimiter == Delimiter::Length).then(|| head.content_length(bytes)).flatten();
        self.write_head(call, head, bytes, head.status);
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

    fn write_head(&mut self, call: &Call<'_>, head: &ResponseHead, bytes: &[u8], status: u16) {
        let Outflow { gather, standings, passage, keep_alive, unix_ms, .. } = self;
        let out = &mut gather.ours;
        write::status_line(out, status);
        let (rule, share) = (&call.rule.filters.response_headers, &call.edits.response_headers);
        let translated = matches!(passage, Passage::Whole(_));
        write::copy_end_to_end(out, bytes, &head.headers, |header, name| {
            let ours = !standings.is_empty() && is_limit_header(name);
            let retyped = translated && matches!(header.known, Known::ContentType | Known::ContentEncoding);
            ours || retyped || !rule.keeps(name) || !share.keeps(name)
        });
        if translated {
            write::header(out, b"content-type", b"application/json");
        }
        for (name, value) in rule.written().chain(share.written()) {
            write::header(out, name.as_bytes(), value.as_bytes());
        }
        limit_headers(out, standings, Some(call.client), *unix_ms);
        connection(out, *keep_alive, if call.http10 { Version::Http10 } else { Version::Http11 });
    }

    /// Takes what has arrived of the body: meters it and readies it for the client.
    fn take(
        &mut self,
        body: &mut BodyReader,
        bytes: &[u8],
        at: usize,
        entry: &mut Entry,
    ) -> Result<Taken, Fault> {
        let Outflow { gather, passage, spans, .. } = self;
        let read = body.read(&bytes[at..], |span| spans.push(span.shifted(at)));
        for span in spans.iter() {
            let data = span.of(bytes);
            if let Some(meter) = &mut entry.meter {
                meter.feed(data);
            }
            match passage {
                Passage::AsIs => {}
                Passage::Strip(stripper) => stripper.feed(data, &mut gather.ours),
                Passage::Stream(translation) => translation.feed(data, &mut gather.ours),
                Passage::Whole(whole) if whole.len() + data.len() > WHOLE_BYTES_MAX => {
                    return Err(Fault::ProviderMalformed("it is too large to translate"));
                }
                Passage::Whole(whole) => whole.extend_from_slice(data),
            }
        }
        if !matches!(passage, Passage::AsIs) {
            spans.clear();
        }
        match read {
            Ok(progress) => Ok(Taken { consumed: progress.consumed, done: progress.done }),
            Err(BodyFault::Truncated) => Err(Fault::Cut),
            Err(fault) => Err(Fault::ProviderMalformed(fault.reason())),
        }
    }

    /// The provider's answer is complete: writes what only its end brings.
    fn finish(&mut self, entry: &mut Entry, call: &Call<'_>, head: &ResponseHead) -> Result<(), Fault> {
        let ours = &mut self.gather.ours;
        match &mut self.passage {
            Passage::AsIs => {}
            Passage::Strip(stripper) => stripper.finish(ours),
            Passage::Stream(translation) => translation.translator.finish(ours),
            Passage::Whole(whole) => {
                let mut translated = Vec::new();
                let status = translate_whole(call, head.status, whole, entry, &mut translated)?;
                if status != head.status {
                    replace_status(ours, status);
                    entry.record.status = status;
                }
                write::content_length(ours, translated.len() as u64);
                write::end(ours);
                ours.extend_from_slice(&translated);
                self.delimiter = Delimiter::Length;
            }
        }
        Ok(())
    }

    /// Sends what is ready, if anything is, and gives the provider's buffer back, empty.
    async fn pass_on(
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
    async fn flush(
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

impl Translation {
    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !self.broken {
            let event = match self.reader.next(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(sse::TooLong) => {
                    self.broken = true;
                    return self.translator.finish(out);
                }
            };
            self.data.clear();
            self.data.extend_from_slice(event.data);
            let name = std::str::from_utf8(event.name).unwrap_or_default();
            if self.translator.event(name, &mut self.data, out).is_err() {
                self.broken = true;
                self.translator.finish(out);
            }
        }
    }
}

/// Translates an answer that has come whole; the status to send.
fn translate_whole(
    call: &Call<'_>,
    status: u16,
    whole: &mut [u8],
    entry: &Entry,
    out: &mut Vec<u8>,
) -> Result<u16, Fault> {
    let provider = call.provider.format();
    if status >= 300 {
        return Ok(translate::error(provider, call.client, status, whole, out));
    }
    let terms = ReplyTerms {
        created_unix: entry.record.time_unix_ms / 1000,
        asked_model: Some(call.asked_model.as_str()),
    };
    translate::reply(provider, call.client, whole, &terms, out)
        .map_err(|_| Fault::ProviderMalformed("its body is not what its format promises"))?;
    Ok(status)
}

/// Rewrites the status line that `ours` begins with.
fn replace_status(ours: &mut Vec<u8>, status: u16) {
    let rest = ours.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut line = Vec::new();
    write::status_line(&mut line, status);
    ours.splice(..rest, line);
}

fn is_event_stream(head: &ResponseHead, bytes: &[u8]) -> bool {
    let media = head.headers.first(Known::ContentType).map(|span| span.of(bytes)).unwrap_or_default();
    let name = b"text/event-stream";
    media.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn is_limit_header(name: &[u8]) -> bool {
    LIMIT_HEADERS.iter().any(|prefix| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}
