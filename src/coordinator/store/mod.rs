//! Budgets on disk: what was granted, spent and decided, so that neither a crash nor a restart forgives it.
//!
//! A directory holds one file, `journal-N`: a snapshot of everything and what was written since. When it has
//! grown to four times its snapshot a new one is begun beside it, confirmed, and the old one removed, so that at
//! any moment one whole file is there. Every run of the process begins with a new file, too: what the last run
//! left in the system's cache is not relied on.
//!
//! [`record`] is the bytes, [`state`] what they amount to, [`replay`] the way back; these are pure. [`disk`] is
//! the directory, behind a trait, so that tests can lend a worse one.

mod disk;
#[cfg(test)]
mod false_disk;
mod fault;
mod record;
mod replay;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;

pub use disk::{Directory, Disk};
pub use fault::{Corrupt, FaultKind, StoreFault};
pub use record::{Entry, TEXT_MAX};
pub(super) use state::SlotFigure;
pub use state::{Account, Control, Figure, Known, WINDOWS_KEPT};

use record::{Record, VERSION};
use state::State;
use std::io;
use std::path::Path;

/// A journal smaller than this is not rewritten, in bytes.
const REWRITE_MIN: u64 = 1 << 20;

/// A journal is rewritten when it is so many times as large as its snapshot was.
const REWRITE_TIMES: u64 = 4;

/// Bytes of a snapshot that are written at once.
const CHUNK: usize = 1 << 20;

/// The name of a damaged journal that is kept for whoever wants to look at it: the newest one.
const DAMAGED: &str = "journal.damaged";

/// The store of budgets. One thread owns it, and that may block.
///
/// [`append`](Store::append) takes entries and cannot fail; [`commit`](Store::commit) brings all of them to the
/// disk with one wait, and only then may be spent what they grant. When the disk fails, nothing is forgotten:
/// the store knows everything, says what is wrong, and each further `commit` tries to write everything anew.
///
/// It holds everything that it was told in memory (see [`Recovered`] for how much that is), and the bytes that
/// were appended since the last commit.
pub struct Store<D: Disk = Directory> {
    disk: D,
    state: State,
    /// What is written to. `None` when the last write failed: which of its bytes are on the disk is unknown.
    file: Option<Journal>,
    /// Records for the end of `file`.
    pending: Vec<u8>,
    /// The number of the next file.
    next: u64,
    /// Files to be kept under another name when they are replaced.
    damaged: Vec<String>,
    fault: Option<StoreFault>,
    rewrite_min: u64,
}

/// The file that is written to.
struct Journal {
    name: String,
    salt: u32,
    /// Its length, in bytes, without what is pending.
    length: u64,
    /// The length from which on it is rewritten.
    rewrite_at: u64,
}

/// What was found on the disk.
///
/// It is as much as was written and not forgotten, so the caller's bound on accounts is the bound of this: some
/// 160 bytes for each account here, 265 in the store, 82 in the file, with short labels; for a sliding budget 24 more
/// here and there, and 40 in the file, for each of 61 slots in which something was spent. Use it and let it go.
#[derive(Debug)]
pub struct Recovered {
    /// Every account, in the order of their ids.
    pub accounts: Vec<Account>,
    /// What administrators decided, by account and kind.
    pub controls: Vec<Control>,
    /// The last run ended with [`Entry::Clean`], and nothing is missing.
    pub clean: bool,
    /// When the last run began, in milliseconds since 1970 UTC; `None` at the first one.
    pub opened_ms: Option<i64>,
    /// Bytes at the end that a crash left of a commit which had not been confirmed. They are left out, and
    /// that is normal. The last seal of a journal may be among them; so a damaged last commit can only be taken
    /// for a torn one when its seal, too, was damaged or never reached the disk.
    pub torn_bytes: u64,
    /// What is unreadable of what had been confirmed, found just now.
    pub corrupt: Option<Corrupt>,
    /// When something was found unreadable, now or in an earlier run: see [`Recovered::is_unsure`].
    pub damaged_ms: Option<i64>,
}

impl Recovered {
    /// Whether more may have been spent in a window than its figure says, because of what is unreadable. Such a
    /// window of a durable account counts as spent. `figure` is what is known of it, also if that is nothing,
    /// and `from_ms` when it began. What began after the damage was found is not touched by it.
    pub fn is_unsure(&self, figure: Option<&Figure>, from_ms: i64) -> bool {
        !figure.is_some_and(|figure| figure.certain) && self.damaged_ms.is_some_and(|at| at >= from_ms)
    }
}

impl Store<Directory> {
    /// Opens the store in a directory, which is made where it is missing.
    ///
    /// # Errors
    /// As [`Store::open`]; also when another process uses the directory, or it cannot be made.
    pub fn open_at(path: &Path, unix_ms: i64) -> Result<(Store, Recovered), StoreFault> {
        Store::open(Directory::open(path)?, unix_ms)
    }
}

impl<D: Disk> Store<D> {
    /// Reads what is there and begins a new file. `unix_ms` is the wall time, in milliseconds since 1970 UTC.
    ///
    /// A disk that can be read and not be written is no error here: see [`Store::fault`].
    ///
    /// # Errors
    /// When files cannot be read, or a newer version wrote them.
    pub fn open(disk: D, unix_ms: i64) -> Result<(Store<D>, Recovered), StoreFault> {
        let mut store = Store {
            disk,
            state: State::default(),
            file: None,
            pending: Vec::new(),
            next: 1,
            damaged: Vec::new(),
            fault: None,
            rewrite_min: REWRITE_MIN,
        };
        let recovered = store.recover(unix_ms)?;
        store.state.apply(&Record::Opened { unix_ms });
        // The outcome is in `fault`.
        let _ = store.commit();
        Ok((store, recovered))
    }

    /// Takes entries, in their order. They are on the disk after the next [`commit`](Store::commit).
    pub fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            let entry = entry.cut();
            if let Entry::Name { account, rule, label } = entry
                && self.state.is_named(account, rule, label)
            {
                continue;
            }
            let record = Record::Entry(entry);
            self.state.apply(&record);
            if let Some(file) = &self.file {
                let at = file.length + self.pending.len() as u64;
                record::write(&record, file.salt, at, &mut self.pending);
            }
        }
    }

    /// Brings everything that was appended to the disk, and waits until it is there.
    ///
    /// # Errors
    /// It is not there. Nothing is forgotten; call again, at most about once a second, because each call then
    /// writes everything.
    pub fn commit(&mut self) -> Result<(), StoreFault> {
        let outcome = self.write();
        self.fault = outcome.err().map(|error| StoreFault::writing(&self.disk.place(), &error));
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Whether everything up to the last commit is on the disk.
    pub fn is_healthy(&self) -> bool {
        self.fault.is_none()
    }

    /// Why it is not.
    pub fn fault(&self) -> Option<&StoreFault> {
        self.fault.as_ref()
    }

    /// The length of the journal, in bytes; 0 when there is none that is sound.
    pub fn journal_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.length)
    }

    /// What is known of an account.
    pub fn account(&self, id: u128) -> Option<&Account> {
        self.state.accounts.get(&id)
    }

    /// How many accounts are held in memory.
    pub fn accounts(&self) -> usize {
        self.state.accounts.len()
    }

    fn write(&mut self) -> io::Result<()> {
        match &mut self.file {
            None => return self.rewrite(),
            Some(_) if self.pending.is_empty() => return Ok(()),
            Some(file) if file.length + self.pending.len() as u64 <= file.rewrite_at => {}
            Some(file) => {
                // A disk may have room for what is new and none for everything.
                file.rewrite_at = file.length.saturating_mul(2);
                let before = file.name.clone();
                let outcome = self.rewrite();
                if outcome.is_ok() || self.file.as_ref().is_none_or(|file| file.name != before) {
                    return outcome;
                }
            }
        }
        self.add()
    }

    /// Writes what is pending to the end of the file.
    fn add(&mut self) -> io::Result<()> {
        // Given back when everything went well.
        let Some(mut file) = self.file.take() else { return self.rewrite() };
        let pending = std::mem::take(&mut self.pending);
        self.disk.append(&file.name, &pending)?;
        self.disk.sync(&file.name)?;
        file.length += pending.len() as u64;
        self.pending = pending;
        self.pending.clear();
        record::write(&Record::Seal, file.salt, file.length, &mut self.pending);
        // It needs no wait: see `replay`. Where it cannot be written the next commit begins a new file.
        if self.disk.append(&file.name, &self.pending).is_ok() {
            file.length += self.pending.len() as u64;
            self.file = Some(file);
        }
        self.pending.clear();
        Ok(())
    }

    /// Begins a new file that holds everything, and removes all others. When that fails before the new file has
    /// its name, the old one can still be written to.
    fn rewrite(&mut self) -> io::Result<()> {
        let name = journal_name(self.next);
        let draft = format!("{name}.tmp");
        let (salt, length) = match self.snapshot(&draft) {
            Ok(written) => written,
            Err(error) => {
                // It takes room that others may need. Where it stays it is emptied or removed later.
                let _ = self.disk.remove(&draft);
                return Err(error);
            }
        };
        // From here on a restart may find the new file, even if the system says that it has no name yet. So the
        // old one is written no more, and a further one gets a higher number.
        self.file = None;
        self.pending.clear();
        self.next += 1;
        self.disk.rename(&draft, &name)?;
        self.disk.sync_names()?;
        let rewrite_at = self.rewrite_min.max(length.saturating_mul(REWRITE_TIMES));
        self.file = Some(Journal { name, salt, length, rewrite_at });
        self.clear_away();
        Ok(())
    }

    /// Writes and confirms a file that holds everything; gives its salt and length.
    fn snapshot(&mut self, name: &str) -> io::Result<(u32, u64)> {
        self.state.prune();
        let salt = self.disk.salt();
        self.disk.create(name)?;
        let mut buffer = record::head(salt).to_vec();
        let mut before = 0;
        let (disk, mut outcome) = (&mut self.disk, Ok(()));
        let mut put = |record: &Record| {
            if outcome.is_err() {
                return;
            }
            record::write(record, salt, before + buffer.len() as u64, &mut buffer);
            if buffer.len() >= CHUNK || *record == Record::Seal {
                before += buffer.len() as u64;
                outcome = disk.append(name, &buffer);
                buffer.clear();
            }
        };
        self.state.tell(&mut put);
        put(&Record::Seal);
        outcome?;
        self.disk.sync(name)?;
        Ok((salt, before))
    }

    /// Removes every file but the one that is written to. What cannot be removed is so by a later one.
    fn clear_away(&mut self) {
        let Ok(names) = self.disk.list() else { return };
        for name in names {
            let is_older = journal_number(&name).is_some_and(|number| number + 1 < self.next);
            if is_older && self.damaged.contains(&name) {
                let _ = self.disk.rename(&name, DAMAGED);
            } else if is_older || is_draft(&name) {
                let _ = self.disk.remove(&name);
            }
        }
        self.damaged.clear();
    }

    /// Reads the newest file, and older ones where its head is damaged.
    fn recover(&mut self, unix_ms: i64) -> Result<Recovered, StoreFault> {
        let place = self.disk.place();
        let unusable = |place: &str, error: &io::Error| StoreFault::new(FaultKind::Unusable, place, error);
        let names = self.disk.list().map_err(|error| unusable(&place, &error))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| journal_number(name)).collect();
        numbers.sort_unstable();
        self.next = numbers.last().map_or(1, |newest| newest + 1);
        let (mut torn_bytes, mut corrupt) = (0, None);
        for number in numbers.into_iter().rev() {
            let name = journal_name(number);
            let file = format!("{place}/{name}");
            let bytes = self.disk.read(&name).map_err(|error| unusable(&file, &error))?;
            match record::read_head(&bytes) {
                Some((version, salt)) if version <= VERSION => {
                    let headless = corrupt.is_some();
                    let found = replay::replay(&bytes, salt, unix_ms, &mut self.state);
                    torn_bytes = found.torn;
                    if let Some(first) = found.holes.first() {
                        let lost = found.holes.iter().map(|hole| hole.len() as u64).sum();
                        let offset = first.start as u64;
                        note(
                            &mut corrupt,
                            Corrupt { file, offset, lost_bytes: lost, places: found.holes.len() },
                        );
                        self.damaged.push(name);
                    }
                    if headless {
                        self.state.damage(unix_ms);
                    }
                    break;
                }
                Some((version, _)) => {
                    let why = format!("form {version}, this one reads {VERSION}");
                    return Err(StoreFault::new(FaultKind::Newer, &file, &io::Error::other(why)));
                }
                None => {
                    let lost_bytes = bytes.len() as u64;
                    note(&mut corrupt, Corrupt { file, offset: 0, lost_bytes, places: 1 });
                    self.damaged.push(name);
                    self.state.damage(unix_ms);
                }
            }
        }
        Ok(Recovered {
            accounts: self.state.accounts.values().cloned().collect(),
            controls: self.state.controls.values().cloned().collect(),
            clean: self.state.clean_ms.is_some() && torn_bytes == 0 && corrupt.is_none(),
            opened_ms: self.state.opened_ms,
            torn_bytes,
            corrupt,
            damaged_ms: self.state.damaged_ms,
        })
    }
}

/// Adds to what is known to be unreadable. The file and the place of the first are kept.
fn note(known: &mut Option<Corrupt>, more: Corrupt) {
    match known {
        None => *known = Some(more),
        Some(known) => {
            known.lost_bytes += more.lost_bytes;
            known.places += more.places;
        }
    }
}

fn journal_name(number: u64) -> String {
    format!("journal-{number}")
}

/// The number of a journal; `None` for other files. The bound is so far away that numbers never end.
fn journal_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("journal-")?.parse().ok().filter(|number| *number < u64::MAX / 2)?;
    (journal_name(number) == name).then_some(number)
}

fn is_draft(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|name| journal_number(name).is_some())
}
