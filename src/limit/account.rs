//! An account: one rule for one key, the thing that has a balance.
//!
//! Its whole state is one atomic number, `spent`: see [`Terms`](super::Terms) for why that is enough. All
//! workers share an account and take from it by compare-and-swap; when more than one does so again and again,
//! each gets a lease.

use super::lease::{Leases, Tuning, WRITE_OFF_SHIFT};
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
    /// What `spent` may reach before more is on disk; `i64::MAX` where nothing is kept on disk.
    ceiling: AtomicI64,
    /// What `spent` was when it was last written down.
    noted: AtomicI64,
    /// Bits: [`BLOCKED`], [`ASKED`], [`LET_GO`].
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
            Measure::Sliding { length, .. } => Some(Sliding::new(*length, now)),
            _ => None,
        };
        let extra = OnceLock::new();
        if sliding.is_some() || !label.is_empty() {
            let _ = extra.set(Box::new(Extra { label: label.into(), sliding, ..Extra::default() }));
        }
        Account {
            id,
            opened: terms.opening(now),
            terms: terms.clone(),
            spent: AtomicI64::new(0),
            ceiling: AtomicI64::new(if durable { 0 } else { i64::MAX }),
            noted: AtomicI64::new(0),
            flags: AtomicU32::new(0),
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
        let leases = self.leases();
        if leases.is_some_and(|leases| leases.spend(worker, grains, now)) {
            return Taking::Took { amount, slot: 0, leased: 0 };
        }
        let contended = self.touch(worker);
        if let Some(leases) = leases {
            self.reclaim(leases, now, |leases| leases.empty_own(worker));
        }
        // How often credit had been moved when no cell held any.
        let mut emptied = None;
        let mut tries = 0;
        loop {
            match self.take_directly(grains, now) {
                Direct::Took => break,
                Direct::Ungranted => return Taking::Ungranted,
                Direct::Closed => return Taking::Closed,
                Direct::Short => {
                    let Some(leases) = self.leases() else { return Taking::Short };
                    // Nothing has moved since: what the account lacked was nowhere.
                    if tries == TRIES_MAX || emptied.is_some() && emptied == leases.moves() {
                        return Taking::Short;
                    }
                    emptied = self.reclaim_all(leases, now);
                    if tries > 0 {
                        spin();
                    }
                }
            }
            tries += 1;
        }
        let slot = self.sliding().map_or(0, |sliding| {
            let number = sliding.number(now);
            self.free(sliding.add(number, amount), now);
            number
        });
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
        let change = self.terms.difference(taken, used);
        if change == 0 {
            return self.balance(now);
        }
        if let Some(sliding) = self.sliding().filter(|_| self.is_open()) {
            self.settle_sliding(sliding, (taken, used), slot, now);
            return self.balance(now);
        }
        let given = self.terms.given(self.opened, now);
        let mut spent = self.spent.load(Acquire);
        loop {
            if spent == CLOSED {
                // Who closes an account has said before where its balance goes.
                let moved = self.moved();
                return moved.map_or(0, |next| next.settled(taken, used, next.first_slot(), now));
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
        self.terms.units(self.balance_of(given, self.spent.load(Relaxed)))
    }

    /// Whole units that could be taken now, leases included; negative when in debt.
    pub fn balance(&self, now: Moment) -> i64 {
        self.terms.units(self.balance_in_grains(now))
    }

    /// Time until `amount` (or the capacity, if less) could be taken if nobody else came; zero if now. `None`
    /// when that depends on when others end.
    pub fn wait_for(&self, amount: u64, now: Moment) -> Option<Duration> {
        let missing = self.terms.grains(amount) - self.balance_in_grains(now);
        // Nothing is given even to who is in debt.
        if missing <= 0 || amount == 0 {
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

    // === who holds it ===

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

    // === what operators and the store say ===

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
        let full = i64::try_from(self.terms.capacity()).unwrap_or(i64::MAX);
        let missing = u64::try_from(full.saturating_sub(self.balance(now))).unwrap_or(0);
        let amount = amount.min(missing);
        match (&self.terms.measure, self.sliding()) {
            (Measure::Concurrent { .. }, _) => return 0,
            (_, Some(sliding)) => self.free(sliding.take_back_any(amount, now), now),
            (_, None) => self.settle(amount, 0, 0, now),
        }
        amount
    }

    /// Whether nobody has asked for more on disk since the last grant; from now on somebody has.
    pub fn ask(&self) -> bool {
        self.flags.fetch_or(ASKED, Relaxed) & ASKED == 0
    }

    /// Takes back that somebody has asked: nobody heard it.
    pub fn forget_ask(&self) {
        self.flags.fetch_and(!ASKED, Relaxed);
    }

    /// Unspent credit that is on disk already, in units.
    pub fn granted(&self) -> u64 {
        let ceiling = self.ceiling.load(Relaxed);
        let unspent = ceiling.saturating_sub(self.spent.load(Relaxed).max(SPENT_MIN));
        u64::try_from(self.terms.units(unspent)).unwrap_or(0)
    }

    /// Whether its balance has changed since this was asked last.
    pub fn note_change(&self) -> bool {
        let spent = self.spent.load(Relaxed);
        self.noted.swap(spent, Relaxed) != spent
    }

    /// Takes the unspent credit of all leases back.
    pub fn end_leases(&self, now: Moment) {
        if let Some(leases) = self.leases() {
            self.reclaim(leases, now, Leases::empty_all);
        }
    }

    /// Whether what may be spent must be on disk.
    pub fn is_durable(&self) -> bool {
        self.ceiling.load(Relaxed) != i64::MAX
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

    /// Takes on what is known from before: `used` units were gone so long `ago`, and a bucket has refilled since.
    /// For an account that nobody spends from yet.
    pub fn restore(&self, used: u64, ago: Duration, now: Moment) {
        let refilled = self.terms.refilled_in(ago);
        let used = self.terms.units_up(self.terms.difference(0, used).saturating_sub(refilled).max(0));
        let used = u64::try_from(used).unwrap_or(0);
        let spent = self.overflow_at(now).saturating_add(self.terms.difference(0, used));
        self.spent.store(spent, Relaxed);
        if let Some(sliding) = self.sliding() {
            sliding.add(sliding.number(now), used);
        }
    }

    // === its end ===

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
            let used = self.used_of(spent, now, terms.capacity());
            next.settle(known, used, next.first_slot(), now);
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
        if self.is_durable() && durable && self.terms.measure.has_windows_of(&terms.measure) {
            // What is on disk of the old one is on disk of the new one: they have one name.
            // For this window and no later one, whatever clocks have shown.
            let granted = self.ceiling.load(Relaxed).saturating_sub(self.overflow_at(now));
            let granted = u64::try_from(self.terms.units(granted)).unwrap_or(0);
            next.grant(granted.min(terms.capacity()), now);
        }
        Some(next)
    }

    /// Whether it is neither evicted nor replaced.
    pub(super) fn is_open(&self) -> bool {
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

    /// The account that took its place, if it was replaced.
    pub(super) fn moved(&self) -> Option<&Arc<Account>> {
        self.extra.get()?.moved.get()
    }

    // === parts ===

    /// Units that `spent` says are used, for an account of another capacity.
    fn used_of(&self, spent: i64, now: Moment, capacity: u64) -> u64 {
        let used = spent.saturating_sub(self.overflow_at(now));
        let used = u64::try_from(self.terms.units_up(used)).unwrap_or(0);
        let debt = used.saturating_sub(self.terms.capacity());
        (used - debt).min(capacity).saturating_add(debt)
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
                return Direct::Ungranted;
            }
            // Release, so that who sees it spent also sees the reservation that it went to.
            match self.spent.compare_exchange_weak(spent, after, AcqRel, Acquire) {
                Ok(_) => return Direct::Took,
                Err(current) => spent = current,
            }
        }
    }

    /// The least that `spent` can be: what has overflown, were the leases unspent. Where leases are out, as of
    /// their horizon. Whoever compares it with `spent` reads that before.
    fn overflow(&self, given: i64, now: Moment) -> i64 {
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

    /// Tries to lease as much beside a request of `grains` as the account can spare; units that were leased.
    fn lease(&self, grains: i64, worker: u32, tuning: &Tuning, now: Moment) -> u64 {
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
    fn reclaim(&self, leases: &Leases, now: Moment, empty: impl FnOnce(&Leases) -> i64) -> bool {
        let _hand = leases.hold_hand();
        let credit = empty(leases);
        if credit != 0 {
            self.give_back(credit, now);
        }
        credit != 0
    }

    /// Puts the credit of all cells back. When there was none: how often credit will have been moved, if nobody
    /// else does.
    fn reclaim_all(&self, leases: &Leases, now: Moment) -> Option<u64> {
        let hand = leases.hold_hand();
        match leases.empty_all() {
            0 => hand.alone(),
            credit => {
                self.give_back(credit, now);
                None
            }
        }
    }

    fn give_back(&self, grains: i64, now: Moment) {
        let less = |spent: i64| (spent != CLOSED).then(|| spent.saturating_sub(grains).max(SPENT_MIN));
        if self.spent.fetch_update(AcqRel, Acquire, less).is_err()
            && let Some(next) = self.moved()
        {
            let units = self.terms.units(grains);
            let (taken, used) = (units.max(0).unsigned_abs(), units.min(0).unsigned_abs());
            next.settle(taken, used, next.first_slot(), now);
        }
    }

    fn settle_sliding(&self, sliding: &Sliding, (taken, used): (u64, u64), slot: u64, now: Moment) {
        if used < taken {
            self.free(sliding.take_back(slot, taken - used), now);
        } else if used > taken {
            let more = used - taken;
            self.expire(now);
            self.give_back(self.terms.difference(0, more).saturating_neg(), now);
            self.free(sliding.add(sliding.number(now), more), now);
        }
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
    pub(super) fn first_slot(&self) -> u64 {
        self.sliding().map_or(0, Sliding::first)
    }

    /// Notes who takes; whether another worker took last.
    fn touch(&self, worker: u32) -> bool {
        let last = self.toucher.load(Relaxed);
        if last != worker + 1 {
            self.toucher.store(worker + 1, Relaxed);
        }
        last != 0 && last != worker + 1
    }

    fn leases(&self) -> Option<&Leases> {
        self.extra.get()?.leases.get()
    }

    fn leases_or_new(&self, workers: u32) -> &Leases {
        let extra = self.extra.get_or_init(Box::default);
        extra.leases.get_or_init(|| Leases::new(workers))
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
