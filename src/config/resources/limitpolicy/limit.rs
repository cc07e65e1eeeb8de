//! One entry of `limits`.

use super::key;
use super::measure::{Given, read as read_measure};
use super::overrides::{self, Exception};
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::limit::{KeyPart, Measure, MissingKey, Mode, OnExhausted, Unit, Weights};

/// One limit as typed.
pub(crate) struct Limit {
    pub(crate) name: Located<String>,
    pub(crate) unit: Unit,
    pub(crate) measure: Measure,
    /// In canonical order.
    pub(crate) key: Vec<KeyPart>,
    pub(crate) on_missing: MissingKey,
    pub(crate) weights: Weights,
    pub(crate) mode: Mode,
    pub(crate) on_exhausted: OnExhausted,
    /// The model of `onExhausted: {fallback: MODEL}`.
    pub(crate) fallback: Option<String>,
    /// Of `overrides` and `tiers`.
    pub(crate) exceptions: Vec<Exception>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Limit> {
    const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
    let name = fields.need("name").and_then(|field| field.parsed(name));
    let unit = fields.need("unit").and_then(|field| field.one_of(&Unit::ALL.map(|unit| (unit.name(), unit))));
    let unit = unit.map(|unit| unit.value);
    let given = Given::of(fields);
    let measure = unit.and_then(|unit| read_measure(fields, &given, unit));
    let key = fields.get("key").map(|field| key::read(&field));
    let on_missing = on_missing(fields, key.is_some());
    let weights = fields.get("weights").and_then(|field| weights(&field, unit));
    let mode = fields.get("mode").and_then(|field| field.one_of(&MODES));
    let exhausted = fields.get("onExhausted");
    let fallback = exhausted.as_ref().filter(|field| field.is_map()).and_then(fallback);
    let on_exhausted = exhausted.filter(|field| !field.is_map()).and_then(|field| on_exhausted(&field, unit));
    let about = overrides::About { unit, measure: measure.as_ref(), key: key.as_ref().map(Option::as_deref) };
    let exceptions = overrides::read(fields, &about);
    let mut key = match key {
        Some(key) => key?,
        None => Vec::new(),
    };
    key.sort_by_key(key::rank);
    Some(Limit {
        name: name?,
        unit: unit?,
        measure: measure?,
        key,
        on_missing,
        weights: weights.unwrap_or_default(),
        mode: mode.map(|mode| mode.value).unwrap_or_default(),
        on_exhausted: on_exhausted.unwrap_or_default(),
        fallback,
        exceptions,
    })
}

/// A label of DNS: it stands in headers and metrics.
pub(super) fn name(text: &str) -> Result<String, String> {
    match values::is_label(text) {
        true => Ok(text.into()),
        false => {
            Err("must be at most 63 lower-case letters, digits and \"-\", such as tokens-per-key".into())
        }
    }
}

fn on_missing(fields: &mut Fields<'_>, has_key: bool) -> MissingKey {
    const WAYS: [(&str, MissingKey); 3] =
        [("deny", MissingKey::Deny), ("shared", MissingKey::Shared), ("skip", MissingKey::Skip)];
    let Some(field) = fields.get("onMissingKey") else { return MissingKey::default() };
    if !has_key {
        field.fault_with_help("stands without key", "write key, such as key: {apiKey: {}}, or remove it");
    }
    field.one_of(&WAYS).map(|way| way.value).unwrap_or_default()
}

fn on_exhausted(field: &Cursor<'_>, unit: Option<Unit>) -> Option<OnExhausted> {
    const WAYS: [(&str, OnExhausted); 2] = [("finish", OnExhausted::Finish), ("cut", OnExhausted::Cut)];
    let way = field.one_of(&WAYS)?.value;
    if let Some(unit @ (Unit::Requests | Unit::Concurrency)) = unit {
        let what = format!("does not belong to a limit on {}", unit.name());
        field.fault_with_help(what, "remove it: only tokens and cost are used up while a stream passes");
        return None;
    }
    Some(way)
}

/// Another model for the requests that the limit would refuse.
fn fallback(field: &Cursor<'_>) -> Option<String> {
    field.fields(|fields| fields.need("fallback")?.word()).map(|model| model.value)
}

fn weights(field: &Cursor<'_>, unit: Option<Unit>) -> Option<Weights> {
    if let Some(unit) = unit.filter(|unit| *unit != Unit::Tokens) {
        let what = format!("does not belong to a limit on {}", unit.name());
        field.fault_with_help(what, "remove it, or write unit: tokens");
    }
    let read = field.fields(|fields| {
        let mut weights = Weights::default();
        weight(fields, "input", &mut weights.input);
        weight(fields, "cachedInput", &mut weights.cached_input);
        weight(fields, "cacheWrite", &mut weights.cache_write);
        weight(fields, "output", &mut weights.output);
        weight(fields, "reasoning", &mut weights.reasoning);
        Some(weights)
    })?;
    let Weights { input, cached_input, cache_write, output, reasoning } = read;
    if [input, cached_input, cache_write, output, reasoning] == [0; 5] {
        field.fault_with_help("are all zero: nothing would be counted", "give one of them a weight");
    }
    Some(read)
}

fn weight(fields: &mut Fields<'_>, name: &'static str, to: &mut u32) {
    const MOST: u64 = 1000 * 1_000_000_000;
    const NANO_PER_MILLIONTH: u64 = 1000;
    let Some(field) = fields.get(name) else { return };
    let Some(text) = field.written("a weight") else { return };
    let weight = values::nano(text).filter(|nano| *nano <= MOST && nano.is_multiple_of(NANO_PER_MILLIONTH));
    match weight.and_then(|nano| u32::try_from(nano / NANO_PER_MILLIONTH).ok()) {
        Some(millionths) => *to = millionths,
        None => {
            let what = "must be a decimal number from 0 to 1000 with at most 6 decimals";
            field.fault_with_help(what, "write it such as 0.1; 1 counts a token as one");
        }
    }
}
