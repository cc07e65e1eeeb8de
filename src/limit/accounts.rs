//! All accounts of the host: one table that every worker reads without a lock.

use super::lease::Tuning;
use super::{Account, Control, Measure, RuleSet, Slot, Terms, Unit};
use crate::base::Moment;
use papaya::{Compute, HashMap, Operation};
use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

/// The accounts of all rules and keys.
///
/// Bounded: when there are as many as there may be, a key that is new shares one account with all other new
/// keys of its rule, so that a flood of invented keys neither fills the memory nor is free. Keys of which an
/// operator has said something have an account of their own even then.
pub struct Accounts {
    table: HashMap<u128, Arc<Account>, BuildHasherDefault<AsIs>>,
    controls: HashMap<u128, Control, BuildHasherDefault<AsIs>>,
    count: AtomicUsize,
    /// How often a key had to share because the table was full.
    crowded: AtomicU64,
    /// Windows that began by this time are not trusted to be unspent.
    distrusted: AtomicI64,
    bound: usize,
    tuning: Tuning,
    /// Whether accounts that must be on disk before they are spent are kept on one.
    durable: bool,
    /// Another process keeps them.
    away: AtomicBool,
}

/// How the accounts of one rule stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accounts.
    pub accounts: u64,
    /// Units that accounts are below zero.
    pub debt: u64,
}

/// Which account a request means.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The rules in force.
    pub rules: &'a RuleSet,
    /// Position of the rule.
    pub rule: u32,
    /// The digest of the key; 0 for a rule without one, and for requests without a key that share.
    pub key: u128,
}

impl Accounts {
    /// No accounts, at most `bound` of them.
    pub fn new(bound: usize, durable: bool, tuning: Tuning) -> Accounts {
        Accounts {
            table: HashMap::default(),
            controls: HashMap::default(),
            count: AtomicUsize::new(0),
            crowded: AtomicU64::new(0),
            distrusted: AtomicI64::new(i64::MIN),
            bound,
            tuning,
            durable,
            away: AtomicBool::new(false),
        }
    }

    /// How leases are handed out.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Whether accounts that must be on disk before they are spent are kept on one.
    pub fn is_kept(&self) -> bool {
        self.durable
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a key had to share an account because there were as many as there may be.
    pub fn crowded(&self) -> u64 {
        self.crowded.load(Relaxed)
    }

    /// The account of that id, if there is one.
    pub fn get(&self, id: u128) -> Option<Arc<Account>> {
        self.table.pin().get(&id).cloned()
    }

    /// The account that is wanted, opened full if there is none. `label` names the key where that may be told;
    /// it is asked for only when an account is opened.
    pub fn find(&self, wanted: &Wanted<'_>, label: &dyn Fn() -> String, now: Moment) -> Arc<Account> {
        let mut id = wanted.id();
        let mut shared = String::new();
        let is_new = || self.get(id).is_none() && !self.controls.pin().contains_key(&id);
        if self.len() >= self.bound && wanted.key != 0 && is_new() {
            self.crowded.fetch_add(1, Relaxed);
            id = Wanted { key: CROWD, ..*wanted }.id();
            shared.push_str("(all others)");
        }
        let label = || if shared.is_empty() { label() } else { shared.clone() };
        let away = self.is_away();
        let fresh = |terms: &Arc<Terms>| {
            if away {
                return Arc::new(Account::open_away(id, &label(), terms, now));
            }
            let durable = self.is_durable(terms);
            let account = Arc::new(Account::open(id, &label(), terms, durable, now));
            account.set_blocked(self.control(id).blocked);
            if durable {
                self.spend_distrusted(&account, now);
            }
            account
        };
        let guard = self.table.pin();
        loop {
            let found = guard.compute(id, |entry| {
                // What operators say is read anew whenever somebody else was faster: it may have just changed.
                let terms = self.terms(wanted, id);
                match entry {
                    // Until an account is sent away it is what it was; whoever sends it must know what was in it.
                    Some((_, account)) if account.is_open() && away && account.terms().unit == terms.unit => {
                        Operation::Abort(account.clone())
                    }
                    Some((_, account)) if account.is_open() && same(account.terms(), &terms) => {
                        Operation::Abort(account.clone())
                    }
                    Some((_, account)) if account.is_open() && account.terms().unit == terms.unit => {
                        match account.replace(&terms, self.is_durable(&terms), now) {
                            Some(next) => Operation::Insert(next),
                            None => Operation::Abort(account.clone()),
                        }
                    }
                    // Replaced already, by somebody who saw these terms or other ones.
                    Some((_, account)) if !account.is_open() && account.moved().is_some() => {
                        Operation::Insert(account.newest().clone())
                    }
                    _ => Operation::Insert(fresh(&terms)),
                }
            });
            match found {
                Compute::Aborted(account) => return account,
                Compute::Inserted(_, account) => {
                    self.count.fetch_add(1, Relaxed);
                    return account.clone();
                }
                Compute::Updated { .. } | Compute::Removed(..) => {}
            }
        }
    }

    /// What an account is allowed: what an operator said of it, else what its rule says.
    pub fn terms_of(&self, wanted: &Wanted<'_>) -> Arc<Terms> {
        self.terms(wanted, wanted.id())
    }

    /// Says that what was on disk at a time, in milliseconds since 1970, is damaged: budgets whose window had
    /// begun by then and of which nothing is known count as spent.
    pub fn distrust(&self, unix_ms: i64) {
        self.distrusted.store(unix_ms, Relaxed);
    }

    /// A budget of which nothing is known, because what was known is damaged, counts as spent at that time.
    fn spend_distrusted(&self, account: &Account, now: Moment) {
        let (terms, at_ms) = (account.terms(), self.distrusted.load(Relaxed));
        if at_ms == i64::MIN {
            return;
        }
        if terms.window_at(now).is_some_and(|window| window.from_ms <= at_ms) {
            account.restore(terms.capacity(), Duration::ZERO, now);
        } else if matches!(terms.measure, Measure::Sliding { .. }) {
            account.restore_slots(&[Slot::at(at_ms, terms.capacity())], now);
        }
    }

    fn is_durable(&self, terms: &Terms) -> bool {
        self.durable && terms.measure.is_durable()
    }

    fn terms(&self, wanted: &Wanted<'_>, id: u128) -> Arc<Terms> {
        let rule = wanted.rules.rules.get(wanted.rule as usize);
        // A rule that counts something else now is another one, whose amounts these are not.
        let is_its = |terms: &Arc<Terms>| rule.is_none_or(|ready| ready.rule.unit == terms.unit);
        let control = self.control(id).terms.filter(is_its);
        control.or_else(|| rule.map(|rule| rule.terms_for(wanted.key).clone())).unwrap_or_else(no_terms)
    }

    // === what operators say ===

    /// What operators have said of an account.
    pub fn control(&self, id: u128) -> Control {
        self.controls.pin().get(&id).cloned().unwrap_or_default()
    }

    /// Remembers what an operator says of an account, for whenever it is opened; `mail::ControlChange` tells one that
    /// is open.
    pub fn set_control(&self, id: u128, control: Control) {
        let guard = self.controls.pin();
        match control == Control::default() {
            true => drop(guard.remove(&id)),
            false => drop(guard.insert(id, control)),
        }
    }

    /// Of how many accounts operators have said something.
    pub fn controlled(&self) -> usize {
        self.controls.pin().len()
    }

    /// Shows what operators have said, by account id.
    pub fn for_each_control(&self, mut look: impl FnMut(u128, &Control)) {
        self.controls.pin().iter().for_each(|(id, control)| look(*id, control));
    }

    // === all of them ===

    /// Shows every account to `look`.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<Account>)) {
        self.table.pin().iter().for_each(|(_, account)| look(account));
    }

    // === kept by another process ===

    /// Whether another process keeps them.
    pub fn is_away(&self) -> bool {
        self.away.load(Acquire)
    }

    /// From now on accounts that are opened are another process's, or no more. When every worker has heard of it,
    /// those that are open are to be [sent away](Accounts::send_away), or to [come back](Accounts::come_back).
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Release);
    }

    /// Sends all accounts away. Tells `sent` of each: the account as it was, which is closed, the one that has its
    /// reservations now, and the units that were used.
    pub fn send_away(&self, now: Moment, mut sent: impl FnMut(&Account, &Arc<Account>, u64)) {
        let guard = self.table.pin();
        let ids: Vec<u128> = guard.iter().map(|(id, _)| *id).collect();
        for id in ids {
            let mut done = None;
            let changed = guard.compute(id, |entry| match entry {
                Some((_, account)) if account.is_open() && !account.is_away() => {
                    // Called again if the table changed meanwhile: an account is moved once.
                    if done.is_none() {
                        done = account.send_away(now).map(|(next, used)| (account.clone(), next, used));
                    }
                    match &done {
                        Some((_, next, _)) => Operation::Insert(next.clone()),
                        None => Operation::Abort(()),
                    }
                }
                _ => match &done {
                    Some((_, next, _)) => Operation::Insert(next.clone()),
                    None => Operation::Abort(()),
                },
            });
            if let (Some((account, next, used)), Compute::Updated { .. }) = (&done, &changed) {
                sent(account, next, *used);
            }
        }
    }

    /// Keeps all accounts here again, with what is used of them by now. What was used counts from now on: of a sliding
    /// budget it comes back later than it would have.
    pub fn come_back(&self, rules: &RuleSet, now: Moment) {
        let mut away = Vec::new();
        self.for_each(|account| {
            if account.is_away() {
                away.push(account.clone());
            }
        });
        for account in away {
            let Some((rule, ready)) = rules.named(&account.terms().rule) else { continue };
            let wanted = Wanted { rules, rule, key: account.id() ^ ready.salt };
            self.find(&wanted, &|| account.label().to_owned(), now);
        }
    }

    /// Forgets accounts that say nothing which a new one would not: full, without reservations, not blocked. An
    /// account in debt is never among them. Tells `forgotten` of each.
    pub fn sweep(&self, now: Moment, mut forgotten: impl FnMut(&Account)) {
        let guard = self.table.pin();
        for (id, account) in guard.iter() {
            if account.close_if_idle(now) {
                let is_it = |_: &u128, other: &Arc<Account>| Arc::ptr_eq(other, account);
                if guard.remove_if(id, is_it).is_ok_and(|removed| removed.is_some()) {
                    self.count.fetch_sub(1, Relaxed);
                    forgotten(account);
                }
            }
        }
    }

    /// How the accounts of each rule stand, by the rule's name.
    pub fn tally(&self, now: Moment) -> BTreeMap<Arc<str>, Tally> {
        let mut tallies = BTreeMap::<Arc<str>, Tally>::new();
        self.for_each(|account| {
            let tally = tallies.entry(account.terms().rule.clone()).or_default();
            tally.accounts += 1;
            tally.debt += account.balance(now).min(0).unsigned_abs();
        });
        tallies
    }
}

/// The key of the account that new keys share when there is no room.
const CROWD: u128 = u128::MAX;

impl Wanted<'_> {
    /// The account's name among all accounts: the same for the same rule name and key, for ever.
    pub fn id(&self) -> u128 {
        let salt = self.rules.rules.get(self.rule as usize).map_or(0, |rule| rule.salt);
        salt ^ self.key
    }
}

/// Terms under which nothing can be spent, for a rule that is not there; no position is ever out of range.
fn no_terms() -> Arc<Terms> {
    Arc::new(Terms::new(&"".into(), Unit::Concurrency, &super::Measure::Concurrent { max: 1 }))
}

fn same(one: &Arc<Terms>, other: &Arc<Terms>) -> bool {
    Arc::ptr_eq(one, other) || **one == **other
}

/// Ids are digests, even over all their bits already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // A `u128` is written by `write_u128`; this is for completeness.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = (id >> 64) as u64 ^ id as u64;
    }
}
