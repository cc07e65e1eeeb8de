//! Steps 7 and 8: an endpoint is asked, and another, or the same again, if that fails and may be repeated.

use super::call::{self, Answered, Call, Failed};
use super::client::{Client, Message};
use super::entry::{Entry, Reached};
use super::fault::Fault;
use super::held::Part;
use super::serving::Serving;
use super::worker::Worker;
use crate::access::Identity;
use crate::base::ascii;
use crate::config::{AiBackend, Backend, Credential};
use crate::llm::{Format, Work};
use crate::route::failover::{self, Health};
use crate::runtime::{Gather, sleep};
use crate::telemetry::record::bounded;
use crate::wire::http1::ResponseHead;
use arrayvec::ArrayVec;
use std::time::Duration;

/// Endpoints that one request tries at most before it tries one again or gives up.
const ENDPOINTS_MAX: usize = 8;

/// No pause between two attempts is longer than so many times the least one (kgateway, `backoffBaseInterval`).
const BACKOFF_MAX: u32 = 10;

/// What an endpoint has to be to be asked.
#[derive(Clone, Copy)]
pub(super) struct Needs<'a> {
    /// The format of the client, which it serves.
    pub(super) format: Format,
    /// Whose key has to be for the model that it would be asked for.
    pub(super) identity: &'a Identity<'a>,
    /// The model that a limit fell back to, which goes before those of endpoints.
    pub(super) fallback: Option<&'a str>,
    /// Whether that key is for the model that the client names, or this is not known yet: it is asked of endpoints without
    /// one of their own.
    pub(super) is_for_named: bool,
}

impl<'a> Needs<'a> {
    fn of(call: &Call<'a>) -> Needs<'a> {
        let Call { client: format, identity, fallback, is_for_named, .. } = *call;
        Needs { format, identity, fallback, is_for_named }
    }

    /// Whether the client's key is for what an endpoint would be asked for whose own model this is.
    pub(super) fn may_ask(&self, own: Option<&str>) -> bool {
        let ours = self.fallback.or(own).filter(|_| !self.format.is_lookup());
        ours.map_or(self.is_for_named, |model| self.identity.is_for(model))
    }
}

/// The endpoint that a request to `index` goes to first: itself, unless it stands for several. One that the client may not ask
/// where there is no other; then it is for who asks to refuse.
pub(super) fn first_choice(worker: &Worker, serving: &Serving, index: u32, needs: Needs<'_>) -> u32 {
    let groups = serving.in_force.snapshot.backends.get(index as usize).map(|backend| &backend.groups[..]);
    let Some(groups) = groups.filter(|groups| !groups.is_empty()) else { return index };
    let first = |needs, is_ready| pick(worker, serving, groups, &[], (needs, is_ready));
    let anybody = Needs { identity: &Identity::default(), is_for_named: true, ..needs };
    let found = first(needs, true).or_else(|| first(needs, false));
    found.or_else(|| first(anybody, true)).or_else(|| first(anybody, false)).unwrap_or(index)
}

/// An endpoint as it `needs` to be that was not tried; with `is_ready` one that can be asked, for its credential has come.
fn pick(
    worker: &Worker,
    serving: &Serving,
    groups: &[Box<[u32]>],
    tried: &[u32],
    (needs, is_ready): (Needs<'_>, bool),
) -> Option<u32> {
    let backends = &serving.in_force.snapshot.backends;
    let serves = |endpoint: u32| {
        backends.get(endpoint as usize).and_then(Backend::ai).is_some_and(|ai| {
            let has_come = ai.credential.origin().is_none() || serving.fetched(endpoint).is_some();
            (has_come || !is_ready)
                && ai.dialect.speaks(ai.provider, needs.format).is_some()
                && needs.may_ask(ai.model.as_deref())
        })
    };
    let health = serving.health.borrow();
    let of = |endpoint: u32| health.get(endpoint as usize).copied().unwrap_or_default();
    let may_be = |endpoint: u32| !tried.contains(&endpoint) && serves(endpoint);
    failover::pick(groups, may_be, worker.ring.now(), worker.random(), of)
}

/// Asks until a provider's answer begins: `call` first, then whoever else of `whole` may answer, as the rule and the
/// Backend have it. The answer that comes may be a refusal: the last one, if all refused.
///
/// # Errors
/// The fault of the last attempt.
#[allow(clippy::manual_async_fn)] // see below
pub(super) fn until_answered<'a>(
    worker: &Worker,
    serving: &'a Serving,
    client: &mut Client,
    entry: &mut Entry,
    whole: &'a Backend,
    mut call: Call<'a>,
    message: &mut Message,
) -> impl Future<Output = Result<(Call<'a>, Answered), Fault>> {
    // Not an `async fn`, which would keep room for `call` twice: where it came and where it is changed.
    async move {
        let mut attempts = Attempts { worker, serving, whole, tried: ArrayVec::new(), again: None };
        loop {
            let spare = attempts.spare_body(&call, message, entry);
            let outgoing = call::write(worker, serving, &call, message, client, entry)?;
            if call.translates() {
                // The body stands in both formats until it is sent.
                let copies = outgoing.body_bytes() + spare.as_ref().map_or(0, Vec::len);
                entry.held.set(Part::Copy, copies)?;
            }
            let began = worker.ring.now();
            let asked = {
                let _pending = Pending::begin(serving, call.index);
                call::ask(worker, serving, client, entry, &call, outgoing).await
            };
            let verdict = Verdict::of(&asked, &call);
            let after = worker.ring.now().since(began);
            attempts.note(&call, &asked, verdict, after);
            let is_whole = !call.translates() || spare.is_some();
            let next = if is_whole { attempts.next(&call, entry, &asked, verdict) } else { None };
            let next = next.and_then(|(next, pause)| Some((attempts.towards(call, next)?, pause)));
            let Some((next, pause)) = next else {
                message.forget_body();
                return asked.map(|answered| (call, answered)).map_err(|failed| failed.fault);
            };
            if asked.is_err() && entry.reached >= Reached::Provider {
                entry.give_up_attempt(); // it may be working on it
            }
            if !restore(&call, message, client, asked, spare) {
                return Err(Fault::Broken); // cannot be: `next` saw that the request is here
            }
            entry.reached = Reached::Nobody;
            worker.desk.counters.retries.add(1);
            if !pause.is_zero() {
                sleep(&worker.ring, pause).await;
            }
            if next.index != call.index {
                attempts.go_on_as(&next, entry)?;
            }
            call = next;
        }
    }
}

/// The pause before an attempt after `again` others: the least one, and by chance up to as long again, doubled with each
/// attempt, so that those who failed together do not come back together.
pub(super) fn pause(worker: &Worker, least: Duration, again: u32) -> Duration {
    let most = least.saturating_mul(BACKOFF_MAX);
    let spread = least.saturating_mul(1 << again.min(16)).min(most.saturating_sub(least));
    let share = (u128::from(worker.random() >> 32) * spread.as_nanos()) >> 32;
    least + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// An answer, or nothing that the endpoint is to blame for.
    Done,
    /// It takes no more for now, perhaps for so long.
    Busy(Option<Duration>),
    /// An answer after which the rule has the request made again; nothing is wrong with the endpoint.
    Again,
    Failed(Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// There was no connection.
    Unreached,
    /// It broke, or its answer makes no sense.
    Broken,
    /// It said so, or took too long; the status that stands for it.
    Status(u16),
}

impl Verdict {
    fn of(asked: &Result<Answered, Failed>, call: &Call<'_>) -> Verdict {
        let is_listed = |status| call.rule.retry.as_ref().is_some_and(|retry| retry.codes.contains(&status));
        match asked {
            Ok(Answered { head, bytes, .. }) => match head.status {
                429 => Verdict::Busy(retry_after(head, bytes)),
                status @ 500.. => Verdict::Failed(Why::Status(status)),
                status if is_listed(status) => Verdict::Again,
                _ => Verdict::Done,
            },
            Err(failed) => match failed.fault {
                Fault::Unresolved | Fault::Connect(_) => Verdict::Failed(Why::Unreached),
                Fault::Broken | Fault::ProviderMalformed(_) => Verdict::Failed(Why::Broken),
                Fault::ProviderSlow => Verdict::Failed(Why::Status(504)),
                _ => Verdict::Done,
            },
        }
    }
}

/// When a provider says that it is worth to come back: OpenAI's milliseconds, or whole seconds (RFC 9110 section 10.2.3).
/// A date says nothing here; then it is for the configuration to decide.
fn retry_after(head: &ResponseHead, bytes: &[u8]) -> Option<Duration> {
    let number = |name: &[u8]| {
        let value = head.headers.get(bytes, name)?.of(bytes);
        std::str::from_utf8(ascii::trim(value)).ok()?.parse::<u64>().ok()
    };
    let ms = number(b"retry-after-ms").map(Duration::from_millis);
    ms.or_else(|| number(b"retry-after").map(Duration::from_secs))
}

/// The attempts of one request.
struct Attempts<'w, 'a> {
    worker: &'w Worker,
    serving: &'a Serving,
    whole: &'a Backend,
    /// Endpoints that were tried since the last time that all had been.
    tried: ArrayVec<u32, ENDPOINTS_MAX>,
    /// Attempts since all endpoints had been tried once; `None` until then.
    again: Option<u32>,
}

impl<'a> Attempts<'_, 'a> {
    /// A copy of a body that translation will use up, if there may be another attempt and it is not too large for it, nor the worker too full.
    fn spare_body(&self, call: &Call<'_>, message: &Message, entry: &mut Entry) -> Option<Vec<u8>> {
        let most = self.serving.in_force.snapshot.settings.upstream.replay_bytes;
        let may_follow = !self.whole.groups.is_empty() || call.rule.retry.is_some();
        let body = message.body.of(&message.bytes);
        let wanted = call.translates() && may_follow && body.len() <= most;
        (wanted && entry.held.try_set(Part::Copy, body.len())).then(|| body.to_vec())
    }

    /// Notes how the endpoint did: an answer that is one tells its speed, one on the request alone that it is well, and a
    /// client that left nothing. That a client's own key is refused is not the endpoint's fault.
    fn note(&mut self, call: &Call<'_>, asked: &Result<Answered, Failed>, verdict: Verdict, after: Duration) {
        let terms = &self.serving.in_force.snapshot.settings.upstream.ejection;
        let now = self.worker.ring.now();
        let _ = self.tried.try_push(call.index); // who is beyond the bound may be tried twice
        let mut health = self.serving.health.borrow_mut();
        let Some(health) = health.get_mut(call.index as usize) else { return };
        let theirs = matches!(call.credential, Credential::Passthrough);
        match (verdict, asked) {
            (Verdict::Busy(_), _) if theirs => health.is_well(),
            (Verdict::Busy(time), _) => health.refused(now, time, terms),
            (Verdict::Failed(_), _) => health.failed(now, terms),
            (_, Ok(answered)) => match answered.head.status {
                200..=399 => health.answered(after),
                401 | 403 if !theirs => health.failed(now, terms), // the operator's key is no good there
                _ => health.is_well(),
            },
            (_, Err(_)) => {}
        }
    }

    /// Who is asked next, and after what pause; `None` when what came of this attempt is the end.
    fn next(
        &mut self,
        call: &Call<'_>,
        entry: &Entry,
        asked: &Result<Answered, Failed>,
        verdict: Verdict,
    ) -> Option<(u32, Duration)> {
        let now = self.worker.ring.now();
        let is_over = |pause| now + pause >= call::deadline(entry, call, now);
        if verdict == Verdict::Done
            || is_over(Duration::ZERO)
            || !self.may_repeat(call, entry, asked, verdict)
        {
            return None;
        }
        let of = |tried: &[u32]| {
            pick(self.worker, self.serving, &self.whole.groups, tried, (Needs::of(call), true))
        };
        if self.again.is_none()
            && verdict != Verdict::Again
            && self.tried.len() < ENDPOINTS_MAX
            && let Some(other) = of(&self.tried)
        {
            return Some((other, Duration::ZERO));
        }
        let retry = call.rule.retry.as_ref()?;
        let asks_for_it = match verdict {
            Verdict::Failed(Why::Unreached | Why::Broken) | Verdict::Again => true,
            Verdict::Failed(Why::Status(status)) => retry.codes.contains(&status),
            Verdict::Busy(_) => retry.codes.contains(&429),
            Verdict::Done => false,
        };
        let again = self.again.unwrap_or_default();
        if again >= retry.attempts || !asks_for_it {
            return None;
        }
        let pause = self.pause(retry.backoff, again, verdict).filter(|pause| !is_over(*pause))?;
        let best = of(&[]);
        self.again = Some(again + 1);
        self.tried.clear();
        Some((best.unwrap_or(call.index), pause))
    }

    /// Whether the request is still here, and whether to send it once more can do no harm: the provider has not seen all
    /// of it, or has said that it did nothing, or somebody said that it may be repeated.
    fn may_repeat(
        &self,
        call: &Call<'_>,
        entry: &Entry,
        asked: &Result<Answered, Failed>,
        verdict: Verdict,
    ) -> bool {
        match asked {
            Ok(answered) => answered.sent.is_some(),
            Err(failed) => {
                let unseen = verdict == Verdict::Failed(Why::Unreached) || entry.reached == Reached::Nobody;
                failed.request.is_some() && (unseen || failed.replayable || call.rule.retry.is_some())
            }
        }
    }

    /// The pause before the next attempt on the same endpoint; `None` when the provider wants a longer one than is ever
    /// made.
    fn pause(&self, least: Duration, again: u32, verdict: Verdict) -> Option<Duration> {
        let told = match verdict {
            Verdict::Busy(time) => time.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let pause = pause(self.worker, least, again).max(told);
        (told <= least.saturating_mul(BACKOFF_MAX)).then_some(pause)
    }

    /// The same call to another endpoint; `None` where it cannot be.
    fn towards(&self, call: Call<'a>, next: u32) -> Option<Call<'a>> {
        let backend = self.serving.in_force.snapshot.backends.get(next as usize)?;
        let AiBackend { provider, dialect, model, credential, path, guardrail } = backend.ai()?;
        let upstream = dialect.speaks(*provider, call.client)?;
        let model = call.fallback.or(model.as_deref());
        let (provider, guardrail) = (*provider, guardrail.as_ref());
        let call = Call { provider, dialect, model, credential, path, guardrail, ..call };
        Some(Call { index: next, backend, upstream, ..call })
    }

    /// The books go on in the name of another endpoint.
    fn go_on_as(&self, call: &Call<'_>, entry: &mut Entry) -> Result<(), Fault> {
        entry.record.backend.write(&call.backend.name);
        entry.record.provider = Some(call.dialect.name);
        let asked = call.asked_model;
        let model = call.model.unwrap_or(&asked).as_bytes();
        if call.client.work() != Work::Free {
            entry.find_price(call.backend.vendor, model)?;
        }
        entry.foreseen.model = bounded(model);
        Ok(())
    }
}

/// Makes the message whole again for another attempt.
fn restore(
    call: &Call<'_>,
    message: &mut Message,
    client: &mut Client,
    asked: Result<Answered, Failed>,
    spare: Option<Vec<u8>>,
) -> bool {
    let request = match asked {
        Ok(answered) => {
            client.keep_lines(answered.head.headers);
            answered.sent
        }
        Err(failed) => failed.request,
    };
    let Some(mut request): Option<Gather> = request else { return false };
    if !call.translates() {
        message.bytes = std::mem::take(&mut request.theirs);
        client.keep_request(request);
        return true;
    }
    client.keep_request(request);
    let body = message.bytes.get_mut(message.body.range());
    match (spare, body) {
        (Some(spare), Some(body)) if spare.len() == body.len() => body.copy_from_slice(&spare),
        _ => return false,
    }
    true
}

/// Counts a request under way at an endpoint for as long as it lives.
struct Pending<'a> {
    serving: &'a Serving,
    index: u32,
}

impl<'a> Pending<'a> {
    fn begin(serving: &'a Serving, index: u32) -> Pending<'a> {
        let pending = Pending { serving, index };
        pending.note(Health::begin);
        pending
    }

    fn note(&self, what: impl FnOnce(&mut Health)) {
        if let Some(health) = self.serving.health.borrow_mut().get_mut(self.index as usize) {
            what(health);
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.note(Health::end);
    }
}
