use super::secret::{Entry, SecretText};
use crate::config::diagnostic::Located;
use crate::config::reader::Fields;

/// A ConfigMap of core/v1: its texts are taken as they are.
pub(crate) struct ConfigMap {
    pub(crate) entries: Vec<Entry>,
}

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<ConfigMap> {
    fields.get("immutable").inspect(|field| {
        field.boolean();
    });
    fields.unsupported(&["binaryData"], "write texts under data");
    let data = fields.get("data").map_or_else(Vec::new, |field| field.entries());
    let entry = |(key, value): (Located<String>, crate::config::reader::Cursor<'_>)| {
        let text = value.text()?.map(|text| SecretText::Bytes(text.into_bytes().into()));
        Some(Entry { key: key.value, value: text })
    };
    Some(ConfigMap { entries: data.into_iter().filter_map(entry).collect() })
}
