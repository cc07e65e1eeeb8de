use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells a file from what it was before: another one in its place, or other bytes. Links are followed, so that a directory
/// that is swapped by a link is another one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    place: (u64, u64),
    bytes: u64,
    written: (i64, i64),
    changed_ns: i64,
}

impl Stamp {
    /// The stamp of the file at `path` now.
    ///
    /// # Errors
    /// It is not there, or may not be looked at.
    pub fn of(path: impl AsRef<Path>) -> io::Result<Stamp> {
        let about = fs::metadata(path)?;
        Ok(Stamp {
            place: (about.dev(), about.ino()),
            bytes: about.size(),
            written: (about.mtime(), about.mtime_nsec()),
            changed_ns: about.ctime_nsec(),
        })
    }
}
