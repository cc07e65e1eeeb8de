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
