//! The lock-free parts of accounts and leases in every order in which threads may see them: two or three threads,
//! small numbers, and a model checker that tries all interleavings with few preemptions.
//!
//! `cargo test --features model --test model`. The feature swaps the atomics of `src/limit/sync.rs`; the names of
//! the tests are what holds.

#![cfg(feature = "model")]

use loom::thread;
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::{Moment, Tick};
use tollgate::limit::{Account, Every, Measure, Rate, Taking, Terms, Tuning, Unit, Zone};

const NOW: Moment = Moment { tick: Tick(1_000_000), unix_ms: 1_000_000 };
const TUNING: Tuning = Tuning { workers: 2, share_percent: 50, quantum: Duration::from_millis(1) };
const ALONE: Tuning = Tuning { share_percent: 0, ..TUNING };

/// A bucket that refills nothing while anybody looks.
const fn bucket(capacity: u64) -> Measure {
    Measure::Bucket { capacity, rate: Rate { per_fill: 1, fill: Duration::from_secs(1_000_000) } }
}

fn open(measure: &Measure, durable: bool) -> Arc<Account> {
    // It has a label, so that nothing is made later that the checker does not see.
    Arc::new(Account::open(1, "key", &terms(measure), durable, NOW))
}

fn terms(measure: &Measure) -> Arc<Terms> {
    Arc::new(Terms::new(&"ns/p".into(), Unit::Tokens, measure))
}

fn take(account: &Account, amount: u64, worker: u32) -> bool {
    matches!(account.take(amount, worker, &TUNING, NOW), Taking::Took { .. })
}

/// A bucket of 100 from which both workers took 1; the second has a lease of 4.
fn leased() -> Arc<Account> {
    let account = open(&bucket(100), false);
    assert!(take(&account, 1, 0));
    assert!(matches!(account.take(1, 1, &TUNING, NOW), Taking::Took { leased: 4, .. }));
    assert_eq!(account.balance(NOW), 98);
    account
}

/// Runs both at the same time; what they found.
fn both<A: 'static, B>(one: impl FnOnce() -> A + 'static, other: impl FnOnce() -> B) -> (A, B) {
    let thread = thread::spawn(one);
    let other = other();
    (thread.join().expect("it ends"), other)
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Faults of lock-free code show with two; a third costs minutes.
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}

#[test]
fn two_who_want_the_last_credit_do_not_both_get_it() {
    check(|| {
        let account = open(&bucket(3), false);
        let other = account.clone();
        let took =
            |account: &Account, worker| matches!(account.take(2, worker, &ALONE, NOW), Taking::Took { .. });
        let (one, two) = both(move || took(&other, 0), || took(&account, 1));
        assert!(one ^ two, "{one} {two}");
        assert_eq!(account.balance(NOW), 1);
    });
}

#[test]
fn settling_and_taking_lose_nothing() {
    check(|| {
        let account = open(&bucket(10), false);
        assert!(take(&account, 6, 0));
        let other = account.clone();
        let ((), took) = both(move || other.settle(6, 2, 0, NOW), || take(&account, 5, 0));
        assert_eq!(account.balance(NOW), if took { 3 } else { 8 });
    });
}

#[test]
fn nobody_is_refused_what_lies_in_a_lease() {
    check(|| {
        let account = leased();
        let other = account.clone();
        let (one, two) = both(move || take(&other, 1, 1), || take(&account, 97, 0));
        assert!(one && two, "{one} {two}");
        assert_eq!(account.balance(NOW), 0);
    });
}

#[test]
fn two_who_look_into_all_leases_find_all_credit() {
    check(|| {
        let account = leased();
        let other = account.clone();
        let (one, two) = both(move || take(&other, 95, 0), || take(&account, 3, 1));
        assert!(one && two, "{one} {two}");
        assert_eq!(account.balance(NOW), 0);
    });
}

#[test]
fn leases_make_no_credit() {
    check(|| {
        let account = leased();
        let other = account.clone();
        let (one, two) = both(move || take(&other, 4, 1), || take(&account, 95, 0));
        assert!(one ^ two, "{one} {two}");
        assert_eq!(account.balance(NOW), if one { 94 } else { 3 });
    });
}

#[test]
fn what_comes_back_while_credit_is_leased_fills_no_account_above_its_capacity() {
    check(|| {
        let account = open(&bucket(100), false);
        assert!(take(&account, 1, 0));
        let other = account.clone();
        let (took, ()) = both(move || take(&other, 1, 1), || account.settle(20, 0, 0, NOW));
        assert!(took);
        let balance = account.balance(NOW);
        assert!((99..=100).contains(&balance), "{balance}");
    });
}

#[test]
fn an_account_that_is_swept_has_no_reservation() {
    check(|| {
        let account = open(&bucket(10), false);
        let other = account.clone();
        let (took, closed) = both(
            move || {
                other.hold();
                other.take(1, 0, &ALONE, NOW)
            },
            || account.close_if_idle(NOW),
        );
        match took {
            Taking::Took { .. } => assert!(!closed),
            other => assert_eq!((other, closed), (Taking::Closed, true)),
        }
    });
}

/// Who keeps accounts for another process holds none of them: what it is told of one that is forgotten at this moment it tells
/// to the one in its place.
#[test]
fn what_is_told_of_an_account_is_in_it_or_it_was_forgotten_before() {
    for sliding in [false, true] {
        check(move || {
            let account = match sliding {
                true => open(&Measure::Sliding { budget: 10, length: Duration::from_nanos(60) }, false),
                false => open(&bucket(10), false),
            };
            let other = account.clone();
            let (is_heard, is_closed) = both(move || other.adjust(0, 3, NOW), || account.close_if_idle(NOW));
            assert!(is_heard ^ is_closed, "{is_heard} {is_closed}");
            if is_heard {
                assert_eq!(account.balance(NOW), 7);
            }
        });
    }
}

#[test]
fn what_is_told_of_an_account_during_a_reload_is_used_afterwards() {
    check(|| {
        let account = open(&bucket(10), false);
        assert!(account.adjust(0, 4, NOW));
        let other = account.clone();
        let (next, is_heard) = both(
            move || other.replace(&terms(&bucket(20)), false, NOW).expect("nobody else does"),
            || account.adjust(0, 3, NOW) && account.adjust(2, 0, NOW),
        );
        assert!(is_heard);
        assert_eq!(next.balance(NOW), 15);
    });
}

#[test]
fn what_is_taken_and_settled_during_a_reload_is_used_afterwards() {
    check(|| {
        let account = open(&bucket(10), false);
        assert!(take(&account, 4, 0));
        let other = account.clone();
        let (next, took) = both(
            move || other.replace(&terms(&bucket(20)), false, NOW).expect("nobody else does"),
            || {
                account.settle(4, 6, 0, NOW);
                matches!(account.take(1, 0, &ALONE, NOW), Taking::Took { .. })
            },
        );
        assert_eq!(next.balance(NOW), if took { 13 } else { 14 });
        assert!(Arc::ptr_eq(account.newest(), &next));
    });
}

#[test]
fn of_two_reloads_at_a_time_one_moves_the_balance() {
    check(|| {
        let account = open(&bucket(10), false);
        assert!(take(&account, 4, 0));
        let (other, third) = (account.clone(), account.clone());
        let taker = thread::spawn(move || matches!(third.take(1, 0, &ALONE, NOW), Taking::Took { .. }));
        let replace = |account: &Account| account.replace(&terms(&bucket(20)), false, NOW);
        let (one, two) = both(move || replace(&other), || replace(&account));
        let took = taker.join().expect("it ends");
        assert!(one.is_some() ^ two.is_some());
        let next = one.or(two).expect("one of them");
        assert_eq!(next.balance(NOW), if took { 15 } else { 16 });
    });
}

#[test]
fn a_lease_that_is_handed_out_during_a_reload_is_not_lost() {
    check(|| {
        let account = leased();
        let other = account.clone();
        let (next, took) = both(
            move || other.replace(&terms(&bucket(200)), false, NOW).expect("nobody else does"),
            || take(&account, 7, 1),
        );
        assert_eq!(next.balance(NOW), if took { 191 } else { 198 });
    });
}

#[test]
fn a_sliding_budget_comes_back_once() {
    check(|| {
        let length = Duration::from_nanos(60);
        let account = open(&Measure::Sliding { budget: 10, length }, false);
        assert!(take(&account, 4, 0));
        // One slot of sixty is left to become old, or there were too many places to be interrupted at.
        let later = NOW.later(Duration::from_nanos(61));
        assert_eq!(account.balance(NOW.later(Duration::from_nanos(60))), 6);
        let took = move |account: &Account, worker| {
            matches!(account.take(5, worker, &ALONE, later), Taking::Took { .. })
        };
        let other = account.clone();
        let (one, two) = both(move || took(&other, 0), || took(&account, 1));
        assert!(one || two);
        let taken = i64::from(one) * 5 + i64::from(two) * 5;
        assert_eq!(account.balance(later), 10 - taken);
        assert_eq!(account.balance(later.later(2 * length)), 10);
    });
}

#[test]
fn what_is_not_on_disk_is_not_spent() {
    check(|| {
        let day = Measure::Calendar { budget: 10, every: Every::Day, zone: Zone::utc() };
        let account = open(&day, true);
        let other = account.clone();
        let ((), taking) = both(move || other.grant(5, NOW), || account.take(5, 0, &ALONE, NOW));
        match taking {
            Taking::Took { .. } => assert_eq!((account.used(NOW), account.granted(NOW)), (5, 0)),
            other => assert_eq!((other, account.used(NOW)), (Taking::Ungranted, 0)),
        }
    });
}

#[test]
fn what_is_in_a_slot_that_was_closed_is_what_was_written() {
    check(|| {
        let hour = Measure::Sliding { budget: 10, length: Duration::from_secs(3600) };
        let account = open(&hour, true);
        account.grant_slot(account.close_slots(10, NOW).expect("it is kept"));
        let next = NOW.later(Duration::from_secs(60));
        let other = account.clone();
        let (written, taking) = both(
            move || {
                other.close_slots(0, next);
                other.slots(next).map(|slot| slot.units).sum::<u64>()
            },
            || account.take(4, 0, &ALONE, NOW),
        );
        let is_taken = matches!(taking, Taking::Took { .. });
        assert!(!is_taken || written == 4, "{taking:?} {written}");
        assert_eq!(account.balance(next), if is_taken { 6 } else { 10 });
    });
}
