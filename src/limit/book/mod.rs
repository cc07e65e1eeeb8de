//! A worker's view of all accounts, and its reservations: every limit that applies gives, or none does.

mod keys;
mod places;
mod said;

pub use keys::Caller;
pub use places::Ticket;
pub use said::{Denied, Note, Refused, Settled, Standing};

use super::accounts::{AsIs, Wanted};
use super::{Account, Accounts, Mode, OnExhausted, ReadyRule, RuleSet, Spend, Taking, Unit};
use crate::base::Moment;
use arrayvec::ArrayVec;
use keys::{Key, Keys};
use places::{Handle, Hold, Places};
use said::{keep_tightest, standing};
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

/// More is asked for when what is on disk and unspent falls below this part of the capacity.
const LOW_PARTS: u64 = 200;

/// One worker's book. Not shared: the accounts behind it are.
///
/// [`reserve`](Book::reserve) before a request goes upstream, [`top_up`](Book::top_up) while a stream passes,
/// [`settle`](Book::settle) once at its end. A reservation that nobody settles within its time is
/// [`sweep`](Book::sweep)t: it frees what was under way and keeps what it took.
pub struct Book {
    worker: u32,
    accounts: Arc<Accounts>,
    handles: HashMap<u128, Rc<Handle>, BuildHasherDefault<AsIs>>,
    places: Places,
    /// Accounts of which more has to be on disk soon.
    asks: Asks,
    /// How long a reservation may be open.
    hold: Duration,
}

impl Book {
    /// The book of worker number `worker`, from 0. A reservation is open for at most `hold`.
    pub fn new(worker: u32, accounts: Arc<Accounts>, hold: Duration) -> Book {
        Book {
            worker,
            accounts,
            handles: HashMap::default(),
            places: Places::default(),
            asks: Asks::default(),
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
        let (place, mut holds) = self.places.claim();
        let mut shadowed = ArrayVec::<u32, LIMITS_MAX>::new();
        let mut keys = Keys { rules, caller, known: ArrayVec::new() };
        for index in limits.clone() {
            let Some(ready) = rules.rules.get(index as usize) else { continue };
            let taken = match keys.of(ready) {
                Key::Is(key) => self.take(&Wanted { rules, rule: index, key }, ready, caller, estimate, now),
                Key::Skips => continue,
                Key::Missing(part) => Err(Denied::MissingKey(index, keys::part(&ready.rule, part))),
            };
            match taken {
                Ok(hold) => holds.push(hold),
                Err(_) if ready.rule.mode == Mode::Shadow => {
                    // Configuration holds lists to LIMITS_MAX; one more would go uncounted.
                    let _ = shadowed.try_push(index);
                }
                Err(denied) => {
                    holds.drain(..).for_each(|hold| hold.give_back(now));
                    self.places.give_up(place, holds);
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
        Ok(self.places.keep(place, holds, now.tick + self.hold))
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
        let Some(holds) = self.places.holds_mut(ticket) else { return Ok(()) };
        let mut taken = ArrayVec::<(u64, u64), LIMITS_MAX>::new();
        let mut exhausted = None;
        for hold in &mut *holds {
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
                // Who keeps the account elsewhere is told of it as debt, and says whether there is more.
                Taking::Ungranted if hold.handle.account.is_away() => {
                    hold.handle.account.settle(0, wanted, 0, now);
                    self.asks.at_once(&hold.handle.account, wanted);
                    taken.push((wanted, hold.handle.account.first_slot(now)));
                }
                Taking::Ungranted | Taking::Closed => taken.push((0, 0)),
                Taking::Short | Taking::Blocked => {
                    exhausted = exhausted.max(Some(ready.rule.on_exhausted));
                    taken.push((0, 0));
                }
            }
        }
        if let Some(exhausted) = exhausted {
            for (hold, (amount, slot)) in holds.iter().zip(taken) {
                hold.handle.account.settle(amount, 0, slot, now);
            }
            return Err(exhausted);
        }
        for (hold, (amount, slot)) in holds.iter_mut().zip(taken) {
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
        let Some((place, mut holds)) = self.places.finish(&ticket) else { return };
        for hold in holds.drain(..) {
            let Some(ready) = rules.rules.get(hold.rule as usize) else { continue };
            let spent = spend.amount(&ready.rule);
            // What is under way is over.
            let kept = if hold.unit == Unit::Concurrency { 0 } else { spent };
            let account = &hold.handle.account;
            let balance = account.settled(hold.reserved, kept, hold.slot, now);
            note(Settled { rule: hold.rule, reserved: hold.reserved, spent, balance });
            self.asks.ahead(account, now);
        }
        self.places.give_up(place, holds);
    }

    /// How the tightest account of each unit of a reservation stands that clients are told of.
    pub fn standings(&self, ticket: &Ticket, now: Moment) -> ArrayVec<Standing, 4> {
        let mut tightest = ArrayVec::new();
        for hold in self.places.holds(ticket).unwrap_or_default().iter().filter(|hold| hold.unit.is_told()) {
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
            let Some(ready) = rules.rules.get(index as usize).filter(|ready| ready.rule.unit.is_told())
            else {
                continue;
            };
            if let (Key::Is(key), Mode::Enforce) = (keys.of(ready), ready.rule.mode) {
                let handle = self.handle(&Wanted { rules, rule: index, key }, ready, caller, now);
                keep_tightest(&mut tightest, standing(&handle.account, now));
            }
        }
        tightest
    }

    /// Reservations that are not settled.
    pub fn open_reservations(&self) -> usize {
        self.places.open()
    }

    /// Accounts of which more has to be on disk: for who writes.
    /// Each with what a request wants of it.
    pub fn take_asks(&mut self) -> std::vec::Drain<'_, (Arc<Account>, u64)> {
        self.asks.0.drain(..)
    }

    /// Frees reservations whose time is over, and forgets where accounts are that were not used lately. Call it
    /// about once a second. Returns how many reservations were freed: each is a fault of somebody.
    pub fn sweep(&mut self, now: Moment) -> usize {
        let freed = self.places.sweep(now);
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
                self.asks.ahead(account, now);
                let unit = ready.rule.unit;
                return Ok(Hold { handle, rule: wanted.rule, unit, reserved: amount, slot, leased });
            }
            match taking {
                Taking::Closed => {
                    self.handles.remove(&wanted.id());
                }
                Taking::Blocked => return Err(Denied::Blocked(wanted.rule)),
                Taking::Ungranted => {
                    self.asks.at_once(account, amount);
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
}

/// What is asked of who writes to disk; bounded by [`ASKS_MAX`].
#[derive(Default)]
struct Asks(Vec<(Arc<Account>, u64)>);

impl Asks {
    /// Asks for more if little is left of what is on disk, so that nobody has to wait for it.
    fn ahead(&mut self, account: &Arc<Account>, now: Moment) {
        let is_low = || account.granted(now) < account.terms().capacity() / LOW_PARTS;
        if account.is_durable() && is_low() && account.ask() {
            self.push(account, 0);
        }
    }

    /// A request of `amount` waits for it.
    fn at_once(&mut self, account: &Arc<Account>, amount: u64) {
        account.ask();
        self.push(account, amount);
    }

    fn push(&mut self, account: &Arc<Account>, amount: u64) {
        if self.0.len() < ASKS_MAX {
            self.0.push((account.clone(), amount));
        }
    }
}
