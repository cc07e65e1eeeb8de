//! Keeps accounts: a thread that puts on disk what may be spent before it is, writes balances down, and forgets
//! accounts that say nothing.
//!
//! A budget of an hour or longer is spent only as far as its *ceiling* on the disk; a sliding one has a ceiling for the
//! slot of the present. A worker that comes near it asks; all that ask at once share one write. After a crash everything
//! up to the ceilings counts as spent, so that nothing is admitted twice, and what was granted and not spent is lost: at
//! most a chunk of each account. Balances of shorter limits are written down about once a second and refill from where
//! they were.

mod away;
mod decided;
mod remembered;
mod slots;

use super::handover::Link;
use super::store::{Entry, Known, Store};
use super::{tell, tell_all};
use crate::base::{Moment, Tick};
use crate::config::Limits;
use crate::limit::{Account, Measure, Slot, Unit};
use crate::mail::{Ask, Board, ToWorker};
use crate::runtime::{MailSender, clock};
use away::{Away, ROUND};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// How often accounts that say nothing are forgotten.
const SWEEP: Duration = Duration::from_secs(5);

/// How often a disk that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A look at all accounts is followed by a pause of so many times as long as it took.
const PAUSE_TIMES: u32 = 20;

/// The part of a budget that is granted at a time, unless a request wants more: what a crash can lose.
pub(super) const CHUNKS: u64 = 100;

/// The running thread.
pub(super) struct Keeper {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    orders: Orders,
}

/// What the keeper is told when another process takes this one's place.
#[derive(Clone)]
pub(super) struct Orders {
    sender: Sender<Order>,
    keeper: Thread,
}

/// One such thing, and whom to tell that it is done.
enum Order {
    HandOver(Box<Link>, Option<String>, SyncSender<Result<(), String>>),
    ComeBack(SyncSender<Result<(), String>>),
}

impl Orders {
    /// Hands all accounts over to the process at the other end, which keeps balances in `store`; when this returns it
    /// serves.
    ///
    /// # Errors
    /// It does not: then accounts are to [come back](Orders::come_back).
    pub(super) fn hand_over(&self, link: Link, store: Option<String>) -> Result<(), String> {
        self.give(|done| Order::HandOver(Box::new(link), store, done))
    }

    /// Keeps all accounts here again.
    pub(super) fn come_back(&self) {
        let _ = self.give(Order::ComeBack);
    }

    fn give(&self, order: impl FnOnce(SyncSender<Result<(), String>>) -> Order) -> Result<(), String> {
        let (done, wait) = sync_channel(1);
        let given = self.sender.send(order(done));
        self.keeper.unpark();
        let gone = "the keeper of accounts has ended".to_owned();
        given.ok().and_then(|()| wait.recv().ok()).unwrap_or(Err(gone))
    }
}

/// What a store's directory is whatever it is called and whoever asks, so that two processes can tell whether they have the
/// same one: one path may lead to two places in two mount name spaces, and two paths to one. `None` where there is none
/// yet: then nobody else has it.
pub(super) fn identity_of(store: &str) -> Option<String> {
    let directory = std::fs::metadata(store).ok()?;
    Some(format!("{:x}:{:x}", directory.dev(), directory.ino()))
}

impl Keeper {
    /// Opens the store if there is one, takes its accounts up, and starts.
    ///
    /// # Errors
    /// A sentence for the operator: the store cannot be opened, or no thread be had.
    pub(super) fn start(
        board: &Arc<Board>,
        limits: &Limits,
        mail: Vec<MailSender<ToWorker>>,
    ) -> Result<Keeper, String> {
        let store = limits.store.as_deref().map(|directory| open(directory, board)).transpose()?;
        let end = Arc::new(AtomicBool::new(false));
        let (sender, orders) = channel();
        let keeping = Keeping {
            board: board.clone(),
            checkpoint: limits.checkpoint,
            mail,
            store,
            place: limits.store.clone(),
            orders,
            away: None,
            said: None,
            dirty: false,
        };
        let theirs = end.clone();
        let thread = std::thread::Builder::new().name("keeper".to_owned());
        let thread = thread.spawn(move || keeping.run(&theirs));
        let thread = thread.map_err(|error| format!("the keeper's thread: {error}"))?;
        let handle = thread.thread().clone();
        board.set_bell(Box::new(move || handle.unpark()));
        let orders = Orders { sender, keeper: thread.thread().clone() };
        Ok(Keeper { end, thread, orders })
    }

    /// Who tells it that another process takes over.
    pub(super) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Writes exact balances and ends. The workers have ended before.
    pub(super) fn finish(self) {
        self.end.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tell("the keeper failed: balances are as they were last written down");
        }
    }
}

/// Opens the store and takes up what it remembers.
fn open(directory: &str, board: &Board) -> Result<Store, String> {
    let now = clock::moment();
    let (store, recovered) = Store::open_at(Path::new(directory), now.unix_ms)
        .map_err(|fault| format!("limits.store: {}", fault.sentence))?;
    if let Some(corrupt) = &recovered.corrupt {
        tell(&format!("limits.store: {corrupt}"));
    }
    if let Some(fault) = store.fault() {
        tell(&format!("limits.store: {}", fault.sentence));
    }
    board.health.set_stored(store.is_healthy());
    let rules = &board.in_force().rules;
    decided::take_up(&recovered, rules, &board.accounts, now);
    remembered::take_up(&recovered, rules, &board.accounts, now);
    Ok(store)
}

/// What may be spent once it is on disk.
enum Grant {
    /// Of a window, all that may be used in it.
    UpTo(u64),
    /// Of a sliding budget, all that may be in a slot.
    InSlot(Slot),
}

/// What the thread works with.
struct Keeping {
    board: Arc<Board>,
    checkpoint: Duration,
    mail: Vec<MailSender<ToWorker>>,
    store: Option<Store>,
    /// Where that is.
    place: Option<String>,
    orders: Receiver<Order>,
    /// Another process keeps the accounts.
    away: Option<Away>,
    /// The fault of the disk that the operator was told.
    said: Option<String>,
    /// Something was appended since the last commit.
    dirty: bool,
}

impl Keeping {
    fn run(mut self, end: &AtomicBool) {
        let (mut sweep, mut checkpoint, mut retry) = (clock::now(), clock::now(), clock::now());
        let mut reopen = clock::now();
        while !end.load(Ordering::Acquire) {
            self.follow_orders();
            if self.away.is_some() {
                let begun = clock::now();
                self.round(false);
                std::thread::park_timeout(pause_after(begun, ROUND).since(clock::now()));
                continue;
            }
            let now = clock::now();
            if now >= reopen {
                self.reopen();
                reopen = now + RETRY;
            }
            if self.note_decisions() | self.grant() || now >= retry {
                self.commit();
                retry = now + RETRY;
            }
            if now >= sweep {
                self.sweep();
                sweep = pause_after(now, SWEEP);
            }
            if now >= checkpoint && self.store.is_some() {
                self.note_balances(false);
                self.commit();
                checkpoint = pause_after(now, self.checkpoint);
            }
            let next = match (&self.store, &self.place) {
                (Some(_), _) => checkpoint.min(retry).min(sweep),
                (None, Some(_)) => reopen.min(sweep),
                (None, None) => sweep,
            };
            std::thread::park_timeout(next.since(clock::now()));
        }
        if self.away.is_some() {
            return self.round(true);
        }
        self.reopen();
        self.note_decisions();
        self.grant();
        self.note_balances(true);
        if let Some(store) = &mut self.store {
            store.append(&[Entry::Clean { unix_ms: clock::moment().unix_ms }]);
            self.dirty = true;
        }
        self.commit();
    }

    fn follow_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            let (done, outcome) = match order {
                Order::HandOver(link, store, done) => (done, self.hand_over(*link, store)),
                Order::ComeBack(done) => {
                    self.come_back();
                    (done, Ok(()))
                }
            };
            let _ = done.send(outcome);
        }
    }

    /// Opens the store again if it was let go for a process that did not take it, and writes down how accounts stand. The
    /// operator is told once that it cannot be opened, and that it is.
    fn reopen(&mut self) {
        let (None, Some(place)) = (&self.store, &self.place) else { return };
        match Store::open_at(Path::new(place), clock::moment().unix_ms) {
            Ok((store, _)) => {
                self.store = Some(store); // it says what was written here, or less
                self.dirty = true; // that it is well is said by a commit
                self.note_ceilings();
                self.note_balances(false);
                self.commit();
            }
            Err(fault) => {
                self.board.health.set_stored(false);
                if self.said.as_ref() != Some(&fault.sentence) {
                    tell(&format!(
                        "limits.store: {}: until it can be opened balances are kept in memory alone",
                        fault.sentence
                    ));
                    self.said = Some(fault.sentence);
                }
            }
        }
    }

    /// Writes down what may be spent of windows: while there was no store it was granted in memory alone.
    fn note_ceilings(&mut self) {
        let (now, board) = (clock::moment(), self.board.clone());
        board.accounts.for_each(|account| {
            let is_sliding = matches!(account.terms().measure, Measure::Sliding { .. });
            let is_kept = account.is_durable() && !account.is_away() && !is_sliding;
            let Some(window) = account.terms().window_at(now).filter(|_| is_kept) else { return };
            // What is settled between the two looks is within a chunk.
            let chunk = account.granted(now).saturating_add(account.terms().capacity() / CHUNKS + 1);
            self.append_ceiling(account, window.index, chunk, now);
        });
    }

    /// Writes down what operators have decided; whether there was something. It waits for a store that is not open.
    fn note_decisions(&mut self) -> bool {
        let mut any = false;
        if self.store.is_none() && self.place.is_some() {
            return any;
        }
        while let Some(change) = self.board.controls.pop() {
            if let Some(store) = &mut self.store {
                decided::append(store, &change);
                (self.dirty, any) = (true, true);
            }
        }
        any
    }

    /// Puts on disk what accounts ask for, then lets it be spent. Says whether anybody asked.
    fn grant(&mut self) -> bool {
        let (mut asks, mut any) = (HashMap::<u128, Ask>::new(), false);
        while let Some(mut ask) = self.board.asks.pop() {
            any = true;
            // What a closed account says is of its past: on disk it would stand for the one in its place.
            let Some(account) = ask.account.in_force().filter(|it| it.is_durable()) else { continue };
            ask.account = account.clone();
            let known = asks.entry(ask.account.id()).or_insert_with(|| ask.clone());
            known.amount = known.amount.max(ask.amount);
        }
        if !any {
            return false;
        }
        let now = clock::moment();
        let mut grants = Vec::with_capacity(asks.len());
        for Ask { account, amount } in asks.into_values() {
            let chunk = (account.terms().capacity() / CHUNKS).max(amount.saturating_mul(2));
            if let Some(slot) = account.close_slots(chunk, now) {
                self.append_slots(&account, Some(slot), now);
                grants.push((account, Grant::InSlot(slot)));
            } else if let Some(window) = account.terms().window_at(now) {
                let ceiling = self.append_ceiling(&account, window.index, chunk, now);
                grants.push((account, Grant::UpTo(ceiling)));
            }
        }
        // A disk that fails stops nobody: it is said, and what was granted is written as soon as it can be.
        self.commit();
        for (account, grant) in &grants {
            match grant {
                Grant::UpTo(ceiling) => account.grant(*ceiling, now),
                Grant::InSlot(slot) => account.grant_slot(*slot),
            }
        }
        tell_all(&self.board, &self.mail, ToWorker::Granted);
        true
    }

    /// The ceiling of a window that lets a chunk more be spent. Near the end of a budget it is what it was, and that is
    /// not written again.
    fn append_ceiling(&mut self, account: &Account, window: i64, chunk: u64, now: Moment) -> u64 {
        let (id, gone, capacity) = (account.id(), account.gone(now), account.terms().capacity());
        let ceiling = gone.saturating_add(chunk).min(capacity.max(gone));
        let known = self.store.as_ref().and_then(|store| store.account(id)?.figure(window));
        if known.is_none_or(|figure| !figure.certain || figure.known != Known::Ceiling(ceiling)) {
            self.append(account, &[Entry::Grant { account: id, window, ceiling }]);
        }
        ceiling
    }

    /// Brings to the store's knowledge what is in the slots of a sliding budget: in the last of them what may be.
    fn append_slots(&mut self, account: &Account, last: Option<Slot>, now: Moment) {
        let mut slots: Vec<Slot> = account.slots(now).collect();
        if let Some(last) = last {
            slots.retain(|slot| slot.until_ns != last.until_ns);
            slots.push(last);
        }
        let id = account.id();
        let known = self.store.as_ref().and_then(|store| store.account(id));
        let entry = |Slot { until_ns, units }| Entry::Slot { account: id, until_ns, units };
        let entries: Vec<Entry> = slots::changes(known, &slots).into_iter().map(entry).collect();
        self.append(account, &entries);
    }

    /// Writes down how accounts stand that have changed: all of them `at_end`, and before that those whose
    /// balance is not on disk before it is spent. Of sliding budgets that are, slots that were closed.
    fn note_balances(&mut self, at_end: bool) {
        if self.store.is_none() {
            return;
        }
        let (now, board) = (clock::moment(), self.board.clone());
        board.accounts.for_each(|account| {
            let is_sliding = matches!(account.terms().measure, Measure::Sliding { .. });
            let is_noted = account.is_durable() && !is_sliding && !at_end;
            if is_noted || account.terms().unit == Unit::Concurrency {
                return;
            }
            if at_end {
                account.end_leases(now);
            }
            match is_sliding {
                // What comes and goes in the same second changes slots and not their sum.
                true => self.append_slots(account, account.close_slots(0, now).filter(|_| !at_end), now),
                false if account.note_change() || at_end => self.append(account, &[balance(account, now)]),
                false => {}
            }
        });
    }

    fn sweep(&mut self) {
        let board = self.board.clone();
        board.accounts.sweep(clock::moment(), |account| {
            if let Some(store) = &mut self.store {
                store.append(&[Entry::Forget { account: account.id() }]);
                self.dirty = true;
            }
        });
    }

    fn append(&mut self, account: &Account, entries: &[Entry<'_>]) {
        let Some(store) = self.store.as_mut().filter(|_| !entries.is_empty()) else { return };
        let rule = remembered::rule_text(account.terms());
        store.append(&[Entry::Name { account: account.id(), rule: &rule, label: account.label() }]);
        store.append(entries);
        self.dirty = true;
    }

    /// Brings what was appended to the disk. The operator is told of a fault once, and of its end.
    fn commit(&mut self) {
        let Some(store) = &mut self.store else { return };
        if !std::mem::take(&mut self.dirty) && store.is_healthy() {
            return;
        }
        let fault = store.commit().err().map(|fault| fault.sentence);
        self.board.health.set_stored(fault.is_none());
        if fault != self.said {
            match &fault {
                Some(sentence) => tell(&format!("limits.store: {sentence}")),
                None => tell("limits.store: the disk takes balances again; everything is written"),
            }
            self.said = fault;
        }
    }
}

/// How an account stands, as it is written down.
fn balance(account: &Account, now: Moment) -> Entry<'static> {
    balance_of(account, account.used(now), now)
}

fn balance_of(account: &Account, used: u64, now: Moment) -> Entry<'static> {
    Entry::Balance {
        account: account.id(),
        window: account.terms().window_at(now).map_or(0, |window| window.index),
        unix_ms: now.unix_ms,
        spent: i64::try_from(used).unwrap_or(i64::MAX),
    }
}

/// When work that began at `begun` and has just ended is due again.
fn pause_after(begun: Tick, every: Duration) -> Tick {
    let now = clock::now();
    now + every.max(now.since(begun) * PAUSE_TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_store_is_known_by_what_it_is_and_not_by_what_it_is_called() {
        let here = std::env::temp_dir().join(format!("tollgate-identity-{}", std::process::id()));
        fs::create_dir_all(here.join("store")).expect("a folder");
        fs::create_dir_all(here.join("other")).expect("a folder");
        std::os::unix::fs::symlink(here.join("store"), here.join("link")).expect("a link");
        let of = |name: &str| identity_of(here.join(name).to_str().expect("UTF-8"));
        let store = of("store");
        assert!(store.is_some() && of("link") == store && of("other/../store/.") == store);
        assert_ne!(of("other"), store);
        assert_eq!(of("none"), None);
        fs::rename(here.join("store"), here.join("moved")).expect("it is moved");
        fs::rename(here.join("other"), here.join("store")).expect("it is moved");
        assert!(of("moved") == store && of("store") != store, "another one has its name");
        fs::remove_dir_all(&here).expect("it is removed");
    }
}
