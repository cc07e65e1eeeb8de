use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::config::values;

/// A Secret of core/v1, type Opaque.
pub(crate) struct Secret {
    /// Every key with its value; `stringData` overrules `data`, as Kubernetes has it.
    pub(crate) entries: Vec<Entry>,
}

/// One key of a Secret.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Located<SecretText>,
}

/// A value of a Secret as typed.
pub(crate) enum SecretText {
    /// From `stringData`: `$NAME` stands for a variable of the environment.
    Template(String),
    /// From `data`: taken as it is.
    Bytes(Vec<u8>),
}

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Secret> {
    if let Some(kind) = fields.get("type") {
        kind.one_of(&[("Opaque", ())]);
    }
    fields.get("immutable").inspect(|field| {
        field.boolean();
    });
    let data = fields.get("data").map_or_else(Vec::new, |field| field.entries());
    let plain = fields.get("stringData").map_or_else(Vec::new, |field| field.entries());
    let mut entries: Vec<Entry> = Vec::new();
    for (key, value) in plain {
        if let Some(text) = value.text() {
            entries.push(Entry { key: key.value, value: text.map(SecretText::Template) });
        }
    }
    for (key, value) in data {
        let bytes = decode(&value);
        if let Some(value) = bytes.filter(|_| entries.iter().all(|entry| entry.key != key.value)) {
            entries.push(Entry { key: key.value, value });
        }
    }
    Some(Secret { entries })
}

fn decode(value: &Cursor<'_>) -> Option<Located<SecretText>> {
    let text = value.text()?;
    let bytes = values::base64(&text.value);
    if bytes.is_none() {
        value.fault_with_help("must be base64", "write plain text under stringData instead of data");
    }
    Some(Located { value: SecretText::Bytes(bytes?), at: text.at })
}
