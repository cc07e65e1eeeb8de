//! Sliding budgets: intervals, restarts, and what is on disk of them.

use super::super::tests::{NS, START, TUNING, account, take};
use super::super::{Account, Measure, Slot, Taking, Terms, Unit};
use crate::base::{Moment, Tick};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A budget of 100 an hour, in slots of a minute.
fn hourly(is_kept: bool, now: Moment) -> Account {
    let measure = Measure::Sliding { budget: 100, length: HOUR };
    Account::open(1, "", &Arc::new(Terms::new(&"ns/p".into(), Unit::Tokens, &measure)), is_kept, now)
}

fn taking(account: &Account, amount: u64, now: Moment) -> Taking {
    account.take(amount, 0, &TUNING, now)
}

fn took(account: &Account, amount: u64, now: Moment) -> bool {
    matches!(taking(account, amount, now), Taking::Took { .. })
}

#[test]
fn a_sliding_budget_comes_back_when_it_is_a_length_old() {
    let minute = Duration::from_secs(60);
    let account = account(Measure::Sliding { budget: 100, length: minute });
    let start = Moment { tick: Tick(3_600_000_000_000), ..START };
    assert_eq!(take(&account, 60, start), Ok(60));
    let later = start.later(Duration::from_secs(10));
    assert_eq!(take(&account, 40, later), Ok(40));
    let wait = take(&account, 1, later).expect_err("all is spent");
    assert!((50..=51).contains(&wait.as_secs()), "{wait:?}");
    assert!(take(&account, 1, later.later(wait - NS)).is_err());
    assert_eq!(take(&account, 60, later.later(wait)), Ok(60));
    assert_eq!(account.balance(later.later(10 * minute)), 100);
}

#[test]
fn a_sliding_budget_that_nobody_asked_for_long_is_whole_and_swept() {
    let length = Duration::from_secs(60);
    for idle in [61, 62, 3600, 40_000, 65_536, 80_000, 1_000_000] {
        let account = account(Measure::Sliding { budget: 10, length });
        assert_eq!(take(&account, 10, START), Ok(10));
        let later = START.later(Duration::from_secs(idle));
        assert!(account.close_if_idle(later), "{idle} s");
    }
}

#[test]
fn a_clock_that_is_behind_gets_its_refund_of_a_sliding_budget() {
    let account = account(Measure::Sliding { budget: 10, length: Duration::from_nanos(60) });
    let behind = Moment { tick: Tick(START.tick.0 - 1), ..START };
    let Taking::Took { slot, .. } = account.take(7, 0, &TUNING, behind) else { panic!("it is full") };
    account.settle(7, 2, slot, START);
    assert_eq!(account.balance(START), 8);
}

#[test]
fn what_must_be_on_disk_is_not_spent_before_and_in_its_slot_only() {
    let account = hourly(true, START);
    assert!(account.is_durable());
    assert_eq!((taking(&account, 1, START), account.granted(START)), (Taking::Ungranted, 0));
    assert_eq!(account.balance(START), 100, "what was not given is not spent");
    let slot = account.close_slots(10, START).expect("it is kept");
    assert_eq!((slot.units, account.granted(START)), (10, 0), "it is not on disk yet");
    account.grant_slot(slot);
    assert_eq!(account.granted(START), 10);
    assert!(took(&account, 7, START));
    assert_eq!((taking(&account, 4, START), account.granted(START)), (Taking::Ungranted, 3));
    assert_eq!(taking(&account, 94, START), Taking::Short, "the balance would not cover it either");
    let next = START.later(Duration::from_secs(60));
    assert_eq!((taking(&account, 1, next), account.granted(next)), (Taking::Ungranted, 0));
    let later = account.close_slots(500, next).expect("it is kept");
    assert_eq!((later.units, later.until_ns), (93, slot.until_ns + 60_000_000_000), "no more than is left");
    account.grant_slot(slot);
    assert_eq!(account.granted(next), 0, "a grant that comes late is none");
    account.grant_slot(later);
    assert!(took(&account, 93, next));
    assert_eq!(account.slots(next).collect::<Vec<_>>(), [Slot { units: 7, ..slot }, later]);
}

#[test]
fn a_slot_that_is_closed_shrinks_and_does_not_grow() {
    let account = hourly(true, START);
    account.grant_slot(account.close_slots(50, START).expect("it is kept"));
    let Taking::Took { slot, .. } = taking(&account, 20, START) else { panic!("it is granted") };
    let next = START.later(Duration::from_secs(60));
    assert_eq!(account.close_slots(0, next).map(|slot| slot.units), Some(0));
    assert_eq!(taking(&account, 1, START), Taking::Ungranted, "a worker whose clock is behind");
    account.settle(20, 5, slot, next);
    let units: Vec<u64> = account.slots(next).map(|slot| slot.units).collect();
    assert_eq!((units, account.balance(next)), (vec![5], 95));
    // What was spent beyond a reservation is in the slot in which it was told, granted or not.
    account.settle(5, 45, slot, next);
    assert_eq!((account.slots(next).count(), account.balance(next)), (2, 55));
    assert_eq!(account.close_slots(0, next).map(|slot| slot.units), Some(40), "and is to be written");
}

#[test]
fn a_restart_goes_on_where_each_slot_was() {
    let at = |seconds| START.later(Duration::from_secs(seconds));
    let before = hourly(false, START);
    assert!(took(&before, 30, at(0)) && took(&before, 40, at(600)) && took(&before, 20, at(1200)));
    let slots: Vec<Slot> = before.slots(at(1200)).collect();
    assert_eq!(slots.iter().map(|slot| slot.units).collect::<Vec<_>>(), [30, 40, 20]);
    // Another process has other ticks; the wall's clock may have been set.
    for (set_ms, late) in [(0, 0), (-120_000, 120)] {
        let restart = |seconds: u64| Moment {
            tick: Tick(5) + Duration::from_secs(seconds),
            unix_ms: START.unix_ms + 1_800_000 + set_ms + 1000 * seconds as i64,
        };
        let after = hourly(true, restart(0));
        after.restore_slots(&slots, restart(0));
        assert_eq!(after.balance(restart(0)), 10, "{set_ms}");
        assert_eq!(after.slots(restart(0)).collect::<Vec<_>>(), slots, "{set_ms}");
        // A slot comes back as a whole, an hour after its end.
        for (seconds, balance) in [(1799, 10), (1860, 40), (2399, 40), (2460, 80), (3060, 100)] {
            assert_eq!(after.balance(restart(seconds + late)), balance, "{set_ms} {seconds}");
        }
    }
    let days_later = hourly(true, at(100_000));
    days_later.restore_slots(&slots, at(100_000));
    assert_eq!((days_later.balance(at(100_000)), days_later.slots(at(100_000)).count()), (100, 0));
}

#[test]
fn slots_of_another_length_count_until_their_end_is_old() {
    let day = Measure::Sliding { budget: 100, length: 24 * HOUR };
    let of_day = account(day.clone());
    assert_eq!(take(&of_day, 30, START), Ok(30));
    let slots: Vec<Slot> = of_day.slots(START).collect();
    let hour = hourly(false, START);
    hour.restore_slots(&slots, START);
    assert_eq!(hour.balance(START), 70);
    // The slot of the day ends within 24 minutes, and with it the last that may have been spent in it.
    assert_eq!(hour.balance(START.later(HOUR)), 70);
    assert_eq!(hour.balance(START.later(2 * HOUR)), 100);
    let whole = hourly(false, START);
    assert_eq!(take(&whole, 30, START), Ok(30));
    let again = account(day);
    again.restore_slots(&whole.slots(START).collect::<Vec<_>>(), START);
    assert_eq!((again.balance(START), again.balance(START.later(23 * HOUR))), (70, 70));
}

proptest! {
    /// No interval of its length holds more than a sliding budget.
    #[test]
    fn a_sliding_budget_holds_for_any_interval(
        budget in 1u64..200, length in 1u64..10_000_000_000,
        asks in proptest::collection::vec((0u64..1_000_000_000, 1u64..60, 0u64..60), 1..120),
    ) {
        let account = account(Measure::Sliding { budget, length: Duration::from_nanos(length) });
        let (mut now, mut admitted) = (START, Vec::<(u64, u64)>::new());
        for (wait, amount, used) in asks {
            now.tick = now.tick + Duration::from_nanos(wait);
            if let Taking::Took { amount, slot, .. } = account.take(amount, 0, &TUNING, now) {
                let used = used.min(amount);
                account.settle(amount, used, slot, now);
                admitted.push((now.tick.0, used));
            }
            let since = now.tick.0.saturating_sub(length - 1);
            let sum: u64 = admitted.iter().filter(|(at, _)| *at >= since).map(|(_, used)| used).sum();
            prop_assert!(sum <= budget);
            prop_assert!(account.balance(now) <= i64::try_from(budget - sum).expect("small"));
        }
    }
}
