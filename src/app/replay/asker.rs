//! Who asked: the values of keys as far as a record holds them.

use super::past::Past;
use crate::base::FastMap;
use crate::config::Snapshot;
use crate::limit::{Caller, KeyPart, KeyText};

/// The whole digests of credentials that the configuration itself names, by what records hold of them.
pub(super) struct Digests(FastMap<u32, u128>);

impl Digests {
    pub(super) fn of(snapshot: &Snapshot) -> Digests {
        let lone = snapshot.limits.iter().filter(|rule| rule.key == [KeyPart::ApiKey]);
        let named = lone.flat_map(|rule| &rule.overrides).map(|over| ((over.key >> 96) as u32, over.key));
        Digests(named.collect())
    }
}

/// A request that was, as it asks limits.
pub(super) struct Asker<'a> {
    pub(super) past: &'a Past,
    pub(super) model: &'a str,
    pub(super) digests: &'a Digests,
}

/// Whether records can say what that part of a key was: headers only if they were told to hold them, claims and what is said of
/// API keys never: the name of a caller may be either's.
pub(super) fn is_known(past: &Past, part: &KeyPart) -> bool {
    match part {
        KeyPart::Header(name) => past.headers.contains_key(&**name),
        KeyPart::Claim(_) | KeyPart::Metadata(_) | KeyPart::User => false,
        KeyPart::ApiKey | KeyPart::Source | KeyPart::Model | KeyPart::Route => true,
    }
}

impl Asker<'_> {
    fn value(&self, part: &KeyPart) -> Option<String> {
        let value = match part {
            KeyPart::ApiKey => format!("sha256:{:08x}", self.past.key?),
            KeyPart::Header(name) => self.past.headers.get(&**name)?.clone()?,
            KeyPart::Source => self.past.client.to_canonical().to_string(),
            KeyPart::Model => self.model.to_owned(),
            KeyPart::Route => self.past.route.to_string(),
            KeyPart::Claim(_) | KeyPart::Metadata(_) | KeyPart::User => return None,
        };
        Some(value).filter(|value| !value.is_empty())
    }
}

impl Caller for Asker<'_> {
    fn key(&self, parts: &[KeyPart]) -> Result<u128, usize> {
        if let [KeyPart::ApiKey] = parts {
            let key = self.past.key.ok_or(0usize)?;
            return Ok(self.digests.0.get(&key).copied().unwrap_or(u128::from(key) << 96));
        }
        let values = parts.iter().enumerate().map(|(place, part)| self.value(part).ok_or(place));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Ok(KeyText::digest(parts.iter().zip(values.iter().map(String::as_bytes))))
    }

    fn label(&self, parts: &[KeyPart]) -> String {
        let values: Vec<String> = parts.iter().filter_map(|part| self.value(part)).collect();
        values.join(" ")
    }
}
