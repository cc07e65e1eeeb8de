//! `overrides` and `tiers`: keys that are allowed more or less than the others.

use super::key::{self, KeyValue};
use super::measure;
use crate::config::diagnostic::Place;
use crate::config::reader::{Cursor, Fields};
use crate::limit::{KeyPart, Measure, Unit};

/// Another amount for one key.
pub(crate) struct Exception {
    /// The name of its tier, if it is in one.
    pub(crate) tier: Option<String>,
    pub(crate) key: KeyValue,
    pub(crate) at: Place,
    pub(crate) measure: Measure,
}

/// The most keys of one list.
const KEYS_MAX: usize = 10_000;
/// The most tiers.
const TIERS_MAX: usize = 64;

/// What is known of the limit; `None` is what had a fault.
pub(super) struct About<'a> {
    pub(super) unit: Option<Unit>,
    pub(super) measure: Option<&'a Measure>,
    /// The outer `None`: there is no key.
    pub(super) key: Option<Option<&'a [KeyPart]>>,
}

/// Reads both lists.
pub(super) fn read(fields: &mut Fields<'_>, about: &About<'_>) -> Vec<Exception> {
    for name in ["overrides", "tiers"] {
        if let (Some(field), None) = (fields.get(name), about.key) {
            field.fault_with_help("stands without key", "write key, such as key: {apiKey: {}}, or remove it");
        }
    }
    let overrides = fields.list("overrides", KEYS_MAX, |item| item.fields(|fields| one(fields, about)));
    let tiers = fields.list("tiers", TIERS_MAX, |item| item.fields(|fields| tier(fields, about)));
    overrides.into_iter().chain(tiers.into_iter().flatten()).collect()
}

fn one(fields: &mut Fields<'_>, about: &About<'_>) -> Option<Exception> {
    let key = fields.need("key").and_then(|field| value(&field, about));
    let measure = other_measure(fields, about);
    let (key, at) = key?;
    Some(Exception { tier: None, key, at, measure: measure? })
}

fn tier(fields: &mut Fields<'_>, about: &About<'_>) -> Option<Vec<Exception>> {
    let name = fields.need("name").and_then(|field| field.parsed(super::limit::name));
    let field = fields.need("keys");
    let measure = other_measure(fields, about);
    let field = field?;
    let keys = field.list(KEYS_MAX, |item| value(&item, about));
    if field.is_empty_list() {
        field.fault("names no key");
    }
    let (name, measure) = (name?.value, measure?);
    let exception = |(key, at)| Exception { tier: Some(name.clone()), key, at, measure: measure.clone() };
    Some(keys.into_iter().map(exception).collect())
}

fn value(field: &Cursor<'_>, about: &About<'_>) -> Option<(KeyValue, Place)> {
    let parts = about.key??;
    key::value(field, parts).map(|value| (value, field.at()))
}

fn other_measure(fields: &mut Fields<'_>, about: &About<'_>) -> Option<Measure> {
    match (about.unit, about.measure) {
        (Some(unit), Some(base)) => measure::replaced(fields, unit, base),
        _ => {
            fields.pass_over(&["rate", "burst", "budget", "max"]); // the limit itself has a fault
            None
        }
    }
}
