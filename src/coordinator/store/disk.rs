//! The directory that the store writes into, as little of it as the store needs.

use super::fault::{FaultKind, StoreFault};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files by name. Errors are those of the system. What is written may be lost until [`sync`](Disk::sync), and
/// what is created, renamed or removed until [`sync_names`](Disk::sync_names).
pub trait Disk {
    /// What it is called in sentences for the operator.
    fn place(&self) -> String;
    /// The names of the files.
    ///
    /// # Errors
    /// As the system says.
    fn list(&mut self) -> io::Result<Vec<String>>;
    /// A file's bytes.
    ///
    /// # Errors
    /// As the system says.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;
    /// An empty file; one of that name is emptied.
    ///
    /// # Errors
    /// As the system says.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Writes at the end of a file.
    ///
    /// # Errors
    /// As the system says. A part may have been written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Waits until a file's bytes are on the disk.
    ///
    /// # Errors
    /// As the system says. Which bytes are on the disk is then unknown, and stays so when it works later.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name; one that had it is gone.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Waits until the names are on the disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync_names(&mut self) -> io::Result<()>;
    /// A number that no file had before, by chance.
    fn salt(&mut self) -> u32;
}

/// A directory that no other process writes into while this lives.
pub struct Directory {
    path: PathBuf,
    /// Locked. It is the directory itself: a file for the lock could not be made on a full or read-only disk.
    handle: File,
    /// The file that was written last.
    open: Option<(String, File)>,
}

impl Directory {
    /// Makes the directory where it is missing, and locks it until the value or the process ends.
    ///
    /// # Errors
    /// Another process (or value) holds it, or it cannot be made or opened. File systems over a network may
    /// refuse the lock: the directory belongs on a local disk.
    pub fn open(path: &Path) -> Result<Directory, StoreFault> {
        let place = path.display().to_string();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        let handle = made.and_then(|()| File::open(path));
        let handle = handle.map_err(|error| StoreFault::new(FaultKind::Unusable, &place, &error))?;
        match handle.try_lock() {
            Ok(()) => Ok(Directory { path: path.to_owned(), handle, open: None }),
            Err(TryLockError::WouldBlock) => {
                Err(StoreFault::new(FaultKind::Locked, &place, &io::Error::from(ErrorKind::WouldBlock)))
            }
            Err(TryLockError::Error(error)) => Err(StoreFault::new(FaultKind::Unusable, &place, &error)),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let file = match self.open.take() {
            Some((open, file)) if open == name => file,
            _ => OpenOptions::new().append(true).open(self.path.join(name))?,
        };
        Ok(&mut self.open.insert((name.to_owned(), file)).1)
    }
}

impl Disk for Directory {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.open = None;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path.join(name))?;
        self.open = Some((name.to_owned(), file));
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        if let Some((open, _)) = self.open.as_mut().filter(|(open, _)| open == from) {
            to.clone_into(open);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        // An open file would keep its room on the disk.
        self.open.take_if(|(open, _)| open == name);
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn salt(&mut self) -> u32 {
        RandomState::new().build_hasher().finish() as u32
    }
}
