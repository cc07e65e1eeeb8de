//! The credit of one exchange: reserved before its request goes out, topped up while a stream passes, settled
//! once at its end.

use super::caller::Asking;
use super::entry::Entry;
use super::fault::Fault;
use crate::base::{Money, Tokens};
use crate::limit::{self, Denied, Note, OnExhausted, Settled, Spend, Standing, Ticket};
use crate::llm::estimate::{Ratio, output_tokens};
use crate::llm::{Ask, Usage};
use crate::mail::InForce;
use crate::telemetry::{Decision, LimitCounters, Record, UsageSource};
use arrayvec::ArrayVec;
use std::time::Duration;

/// How long a request waits, since it began, for its budget to be on disk.
const GRANT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Output tokens that are reserved at most for an answer that arrives whole.
const RESERVED_OUTPUT: Tokens = 1024;

/// Output tokens that a stream reserves at a time.
const STREAM_CHUNK: Tokens = 256;

/// How limits stand, the tightest of each unit.
pub(super) type Standings = ArrayVec<Standing, 4>;

/// What an exchange has reserved.
#[derive(Default)]
pub(super) struct Credit {
    ticket: Option<Ticket>,
    /// How the limits stood that refused.
    refused: Standings,
    /// Tokens of output that the reservation covers.
    output: Tokens,
}

impl Entry {
    /// What a request is expected to use: its input, and output for each choice.
    pub(super) fn estimate(&mut self, ask: &Ask) -> Spend {
        let output = self.expected_output(ask).saturating_mul(ask.choices.clamp(1, 128));
        self.credit.output = output;
        self.spend_of(self.estimated_input, output)
    }

    /// A stream is followed while it passes, so that a first chunk is enough to begin with. An answer that
    /// arrives whole is reserved as far as can be foreseen. A client's `max_tokens` is a ceiling, often far
    /// above any real answer; what is spent beyond the reservation becomes debt.
    fn expected_output(&self, ask: &Ask) -> Tokens {
        let ceiling = ask.max_output.unwrap_or(Tokens::MAX);
        match ask.stream {
            Some(true) => ceiling.min(STREAM_CHUNK),
            _ => ceiling.min(RESERVED_OUTPUT),
        }
    }

    fn spend_of(&self, input: Tokens, output: Tokens) -> Spend {
        let usage = Usage { input, output, ..Usage::default() };
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
                    self.credit.ticket = Some(ticket);
                    return Ok(());
                }
                Err(Denied::Ungranted) if self.worker.ring.now() < until => {
                    self.worker.grants.changed_since(&self.worker.ring, version).await;
                }
                Err(denied) => {
                    let now = self.worker.moment();
                    let rules = &self.serving.in_force.rules;
                    let mut book = self.worker.book.borrow_mut();
                    let standings = book.standings_of(rules, limits.iter().copied(), asking, now);
                    drop(book);
                    self.credit.refused = standings;
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

    /// Step 9, for a stream: sees to it that what has passed of it is reserved, chunk by chunk.
    ///
    /// # Errors
    /// No account covers more and one of the limits says that the stream ends here.
    pub(super) fn keep_up(&mut self) -> Result<(), Fault> {
        let (Some(ticket), Some(meter)) = (&self.credit.ticket, &self.meter) else { return Ok(()) };
        let counted = output_tokens(meter.output_bytes(), Ratio::DEFAULT);
        let passed = counted.max(meter.usage().map_or(0, |usage| usage.output));
        if passed < self.credit.output {
            return Ok(());
        }
        let more = passed - self.credit.output + STREAM_CHUNK;
        let (rules, now) = (&self.serving.in_force.rules, self.worker.moment());
        let mut book = self.worker.book.borrow_mut();
        let topped = book.top_up(ticket, rules, &self.spend_of(0, more), now, |rule, note| {
            count(self.counts(rule), note);
        });
        self.worker.board.ask(book.take_asks());
        drop(book);
        // A stream that goes on without cover asks again after its next chunk: credit comes back.
        self.credit.output = passed + STREAM_CHUNK;
        match topped {
            Err(OnExhausted::Cut) => Err(Fault::Exhausted),
            Ok(()) | Err(OnExhausted::Finish) => Ok(()),
        }
    }

    /// Step 10: replaces what was reserved by what was really spent.
    pub(super) fn settle_credit(&mut self, spend: &Spend, source: UsageSource) {
        let Some(ticket) = self.credit.ticket.take() else { return };
        let Entry { serving, record, worker, .. } = self;
        let InForce { rules, limit_counters, .. } = &*serving.in_force;
        let counters = &limit_counters[usize::from(worker.desk.worker)];
        let mut book = worker.book.borrow_mut();
        book.settle(ticket, rules, spend, worker.moment(), |settled| {
            let place = settled.rule as usize;
            note_settled(&settled, &rules.rules[place].rule, source, &counters[place], record);
        });
        worker.board.ask(book.take_asks());
        worker.desk.counters.reservations_open.set(book.open_reservations() as u64);
    }

    fn counts(&self, limit: u32) -> &LimitCounters {
        &self.serving.in_force.limit_counters[usize::from(self.worker.desk.worker)][limit as usize]
    }

    /// How the limits of this exchange stand, for the headers of an answer.
    pub(super) fn standings(&self) -> Standings {
        match &self.credit.ticket {
            Some(ticket) => self.worker.book.borrow().standings(ticket, self.worker.moment()),
            None => self.credit.refused.clone(),
        }
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
pub(super) fn spend(usage: &Usage, cost: Money) -> Spend {
    Spend {
        input: usage.input,
        cached_input: usage.cached_input,
        cache_write: usage.cache_write,
        output: usage.output,
        reasoning: usage.reasoning,
        cost,
    }
}
