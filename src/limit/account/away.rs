//! Accounts that another process keeps: the one that takes this one's place, while here the last exchanges end.
//!
//! Such an account has no balance of its own. It spends what it is lent, which is its ceiling, and whatever is settled
//! here is told to the process that keeps it. So no credit is in two processes at once.

use super::{AWAY, Account, REFUSED, SPENT_MIN, Taking};
use crate::base::Moment;
use crate::limit::sync::{AcqRel, Acquire, Relaxed};
use crate::limit::{Measure, Terms};
use std::sync::Arc;

/// What an account may hold that is kept elsewhere: so much that it never refuses by itself, in units.
const ROOM: u64 = 1 << 52;

impl Account {
    /// An account of `terms` that another process keeps.
    pub(in crate::limit) fn open_away(id: u128, label: &str, terms: &Terms, now: Moment) -> Account {
        let terms = Terms::new(&terms.rule, terms.unit, &Measure::Concurrent { max: ROOM });
        let account = Account::open(id, label, &Arc::new(terms), true, now);
        account.flags.fetch_or(AWAY, AcqRel);
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

    /// Corrects what is used by what a process that this one has replaced has settled.
    pub fn adjust(&self, from: u64, to: u64, now: Moment) {
        match (from < to, &self.terms.measure) {
            (false, Measure::Sliding { .. }) => drop(self.forgive(from - to, now)),
            _ => self.settle(from, to, self.first_slot(), now),
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
        account.adjust(0, 30, NOW);
        assert!(matches!(account.lend(60, NOW), Taking::Took { amount: 60, .. }));
        assert_eq!((account.lend(20, NOW), account.balance(NOW)), (Taking::Short, 10));
        account.adjust(60, 45, NOW);
        assert_eq!(account.balance(NOW), 25);
        account.adjust(0, 40, NOW);
        assert_eq!(account.balance(NOW), -15, "more than there was is debt");
        // As a request that wants more than there can be: when the account is full, and the rest is debt.
        let account = budget(100);
        assert!(matches!(account.lend(130, NOW), Taking::Took { amount: 130, .. }));
        assert_eq!(account.balance(NOW), -30);
    }
}
