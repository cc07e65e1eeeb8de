//! Seeded histories on a disk that does its worst, against a naive oracle.
//!
//! What is found after a crash is what some beginning of the appended entries amounts to, and that beginning
//! holds everything that was committed: so no grant is forgotten, nothing is invented, nothing half done.

use super::false_disk::{Chance, Crash, FalseDisk, Lie};
use super::{Control, Entry, Known, Recovered, Store, WINDOWS_KEPT};
use std::collections::BTreeMap;

/// Rule, label, windows and what is known of them, slots and what is in them.
type Kept = (String, String, Vec<(i64, Known)>, BTreeMap<i64, u64>);

/// What is known, kept in the simplest way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Naive {
    accounts: BTreeMap<u128, Kept>,
    controls: BTreeMap<(u128, u8), Control>,
    clean: bool,
}

impl Naive {
    pub(super) fn apply(&mut self, entry: &Entry) {
        // To be told a name again is nothing.
        if let Entry::Name { account, rule, label } = *entry
            && self.accounts.get(&account).is_some_and(|known| (&*known.0, &*known.1) == (rule, label))
        {
            return;
        }
        self.clean = matches!(entry, Entry::Clean { .. });
        match *entry {
            Entry::Name { account, rule, label } => {
                let known = self.accounts.entry(account).or_default();
                (known.0, known.1) = (rule.to_owned(), label.to_owned());
            }
            Entry::Grant { account, window, ceiling } => self.set(account, window, Known::Ceiling(ceiling)),
            Entry::Balance { account, window, unix_ms, spent } => {
                self.set(account, window, Known::Spent { units: spent, unix_ms });
            }
            Entry::Slot { account, until_ns, units } => {
                let slots = &mut self.accounts.entry(account).or_default().3;
                slots.insert(until_ns, units);
                slots.retain(|_, units| *units > 0);
            }
            Entry::Forget { account } => drop(self.accounts.remove(&account)),
            Entry::Control { account, kind, amount, unix_ms, text, by } => {
                let control = Control { account, kind, amount, unix_ms, text: text.into(), by: by.into() };
                self.controls.insert((account, kind), control);
            }
            Entry::Withdraw { account, kind } => drop(self.controls.remove(&(account, kind))),
            Entry::Clean { .. } => {}
        }
    }

    fn set(&mut self, account: u128, window: i64, known: Known) {
        let figures = &mut self.accounts.entry(account).or_default().2;
        figures.retain(|(other, _)| *other != window);
        figures.push((window, known));
        if figures.len() > WINDOWS_KEPT {
            figures.remove(0);
        }
    }

    fn of(recovered: &Recovered) -> Naive {
        let accounts = recovered.accounts.iter().map(|account| {
            let figures = account.figures.iter().map(|figure| (figure.window, figure.known)).collect();
            let slots = account.slots.iter().map(|slot| (slot.until_ns, slot.units)).collect();
            (account.id, (account.rule.to_string(), account.label.to_string(), figures, slots))
        });
        let controls = recovered.controls.iter().map(|it| ((it.account, it.kind), it.clone()));
        Naive { accounts: accounts.collect(), controls: controls.collect(), clean: recovered.clean }
    }

    /// Every slot: account, end, units.
    fn slots(&self) -> impl Iterator<Item = (u128, i64, u64)> {
        self.accounts
            .iter()
            .flat_map(|(id, known)| known.3.iter().map(|(until_ns, units)| (*id, *until_ns, *units)))
    }

    /// Every figure: account, window, what is known.
    pub(super) fn figures(&self) -> impl Iterator<Item = (u128, i64, Known)> {
        let of = |(id, known): (&u128, &Kept)| {
            let id = *id;
            known.2.clone().into_iter().map(move |(window, known)| (id, window, known))
        };
        self.accounts.iter().flat_map(of)
    }
}

/// Some entry about one of few accounts.
pub(super) fn some_entry(chance: &mut Chance) -> Entry<'static> {
    let account = u128::from(chance.below(5)) << 100;
    let window = chance.below(4) as i64 - 1;
    let unix_ms = chance.below(1000) as i64;
    match chance.below(24) {
        20.. => {
            let units = chance.below(3) * chance.below(1 << 40);
            Entry::Slot { account, until_ns: 60 * (1 + chance.below(6) as i64), units }
        }
        0 => Entry::Forget { account },
        1 => Entry::Withdraw { account, kind: chance.below(2) as u8 },
        2 => Entry::Clean { unix_ms },
        3 | 4 => {
            let (text, by) = (["", "blocked"][chance.below(2) as usize], "ops");
            Entry::Control { account, kind: chance.below(2) as u8, amount: -7, unix_ms, text, by }
        }
        5..8 => Entry::Name {
            account,
            rule: ["ns/a", "ns/b/tokens"][chance.below(2) as usize],
            label: ["", "gold"][chance.below(2) as usize],
        },
        8..12 => Entry::Balance { account, window, unix_ms, spent: chance.below(1 << 40) as i64 - (1 << 20) },
        _ => Entry::Grant { account, window, ceiling: chance.below(1 << 40) },
    }
}

/// One disk through several lives.
struct Run {
    disk: FalseDisk,
    chance: Chance,
    /// What may be found: the state at the last commit that went well, and after each entry since.
    may: Vec<Naive>,
    /// How many commits went well, and how many lives ended in the midst of one.
    commits: u64,
    cut_short: u64,
}

impl Run {
    fn new(seed: u64, lie: Lie) -> Run {
        let disk = FalseDisk::new(seed);
        disk.0.borrow_mut().lie = lie;
        Run { disk, chance: Chance(!seed), may: vec![Naive::default()], commits: 0, cut_short: 0 }
    }

    fn go(&mut self) -> Result<(), String> {
        for _ in 0..2 + self.chance.below(4) {
            self.live()?;
            let how = if self.chance.percent(50) { Crash::Kill } else { Crash::Power };
            self.disk.crash(how);
        }
        // The last life's disk is sound, so what it finds is certain.
        let (store, _) = self.open()?.ok_or("a sound disk must be readable")?;
        match store.is_healthy() {
            true => Ok(()),
            false => Err(format!("unhealthy on a sound disk: {:?}", store.fault())),
        }
    }

    /// From opening until the end, which may come at any operation.
    fn live(&mut self) -> Result<(), String> {
        self.be_bad();
        if self.chance.percent(60) {
            self.disk.0.borrow_mut().fuse = Some(self.chance.below(60));
        }
        let Some((mut store, mut now)) = self.open()? else { return Ok(()) };
        for _ in 0..self.chance.below(30) {
            for _ in 0..self.chance.below(5) {
                let entry = some_entry(&mut self.chance);
                store.append(&[entry]);
                now.apply(&entry);
                self.may.push(now.clone());
            }
            if self.chance.percent(10) {
                self.be_bad();
            }
            if store.commit().is_ok() {
                self.may = vec![now.clone()];
                self.commits += 1;
            }
        }
        self.cut_short += u64::from(!store.is_healthy());
        Ok(())
    }

    /// Opens, and checks what is found.
    fn open(&mut self) -> Result<Option<(Store<FalseDisk>, Naive)>, String> {
        let Ok((mut store, recovered)) = Store::open(self.disk.clone(), 0) else { return Ok(None) };
        store.rewrite_min = 300;
        if let Some(file) = &mut store.file {
            file.rewrite_at = 300;
        }
        if recovered.corrupt.is_some() || recovered.damaged_ms.is_some() {
            return Err(format!("a crash was taken for damage: {:?}", recovered.corrupt));
        }
        let found = Naive::of(&recovered);
        let fits = |may: &Naive| (&may.accounts, &may.controls) == (&found.accounts, &found.controls);
        if !self.may.iter().any(|may| fits(may) && (may.clean || !found.clean)) {
            return Err(format!("found {found:?}\nand not one of {:?}", self.may));
        }
        if let ([only], 0, false) = (&self.may[..], recovered.torn_bytes, found.clean)
            && only.clean
        {
            return Err("a clean end is not seen".to_owned());
        }
        let now = Naive { clean: false, ..found };
        match store.is_healthy() {
            true => self.may = vec![now.clone()],
            false => self.may.push(now.clone()),
        }
        Ok(Some((store, now)))
    }

    fn be_bad(&mut self) {
        let mut world = self.disk.0.borrow_mut();
        (world.room, world.read_only, world.no_files, world.trouble) = (None, false, false, 0);
        match self.chance.below(6) {
            0 => world.room = Some(self.chance.below(1500) as usize),
            1 => world.read_only = true,
            2 => world.trouble = 20,
            3 => world.no_files = true,
            _ => {}
        }
    }
}

#[test]
fn whatever_crashes_nothing_committed_is_forgotten_and_nothing_invented() {
    // The long mode is `SIM_SEEDS=100000`.
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(6000);
    let (mut commits, mut cut_short) = (0, 0);
    for seed in 0..seeds {
        let mut run = Run::new(seed, Lie::None);
        run.go().unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        (commits, cut_short) = (commits + run.commits, cut_short + run.cut_short);
    }
    // The histories are about something.
    assert!(commits > 10 * seeds, "{commits} commits");
    assert!(cut_short > seeds / 2, "{cut_short} lives were cut short");
}

#[test]
fn disks_that_lie_are_caught() {
    for lie in [Lie::Sync, Lie::SyncNames, Lie::Shrink] {
        let caught = (0..500).filter(|seed| Run::new(*seed, lie).go().is_err()).count();
        assert!(caught > 0, "{lie:?}");
    }
}

/// A store with a history that was committed: the disk, what is true, and all that was ever written.
fn history(seed: u64, commits: u64) -> (FalseDisk, Naive, Vec<(u128, i64, Known)>) {
    let (disk, mut chance) = (FalseDisk::new(seed), Chance(!seed));
    let (mut store, _) = Store::open(disk.clone(), 5).expect("a sound disk");
    let (mut truth, mut written) = (Naive::default(), Vec::new());
    for _ in 0..commits {
        for _ in 0..1 + chance.below(4) {
            let entry = some_entry(&mut chance);
            store.append(&[entry]);
            truth.apply(&entry);
            written.extend(truth.figures());
        }
        store.commit().expect("a sound disk");
    }
    (disk, truth, written)
}

/// Opens a disk whose journal was flipped: no figure is lower than the truth unless it is said to be unsure,
/// and nothing is invented. What is unsure stays so through the next restart.
fn check_flipped(disk: &FalseDisk, truth: &Naive, written: &[(u128, i64, Known)], what: &str) {
    for life in 0..2 {
        let (store, recovered) = Store::open(disk.clone(), 1000 + life).expect(what);
        assert!(store.is_healthy(), "{what}");
        for (account, window, known) in truth.figures() {
            let found = recovered.accounts.binary_search_by_key(&account, |found| found.id).ok();
            let figure = found.and_then(|at| recovered.accounts[at].figure(window));
            let is_true = figure.is_some_and(|figure| figure.known == known);
            let told = recovered.is_unsure(figure, 1000);
            assert!(is_true || told, "{what}, life {life}: {account:x}/{window} {known:?} {figure:?}");
        }
        for (account, until_ns, units) in truth.slots() {
            let found = recovered.accounts.binary_search_by_key(&account, |found| found.id).ok();
            let slot = found.and_then(|at| recovered.accounts[at].slot(until_ns));
            let told = recovered.damaged_ms.is_some() && !slot.is_some_and(|slot| slot.certain);
            assert!(slot.is_some_and(|slot| slot.units == units) || told, "{what}, life {life}: {slot:?}");
        }
        let invented = Naive::of(&recovered).figures().find(|figure| !written.contains(figure));
        assert_eq!(invented, None, "{what}");
        if recovered.damaged_ms.is_none() {
            assert_eq!((&recovered.corrupt, recovered.torn_bytes > 8), (&None, false), "{what}");
            assert_eq!(Naive::of(&recovered).controls, truth.controls, "{what}");
        }
        assert!(!recovered.clean || truth.clean, "{what}");
        assert!(!recovered.is_unsure(None, 1001), "{what}: windows that began later are not touched");
    }
}

#[test]
fn every_bit_of_a_journal_may_flip() {
    let (disk, truth, written) = history(3, 8);
    let whole = disk.bytes("journal-1");
    assert!((300..3000).contains(&whole.len()), "{} bytes", whole.len());
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let disk = FalseDisk::new(1);
        disk.put("journal-1", &bytes);
        check_flipped(&disk, &truth, &written, &format!("bit {} of byte {}", bit % 8, bit / 8));
        let kept = disk.names().contains(&"journal.damaged".to_owned());
        assert_eq!(kept, bit / 8 < whole.len() - 8, "bit {bit}: only the last seal may look torn");
    }
}

#[test]
fn several_places_of_many_journals_may_be_damaged() {
    for seed in 0..2000 {
        let (disk, truth, written) = history(seed, 1 + seed % 20);
        let mut bytes = disk.bytes("journal-1");
        let mut chance = Chance(seed);
        // The last seal stays: without it, damage to the last commit looks torn.
        let sealed = bytes.len() as u64 - 8;
        for _ in 0..1 + chance.below(3) {
            let at = chance.below(sealed) as usize;
            let length = 1 + chance.below(40).min(sealed - 1 - at as u64) as usize;
            let to = chance.next() as u8;
            bytes[at..at + length].iter_mut().for_each(|byte| *byte = byte.wrapping_add(to | 1));
        }
        let disk = FalseDisk::new(seed);
        disk.put("journal-1", &bytes);
        check_flipped(&disk, &truth, &written, &format!("seed {seed}"));
    }
}
