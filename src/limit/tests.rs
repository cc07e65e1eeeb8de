//! Accounts against the textbook's bucket, and books over several accounts.

use super::*;
use crate::base::{Moment, Tick};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

pub(super) const NS: Duration = Duration::from_nanos(1);
pub(super) const START: Moment = Moment { tick: Tick(5_000), unix_ms: 1_000_000 };
pub(super) const TUNING: Tuning = Tuning { workers: 1, share_percent: 12, quantum: Duration::from_millis(1) };

pub(super) fn account(measure: Measure) -> Account {
    let terms = Arc::new(Terms::new(&"ns/p".into(), Unit::Tokens, &measure));
    Account::open(1, "", &terms, false, START)
}

fn bucket(capacity: u64, per_fill: u64, fill: Duration) -> Account {
    account(Measure::Bucket { capacity, rate: Rate { per_fill, fill } })
}

/// What was taken, or after what time it would have been.
pub(super) fn take(account: &Account, amount: u64, now: Moment) -> Result<u64, Duration> {
    match account.take(amount, 0, &TUNING, now) {
        Taking::Took { amount, .. } => Ok(amount),
        Taking::Short => Err(account.wait_for(amount, now).expect("a time")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_walkthrough_one_request_then_wait_a_hundred_seconds() {
    let (bucket, later) = (bucket(1, 1, Duration::from_secs(100)), START.later(Duration::from_secs(40)));
    assert_eq!(take(&bucket, 1, START), Ok(1));
    assert_eq!(take(&bucket, 1, later), Err(Duration::from_secs(60)));
    assert_eq!(take(&bucket, 1, later.later(Duration::from_secs(60) - NS)), Err(NS));
    assert_eq!(take(&bucket, 1, later.later(Duration::from_secs(60))), Ok(1));
}

#[test]
fn a_bucket_that_was_full_for_a_while_refills_from_when_it_was_spent() {
    let (bucket, later) = (bucket(1, 1, Duration::from_secs(100)), START.later(Duration::from_secs(40)));
    assert_eq!(take(&bucket, 1, later), Ok(1));
    assert_eq!(take(&bucket, 1, later), Err(Duration::from_secs(100)));
    assert_eq!(take(&bucket, 1, later.later(Duration::from_secs(100) - NS)), Err(NS));
    assert_eq!(take(&bucket, 1, later.later(Duration::from_secs(100))), Ok(1));
}

#[test]
fn extreme_measures_and_amounts_neither_overflow_nor_panic() {
    let rate = |per_fill, fill| Rate { per_fill, fill };
    for measure in [
        Measure::Bucket { capacity: u64::MAX, rate: rate(u64::MAX, NS) },
        Measure::Bucket { capacity: 1, rate: rate(u64::MAX, NS) },
        Measure::Bucket { capacity: u64::MAX, rate: rate(1, Duration::MAX) },
        Measure::Bucket { capacity: 1, rate: rate(1, Duration::MAX) },
        Measure::Calendar { budget: u64::MAX, every: Every::Month, zone: Zone::utc() },
        Measure::Sliding { budget: u64::MAX, length: Duration::MAX },
        Measure::Sliding { budget: 1, length: NS },
        Measure::Concurrent { max: u64::MAX },
    ] {
        let account = account(measure);
        for now in [Moment::default(), START, Moment { tick: Tick(u64::MAX), unix_ms: i64::MAX }] {
            let taken = match account.take(u64::MAX, 0, &TUNING, now) {
                Taking::Took { amount, .. } => amount,
                _ => 0,
            };
            account.settle(taken, u64::MAX, 0, now);
            account.settle(u64::MAX, 0, 0, now);
            let _ = (account.balance(now), account.wait_for(1, now), account.wait_for(u64::MAX, now));
            let _ = (account.used(now), account.granted(now));
        }
    }
}

#[test]
fn more_than_fits_is_admitted_when_full_and_paid_back_as_debt() {
    let bucket = bucket(10, 1, Duration::from_secs(1));
    assert_eq!(take(&bucket, 500, START), Ok(10));
    bucket.settle(10, 30, 0, START);
    assert_eq!(bucket.balance(START), -20);
    assert_eq!(bucket.wait_for(1, START), Some(Duration::from_secs(21)));
    assert_eq!(take(&bucket, 1, START), Err(Duration::from_secs(21)));
}

#[test]
fn a_calendar_begins_anew_with_each_window_and_debt_goes_with_it() {
    let account = account(Measure::Calendar { budget: 100, every: Every::Minute, zone: Zone::utc() });
    // 1,000,000 ms is 40 s into a minute.
    assert_eq!(take(&account, 60, START), Ok(60));
    assert_eq!(take(&account, 60, START), Err(Duration::from_secs(20)));
    let (before, next) = (Duration::from_millis(19_999), Duration::from_secs(20));
    assert_eq!(take(&account, 60, START.later(before)), Err(Duration::from_millis(1)));
    assert_eq!(take(&account, 60, START.later(next)), Ok(60));
    assert_eq!(account.balance(START.later(next)), 40, "what was left is not carried over");
    account.settle(60, 350, 0, START.later(next));
    assert_eq!(account.balance(START.later(next)), -250);
    // 250 below, and 30 wanted: three windows on there are 50.
    assert_eq!(account.wait_for(30, START.later(next)), Some(Duration::from_secs(180)));
    assert_eq!(account.balance(START.later(next + Duration::from_secs(180))), 50);
    // Clocks that go back admit nothing that was not given.
    assert!(take(&account, 100, START).is_err());
}

#[test]
fn what_is_under_way_makes_room_when_it_ends() {
    let account = account(Measure::Concurrent { max: 2 });
    let one = |now| matches!(account.take(1, 0, &TUNING, now), Taking::Took { .. });
    assert!(one(START) && one(START));
    let later = START.later(Duration::from_secs(86_400));
    assert!(!one(later), "time alone makes no room");
    assert_eq!(account.wait_for(1, later), None);
    account.settle(1, 0, 0, later);
    assert!(one(later) && !one(later));
}

#[test]
fn what_must_be_on_disk_is_not_spent_before() {
    let measure = Measure::Calendar { budget: 100, every: Every::Hour, zone: Zone::utc() };
    let terms = Arc::new(Terms::new(&"ns/p".into(), Unit::Tokens, &measure));
    let account = Account::open(1, "", &terms, true, START);
    let taking = |amount, now| account.take(amount, 0, &TUNING, now);
    assert_eq!((taking(1, START), account.granted(START)), (Taking::Ungranted, 0));
    assert!(account.ask() && !account.ask(), "asked for once");
    account.grant(10, START);
    assert_eq!((account.granted(START), account.ask()), (10, true));
    assert!(matches!(taking(10, START), Taking::Took { .. }));
    assert_eq!((account.used(START), account.granted(START)), (10, 0));
    assert_eq!(taking(1, START), Taking::Ungranted);
    assert_eq!(taking(91, START), Taking::Short, "the balance would not cover it either");
    account.grant(50, START);
    account.settle(10, 25, 0, START);
    assert_eq!((account.used(START), account.granted(START)), (25, 25));
    // The next window has its own.
    let next = START.later(Duration::from_secs(3600));
    assert_eq!((account.used(next), taking(1, next)), (0, Taking::Ungranted));
    account.grant(5, next);
    assert!(matches!(taking(5, next), Taking::Took { .. }));
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Take(u64),
    Settle(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..3_000_000_000).prop_map(Step::Wait),
        (0u64..200).prop_map(Step::Take),
        (0u64..200, 0u64..200).prop_map(|(taken, used)| Step::Settle(taken, used)),
    ]
}

/// The rows of a book's tests: a worker's book over rules, and a caller with a key.
struct Desk {
    rules: RuleSet,
    accounts: Arc<Accounts>,
    book: Book,
}

struct Key(Option<u128>);

impl Caller for Key {
    fn key(&self, _: &[KeyPart]) -> Result<u128, usize> {
        self.0.ok_or(0)
    }

    fn label(&self, _: &[KeyPart]) -> String {
        format!("{:?}", self.0)
    }
}

impl Desk {
    fn new(rules: &[Rule]) -> Desk {
        Desk::bounded(rules, 1000)
    }

    fn bounded(rules: &[Rule], bound: usize) -> Desk {
        let accounts = Arc::new(Accounts::new(bound, false, TUNING));
        let book = Book::new(0, accounts.clone(), Duration::from_secs(60));
        Desk { rules: RuleSet::new(rules), accounts, book }
    }

    fn reserve(&mut self, key: Option<u128>, tokens: u64, now: Moment) -> Result<Ticket, Denied> {
        let limits = 0..self.rules.rules.len() as u32;
        let spend = Spend { input: tokens, ..Spend::default() };
        self.book.reserve(&self.rules, limits, &Key(key), &spend, now, |_, _| {})
    }

    fn settle(&mut self, ticket: Ticket, tokens: u64, now: Moment) {
        let spend = Spend { input: tokens, ..Spend::default() };
        self.book.settle(ticket, &self.rules, &spend, now, |_| {});
    }

    fn balance(&self, rule: u32, key: u128, now: Moment) -> i64 {
        let wanted = Wanted { rules: &self.rules, rule, key };
        self.accounts.find(&wanted, &String::new, now).balance(now)
    }

    fn balances(&self, key: u128, now: Moment) -> Vec<i64> {
        (0..self.rules.rules.len() as u32).map(|rule| self.balance(rule, key, now)).collect()
    }
}

fn rule(name: &str, unit: Unit, measure: Measure) -> Rule {
    Rule::new(name, unit, measure)
}

fn per_second(capacity: u64, seconds: u64) -> Measure {
    Measure::Bucket { capacity, rate: Rate { per_fill: 1, fill: Duration::from_secs(seconds) } }
}

#[test]
fn all_give_or_none_does_and_the_wait_is_the_longest() {
    let mut desk = Desk::new(&[
        rule("a", Unit::Requests, per_second(10, 1)),
        rule("b", Unit::Tokens, per_second(100, 1)),
        rule("c", Unit::Concurrency, Measure::Concurrent { max: 2 }),
        rule("d", Unit::Requests, per_second(1, 60)),
    ]);
    let first = desk.reserve(None, 30, START).expect("all are full");
    assert_eq!(desk.balances(0, START), [9, 70, 1, 0]);
    let Err(Denied::Refused(refused)) = desk.reserve(None, 30, START) else { panic!("one is empty") };
    assert_eq!((refused.rule, refused.wait), (3, Some(Duration::from_secs(60))));
    assert_eq!(desk.balances(0, START), [9, 70, 1, 0], "nothing was taken by the refused one");
    let Err(Denied::Refused(refused)) = desk.reserve(None, 80, START) else { panic!("two are short") };
    assert_eq!(refused.wait, Some(Duration::from_secs(60)));
    let mut settled = Vec::new();
    let spend = Spend { input: 45, ..Spend::default() };
    desk.book.settle(first, &desk.rules, &spend, START, |s| settled.push((s.reserved, s.spent, s.balance)));
    assert_eq!(settled, [(1, 1, 9), (30, 45, 55), (1, 1, 2), (1, 1, 0)]);
    assert_eq!(desk.book.open_reservations(), 0);
}

#[test]
fn keys_have_accounts_of_their_own_and_a_missing_one_does_what_the_rule_says() {
    let keyed = |on_missing| Rule {
        key: vec![KeyPart::ApiKey],
        on_missing,
        ..rule("keyed", Unit::Requests, per_second(1, 60))
    };
    let mut desk = Desk::new(&[keyed(MissingKey::Shared)]);
    for key in [Some(1), Some(2), None] {
        assert!(desk.reserve(key, 0, START).is_ok(), "{key:?}");
        assert!(matches!(desk.reserve(key, 0, START), Err(Denied::Refused(_))), "{key:?}");
    }
    let mut desk = Desk::new(&[keyed(MissingKey::Skip)]);
    assert!(desk.reserve(None, 0, START).is_ok() && desk.reserve(None, 0, START).is_ok());
    let mut desk = Desk::new(&[keyed(MissingKey::Deny)]);
    assert!(matches!(desk.reserve(None, 0, START), Err(Denied::MissingKey(0, KeyPart::ApiKey))));
}

#[test]
fn shadow_counts_and_refuses_nobody() {
    let shadow = Rule { mode: Mode::Shadow, ..rule("s", Unit::Requests, per_second(1, 60)) };
    let mut desk = Desk::new(&[shadow]);
    let mut notes = Vec::new();
    for _ in 0..3 {
        let spend = Spend::default();
        let note = |_, note| notes.push(note);
        assert!(desk.book.reserve(&desk.rules, 0..1, &Key(None), &spend, START, note).is_ok());
    }
    assert_eq!(notes, [Note::Admitted(1), Note::ShadowRefused, Note::ShadowRefused]);
}

#[test]
fn streams_top_up_until_an_account_is_exhausted() {
    let cut = Rule { on_exhausted: OnExhausted::Cut, ..rule("b", Unit::Tokens, per_second(100, 60)) };
    let mut desk = Desk::new(&[rule("a", Unit::Tokens, per_second(1000, 60)), cut]);
    let ticket = desk.reserve(None, 40, START).expect("both are full");
    let chunk = Spend { output: 30, ..Spend::default() };
    let top_up = |desk: &mut Desk| desk.book.top_up(&ticket, &desk.rules, &chunk, START, |_, _| {});
    assert_eq!((top_up(&mut desk), top_up(&mut desk)), (Ok(()), Ok(())));
    assert_eq!(top_up(&mut desk), Err(OnExhausted::Cut));
    assert_eq!(desk.balances(0, START), [900, 0], "neither is charged for what one refused");
    desk.settle(ticket, 77, START);
    assert_eq!(desk.balances(0, START), [923, 23]);
}

#[test]
fn a_reservation_that_nobody_settles_frees_itself() {
    let mut desk = Desk::new(&[
        rule("a", Unit::Concurrency, Measure::Concurrent { max: 1 }),
        rule("b", Unit::Tokens, per_second(100, 3600)),
    ]);
    let lost = desk.reserve(None, 40, START).expect("both are full");
    let later = START.later(Duration::from_secs(61));
    assert!(desk.reserve(None, 1, START.later(Duration::from_secs(59))).is_err());
    assert_eq!((desk.book.sweep(START.later(Duration::from_secs(59))), desk.book.sweep(later)), (0, 1));
    assert_eq!(desk.balances(0, later), [1, 60]);
    let next = desk.reserve(None, 10, later).expect("there is room again");
    desk.settle(lost, 1000, later);
    assert_eq!(desk.balances(0, later), [0, 50], "an old ticket means nothing");
    desk.settle(next, 10, later);
    // Nor does one to which no limit applies stay for ever.
    let mut desk = Desk::new(&[]);
    let _lost = desk.reserve(None, 1, START).expect("nothing refuses");
    assert_eq!((desk.book.sweep(later), desk.book.sweep(later), desk.book.open_reservations()), (1, 0, 0));
}

#[test]
fn idle_accounts_are_forgotten_and_debtors_never() {
    let keyed = Rule { key: vec![KeyPart::ApiKey], ..rule("k", Unit::Tokens, per_second(10, 1)) };
    let mut desk = Desk::new(&[keyed]);
    for key in 1..=100 {
        let ticket = desk.reserve(Some(key), 1, START).expect("it is full");
        desk.settle(ticket, if key == 7 { 5000 } else { 1 }, START);
    }
    desk.accounts.sweep(START.later(Duration::from_secs(5)), |_| {});
    assert_eq!(desk.accounts.len(), 100, "a worker still knows them");
    let later = START.later(Duration::from_secs(60));
    desk.book.sweep(later);
    desk.accounts.sweep(later, |account| assert_ne!(account.id() ^ desk.rules.rules[0].salt, 7));
    assert_eq!(desk.accounts.len(), 1);
    assert_eq!(desk.balance(0, 7, later), 10 - 5000 + 60);
    assert!(desk.reserve(Some(7), 1, later).is_err() && desk.reserve(Some(8), 1, later).is_ok());
}

#[test]
fn keys_beyond_the_bound_share_an_account() {
    let keyed = Rule { key: vec![KeyPart::ApiKey], ..rule("k", Unit::Requests, per_second(2, 60)) };
    let mut desk = Desk::bounded(&[keyed], 3);
    for key in 1..=3 {
        assert!(desk.reserve(Some(key), 0, START).is_ok());
    }
    assert!(desk.reserve(Some(4), 0, START).is_ok() && desk.reserve(Some(5), 0, START).is_ok());
    assert!(desk.reserve(Some(6), 0, START).is_err(), "the two that they share are spent");
    assert!(desk.reserve(Some(3), 0, START).is_ok(), "who was there before has an account");
    assert_eq!((desk.accounts.len(), desk.accounts.crowded()), (4, 3));
}

#[test]
fn what_is_forgiven_makes_an_account_no_more_than_full() {
    let sliding = Measure::Sliding { budget: 10, length: Duration::from_secs(60) };
    let day = Measure::Calendar { budget: 10, every: Every::Day, zone: Zone::utc() };
    for (measure, waits) in [(per_second(10, 10), 15), (sliding, 15), (day, 15)] {
        for (used, forgiven, effect, balance) in
            [(0, 5, 0, 10), (4, 3, 3, 9), (4, 9, 4, 10), (25, 20, 20, 5), (25, u64::MAX, 25, 10)]
        {
            let terms = Arc::new(Terms::new(&"a".into(), Unit::Tokens, &measure));
            let account = Account::open(1, "", &terms, false, START);
            account.settle(0, used, 0, START);
            let later = START.later(Duration::from_secs(waits));
            // A bucket has got one unit and a half since.
            let refilled = u64::from(matches!(measure, Measure::Bucket { .. }) && used > 0);
            let (effect, balance) = (effect.min(used - refilled), (balance + refilled as i64).min(10));
            assert_eq!(account.forgive(forgiven, later), effect, "{measure:?} {used} {forgiven}");
            assert_eq!(account.balance(later), balance, "{measure:?} {used} {forgiven}");
        }
    }
    let running = Arc::new(Terms::new(&"a".into(), Unit::Concurrency, &Measure::Concurrent { max: 2 }));
    let account = Account::open(1, "", &running, false, START);
    assert!(matches!(account.take(1, 0, &Tuning::default(), START), Taking::Took { amount: 1, .. }));
    assert_eq!((account.forgive(1, START), account.balance(START)), (0, 1));
}

#[test]
fn a_changed_rule_keeps_what_was_used() {
    let day = |budget| Measure::Calendar { budget, every: Every::Day, zone: Zone::utc() };
    for (before, used, after, balance) in [
        (per_second(100, 60), 30, per_second(200, 60), 165),
        (per_second(100, 60), 95, per_second(200, 60), 100),
        (per_second(100, 60), 125, per_second(200, 60), 70),
        (per_second(100, 60), 30, per_second(50, 60), 15),
        (per_second(100, 60), 80, per_second(50, 60), 0),
        (per_second(100, 60), 130, per_second(50, 60), -35),
        (per_second(100, 60), 0, per_second(50, 60), 45),
        (per_second(100, 60), 95, per_second(200, 60), 100),
        (per_second(100, 60), 115, per_second(200, 60), 80),
        (day(100), 70, day(90), 15),
    ] {
        let mut desk = Desk::new(&[rule("a", Unit::Tokens, before.clone())]);
        let open = desk.reserve(None, 5, START).expect("it is full");
        let ticket = desk.reserve(None, 5, START).expect("it is full");
        desk.settle(ticket, used, START);
        let changed = RuleSet::after(&desk.rules, &[rule("a", Unit::Tokens, after.clone())]);
        let under_old_rules = std::mem::replace(&mut desk.rules, changed);
        assert_eq!(desk.balance(0, 0, START), balance, "{before:?} {used} {after:?}");
        // What began under the old rules is settled on the new account.
        desk.book.settle(open, &under_old_rules, &Spend::default(), START, |_| {});
        assert_eq!(desk.balance(0, 0, START), balance + 5, "{before:?} {used} {after:?}");
    }
}

#[test]
fn a_reload_that_makes_a_budget_last_longer_puts_it_on_disk() {
    let per = |every| Measure::Calendar { budget: 100, every, zone: Zone::utc() };
    let accounts = Arc::new(Accounts::new(10, true, TUNING));
    let mut book = Book::new(0, accounts.clone(), Duration::from_secs(60));
    let mut before = RuleSet::default();
    for (measure, is_durable) in [
        (per(Every::Minute), false),
        (per(Every::Day), true),
        (per_second(100, 1), false),
        (per(Every::Hour), true),
    ] {
        let rules = RuleSet::after(&before, &[rule("a", Unit::Tokens, measure.clone())]);
        let spend = Spend { input: 1, ..Spend::default() };
        let outcome = book.reserve(&rules, 0..1, &Key(None), &spend, START, |_, _| {});
        assert_eq!(matches!(outcome, Err(Denied::Ungranted)), is_durable, "{measure:?}");
        before = rules;
    }
}

#[test]
fn what_began_before_a_reload_holds_the_account_that_came_of_it() {
    let mut desk = Desk::new(&[rule("a", Unit::Tokens, per_second(100, 1))]);
    let open = desk.reserve(None, 1, START).expect("it is full");
    let changed = RuleSet::after(&desk.rules, &[rule("a", Unit::Tokens, per_second(200, 1))]);
    let under_old_rules = std::mem::replace(&mut desk.rules, changed);
    let later = START.later(Duration::from_secs(30));
    assert_eq!(desk.balance(0, 0, START), 199);
    desk.accounts.sweep(later, |_| {});
    let spend = Spend { input: 500, ..Spend::default() };
    desk.book.settle(open, &under_old_rules, &spend, later, |_| {});
    assert_eq!(desk.balance(0, 0, later), -299, "its debt is not forgiven");
    let full = START.later(Duration::from_secs(1000));
    desk.book.sweep(full);
    desk.accounts.sweep(full, |_| {});
    assert_eq!(desk.accounts.len(), 0, "and it can be swept when that is paid");
}

#[test]
fn a_wait_is_not_for_a_limit_that_wants_nothing() {
    let mut desk = Desk::new(&[
        rule("a", Unit::Requests, per_second(1, 60)),
        rule("b", Unit::Tokens, per_second(10, 60)),
    ]);
    let ticket = desk.reserve(None, 0, START).expect("both are full");
    desk.settle(ticket, 5000, START);
    let Err(Denied::Refused(refused)) = desk.reserve(None, 0, START) else { panic!("one request a minute") };
    assert_eq!((refused.rule, refused.wait), (0, Some(Duration::from_secs(60))));
}

#[test]
fn a_grant_covers_what_lies_in_leases_of_an_earlier_window() {
    let tuning = Tuning { workers: 2, share_percent: 50, ..TUNING };
    let measure = Measure::Calendar { budget: 100, every: Every::Hour, zone: Zone::utc() };
    let terms = Arc::new(Terms::new(&"ns/p".into(), Unit::Tokens, &measure));
    let account = Account::open(1, "", &terms, true, START);
    account.grant(100, START);
    let took = |worker, now| matches!(account.take(5, worker, &tuning, now), Taking::Took { .. });
    assert!(took(0, START) && took(1, START), "the second worker has a lease");
    let next = START.later(Duration::from_secs(3600));
    assert_eq!(account.take(1, 0, &tuning, next), Taking::Ungranted);
    account.grant(account.gone(next) + 5, next);
    assert!(took(0, next));
}

#[test]
fn a_lease_of_one_window_is_not_spent_in_another() {
    let tuning = Tuning { workers: 2, share_percent: 50, ..TUNING };
    let account = account(Measure::Calendar { budget: 100, every: Every::Minute, zone: Zone::utc() });
    let took = |worker, now| match account.take(1, worker, &tuning, now) {
        Taking::Took { leased, .. } => leased,
        other => panic!("{other:?}"),
    };
    assert_eq!((took(0, START), took(1, START)), (0, 4));
    // Somebody sets the clock while the lease lasts.
    let next = Moment { unix_ms: START.unix_ms + 60_000, ..START };
    took(1, next);
    assert_eq!(account.balance(next), 99);
}

proptest! {
    /// Against the bucket of the textbooks: a balance that refills over time and is cut at the capacity,
    /// counted in parts of a unit so small that one nanosecond refills a whole number of them.
    #[test]
    fn agrees_with_the_textbook_bucket(
        capacity in 1u64..300, per_fill in 1u64..50, fill in 1u64..2_000_000_000,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let bucket = bucket(capacity, per_fill, Duration::from_nanos(fill));
        let one = i128::from(fill); // parts per unit; a nanosecond refills `per_fill` parts
        let (mut now, full) = (START, i128::from(capacity) * one);
        let mut balance = full;
        // A grain refills in less than a nanosecond, so both agree to the refill of one.
        let slack = i128::from(per_fill);
        for step in steps {
            match step {
                Step::Wait(ns) => {
                    now.tick = now.tick + Duration::from_nanos(ns);
                    balance = (balance + i128::from(ns) * i128::from(per_fill)).min(full);
                }
                Step::Take(amount) => {
                    balance = balance.min(full);
                    let cost = i128::from(amount.min(capacity)) * one;
                    match take(&bucket, amount, now) {
                        Ok(taken) => {
                            prop_assert!(balance + slack >= cost || cost == 0);
                            prop_assert_eq!(taken, amount.min(capacity));
                            balance -= cost;
                        }
                        Err(wait) => {
                            prop_assert!(balance < cost + slack);
                            prop_assert!(wait > Duration::ZERO);
                            let at = |time| Moment { tick: now.tick + time, ..now };
                            prop_assert_eq!(bucket.wait_for(amount, at(wait)), Some(Duration::ZERO));
                            prop_assert_ne!(bucket.wait_for(amount, at(wait - NS)), Some(Duration::ZERO));
                        }
                    }
                }
                Step::Settle(taken, used) => {
                    bucket.settle(taken, used, 0, now);
                    balance += (i128::from(taken) - i128::from(used)) * one;
                    if used < taken {
                        balance = balance.min(full);
                    }
                }
            }
            let (least, most) = (balance.min(full) - slack, balance.min(full) + slack);
            let shown = i128::from(bucket.balance(now));
            prop_assert!(shown * one <= most && (shown + 1) * one > least, "{shown} for {balance}/{fill}");
        }
    }

    /// I2 for what is taken and not corrected, by two workers with leases: over any interval, admitted <=
    /// capacity + rate x interval.
    #[test]
    fn never_more_than_capacity_and_refill_in_any_interval(
        capacity in 1u64..5000, per_fill in 1u64..2000, fill in 1u64..2_000_000_000, quantum in 1u64..50_000_000,
        asks in proptest::collection::vec((0u64..20_000_000, 1u64..20, 0u32..2), 1..200),
    ) {
        let tuning = Tuning { workers: 2, share_percent: 40, quantum: Duration::from_nanos(quantum) };
        let bucket = bucket(capacity, per_fill, Duration::from_nanos(fill));
        let (mut now, mut admitted) = (START, Vec::new());
        for (wait, amount, worker) in asks {
            now.tick = now.tick + Duration::from_nanos(wait);
            if let Taking::Took { amount, .. } = bucket.take(amount, worker, &tuning, now) {
                admitted.push((now.tick, i128::from(amount)));
            }
        }
        for (first, (from, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for (to, taken) in &admitted[first..] {
                sum += taken * i128::from(fill);
                let refill = to.since(*from).as_nanos() as i128 * i128::from(per_fill);
                let slack = i128::from(per_fill); // one nanosecond of refill
                prop_assert!(sum <= i128::from(capacity) * i128::from(fill) + refill + slack);
            }
        }
    }
}
