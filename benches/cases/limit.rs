//! A worker's desk over limits: reserving, settling, and what a client is told.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::{Moment, Tick};
use tollgate::limit::{
    Accounts, Book, Caller, KeyPart, Measure, Rate, Rule, RuleSet, Spend, Ticket, Tuning, Unit,
};

/// What is reserved for a request, and what it turns out to have used.
pub(crate) const ESTIMATE: Spend = spend(1_500);
pub(crate) const USED: Spend = spend(1_112);

/// A refill that divides nothing evenly, as `100000/minute` does not.
const RATE: Rate = Rate { per_fill: 100_000, fill: Duration::from_secs(60) };
/// So much that the benches never empty it.
pub(crate) const PLENTY: u64 = 1 << 40;
/// When accounts are asked.
pub(crate) const NOW: Moment = Moment { tick: Tick(7_200_000_000_000), unix_ms: 3_600_000 };

/// How long a reservation may be open.
const HOLD: Duration = Duration::from_secs(3600);

/// Reserves for a request of `limits` limits and settles it, which is all that limits add to one that is admitted.
pub(crate) fn exchange(limits: usize) -> impl FnMut() {
    let mut desk = Desk::open(limits, 0, &host(1));
    move || desk.exchange(0)
}

/// The numbers for `x-ratelimit-*`: the tightest limit of each unit.
pub(crate) fn standings(limits: usize) -> impl FnMut() {
    let mut desk = Desk::open(limits, 0, &host(1));
    let ticket = desk.reserve(0).expect("plenty is there");
    move || {
        black_box(&desk.book.standings(&ticket, black_box(NOW)));
    }
}

/// A worker's book over limits on requests and on tokens by turns.
pub(crate) struct Desk {
    pub(crate) rules: RuleSet,
    book: Book,
}

/// A caller whose key is known.
struct Key(u128);

impl Caller for Key {
    fn key(&self, _: &[KeyPart]) -> Result<u128, usize> {
        Ok(self.0)
    }

    fn label(&self, _: &[KeyPart]) -> String {
        String::new()
    }
}

impl Desk {
    pub(crate) fn open(count: usize, worker: u32, accounts: &Arc<Accounts>) -> Desk {
        let units = [Unit::Requests, Unit::Tokens].into_iter().cycle();
        let rules: Vec<Rule> = (0..count).zip(units).map(|(n, unit)| rule(n, unit)).collect();
        let book = Book::new(worker, accounts.clone(), HOLD);
        Desk { rules: RuleSet::new(&rules), book }
    }

    pub(crate) fn reserve(&mut self, key: u128) -> Option<Ticket> {
        let limits = 0..self.rules.rules.len() as u32;
        let note = |_, note| {
            black_box(note);
        };
        self.book.reserve(&self.rules, limits, &Key(key), black_box(&ESTIMATE), black_box(NOW), note).ok()
    }

    pub(crate) fn exchange(&mut self, key: u128) {
        let ticket = self.reserve(key).expect("plenty is there");
        self.book.settle(ticket, &self.rules, black_box(&USED), black_box(NOW), |settled| {
            black_box(settled);
        });
    }
}

pub(crate) fn host(workers: u32) -> Arc<Accounts> {
    Arc::new(Accounts::new(2_000_000, false, tuning(workers)))
}

pub(crate) fn tuning(workers: u32) -> Tuning {
    Tuning { workers, ..Tuning::default() }
}

pub(crate) fn measure() -> Measure {
    Measure::Bucket { capacity: PLENTY, rate: RATE }
}

fn rule(n: usize, unit: Unit) -> Rule {
    let key = vec![KeyPart::ApiKey];
    Rule { key, ..Rule::new(&format!("default/policy/limit-{n}"), unit, measure()) }
}

const fn spend(tokens: u64) -> Spend {
    Spend {
        input: tokens,
        cached_input: 0,
        cache_write: 0,
        output: 0,
        reasoning: 0,
        cost: tollgate::base::Money::ZERO,
    }
}
