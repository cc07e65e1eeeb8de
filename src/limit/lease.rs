//! Leases: shares of one account that workers hold and spend without asking.
//!
//! A lease is credit that has left the account and lies in a cell of its worker. Spending from it is one
//! uncontended atomic. Whoever is about to refuse takes the unspent credit of all cells back first, so that no
//! request is refused for what another worker holds.
//!
//! **A lease ends.** An account that is full overflows all the time, and whether a grain of refill is lost
//! depends on whether somebody spent before it came. A worker that spends from a lease does not look at the
//! clock of the account, so a lease is handed out with an end, the account's *horizon*, and what would
//! overflow until then, were nothing spent, is written off at once. Until its horizon an account can therefore
//! not become fuller than its capacity, whatever is spent from leases; after it, a lease is no longer spent
//! from without looking. What is written off is at most the refill of one quantum (a millisecond or so), only
//! while the account is full; accounts for which that could be noticed are not leased while they are full.

use super::Window;
use super::sync::{AcqRel, Acquire, AtomicI64, AtomicU64, Relaxed, Release};
use crate::base::{Moment, Tick};
use crossbeam::utils::CachePadded;
use std::time::Duration;

/// How leases are handed out. Set per core in `Settings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How many workers there are: each has a cell.
    pub workers: u32,
    /// The most of an account's capacity that one worker's lease may be, in percent; 0 is none.
    pub share_percent: u32,
    /// How long a lease may be spent from.
    pub quantum: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning { workers: 1, share_percent: 12, quantum: Duration::from_millis(1) }
    }
}

/// A full account is leased if one quantum's refill is at most this part of its capacity.
pub(super) const WRITE_OFF_SHIFT: u32 = 12;

/// One move that is over.
const OVER: u64 = 1 << 32;

/// A worker's cell. Only its worker fills it; anybody may empty it.
#[derive(Debug)]
struct LeaseCell {
    credit: AtomicI64,
    /// The first instant at which it is no longer spent from without looking.
    until: AtomicU64,
    /// The window of a calendar that it is of, in milliseconds since 1970: credit of one window is none in another,
    /// and somebody may set the clock.
    from_ms: AtomicI64,
    until_ms: AtomicI64,
    /// The last size, and whether it was used up: how the size adapts. Its worker's alone.
    size: AtomicI64,
}

/// The cells of one account, a worker each.
#[derive(Debug)]
pub(super) struct Leases {
    cells: Box<[CachePadded<LeaseCell>]>,
    /// The latest end of all leases.
    horizon: AtomicU64,
    /// Times that credit was moved between cells and account; in the low half those that are not over.
    moves: AtomicU64,
}

impl Leases {
    pub(super) fn new(workers: u32) -> Leases {
        let cell = || LeaseCell {
            credit: AtomicI64::new(0),
            until: AtomicU64::new(0),
            from_ms: AtomicI64::new(i64::MIN),
            until_ms: AtomicI64::new(i64::MAX),
            size: AtomicI64::new(0),
        };
        Leases {
            cells: (0..workers.max(1)).map(|_| CachePadded::new(cell())).collect(),
            horizon: AtomicU64::new(0),
            moves: AtomicU64::new(0),
        }
    }

    /// Spends `grains` of the worker's lease, if it is there and has not ended.
    pub(super) fn spend(&self, worker: u32, grains: i64, now: Moment) -> bool {
        let Some(cell) = self.cells.get(worker as usize) else { return false };
        let window = cell.from_ms.load(Relaxed)..cell.until_ms.load(Relaxed);
        if cell.until.load(Relaxed) <= now.tick.0 || !window.contains(&now.unix_ms) {
            return false;
        }
        let less = |credit: i64| (credit >= grains).then_some(credit - grains);
        // Release, so that who sees the credit gone also sees the reservation that it went to.
        cell.credit.fetch_update(AcqRel, Relaxed, less).is_ok()
    }

    /// Unspent credit in all cells.
    pub(super) fn unspent(&self) -> i64 {
        self.cells.iter().fold(0, |sum, cell| sum.saturating_add(cell.credit.load(Acquire)))
    }

    /// The instant until which overflow has been written off.
    pub(super) fn horizon(&self) -> Tick {
        Tick(self.horizon.load(Relaxed))
    }

    /// How much the worker's next lease is, for a request of `grains`: twice the last if that was used up
    /// before its end, half of it if not; at most `most`.
    pub(super) fn next_size(&self, worker: u32, grains: i64, most: i64, now: Tick) -> i64 {
        let Some(cell) = self.cells.get(worker as usize) else { return 0 };
        let (size, is_used_up) = (cell.size.load(Relaxed), cell.until.load(Relaxed) > now.0);
        let size = if is_used_up { size.saturating_mul(2) } else { size / 2 };
        size.max(grains.saturating_mul(4)).min(most)
    }

    /// Says that credit is about to be taken out of cells or the account and put somewhere else, until the
    /// value is dropped: nobody refuses meanwhile.
    pub(super) fn hold_hand(&self) -> InHand<'_> {
        InHand { moves: &self.moves, before: self.moves.fetch_add(1, AcqRel) }
    }

    /// How often credit was moved; `None` while it is. Whoever reads the same number before and after it has
    /// looked at cells and account has seen both as they were at one time.
    pub(super) fn moves(&self) -> Option<u64> {
        let moves = self.moves.load(Acquire);
        moves.is_multiple_of(OVER).then_some(moves)
    }

    /// Announces a lease until `until`, before it is paid for.
    pub(super) fn announce(&self, until: Tick) {
        self.horizon.fetch_max(until.0, Relaxed);
    }

    /// Puts `credit`, which the account has paid, into the worker's cell until `until`, and while `window` lasts.
    pub(super) fn fill(&self, worker: u32, credit: i64, until: Tick, window: Option<Window>) {
        let Some(cell) = self.cells.get(worker as usize) else { return };
        let (from_ms, until_ms) =
            window.map_or((i64::MIN, i64::MAX), |window| (window.from_ms, window.until_ms));
        cell.from_ms.store(from_ms, Relaxed);
        cell.until_ms.store(until_ms, Relaxed);
        cell.credit.fetch_add(credit, Release);
        cell.until.store(until.0, Relaxed);
        cell.size.store(credit, Relaxed);
    }

    /// Empties the worker's own cell; what was in it.
    pub(super) fn empty_own(&self, worker: u32) -> i64 {
        self.cells.get(worker as usize).map_or(0, |cell| cell.credit.swap(0, AcqRel))
    }

    /// Empties all cells; what was in them.
    pub(super) fn empty_all(&self) -> i64 {
        self.cells.iter().fold(0, |sum, cell| sum.saturating_add(cell.credit.swap(0, AcqRel)))
    }
}

/// While it lives, credit is in nobody's cell.
pub(super) struct InHand<'a> {
    moves: &'a AtomicU64,
    before: u64,
}

impl InHand<'_> {
    /// What [`moves`](Leases::moves) will be afterwards, if nobody else moves credit from when this began.
    pub(super) fn alone(&self) -> Option<u64> {
        self.before.is_multiple_of(OVER).then_some(self.before.wrapping_add(OVER))
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.moves.fetch_add(OVER - 1, AcqRel);
    }
}
