//! How long an account lasts: who holds it, when it is forgotten, what takes its place.

use super::{Account, CLOSED, LET_GO};
use crate::base::Moment;
use crate::limit::Terms;
use crate::limit::lease::Leases;
use crate::limit::sync::{AcqRel, Acquire, Relaxed};
use std::sync::Arc;

impl Account {
    /// A worker keeps a handle on it; the account stays until it is [`release`](Account::release)d. Not
    /// counted per reservation: that would be a shared write for each.
    pub fn hold(&self) {
        self.holders.fetch_add(1, AcqRel);
    }

    /// The worker has no reservation of it and forgets it.
    pub fn release(&self) {
        if self.holders.fetch_sub(1, AcqRel) == 1 {
            self.let_go();
        }
    }

    /// The account that has its balance now was held for those who hold this one: there are none any more.
    fn let_go(&self) {
        if !self.is_open()
            && let Some(next) = self.moved()
            && self.flags.fetch_or(LET_GO, AcqRel) & LET_GO == 0
        {
            next.release();
        }
    }

    /// Whether a worker has a handle on it.
    pub fn is_held(&self) -> bool {
        self.holders.load(Acquire) > 0
    }

    /// Closes it if it says nothing that a new one would not: full, unheld, not blocked.
    pub fn close_if_idle(&self, now: Moment) -> bool {
        if self.is_held() || self.is_blocked() {
            return false;
        }
        self.expire(now);
        // Whoever had a lease of it has forgotten it.
        self.end_leases(now);
        let spent = self.spent.load(Acquire);
        let full = self.terms.grains(self.terms.capacity());
        let is_full = self.terms.given(self.opened, now).saturating_sub(spent) >= full;
        let leased = self.leases().map_or(0, Leases::unspent);
        if !is_full || leased != 0 || self.is_held() || spent == CLOSED {
            return false;
        }
        self.spent.compare_exchange(spent, CLOSED, AcqRel, Relaxed).is_ok()
    }

    /// Closes it and opens one with `terms` in its place; `None` when somebody else does so already, and this
    /// one counts until they have. What was used stays used: a larger capacity gives the difference, and a
    /// smaller one takes what no longer fits, but makes no debt where there was none.
    pub fn replace(&self, terms: &Arc<Terms>, durable: bool, now: Moment) -> Option<Arc<Account>> {
        let next = Arc::new(Account::open(self.id, self.label(), terms, durable, now));
        self.move_to(&next, now)?;
        if self.is_durable() && durable && self.terms.measure.has_windows_of(&terms.measure) {
            // What is on disk of the old one is on disk of the new one: they have one name.
            // For this window and no later one, whatever clocks have shown.
            let granted = self.ceiling.load(Relaxed).saturating_sub(self.overflow_at(now));
            let granted = u64::try_from(self.terms.units(granted)).unwrap_or(0);
            next.grant(granted.min(terms.capacity()), now);
        }
        Some(next)
    }

    /// Closes it and lets `next`, which nobody knows yet, go on with what was used; how much that was. `None` when
    /// somebody else moves it already.
    pub(super) fn move_to(&self, next: &Arc<Account>, now: Moment) -> Option<u64> {
        // Reservations of this one are settled there.
        next.hold();
        let extra = self.extra.get_or_init(Box::default);
        extra.moved.set(next.clone()).ok()?;
        self.expire(now);
        self.end_leases(now);
        let mut known = 0;
        let mut spent = self.spent.load(Relaxed);
        // The new account follows the old one until the old one is closed at exactly what the new one knows.
        while spent != CLOSED {
            let used = self.used_of(spent, now, next.terms.capacity());
            next.settle(known, used, next.first_slot(now), now);
            known = used;
            match self.spent.compare_exchange(spent, CLOSED, AcqRel, Acquire) {
                Ok(_) => break,
                Err(current) => spent = current,
            }
        }
        next.set_blocked(self.is_blocked());
        // What was leased meanwhile goes to the new account.
        self.end_leases(now);
        if !self.is_held() {
            self.let_go();
        }
        Some(known)
    }

    /// Whether it is neither evicted nor replaced.
    pub(in crate::limit) fn is_open(&self) -> bool {
        self.spent.load(Acquire) != CLOSED
    }

    /// The account that has its balance now.
    pub fn newest(self: &Arc<Account>) -> &Arc<Account> {
        let mut newest = self;
        while !newest.is_open()
            && let Some(next) = newest.moved()
        {
            newest = next;
        }
        newest
    }

    /// It, or the account that has its balance now; `None` when it was evicted.
    pub fn in_force(self: &Arc<Account>) -> Option<&Arc<Account>> {
        Some(self.newest()).filter(|newest| newest.is_open())
    }

    /// The account that took its place, if it was replaced.
    pub(in crate::limit) fn moved(&self) -> Option<&Arc<Account>> {
        self.extra.get()?.moved.get()
    }

    /// Units that `spent` says are used, for an account of another capacity.
    fn used_of(&self, spent: i64, now: Moment, capacity: u64) -> u64 {
        let used = spent.saturating_sub(self.overflow_at(now));
        let used = u64::try_from(self.terms.units_up(used)).unwrap_or(0);
        if self.is_away() {
            return used; // its own capacity says nothing
        }
        let debt = used.saturating_sub(self.terms.capacity());
        (used - debt).min(capacity).saturating_add(debt)
    }
}
