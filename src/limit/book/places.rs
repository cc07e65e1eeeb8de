//! Where reservations stand while they are open: places that are used again and again, so that none is made for a
//! request.

use crate::base::{Moment, Tick};
use crate::limit::{Account, Terms, Unit};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Where an account is, as this worker knows it.
pub(super) struct Handle {
    pub(super) account: Arc<Account>,
    /// The terms that the rules had for it when it was found; an operator may have given it others.
    pub(super) under: Arc<Terms>,
    pub(super) used: Cell<Tick>,
}

impl Handle {
    pub(super) fn new(account: Arc<Account>, under: Arc<Terms>, now: Moment) -> Rc<Handle> {
        account.hold();
        Rc::new(Handle { account, under, used: Cell::new(now.tick) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.account.release();
    }
}

/// What a reservation took from one account.
pub(super) struct Hold {
    pub(super) handle: Rc<Handle>,
    /// Position of the rule in its rule set.
    pub(super) rule: u32,
    pub(super) unit: Unit,
    pub(super) reserved: u64,
    /// For `Account::settle`.
    pub(super) slot: u64,
    /// What was leased beside it.
    pub(super) leased: u64,
}

impl Hold {
    /// A reload may have moved the account's balance.
    pub(super) fn follow(&mut self, now: Moment) {
        if !self.handle.account.is_open() {
            let newest = self.handle.account.newest().clone();
            self.slot = self.handle.account.slot_in(&newest, self.slot, now);
            self.handle = Handle::new(newest, self.handle.under.clone(), now);
        }
    }

    /// The request does not go on.
    pub(super) fn give_back(self, now: Moment) {
        self.handle.account.settle(self.reserved, 0, self.slot, now);
    }

    /// Nobody settled it: what was under way is not any more, what was taken stays spent.
    fn expire(self, now: Moment) {
        if self.unit == Unit::Concurrency {
            self.handle.account.settle(self.reserved, 0, self.slot, now);
        }
    }
}

/// The right and the duty to settle a reservation.
#[must_use = "a reservation holds credit until it is settled"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    place: u32,
    generation: u32,
}

/// All places of a worker: as many as there ever were reservations at a time.
#[derive(Default)]
pub(super) struct Places {
    all: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    /// Counts the reservations of this place, so that an old ticket means none.
    generation: u32,
    /// When it is swept; never, while it is free.
    until: Tick,
    /// At most [`LIMITS_MAX`](super::LIMITS_MAX); its room is kept when the place is free.
    holds: Vec<Hold>,
}

const NEVER: Tick = Tick(u64::MAX);

impl Place {
    /// Makes the place free; what was reserved in it.
    fn vacate(&mut self) -> Vec<Hold> {
        self.generation = self.generation.wrapping_add(1);
        self.until = NEVER;
        std::mem::take(&mut self.holds)
    }
}

impl Places {
    /// A place that is nobody's now, and room for what is reserved in it.
    pub(super) fn claim(&mut self) -> (u32, Vec<Hold>) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(Place { generation: 0, until: NEVER, holds: Vec::new() });
            (self.all.len() - 1) as u32
        });
        (number, self.all.get_mut(number as usize).map_or_else(Vec::new, Place::vacate))
    }

    /// Puts a reservation that is open `until` into a claimed place.
    pub(super) fn keep(&mut self, number: u32, holds: Vec<Hold>, until: Tick) -> Ticket {
        match self.all.get_mut(number as usize) {
            Some(place) => {
                (place.until, place.holds) = (until, holds);
                Ticket { place: number, generation: place.generation }
            }
            None => Ticket { place: number, generation: 0 }, // a claimed place exists
        }
    }

    /// What a ticket stands for; `None` when it was swept.
    pub(super) fn holds(&self, ticket: &Ticket) -> Option<&[Hold]> {
        let place = self.all.get(ticket.place as usize)?;
        (place.generation == ticket.generation).then_some(&place.holds)
    }

    /// As [`holds`](Places::holds), to be changed.
    pub(super) fn holds_mut(&mut self, ticket: &Ticket) -> Option<&mut [Hold]> {
        let place = self.all.get_mut(ticket.place as usize)?;
        (place.generation == ticket.generation).then_some(&mut place.holds)
    }

    /// Takes what a ticket stands for out of its place, which is claimed until it is given up. `None` when it was
    /// swept.
    pub(super) fn finish(&mut self, ticket: &Ticket) -> Option<(u32, Vec<Hold>)> {
        let place = self.all.get_mut(ticket.place as usize)?;
        (place.generation == ticket.generation).then(|| (ticket.place, place.vacate()))
    }

    /// Frees a claimed place, and keeps its room.
    pub(super) fn give_up(&mut self, number: u32, room: Vec<Hold>) {
        if let Some(place) = self.all.get_mut(number as usize) {
            place.holds = room;
            self.free.push(number);
        }
    }

    /// Frees places whose time is over; how many.
    pub(super) fn sweep(&mut self, now: Moment) -> usize {
        let mut freed = 0;
        for (number, place) in (0u32..).zip(&mut self.all) {
            if place.until <= now.tick && place.until != NEVER {
                freed += 1;
                place.vacate().into_iter().for_each(|hold| hold.expire(now));
                self.free.push(number);
            }
        }
        freed
    }

    /// How many are not free.
    pub(super) fn open(&self) -> usize {
        self.all.len() - self.free.len()
    }
}
