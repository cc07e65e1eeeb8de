//! Whether the files of a configuration have changed. They are looked at, not listened to: that works on every file system,
//! and through the links by which Kubernetes swaps a whole directory.

use super::files::files_of;
use crate::coordinator::Stamp;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was seen of some files. Clones share it: who reads them and who watches them know the same.
#[derive(Clone)]
pub(super) struct Seen(Arc<Mutex<State>>);

struct State {
    paths: Vec<PathBuf>,
    /// Of the files as they were read last.
    read: u64,
    /// Of the files as they were seen last, if that is something else.
    changing: Option<u64>,
}

impl Seen {
    /// The files as they are now; a directory stands for its files.
    pub(super) fn of(paths: &[PathBuf]) -> Seen {
        Seen(Arc::new(Mutex::new(State { paths: paths.to_vec(), read: trace(paths), changing: None })))
    }

    /// They are read now.
    pub(super) fn look(&self) {
        let mut state = self.state();
        (state.read, state.changing) = (trace(&state.paths), None);
    }

    /// Whether they are others than when they were read, and the same as at the last look: who writes several files, or a
    /// large one, is not read half.
    pub(super) fn has_changed(&self) -> bool {
        let mut state = self.state();
        let now = Some(trace(&state.paths)).filter(|now| *now != state.read);
        let before = std::mem::replace(&mut state.changing, now);
        now.is_some() && now == before
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that is another one when a file came, went, or was written.
fn trace(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let files = files_of(path).unwrap_or_default();
        files.len().hash(&mut hasher);
        for file in files {
            let stamp = Stamp::of(&file).ok();
            (file, stamp).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tollgate-watch-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// Whether the second look after it says that something has changed, and the first does not.
    fn noticed(seen: &Seen, change: impl FnOnce()) -> bool {
        change();
        assert!(!seen.has_changed(), "it may still be written");
        seen.has_changed()
    }

    #[test]
    fn what_comes_goes_or_is_written_is_noticed_once_it_rests() {
        let here = directory("files");
        let file = here.join("1.yaml");
        let write = |path: &Path, text: &str| fs::write(path, text).expect("a file");
        write(&file, "a: 1\n");
        let seen = Seen::of(std::slice::from_ref(&here));
        assert!(!noticed(&seen, || ()));
        assert!(noticed(&seen, || write(&file, "a: 2\n")), "as many bytes");
        assert!(seen.has_changed(), "until it is read");
        seen.look();
        assert!(!noticed(&seen, || ()));
        assert!(!noticed(&seen, || write(&here.join("note.txt"), "no configuration")));
        assert!(noticed(&seen, || write(&here.join("2.yaml"), "")));
        seen.look();
        assert!(noticed(&seen, || fs::remove_file(&file).expect("it goes")));
        seen.look();
        // While it goes on changing nobody is told.
        for n in 0..3 {
            write(&here.join("2.yaml"), &"# \n".repeat(n + 1));
            assert!(!seen.has_changed());
        }
        assert!(seen.has_changed());
        fs::remove_dir_all(&here).expect("it goes");
    }

    #[test]
    fn a_directory_that_is_swapped_by_a_link_is_noticed() {
        let here = directory("links");
        for (name, text) in [("one", "a: 1\n"), ("two", "a: 2\n")] {
            fs::create_dir(here.join(name)).expect("a directory");
            fs::write(here.join(name).join("c.yaml"), text).expect("a file");
        }
        let link = |to: &str| std::os::unix::fs::symlink(here.join(to), here.join("next")).expect("a link");
        link("one");
        fs::rename(here.join("next"), here.join("data")).expect("it is named");
        let seen = Seen::of(&[here.join("data")]);
        let swap = || {
            link("two");
            fs::rename(here.join("next"), here.join("data")).expect("it is swapped");
        };
        assert!(noticed(&seen, swap));
        fs::remove_dir_all(&here).expect("it goes");
    }
}
