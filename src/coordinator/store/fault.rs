//! What can be wrong with the store, in sentences for the operator.

use std::fmt;
use std::io::{self, ErrorKind};

/// Why the store does not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFault {
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// A sentence for the operator: what is wrong, what that means, what helps.
    pub sentence: String,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// There is no room on the disk, or within the quota.
    Full,
    /// The disk is mounted read-only.
    ReadOnly,
    /// The process may not write there.
    Denied,
    /// The disk answered with another error when it was written.
    Failing,
    /// Another process uses the directory. The store is not opened.
    Locked,
    /// A newer program wrote the files. The store is not opened, and nothing is touched.
    Newer,
    /// The directory or a file in it cannot be opened or read. The store is not opened.
    Unusable,
}

impl StoreFault {
    pub(super) fn new(kind: FaultKind, place: &str, error: &io::Error) -> StoreFault {
        const MEANWHILE: &str = "budgets are kept in memory meanwhile, and what is granted until it is mended \
                                 is forgotten if the process ends";
        let sentence = match kind {
            FaultKind::Full => {
                format!("the disk that holds {place} is full ({error}): {MEANWHILE}; make room on it")
            }
            FaultKind::ReadOnly => {
                format!("the disk that holds {place} is read-only ({error}): {MEANWHILE}; mount it writable")
            }
            FaultKind::Denied => {
                format!(
                    "{place} may not be written by this user ({error}): {MEANWHILE}; change its owner or mode"
                )
            }
            FaultKind::Failing => {
                format!("{place} cannot be written ({error}): {MEANWHILE}; look after the disk")
            }
            FaultKind::Locked => format!(
                "{place} is in use by another process: two that share it would each spend the whole of every \
                 budget; end the other, or give this one a directory of its own"
            ),
            FaultKind::Newer => {
                format!(
                    "{place} was written by a newer version ({error}): run that one, or move the file away, \
                         which forgets what was spent"
                )
            }
            FaultKind::Unusable => format!(
                "budgets cannot be read from {place} ({error}): mend it, or name another directory, which \
                 begins with nothing spent"
            ),
        };
        StoreFault { kind, sentence }
    }

    /// Of an error when something was to be written.
    pub(super) fn writing(place: &str, error: &io::Error) -> StoreFault {
        let kind = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => FaultKind::Full,
            ErrorKind::ReadOnlyFilesystem => FaultKind::ReadOnly,
            ErrorKind::PermissionDenied => FaultKind::Denied,
            _ => FaultKind::Failing,
        };
        StoreFault::new(kind, place, error)
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for StoreFault {}

/// Bytes that had been written and confirmed, and are unreadable now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The file, with its directory.
    pub file: String,
    /// Where the first of them stands.
    pub offset: u64,
    /// How many there are, at all places.
    pub lost_bytes: u64,
    /// At how many places.
    pub places: usize,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corrupt { file, offset, lost_bytes, places } = self;
        let bytes = if *lost_bytes == 1 { "byte" } else { "bytes" };
        write!(f, "{file} is damaged: {lost_bytes} {bytes} from byte {offset} on are unreadable")?;
        if *places > 1 {
            write!(f, ", at {places} places")?;
        }
        f.write_str("; what they said of budgets is unknown")
    }
}
