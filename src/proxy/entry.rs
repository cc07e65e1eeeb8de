//! The books of one exchange: its record, its reservation, its meter. What ends here is settled, once.

use super::call::starts_with;
use super::credit::{Credit, Foreseen, spend};
use super::held::Held;
use super::pricing::Pricing;
use super::serving::Serving;
use super::worker::Worker;
use crate::base::{Money, Tick, Tokens};
use crate::llm::estimate::output_tokens;
use crate::llm::guard::By;
use crate::llm::translate::Lost;
use crate::llm::{Meter, Usage, Work};
use crate::mail::Sheet;
use crate::route::cors::CORS_HEADERS;
use crate::runtime::clock;
use crate::telemetry::record::{GuardName, bounded};
use crate::telemetry::{Outcome, UsageCounts, UsageSource};
use std::net::SocketAddr;
use std::rc::Rc;

/// Everything about one exchange that outlives its success or failure.
///
/// Dropping it is the one way to the end: it settles the reservation with what the meter saw, counts, and
/// hands the record to the journal, whether the exchange completed, failed at any step, or panicked.
pub(super) struct Entry {
    pub(super) record: Sheet,
    pub(super) started: Tick,
    /// What reads usage out of the answer, once there is one.
    pub(super) meter: Option<Meter>,
    /// What is known of the request before it goes out.
    pub(super) foreseen: Foreseen,
    /// What it costs.
    pub(super) pricing: Pricing,
    /// Input of attempts that broke off when a provider had them and that were made again: it may have been paid for.
    pub(super) given_up: Tokens,
    /// What that cost, by the price of whoever was asked.
    given_up_cost: Money,
    /// How far the request got, for what it may have cost although no answer came.
    pub(super) reached: Reached,
    /// What it has reserved and how that is used up.
    pub(super) credit: Credit,
    /// What it holds in memory.
    pub(super) held: Held,
    /// The header lines that CORS has in whatever answer goes out; empty where no filter speaks of it.
    pub(super) cors: Vec<u8>,
    pub(super) worker: Rc<Worker>,
    pub(super) serving: Rc<Serving>,
    /// The fault that is planted in it.
    #[cfg(test)]
    pub(super) planted: String,
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
    pub(super) fn begin(worker: &Rc<Worker>, serving: &Rc<Serving>, client: SocketAddr) -> Entry {
        worker.desk.counters.requests_in_flight.add(1);
        Entry {
            record: worker.desk.records.begin(clock::unix_ms(), worker.desk.worker, client),
            started: worker.ring.now(),
            meter: None,
            foreseen: Foreseen::default(),
            pricing: Pricing::default(),
            given_up: 0,
            given_up_cost: Money::ZERO,
            reached: Reached::Nobody,
            credit: Credit::default(),
            held: Held::new(worker),
            cors: Vec::new(),
            worker: worker.clone(),
            serving: serving.clone(),
            #[cfg(test)]
            planted: String::new(),
        }
    }

    /// Notes that the first byte of the answer is on its way to the client.
    pub(super) fn first_byte(&mut self) {
        let after = self.worker.ring.now().since(self.started);
        self.worker.latencies.borrow_mut().first_token.record(after);
        self.record.first_byte_us = Some(micros(after));
    }

    /// Whether a header of the backend's answer gives way to what CORS says here.
    pub(super) fn replaces(&self, name: &[u8]) -> bool {
        !self.cors.is_empty() && starts_with(name, CORS_HEADERS.as_bytes())
    }

    /// What the exchange used and who says so.
    ///
    /// The provider's word counts where it gave it to the end. Where an answer broke off or came without
    /// usage, what passed is counted by its bytes; a number that the provider did report is kept if larger.
    pub(super) fn usage(&self) -> (Usage, UsageSource) {
        self.with_given_up(self.usage_of_answer())
    }

    fn with_given_up(&self, (mut usage, source): (Usage, UsageSource)) -> (Usage, UsageSource) {
        if self.given_up == 0 {
            return (usage, source);
        }
        usage.input = usage.input.saturating_add(self.given_up);
        (usage, UsageSource::Counted)
    }

    /// Counts what a translation could not carry.
    pub(super) fn count_lost(&self, lost: &Lost) {
        lost.names().iter().for_each(|name| self.worker.desk.counters.lost.count(name));
    }

    /// Notes that an attempt is given up that its provider may have worked on.
    pub(super) fn give_up_attempt(&mut self) {
        if self.foreseen.work != Work::Free {
            let input = Usage { input: self.foreseen.input, ..Usage::none() };
            self.given_up = self.given_up.saturating_add(input.input);
            self.given_up_cost += self.foreseen_cost(&input);
        }
    }

    /// The same of the last attempt alone: what its client is told, and what decides on the price.
    pub(super) fn usage_of_answer(&self) -> (Usage, UsageSource) {
        let counted_input = Usage { input: self.foreseen.input, ..Usage::default() };
        if self.foreseen.work == Work::Free {
            return (Usage::default(), UsageSource::None);
        }
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
        usage.output = usage.output.max(output_tokens(meter.output_bytes(), self.foreseen.ratio));
        (usage, UsageSource::Counted)
    }

    fn settle(&mut self) {
        let of_answer = self.usage_of_answer();
        let (usage, source) = self.with_given_up(of_answer);
        if let Some(model) = self.meter.as_ref().and_then(Meter::model) {
            self.record.model_used = bounded(model.as_bytes());
        }
        let cost = self.cost(&of_answer.0, source) + self.given_up_cost;
        self.settle_credit(&spend(&usage, cost), source);
        if source == UsageSource::Reported {
            self.learn(&usage);
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
            cache_write_1h: usage.cache_write_1h,
            audio_input: usage.audio_input,
            audio_output: usage.audio_output,
        };
        if source != UsageSource::None {
            self.worker.desk.counters.count_usage(&self.record.usage, self.record.cost_nano_usd);
        }
        if source == UsageSource::Counted {
            self.worker.desk.counters.usage_missing.add(1);
        }
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
        self.worker.log(&mut self.record);
    }
}

impl Entry {
    /// Says how the exchange ended.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.record.outcome = outcome;
    }

    /// Says which guard rejected the request or its answer.
    pub(super) fn rejected_by(&mut self, By { phase, number, kind }: By) {
        self.record.guard = Some(GuardName::new(phase.name(), number, kind));
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
