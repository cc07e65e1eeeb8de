//! API keys: known by their SHA-256, found by the beginning of it, compared whole.

use super::identity::Shown;
use super::location::{Location, beside_authorization, is_basic, usual};
use super::policy::{Asked, Mode};
use super::{Digest, Refusal, digest};
use crate::base::{FastMap, is_same};
use crate::wire::http1::Known;
use serde_json::{Map, Value};
use std::fmt;

/// The keys that a policy knows.
#[derive(Debug)]
pub struct Keys {
    /// What becomes of requests without a key that holds.
    pub mode: Mode,
    location: Location,
    /// Ascending by digest.
    list: Box<[Key]>,
    /// By the beginning of the digest, where the first key with that beginning stands.
    places: FastMap<u64, u32>,
}

/// One key: who has it, and what it may be used for. The key itself is not kept.
pub struct Key {
    digest: Digest,
    name: Box<str>,
    metadata: Map<String, Value>,
    models: AllowedModels,
    /// Milliseconds since 1970 UTC from which on it no longer holds.
    expires_ms: Option<i64>,
}

/// Two keys that are one: their places in the list that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinKeys(pub usize, pub usize);

impl Key {
    /// A key of that digest, for every model and for good.
    pub fn new(digest: Digest, name: &str) -> Key {
        Key {
            digest,
            name: name.into(),
            metadata: Map::new(),
            models: AllowedModels::default(),
            expires_ms: None,
        }
    }

    /// With what is said of its holder.
    #[must_use]
    pub fn with_metadata(self, metadata: Map<String, Value>) -> Key {
        Key { metadata, ..self }
    }

    /// For these models alone.
    #[must_use]
    pub fn for_models(self, models: AllowedModels) -> Key {
        Key { models, ..self }
    }

    /// Until that time, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn until(self, expires_ms: i64) -> Key {
        Key { expires_ms: Some(expires_ms), ..self }
    }

    /// What it is called: never the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's SHA-256.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What is said of its holder.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// What it may be used for.
    pub fn models(&self) -> &AllowedModels {
        &self.models
    }

    fn holds_at(&self, unix_ms: i64) -> bool {
        self.expires_ms.is_none_or(|end| unix_ms < end)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Keys {
    /// These keys, looked for at `location`.
    ///
    /// # Errors
    /// Two of them are one key.
    pub fn new(mode: Mode, location: Location, keys: Vec<Key>) -> Result<Keys, TwinKeys> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        let digest_at = |place: &usize| keys.get(*place).map(|key| key.digest);
        order.sort_unstable_by_key(digest_at);
        for (one, other) in order.iter().zip(order.iter().skip(1)) {
            if digest_at(one) == digest_at(other) {
                return Err(TwinKeys(*one.min(other), *one.max(other)));
            }
        }
        let mut list = keys;
        list.sort_unstable_by_key(|key| key.digest);
        let mut places = FastMap::default();
        for (place, key) in (0u32..).zip(&list) {
            places.entry(beginning(&key.digest)).or_insert(place);
        }
        Ok(Keys { mode, location, list: list.into(), places })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Where they are looked for.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The key of that digest. How long it takes tells no more than whether some key's digest begins as this one does.
    pub fn find(&self, wanted: &Digest) -> Option<&Key> {
        let begin = beginning(wanted);
        let first = *self.places.get(&begin)? as usize;
        let alike = self.list.get(first..)?.iter().take_while(|key| beginning(&key.digest) == begin);
        alike.filter(|key| is_same(&key.digest, wanted)).last()
    }

    /// The key that the request shows, if it has to show one or does. What `Authorization` holds is none where it
    /// `is_taken` for something else.
    pub(super) fn admit<'p>(
        &'p self,
        asked: &Asked<'_>,
        is_taken: bool,
    ) -> Result<Option<Shown<'p>>, Refusal> {
        let Some((header, shown)) = self.shown(asked, is_taken) else {
            return if self.mode == Mode::Strict { Err(Refusal::NoKey) } else { Ok(None) };
        };
        let refusal = match self.find(&shown) {
            Some(key) if key.holds_at(asked.unix_ms) => {
                return Ok(Some(Shown { key, location: &self.location, header }));
            }
            Some(_) => Refusal::ExpiredKey,
            None => Refusal::UnknownKey,
        };
        if self.mode == Mode::Permissive { Ok(None) } else { Err(refusal) }
    }

    /// The digest of what is shown, and for the usual places the header it is in.
    fn shown(&self, asked: &Asked<'_>, is_taken: bool) -> Option<(Known, Digest)> {
        if self.location == Location::Usual {
            let (header, credential) = usual(asked.head, asked.bytes)?;
            if header == Known::Authorization && (is_taken || is_basic(credential)) {
                let (header, credential) = beside_authorization(asked.head, asked.bytes)?;
                return Some((header, digest(credential)));
            }
            return Some((header, asked.digest?));
        }
        let credential = self.location.find(asked.head, asked.bytes)?;
        Some((Known::Other, digest(&credential)))
    }
}

/// The first eight bytes: nobody finds keys whose digests begin alike by the thousand.
fn beginning(digest: &Digest) -> u64 {
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// The models that a key may be used for: names, `prefix*`, `*suffix`, `*` (agentgateway, `allowedModels`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedModels(Option<Box<[Box<str>]>>);

impl AllowedModels {
    /// These alone; none of them is none at all.
    pub fn only(patterns: impl IntoIterator<Item = String>) -> AllowedModels {
        AllowedModels(Some(patterns.into_iter().map(String::into_boxed_str).collect()))
    }

    /// Whether a model is among them; it is empty where a request names none.
    pub fn allow(&self, model: &str) -> bool {
        let matches = |pattern: &str| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
            (Some(prefix), _) => model.starts_with(prefix),
            (None, Some(suffix)) => model.ends_with(suffix),
            (None, None) => model == pattern,
        };
        self.0.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern)))
    }
}
