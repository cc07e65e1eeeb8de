//! The way back: the provider's answer, metered as it passes, in the client's format.

use super::call::{Answered, Call, EVENT_STREAM, deadline};
use super::client::Client;
use super::entry::{Entry, Reached};
use super::exchange::Then;
use super::fault::Fault;
use super::held::Part;
use super::outflow::Outflow;
use super::plain::answer_body;
use super::upstream::Upstream;
use super::worker::Worker;
use crate::base::ascii;
use crate::config::Timeouts;
use crate::llm::{Format, Meter, Work};
use crate::runtime::executor::yield_now;
use crate::telemetry::Outcome;
use crate::wire::http1::{BodyReader, Framing, Known, ResponseHead};
use std::io;

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
    #[cfg(test)]
    super::planted::strike("answered", entry);
    let Answered { upstream, head, mut bytes, sent } = answered;
    let streamed = is_event_stream(call, &head, &bytes);
    entry.record.status = head.status;
    entry.record.streamed = streamed;
    match head.status {
        200..300 => entry.meter = Some(meter(call, &head, &bytes, streamed)),
        _ => entry.reached = Reached::Refusal,
    }
    let mut body = answer_body(&head, entry)?;
    let keep_alive = call.keep_alive && !worker.is_draining();
    let mut out = Outflow::new(client, call, &head, streamed, keep_alive, entry);
    if head.headers.contains(Known::ContentEncoding)
        && let Err(fault) = out.decode(call, &head, &bytes, sent.as_ref(), entry)
    {
        return Box::pin(broken_off(worker, out, client, entry, fault, timeouts)).await;
    }
    out.begin(entry, call, &head, &bytes);
    // Nobody else is asked any more: large bodies go.
    let is_sent = sent.is_some();
    sent.into_iter().for_each(|request| client.keep_request(request));
    entry.held.let_request_go();
    let mut at = head.len;
    let from_provider = &worker.desk.counters.upstream_bytes_in;
    from_provider.add(bytes.len() as u64);
    let last = deadline(entry, call, worker.ring.now());
    loop {
        let part = out.part(at, &bytes);
        let progress = match out.take(&mut body, &bytes[..part], at, entry) {
            Ok(progress) => progress,
            Err(fault) => return Box::pin(broken_off(worker, out, client, entry, fault, timeouts)).await,
        };
        at += progress.consumed;
        if let Err(fault) = entry.held.set(Part::Answer, out.held_bytes()) {
            return Box::pin(broken_off(worker, out, client, entry, fault, timeouts)).await;
        }
        if out.is_due() {
            Box::pin(out.judge(client, entry)).await?;
        }
        if out.is_rejected() {
            // The provider's connection closes with `upstream`, so that it generates no more.
            out.end_rejected(entry, call);
            let then = out.flush(client, entry, bytes, true, timeouts).await?;
            entry.ended(Outcome::Rejected);
            return Ok(then);
        }
        let goes_on = !progress.done || out.is_cut_short();
        if streamed && goes_on && !out.keep_up(&bytes, entry, call) {
            // The provider's connection closes with `upstream`, so that it generates no more.
            worker.desk.counters.streams_cut.add(1);
            let then = out.flush(client, entry, bytes, true, timeouts).await?;
            entry.ended(Outcome::LimitCut);
            return Ok(then);
        }
        let may_break_off = head.framing == Framing::UntilClose && !out.is_blind();
        if progress.done && may_break_off && breaks_off(streamed, entry) {
            return Box::pin(broken_off(worker, out, client, entry, Fault::Cut, timeouts)).await;
        }
        if progress.done {
            let rest = bytes.len() - at;
            let reusable = is_sent && head.keep_alive && rest == 0 && head.framing != Framing::UntilClose;
            let finished = match out.is_judged() {
                true => Box::pin(out.finish_judged(client, entry, call, head.status)).await,
                false => out.finish(entry, call, head.status),
            };
            if let Err(fault) = finished {
                return Box::pin(broken_off(worker, out, client, entry, fault, timeouts)).await;
            }
            let then = out.flush(client, entry, bytes, true, timeouts).await?;
            entry.ended(if out.is_rejected() {
                Outcome::Rejected
            } else if streamed || head.status < 400 {
                Outcome::Completed
            } else {
                Outcome::UpstreamFailed
            });
            if reusable {
                upstream.give_back(worker);
            }
            client.keep_lines(head.headers);
            return Ok(then);
        }
        if at == part && part < bytes.len() {
            continue; // the next part of what has come
        }
        bytes = out.pass_on(client, entry, bytes, timeouts).await?;
        at = 0;
        let now = worker.ring.now();
        upstream.socket().set_deadline(last.min(now + timeouts.stream_idle));
        // A provider that never pauses is never waited for, so the clock is looked at here too.
        let more = match now < last {
            true if out.is_behind() => {
                yield_now().await;
                Ok(())
            }
            true => next_bytes(&upstream, client, &mut body, &mut bytes).await,
            false => Err(Fault::CutSlow),
        };
        if let Err(fault) = more {
            return Box::pin(broken_off(worker, out, client, entry, fault, timeouts)).await;
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

/// The answer broke off. (It is called in a box of its own, for which no task has to keep room.) A client that has seen nothing gets an error; one in the middle of a translated
/// stream gets the error event of its format; else closing is all that can be said.
async fn broken_off(
    worker: &Worker,
    mut out: Outflow,
    client: &mut Client,
    entry: &mut Entry,
    fault: Fault,
    timeouts: &Timeouts,
) -> Result<Then, Fault> {
    let is_ours = matches!(fault, Fault::Unaskable | Fault::Unjudged(_) | Fault::JudgedLate);
    if is_ours || matches!(fault, Fault::ClientGone | Fault::Rejected(_)) {
        return Err(fault);
    }
    worker.desk.counters.upstream_failures.add(u64::from(!matches!(fault, Fault::Crowded)));
    if !out.begun {
        return Err(match fault {
            Fault::CutSlow => Fault::ProviderSlow,
            Fault::Cut => Fault::ProviderMalformed("it broke off"),
            other => other,
        });
    }
    // Nothing may be answered in the middle of an answer, whatever was wrong with it.
    let fault = if fault.status().is_some() { Fault::Cut } else { fault };
    if out.say_broken_off() {
        entry.ended(fault.outcome());
        out.flush(client, entry, Vec::new(), true, timeouts).await?;
        return Ok(Then::Close);
    }
    Err(fault)
}

/// What meters the answer. What Bedrock was asked to invoke need not tell its usage, so its head does.
fn meter(call: &Call<'_>, head: &ResponseHead, bytes: &[u8], streamed: bool) -> Meter {
    let mut meter = Meter::new(call.upstream, streamed);
    if call.upstream == Format::BedrockInvoke {
        let value = head.headers.get(bytes, b"x-amzn-bedrock-input-token-count");
        let value = value.and_then(|value| std::str::from_utf8(ascii::trim(value.of(bytes))).ok());
        if let Some(input) = value.and_then(|value| value.parse().ok()) {
            meter.note_input(input);
        }
    }
    meter
}

fn is_event_stream(call: &Call<'_>, head: &ResponseHead, bytes: &[u8]) -> bool {
    // Vectors are written when all of them are there.
    if call.translates() && call.client.work() == Work::Reads {
        return false;
    }
    let media = head.headers.first(Known::ContentType).map(|span| span.of(bytes)).unwrap_or_default();
    let name = match call.upstream {
        Format::BedrockConverse => EVENT_STREAM,
        _ => b"text/event-stream",
    };
    media.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}
