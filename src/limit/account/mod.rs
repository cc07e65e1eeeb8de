//! An account: one rule for one key, the thing that has a balance.
//!
//! Its whole state is one atomic number, `spent`: see [`Terms`](super::Terms) for why that is enough. All
//! workers share an account and take from it by compare-and-swap; when more than one does so again and again,
//! each gets a lease.
//!
//! Here is what requests ask of it. [`away`] is for accounts that another process keeps, [`leasing`] is its side of leases, [`kept`] what operators and the store say of
//! it, [`lifetime`] how long it lasts.

mod away;
mod kept;
mod leasing;
mod lifetime;

use super::lease::{Leases, Tuning};
use super::sliding::Sliding;
use super::sync::{AcqRel, Acquire, AtomicI64, AtomicU32, Relaxed, spin};
use super::{Measure, Terms};
use crate::base::Moment;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// One account, shared by all workers.
#[derive(Debug)]
pub struct Account {
    id: u128,
    terms: Arc<Terms>,
    /// Since when it is open: see `Terms::opening`.
    opened: u64,
    /// Grains that have left it: settled, reserved, leased or overflown. [`CLOSED`] when it is no more.
    spent: AtomicI64,
    /// What `spent` may reach before more is on disk; `i64::MAX` where nothing is kept on disk, and for sliding budgets,
    /// which have that in their slots.
    ceiling: AtomicI64,
    /// What `spent` was when it was last written down.
    noted: AtomicI64,
    /// Bits: [`BLOCKED`], [`ASKED`], [`LET_GO`], [`DURABLE`], [`AWAY`], [`REFUSED`].
    flags: AtomicU32,
    /// The worker that took last, plus one.
    toucher: AtomicU32,
    /// Workers that know where it is; their reservations are among what they know.
    holders: AtomicU32,
    extra: OnceLock<Box<Extra>>,
}

/// What most accounts do not have.
#[derive(Debug, Default)]
struct Extra {
    label: Box<str>,
    leases: OnceLock<Leases>,
    sliding: Option<Sliding>,
    /// Of an account that is away and whose budget slides: after this time what was reserved is old where it is kept.
    fades: Option<Duration>,
    /// Where its balance went when it was closed.
    moved: OnceLock<Arc<Account>>,
}

/// What `spent` is when the account is closed: evicted, or replaced by one with other terms.
const CLOSED: i64 = i64::MIN;
/// `spent` stays above this.
const SPENT_MIN: i64 = i64::MIN / 2;

/// How often one who finds credit on the move looks again; a move takes a few instructions.
const TRIES_MAX: u32 = 64;

const BLOCKED: u32 = 1;
const ASKED: u32 = 2;
const LET_GO: u32 = 4;
const DURABLE: u32 = 8;
const AWAY: u32 = 16;
const REFUSED: u32 = 32;

/// What an account said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It gave. What was taken in units, which is less than asked where the capacity is less; the number of
    /// the sliding slot it is noted in; grains that were moved into a lease.
    Took {
        /// Units.
        amount: u64,
        /// For [`Account::settle`].
        slot: u64,
        /// Units that were leased to the worker beside it.
        leased: u64,
    },
    /// The balance does not cover it, nor do all leases.
    Short,
    /// The balance covers it, but it is not on disk yet that so much may be spent.
    Ungranted,
    /// An operator has blocked it.
    Blocked,
    /// It is no more; look the key up again.
    Closed,
}

impl Account {
    /// A full account. With `durable`, nothing may be spent until [`grant`](Account::grant) says so.
    pub fn open(id: u128, label: &str, terms: &Arc<Terms>, durable: bool, now: Moment) -> Account {
        let sliding = match &terms.measure {
            Measure::Sliding { length, .. } => Some(Sliding::new(*length, durable, now)),
            _ => None,
        };
        // A sliding budget has what is on disk in its slots.
        let ceiling = if durable && sliding.is_none() { 0 } else { i64::MAX };
        let extra = OnceLock::new();
        if sliding.is_some() || !label.is_empty() {
            let _ = extra.set(Box::new(Extra { label: label.into(), sliding, ..Extra::default() }));
        }
        Account {
            id,
            opened: terms.opening(now),
            terms: terms.clone(),
            spent: AtomicI64::new(0),
            ceiling: AtomicI64::new(ceiling),
            noted: AtomicI64::new(0),
            flags: AtomicU32::new(if durable { DURABLE } else { 0 }),
            toucher: AtomicU32::new(0),
            holders: AtomicU32::new(0),
            extra,
        }
    }

    /// Its name among all accounts.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// What its key is called, if that may be told; empty otherwise.
    pub fn label(&self) -> &str {
        self.extra.get().map_or("", |extra| &extra.label)
    }

    /// What it is allowed.
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Takes `amount` for `worker`, or as much of it as the account can ever hold.
    ///
    /// More than the capacity could never be given at once; a request that wants more is admitted when the
    /// account is full, and what it really used is settled afterwards.
    pub fn take(&self, amount: u64, worker: u32, tuning: &Tuning, now: Moment) -> Taking {
        let amount = amount.min(self.terms.capacity());
        let grains = self.terms.grains(amount);
        if self.is_blocked() {
            return Taking::Blocked;
        }
        if grains == 0 {
            return if self.is_open() {
                Taking::Took { amount: 0, slot: 0, leased: 0 }
            } else {
                Taking::Closed
            };
        }
        let extra = self.extra.get().map(Box::as_ref);
        let leases = extra.and_then(|extra| extra.leases.get());
        if leases.is_some_and(|leases| leases.spend(worker, grains, now)) {
            return Taking::Took { amount, slot: 0, leased: 0 };
        }
        let contended = self.touch(worker);
        if let Some(leases) = leases {
            self.reclaim(leases, now, |leases| leases.empty_own(worker));
        }
        let slot = match self.take_past_leases(amount, grains, now) {
            Ok(slot) => slot,
            Err(taking) => return taking,
        };
        let leased = if contended || leases.is_some() { self.lease(grains, worker, tuning, now) } else { 0 };
        Taking::Took { amount, slot, leased }
    }

    /// Replaces `taken`, which [`take`](Account::take) noted in `slot`, by what was really used: the rest comes
    /// back, the excess becomes debt.
    pub fn settle(&self, taken: u64, used: u64, slot: u64, now: Moment) {
        let _ = self.settled(taken, used, slot, now);
    }

    /// [`settle`](Account::settle)s; the balance afterwards, as [`balance`](Account::balance) tells it.
    pub fn settled(&self, taken: u64, used: u64, slot: u64, now: Moment) -> i64 {
        self.try_settle(taken, used, slot, now).unwrap_or(0)
    }

    /// As [`settled`](Account::settled); `None` when the account was forgotten, and so nobody has heard of it.
    fn try_settle(&self, taken: u64, used: u64, slot: u64, now: Moment) -> Option<i64> {
        let taken = if taken > used && self.has_faded(slot, now) { used } else { taken };
        let change = self.terms.difference(taken, used);
        if change == 0 {
            return Some(self.balance(now));
        }
        if let Some(sliding) = self.sliding().filter(|_| self.is_open()) {
            let is_heard = self.settle_sliding(sliding, (taken, used), slot, now);
            return is_heard.then(|| self.balance(now));
        }
        let given = self.terms.given(self.opened, now);
        let mut spent = self.spent.load(Acquire);
        loop {
            if spent == CLOSED {
                // Who closes an account has said before where its balance goes.
                let next = self.moved()?;
                return next.try_settle(taken, used, self.slot_in(next, slot, now), now);
            }
            // What has overflown until now is gone: it pays for no debt, and what comes back to a full account
            // overflows too.
            let least = self.overflow(given, now);
            let after = spent.max(least).saturating_add(change).max(least).max(SPENT_MIN);
            match self.spent.compare_exchange_weak(spent, after, Relaxed, Acquire) {
                Ok(_) => break spent = after,
                Err(current) => spent = current,
            }
        }
        // Debt is paid by what lies in leases before it waits for the refill.
        if change > 0 && spent > given {
            self.end_leases(now);
        }
        Some(self.terms.units(self.balance_of(given, self.spent.load(Relaxed))))
    }

    /// Whole units that could be taken now, leases included; negative when in debt.
    pub fn balance(&self, now: Moment) -> i64 {
        self.terms.units(self.balance_in_grains(now))
    }

    /// Time until `amount` (or the capacity, if less) could be taken if nobody else came; zero if now. `None`
    /// when that depends on when others end.
    pub fn wait_for(&self, amount: u64, now: Moment) -> Option<Duration> {
        self.wait_with(self.balance_in_grains(now), self.terms.grains(amount), now)
    }

    /// [`balance`](Account::balance), and how long to [`wait_for`](Account::wait_for) all that it can hold.
    pub(super) fn balance_and_wait(&self, now: Moment) -> (i64, Option<Duration>) {
        let balance = self.balance_in_grains(now);
        (self.terms.units(balance), self.wait_with(balance, self.terms.grains(self.terms.capacity()), now))
    }

    // === parts ===

    fn wait_with(&self, balance: i64, grains: i64, now: Moment) -> Option<Duration> {
        let missing = grains - balance;
        // Nothing is given even to who is in debt.
        if missing <= 0 || grains == 0 {
            return Some(Duration::ZERO);
        }
        match self.sliding() {
            Some(sliding) => sliding.until_freed(missing.unsigned_abs(), now),
            None => {
                let given = self.terms.given(self.opened, now).saturating_add(missing);
                self.terms.until_given(self.opened, given, now)
            }
        }
    }

    /// Takes from the balance itself; in which sliding slot that is noted.
    fn take_past_leases(&self, amount: u64, grains: i64, now: Moment) -> Result<u64, Taking> {
        let extra = self.extra.get().map(Box::as_ref);
        // Nothing leaves the balance that is not on disk for the present slot, not even for a moment.
        let kept = extra.and_then(|extra| extra.sliding.as_ref()).filter(|sliding| sliding.is_kept());
        if kept.is_some_and(|sliding| sliding.unspent(now) < amount) {
            return Err(match self.balance_in_grains(now) >= grains {
                _ if !self.is_open() => Taking::Closed,
                true => Taking::Ungranted,
                false => Taking::Short,
            });
        }
        // How often credit had been moved when no cell held any.
        let mut emptied = None;
        let mut tries = 0;
        loop {
            match self.take_directly(grains, now) {
                Direct::Took => break,
                Direct::Ungranted => return Err(Taking::Ungranted),
                Direct::Closed => return Err(Taking::Closed),
                Direct::Short => {
                    let Some(leases) = self.leases() else { return Err(Taking::Short) };
                    // Nothing has moved since: what the account lacked was nowhere.
                    if tries == TRIES_MAX || emptied.is_some() && emptied == leases.moves() {
                        return Err(Taking::Short);
                    }
                    emptied = self.reclaim_all(leases, now);
                    if tries > 0 {
                        spin();
                    }
                }
            }
            tries += 1;
        }
        let mut slot = self.time_away(now);
        if let Some(sliding) = extra.and_then(|extra| extra.sliding.as_ref()) {
            slot = sliding.number(now);
            let (freed, is_noted) = sliding.spend(slot, amount);
            self.free(freed, now);
            if !is_noted {
                return Err(Taking::Ungranted);
            }
        }
        Ok(slot)
    }

    fn take_directly(&self, grains: i64, now: Moment) -> Direct {
        self.expire(now);
        let given = self.terms.given(self.opened, now);
        let mut spent = self.spent.load(Acquire);
        loop {
            if spent == CLOSED {
                return Direct::Closed;
            }
            let after = spent.max(self.overflow(given, now)).saturating_add(grains);
            if after > given {
                return Direct::Short;
            }
            if after > self.ceiling.load(Relaxed) {
                return if self.is_refused() { Direct::Short } else { Direct::Ungranted };
            }
            // Release, so that who sees it spent also sees the reservation that it went to.
            match self.spent.compare_exchange_weak(spent, after, AcqRel, Acquire) {
                Ok(_) => return Direct::Took,
                Err(current) => spent = current,
            }
        }
    }

    fn overflow_at(&self, now: Moment) -> i64 {
        self.terms.given(self.opened, now).saturating_sub(self.terms.grains(self.terms.capacity()))
    }

    fn balance_in_grains(&self, now: Moment) -> i64 {
        self.expire(now);
        self.balance_of(self.terms.given(self.opened, now), self.spent.load(Relaxed))
    }

    fn balance_of(&self, given: i64, spent: i64) -> i64 {
        let leased = self.leases().map_or(0, Leases::unspent);
        let spent = spent.max(SPENT_MIN).saturating_sub(leased);
        given.saturating_sub(spent).min(self.terms.grains(self.terms.capacity()))
    }

    /// Gives `grains` back, or takes them if there are fewer than none; whether there is anybody to have heard of it.
    fn give_back(&self, grains: i64, now: Moment) -> bool {
        let less = |spent: i64| (spent != CLOSED).then(|| spent.saturating_sub(grains).max(SPENT_MIN));
        if self.spent.fetch_update(AcqRel, Acquire, less).is_ok() {
            return true;
        }
        let Some(next) = self.moved() else { return false };
        let units = self.terms.units(grains);
        let (taken, used) = (units.max(0).unsigned_abs(), units.min(0).unsigned_abs());
        next.try_settle(taken, used, next.first_slot(now), now).is_some()
    }

    fn settle_sliding(&self, sliding: &Sliding, (taken, used): (u64, u64), slot: u64, now: Moment) -> bool {
        if used <= taken {
            self.free(sliding.take_back(slot, taken - used), now);
            return true; // of an account that was forgotten nothing was spent
        }
        let more = used - taken;
        self.expire(now);
        let is_heard = self.give_back(self.terms.difference(0, more).saturating_neg(), now);
        if is_heard {
            self.free(sliding.add(sliding.number(now), more), now);
        }
        is_heard
    }

    fn expire(&self, now: Moment) {
        // What a closed account had spent becomes old in the one that has it now.
        if let Some(sliding) = self.sliding().filter(|_| self.is_open()) {
            self.free(sliding.expire(now), now);
        }
    }

    fn free(&self, amount: u64, now: Moment) {
        if amount > 0 {
            self.give_back(self.terms.difference(0, amount), now);
        }
    }

    /// The sliding slot in which everything is noted that an earlier account had used.
    pub(super) fn first_slot(&self, now: Moment) -> u64 {
        self.sliding().map_or_else(|| self.time_away(now), Sliding::first)
    }

    fn sliding(&self) -> Option<&Sliding> {
        self.extra.get()?.sliding.as_ref()
    }
}

enum Direct {
    Took,
    Short,
    Ungranted,
    Closed,
}
