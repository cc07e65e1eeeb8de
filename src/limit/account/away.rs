//! Accounts that another process keeps: the one that takes this one's place, while here the last exchanges end.
//!
//! Such an account has no balance of its own. It spends what it is lent, which is its ceiling, and whatever is settled
//! here is told to the process that keeps it. So no credit is in two processes at once.

use super::{AWAY, Account, REFUSED, SPENT_MIN, Taking};
use crate::base::Moment;
use crate::limit::sync::{AcqRel, Acquire, Relaxed};
use crate::limit::{Measure, Terms};
use std::sync::Arc;
use std::time::Duration;

/// What an account may hold that is kept elsewhere: so much that it never refuses by itself, in units.
const ROOM: u64 = 1 << 52;

/// How much sooner what was reserved of a sliding budget is old here than where it is kept: what is lent is noted there up to
/// a second before it is reserved here, and a refund takes a moment to be told.
const SOONER: Duration = Duration::from_secs(2);

impl Account {
    /// An account of `terms` that another process keeps.
    pub(in crate::limit) fn open_away(id: u128, label: &str, terms: &Terms, now: Moment) -> Account {
        let fades = match terms.measure {
            Measure::Sliding { length, .. } => Some(length),
            _ => None,
        };
        let terms = Terms::new(&terms.rule, terms.unit, &Measure::Concurrent { max: ROOM });
        let mut account = Account::open(id, label, &Arc::new(terms), true, now);
        account.flags.fetch_or(AWAY, AcqRel);
        if fades.is_some() {
            account.extra.get_or_init(Box::default);
            account.extra.get_mut().into_iter().for_each(|extra| extra.fades = fades);
        }
        account
    }

    /// Closes it, and has reservations of it settled in an account that another process keeps. That one, and the units
    /// that were used when this one was closed. `None` when somebody else replaces it at this moment.
    pub(in crate::limit) fn send_away(&self, now: Moment) -> Option<(Arc<Account>, u64)> {
        let next = Arc::new(Account::open_away(self.id, self.label(), &self.terms, now));
        let used = self.move_to(&next, now)?;
        Some((next, used))
    }

    /// Whether another process keeps it.
    pub fn is_away(&self) -> bool {
        self.flags.load(Acquire) & AWAY != 0
    }

    /// Of an account that is away: units that are spent or may be at any moment, because they are lent and not spent.
    /// Counted as [`used`](Account::used) was when it was sent away.
    pub fn held(&self) -> u64 {
        let held = self.spent.load(Acquire).max(self.ceiling.load(Acquire)).max(SPENT_MIN);
        u64::try_from(held).unwrap_or(0)
    }

    /// Of an account that is away: lets `amount` more be spent.
    pub fn borrow(&self, amount: u64) {
        let amount = i64::try_from(amount.min(ROOM)).unwrap_or(0);
        let from = self.spent.load(Acquire).max(self.ceiling.load(Acquire));
        self.flags.fetch_and(!REFUSED, AcqRel);
        self.ceiling.store(from.saturating_add(amount), Relaxed);
    }

    /// Of an account that is away: what is lent and not spent is to be spent no more. Whoever is spending it at this
    /// moment has done so a moment later: until then it counts as held.
    pub fn stop_borrowing(&self) {
        self.ceiling.store(0, Relaxed);
    }

    /// Of an account that is away: whether something may be lent to it.
    pub fn is_borrowing(&self) -> bool {
        self.ceiling.load(Relaxed) > 0
    }

    /// Of an account that is away: whoever asks for more gets nothing, or is to ask again.
    pub fn set_refused(&self, refused: bool) {
        match refused {
            true => self.flags.fetch_or(REFUSED, AcqRel),
            false => self.flags.fetch_and(!REFUSED, AcqRel),
        };
    }

    pub(super) fn is_refused(&self) -> bool {
        self.flags.load(Relaxed) & REFUSED != 0
    }

    // === time ===
    //
    // An account that is away has one number and no slots. What becomes old of a sliding budget comes back where the account is
    // kept; a refund of it would come back a second time. So its reservations are numbered by the time.

    /// The number of a reservation that is made now, if the account is away and its budget slides; else 0.
    pub(super) fn time_away(&self, now: Moment) -> u64 {
        self.fades().map_or(0, |_| now.tick.0)
    }

    /// By which number `next`, which has the balance of this account, knows a reservation of `slot`.
    pub(in crate::limit) fn slot_in(&self, next: &Account, slot: u64, now: Moment) -> u64 {
        match next.fades() {
            Some(_) => now.tick.0.saturating_sub(self.age(slot, now)),
            None => next.first_slot(now),
        }
    }

    /// Whether a reservation of that number is old where the account is kept, or may be before anybody hears of it.
    pub(super) fn has_faded(&self, slot: u64, now: Moment) -> bool {
        let age = || Duration::from_nanos(self.age(slot, now)).saturating_add(SOONER);
        self.fades().is_some_and(|length| age() > length)
    }

    /// How long ago, in nanoseconds, a reservation of that number was made at most, as far as that can be told.
    fn age(&self, slot: u64, now: Moment) -> u64 {
        match self.sliding() {
            Some(sliding) => sliding.age(slot, now),
            None => self.fades().map_or(0, |_| now.tick.0.saturating_sub(slot)),
        }
    }

    fn fades(&self) -> Option<Duration> {
        self.extra.get()?.fades
    }

    // === the process that keeps it ===

    /// Takes `amount` for a process that this one has replaced, past all leases. More than the capacity is given when
    /// the account is full, as to a request, and the rest is debt until it is settled.
    pub fn lend(&self, amount: u64, now: Moment) -> Taking {
        if self.is_blocked() {
            return Taking::Blocked;
        }
        let least = amount.min(self.terms.capacity());
        match self.take_past_leases(least, self.terms.grains(least), now) {
            Ok(slot) => {
                self.settle(0, amount - least, slot, now);
                Taking::Took { amount, slot, leased: 0 }
            }
            Err(taking) => taking,
        }
    }

    /// Corrects what is used by what a process that this one has replaced has settled. Whether it was heard: an account that
    /// was forgotten meanwhile is to be looked up again.
    #[must_use]
    pub fn adjust(&self, from: u64, to: u64, now: Moment) -> bool {
        if let Some(next) = self.moved().filter(|_| !self.is_open()) {
            return next.adjust(from, to, now);
        }
        match self.sliding().filter(|_| from >= to) {
            Some(sliding) => {
                let less = (from - to).min(self.missing(now));
                self.free(sliding.take_back_oldest(less, now), now);
                true
            }
            None => self.try_settle(from, to, self.first_slot(now), now).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::limit::lease::Tuning;
    use crate::limit::{Every, Unit, Zone};

    const NOW: Moment = Moment { tick: Tick(3_600_000_000_000), unix_ms: 100 * 86_400_000 };

    fn budget(units: u64) -> Account {
        let measure = Measure::Calendar { budget: units, every: Every::Day, zone: Zone::utc() };
        Account::open(7, "red", &Arc::new(Terms::new(&"a".into(), Unit::Tokens, &measure)), false, NOW)
    }

    fn take(account: &Account, amount: u64) -> Taking {
        account.take(amount, 0, &Tuning::default(), NOW)
    }

    #[test]
    fn what_is_away_spends_what_it_is_lent_and_is_told_of_what_was_reserved_before() {
        let account = budget(100);
        assert!(matches!(take(&account, 50), Taking::Took { amount: 50, .. }));
        let (away, used) = account.send_away(NOW).expect("nobody else moves it");
        assert!(account.send_away(NOW).is_none() && away.is_away());
        assert_eq!((used, away.held(), away.label()), (50, 50, "red"));
        assert_eq!(take(&account, 1), Taking::Closed);
        // 20 of the 50 come back, and are nobody's here.
        account.settle(50, 30, 0, NOW);
        assert_eq!((away.held(), take(&away, 1)), (30, Taking::Ungranted));
        away.borrow(10);
        assert_eq!(away.held(), 40, "what is lent counts as used");
        assert!(matches!(take(&away, 10), Taking::Took { amount: 10, .. }));
        assert_eq!(take(&away, 1), Taking::Ungranted);
        away.set_refused(true);
        assert_eq!(take(&away, 1), Taking::Short);
        away.borrow(5);
        assert!(matches!(take(&away, 2), Taking::Took { .. }), "who is lent something refuses no more");
        assert_eq!(away.held(), 45);
        away.stop_borrowing();
        assert_eq!((away.held(), take(&away, 1)), (42, Taking::Ungranted));
        // It comes back with what is used by then.
        let back = away.replace(&account.terms, false, NOW).expect("nobody else moves it");
        assert_eq!((back.used(NOW), back.balance(NOW)), (42, 58));
    }

    #[test]
    fn a_loan_is_spent_from_the_balance_and_corrected_by_what_is_told() {
        let account = budget(100);
        assert!(account.adjust(0, 30, NOW));
        assert!(matches!(account.lend(60, NOW), Taking::Took { amount: 60, .. }));
        assert_eq!((account.lend(20, NOW), account.balance(NOW)), (Taking::Short, 10));
        assert!(account.adjust(60, 45, NOW));
        assert_eq!(account.balance(NOW), 25);
        assert!(account.adjust(0, 40, NOW));
        assert_eq!(account.balance(NOW), -15, "more than there was is debt");
        // As a request that wants more than there can be: when the account is full, and the rest is debt.
        let account = budget(100);
        assert!(matches!(account.lend(130, NOW), Taking::Took { amount: 130, .. }));
        assert_eq!(account.balance(NOW), -30);
    }

    /// An account of a sliding minute in the old process and in the new one, as a hand-over leaves them after 80 of 100 were
    /// taken: 70 of them come back so many seconds later. Loans are spent in the old one a second after they were noted.
    #[test]
    fn what_is_old_where_the_account_is_kept_does_not_come_back_twice() {
        let terms = {
            let measure = Measure::Sliding { budget: 100, length: Duration::from_secs(60) };
            Arc::new(Terms::new(&"a".into(), Unit::Tokens, &measure))
        };
        let after = |seconds: u64| NOW.later(Duration::from_secs(seconds));
        let take = |account: &Account, now| account.take(80, 0, &Tuning::default(), now);
        for (is_lent, is_moved, seconds, comes_back) in [
            (false, false, 30, true),
            (false, false, 56, true),
            (false, false, 59, false),
            (false, false, 90, false),
            (true, false, 30, true),
            (true, false, 56, true),
            (true, false, 60, false),
            (true, false, 200, false),
            (false, true, 30, true),
            (false, true, 90, false),
        ] {
            let kept = Account::open(7, "", &terms, false, NOW);
            let old = Account::open(7, "", &terms, false, NOW);
            let (reserved, mut account, mut slot);
            if is_lent {
                account = old.send_away(NOW).expect("nobody else moves it").0;
                assert!(matches!(kept.lend(80, NOW), Taking::Took { .. }));
                account.borrow(80);
                reserved = after(1);
            } else {
                account = Arc::new(old);
                reserved = NOW;
                assert!(kept.adjust(0, 80, NOW));
            }
            match take(&account, reserved) {
                Taking::Took { slot: taken, .. } => slot = taken,
                other => panic!("{other:?}"),
            }
            if !is_lent {
                let away = account.send_away(NOW).expect("nobody else moves it").0;
                if is_moved {
                    // A stream looks where its account is when it takes more of it.
                    slot = account.slot_in(&away, slot, after(10));
                    account = away.clone();
                }
                account.settle(80, 10, slot, after(seconds));
                account = away;
            } else {
                account.settle(80, 10, slot, after(seconds));
            }
            let refund = 80 - account.spent.load(Relaxed) as u64;
            assert_eq!(refund, if comes_back { 70 } else { 0 }, "{is_lent} {is_moved} {seconds}");
            let told = after(seconds);
            let before = kept.balance(told);
            assert!(kept.adjust(refund, 0, told));
            let expected = if seconds > 61 { 100 } else { before + refund as i64 };
            assert_eq!(kept.balance(told), expected, "{is_lent} {is_moved} {seconds}");
        }
    }

    /// Who takes says so in the balance first and in the slot afterwards, and between the two the account may be closed.
    #[test]
    fn what_is_in_no_slot_yet_when_an_account_is_closed_is_written_down_all_the_same() {
        let measure = Measure::Sliding { budget: 100, length: Duration::from_secs(60) };
        let account =
            Account::open(7, "", &Arc::new(Terms::new(&"a".into(), Unit::Tokens, &measure)), false, NOW);
        let sum = |slots: &[crate::limit::Slot]| slots.iter().map(|slot| slot.units).sum::<u64>();
        assert!(account.adjust(0, 40, NOW));
        let later = NOW.later(Duration::from_secs(30));
        assert!(matches!(account.take_directly(account.terms.grains(3), later), super::super::Direct::Took));
        let (_, used) = account.send_away(later).expect("nobody else moves it");
        assert_eq!((used, sum(&account.slots(later).collect::<Vec<_>>())), (43, 40));
        let rest = account.slot_of_rest(used, later).expect("something is missing");
        assert_eq!(rest.units, 3);
        account.sliding().expect("it slides").add(account.sliding().expect("it slides").number(later), 3);
        assert_eq!(account.slot_of_rest(used, later), None, "now it is noted");
    }

    #[test]
    fn a_refund_whose_time_nobody_knows_comes_out_of_what_is_oldest() {
        let measure = Measure::Sliding { budget: 100, length: Duration::from_secs(60) };
        let account =
            Account::open(7, "", &Arc::new(Terms::new(&"a".into(), Unit::Tokens, &measure)), false, NOW);
        let after = |seconds: u64| NOW.later(Duration::from_secs(seconds));
        assert!(account.adjust(0, 40, NOW) && account.adjust(0, 40, after(30)));
        assert!(account.adjust(30, 0, after(40)));
        assert_eq!(account.balance(after(40)), 50);
        assert_eq!(account.balance(after(62)), 60, "10 of the first 40 were left");
        assert_eq!(account.balance(after(92)), 100);
    }

    #[test]
    fn what_was_forgotten_hears_of_nothing() {
        for sliding in [false, true] {
            let account = match sliding {
                true => {
                    let measure = Measure::Sliding { budget: 9, length: Duration::from_secs(60) };
                    let terms = Terms::new(&"a".into(), Unit::Tokens, &measure);
                    Account::open(7, "", &Arc::new(terms), false, NOW)
                }
                false => budget(100),
            };
            assert!(account.close_if_idle(NOW));
            assert!(!account.adjust(0, 5, NOW), "{sliding}");
            let account = Arc::new(budget(100));
            let next = account.replace(&account.terms, false, NOW).expect("nobody else moves it");
            assert!(account.adjust(0, 5, NOW) && next.balance(NOW) == 95, "who has its balance hears of it");
        }
    }
}
