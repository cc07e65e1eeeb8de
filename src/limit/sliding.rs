//! A budget for any interval of a length: a ring of slots, each with what was spent in its part of the time.
//!
//! The account's `spent` is the authority: who takes adds there first and notes it in the slot of the present
//! afterwards. A slot that has become old is emptied once, by whoever comes first, and what was in it leaves
//! `spent`. A slot is old when all of it is older than the length, so that no interval of the length holds
//! more than the budget; what was spent comes back at most one slot's time, a sixtieth of the length, later
//! than it could.

use super::sync::{AtomicU64, Relaxed};
use crate::base::Moment;
use std::time::Duration;

/// Slots of a ring: sixty that cover the length, and the one that is being filled.
const SLOTS: u64 = 61;
/// Bits of a slot that hold its amount; the others hold the low bits of its number.
const AMOUNT_BITS: u32 = 48;
/// The most that a slot holds.
pub(super) const AMOUNT_MAX: u64 = (1 << AMOUNT_BITS) - 1;

/// The slots of one account.
#[derive(Debug)]
pub(super) struct Sliding {
    slot_ns: u64,
    /// The number of its first slot.
    first: u64,
    /// The newest number that anybody has seen.
    newest: AtomicU64,
    slots: Box<[AtomicU64]>,
}

impl Sliding {
    pub(super) fn new(length: Duration, now: Moment) -> Sliding {
        let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let slot_ns = length.div_ceil(SLOTS - 1).max(1);
        let number = now.tick.0 / slot_ns;
        // Each with the last number that it had, for who comes with a clock that is a little behind.
        let last = |place| number.saturating_sub((number % SLOTS + SLOTS - place) % SLOTS);
        let slots = (0..SLOTS).map(|place| AtomicU64::new(pack(last(place), 0))).collect();
        Sliding { slot_ns, first: number, newest: AtomicU64::new(number), slots }
    }

    /// The number of the slot in which it began.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the slot that `now` falls in.
    pub(super) fn number(&self, now: Moment) -> u64 {
        now.tick.0 / self.slot_ns
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
        let newest = self.number(now);
        let numbers = (newest.saturating_sub(SLOTS - 1)..=newest).rev();
        numbers.fold(0, |taken, number| taken + self.take_back(number, amount - taken))
    }

    /// Time until `amount` more has become old; `None` when there is not so much.
    pub(super) fn until_freed(&self, amount: u64, now: Moment) -> Option<Duration> {
        let number = self.number(now);
        let mut freed = 0u64;
        for old in number.saturating_sub(SLOTS - 1)..=number {
            let packed = self.slot(old).load(Relaxed);
            if is_of(packed, old) {
                freed = freed.saturating_add(packed & AMOUNT_MAX);
            }
            if freed >= amount {
                let at = (old + SLOTS).saturating_mul(self.slot_ns);
                return Some(Duration::from_nanos(at.saturating_sub(now.tick.0)));
            }
        }
        None
    }

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
