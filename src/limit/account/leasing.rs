//! An account's side of leases: when they are handed out, what they change about overflow, how they come back.

use super::{Account, CLOSED, TRIES_MAX};
use crate::base::Moment;
use crate::limit::Measure;
use crate::limit::lease::{Leases, Tuning, WRITE_OFF_SHIFT};
use crate::limit::sync::{AcqRel, Acquire, Relaxed, spin};

impl Account {
    /// Takes the unspent credit of all leases back.
    pub fn end_leases(&self, now: Moment) {
        if let Some(leases) = self.leases() {
            self.reclaim(leases, now, Leases::empty_all);
        }
    }

    /// The least that `spent` can be: what has overflown, were the leases unspent. Where leases are out, as of
    /// their horizon. Whoever compares it with `spent` reads that before.
    pub(super) fn overflow(&self, given: i64, now: Moment) -> i64 {
        let full = self.terms.grains(self.terms.capacity());
        let Some(leases) = self.leases() else { return given.saturating_sub(full) };
        // No lease is longer than the window of a calendar that it is of, and somebody may set the clock.
        let is_calendar = matches!(self.terms.measure, Measure::Calendar { .. });
        let mut least = 0;
        for _ in 0..TRIES_MAX {
            let moves = leases.moves();
            let until = leases.horizon();
            let is_out = until > now.tick && !is_calendar;
            let given = match is_out {
                true => self.terms.given(self.opened, now.later(until.since(now.tick))),
                false => given,
            };
            least = given.saturating_sub(full).saturating_add(leases.unspent());
            if moves.is_some() && moves == leases.moves() {
                break;
            }
            // Credit that is neither in a cell nor in the account would overflow later.
            spin();
        }
        least
    }

    /// Tries to lease as much beside a request of `grains` as the account can spare; units that were leased.
    pub(super) fn lease(&self, grains: i64, worker: u32, tuning: &Tuning, now: Moment) -> u64 {
        if tuning.share_percent == 0 || self.sliding().is_some() {
            return 0;
        }
        let capacity = self.terms.grains(self.terms.capacity());
        let until = now.later(tuning.quantum);
        let given = self.terms.given(self.opened, now);
        // Refill of the quantum; whoever holds a lease across a calendar's window would carry it into the next.
        let refill = self.terms.given(self.opened, until).saturating_sub(given);
        let is_calendar = matches!(self.terms.measure, Measure::Calendar { .. });
        if is_calendar && refill > 0 {
            return 0;
        }
        let leases = self.leases_or_new(tuning.workers);
        let share = (i128::from(capacity) * i128::from(tuning.share_percent) / 100) as i64;
        let _hand = leases.hold_hand();
        if self.is_away() {
            return 0;
        }
        let mut spent = self.spent.load(Acquire);
        loop {
            let limit = given.min(self.ceiling.load(Relaxed));
            let free = limit.saturating_sub(spent);
            let size = leases.next_size(worker, grains, share.min(free / 2), now.tick);
            if spent == CLOSED || size < grains.saturating_mul(2) {
                return 0;
            }
            // As of the end of the lease, with the lease itself unspent.
            let least = self.overflow_at(until).saturating_add(leases.unspent()).saturating_add(size);
            let after = spent.saturating_add(size);
            let loss = least.saturating_sub(after).max(0);
            if loss > 0 && refill > capacity >> WRITE_OFF_SHIFT {
                return 0;
            }
            leases.announce(until.tick);
            match self.spent.compare_exchange_weak(spent, after.max(least), AcqRel, Acquire) {
                Ok(_) => {
                    leases.fill(worker, size, until.tick, self.terms.window_at(now));
                    // Who closes it empties the cells afterwards: this was before that or is seen here.
                    if self.spent.fetch_add(0, AcqRel) == CLOSED {
                        self.give_back(leases.empty_own(worker), now);
                    }
                    return u64::try_from(self.terms.units(size)).unwrap_or(0);
                }
                Err(current) => spent = current,
            }
        }
    }

    /// Puts credit that `empty` takes out of cells back; whether there was any.
    pub(super) fn reclaim(&self, leases: &Leases, now: Moment, empty: impl FnOnce(&Leases) -> i64) -> bool {
        let _hand = leases.hold_hand();
        let credit = empty(leases);
        if credit != 0 {
            self.give_back(credit, now);
        }
        credit != 0
    }

    /// Puts the credit of all cells back. When there was none: how often credit will have been moved, if nobody
    /// else does.
    pub(super) fn reclaim_all(&self, leases: &Leases, now: Moment) -> Option<u64> {
        let hand = leases.hold_hand();
        match leases.empty_all() {
            0 => hand.alone(),
            credit => {
                self.give_back(credit, now);
                None
            }
        }
    }

    /// Notes who takes; whether another worker took last.
    pub(super) fn touch(&self, worker: u32) -> bool {
        let last = self.toucher.load(Relaxed);
        if last != worker + 1 {
            self.toucher.store(worker + 1, Relaxed);
        }
        last != 0 && last != worker + 1
    }

    pub(super) fn leases(&self) -> Option<&Leases> {
        self.extra.get()?.leases.get()
    }

    pub(super) fn leases_or_new(&self, workers: u32) -> &Leases {
        let extra = self.extra.get_or_init(Box::default);
        extra.leases.get_or_init(|| Leases::new(workers))
    }
}
