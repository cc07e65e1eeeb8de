//! The credit of one exchange: reserved before its request goes out, topped up while a stream passes, settled
//! once at its end.

use super::caller::Asking;
use super::entry::Entry;
use super::fault::Fault;
use crate::base::{Money, Tokens};
use crate::config;
use crate::limit::{self, Denied, LIMITS_MAX, Mode, Note, OnExhausted, Settled, Spend, Standing, Ticket};
use crate::llm::estimate::{OVERHEAD_TOKENS, Ratio, input_tokens, output_tokens};
use crate::llm::{Ask, Format, Tokenizer, Usage, Work};
use crate::mail::InForce;
use crate::telemetry::{LimitCounters, Record, UsageSource, Verdict};
use arrayvec::{ArrayString, ArrayVec};
use std::time::Duration;

/// How long a request waits, since it began, for its budget to be on disk. While another process is about to take this one's place
/// nobody can write; that is decided within seconds (`coordinator/handover`), and the wait begins anew when it is.
const GRANT_WAIT_MAX: Duration = Duration::from_secs(5);

/// How limits stand, the tightest of each unit.
pub(super) type Standings = ArrayVec<Standing, 4>;

/// The most choices that are reserved for.
const CHOICES_MAX: u64 = 128;

/// What was known of a request before it went out.
#[derive(Default)]
pub(super) struct Foreseen {
    /// The model that the provider is asked for: the backend's, else the client's.
    pub(super) model: ArrayString<64>,
    /// Bytes of text per token of that model, as learned so far.
    pub(super) ratio: Ratio,
    /// Input tokens that it was estimated at.
    pub(super) input: Tokens,
    /// What it costs tokens for.
    pub(super) work: Work,
    choices: u64,
    text: u64,
    media: u64,
}

/// What an exchange has reserved.
#[derive(Default)]
pub(super) struct Credit {
    ticket: Option<Ticket>,
    /// How the limits stood that refused.
    refused: Standings,
    /// Tokens of output that the reservation covers.
    output: Tokens,
    /// One of the limits ends streams that outlast it.
    may_cut: bool,
    /// The rules that admitted it, whose settlement is to agree with what is reported.
    admitted: ArrayVec<u32, LIMITS_MAX>,
}

impl Entry {
    /// Step 5: what a request is expected to use, which is its input, and output for each choice; of embeddings the input
    /// alone, of what is free nothing. `body` is the request's, `model` the one that the provider will be asked for.
    pub(super) fn estimate(
        &mut self,
        rule: &config::Rule,
        format: Format,
        ask: &Ask,
        body: &[u8],
        model: ArrayString<64>,
    ) -> Spend {
        let work = format.work();
        if work == Work::Free {
            self.foreseen = Foreseen { model, work, ..Foreseen::default() };
            return Spend::default();
        }
        let ratio = self.worker.learned.borrow().ratio(&model);
        let choices = ask.choices.clamp(1, CHOICES_MAX);
        let input = match work {
            // No conversation, no marks around it.
            Work::Reads => ratio
                .tokens(ask.text_bytes)
                .saturating_add(ask.input_tokens)
                .saturating_add(media_of(ask, ratio)),
            _ => input_of(rule.tokenizer, format, ask, body, ratio),
        };
        // Nothing is learned about texts from a count that is of other texts too.
        let text = if ask.unseen { 0 } else { ask.text_bytes };
        self.foreseen = Foreseen { model, ratio, input, work, choices, text, media: ask.media_bytes };
        let output = match work {
            Work::Generates => self.expected_output(rule, ask).saturating_mul(choices),
            _ => 0,
        };
        self.credit.output = output;
        self.spend_of(input, output)
    }

    /// A stream is followed while it passes, so that a first chunk is enough to begin with. An answer that
    /// arrives whole is reserved as far as can be foreseen. A client's `max_tokens` is a ceiling, often far
    /// above any real answer; what is spent beyond the reservation becomes debt.
    fn expected_output(&self, rule: &config::Rule, ask: &Ask) -> Tokens {
        let limits = self.limits();
        if ask.stream == Some(true) {
            return limits.stream_chunk.min(ask.max_output.unwrap_or(Tokens::MAX));
        }
        let learned = self.worker.learned.borrow();
        learned.expected_output(&rule.route, &self.foreseen.model, ask.max_output, limits.output_reserve)
    }

    /// Learns from what the provider reported of an answer that is complete.
    pub(super) fn learn(&self, usage: &Usage) {
        let Foreseen { model, text, media, choices, work, .. } = &self.foreseen;
        let mut learned = self.worker.learned.borrow_mut();
        learned.observe_input(model, *text, *media, usage.input);
        if *work == Work::Generates
            && let Some(route) = self.record.route.get()
        {
            learned.observe_output(route, model, usage.output / choices.max(&1));
        }
    }

    fn limits(&self) -> &config::Limits {
        &self.serving.in_force.snapshot.settings.limits
    }

    fn spend_of(&self, input: Tokens, output: Tokens) -> Spend {
        let usage = Usage { input, output, ..Usage::default() };
        spend(&usage, self.foreseen_cost(&usage))
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
        let mut until = self.started + GRANT_WAIT_MAX;
        loop {
            if self.worker.is_undecided() {
                until = self.worker.ring.now() + GRANT_WAIT_MAX;
            }
            let version = self.worker.grants.version();
            let mut admitted = ArrayVec::new();
            match self.try_reserve(limits, asking, &estimate, &mut admitted) {
                Ok(ticket) => {
                    self.credit.ticket = Some(ticket);
                    self.credit.admitted = admitted;
                    self.credit.may_cut = limits.iter().any(|limit| self.cuts(*limit));
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

    fn try_reserve(
        &self,
        limits: &[u32],
        asking: &Asking<'_>,
        estimate: &Spend,
        admitted: &mut ArrayVec<u32, LIMITS_MAX>,
    ) -> Result<Ticket, Denied> {
        let (rules, now) = (&self.serving.in_force.rules, self.worker.moment());
        let mut book = self.worker.book.borrow_mut();
        let ticket = book.reserve(rules, limits.iter().copied(), asking, estimate, now, |rule, note| {
            count(self.counts(rule), note);
            if let Note::Admitted(_) = note {
                // Its bound is that of a request's limits.
                let _ = admitted.try_push(rule);
            }
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
        let retry_after_ms = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let unit = ready.rule.unit.name();
        let (admitted, reserved, settled, balance_after) = (false, 0, 0, balance);
        let verdict = Verdict { unit, admitted, reserved, settled, balance_after, retry_after_ms };
        self.record.decisions.note(&name, verdict);
        match denied {
            Denied::Refused(refused) => Fault::Refused(refused),
            Denied::MissingKey(_, part) => Fault::MissingKey(name, part),
            Denied::Blocked(_) | Denied::Ungranted => Fault::Blocked(name),
        }
    }

    /// Step 9, for a stream: sees to it that what has passed of it is reserved, chunk by chunk. Says no when no
    /// account covers more and one of the limits ends streams then.
    pub(super) fn keep_up(&mut self) -> bool {
        let (Some(ticket), Some(meter)) = (&self.credit.ticket, &self.meter) else { return true };
        let counted = output_tokens(meter.output_bytes(), self.foreseen.ratio);
        let passed = counted.max(meter.usage().map_or(0, |usage| usage.output));
        if passed < self.credit.output {
            return true;
        }
        let chunk = self.limits().stream_chunk;
        let more = passed - self.credit.output + chunk;
        let (rules, now) = (&self.serving.in_force.rules, self.worker.moment());
        let mut book = self.worker.book.borrow_mut();
        let topped = book.top_up(ticket, rules, &self.spend_of(0, more), now, |rule, note| {
            count(self.counts(rule), note);
        });
        self.worker.board.ask(book.take_asks());
        drop(book);
        // A stream that goes on without cover asks again after its next chunk: credit comes back.
        self.credit.output = passed + chunk;
        topped != Err(OnExhausted::Cut)
    }

    /// Step 10: replaces what was reserved by what was really spent.
    pub(super) fn settle_credit(&mut self, spend: &Spend, source: UsageSource) {
        let Some(ticket) = self.credit.ticket.take() else { return };
        let Entry { serving, record, worker, credit, .. } = self;
        let InForce { rules, limit_counters, .. } = &*serving.in_force;
        let counters = &limit_counters[usize::from(worker.desk.worker)];
        // What was reported of the request is counted by what admitted it, and what is settled by the book: two
        // ways to one number, whose difference is shown as drift.
        for place in credit.admitted.drain(..).map(|rule| rule as usize) {
            let amount = spend.amount(&rules.rules[place].rule);
            match source {
                UsageSource::Counted => counters[place].counted.add(amount),
                UsageSource::Reported | UsageSource::None => counters[place].reported.add(amount),
            }
        }
        let mut book = worker.book.borrow_mut();
        book.settle(ticket, rules, spend, worker.moment(), |settled| {
            let place = settled.rule as usize;
            note_settled(&settled, &rules.rules[place].rule, &counters[place], record);
        });
        worker.board.ask(book.take_asks());
        worker.desk.counters.reservations_open.set(book.open_reservations() as u64);
    }

    /// Whether the stream may end early because a limit is exhausted.
    pub(super) fn may_be_cut(&self) -> bool {
        self.credit.may_cut
    }

    fn cuts(&self, limit: u32) -> bool {
        let ready = self.serving.in_force.rules.rules.get(limit as usize);
        ready.is_some_and(|r| r.rule.on_exhausted == OnExhausted::Cut && r.rule.mode == Mode::Enforce)
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
fn note_settled(settled: &Settled, rule: &limit::Rule, counts: &LimitCounters, record: &mut Record) {
    counts.settled.add(settled.spent);
    counts.refunded.add(settled.reserved.saturating_sub(settled.spent));
    counts.overspent.add(settled.spent.saturating_sub(settled.reserved));
    let verdict = Verdict {
        unit: rule.unit.name(),
        admitted: true,
        reserved: settled.reserved,
        settled: settled.spent,
        balance_after: settled.balance,
        retry_after_ms: 0,
    };
    record.decisions.note(&rule.name, verdict);
}

/// Input tokens of a request in its client's format: counted where there is what counts them, else estimated from bytes, as
/// media always are.
pub(super) fn input_of(
    tokenizer: Option<Tokenizer>,
    format: Format,
    ask: &Ask,
    body: &[u8],
    ratio: Ratio,
) -> Tokens {
    let counted = tokenizer.and_then(|tokenizer| tokenizer.count(format, body));
    let estimated = || input_tokens(ask.text_bytes, ask.media_bytes, ratio);
    counted.map_or_else(estimated, |tokens| tokens.saturating_add(media_of(ask, ratio)))
}

fn media_of(ask: &Ask, ratio: Ratio) -> Tokens {
    input_tokens(0, ask.media_bytes, ratio).saturating_sub(OVERHEAD_TOKENS)
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
pub(crate) fn spend(usage: &Usage, cost: Money) -> Spend {
    Spend {
        input: usage.input,
        cached_input: usage.cached_input,
        cache_write: usage.cache_write,
        output: usage.output,
        reasoning: usage.reasoning,
        cost,
    }
}
