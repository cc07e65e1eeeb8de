//! A disk for tests that does the worst a disk may: it tears writes, loses what was not confirmed, is full,
//! read-only or failing, and ends the world at any operation. All by chance, from a seed.

use super::Disk;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// Numbers by chance, the same for the same seed (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than `end`, which is at least 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// It alone: the system's cache lives on.
    Kill,
    /// The host's power: what was not confirmed may be lost.
    Power,
}

/// What a disk only pretends to do. No store holds on such a disk; with it a test is shown to see faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lie {
    #[default]
    None,
    Sync,
    SyncNames,
    /// Files lose their last 12 bytes when the world ends: the seal and a part of what it confirms.
    Shrink,
}

/// A handle to a false disk; clones are the same disk.
#[derive(Clone)]
pub(super) struct FalseDisk(pub(super) Rc<RefCell<World>>);

pub(super) struct World {
    files: Vec<Inode>,
    names: BTreeMap<String, usize>,
    /// The names as they are on the disk, and what was done to them since.
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    pub(super) chance: Chance,
    /// Bytes that may still be written.
    pub(super) room: Option<usize>,
    pub(super) read_only: bool,
    /// It takes no further file, as one without room for it.
    pub(super) no_files: bool,
    /// How often of a hundred times a change goes wrong.
    pub(super) trouble: u64,
    /// Changes until the process ends.
    pub(super) fuse: Option<u64>,
    pub(super) lie: Lie,
    dead: bool,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    /// How much of it is confirmed.
    durable: usize,
    /// It could not be confirmed once, and the system holds it for clean since: it never will be.
    rotten: bool,
}

enum Change {
    Link(String, usize),
    Rename(String, String, usize),
    Unlink(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            Change::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Change::Unlink(name) => {
                names.remove(name);
            }
        }
    }
}

impl FalseDisk {
    pub(super) fn new(seed: u64) -> FalseDisk {
        FalseDisk(Rc::new(RefCell::new(World {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            chance: Chance(seed),
            room: None,
            read_only: false,
            no_files: false,
            trouble: 0,
            fuse: None,
            lie: Lie::None,
            dead: false,
        })))
    }

    /// Ends the world; the disk is sound when the next one begins.
    pub(super) fn crash(&self, how: Crash) {
        let world = &mut *self.0.borrow_mut();
        if how == Crash::Power {
            world.lose();
        }
        if world.lie == Lie::Shrink {
            for file in &mut world.files {
                let length = file.live.len().saturating_sub(12);
                file.live.truncate(length);
                file.durable = file.durable.min(length);
            }
        }
        (world.room, world.read_only, world.no_files, world.trouble) = (None, false, false, 0);
        (world.fuse, world.dead) = (None, false);
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.0.borrow();
        world.files[world.names[name]].live.clone()
    }

    /// Puts a file there, confirmed.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let world = &mut *self.0.borrow_mut();
        world.files.push(Inode { live: bytes.to_vec(), durable: bytes.len(), rotten: false });
        world.names.insert(name.to_owned(), world.files.len() - 1);
        world.durable_names.insert(name.to_owned(), world.files.len() - 1);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().cloned().collect()
    }
}

impl World {
    /// What the power takes with it.
    fn lose(&mut self) {
        const SECTOR: usize = 16;
        // A file system may, but need not, keep the order of what was done to names.
        let until = self.chance.below(self.changes.len() as u64 + 1) as usize;
        let is_orderly = self.chance.percent(50);
        for (at, change) in std::mem::take(&mut self.changes).iter().enumerate() {
            if if is_orderly { at < until } else { self.chance.percent(50) } {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for file in &mut self.files {
            let loose = file.live.len() - file.durable;
            file.live.truncate(file.durable + self.chance.below(loose as u64 + 1) as usize);
            for sector in file.live[file.durable..].chunks_mut(SECTOR) {
                if self.chance.percent(40) {
                    sector.fill(0);
                }
            }
            (file.durable, file.rotten) = (file.live.len(), false);
        }
    }

    /// Called before a change. The error says why it fails, and beside it whether it takes place in spite.
    fn change(&mut self) -> Result<(), (io::Error, bool)> {
        if self.dead {
            return Err((io::Error::other("the process has ended"), false));
        }
        if self.fuse == Some(0) {
            self.dead = true;
            return Err((io::Error::other("the process ends here"), self.chance.percent(50)));
        }
        self.fuse = self.fuse.map(|fuse| fuse - 1);
        if self.read_only {
            return Err((ErrorKind::ReadOnlyFilesystem.into(), false));
        }
        if self.chance.percent(self.trouble) {
            return Err((io::Error::other("input/output error"), self.chance.percent(50)));
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Inode> {
        let file = self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(&mut self.files[*file])
    }

    fn name(&mut self, change: Change) -> io::Result<()> {
        let outcome = self.change();
        if !matches!(outcome, Err((_, false))) {
            change.apply(&mut self.names);
            self.changes.push(change);
        }
        outcome.map_err(|(error, _)| error)
    }
}

impl Disk for FalseDisk {
    fn place(&self) -> String {
        "false-disk".to_owned()
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        match self.0.borrow().dead {
            true => Err(io::Error::other("the process has ended")),
            false => Ok(self.names()),
        }
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.borrow_mut().file(name)?.live.clone())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        if (world.room == Some(0) || world.no_files) && !world.dead {
            return Err(ErrorKind::StorageFull.into());
        }
        world.files.push(Inode::default());
        let file = world.files.len() - 1;
        world.name(Change::Link(name.to_owned(), file))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        let mut outcome = world.change().map_err(|(error, takes_place)| match takes_place {
            true => (error, world.chance.below(bytes.len() as u64 + 1) as usize),
            false => (error, 0),
        });
        if let (Ok(()), Some(room)) = (&outcome, &mut world.room) {
            let fits = bytes.len().min(*room);
            *room -= fits;
            if fits < bytes.len() {
                outcome = Err((ErrorKind::StorageFull.into(), fits));
            }
        }
        let written = outcome.as_ref().map_or_else(|(_, part)| *part, |()| bytes.len());
        world.file(name)?.live.extend(&bytes[..written]);
        outcome.map_err(|(error, _)| error)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        let (outcome, lie) = (world.change(), world.lie);
        let file = world.file(name)?;
        match &outcome {
            // The next one will say that all is well, and nothing more will have reached the disk.
            Err(_) => file.rotten = true,
            Ok(()) if !file.rotten && lie != Lie::Sync => file.durable = file.live.len(),
            Ok(()) => {}
        }
        outcome.map_err(|(error, _)| error)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        let file = *world.names.get(from).ok_or(ErrorKind::NotFound)?;
        world.name(Change::Rename(from.to_owned(), to.to_owned(), file))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().name(Change::Unlink(name.to_owned()))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        world.change().map_err(|(error, _)| error)?;
        if world.lie != Lie::SyncNames {
            world.durable_names = world.names.clone();
            world.changes.clear();
        }
        Ok(())
    }

    fn salt(&mut self) -> u32 {
        self.0.borrow_mut().chance.next() as u32
    }
}
