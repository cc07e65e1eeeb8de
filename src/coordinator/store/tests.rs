//! The store case by case: faults and their sentences, damage, locks, a real directory.

use super::false_disk::{Crash, FalseDisk};
use super::record::{self, VERSION};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Tells the process that a test starts which directory to try.
const TRY: &str = "TOLLGATE_TEST_TRY_STORE";

fn grant(account: u128, window: i64, ceiling: u64) -> Entry<'static> {
    Entry::Grant { account, window, ceiling }
}

fn open(disk: &FalseDisk) -> (Store<FalseDisk>, Recovered) {
    Store::open(disk.clone(), 1000).expect("a disk that can be read")
}

/// Account, window, ceiling, certain.
fn ceilings(recovered: &Recovered) -> Vec<(u128, i64, u64, bool)> {
    let of = |account: &Account| {
        let id = account.id;
        account.figures.clone().into_iter().filter_map(move |figure| match figure.known {
            Known::Ceiling(ceiling) => Some((id, figure.window, ceiling, figure.certain)),
            Known::Spent { .. } => None,
        })
    };
    recovered.accounts.iter().flat_map(of).collect()
}

/// A directory of its own for a test, removed afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("tollgate-store-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_disk_that_fails_is_told_of_and_nothing_is_forgotten() {
    type Break = fn(&FalseDisk);
    let rows: [(Break, FaultKind, &str); 3] = [
        (
            |disk| disk.0.borrow_mut().room = Some(10),
            FaultKind::Full,
            "the disk that holds false-disk is full",
        ),
        (
            |disk| disk.0.borrow_mut().read_only = true,
            FaultKind::ReadOnly,
            "the disk that holds false-disk is read-only",
        ),
        (|disk| disk.0.borrow_mut().trouble = 100, FaultKind::Failing, "false-disk cannot be written"),
    ];
    for (break_it, kind, words) in rows {
        let disk = FalseDisk::new(7);
        let (mut store, _) = open(&disk);
        store.append(&[grant(1, 0, 10)]);
        assert_eq!(store.commit(), Ok(()));
        break_it(&disk);
        for ceiling in [20, 30] {
            store.append(&[grant(1, 0, ceiling)]);
            let fault = store.commit().expect_err(words);
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.to_string().starts_with(words), "{fault}");
            assert_eq!((store.is_healthy(), store.fault()), (false, Some(&fault)));
        }
        let mut world = disk.0.borrow_mut();
        (world.room, world.read_only, world.trouble) = (None, false, 0);
        drop(world);
        assert_eq!(store.commit(), Ok(()), "{words}");
        assert!(store.is_healthy());
        disk.crash(Crash::Power);
        assert_eq!(ceilings(&open(&disk).1), [(1, 0, 30, true)], "{words}");
    }
}

#[test]
fn a_disk_that_is_read_only_from_the_start_is_read() {
    let disk = FalseDisk::new(1);
    let (mut store, _) = open(&disk);
    store.append(&[grant(1, 0, 10)]);
    assert_eq!(store.commit(), Ok(()));
    disk.0.borrow_mut().read_only = true;
    let (mut store, recovered) = open(&disk);
    assert_eq!(ceilings(&recovered), [(1, 0, 10, true)]);
    assert_eq!(store.fault().map(|fault| fault.kind), Some(FaultKind::ReadOnly));
    assert_eq!(store.journal_bytes(), 0);
    store.append(&[grant(1, 0, 20)]);
    disk.0.borrow_mut().read_only = false;
    assert_eq!(store.commit(), Ok(()));
    assert_eq!(ceilings(&open(&disk).1), [(1, 0, 20, true)]);
}

#[test]
fn a_disk_without_room_for_everything_takes_what_is_new() {
    let disk = FalseDisk::new(1);
    let (mut store, _) = open(&disk);
    store.append(&(0..100).map(|account| grant(account, 0, 1)).collect::<Vec<_>>());
    assert_eq!(store.commit(), Ok(()));
    let before = store.journal_bytes();
    store.file.as_mut().expect("healthy").rewrite_at = before;
    disk.0.borrow_mut().no_files = true;
    store.append(&[grant(7, 0, 71)]);
    assert_eq!(store.commit(), Ok(()));
    assert!(store.journal_bytes() > before);
    disk.crash(Crash::Power);
    assert_eq!(ceilings(&open(&disk).1)[7], (7, 0, 71, true));
}

#[test]
fn the_journal_stays_small_and_alone() {
    let disk = FalseDisk::new(1);
    disk.put("notes.txt", b"somebody's");
    disk.put("journal-7.tmp", b"a draft that a crash left");
    let (mut store, _) = open(&disk);
    store.rewrite_min = 4000;
    assert_eq!(store.commit(), Ok(()), "nothing to write");
    for ceiling in 0..2000 {
        store.append(&[Entry::Name { account: 1, rule: "ns/a", label: "gold" }, grant(1, 0, ceiling)]);
        assert_eq!(store.commit(), Ok(()));
        // A first file of the usual bound, then of this test's.
        assert!(store.journal_bytes() <= 1 << 20);
    }
    store.file.as_mut().expect("healthy").rewrite_at = 4000;
    for ceiling in 2000..4000 {
        store.append(&[Entry::Name { account: 1, rule: "ns/a", label: "gold" }, grant(1, 0, ceiling)]);
        assert_eq!(store.commit(), Ok(()));
        assert!(store.journal_bytes() <= 4100, "{} bytes", store.journal_bytes());
    }
    let names = disk.names();
    let journals = names.iter().filter(|name| name.starts_with("journal-")).count();
    assert_eq!((names.len(), journals), (2, 1), "{names:?}");
    let (_, recovered) = open(&disk);
    assert_eq!(ceilings(&recovered), [(1, 0, 3999, true)]);
    assert_eq!((&*recovered.accounts[0].rule, &*recovered.accounts[0].label), ("ns/a", "gold"));
}

#[test]
fn a_journal_may_be_cut_anywhere() {
    let disk = FalseDisk::new(1);
    let (mut store, _) = open(&disk);
    for ceiling in 1..=5 {
        store.append(&[grant(1, 0, ceiling)]);
        assert_eq!(store.commit(), Ok(()));
    }
    let whole = disk.bytes("journal-1");
    let mut last = 0;
    for cut in 0..whole.len() {
        let disk = FalseDisk::new(1);
        disk.put("journal-1", &whole[..cut]);
        let (_, recovered) = open(&disk);
        let ceiling = ceilings(&recovered).first().map_or(0, |(_, _, ceiling, _)| *ceiling);
        assert!(ceiling == last || ceiling == last + 1, "{cut} bytes: {ceiling} after {last}");
        last = ceiling;
        assert_eq!(recovered.corrupt.is_some(), cut < record::HEAD, "{cut} bytes");
        assert!(recovered.torn_bytes < 44, "{cut} bytes: at most one record is not whole");
    }
    assert_eq!(last, 5);
}

#[test]
fn an_older_file_is_read_where_the_newest_has_no_head() {
    let disk = FalseDisk::new(1);
    let (mut store, _) = open(&disk);
    store.append(&[grant(1, 0, 10)]);
    assert_eq!(store.commit(), Ok(()));
    disk.put("journal-2", b"this was a journal");
    let (mut store, recovered) = open(&disk);
    assert_eq!(ceilings(&recovered), [(1, 0, 10, false)]);
    let said = recovered.corrupt.as_ref().map(ToString::to_string).unwrap_or_default();
    let expected = "false-disk/journal-2 is damaged: 18 bytes from byte 0 on are unreadable; what they said of \
                    budgets is unknown";
    assert_eq!(said, expected);
    assert_eq!(disk.names(), ["journal-3", "journal.damaged"]);
    assert_eq!(disk.bytes("journal.damaged"), b"this was a journal");
    // Of what is written from now on the store is certain; of the rest it never will be.
    store.append(&[grant(1, 1, 5)]);
    assert_eq!(store.commit(), Ok(()));
    let (_, recovered) = open(&disk);
    assert_eq!(ceilings(&recovered), [(1, 0, 10, false), (1, 1, 5, true)]);
    assert_eq!((recovered.corrupt, recovered.damaged_ms), (None, Some(1000)));
}

#[test]
fn damage_is_not_dated_before_what_was_written_when_the_clock_was_reset() {
    let disk = FalseDisk::new(1);
    let (mut store, _) = Store::open(disk.clone(), 1_000_000).expect("a sound disk");
    store.append(&[Entry::Balance { account: 1, window: 0, unix_ms: 2_000_000, spent: 5 }, grant(2, 0, 10)]);
    assert_eq!(store.commit(), Ok(()));
    store.append(&[grant(2, 0, 11)]);
    assert_eq!(store.commit(), Ok(()));
    let mut bytes = disk.bytes("journal-1");
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    disk.put("journal-1", &bytes);
    for _ in 0..2 {
        let (_, recovered) = Store::open(disk.clone(), 3).expect("a disk that can be read");
        assert_eq!(recovered.damaged_ms, Some(2_000_000));
        assert!(recovered.is_unsure(None, 1_500_000) && !recovered.is_unsure(None, 2_000_001));
    }
}

#[test]
fn files_of_a_newer_version_are_left_alone() {
    let disk = FalseDisk::new(1);
    let mut head = record::head(5);
    head[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let crc = crc32fast::hash(&head[..16]);
    head[16..].copy_from_slice(&crc.to_le_bytes());
    disk.put("journal-1", &head);
    let fault = Store::open(disk.clone(), 0).err().expect("a newer file");
    assert_eq!(fault.kind, FaultKind::Newer);
    assert!(fault.sentence.starts_with("false-disk/journal-1 was written by a newer version"), "{fault}");
    assert_eq!((disk.names(), disk.bytes("journal-1")), (vec!["journal-1".to_owned()], head.to_vec()));
}

#[test]
fn a_directory_keeps_everything_and_takes_one_store() {
    let scratch = Scratch::new("directory");
    let path = scratch.0.join("deep/er");
    let (mut store, recovered) = Store::open_at(&path, 1).expect("a new directory");
    assert!(store.is_healthy() && !recovered.clean && recovered.opened_ms.is_none());
    let control = Entry::Control { account: 9, kind: 1, amount: 3, unix_ms: 4, text: "blocked", by: "ops" };
    store.append(&[Entry::Name { account: 1, rule: "ns/a", label: "gold" }, grant(1, 5, 10), control]);
    assert_eq!(store.commit(), Ok(()));
    assert_eq!(fs::read(path.join("journal-1")).expect("the journal").len() as u64, store.journal_bytes());

    let refused = Store::open_at(&path, 2).err().expect("it is in use");
    assert_eq!(refused.kind, FaultKind::Locked);
    assert!(refused.sentence.contains("in use by another process"), "{refused}");

    store.append(&[
        Entry::Balance { account: 1, window: 5, unix_ms: 7, spent: 4 },
        Entry::Clean { unix_ms: 8 },
    ]);
    assert_eq!((store.commit(), store.accounts()), (Ok(()), 1));
    drop(store);
    let (store, recovered) = Store::open_at(&path, 9).expect("it is free");
    assert!(recovered.clean && recovered.torn_bytes == 0 && recovered.opened_ms == Some(1));
    let figure = recovered.accounts[0].figure(5).expect("what was spent");
    assert_eq!(figure.known, Known::Spent { units: 4, unix_ms: 7 });
    assert_eq!((recovered.controls.len(), &*recovered.controls[0].text), (1, "blocked"));
    drop(store);
    let (_, recovered) = Store::open_at(&path, 10).expect("it is free");
    assert!(!recovered.clean, "the run before did not say that it ended");
}

#[test]
fn many_accounts_are_written_in_pieces() {
    let scratch = Scratch::new("many");
    let many = 20_000;
    let (mut store, _) = Store::open_at(&scratch.0, 1).expect("a new directory");
    for account in 0..many {
        let label = format!("key-{account}");
        store.append(&[
            Entry::Name { account, rule: "ns/a", label: &label },
            grant(account, 3, account as u64),
        ]);
    }
    assert_eq!(store.commit(), Ok(()));
    drop(store);
    let (store, recovered) = Store::open_at(&scratch.0, 2).expect("it is free");
    assert!(store.journal_bytes() > CHUNK as u64, "{} bytes", store.journal_bytes());
    drop(store);
    let (_, again) = Store::open_at(&scratch.0, 3).expect("it is free");
    assert_eq!((recovered.accounts.len() as u128, again.torn_bytes, &again.corrupt), (many, 0, &None));
    assert_eq!(recovered.accounts, again.accounts);
    assert_eq!(&*again.accounts[19_999].label, "key-19999");
}

#[test]
fn another_process_is_refused() {
    if let Some(path) = std::env::var_os(TRY) {
        // This is that process.
        let refused = Store::open_at(Path::new(&path), 2).err();
        assert_eq!(refused.map(|fault| fault.kind), Some(FaultKind::Locked));
        return;
    }
    let scratch = Scratch::new("process");
    let other = || {
        let test = std::env::current_exe().expect("this test's file");
        let name = "coordinator::store::tests::another_process_is_refused";
        Command::new(test).args(["--exact", name]).env(TRY, &scratch.0).output().expect("a process")
    };
    let store = Store::open_at(&scratch.0, 1).expect("a new directory");
    let output = String::from_utf8_lossy(&other().stdout).into_owned();
    assert!(output.contains("1 passed"), "{output}");
    drop(store);
    assert!(!other().status.success(), "it is free now");
}

#[test]
fn a_directory_that_may_not_be_written_is_read() {
    let scratch = Scratch::new("denied");
    let (mut store, _) = Store::open_at(&scratch.0, 1).expect("a new directory");
    store.append(&[grant(1, 5, 10)]);
    assert_eq!(store.commit(), Ok(()));
    drop(store);
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o500)).expect("ours");
    if fs::write(scratch.0.join("probe"), "").is_ok() {
        // The superuser may write anywhere; the false disk has the same case.
        return;
    }
    let (store, recovered) = Store::open_at(&scratch.0, 2).expect("it can be read");
    assert_eq!(ceilings(&recovered), [(1, 5, 10, true)]);
    let fault = store.fault().expect("it cannot be written");
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.sentence.contains("change its owner or mode"), "{fault}");
}

#[test]
fn what_is_no_directory_is_refused() {
    let scratch = Scratch::new("file");
    fs::write(&scratch.0, "a file").expect("a scratch file");
    let fault = Store::open_at(&scratch.0, 1).err().expect("no directory");
    fs::remove_file(&scratch.0).expect("ours");
    assert_eq!(fault.kind, FaultKind::Unusable);
    assert!(fault.sentence.starts_with("budgets cannot be read from "), "{fault}");
}
