//! The books of one exchange: its record, its reservation, its meter. What ends here is settled, once.

use super::caller::Asking;
use super::fault::Fault;
use super::worker::{Serving, Worker};
use crate::base::{Money, Tick, Tokens};
use crate::limit::{self, Denied, Note, Settled, Spend, Standing, Ticket};
use crate::llm::estimate::{Ratio, output_tokens};
use crate::llm::price::cost;
use crate::llm::{Ask, Meter, Usage};
use crate::mail::InForce;
use crate::telemetry::record::bounded;
use crate::telemetry::{Decision, LimitCounters, Outcome, Record, UsageCounts, UsageSource};
use arrayvec::ArrayVec;
use std::rc::Rc;
use std::time::Duration;

/// Output tokens that are reserved when the client names no maximum, and the most that are when it does: a
/// client's `max_tokens` is a ceiling, often far above any real answer, and what is spent beyond the
/// reservation becomes debt.
const RESERVED_OUTPUT_MAX: u64 = 1024;

/// How long a request waits, since it began, for its budget to be on disk.
const GRANT_WAIT_MAX: Duration = Duration::from_secs(5);

/// How limits stand, the tightest of each unit.
pub(super) type Standings = ArrayVec<Standing, 4>;

/// Everything about one exchange that outlives its success or failure.
///
/// Dropping it is the one way to the end: it settles the reservation with what the meter saw, counts, and
/// hands the record to the journal, whether the exchange completed, failed at any step, or panicked.
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) started: Tick,
    /// What reads usage out of the answer, once there is one.
    pub(super) meter: Option<Meter>,
    /// Input tokens that the request was estimated at.
    pub(super) estimated_input: Tokens,
    /// How far the request got, for what it may have cost although no answer came.
    pub(super) reached: Reached,
    ticket: Option<Ticket>,
    /// How the limits stood that refused.
    refused: Standings,
    worker: Rc<Worker>,
    serving: Rc<Serving>,
}

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// Nothing of it left this host.
    Nobody,
    /// The provider has all of it and may be working on it.
    Provider,
    /// The provider answered with an error: nothing was generated.
    Refusal,
    /// The provider's answer has begun.
    Answer,
}

impl Entry {
    pub(super) fn begin(worker: &Rc<Worker>, serving: &Rc<Serving>, record: Record) -> Entry {
        worker.desk.counters.requests_in_flight.add(1);
        Entry {
            record,
            started: worker.ring.now(),
            meter: None,
            estimated_input: 0,
            reached: Reached::Nobody,
            ticket: None,
            refused: Standings::new(),
            worker: worker.clone(),
            serving: serving.clone(),
        }
    }

    /// What a request is expected to use: its input, and as much output per choice as is reserved.
    pub(super) fn estimate(&self, ask: &Ask) -> Spend {
        let output = ask.max_output.unwrap_or(RESERVED_OUTPUT_MAX).min(RESERVED_OUTPUT_MAX);
        let output = output.saturating_mul(ask.choices.clamp(1, 128));
        let usage = Usage { input: self.estimated_input, output, ..Usage::default() };
        spend(&usage, self.price(&usage))
    }

    /// Step 6: every limit in `limits` reserves, or none does and the request is refused.
    ///
    /// Waits only for the disk, when a budget has room of which none is written down yet.
    pub(super) async fn reserve(
        &mut self,
        limits: &[u32],
        asking: &Asking<'_>,
        estimate: Spend,
    ) -> Result<(), Fault> {
        if limits.is_empty() {
            return Ok(());
        }
        let until = self.started + GRANT_WAIT_MAX;
        loop {
            let version = self.worker.grants.version();
            match self.try_reserve(limits, asking, &estimate) {
                Ok(ticket) => {
                    self.ticket = Some(ticket);
                    return Ok(());
                }
                Err(Denied::Ungranted) if self.worker.ring.now() < until => {
                    self.worker.grants.changed_since(&self.worker.ring, version).await;
                }
                Err(denied) => {
                    let now = self.worker.moment();
                    let rules = &self.serving.in_force.rules;
                    let mut book = self.worker.book.borrow_mut();
                    self.refused = book.standings_of(rules, limits.iter().copied(), asking, now);
                    drop(book);
                    return Err(self.denied(denied));
                }
            }
        }
    }

    fn try_reserve(&self, limits: &[u32], asking: &Asking<'_>, estimate: &Spend) -> Result<Ticket, Denied> {
        let (rules, now) = (&self.serving.in_force.rules, self.worker.moment());
        let mut book = self.worker.book.borrow_mut();
        let ticket = book.reserve(rules, limits.iter().copied(), asking, estimate, now, |rule, note| {
            count(self.counts(rule), note);
        });
        self.worker.board.ask(book.take_asks());
        self.worker.desk.counters.reservations_open.set(book.open_reservations() as u64);
        ticket
    }

    /// Counts a refusal and notes it in the record.
    fn denied(&mut self, denied: Denied) -> Fault {
        let (rule, balance, wait) = match &denied {
            Denied::Refused(refused) => (refused.rule, refused.balance, refused.wait),
            Denied::Blocked(rule) | Denied::MissingKey(rule, _) => (*rule, 0, None),
            Denied::Ungranted => return Fault::Ungranted,
        };
        self.counts(rule).refused.add(1);
        let Some(ready) = self.serving.in_force.rules.rules.get(rule as usize) else {
            return Fault::Ungranted;
        };
        let name = ready.rule.name.clone();
        let _ = self.record.decisions.try_push(Decision {
            rule: name.clone(),
            unit: ready.rule.unit.name(),
            admitted: false,
            reserved: 0,
            settled: 0,
            balance_after: balance,
            retry_after_ms: wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        });
        match denied {
            Denied::Refused(refused) => Fault::Refused(refused),
            Denied::MissingKey(_, part) => Fault::MissingKey(name, part),
            Denied::Blocked(_) | Denied::Ungranted => Fault::Blocked(name),
        }
    }

    /// How the limits of this exchange stand, for the headers of an answer.
    pub(super) fn standings(&self) -> Standings {
        match &self.ticket {
            Some(ticket) => self.worker.book.borrow().standings(ticket, self.worker.moment()),
            None => self.refused.clone(),
        }
    }

    /// Notes that the first byte of the answer is on its way to the client.
    pub(super) fn first_byte(&mut self) {
        let after = self.worker.ring.now().since(self.started);
        self.worker.latencies.borrow_mut().first_token.record(after);
        self.record.first_byte_us = Some(micros(after));
    }

    /// What the exchange used and who says so.
    ///
    /// The provider's word counts where it gave it to the end. Where an answer broke off or came without
    /// usage, what passed is counted by its bytes; a number that the provider did report is kept if larger.
    fn usage(&self) -> (Usage, UsageSource) {
        let counted_input = Usage { input: self.estimated_input, ..Usage::default() };
        let meter = match (&self.meter, self.reached) {
            (_, Reached::Nobody | Reached::Refusal) => return (Usage::default(), UsageSource::None),
            (None, _) => return (counted_input, UsageSource::Counted),
            (Some(meter), _) => meter,
        };
        let reported = meter.usage();
        if let Some(usage) = reported.filter(|_| meter.complete()) {
            return (usage, UsageSource::Reported);
        }
        let mut usage = reported.unwrap_or(counted_input);
        usage.output = usage.output.max(output_tokens(meter.output_bytes(), Ratio::DEFAULT));
        (usage, UsageSource::Counted)
    }

    fn settle(&mut self) {
        let (usage, source) = self.usage();
        if let Some(model) = self.meter.as_ref().and_then(Meter::model) {
            self.record.model_used = bounded(model.as_bytes());
        }
        let cost = self.price(&usage);
        if let Some(ticket) = self.ticket.take() {
            let spend = spend(&usage, cost);
            let Entry { serving, record, worker, .. } = self;
            let InForce { rules, limit_counters, .. } = &*serving.in_force;
            let counters = &limit_counters[usize::from(worker.desk.worker)];
            let mut book = worker.book.borrow_mut();
            book.settle(ticket, rules, &spend, worker.moment(), |settled| {
                let place = settled.rule as usize;
                note_settled(&settled, &rules.rules[place].rule, source, &counters[place], record);
            });
            worker.board.ask(book.take_asks());
            worker.desk.counters.reservations_open.set(book.open_reservations() as u64);
        }
        let record = &mut self.record;
        record.usage_source = source;
        record.cost_nano_usd = u64::try_from(cost.0).unwrap_or(0);
        record.usage = UsageCounts {
            input: usage.input,
            cached_input: usage.cached_input,
            cache_write: usage.cache_write,
            output: usage.output,
            reasoning: usage.reasoning,
        };
        if source != UsageSource::None {
            self.worker.desk.counters.count_usage(&self.record.usage, self.record.cost_nano_usd);
        }
        if source == UsageSource::Counted {
            self.worker.desk.counters.usage_missing.add(1);
        }
    }

    fn price(&self, usage: &Usage) -> Money {
        let Some(provider) = self.record.provider else { return Money::ZERO };
        let models = [self.record.model_used.as_str(), self.record.model_asked.as_str()];
        let catalogue = &self.serving.in_force.snapshot.catalogue;
        let price = models.into_iter().find_map(|model| catalogue.price(provider, model));
        price.map_or(Money::ZERO, |price| cost(price, usage))
    }

    fn counts(&self, limit: u32) -> &LimitCounters {
        &self.serving.in_force.limit_counters[usize::from(self.worker.desk.worker)][limit as usize]
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.worker.is_stopping() && self.record.outcome == Outcome::default() {
            self.record.outcome = Outcome::Shutdown;
        }
        self.settle();
        let duration = self.worker.ring.now().since(self.started);
        self.worker.latencies.borrow_mut().request.record(duration);
        let counters = &self.worker.desk.counters;
        counters.requests_in_flight.sub(1);
        counters.downstream_bytes_in.add(self.record.bytes_in);
        counters.downstream_bytes_out.add(self.record.bytes_out);
        counters.outcomes.count(self.record.outcome);
        if self.record.status != 0 {
            counters.statuses.count(self.record.status);
        }
        self.record.duration_us = micros(duration);
        let blank = Record::begun(0, 0, self.record.client);
        self.worker.log(std::mem::replace(&mut self.record, blank));
    }
}

impl Entry {
    /// Says how the exchange ended.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.record.outcome = outcome;
    }
}

/// Counts a settled account, and notes it in the record as far as there is room; the counters have them all.
fn note_settled(
    settled: &Settled,
    rule: &limit::Rule,
    source: UsageSource,
    counts: &LimitCounters,
    record: &mut Record,
) {
    counts.settled.add(settled.spent);
    counts.refunded.add(settled.reserved.saturating_sub(settled.spent));
    counts.overspent.add(settled.spent.saturating_sub(settled.reserved));
    match source {
        UsageSource::Counted => counts.counted.add(settled.spent),
        UsageSource::Reported | UsageSource::None => counts.reported.add(settled.spent),
    }
    let _ = record.decisions.try_push(Decision {
        rule: rule.name.clone(),
        unit: rule.unit.name(),
        admitted: true,
        reserved: settled.reserved,
        settled: settled.spent,
        balance_after: settled.balance,
        retry_after_ms: 0,
    });
}

/// Counts what a limit did.
fn count(counts: &LimitCounters, note: Note) {
    match note {
        Note::Admitted(reserved) => {
            counts.admitted.add(1);
            counts.reserved.add(reserved);
        }
        Note::Leased(amount) => counts.leased.add(amount),
        Note::ShadowRefused => counts.shadow_refused.add(1),
        Note::ToppedUp(amount) => counts.reserved.add(amount),
    }
}

/// Usage and its cost, as limits count them.
fn spend(usage: &Usage, cost: Money) -> Spend {
    Spend {
        input: usage.input,
        cached_input: usage.cached_input,
        cache_write: usage.cache_write,
        output: usage.output,
        reasoning: usage.reasoning,
        cost,
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
