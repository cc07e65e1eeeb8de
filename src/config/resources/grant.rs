use super::meta::name;
use crate::config::reader::Cursor;

/// A ReferenceGrant: who may refer into its namespace, and to what.
pub(crate) struct ReferenceGrant {
    pub(crate) from: Vec<From>,
    pub(crate) to: Vec<To>,
}

/// Resources of this group and kind in this namespace may refer.
pub(crate) struct From {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
}

/// They may refer to resources of this group and kind; to all when `name` is `None`.
pub(crate) struct To {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
}

/// The most entries of either list (Gateway API).
const ENTRIES_MAX: usize = 16;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<ReferenceGrant> {
    spec.fields(|fields| {
        let from = fields.need("from").map(|field| field.list(ENTRIES_MAX, from));
        let to = fields.need("to").map(|field| field.list(ENTRIES_MAX, to));
        Some(ReferenceGrant { from: from?, to: to? })
    })
}

fn from(item: Cursor<'_>) -> Option<From> {
    item.fields(|fields| {
        let group = fields.need("group").and_then(|field| field.text());
        let kind = fields.need("kind").and_then(|field| field.word());
        let namespace = fields.need("namespace").and_then(|field| field.parsed(name));
        Some(From { group: group?.value, kind: kind?.value, namespace: namespace?.value })
    })
}

fn to(item: Cursor<'_>) -> Option<To> {
    item.fields(|fields| {
        let group = fields.need("group").and_then(|field| field.text());
        let kind = fields.need("kind").and_then(|field| field.word());
        let name = fields.get("name").map(|field| field.parsed(name));
        let name = match name {
            Some(name) => Some(name?.value),
            None => None,
        };
        Some(To { group: group?.value, kind: kind?.value, name })
    })
}
