//! Plain hosts: bytes pass both ways as they are, streamed, with backpressure; nothing is inspected.

use super::attempts;
use super::call::{Heads, is_theirs};
use super::client::{Client, Message, arrival, whole_deadline};
use super::entry::{Entry, Reached};
use super::exchange::Then;
use super::fault::Fault;
use super::mirror::Copies;
use super::reply::{connection, limit_headers};
use super::serving::Serving;
use super::upstream::Upstream;
use super::worker::Worker;
use crate::access::Identity;
use crate::base::{Span, Tick};
use crate::config::{Backend, Retry, Rule, Timeouts};
use crate::route::filters::{Filters, rewritten_target};
use crate::runtime::{Gather, PIECES_MAX, Ring, sleep};
use crate::telemetry::Outcome;
use crate::wire::http1::{BodyReader, Framing, Known, Method, RequestHead, ResponseHead, Version, write};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

/// Where a request goes.
pub(super) struct To<'a> {
    pub(super) rule: &'a Rule,
    pub(super) backend: &'a Backend,
    /// The filters of the backend's share.
    pub(super) edits: &'a Filters,
    /// Path and query after the rewrite.
    pub(super) target: &'a [u8],
    /// Who asks, as far as that was validated: what it showed for that is not the host's to see.
    pub(super) identity: &'a Identity<'a>,
}

/// How we are called in `Via`.
const PSEUDONYM: &[u8] = b"tollgate";

/// Serves a request whose backend is a plain host.
pub(super) async fn serve(
    worker: &Worker,
    serving: &Serving,
    client: &mut Client,
    head: &RequestHead,
    message: &mut Message,
    entry: &mut Entry,
    to: To<'_>,
) -> Result<Then, Fault> {
    let settings = &serving.in_force.snapshot.settings;
    let body = BodyReader::new(head.framing, settings.requests.body_bytes).map_err(Fault::Body)?;
    let body = body.held_to(settings.requests.chunks);
    let pool = serving.pools.get(to.backend.target as usize).ok_or(Fault::NoBackend)?;
    let filters = (to.rule, to.edits);
    let copies = Copies::of(serving, filters, client, (head, &message.bytes), to.identity, false, entry);
    let (framing, at, spans) = (head.framing, head.len, client.spare_spans());
    let mut upload = Upload { body, framing, at, spans, copies };
    let last = whole_deadline(entry.started, to.rule.timeouts.request);
    let (mut reuse, mut again) = (true, 0);
    loop {
        entry.record.attempts += 1;
        let one = whole_deadline(worker.ring.now(), to.rule.timeouts.backend_request);
        let times = Times { ring: &worker.ring, whole: last.min(one), timeouts: &settings.timeouts };
        let mut was_idle = false;
        let tried = match Upstream::checkout(worker, pool, reuse).await {
            Ok(upstream) => {
                was_idle = upstream.is_reused();
                let mut request = client.spare_request();
                request_head(&to, client, head, &message.bytes, &mut request.ours);
                let began = upload.run(&upstream, client, head, message, request, entry, &times).await;
                began.map(|began| (upstream, began)).inspect_err(|fault| {
                    let theirs = matches!(fault.outcome(), Outcome::UpstreamFailed)
                        || matches!(fault, Fault::ProviderSlow);
                    worker.desk.counters.upstream_failures.add(u64::from(theirs));
                })
            }
            Err(fault) => Err(fault),
        };
        let pause = match may_repeat(&tried, to.rule.retry.as_ref(), head, was_idle) {
            Repeat::Never => None,
            Repeat::AtOnce => Some(Duration::ZERO),
            Repeat::ByRule(retry) => {
                again += 1;
                Some(attempts::pause(worker, retry.backoff, again - 1)).filter(|_| again <= retry.attempts)
            }
        };
        match (pause.filter(|pause| worker.ring.now() + *pause < last), tried) {
            (None, Ok((upstream, began))) => {
                client.keep_spans(std::mem::take(&mut upload.spans));
                let passing = Passing { to: &to, head, keep: message.complete, times: &times };
                return passing.answer(worker, client, entry, upstream, began).await;
            }
            (None, Err(fault)) => return Err(fault),
            (Some(pause), tried) => {
                drop(tried); // what came of it, and its connection
                worker.desk.counters.retries.add(1);
                reuse = !was_idle;
                if !pause.is_zero() {
                    sleep(&worker.ring, pause).await;
                }
            }
        }
    }
}

/// Whether a request may be sent once more.
enum Repeat<'a> {
    Never,
    /// On another connection: the idle one that was taken had ended.
    AtOnce,
    /// After a pause, as often as the rule says.
    ByRule(&'a Retry),
}

/// A body that left is gone, so that only a request without one can be sent again once anything of it has left; and who
/// may have worked on it is asked again only for what is idempotent, or said itself by a status that it did not.
fn may_repeat<'a>(
    tried: &Result<(Upstream, Began), Fault>,
    retry: Option<&'a Retry>,
    head: &RequestHead,
    was_idle: bool,
) -> Repeat<'a> {
    let is_here = head.framing == Framing::None;
    let is_harmless = is_here && head.method.is_idempotent();
    let asks_for_it = match tried {
        Ok((_, began)) => is_here && retry.is_some_and(|retry| retry.codes.contains(&began.head.status)),
        Err(Fault::Broken) if is_harmless && was_idle => return Repeat::AtOnce,
        Err(Fault::Unresolved | Fault::Connect(_)) => true,
        Err(Fault::Broken | Fault::ProviderMalformed(_) | Fault::ProviderSlow) => is_harmless,
        Err(_) => false,
    };
    retry.filter(|_| asks_for_it).map_or(Repeat::Never, Repeat::ByRule)
}

/// How long each wait of an attempt may last; none longer than the whole.
///
/// A body and an answer pass piece by piece, at the speed of the slower side, so their times are those of one
/// piece; only the whole exchange bounds their sum.
struct Times<'a> {
    ring: &'a Ring,
    whole: Tick,
    timeouts: &'a Timeouts,
}

impl Times<'_> {
    fn within(&self, time: Duration) -> Tick {
        self.whole.min(self.ring.now() + time)
    }
}

/// The target after the rewrite of a rule and of a share of it: path and query, in `target`, which is empty.
pub(super) fn rewritten(
    (rule, share): (&Filters, &Filters),
    head: &RequestHead,
    bytes: &[u8],
    mut target: Vec<u8>,
) -> Vec<u8> {
    let (path, query) = (head.path_of(bytes), head.query.map(|query| query.of(bytes)));
    match rule.path(share) {
        Some(rewrite) => rewritten_target(rewrite, path, query, &mut target),
        None => {
            target.extend_from_slice(path);
            if let Some(query) = query {
                target.push(b'?');
                target.extend_from_slice(query);
            }
        }
    }
    target
}

fn request_head(to: &To<'_>, client: &Client, head: &RequestHead, bytes: &[u8], out: &mut Vec<u8>) {
    head_lines(to, client, (head, bytes), false, out);
    match head.framing {
        Framing::Length(length) => write::content_length(out, length),
        Framing::Chunked => out.extend_from_slice(write::TRANSFER_ENCODING_CHUNKED),
        Framing::None | Framing::UntilClose => {}
    }
    write::end(out);
}

/// Writes a head but for its framing and its end. `decoded` says that its body goes without the coding it came in.
pub(super) fn head_lines(
    to: &To<'_>,
    client: &Client,
    (head, bytes): (&RequestHead, &[u8]),
    decoded: bool,
    out: &mut Vec<u8>,
) {
    write::request_line(out, head.method_text.of(bytes), to.target);
    let rewritten = to.rule.filters.hostname(to.edits);
    let host = rewritten.map(str::as_bytes).or(head.host.map(|host| host.of(bytes)));
    write::header(out, b"host", host.unwrap_or(to.backend.host_header.as_bytes()));
    let (rule, share) = (&to.rule.filters.request_headers, &to.edits.request_headers);
    let forwards_left = head.forwards_left(bytes);
    write::copy_end_to_end(out, bytes, &head.headers, |header, name| {
        let ours = matches!(
            header.known,
            Known::Host
                | Known::Expect
                | Known::XForwardedFor
                | Known::XForwardedProto
                | Known::XForwardedHost
        );
        let counted = header.known == Known::MaxForwards && forwards_left.is_some();
        let undone = decoded && header.known == Known::ContentEncoding;
        ours || counted
            || undone
            || to.identity.hides(header, name)
            || !rule.keeps(name)
            || !share.keeps(name)
    });
    for (name, value) in rule.written().chain(share.written()) {
        write::header(out, name.as_bytes(), value.as_bytes());
    }
    if let Some(left) = forwards_left {
        out.extend_from_slice(b"max-forwards: ");
        write::number(out, left.saturating_sub(1));
        out.extend_from_slice(b"\r\n");
    }
    write::forwarded_for(out, bytes, &head.headers, client.peer.ip(), true);
    write::header(out, b"x-forwarded-proto", client.socket.scheme().as_bytes());
    if let Some(host) = head.host {
        write::header(out, b"x-forwarded-host", host.of(bytes));
    }
    write::via(out, head.version, PSEUDONYM);
}

/// The body on its way to the host.
struct Upload {
    body: BodyReader,
    framing: Framing,
    /// Where what is not read yet begins in the message's bytes.
    at: usize,
    spans: Vec<Span>,
    /// What goes to other hosts too, until the body is whole.
    copies: Option<Copies>,
}

struct Began {
    head: ResponseHead,
    bytes: Vec<u8>,
    /// Whether all of the request has left; if not, the connection cannot be used again.
    sent: bool,
}

impl Upload {
    /// Sends head and body until the answer begins, which may be before the body ends.
    #[allow(clippy::too_many_arguments)] // what one attempt needs; a struct would only rename them
    async fn run(
        &mut self,
        upstream: &Upstream,
        client: &mut Client,
        head: &RequestHead,
        message: &mut Message,
        mut gather: Gather,
        entry: &mut Entry,
        times: &Times<'_>,
    ) -> Result<Began, Fault> {
        let bounds = &entry.serving.in_force.snapshot.settings.upstream;
        let heads = Heads::new(bounds, client.spare_lines());
        let mut answer = AnswerHead { bytes: client.scratch(), heads };
        if head.expects_continue && message.bytes.len() == head.len {
            client.send_continue(times.timeouts).await?;
        }
        loop {
            let done = self.load(&mut gather, client, message, entry)?;
            if done {
                let (began, sent) = answer.after(upstream, client, gather, head.method, times).await?;
                if let Some(gather) = sent {
                    entry.reached = entry.reached.max(Reached::Provider);
                    client.keep_request(gather);
                    return Ok(Began { sent: true, ..began });
                }
                return Ok(began);
            }
            if !gather.is_empty() {
                upstream.socket().set_deadline(times.within(times.timeouts.stream_idle));
                gather = match answer.while_sending(upstream, gather, head.method).await? {
                    Sending::Sent(gather) => gather,
                    Sending::Answered(began) => return Ok(began),
                };
                message.bytes = std::mem::take(&mut gather.theirs);
            }
            message.bytes.clear();
            self.at = 0;
            // It is the client's turn: what it takes is not held against the host.
            upstream.socket().clear_deadline();
            client.socket.set_deadline(times.within(times.timeouts.body));
            let arrived = poll_fn(|cx| {
                if let Poll::Ready(found) = answer.poll(upstream, cx, head.method) {
                    return Poll::Ready(Arrived::Answer(found));
                }
                client.socket.poll_fill(cx, &mut message.bytes).map(Arrived::Body)
            })
            .await;
            match arrived {
                Arrived::Answer(found) => return found,
                Arrived::Body(filled) => arrival(filled, "body")?,
            }
        }
    }

    /// Readies what has arrived of the body for sending, behind what `gather` holds already; whether that was
    /// the last of it. The bytes go with it, unless there is no payload: then a second attempt may need the head.
    fn load(
        &mut self,
        gather: &mut Gather,
        client: &mut Client,
        message: &mut Message,
        entry: &mut Entry,
    ) -> Result<bool, Fault> {
        let at = self.at;
        let progress = self
            .body
            .read(&message.bytes[at..], |span| self.spans.push(span.shifted(at)))
            .map_err(Fault::Body)?;
        self.at += progress.consumed;
        if progress.done && !message.complete {
            client.put_back(&message.bytes[self.at..]);
            message.complete = true;
        }
        if let Some(copies) = &mut self.copies {
            self.spans.iter().for_each(|span| copies.push(span.of(&message.bytes)));
        }
        if let Some(copies) = self.copies.take_if(|_| progress.done) {
            copies.send();
        }
        entry.record.bytes_in += self.spans.iter().map(|span| span.len() as u64).sum::<u64>();
        let bytes = if self.spans.is_empty() { Vec::new() } else { std::mem::take(&mut message.bytes) };
        let last = progress.done.then(|| self.body.trailers());
        frame(gather, bytes, &mut self.spans, self.framing == Framing::Chunked, last);
        Ok(progress.done)
    }
}

// One of each lives at a time, on the task's frame; a box would cost an allocation per answer.
#[allow(clippy::large_enum_variant)]
enum Arrived {
    Answer(Result<Began, Fault>),
    Body(io::Result<usize>),
}

#[allow(clippy::large_enum_variant)] // as above
enum Sending {
    Sent(Gather),
    Answered(Began),
}

/// The head of the answer as it arrives.
struct AnswerHead {
    bytes: Vec<u8>,
    heads: Heads,
}

impl AnswerHead {
    async fn while_sending(
        &mut self,
        upstream: &Upstream,
        gather: Gather,
        method: Method,
    ) -> Result<Sending, Fault> {
        if upstream.start_send(gather).is_err() {
            return Err(Fault::Broken);
        }
        let mut refused = false;
        poll_fn(|cx| {
            if !refused && let Poll::Ready((mut gather, sent)) = upstream.poll_sent(cx) {
                gather.clear();
                match sent {
                    Ok(()) => return Poll::Ready(Ok(Sending::Sent(gather))),
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Poll::Ready(Err(Fault::ProviderSlow));
                    }
                    Err(error) if !is_theirs(&error) => return Poll::Ready(Err(Fault::Broken)),
                    // It takes no more, but may have said why before: an answer or the end is what comes next.
                    Err(_) => refused = true,
                }
            }
            self.poll(upstream, cx, method).map(|began| began.map(Sending::Answered))
        })
        .await
    }

    /// Sends the last of the request and waits for the answer; the request's buffers with it, when all of it has
    /// left. Nobody is woken for that alone.
    async fn after(
        &mut self,
        upstream: &Upstream,
        client: &Client,
        gather: Gather,
        method: Method,
        times: &Times<'_>,
    ) -> Result<(Began, Option<Gather>), Fault> {
        let first_byte = times.within(times.timeouts.first_byte);
        upstream.socket().set_deadline(times.within(times.timeouts.stream_idle));
        if upstream.start_send(gather).is_err() {
            return Err(Fault::Broken);
        }
        let (mut sent, mut refused) = (None, false);
        let began = poll_fn(|cx| {
            if sent.is_none()
                && !refused
                && let Poll::Ready((gather, result)) = upstream.poll_sent_late(cx)
            {
                match result {
                    Ok(()) => {
                        sent = Some(gather);
                        upstream.socket().set_deadline(first_byte);
                    }
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Poll::Ready(Err(Fault::ProviderSlow));
                    }
                    Err(error) if !is_theirs(&error) => return Poll::Ready(Err(Fault::Broken)),
                    Err(_) => refused = true, // as above
                }
            }
            match self.poll(upstream, cx, method) {
                Poll::Ready(began) => Poll::Ready(began),
                Poll::Pending => client.socket.poll_gone(cx).map(|()| Err(Fault::ClientGone)),
            }
        });
        Ok((began.await?, sent))
    }

    fn poll(
        &mut self,
        upstream: &Upstream,
        cx: &mut std::task::Context<'_>,
        method: Method,
    ) -> Poll<Result<Began, Fault>> {
        loop {
            match std::task::ready!(upstream.poll_fill(cx, &mut self.bytes)) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Poll::Ready(Err(Fault::ProviderSlow));
                }
                Ok(0) | Err(_) if self.bytes.is_empty() => return Poll::Ready(Err(Fault::Broken)),
                Ok(0) | Err(_) => {
                    return Poll::Ready(Err(Fault::ProviderMalformed("it ended inside its head")));
                }
            }
            match self.heads.read(&mut self.bytes, method) {
                Ok(Some(head)) => {
                    let bytes = std::mem::take(&mut self.bytes);
                    return Poll::Ready(Ok(Began { head, bytes, sent: false }));
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }
}

/// The answer of a plain host on its way to the client.
struct Passing<'a> {
    to: &'a To<'a>,
    head: &'a RequestHead,
    /// Whether the request was read to its end, so that the client's connection can go on.
    keep: bool,
    times: &'a Times<'a>,
}

/// The reader of an answer's body, however long that is.
pub(super) fn answer_body(head: &ResponseHead, entry: &Entry) -> Result<BodyReader, Fault> {
    let reader = BodyReader::new(head.framing, u64::MAX).map_err(|f| Fault::ProviderMalformed(f.reason()))?;
    Ok(reader.held_to(entry.serving.in_force.snapshot.settings.upstream.chunks))
}

impl Passing<'_> {
    async fn answer(
        &self,
        worker: &Worker,
        client: &mut Client,
        entry: &mut Entry,
        upstream: Upstream,
        began: Began,
    ) -> Result<Then, Fault> {
        let Began { head, mut bytes, sent } = began;
        entry.reached = Reached::Refusal; // there is nothing to meter
        entry.record.status = head.status;
        let mut body = answer_body(&head, entry)?;
        let rechunk = matches!(head.framing, Framing::Chunked | Framing::UntilClose);
        let by_close = rechunk && self.head.version == Version::Http10;
        let keep_alive = self.keep && self.head.keep_alive && !by_close && !worker.is_draining();
        let mut gather = client.spare();
        self.answer_head(entry, &head, &bytes, rechunk && !by_close, keep_alive, &mut gather.ours);
        let (mut at, mut spans) = (head.len, client.spare_spans());
        loop {
            let progress = match body.read(&bytes[at..], |span| spans.push(span.shifted(at))) {
                Ok(progress) => progress,
                // Nothing has gone to the client yet: it can be told.
                Err(fault) if at > 0 => return Err(Fault::ProviderMalformed(fault.reason())),
                Err(_) => return Err(Fault::Cut),
            };
            at += progress.consumed;
            let rest = bytes.len() - at;
            frame(
                &mut gather,
                bytes,
                &mut spans,
                rechunk && !by_close,
                progress.done.then(|| body.trailers()),
            );
            entry.record.bytes_out += gather.len() as u64;
            if entry.record.first_byte_us.is_none() {
                entry.first_byte();
            }
            if !gather.is_empty() {
                gather = client.send(gather, self.times.timeouts.stream_idle).await?;
            }
            bytes = std::mem::take(&mut gather.theirs);
            // Also when there was nothing to send: all of it was framing, which is dealt with.
            bytes.clear();
            at = 0;
            if progress.done {
                entry.ended(Outcome::Completed);
                if sent && head.keep_alive && rest == 0 && head.framing != Framing::UntilClose {
                    upstream.give_back(worker);
                }
                gather.theirs = bytes;
                client.recycle(gather);
                client.keep_spans(spans);
                client.keep_lines(head.headers);
                return Ok(if keep_alive { Then::Next } else { Then::Linger });
            }
            upstream.socket().set_deadline(self.times.within(self.times.timeouts.stream_idle));
            match upstream.fill_for(&client.socket, &mut bytes).await? {
                Ok(0) => body.end_of_stream().map_err(|_| Fault::Cut)?,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Fault::CutSlow),
                Err(_) => return Err(Fault::Cut),
            }
        }
    }

    fn answer_head(
        &self,
        entry: &Entry,
        head: &ResponseHead,
        bytes: &[u8],
        chunked: bool,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) {
        write::status_line(out, head.status);
        let (rule, share) = (&self.to.rule.filters.response_headers, &self.to.edits.response_headers);
        write::copy_end_to_end(out, bytes, &head.headers, |_, name| {
            !rule.keeps(name) || !share.keeps(name) || entry.replaces(name)
        });
        for (name, value) in rule.written().chain(share.written()) {
            write::header(out, name.as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(&entry.cors);
        limit_headers(out, &entry.standings(), None, entry.worker.moment().unix_ms);
        write::via(out, head.version, PSEUDONYM);
        connection(out, keep_alive, self.head.version);
        // Also where there is no body (HEAD, 304): the length is then that of the body that GET would have. Not
        // with 204 (RFC 9110 section 8.6).
        if let Some(length) = head.content_length(bytes).filter(|_| head.status != 204) {
            write::header(out, b"content-length", length);
        } else if chunked {
            out.extend_from_slice(write::TRANSFER_ENCODING_CHUNKED);
        }
        write::end(out);
    }
}

/// Frames one part of a body behind what `gather.ours` holds: `spans` of `bytes`, as one chunk or as they are.
fn frame(gather: &mut Gather, bytes: Vec<u8>, spans: &mut Vec<Span>, chunked: bool, last: Option<&[u8]>) {
    let payload: usize = spans.iter().map(|span| span.len()).sum();
    if spans.len() + 2 > PIECES_MAX {
        let copied: Vec<u8> = spans.drain(..).flat_map(|span| span.of(&bytes)).copied().collect();
        spans.push(Span::new(0, copied.len()));
        return frame(gather, copied, spans, chunked, last);
    }
    if chunked && payload > 0 {
        write::chunk_head(&mut gather.ours, payload);
    }
    let front = Span::new(0, gather.ours.len());
    if chunked && payload > 0 {
        gather.ours.extend_from_slice(write::CHUNK_END);
    }
    if let Some(trailers) = last.filter(|_| chunked) {
        write::last_chunk(&mut gather.ours, trailers);
    }
    let back = Span::new(front.end as usize, gather.ours.len());
    gather.theirs = bytes;
    let mut fits = gather.push_ours(front);
    for span in spans.drain(..) {
        fits &= gather.push_theirs(span);
    }
    fits &= gather.push_ours(back);
    debug_assert!(fits, "spans were counted above");
}
