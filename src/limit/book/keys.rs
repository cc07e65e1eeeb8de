//! Who asks, and for which account of each rule.

use crate::limit::{KeyPart, LIMITS_MAX, MissingKey, ReadyRule, Rule, RuleSet};
use arrayvec::ArrayVec;

/// Who asks: finds the values of keys in a request.
pub trait Caller {
    /// The digest of the values of `parts`.
    ///
    /// # Errors
    /// The position of the first part that the request lacks.
    fn key(&self, parts: &[KeyPart]) -> Result<u128, usize>;

    /// What the key is called in lists of accounts; empty where that may not be told.
    fn label(&self, parts: &[KeyPart]) -> String;
}

/// The keys of one request, each computed once.
pub(super) struct Keys<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) caller: &'a dyn Caller,
    pub(super) known: ArrayVec<(u16, Result<u128, usize>), LIMITS_MAX>,
}

#[derive(Clone, Copy)]
pub(super) enum Key {
    Is(u128),
    Skips,
    /// The position of the part that is missing.
    Missing(usize),
}

impl Keys<'_> {
    #[inline]
    pub(super) fn of(&mut self, ready: &ReadyRule) -> Key {
        let Some(place) = ready.key else { return Key::Is(0) };
        let known = self.known.iter().find(|(known, _)| *known == place).map(|(_, key)| *key);
        let key = known.unwrap_or_else(|| self.compute(place));
        match (key, ready.rule.on_missing) {
            (Ok(key), _) => Key::Is(key),
            (Err(_), MissingKey::Shared) => Key::Is(0),
            (Err(_), MissingKey::Skip) => Key::Skips,
            (Err(part), MissingKey::Deny) => Key::Missing(part),
        }
    }

    fn compute(&mut self, place: u16) -> Result<u128, usize> {
        let parts = self.rules.keys.get(usize::from(place)).map_or(&[][..], Vec::as_slice);
        let key = self.caller.key(parts);
        let _ = self.known.try_push((place, key));
        key
    }
}

/// The part at that position of a rule's key.
pub(super) fn part(rule: &Rule, position: usize) -> KeyPart {
    rule.key.get(position).cloned().unwrap_or(KeyPart::ApiKey)
}
