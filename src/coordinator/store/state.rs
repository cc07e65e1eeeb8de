//! What the journal amounts to: the newest figures, names and decisions.

use super::record::{Entry, Record};
use arrayvec::ArrayVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many windows of an account are kept: those written last. Two, so that the window before is still known
/// when a new one begins, and when the clock steps back over its edge.
pub const WINDOWS_KEPT: usize = 2;

/// How many slots of a sliding budget are kept: those that end last. As many as two rings have, as those of another
/// length are removed when those in their place are written.
const SLOTS_KEPT: usize = 124;

/// What is known of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub id: u128,
    /// The name of its rule; empty where it was never told, or lost.
    pub rule: Arc<str>,
    /// What its key is called; empty as above.
    pub label: Arc<str>,
    /// Its windows, the one written last at the end.
    pub figures: ArrayVec<Figure, WINDOWS_KEPT>,
    /// The slots of a sliding budget, the earliest first: 61 of 24 bytes where something was spent in each.
    pub slots: Vec<SlotFigure>,
}

impl Account {
    /// The figure of a window.
    pub fn figure(&self, window: i64) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.window == window)
    }

    /// What is known of a slot.
    pub fn slot(&self, until_ns: i64) -> Option<&SlotFigure> {
        let place = self.slots.binary_search_by_key(&until_ns, |slot| slot.until_ns).ok()?;
        self.slots.get(place)
    }
}

/// What is known of an account's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The window's number.
    pub window: i64,
    /// What is known.
    pub known: Known,
    /// Nothing unreadable can have held a newer figure.
    pub certain: bool,
}

/// What is known of a slot of a sliding budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotFigure {
    /// The end of its time, in nanoseconds since 1970 UTC; its name.
    pub until_ns: i64,
    /// Units that are in it, or may be: after a crash they count as spent.
    pub units: u64,
    /// Nothing unreadable can have held a newer figure.
    pub certain: bool,
}

/// What was written down about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// So much was granted; after a crash it counts as spent.
    Ceiling(u64),
    /// So much was spent at a time.
    Spent {
        /// In the account's units; above the budget is debt.
        units: i64,
        /// When that was so, in milliseconds since 1970 UTC. May be later than now where the clock was set back.
        unix_ms: i64,
    },
}

/// A decision of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The account.
    pub account: u128,
    /// Which decision; the numbers are the caller's.
    pub kind: u8,
    /// Its amount, where the kind has one.
    pub amount: i64,
    /// When it was made, in milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// Its text, where the kind has one.
    pub text: Arc<str>,
    /// Who made it.
    pub by: Arc<str>,
}

/// All that a journal amounts to. Holds as many accounts as were written and not forgotten, 265 bytes each
/// with short labels (measured, a million of them): the caller's bound on accounts bounds it. Decisions are kept until withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) accounts: BTreeMap<u128, Account>,
    pub(super) controls: BTreeMap<(u128, u8), Control>,
    /// Names of rules, which accounts share.
    rules: BTreeSet<Arc<str>>,
    /// When the newest run began.
    pub(super) opened_ms: Option<i64>,
    /// When something unreadable was found.
    pub(super) damaged_ms: Option<i64>,
    /// When the last entry was `Clean`, its time.
    pub(super) clean_ms: Option<i64>,
}

impl State {
    /// Whether that is how the account is called already.
    pub(super) fn is_named(&self, account: u128, rule: &str, label: &str) -> bool {
        self.accounts.get(&account).is_some_and(|known| *known.rule == *rule && *known.label == *label)
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match *record {
            Record::Seal => return,
            Record::Opened { unix_ms } => self.opened_ms = Some(unix_ms),
            Record::Damaged { unix_ms } => self.mark_damaged(unix_ms),
            Record::Entry(entry) => self.enter(entry),
        }
        self.clean_ms = match *record {
            Record::Entry(Entry::Clean { unix_ms }) => Some(unix_ms),
            _ => None,
        };
    }

    /// Something unreadable was found, which may have held newer figures, of these accounts and of others.
    ///
    /// A clock that was reset (hosts without a battery begin in 1970) must not make the damage seem older than
    /// what was written before it, so the newest time that is known counts.
    pub(super) fn damage(&mut self, now_ms: i64) {
        let figures = self.accounts.values().flat_map(|account| &account.figures);
        let spent = figures.filter_map(|figure| match figure.known {
            Known::Spent { unix_ms, .. } => Some(unix_ms),
            Known::Ceiling(_) => None,
        });
        let times = spent.chain(self.controls.values().map(|control| control.unix_ms));
        let known = times.chain(self.opened_ms).chain(self.clean_ms);
        self.mark_damaged(known.fold(now_ms, i64::max));
    }

    fn mark_damaged(&mut self, unix_ms: i64) {
        self.damaged_ms = self.damaged_ms.max(Some(unix_ms));
        self.clean_ms = None;
        let figures = self.accounts.values_mut().flat_map(|account| &mut account.figures);
        figures.for_each(|figure| figure.certain = false);
        let slots = self.accounts.values_mut().flat_map(|account| &mut account.slots);
        slots.for_each(|slot| slot.certain = false);
    }

    /// Says in records what it holds, such that applying them to nothing gives the same.
    pub(super) fn tell(&self, mut to: impl FnMut(&Record)) {
        if let Some(unix_ms) = self.opened_ms {
            to(&Record::Opened { unix_ms });
        }
        // What is uncertain stands before the mark of the damage, and so becomes uncertain again.
        if let Some(unix_ms) = self.damaged_ms {
            for account in self.accounts.values().filter(|account| !account.is_certain()) {
                account.name().iter().for_each(&mut to);
                account.records(false).for_each(|record| to(&record));
            }
            to(&Record::Damaged { unix_ms });
        }
        for account in self.accounts.values() {
            if account.is_certain() {
                account.name().iter().for_each(&mut to);
            }
            account.records(true).for_each(|record| to(&record));
        }
        self.controls.values().for_each(|control| to(&control.record()));
        if let Some(unix_ms) = self.clean_ms {
            to(&Record::Entry(Entry::Clean { unix_ms }));
        }
    }

    /// Forgets names of rules that no account has.
    pub(super) fn prune(&mut self) {
        self.rules.retain(|rule| Arc::strong_count(rule) > 1);
    }

    fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Name { account, rule, label } => {
                let rule = self.shared(rule);
                let account = self.account(account);
                account.rule = rule;
                account.label = label.into();
            }
            Entry::Grant { account, window, ceiling } => {
                self.account(account).set(Figure { window, known: Known::Ceiling(ceiling), certain: true });
            }
            Entry::Balance { account, window, unix_ms, spent } => {
                let known = Known::Spent { units: spent, unix_ms };
                self.account(account).set(Figure { window, known, certain: true });
            }
            Entry::Slot { account, until_ns, units } => {
                self.account(account).set_slot(SlotFigure { until_ns, units, certain: true });
            }
            Entry::Forget { account } => {
                self.accounts.remove(&account);
            }
            Entry::Control { account, kind, amount, unix_ms, text, by } => {
                let control = Control { account, kind, amount, unix_ms, text: text.into(), by: by.into() };
                self.controls.insert((account, kind), control);
            }
            Entry::Withdraw { account, kind } => {
                self.controls.remove(&(account, kind));
            }
            Entry::Clean { .. } => {}
        }
    }

    fn account(&mut self, id: u128) -> &mut Account {
        self.accounts.entry(id).or_insert_with(|| Account {
            id,
            rule: Arc::default(),
            label: Arc::default(),
            figures: ArrayVec::new(),
            slots: Vec::new(),
        })
    }

    fn shared(&mut self, rule: &str) -> Arc<str> {
        if let Some(known) = self.rules.get(rule) {
            return known.clone();
        }
        let new: Arc<str> = rule.into();
        self.rules.insert(new.clone());
        new
    }
}

impl Account {
    /// Puts a figure last. The one that was written longest ago goes when there is no room.
    fn set(&mut self, figure: Figure) {
        self.figures.retain(|other| other.window != figure.window);
        if self.figures.is_full() {
            self.figures.remove(0);
        }
        self.figures.push(figure);
    }

    /// Puts a slot where its time is. The earliest goes when there is no room, and an empty one says nothing.
    fn set_slot(&mut self, slot: SlotFigure) {
        let place = self.slots.binary_search_by_key(&slot.until_ns, |other| other.until_ns);
        match (place, slot.units) {
            (Ok(place), 0) => drop(self.slots.remove(place)),
            (Err(_), 0) => {}
            (Ok(place), _) => self.slots[place] = slot,
            (Err(place), _) => self.slots.insert(place, slot),
        }
        if self.slots.len() > SLOTS_KEPT {
            self.slots.remove(0);
        }
    }

    fn is_certain(&self) -> bool {
        self.figures.iter().all(|figure| figure.certain) && self.slots.iter().all(|slot| slot.certain)
    }

    /// What is known of its windows and slots, and is certain or is not.
    fn records(&self, certain: bool) -> impl Iterator<Item = Record<'static>> {
        let (account, is_so) = (self.id, move |it: bool| it == certain);
        let figures = self.figures.iter().filter(move |figure| is_so(figure.certain));
        let slots = self.slots.iter().filter(move |slot| is_so(slot.certain));
        figures.map(move |figure| figure.record(account)).chain(slots.map(move |slot| slot.record(account)))
    }

    /// Its name, where it was told one or there is nothing else to tell.
    fn name(&self) -> Option<Record<'_>> {
        let is_told = !self.rule.is_empty() || !self.label.is_empty();
        let is_told = is_told || self.figures.is_empty() && self.slots.is_empty();
        is_told.then_some(Record::Entry(Entry::Name {
            account: self.id,
            rule: &self.rule,
            label: &self.label,
        }))
    }
}

impl Figure {
    fn record(&self, account: u128) -> Record<'static> {
        let window = self.window;
        Record::Entry(match self.known {
            Known::Ceiling(ceiling) => Entry::Grant { account, window, ceiling },
            Known::Spent { units, unix_ms } => Entry::Balance { account, window, unix_ms, spent: units },
        })
    }
}

impl SlotFigure {
    fn record(&self, account: u128) -> Record<'static> {
        let SlotFigure { until_ns, units, .. } = *self;
        Record::Entry(Entry::Slot { account, until_ns, units })
    }
}

impl Control {
    fn record(&self) -> Record<'_> {
        Record::Entry(Entry::Control {
            account: self.account,
            kind: self.kind,
            amount: self.amount,
            unix_ms: self.unix_ms,
            text: &self.text,
            by: &self.by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(account: u128, window: i64, ceiling: u64) -> Record<'static> {
        Record::Entry(Entry::Grant { account, window, ceiling })
    }

    fn figure(window: i64, ceiling: u64, certain: bool) -> Figure {
        Figure { window, known: Known::Ceiling(ceiling), certain }
    }

    #[test]
    fn the_two_windows_written_last_are_kept() {
        let mut state = State::default();
        for (window, ceiling) in [(7, 1), (8, 2), (7, 3), (2, 4)] {
            state.apply(&grant(1, window, ceiling));
        }
        assert_eq!(state.accounts[&1].figures[..], [figure(7, 3, true), figure(2, 4, true)]);
        assert_eq!(state.accounts[&1].figure(8), None);
    }

    #[test]
    fn what_is_told_gives_the_same_again() {
        let mut state = State::default();
        let control = Entry::Control { account: 3, kind: 1, amount: 5, unix_ms: 9, text: "block", by: "ops" };
        let (name, unix_ms) = (Entry::Name { account: 1, rule: "ns/a", label: "gold" }, 1000);
        let records = [
            Record::Opened { unix_ms },
            Record::Entry(name),
            grant(1, 7, 10),
            grant(2, 7, 20),
            grant(4, 7, 40),
            Record::Entry(control),
            Record::Damaged { unix_ms },
            grant(1, 8, 11),
            grant(4, 7, 44),
            Record::Entry(Entry::Clean { unix_ms: 2000 }),
        ];
        for (step, record) in records.iter().enumerate() {
            state.apply(record);
            let mut again = State::default();
            state.tell(|record| again.apply(record));
            assert_eq!(again, state, "after record {step}");
        }
        assert_eq!(state.accounts[&1].figures[..], [figure(7, 10, false), figure(8, 11, true)]);
        assert_eq!(state.accounts[&2].figures[..], [figure(7, 20, false)]);
        assert_eq!(state.accounts[&4].figures[..], [figure(7, 44, true)]);
        assert_eq!(state.clean_ms, Some(2000));
    }

    #[test]
    fn slots_are_kept_in_the_order_of_time_while_something_is_in_them() {
        let mut state = State::default();
        let enter = |state: &mut State, until_ns, units| {
            state.apply(&Record::Entry(Entry::Slot { account: 1, until_ns, units }));
        };
        let kept = |state: &State| {
            let slots = state.accounts[&1].slots.iter();
            slots.map(|slot| (slot.until_ns, slot.units, slot.certain)).collect::<Vec<_>>()
        };
        for (until_ns, units) in [(180, 3), (60, 1), (120, 2), (60, 5), (180, 0), (240, 0)] {
            enter(&mut state, until_ns, units);
        }
        assert_eq!(kept(&state), [(60, 5, true), (120, 2, true)]);
        state.apply(&Record::Damaged { unix_ms: 9 });
        enter(&mut state, 120, 2);
        assert_eq!(kept(&state), [(60, 5, false), (120, 2, true)]);
        let mut again = State::default();
        state.tell(|record| again.apply(record));
        assert_eq!(again, state);
        (1000..1500).for_each(|until_ns| enter(&mut state, until_ns, 1));
        let slots = &state.accounts[&1].slots;
        assert_eq!((slots.len(), slots[SLOTS_KEPT - 1].until_ns), (SLOTS_KEPT, 1499));
    }

    #[test]
    fn names_of_rules_are_shared_and_go_with_their_accounts() {
        let mut state = State::default();
        let mut enter = |entry| state.apply(&Record::Entry(entry));
        enter(Entry::Name { account: 1, rule: "ns/a", label: "x" });
        enter(Entry::Name { account: 2, rule: "ns/a", label: "y" });
        enter(Entry::Name { account: 3, rule: "ns/b", label: "z" });
        enter(Entry::Forget { account: 3 });
        assert!(Arc::ptr_eq(&state.accounts[&1].rule, &state.accounts[&2].rule));
        state.prune();
        assert_eq!(state.rules.iter().map(|rule| &**rule).collect::<Vec<_>>(), ["ns/a"]);
        assert!(
            state.is_named(1, "ns/a", "x")
                && !state.is_named(1, "ns/a", "y")
                && !state.is_named(3, "ns/b", "z")
        );
    }
}
