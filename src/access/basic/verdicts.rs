//! Passwords that were judged before.

use crate::access::Digest;

/// Passwords of each verdict that are remembered at most.
pub const REMEMBERED_MAX: usize = SETS * WAYS;

/// A verdict's place is one of a set, which its mark names.
const SETS: usize = 256;
const WAYS: usize = 4;

/// What one worker knows of passwords, by the marks of [`Question`](super::Question). A look-up allocates nothing. Room is made
/// with the first verdict.
///
/// A verdict is true for good, for a mark has all in it that it depends on; it is forgotten all the same, so that what a password
/// can be guessed by quickly is not in memory for longer than it is of use. Those that hold and those that do not have room of
/// their own: who guesses can drive out guesses alone. One that holds is remembered from its last use on: who calls again and
/// again waits once.
#[derive(Default)]
pub struct Verdicts {
    /// The passwords that do not hold, then those that do.
    entries: [Vec<Option<Entry>>; 2],
    /// Counts look-ups that found something.
    uses: u64,
}

#[derive(Clone)]
struct Entry {
    mark: Digest,
    used: u64,
    /// Milliseconds since 1970 UTC from which on it is forgotten.
    until_ms: i64,
    /// How many milliseconds it is remembered for.
    life_ms: i64,
}

impl Verdicts {
    /// Whether the password of this mark holds, if that is known at `now_ms`, in milliseconds since 1970 UTC.
    pub fn get(&mut self, mark: &Digest, now_ms: i64) -> Option<bool> {
        let uses = self.uses + 1;
        for (entries, holds) in self.entries.iter_mut().zip([false, true]) {
            let set = entries.get_mut(set(mark)).unwrap_or_default();
            let entry = set.iter_mut().flatten().find(|entry| entry.mark == *mark && now_ms < entry.until_ms);
            if let Some(entry) = entry {
                (entry.used, self.uses) = (uses, uses);
                if holds {
                    entry.until_ms = now_ms.saturating_add(entry.life_ms);
                }
                return Some(holds);
            }
        }
        None
    }

    /// Remembers a verdict until then, in the place of one that is over or that was used least recently.
    pub fn put(&mut self, mark: Digest, holds: bool, (now_ms, until_ms): (i64, i64)) {
        let [wrong, right] = &mut self.entries;
        let entries = if holds { right } else { wrong };
        if entries.is_empty() {
            entries.resize_with(REMEMBERED_MAX, || None);
        }
        let worth = |place: &&mut Option<Entry>| match place {
            Some(known) if known.mark == mark => (0, 0),
            None => (1, 0),
            Some(known) if known.until_ms <= now_ms => (1, 1),
            Some(known) => (2, known.used),
        };
        let set = entries.get_mut(set(&mark)).unwrap_or_default();
        if let Some(place) = set.iter_mut().min_by_key(worth) {
            let life_ms = until_ms.saturating_sub(now_ms);
            *place = Some(Entry { mark, used: self.uses, until_ms, life_ms });
        }
    }
}

/// The places of a mark's set. Nobody can choose marks of passwords that hold; of those that do not it makes no difference.
fn set(mark: &Digest) -> std::ops::Range<usize> {
    let first = usize::from(mark[0]) % SETS * WAYS;
    first..first + WAYS
}
