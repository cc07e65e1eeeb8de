//! What a request costs in allocations once a worker is warm: for its limits, none.

use std::sync::Arc;
use std::time::Duration;
use tollgate::base::{Moment, Tick};
use tollgate::limit::{
    Accounts, Book, Caller, Every, KeyPart, Measure, Rate, Rule, RuleSet, Spend, Tuning, Unit, Zone,
};

const NOW: Moment = Moment { tick: Tick(3_600_000_000_000), unix_ms: 1_767_225_600_000 };

/// A caller whose key is its number.
struct Caller7(u128);

impl Caller for Caller7 {
    fn key(&self, _: &[KeyPart]) -> Result<u128, usize> {
        Ok(self.0)
    }

    fn label(&self, _: &[KeyPart]) -> String {
        self.0.to_string()
    }
}

/// Requests, tokens, money and what is under way, by key, by model and for all.
fn rules() -> RuleSet {
    let rate = Rate { per_fill: 1_000_000, fill: Duration::from_secs(60) };
    let bucket = Measure::Bucket { capacity: 1 << 40, rate };
    let month = Measure::Calendar { budget: 1 << 50, every: Every::Month, zone: Zone::utc() };
    let hour = Measure::Sliding { budget: 1 << 40, length: Duration::from_secs(3600) };
    let rows = [
        ("requests", Unit::Requests, bucket.clone(), vec![KeyPart::ApiKey]),
        ("tokens", Unit::Tokens, bucket, vec![KeyPart::ApiKey, KeyPart::Model]),
        ("month", Unit::Cost, month, vec![KeyPart::ApiKey]),
        ("hour", Unit::Tokens, hour, vec![KeyPart::Model]),
        ("at-once", Unit::Concurrency, Measure::Concurrent { max: 1000 }, vec![]),
    ];
    let rule = |(name, unit, measure, key)| Rule { key, ..Rule::new(name, unit, measure) };
    RuleSet::new(&rows.map(rule))
}

#[test]
fn a_warm_worker_reserves_tops_up_and_settles_without_allocating() {
    for workers in [1, 2] {
        let rules = rules();
        let tuning = Tuning { workers, ..Tuning::default() };
        let accounts = Arc::new(Accounts::new(1000, false, tuning));
        let hold = Duration::from_secs(60);
        let mut books: Vec<Book> =
            (0..workers).map(|worker| Book::new(worker, accounts.clone(), hold)).collect();
        let spend = Spend { input: 100, output: 50, ..Spend::default() };
        let mut exchange = |number: u64| {
            let now = NOW.later(Duration::from_micros(number));
            let book = &mut books[(number % u64::from(workers)) as usize];
            let caller = Caller7(u128::from(number % 7 + 1) << 64);
            let limits = 0..rules.rules.len() as u32;
            let ticket =
                book.reserve(&rules, limits, &caller, &spend, now, |_, _| {}).expect("plenty is there");
            assert_eq!(book.top_up(&ticket, &rules, &spend, now, |_, _| {}), Ok(()));
            assert_eq!(book.standings(&ticket, now).len(), 2, "of requests and tokens");
            book.settle(ticket, &rules, &spend, now, |_| {});
        };
        (0..1000).for_each(&mut exchange);
        let counted = allocation_counter::measure(|| (1000..2000).for_each(&mut exchange));
        assert_eq!(counted.count_total, 0, "{workers} workers");
    }
}
