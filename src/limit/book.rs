//! A worker's view of all accounts, and its reservations: every limit that applies gives, or none does.

use super::accounts::{AsIs, Wanted};
use super::{
    Account, Accounts, KeyPart, MissingKey, Mode, OnExhausted, ReadyRule, Rule, RuleSet, Spend, Taking,
    Terms, Unit,
};
use crate::base::{Moment, Tick};
use arrayvec::ArrayVec;
use std::cell::Cell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The most limits that can apply to one request; configuration refuses more.
pub const LIMITS_MAX: usize = 16;

/// How long a worker remembers where an account is after it last used it.
const HANDLE_IDLE: Duration = Duration::from_secs(10);

/// The most accounts that are waiting to be put on disk; beyond it a request that must wait asks again.
const ASKS_MAX: usize = 1024;

/// Who asks: finds the values of keys in a request.
pub trait Caller {
    /// The digest of the values of `parts`.
    ///
    /// # Errors
    /// The position of the first part that the request lacks.
    fn key(&self, parts: &[KeyPart]) -> Result<u128, usize>;

    /// What the key is called in lists of accounts; empty where that may not be told.
    fn label(&self, parts: &[KeyPart]) -> String;
}

/// One worker's book. Not shared: the accounts behind it are.
///
/// [`reserve`](Book::reserve) before a request goes upstream, [`top_up`](Book::top_up) while a stream passes,
/// [`settle`](Book::settle) once at its end. A reservation that nobody settles within its time is
/// [`sweep`](Book::sweep)t: it frees what was under way and keeps what it took.
pub struct Book {
    worker: u32,
    accounts: Arc<Accounts>,
    handles: HashMap<u128, Rc<Handle>, BuildHasherDefault<AsIs>>,
    open: Vec<Open>,
    free: Vec<u32>,
    /// Accounts of which more has to be on disk soon.
    asks: Vec<(Arc<Account>, u64)>,
    /// How long a reservation may be open.
    hold: Duration,
}

/// Where an account is, as this worker knows it.
struct Handle {
    account: Arc<Account>,
    /// The terms that the rules had for it when it was found; an operator may have given it others.
    under: Arc<Terms>,
    used: Cell<Tick>,
}

impl Handle {
    fn new(account: Arc<Account>, under: Arc<Terms>, now: Moment) -> Rc<Handle> {
        account.hold();
        Rc::new(Handle { account, under, used: Cell::new(now.tick) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.account.release();
    }
}

/// A place for a reservation, used again and again.
struct Open {
    /// Counts the reservations of this place, so that an old ticket means none.
    generation: u32,
    /// When it is swept; never, while it is free.
    until: Tick,
    /// At most [`LIMITS_MAX`]; its room is kept when the place is free.
    holds: Vec<Hold>,
}

const NEVER: Tick = Tick(u64::MAX);

impl Open {
    /// Makes the place free; what was reserved in it.
    fn vacate(&mut self) -> Vec<Hold> {
        self.generation = self.generation.wrapping_add(1);
        self.until = NEVER;
        std::mem::take(&mut self.holds)
    }
}

/// What a reservation took from one account.
struct Hold {
    handle: Rc<Handle>,
    /// Position of the rule in its rule set.
    rule: u32,
    unit: Unit,
    reserved: u64,
    /// For `Account::settle`.
    slot: u64,
    /// What was leased beside it.
    leased: u64,
}

/// The right and the duty to settle a reservation.
#[must_use = "a reservation holds credit until it is settled"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    place: u32,
    generation: u32,
}

/// Why a request may not go on.
#[derive(Clone, Debug)]
pub enum Denied {
    /// A limit is exhausted.
    Refused(Box<Refused>),
    /// The account of this rule is blocked by an operator.
    Blocked(u32),
    /// The request lacks this part of the key of this rule, which wants one.
    MissingKey(u32, KeyPart),
    /// The balance covers it, but it is not on disk yet that so much may be spent: ask again soon.
    Ungranted,
}

/// The limit that refused, and what the client is told.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Position of the rule.
    pub rule: u32,
    /// The account that was short.
    pub account: Arc<Account>,
    /// What would have been reserved.
    pub wanted: u64,
    /// After this time the same request is admitted if nobody else comes. The longest wait of all limits
    /// that are short, so that a client which waits is not refused by the next one. `None` when it depends on
    /// when others end.
    pub wait: Option<Duration>,
    /// The balance that was too little.
    pub balance: i64,
}

/// What a limit did, for who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It admitted and reserved this much.
    Admitted(u64),
    /// So much was leased to the worker beside.
    Leased(u64),
    /// It would have refused, were it not in shadow mode.
    ShadowRefused,
    /// The stream outlasted its reservation and this much more was reserved.
    ToppedUp(u64),
}

/// One account of a settled reservation, for the record.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Position of the rule.
    pub rule: u32,
    /// What had been reserved.
    pub reserved: u64,
    /// What was spent.
    pub spent: u64,
    /// The balance afterwards; negative is debt.
    pub balance: i64,
}

/// How an account stands, as a client is told in `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it counts.
    pub unit: Unit,
    /// Its capacity.
    pub limit: u64,
    /// What is left; zero when in debt.
    pub remaining: u64,
    /// Time until it is full again; zero when nobody can say.
    pub reset: Duration,
}

impl Book {
    /// The book of worker number `worker`, from 0. A reservation is open for at most `hold`.
    pub fn new(worker: u32, accounts: Arc<Accounts>, hold: Duration) -> Book {
        Book {
            worker,
            accounts,
            handles: HashMap::default(),
            open: Vec::new(),
            free: Vec::new(),
            asks: Vec::new(),
            hold,
        }
    }

    /// Reserves `estimate` from the account of every rule in `limits`, or from none. Tells `note` of each rule.
    ///
    /// # Errors
    /// [`Denied`]; of several limits that refuse, the one with the longest wait.
    pub fn reserve(
        &mut self,
        rules: &RuleSet,
        limits: impl Iterator<Item = u32> + Clone,
        caller: &dyn Caller,
        estimate: &Spend,
        now: Moment,
        mut note: impl FnMut(u32, Note),
    ) -> Result<Ticket, Denied> {
        let place = self.claim();
        let mut holds = self.open.get_mut(place as usize).map_or_else(Vec::new, Open::vacate);
        let mut shadowed = ArrayVec::<u32, LIMITS_MAX>::new();
        let mut keys = Keys { rules, caller, known: ArrayVec::new() };
        for index in limits.clone() {
            let Some(ready) = rules.rules.get(index as usize) else { continue };
            let taken = match keys.of(ready) {
                Key::Is(key) => self.take(&Wanted { rules, rule: index, key }, ready, caller, estimate, now),
                Key::Skips => continue,
                Key::Missing(part) => Err(Denied::MissingKey(index, part)),
            };
            match taken {
                Ok(hold) => holds.push(hold),
                Err(_) if ready.rule.mode == Mode::Shadow => {
                    // Configuration holds lists to LIMITS_MAX; one more would go uncounted.
                    let _ = shadowed.try_push(index);
                }
                Err(denied) => {
                    holds.drain(..).for_each(|hold| hold.give_back(now));
                    self.give_up(place, holds);
                    return Err(match denied {
                        Denied::Refused(refused) => {
                            self.longest(refused, rules, limits, caller, estimate, now)
                        }
                        other => other,
                    });
                }
            }
        }
        for Hold { rule, reserved, leased, .. } in &holds {
            note(*rule, Note::Admitted(*reserved));
            if *leased > 0 {
                note(*rule, Note::Leased(*leased));
            }
        }
        shadowed.into_iter().for_each(|rule| note(rule, Note::ShadowRefused));
        Ok(self.keep(place, holds, now))
    }

    /// Reserves `more` for a stream from the token and cost accounts of its reservation, or from none.
    ///
    /// # Errors
    /// What becomes of the stream: [`OnExhausted::Cut`] if one of the limits that are short says so.
    pub fn top_up(
        &mut self,
        ticket: &Ticket,
        rules: &RuleSet,
        more: &Spend,
        now: Moment,
        mut note: impl FnMut(u32, Note),
    ) -> Result<(), OnExhausted> {
        let tuning = *self.accounts.tuning();
        let Some(open) = self.open.get_mut(ticket.place as usize) else { return Ok(()) };
        if open.generation != ticket.generation {
            return Ok(());
        }
        let mut taken = ArrayVec::<(u64, u64), LIMITS_MAX>::new();
        let mut exhausted = None;
        for hold in &mut open.holds {
            hold.follow(now);
            let grows = matches!(hold.unit, Unit::Tokens | Unit::Cost);
            let Some(ready) = rules.rules.get(hold.rule as usize).filter(|_| grows) else {
                taken.push((0, 0));
                continue;
            };
            let wanted = more.amount(&ready.rule);
            match hold.handle.account.take(wanted, self.worker, &tuning, now) {
                Taking::Took { amount, slot, .. } => taken.push((amount, slot)),
                // Writing to disk takes a moment; the stream does not wait for it.
                Taking::Ungranted | Taking::Closed => taken.push((0, 0)),
                Taking::Short | Taking::Blocked => {
                    exhausted = exhausted.max(Some(ready.rule.on_exhausted));
                    taken.push((0, 0));
                }
            }
        }
        if let Some(exhausted) = exhausted {
            for (hold, (amount, slot)) in open.holds.iter().zip(taken) {
                hold.handle.account.settle(amount, 0, slot, now);
            }
            return Err(exhausted);
        }
        for (hold, (amount, slot)) in open.holds.iter_mut().zip(taken) {
            hold.reserved = hold.reserved.saturating_add(amount);
            if amount > 0 {
                // What a stream has reserved and does not use is of its last part.
                hold.slot = slot;
                note(hold.rule, Note::ToppedUp(amount));
            }
        }
        Ok(())
    }

    /// Ends a reservation with what was really spent: refunds go back, overspend becomes debt. Tells `note` of
    /// each account.
    pub fn settle(
        &mut self,
        ticket: Ticket,
        rules: &RuleSet,
        spend: &Spend,
        now: Moment,
        mut note: impl FnMut(Settled),
    ) {
        let Some(mut holds) = self.finish(&ticket) else { return };
        for hold in holds.drain(..) {
            let Some(ready) = rules.rules.get(hold.rule as usize) else { continue };
            let (spent, kept) = (spend.amount(&ready.rule), spend.settled(&ready.rule));
            let account = &hold.handle.account;
            let balance = account.settled(hold.reserved, kept, hold.slot, now);
            note(Settled { rule: hold.rule, reserved: hold.reserved, spent, balance });
            if account.is_durable() && account.granted() < low_mark(account) && account.ask() {
                self.push_ask(account.clone(), 0);
            }
        }
        self.give_up(ticket.place, holds);
    }

    /// How the tightest account of each unit of a reservation stands.
    pub fn standings(&self, ticket: &Ticket, now: Moment) -> ArrayVec<Standing, 4> {
        let mut tightest = ArrayVec::new();
        let open = self.open.get(ticket.place as usize);
        for hold in open.filter(|open| open.generation == ticket.generation).iter().flat_map(|o| &o.holds) {
            keep_tightest(&mut tightest, standing(&hold.handle.account, now));
        }
        tightest
    }

    /// As [`standings`](Book::standings), for a request that was refused.
    pub fn standings_of(
        &mut self,
        rules: &RuleSet,
        limits: impl Iterator<Item = u32>,
        caller: &dyn Caller,
        now: Moment,
    ) -> ArrayVec<Standing, 4> {
        let mut tightest = ArrayVec::new();
        let mut keys = Keys { rules, caller, known: ArrayVec::new() };
        for index in limits {
            let Some(ready) = rules.rules.get(index as usize) else { continue };
            if let (Key::Is(key), Mode::Enforce) = (keys.of(ready), ready.rule.mode) {
                let handle = self.handle(&Wanted { rules, rule: index, key }, ready, caller, now);
                keep_tightest(&mut tightest, standing(&handle.account, now));
            }
        }
        tightest
    }

    /// Reservations that are not settled.
    pub fn open_reservations(&self) -> usize {
        self.open.len() - self.free.len()
    }

    /// Accounts of which more has to be on disk: for who writes.
    /// Each with what a request wants of it.
    pub fn take_asks(&mut self) -> std::vec::Drain<'_, (Arc<Account>, u64)> {
        self.asks.drain(..)
    }

    /// Frees reservations whose time is over, and forgets where accounts are that were not used lately. Call it
    /// about once a second. Returns how many reservations were freed: each is a fault of somebody.
    pub fn sweep(&mut self, now: Moment) -> usize {
        let mut freed = 0;
        for (place, open) in (0u32..).zip(&mut self.open) {
            if open.until <= now.tick && open.until != NEVER {
                freed += 1;
                open.vacate().into_iter().for_each(|hold| hold.expire(now));
                self.free.push(place);
            }
        }
        self.handles.retain(|_, handle| {
            now.tick.since(handle.used.get()) < HANDLE_IDLE || Rc::strong_count(handle) > 1
        });
        freed
    }

    // === parts ===

    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        ready: &ReadyRule,
        caller: &dyn Caller,
        estimate: &Spend,
        now: Moment,
    ) -> Result<Hold, Denied> {
        let amount = estimate.amount(&ready.rule);
        let tuning = *self.accounts.tuning();
        // An account can be replaced between look-up and taking, by a reload or a sweep; seldom twice.
        for _ in 0..8 {
            let handle = self.handle(wanted, ready, caller, now);
            let account = &handle.account;
            let taking = account.take(amount, self.worker, &tuning, now);
            if let Taking::Took { amount, slot, leased } = taking {
                if account.is_durable() && account.granted() < low_mark(account) && account.ask() {
                    self.push_ask(account.clone(), 0);
                }
                let unit = ready.rule.unit;
                return Ok(Hold { handle, rule: wanted.rule, unit, reserved: amount, slot, leased });
            }
            match taking {
                Taking::Closed => {
                    self.handles.remove(&wanted.id());
                }
                Taking::Blocked => return Err(Denied::Blocked(wanted.rule)),
                Taking::Ungranted => {
                    account.ask();
                    self.push_ask(account.clone(), amount);
                    return Err(Denied::Ungranted);
                }
                Taking::Short | Taking::Took { .. } => {
                    let wait = account.wait_for(amount, now);
                    let balance = account.balance(now);
                    let account = account.clone();
                    let refused = Refused { rule: wanted.rule, account, wanted: amount, wait, balance };
                    return Err(Denied::Refused(Box::new(refused)));
                }
            }
        }
        Err(Denied::Ungranted)
    }

    /// The refusal with the longest wait among all limits that are short; without an end is the longest.
    fn longest(
        &mut self,
        first: Box<Refused>,
        rules: &RuleSet,
        limits: impl Iterator<Item = u32>,
        caller: &dyn Caller,
        estimate: &Spend,
        now: Moment,
    ) -> Denied {
        let wait = |refused: &Refused| refused.wait.unwrap_or(Duration::MAX);
        let mut longest = first;
        let mut keys = Keys { rules, caller, known: ArrayVec::new() };
        for index in limits {
            let Some(ready) = rules.rules.get(index as usize) else { continue };
            if index == longest.rule || ready.rule.mode == Mode::Shadow {
                continue;
            }
            let Key::Is(key) = keys.of(ready) else { continue };
            let handle = self.handle(&Wanted { rules, rule: index, key }, ready, caller, now);
            let account = handle.account.clone();
            let wanted = estimate.amount(&ready.rule);
            let other = Refused {
                rule: index,
                wait: account.wait_for(wanted, now),
                balance: account.balance(now),
                account,
                wanted,
            };
            if wait(&other) > wait(&longest) {
                *longest = other;
            }
        }
        Denied::Refused(longest)
    }

    fn handle(
        &mut self,
        wanted: &Wanted<'_>,
        ready: &ReadyRule,
        caller: &dyn Caller,
        now: Moment,
    ) -> Rc<Handle> {
        let id = wanted.id();
        if let Some(handle) = self.handles.get(&id) {
            handle.used.set(now.tick);
            if Arc::ptr_eq(&handle.under, ready.terms_for(wanted.key)) && handle.account.is_open() {
                return handle.clone();
            }
        }
        let label = || match wanted.key {
            0 => String::new(),
            _ => caller.label(&ready.rule.key),
        };
        let account = self.accounts.find(wanted, &label, now);
        let handle = Handle::new(account, ready.terms_for(wanted.key).clone(), now);
        self.handles.insert(id, handle.clone());
        handle
    }

    /// A place for a reservation, which is nobody's now.
    fn claim(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.open.push(Open { generation: 0, until: NEVER, holds: Vec::new() });
            (self.open.len() - 1) as u32
        })
    }

    fn keep(&mut self, place: u32, holds: Vec<Hold>, now: Moment) -> Ticket {
        let until = now.tick + self.hold;
        match self.open.get_mut(place as usize) {
            Some(open) => {
                (open.until, open.holds) = (until, holds);
                Ticket { place, generation: open.generation }
            }
            None => Ticket { place, generation: 0 }, // a claimed place exists
        }
    }

    /// What a ticket stands for; its place is still claimed. `None` when it was swept.
    fn finish(&mut self, ticket: &Ticket) -> Option<Vec<Hold>> {
        let open = self.open.get_mut(ticket.place as usize);
        open.filter(|open| open.generation == ticket.generation).map(Open::vacate)
    }

    /// Frees a claimed place, and keeps its room.
    fn give_up(&mut self, place: u32, room: Vec<Hold>) {
        if let Some(open) = self.open.get_mut(place as usize) {
            open.holds = room;
            self.free.push(place);
        }
    }

    fn push_ask(&mut self, account: Arc<Account>, amount: u64) {
        if self.asks.len() < ASKS_MAX {
            self.asks.push((account, amount));
        }
    }
}

impl Hold {
    /// A reload may have moved the account's balance.
    fn follow(&mut self, now: Moment) {
        if !self.handle.account.is_open() {
            let newest = self.handle.account.newest().clone();
            self.slot = newest.first_slot();
            self.handle = Handle::new(newest, self.handle.under.clone(), now);
        }
    }

    /// The request does not go on.
    fn give_back(self, now: Moment) {
        self.handle.account.settle(self.reserved, 0, self.slot, now);
    }

    /// Nobody settled it: what was under way is not any more, what was taken stays spent.
    fn expire(self, now: Moment) {
        if self.unit == Unit::Concurrency {
            self.handle.account.settle(self.reserved, 0, self.slot, now);
        }
    }
}

/// The keys of one request, each computed once.
struct Keys<'a> {
    rules: &'a RuleSet,
    caller: &'a dyn Caller,
    known: ArrayVec<(u16, Result<u128, usize>), LIMITS_MAX>,
}

enum Key {
    Is(u128),
    Skips,
    Missing(KeyPart),
}

impl Keys<'_> {
    fn of(&mut self, ready: &ReadyRule) -> Key {
        let Some(place) = ready.key else { return Key::Is(0) };
        let known = self.known.iter().find(|(known, _)| *known == place).map(|(_, key)| *key);
        let key = known.unwrap_or_else(|| {
            let parts = self.rules.keys.get(usize::from(place)).map_or(&[][..], Vec::as_slice);
            let key = self.caller.key(parts);
            let _ = self.known.try_push((place, key));
            key
        });
        match (key, ready.rule.on_missing) {
            (Ok(key), _) => Key::Is(key),
            (Err(_), MissingKey::Shared) => Key::Is(0),
            (Err(_), MissingKey::Skip) => Key::Skips,
            (Err(part), MissingKey::Deny) => Key::Missing(missing(&ready.rule, part)),
        }
    }
}

fn missing(rule: &Rule, part: usize) -> KeyPart {
    rule.key.get(part).cloned().unwrap_or(KeyPart::ApiKey)
}

/// More is asked for when what is on disk and unspent falls below this.
fn low_mark(account: &Account) -> u64 {
    account.terms().capacity() / 200
}

fn standing(account: &Account, now: Moment) -> Standing {
    let limit = account.terms().capacity();
    Standing {
        unit: account.terms().unit,
        limit,
        remaining: u64::try_from(account.balance(now)).unwrap_or(0),
        reset: account.wait_for(limit, now).unwrap_or(Duration::ZERO),
    }
}

fn keep_tightest(tightest: &mut ArrayVec<Standing, 4>, standing: Standing) {
    match tightest.iter_mut().find(|other| other.unit == standing.unit) {
        Some(other) if standing.remaining < other.remaining => *other = standing,
        Some(_) => {}
        None => tightest.push(standing),
    }
}
