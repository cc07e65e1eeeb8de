//! What would have become of requests under other limits: the same books that workers have, on a clock that goes from
//! one record to the next.

use super::asker::{Asker, Digests, is_known};
use super::past::Past;
use super::tally::{Refusal, Tally};
use crate::base::{FastMap, Moment, Money, Tick, Tokens};
use crate::config::{Backend, Rule, Snapshot};
use crate::limit::{
    Accounts, Book, Caller, Denied, KeyPart, Note, OnExhausted, RuleSet, Settled, Ticket, Tuning,
};
use crate::llm::learn::Learned;
use crate::llm::{Usage, Work};
use crate::proxy::spend;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

/// How often reservations whose time is over are looked for, as a worker does it.
const SWEEP: Duration = Duration::from_secs(1);
/// Into how many parts the reservation of a stream is cut at most; a worker's own would be without end for what some host says
/// that it has generated.
const PARTS_MAX: Tokens = 4096;
/// Models, and pairs of a route and a model, that are learned about.
const LEARNED_MAX: usize = 4096;

/// The replay as far as it has come.
pub(super) struct Course<'s> {
    snapshot: &'s Snapshot,
    rules: RuleSet,
    book: Book,
    learned: Learned,
    /// What requests of a route and a model have used so far, for those whose usage nobody knows.
    means: FastMap<(Arc<str>, Arc<str>), Mean>,
    digests: Digests,
    by_rule: FastMap<&'s str, &'s Rule>,
    by_backend: FastMap<&'s str, &'s Backend>,
    /// What is under way, by number; and when something becomes of it, the next first.
    flights: FastMap<u64, Flight<'s>>,
    events: BinaryHeap<Reverse<(Tick, u64, i64)>>,
    started: u64,
    swept: Tick,
    pub(super) tally: Tally,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    count: u64,
    input: Tokens,
    output: Tokens,
}

/// A request that was admitted.
struct Flight<'s> {
    past: &'s Past,
    ticket: Ticket,
    begin: Moment,
    usage: Usage,
    /// What it pays by: whose price, of which model.
    payer: Payer<'s>,
    /// Tokens of output that are reserved.
    covered: Tokens,
}

/// By which price a request is paid.
#[derive(Clone, Copy)]
struct Payer<'s> {
    vendor: Option<&'static str>,
    asked: &'s str,
    used: &'s str,
}

impl<'s> Course<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Course<'s> {
        let limits = &snapshot.settings.limits;
        let tuning = Tuning { workers: 1, share_percent: limits.lease_share, quantum: limits.lease_quantum };
        let accounts = Accounts::new(limits.accounts as usize, false, tuning);
        // Of a rule with several entries the first stands for all: records do not say by which listener they came.
        let by_rule = snapshot.rules.iter().rev().map(|rule| (&*rule.name, rule)).collect();
        let by_backend = snapshot.backends.iter().map(|backend| (&*backend.name, backend)).collect();
        Course {
            snapshot,
            rules: RuleSet::new(&snapshot.limits),
            book: Book::new(0, Arc::new(accounts), limits.hold),
            learned: Learned::new(LEARNED_MAX, LEARNED_MAX),
            means: FastMap::default(),
            digests: Digests::of(snapshot),
            by_rule,
            by_backend,
            flights: FastMap::default(),
            events: BinaryHeap::new(),
            started: 0,
            swept: Tick::default(),
            tally: Tally::of(&snapshot.limits),
        }
    }

    /// Asks the limits for every request in its turn, and lets those that are admitted spend and end as they did.
    pub(super) fn run(&mut self, records: &'s [Past], told: &mut dyn FnMut(&Refusal<'s>)) {
        let Some(first) = records.first() else { return };
        for past in records {
            let since = Duration::from_millis(past.begin_ms - first.begin_ms);
            let unix_ms = i64::try_from(past.begin_ms).unwrap_or(i64::MAX);
            // Nothing happens at the origin of the clock itself.
            let now = Moment { tick: Tick(0) + SWEEP + since, unix_ms };
            self.go_on_to(now);
            if let Some(refusal) = self.ask(past, now) {
                told(&refusal);
            }
        }
        while let Some(Reverse((tick, number, unix_ms))) = self.events.pop() {
            self.happens(number, Moment { tick, unix_ms });
        }
    }

    fn go_on_to(&mut self, now: Moment) {
        while let Some(Reverse((tick, number, unix_ms))) = self.events.peek().copied()
            && tick <= now.tick
        {
            self.events.pop();
            self.happens(number, Moment { tick, unix_ms });
        }
        if now.tick.since(self.swept) >= SWEEP {
            self.swept = now.tick;
            self.book.sweep(now);
        }
    }

    /// One request: admitted, or refused by a limit.
    fn ask(&mut self, past: &'s Past, now: Moment) -> Option<Refusal<'s>> {
        self.tally.asked(past);
        let Some(rule) = self.by_rule.get(&*past.rule).copied() else {
            self.tally.unrouted += 1;
            return None;
        };
        let backend = past.backend.as_deref().and_then(|name| self.by_backend.get(name)).copied();
        let mut limits: Vec<u32> = match backend {
            Some(backend) => rule.limits_with(backend).to_vec(),
            None => rule.limits.clone(),
        };
        self.leave_out_unknown(past, &mut limits);
        let own = backend.and_then(|backend| backend.ai()?.model.as_deref());
        let usage = self.usage_of(past);
        let mut fallback: Option<&'s str> = None;
        loop {
            let asked = fallback.or(own).unwrap_or(&past.asked);
            let used = if fallback.is_some() || past.used.is_empty() { asked } else { &past.used };
            let payer = Payer { vendor: backend.and_then(|backend| backend.vendor), asked, used };
            let covered = self.expected_output(past, asked, usage.output);
            let estimate = Usage { input: usage.input, output: covered, ..Usage::default() };
            let estimate = spend(&estimate, self.cost(&estimate, asked, payer.vendor));
            let asker = Asker { past, model: fallback.unwrap_or(&past.asked), digests: &self.digests };
            let (rules, tally) = (&self.rules, &mut self.tally);
            let denied = match self.book.reserve(
                rules,
                limits.iter().copied(),
                &asker,
                &estimate,
                now,
                |rule, note| {
                    if note == Note::ShadowRefused {
                        tally.limits[rule as usize].shadow += 1;
                    }
                },
            ) {
                Ok(ticket) => {
                    self.tally.admitted(past, fallback.is_some());
                    self.begin(Flight { past, ticket, begin: now, usage, payer, covered });
                    return None;
                }
                Err(denied) => denied,
            };
            let (at, wait, balance) = match &denied {
                Denied::Refused(refused) => (refused.rule, refused.wait, Some(refused.balance)),
                Denied::Blocked(rule) | Denied::MissingKey(rule, _) => (*rule, None, None),
                // Nothing is kept on disk here, so nothing waits for it.
                Denied::Ungranted => return None,
            };
            let limit = &self.snapshot.limits[at as usize];
            match limit.fallback.as_deref().filter(|_| past.work == Work::Generates && balance.is_some()) {
                Some(model) => {
                    fallback = Some(model);
                    limits.retain(|limit| *limit != at);
                }
                None => {
                    let label = match &denied {
                        Denied::MissingKey(..) => "without a key".to_owned(),
                        _ => asker.label(&limit.key),
                    };
                    let refusal = Refusal { past, limit: &limit.name, label, wait, balance };
                    self.tally.refused(at as usize, &refusal);
                    return Some(refusal);
                }
            }
        }
    }

    /// Limits whose key nobody can tell from a record are not asked; it is counted.
    fn leave_out_unknown(&mut self, past: &Past, limits: &mut Vec<u32>) {
        limits.retain(|limit| {
            let Some(rule) = self.snapshot.limits.get(*limit as usize) else { return false };
            let unknown = rule.key.iter().find(|part| !is_known(past, part));
            if let Some(part) = unknown {
                self.tally.limits[*limit as usize].not_judged(part);
            }
            unknown.is_none()
        });
    }

    /// What it used. What was refused used nothing, so it counts as the others of its route and model did.
    fn usage_of(&self, past: &Past) -> Usage {
        if !past.refused {
            return past.usage;
        }
        let mean = self.means.get(&(past.route.clone(), past.asked.clone())).copied().unwrap_or_default();
        let count = mean.count.max(1);
        Usage { input: mean.input / count, output: mean.output / count, ..Usage::default() }
    }

    /// What a worker would have reserved for the answer, the client's ceiling apart, which records do not hold.
    fn expected_output(&self, past: &Past, model: &str, used: Tokens) -> Tokens {
        let limits = &self.snapshot.settings.limits;
        match past.work {
            Work::Generates if past.streamed => limits.stream_chunk,
            Work::Generates => self.learned.expected_output(&past.route, model, None, limits.output_reserve),
            _ => used,
        }
    }

    fn cost(&self, usage: &Usage, model: &str, vendor: Option<&'static str>) -> Money {
        let Some(vendor) = vendor else { return Money::ZERO };
        let listed = self.snapshot.catalogue.find(vendor, model);
        self.snapshot.rates(listed, usage.input).map_or(Money::ZERO, |rates| rates.cost(usage))
    }

    fn begin(&mut self, flight: Flight<'s>) {
        self.started += 1;
        self.plan(self.started, &flight);
        self.flights.insert(self.started, flight);
    }

    /// When something becomes of it next: a stream outlasts what is reserved, or it ends. Tokens are taken to come evenly.
    fn plan(&mut self, number: u64, flight: &Flight<'_>) {
        let Flight { past, begin, usage, covered, .. } = flight;
        let outlasts = past.streamed && *covered < usage.output;
        let part = match outlasts {
            true => *covered as f64 / usage.output as f64,
            false => 1.0,
        };
        let at = begin.later(past.duration.mul_f64(part));
        self.events.push(Reverse((at.tick, number, at.unix_ms)));
    }

    /// A stream needs more, or a request ends.
    fn happens(&mut self, number: u64, now: Moment) {
        let Some(mut flight) = self.flights.remove(&number) else { return };
        if !flight.past.streamed || flight.covered >= flight.usage.output {
            return self.end(flight, now);
        }
        let chunk = self.snapshot.settings.limits.stream_chunk.max(flight.usage.output / PARTS_MAX).max(1);
        let more = Usage { output: chunk, ..Usage::default() };
        let more = spend(&more, self.cost(&more, flight.payer.asked, flight.payer.vendor));
        if self.book.top_up(&flight.ticket, &self.rules, &more, now, |_, _| ()) == Err(OnExhausted::Cut) {
            self.tally.cut += 1;
            flight.usage.output = flight.covered;
            return self.end(flight, now);
        }
        flight.covered = flight.covered.saturating_add(chunk);
        self.plan(number, &flight);
        self.flights.insert(number, flight);
    }

    fn end(&mut self, flight: Flight<'s>, now: Moment) {
        let Flight { past, ticket, usage, payer, .. } = flight;
        let Payer { vendor, asked, used } = payer;
        let known = vendor.and_then(|vendor| self.snapshot.catalogue.find(vendor, used)).is_some();
        let spent = spend(&usage, self.cost(&usage, if known { used } else { asked }, vendor));
        let limits = &mut self.tally.limits;
        self.book.settle(ticket, &self.rules, &spent, now, |settled: Settled| {
            limits[settled.rule as usize].spent += u128::from(settled.spent);
        });
        self.tally.spent(&spent);
        if past.refused || usage == Usage::default() {
            return;
        }
        let mean = self.means.entry((past.route.clone(), past.asked.clone())).or_default();
        mean.count += 1;
        mean.input = mean.input.saturating_add(usage.input);
        mean.output = mean.output.saturating_add(usage.output);
        if past.work == Work::Generates {
            self.learned.observe_output(&past.route, asked, usage.output);
        }
    }
}

/// What a report says of a part that records do not hold.
pub(super) fn remedy(part: &KeyPart) -> String {
    match part {
        KeyPart::Header(name) => {
            format!("records do not hold the header {name}: name it in records.headers of Settings")
        }
        KeyPart::Metadata(_) => "records do not hold the metadata of API keys".to_owned(),
        KeyPart::User => "records do not say whether a name is a user's".to_owned(),
        _ => "records do not hold claims".to_owned(),
    }
}
