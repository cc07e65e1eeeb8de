//! Tokens that were verified before.

use super::Claims;
use crate::access::Digest;
use std::rc::Rc;

/// Tokens that are remembered at most.
pub const REMEMBERED_MAX: usize = SETS * WAYS;

/// A token's place is one of a set, which its digest names.
const SETS: usize = 512;
const WAYS: usize = 4;

/// What one worker has verified, by the SHA-256 digest of the token and by who verified it: a token that one policy accepts is
/// nothing to another. A look-up allocates nothing. Room is made with the first token.
///
/// Whoever changes keys or configuration must [`clear`](Remembered::clear) it, or begin with another one.
#[derive(Default)]
pub struct Remembered {
    entries: Vec<Option<Entry>>,
    /// Counts look-ups that found something.
    uses: u64,
}

struct Entry {
    verifier: u32,
    used: u64,
    claims: Rc<Claims>,
}

impl Entry {
    fn is(&self, digest: &Digest, verifier: u32) -> bool {
        self.verifier == verifier && self.claims.digest == *digest
    }
}

impl Remembered {
    /// The claims of a token of this digest, if this verifier has accepted it and it holds at `now`, in seconds since 1970.
    pub fn get(&mut self, digest: &Digest, verifier: u32, now: i64) -> Option<Rc<Claims>> {
        let uses = self.uses + 1;
        let set = self.entries.get_mut(set(digest)).unwrap_or_default();
        let is = |entry: &&mut Entry| entry.is(digest, verifier);
        let entry = set.iter_mut().flatten().find(is).filter(|entry| now < entry.claims.expires)?;
        entry.used = uses;
        self.uses = uses;
        Some(entry.claims.clone())
    }

    /// Remembers a token that was verified, in the place of one that has ended or that was used least recently.
    pub fn put(&mut self, verifier: u32, claims: Rc<Claims>, now: i64) {
        if self.entries.is_empty() {
            self.entries.resize_with(REMEMBERED_MAX, || None);
        }
        let set = self.entries.get_mut(set(&claims.digest)).unwrap_or_default();
        let worth = |place: &&mut Option<Entry>| match place {
            Some(known) if known.is(&claims.digest, verifier) => (0, 0),
            None => (1, 0),
            Some(known) if known.claims.expires <= now => (1, 1),
            Some(known) => (2, known.used),
        };
        if let Some(place) = set.iter_mut().min_by_key(worth) {
            *place = Some(Entry { verifier, used: self.uses, claims });
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.entries.iter_mut().for_each(|place| *place = None);
    }
}

/// The places of a digest's set. Who could choose digests would have to have tokens signed for it.
fn set(digest: &Digest) -> std::ops::Range<usize> {
    let first = usize::from(u16::from_le_bytes([digest[0], digest[1]])) % SETS * WAYS;
    first..first + WAYS
}
