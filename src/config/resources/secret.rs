use super::access::basic::FILES;
use crate::base::base64;
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use std::collections::HashSet;
use zeroize::Zeroizing;

/// A Secret of core/v1.
pub(crate) struct Secret {
    pub(crate) kind: SecretKind,
    /// Every key with its value; `stringData` overrules `data`, as Kubernetes has it.
    pub(crate) entries: Vec<Entry>,
}

/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
    /// Whatever its keys say.
    Opaque,
    /// A certificate and its key, under the two names below.
    Tls,
}

/// The keys of a Secret of type `kubernetes.io/tls`.
pub(crate) const TLS_CERTIFICATE: &str = "tls.crt";
pub(crate) const TLS_KEY: &str = "tls.key";

const KINDS: [(&str, SecretKind); 2] =
    [("Opaque", SecretKind::Opaque), ("kubernetes.io/tls", SecretKind::Tls)];

/// One key of a Secret.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Located<SecretText>,
}

/// A value of a Secret as typed.
pub(crate) enum SecretText {
    /// From `stringData`: `$NAME` stands for a variable of the environment; in an htpasswd file only if it begins with that.
    Template(Zeroizing<String>),
    /// From `data`, and htpasswd files: taken as it is.
    Bytes(Zeroizing<Vec<u8>>),
    /// A value that was refused: the key is there all the same.
    Refused,
}

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Secret> {
    let kind = fields.get("type").map_or(Some(SecretKind::Opaque), |field| Some(field.one_of(&KINDS)?.value));
    fields.get("immutable").inspect(|field| {
        field.boolean();
    });
    let data = fields.get("data").map_or_else(Vec::new, |field| field.entries());
    let plain = fields.get("stringData").map_or_else(Vec::new, |field| field.entries());
    let mut entries: Vec<Entry> = Vec::new();
    for (key, value) in plain {
        let refused = Located { value: SecretText::Refused, at: value.at() };
        // The hashes of an htpasswd file are full of `$`: only a variable that is all of it is one.
        let is_file = FILES.contains(&key.value.as_str());
        let read = |text: String| match is_file && !text.starts_with('$') {
            true => SecretText::Bytes(Zeroizing::new(text.into_bytes())),
            false => SecretText::Template(Zeroizing::new(text)),
        };
        let value = value.text().map_or(refused, |text| text.map(read));
        entries.push(Entry { key: key.value, value });
    }
    let named: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    for (key, value) in data {
        let value = Located { value: decode(&value).unwrap_or(SecretText::Refused), at: value.at() };
        if !named.contains(&key.value) {
            entries.push(Entry { key: key.value, value });
        }
    }
    Some(Secret { kind: kind?, entries })
}

fn decode(value: &Cursor<'_>) -> Option<SecretText> {
    let text = Zeroizing::new(value.text()?.value);
    let bytes = base64::decode(text.as_bytes());
    if bytes.is_none() {
        value.fault_with_help("must be base64", "write plain text under stringData instead of data");
    }
    bytes.map(|bytes| SecretText::Bytes(Zeroizing::new(bytes)))
}
