//! The journal of budgets: what was written is read, what is damaged is said.

use super::choice;
use super::cuts::Dice;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use tollgate::coordinator::{Account, Control, Disk, Entry, Known, Recovered, Store};

/// A disk that forgets nothing and never fails.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl Disk for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().keys().cloned().collect())
    }
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.0.borrow().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().insert(name.to_owned(), Vec::new());
        Ok(())
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        files.get_mut(name).ok_or(io::ErrorKind::NotFound)?.extend_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name);
        Ok(())
    }
    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn salt(&mut self) -> u32 {
        4711
    }
}

fn open(disk: &Memory, unix_ms: i64) -> (Store<Memory>, Recovered) {
    Store::open(disk.clone(), unix_ms).unwrap_or_else(|fault| panic!("{}", fault.sentence))
}

/// The first byte chooses: a file of these bytes, or entries that they make, in a file that is then damaged or not.
pub(super) fn journal(data: &[u8]) {
    let (chosen, data) = choice(data);
    match chosen & 3 {
        0 => foreign(data),
        1 => drop(written(data)),
        _ => damaged(data),
    }
}

/// Whatever stands in a file, what is believed of it is believed again from the file that is written then.
fn foreign(data: &[u8]) {
    let disk = Memory::default();
    disk.0.borrow_mut().insert("journal-1".to_owned(), data.to_vec());
    let Ok((store, first)) = Store::open(disk.clone(), 1) else { return };
    assert!(store.is_healthy() && first.torn_bytes <= data.len() as u64);
    let lost = first.corrupt.as_ref().map_or(0, |corrupt| corrupt.lost_bytes);
    assert!(lost <= data.len() as u64);
    drop(store);
    let (_, again) = open(&disk, 2);
    assert_eq!((again.torn_bytes, again.corrupt), (0, None), "its own file is sound");
    // What of an account is forgotten in time depends on nothing here.
    assert_eq!((again.accounts, again.controls), (first.accounts, first.controls));
}

/// What the entries that `data` makes come to, in a file.
fn written(data: &[u8]) -> (Memory, Vec<Account>, Vec<Control>) {
    let disk = Memory::default();
    let (mut store, first) = open(&disk, 1);
    assert!(first.accounts.is_empty() && first.corrupt.is_none());
    let ids = put(&mut store, data);
    assert!(store.commit().is_ok());
    let known: Vec<Account> = ids.iter().filter_map(|id| store.account(*id).cloned()).collect();
    assert_eq!(store.accounts(), known.len());
    drop(store);
    let copy = Memory(Rc::new(RefCell::new(disk.0.borrow().clone())));
    let (_, read) = open(&copy, 2);
    assert_eq!((read.torn_bytes, &read.corrupt), (0, &None));
    assert_eq!(read.accounts, known, "what was written is read");
    (disk, read.accounts, read.controls)
}

/// Appends an entry for every eight bytes, and commits now and then. The accounts that were spoken of, in order.
fn put(store: &mut Store<Memory>, data: &[u8]) -> std::collections::BTreeSet<u128> {
    let mut ids = std::collections::BTreeSet::new();
    for row in data.chunks(8) {
        let byte = |at: usize| row.get(at).copied().unwrap_or_default();
        let account = u128::from(byte(1) & 7) + 1;
        let (window, amount) =
            (i64::from(byte(2) & 3), i64::from(i8::from_le_bytes([byte(3)])) << (byte(4) & 55));
        let text = str::from_utf8(row.get(5..).unwrap_or_default()).unwrap_or("é");
        ids.insert(account);
        let entry = match byte(0) & 7 {
            0 => Entry::Name { account, rule: text, label: "label" },
            1 | 2 => Entry::Grant { account, window, ceiling: amount.unsigned_abs() },
            3 => Entry::Balance { account, window, unix_ms: 3, spent: amount },
            4 => Entry::Slot { account, until_ns: window, units: amount.unsigned_abs() },
            5 => Entry::Control { account, kind: byte(2) & 3, amount, unix_ms: 3, text, by: "ops" },
            6 => Entry::Withdraw { account, kind: byte(2) & 3 },
            _ => Entry::Forget { account },
        };
        store.append(&[entry]);
        if byte(0) & 64 == 64 {
            assert!(store.commit().is_ok());
        }
    }
    ids
}

/// Bytes of a sound file are changed, or its end is cut off: it is said, or nothing is lost, and nothing is made up.
fn damaged(data: &[u8]) {
    let (disk, accounts, controls) = written(data);
    let mut dice = Dice::of(data);
    let is_cut = dice.below(3) == 0;
    for (_, file) in disk.0.borrow_mut().iter_mut() {
        match is_cut {
            true => file.truncate(dice.below(file.len() + 1)),
            _ => {
                for _ in 0..=dice.below(3) {
                    let at = dice.below(file.len());
                    file[at] ^= 1 << dice.below(8);
                }
            }
        }
    }
    let Ok((_, read)) = Store::open(disk, 9) else { return }; // as if of a newer version
    let is_told = read.corrupt.is_some() || read.torn_bytes > 0;
    let is_same = read.accounts == accounts && read.controls == controls;
    // A file that is cut off between two records is one that was never longer.
    assert!(is_told || is_same || is_cut, "a loss that nobody is told of");
    assert!(read.accounts.iter().all(|account| (1..=8).contains(&account.id)), "an account that was made up");
    if read.corrupt.is_some() {
        assert!(!read.clean && read.damaged_ms == Some(9));
        if read.torn_bytes > 0 {
            return; // a last commit that is damaged with its seal is taken for one that nobody was told of
        }
        let of = |id: u128| read.accounts.iter().find(|account| account.id == id);
        for account in &accounts {
            for figure in &account.figures {
                let now = of(account.id).and_then(|account| account.figure(figure.window));
                let spent_more = match (now.map(|now| now.known), figure.known) {
                    (Some(Known::Ceiling(now)), Known::Ceiling(was)) => now >= was,
                    _ => false,
                };
                assert!(
                    spent_more || now == Some(figure) || read.is_unsure(now, 0),
                    "{figure:?} became {now:?}"
                );
            }
        }
    }
}
