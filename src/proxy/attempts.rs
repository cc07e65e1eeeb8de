//! Steps 7 and 8: an endpoint is asked, and another, or the same again, if that fails and may be repeated.

use super::call::{self, Answered, Call, Failed};
use super::client::{Client, Message};
use super::entry::{Entry, Reached};
use super::fault::Fault;
use super::worker::{Serving, Worker};
use crate::base::ascii;
use crate::config::{Backend, BackendKind};
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

/// The endpoint that a request to `index` goes to first: itself, unless it stands for several.
pub(super) fn first_choice(worker: &Worker, serving: &Serving, index: u32) -> u32 {
    let groups = serving.in_force.snapshot.backends.get(index as usize).map(|backend| &backend.groups[..]);
    groups.and_then(|groups| pick(worker, serving, groups, &[])).unwrap_or(index)
}

fn pick(worker: &Worker, serving: &Serving, groups: &[Box<[u32]>], tried: &[u32]) -> Option<u32> {
    let health = serving.health.borrow();
    let of = |endpoint: u32| health.get(endpoint as usize).copied().unwrap_or_default();
    failover::pick(groups, tried, worker.ring.now(), worker.random(), of)
}

/// Asks until a provider's answer begins: `call` first, then whoever else of `whole` may answer, as the rule and the
/// Backend have it. The answer that comes may be a refusal: the last one, if all refused.
///
/// # Errors
/// The fault of the last attempt.
pub(super) async fn until_answered<'a>(
    worker: &Worker,
    serving: &'a Serving,
    client: &mut Client,
    entry: &mut Entry,
    whole: &'a Backend,
    mut call: Call<'a>,
    message: &mut Message,
) -> Result<(Call<'a>, Answered), Fault> {
    let mut attempts = Attempts { worker, serving, whole, tried: ArrayVec::new(), again: 0 };
    loop {
        let spare = attempts.spare_body(&call, message);
        let outgoing = call::write(worker, serving, &call, message, client)?;
        let began = worker.ring.now();
        let asked = {
            let _pending = Pending::begin(serving, call.index);
            call::ask(worker, serving, client, entry, &call, outgoing).await
        };
        let verdict = Verdict::of(&asked);
        attempts.note(&call, verdict, worker.ring.now().since(began));
        let is_whole = !call.translates() || spare.is_some();
        let next = if is_whole { attempts.next(&call, entry, &asked, verdict) } else { None };
        let Some((next, pause)) = next else {
            return asked.map(|answered| (call, answered)).map_err(|failed| failed.fault);
        };
        if !restore(&call, message, client, asked, spare) {
            return Err(Fault::Broken); // cannot be: `next` saw that the request is here
        }
        if entry.reached >= Reached::Provider && verdict == Verdict::Failed(Why::Broken) {
            entry.give_up_attempt();
        }
        entry.reached = Reached::Nobody;
        worker.desk.counters.retries.add(1);
        if !pause.is_zero() {
            sleep(&worker.ring, pause).await;
        }
        call = attempts.towards(call, next, entry)?;
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// An answer, or nothing that the endpoint is to blame for.
    Done,
    /// It takes no more for now, perhaps for so long.
    Busy(Option<Duration>),
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
    fn of(asked: &Result<Answered, Failed>) -> Verdict {
        match asked {
            Ok(Answered { head, bytes, .. }) => match head.status {
                429 => Verdict::Busy(retry_after(head, bytes)),
                status @ 500.. => Verdict::Failed(Why::Status(status)),
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
    /// Attempts beside those that another endpoint made possible.
    again: u32,
}

impl<'a> Attempts<'_, 'a> {
    /// A copy of a body that translation will use up, if there may be another attempt and it is not too large for it.
    fn spare_body(&self, call: &Call<'_>, message: &Message) -> Option<Vec<u8>> {
        let most = self.serving.in_force.snapshot.settings.upstream.replay_bytes;
        let may_follow = !self.whole.groups.is_empty() || call.rule.retry.is_some();
        let body = message.body.of(&message.bytes);
        (call.translates() && may_follow && body.len() <= most).then(|| body.to_vec())
    }

    /// Notes how the endpoint did.
    fn note(&mut self, call: &Call<'_>, verdict: Verdict, after: Duration) {
        let terms = &self.serving.in_force.snapshot.settings.upstream.ejection;
        let now = self.worker.ring.now();
        let _ = self.tried.try_push(call.index); // who is beyond the bound may be tried twice
        let mut health = self.serving.health.borrow_mut();
        let Some(health) = health.get_mut(call.index as usize) else { return };
        match verdict {
            Verdict::Done => health.answered(after),
            Verdict::Busy(time) => health.refused(now, time, terms),
            Verdict::Failed(_) => health.failed(now, terms),
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
        if verdict == Verdict::Done || !self.may_repeat(call, entry, asked, verdict) {
            return None;
        }
        if self.tried.len() < ENDPOINTS_MAX
            && let Some(other) = pick(self.worker, self.serving, &self.whole.groups, &self.tried)
        {
            return Some((other, Duration::ZERO));
        }
        let retry = call.rule.retry.as_ref()?;
        let asks_for_it = match verdict {
            Verdict::Failed(Why::Unreached | Why::Broken) => true,
            Verdict::Failed(Why::Status(status)) => retry.codes.contains(&status),
            Verdict::Busy(_) => retry.codes.contains(&429),
            Verdict::Done => false,
        };
        if self.again >= retry.attempts || !asks_for_it {
            return None;
        }
        let pause = self.pause(retry.backoff, verdict)?;
        let now = self.worker.ring.now();
        if now + pause >= call::deadline(entry, call, now) {
            return None;
        }
        self.again += 1;
        self.tried.clear();
        Some((pick(self.worker, self.serving, &self.whole.groups, &[]).unwrap_or(call.index), pause))
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

    /// The pause before the next attempt on the same endpoint: the least one, and by chance up to as long again, doubled
    /// with each attempt, so that those who failed together do not come back together. `None` when the provider wants a
    /// longer one than is ever made.
    fn pause(&self, least: Duration, verdict: Verdict) -> Option<Duration> {
        let most = least.saturating_mul(BACKOFF_MAX);
        let told = match verdict {
            Verdict::Busy(time) => time.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let spread = least.saturating_mul(1 << self.again.min(16)).min(most.saturating_sub(least));
        let share = (u128::from(self.worker.random() >> 32) * spread.as_nanos()) >> 32;
        let by_chance = Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
        (told <= most).then(|| (least + by_chance).max(told))
    }

    /// The same call to another endpoint, whose books go on in its name.
    fn towards(&self, call: Call<'a>, next: u32, entry: &mut Entry) -> Result<Call<'a>, Fault> {
        if next == call.index {
            return Ok(call);
        }
        let backend = self.serving.in_force.snapshot.backends.get(next as usize).ok_or(Fault::NoBackend)?;
        let BackendKind::Ai { provider, dialect, model, credential, path, guardrail } = &backend.kind else {
            return Err(Fault::NoBackend);
        };
        let speaks = dialect.speaks(*provider, call.client);
        let upstream = speaks.ok_or(Fault::Unpaired(call.client, dialect.name))?;
        let model = model.as_deref();
        entry.record.backend.write(&backend.name);
        entry.record.provider = Some(dialect.name);
        let asked = call.asked_model;
        let model_asked_for = model.unwrap_or(&asked);
        entry.find_price(backend.vendor, model_asked_for.as_bytes())?;
        entry.foreseen.model = bounded(model_asked_for.as_bytes());
        let (provider, guardrail) = (*provider, guardrail.as_ref());
        let call = Call { provider, dialect, model, credential, path, guardrail, ..call };
        Ok(Call { index: next, backend, upstream, ..call })
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
