//! What operators and the store say of an account.

use super::{ASKED, Account, BLOCKED, DURABLE, SPENT_MIN};
use crate::base::Moment;
use crate::limit::Measure;
use crate::limit::lease::Leases;
use crate::limit::sliding::Slot;
use crate::limit::sync::{AcqRel, Relaxed};
use std::time::Duration;

impl Account {
    /// Whether an operator has blocked it.
    pub fn is_blocked(&self) -> bool {
        self.flags.load(Relaxed) & BLOCKED != 0
    }

    /// Blocks it, or lets it spend again.
    pub fn set_blocked(&self, blocked: bool) {
        match blocked {
            true => self.flags.fetch_or(BLOCKED, AcqRel),
            false => self.flags.fetch_and(!BLOCKED, AcqRel),
        };
        // Somebody may be replacing it, and have looked before.
        if let Some(next) = self.moved() {
            next.set_blocked(blocked);
        }
    }

    /// Gives `amount` back as if it had not been spent, but no more than makes the account full; how much that
    /// is. Nothing for a limit on what is under way, which comes back when it ends.
    pub fn forgive(&self, amount: u64, now: Moment) -> u64 {
        let amount = amount.min(self.missing(now));
        match (&self.terms.measure, self.sliding()) {
            (Measure::Concurrent { .. }, _) => return 0,
            (_, Some(sliding)) => self.free(sliding.take_back_any(amount, now), now),
            (_, None) => self.settle(amount, 0, 0, now),
        }
        amount
    }

    /// Units that it lacks of being full.
    pub(super) fn missing(&self, now: Moment) -> u64 {
        let full = i64::try_from(self.terms.capacity()).unwrap_or(i64::MAX);
        u64::try_from(full.saturating_sub(self.balance(now))).unwrap_or(0)
    }

    /// Whether nobody has asked for more on disk since the last grant; from now on somebody has.
    pub fn ask(&self) -> bool {
        self.flags.fetch_or(ASKED, Relaxed) & ASKED == 0
    }

    /// Whether somebody has asked for more on disk since the last grant.
    pub fn is_asked(&self) -> bool {
        self.flags.load(Relaxed) & ASKED != 0
    }

    /// Takes back that somebody has asked: nobody heard it.
    pub fn forget_ask(&self) {
        self.flags.fetch_and(!ASKED, Relaxed);
    }

    /// Unspent credit that is on disk already, in units. Of a sliding budget, what may be spent in the slot of `now`.
    pub fn granted(&self, now: Moment) -> u64 {
        if let Some(sliding) = self.sliding() {
            return sliding.unspent(now);
        }
        let ceiling = self.ceiling.load(Relaxed);
        let unspent = ceiling.saturating_sub(self.spent.load(Relaxed).max(SPENT_MIN));
        u64::try_from(self.terms.units(unspent)).unwrap_or(0)
    }

    /// Whether its balance has changed since this was asked last.
    pub fn note_change(&self) -> bool {
        let spent = self.spent.load(Relaxed);
        self.noted.swap(spent, Relaxed) != spent
    }

    /// Whether what may be spent must be on disk.
    pub fn is_durable(&self) -> bool {
        self.flags.load(Relaxed) & DURABLE != 0
    }

    /// Units used since the window of `now` began, or that a bucket lacks. Debt of earlier windows is among it, what
    /// lies in leases is not.
    pub fn used(&self, now: Moment) -> u64 {
        self.used_and(now, self.leases().map_or(0, Leases::unspent))
    }

    /// As [`used`](Account::used), with what lies in leases: what the next grant stands on.
    pub fn gone(&self, now: Moment) -> u64 {
        // What lies in leases since an earlier window was never spent in this one, and yet it is not free.
        let leased = self.leases().map_or(0, Leases::unspent);
        let leased = u64::try_from(self.terms.units_up(leased)).unwrap_or(0);
        self.used_and(now, 0).max(leased)
    }

    fn used_and(&self, now: Moment, leased: i64) -> u64 {
        let start = self.overflow_at(now);
        let spent = self.spent.load(Relaxed).saturating_sub(leased).max(start);
        u64::try_from(self.terms.units_up(spent.saturating_sub(start))).unwrap_or(0)
    }

    /// Says that it is on disk that `used` units may be used in the window of `now`. Never takes back.
    pub fn grant(&self, used: u64, now: Moment) {
        let ceiling = self.overflow_at(now).saturating_add(self.terms.difference(0, used));
        self.ceiling.fetch_max(ceiling, Relaxed);
        self.flags.fetch_and(!ASKED, Relaxed);
    }

    /// For a sliding budget that must be on disk: closes the slots before that of `now`, so that what is in them can be
    /// written down. The slot of `now`, with what may be in it after a grant that lets `more` be spent. `None` for
    /// all other accounts.
    pub fn close_slots(&self, more: u64, now: Moment) -> Option<Slot> {
        let sliding = self.sliding().filter(|sliding| sliding.is_kept())?;
        self.expire(now);
        let (slot, allowed) = sliding.close(now);
        let left = u64::try_from(self.balance(now)).unwrap_or(0);
        Some(Slot { units: slot.units.saturating_add(more.min(left)).max(allowed), ..slot })
    }

    /// Says that it is on disk that so much may be in a slot. Never takes back.
    pub fn grant_slot(&self, slot: Slot) {
        if let Some(sliding) = self.sliding() {
            sliding.allow(slot);
        }
        self.flags.fetch_and(!ASKED, Relaxed);
    }

    /// What was spent in each slot of a sliding budget and has not become old, the oldest first; of other accounts
    /// nothing.
    pub fn slots(&self, now: Moment) -> impl Iterator<Item = Slot> {
        self.expire(now);
        self.sliding().into_iter().flat_map(move |sliding| sliding.slots(now))
    }

    /// Of a sliding budget that was closed when `used` units were: the slot of `now` with what stands in no slot yet, because
    /// who spends says so there a moment later. `None` where all of it does.
    pub fn slot_of_rest(&self, used: u64, now: Moment) -> Option<Slot> {
        let sliding = self.sliding()?;
        let noted = sliding.slots(now).map(|slot| slot.units).sum();
        let rest = used.checked_sub(noted).filter(|rest| *rest > 0)?;
        let slot = sliding.present(now);
        Some(Slot { units: slot.units.saturating_add(rest), ..slot })
    }

    /// Takes on what was in the slots of a sliding budget in an earlier process. For an account that nobody spends from
    /// yet.
    pub fn restore_slots(&self, slots: &[Slot], now: Moment) {
        let used = self.sliding().map_or(0, |sliding| sliding.restore(slots, now));
        self.spent.store(self.terms.difference(0, used), Relaxed);
    }

    /// Takes on what is known from before: `used` units were gone so long `ago`, and a bucket has refilled since.
    /// For an account that nobody spends from yet, and not for sliding budgets.
    pub fn restore(&self, used: u64, ago: Duration, now: Moment) {
        let refilled = self.terms.refilled_in(ago);
        let used = self.terms.units_up(self.terms.difference(0, used).saturating_sub(refilled).max(0));
        let used = u64::try_from(used).unwrap_or(0);
        let spent = self.overflow_at(now).saturating_add(self.terms.difference(0, used));
        self.spent.store(spent, Relaxed);
    }
}
