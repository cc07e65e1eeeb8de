//! A budget for any interval of a length: a ring of slots, each with what was spent in its part of the time.
//!
//! The account's `spent` is the authority: who takes adds there first and notes it in the slot of the present
//! afterwards. A slot that has become old is emptied once, by whoever comes first, and what was in it leaves
//! `spent`. A slot is old when all of it is older than the length, so that no interval of the length holds
//! more than the budget; what was spent comes back at most one slot's time, a sixtieth of the length, later
//! than it could.
//!
//! Slots are numbered by the wall's clock as it was when the account was opened, and go on by the clock that nobody
//! sets. So a slot is known by the end of its time, and what is on disk of it is of the same slot after a restart. Who
//! sets the wall's clock forward in between, or suspends the host, makes it older than it is, as it begins the windows
//! of a calendar early.
//!
//! **A kept budget** is spent only as far as it is on disk: `allowed` says of one slot, the newest that was granted,
//! how much may be in it. Slots before it are *closed*: what is in them is what it is, so that it can be written
//! down exactly, and all that a crash can lose is what was granted in the slot of the present.

use super::sync::{AtomicU64, Relaxed, SeqCst, fence};
use crate::base::Moment;
use std::time::Duration;

/// Slots of a ring: sixty that cover the length, and the one that is being filled.
const SLOTS: u64 = 61;
/// Bits of a slot that hold its amount; the others hold the low bits of its number.
const AMOUNT_BITS: u32 = 48;
/// The most that a slot holds, and so the most that a sliding budget may be.
pub const AMOUNT_MAX: u64 = (1 << AMOUNT_BITS) - 1;

/// What was spent in a slot of a sliding budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The end of its time, in nanoseconds since 1970 UTC by the clock that the account was opened by.
    pub until_ns: i64,
    /// Units.
    pub units: u64,
}

impl Slot {
    /// What was spent at a time, in milliseconds since 1970 UTC.
    pub fn at(unix_ms: i64, units: u64) -> Slot {
        Slot { until_ns: unix_ms.saturating_mul(1_000_000).saturating_add(1), units }
    }
}

/// The slots of one account.
#[derive(Debug)]
pub(super) struct Sliding {
    slot_ns: u64,
    /// The wall's time at tick 0, in nanoseconds since 1970; sums with ticks go round.
    epoch: AtomicU64,
    /// The number of its first slot.
    first: u64,
    /// The newest number that anybody has seen.
    newest: AtomicU64,
    slots: Box<[AtomicU64]>,
    /// Number and units of what is on disk that may be spent; `None` where nothing need be.
    allowed: Option<AtomicU64>,
}

impl Sliding {
    /// An empty ring. `is_kept`: nothing may be spent until [`allow`](Sliding::allow) says so.
    pub(super) fn new(length: Duration, is_kept: bool, now: Moment) -> Sliding {
        let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let slot_ns = length.div_ceil(SLOTS - 1).max(1);
        let unix_ns = u64::try_from(now.unix_ms).unwrap_or(0).saturating_mul(1_000_000);
        let number = unix_ns / slot_ns;
        let sliding = Sliding {
            slot_ns,
            epoch: AtomicU64::new(unix_ns.wrapping_sub(now.tick.0)),
            first: number,
            newest: AtomicU64::new(number),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            allowed: is_kept.then(|| AtomicU64::new(pack(number, 0))),
        };
        sliding.empty(number);
        sliding
    }

    /// Makes all slots empty, with that of `number` as the newest: each gets the last number that it had, for who comes
    /// with a clock that is a little behind.
    fn empty(&self, number: u64) {
        for (place, slot) in (0..).zip(&self.slots) {
            let last = number.saturating_sub((number % SLOTS + SLOTS - place) % SLOTS);
            slot.store(pack(last, 0), Relaxed);
        }
        self.newest.store(number, Relaxed);
    }

    /// The number of the slot in which it began.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the slot that `now` falls in.
    pub(super) fn number(&self, now: Moment) -> u64 {
        self.wall_ns(now) / self.slot_ns
    }

    /// Nanoseconds since the time of the slot of `number` began.
    pub(super) fn age(&self, number: u64, now: Moment) -> u64 {
        self.wall_ns(now).saturating_sub(number.saturating_mul(self.slot_ns))
    }

    fn wall_ns(&self, now: Moment) -> u64 {
        // A clock that is behind by more than all time there was is no clock: it stays at the beginning.
        let wall = now.tick.0.wrapping_add(self.epoch.load(Relaxed));
        if wall > u64::MAX / 2 { 0 } else { wall }
    }

    // === spending ===

    /// Notes `amount`, which is in `spent` already, in the slot of `number`. What has to leave `spent`, and whether
    /// it was noted: not if it is not on disk that so much may be spent, and then it leaves, too.
    pub(super) fn spend(&self, number: u64, amount: u64) -> (u64, bool) {
        let Some(allowed) = &self.allowed else { return (self.add(number, amount), true) };
        let freed = self.renew(number, false);
        let noted = |packed: u64| {
            let allowed = allowed.load(Relaxed);
            let sum = (packed & AMOUNT_MAX).saturating_add(amount);
            let may = is_of(packed, number) && is_of(allowed, number) && sum <= allowed & AMOUNT_MAX;
            may.then_some(packed.wrapping_add(amount))
        };
        if self.slot(number).fetch_update(Relaxed, Relaxed, noted).is_err() {
            return (freed.saturating_add(amount), false);
        }
        // Who closes a slot says so before looking into it: one of the two sees the other.
        fence(SeqCst);
        match is_of(allowed.load(Relaxed), number) {
            true => (freed, true),
            false => (freed.saturating_add(self.take_back(number, amount)), false),
        }
    }

    /// Empties what has become old; the sum of it, which has to leave `spent`.
    pub(super) fn expire(&self, now: Moment) -> u64 {
        let (number, newest) = (self.number(now), self.newest.load(Relaxed));
        if number <= newest {
            return 0;
        }
        let first = (newest + 1).max(number.saturating_sub(SLOTS - 1));
        // After so long a time all is old, whatever the low bits of its number say.
        let is_all_old = number - newest > 2 * SLOTS;
        if let Some(allowed) = self.allowed.as_ref().filter(|_| is_all_old) {
            allowed.store(pack(number, 0), Relaxed);
        }
        let freed = (first..=number).map(|number| self.renew(number, is_all_old)).sum();
        self.newest.fetch_max(number, Relaxed);
        freed
    }

    /// Notes `amount` in the slot of `number`; the sum of what was old there.
    pub(super) fn add(&self, number: u64, amount: u64) -> u64 {
        let freed = self.renew(number, false);
        let slot = self.slot(number);
        let _ = slot.fetch_update(Relaxed, Relaxed, |packed| {
            let sum = (packed & AMOUNT_MAX).saturating_add(amount).min(AMOUNT_MAX);
            Some(packed & !AMOUNT_MAX | sum)
        });
        freed
    }

    /// Takes `amount` out of the slot of `number`, as far as it is still there; what was taken has to leave
    /// `spent`. What became old has left already.
    pub(super) fn take_back(&self, number: u64, amount: u64) -> u64 {
        let taken = |packed: u64| match is_of(packed, number) {
            true => amount.min(packed & AMOUNT_MAX),
            false => 0,
        };
        let update = |packed| Some(packed - taken(packed));
        self.slot(number).fetch_update(Relaxed, Relaxed, update).map_or(0, taken)
    }

    /// Takes `amount` out of all slots, the newest first; what was taken has to leave `spent`.
    pub(super) fn take_back_any(&self, amount: u64, now: Moment) -> u64 {
        self.take_back_from(self.all(now).rev(), amount)
    }

    /// As [`take_back_any`](Sliding::take_back_any), the oldest first: then nothing comes back before its time, in whichever
    /// of the slots it was spent.
    pub(super) fn take_back_oldest(&self, amount: u64, now: Moment) -> u64 {
        self.take_back_from(self.all(now), amount)
    }

    fn take_back_from(&self, numbers: impl Iterator<Item = u64>, amount: u64) -> u64 {
        numbers.fold(0, |taken, number| taken + self.take_back(number, amount - taken))
    }

    /// The numbers of all slots that are not old.
    fn all(&self, now: Moment) -> std::ops::RangeInclusive<u64> {
        let newest = self.number(now);
        newest.saturating_sub(SLOTS - 1)..=newest
    }

    /// Time until `amount` more has become old; `None` when there is not so much.
    pub(super) fn until_freed(&self, amount: u64, now: Moment) -> Option<Duration> {
        let mut freed = 0u64;
        for old in self.all(now) {
            freed = freed.saturating_add(self.amount(old));
            if freed >= amount {
                let at = (old + SLOTS).saturating_mul(self.slot_ns);
                return Some(Duration::from_nanos(at.saturating_sub(self.wall_ns(now))));
            }
        }
        None
    }

    // === what is on disk ===

    /// Whether it is spent only as far as it is on disk.
    pub(super) fn is_kept(&self) -> bool {
        self.allowed.is_some()
    }

    /// Units that may be spent in the slot of `now` and are not; none where nothing need be on disk.
    pub(super) fn unspent(&self, now: Moment) -> u64 {
        let (number, allowed) = (self.number(now), self.allowed.as_ref().map_or(0, |it| it.load(Relaxed)));
        if !is_of(allowed, number) {
            return 0;
        }
        (allowed & AMOUNT_MAX).saturating_sub(self.amount(number))
    }

    /// Closes all slots before that of `now`: nothing is spent in them any more. What is in that of `now`, and how
    /// much may be.
    pub(super) fn close(&self, now: Moment) -> (Slot, u64) {
        let number = self.number(now);
        let mut most = 0;
        if let Some(allowed) = &self.allowed {
            let closed = |packed| {
                let is_behind = !is_of(packed, number) && !is_later(packed, number);
                is_behind.then_some(pack(number, 0))
            };
            let before = allowed.fetch_update(Relaxed, Relaxed, closed);
            most = before
                .map_or_else(|packed| if is_of(packed, number) { packed & AMOUNT_MAX } else { 0 }, |_| 0);
            fence(SeqCst);
        }
        (self.present(now), most)
    }

    /// The slot of `now`.
    pub(super) fn present(&self, now: Moment) -> Slot {
        self.slot_of(self.number(now))
    }

    /// Says that it is on disk that so much may be in a slot. Never takes back.
    pub(super) fn allow(&self, slot: Slot) {
        let number = self.number_of(slot);
        let more =
            |packed: u64| is_of(packed, number).then(|| packed.max(pack(number, slot.units.min(AMOUNT_MAX))));
        if let Some(allowed) = &self.allowed {
            let _ = allowed.fetch_update(Relaxed, Relaxed, more);
        }
    }

    /// What is in the slots, the oldest first.
    pub(super) fn slots(&self, now: Moment) -> impl Iterator<Item = Slot> {
        self.all(now).map(|number| self.slot_of(number)).filter(|slot| slot.units > 0)
    }

    /// Takes on what was in the slots of an earlier process; the sum of what is not old. Slots that are still to come
    /// by this clock, because it was set back or they are parts of a longer one, count as of now.
    pub(super) fn restore(&self, slots: &[Slot], now: Moment) -> u64 {
        // The wall tells milliseconds: no slot is taken for older than it is.
        self.epoch.fetch_sub(1_000_000, Relaxed);
        let newest = self.number(now);
        self.empty(newest);
        let mut sum = 0u64;
        for slot in slots {
            let number = self.number_of(*slot).min(newest);
            if number >= newest.saturating_sub(SLOTS - 1) {
                self.add(number, slot.units);
                sum = sum.saturating_add(slot.units);
            }
        }
        sum
    }

    fn slot_of(&self, number: u64) -> Slot {
        Slot { until_ns: self.until_ns(number), units: self.amount(number) }
    }

    fn until_ns(&self, number: u64) -> i64 {
        i64::try_from((number + 1).saturating_mul(self.slot_ns)).unwrap_or(i64::MAX)
    }

    /// The slot in which the last of that time is; slots of another length are earlier in part.
    fn number_of(&self, slot: Slot) -> u64 {
        u64::try_from(slot.until_ns.saturating_sub(1)).unwrap_or(0) / self.slot_ns
    }

    fn amount(&self, number: u64) -> u64 {
        let packed = self.slot(number).load(Relaxed);
        if is_of(packed, number) { packed & AMOUNT_MAX } else { 0 }
    }

    // === slots ===

    /// Makes the slot that of `number`, unless it is already or is a later one's; what was old in it.
    fn renew(&self, number: u64, is_all_old: bool) -> u64 {
        let slot = self.slot(number);
        let mut packed = slot.load(Relaxed);
        loop {
            if is_of(packed, number) || !is_all_old && is_later(packed, number) {
                return 0;
            }
            match slot.compare_exchange_weak(packed, pack(number, 0), Relaxed, Relaxed) {
                Ok(_) => return packed & AMOUNT_MAX,
                Err(current) => packed = current,
            }
        }
    }

    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.slots[(number % SLOTS) as usize]
    }
}

fn pack(number: u64, amount: u64) -> u64 {
    number << AMOUNT_BITS | amount
}

fn is_of(packed: u64, number: u64) -> bool {
    packed >> AMOUNT_BITS == number & (u64::MAX >> AMOUNT_BITS)
}

/// Whether the slot has gone on to a number after `number`, which a clock that is a little ahead has seen.
/// Numbers are told apart by their low bits, which go round after a thousand lengths: so much later is earlier.
fn is_later(packed: u64, number: u64) -> bool {
    let ahead = (packed >> AMOUNT_BITS).wrapping_sub(number) & (u64::MAX >> AMOUNT_BITS);
    (1..=2 * SLOTS).contains(&ahead)
}

#[cfg(all(test, not(feature = "model")))]
mod tests;
