//! `key`: what tells the accounts of a limit apart, and the values of it that overrides name.

use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::config::resources::httproute::header_name;
use crate::config::values;
use crate::limit::{KeyPart, KeyText};
use std::net::IpAddr;

/// The most parts of a key.
const PARTS_MAX: usize = 8;
/// The longest value of a part and the longest name of a claim or of metadata, in bytes.
const VALUE_MAX: usize = 1024;
/// Headers whose values are credentials; they would stand in reports and records.
const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie"];
/// The name under which the hash of an API key stands.
const SHA256: &str = "apiKeySha256";

/// Parts of a key without a name of their own.
const PLAIN: [(&str, KeyPart); 5] = [
    ("apiKey", KeyPart::ApiKey),
    ("source", KeyPart::Source),
    ("model", KeyPart::Model),
    ("route", KeyPart::Route),
    ("user", KeyPart::User),
];

/// The value of a key, as an override names it.
pub(crate) enum KeyValue {
    /// The first half of the SHA-256 of an API key.
    Sha256(u128),
    /// A value for each part, in canonical order. In API keys `$NAME` stands for a variable of the
    /// environment.
    Values(Vec<(KeyPart, Located<String>)>),
}

/// Where a part stands in canonical order: its kind, then its name. Accounts go by digests over the parts in
/// this order, so that a key means the same accounts however it is written.
pub(crate) fn rank(part: &KeyPart) -> (u8, String) {
    match part {
        KeyPart::ApiKey => (0, String::new()),
        KeyPart::Header(name) => (1, name.to_string()),
        KeyPart::Source => (2, String::new()),
        KeyPart::Model => (3, String::new()),
        KeyPart::Route => (4, String::new()),
        KeyPart::Claim(name) => (5, name.to_string()),
        KeyPart::Metadata(name) => (6, name.to_string()),
        KeyPart::User => (7, String::new()),
    }
}

/// The parts in the order in which they are written; `None` after a fault.
pub(crate) fn read(field: &Cursor<'_>) -> Option<Vec<KeyPart>> {
    if field.node_text().is_some() {
        let help = "write a map of apiKey, header, source, model, route, claim, metadata, user, such as {header: x-team}";
        field.fault_with_help("must be a map; expressions are not supported", help);
        return None;
    }
    let parts = field.fields(|fields| {
        let mut parts: Vec<Option<Located<KeyPart>>> = Vec::new();
        for (name, part) in PLAIN {
            let Some(field) = fields.get(name) else { continue };
            parts.push(empty(&field).map(|()| Located { value: part, at: field.at() }));
        }
        let header =
            |field: &Cursor<'_>| header(field, "write apiKey: {}").map(|name| KeyPart::Header(name.into()));
        named(fields, "header", &mut parts, header);
        let claim = |field: &Cursor<'_>| free_name(field).map(|name| KeyPart::Claim(name.into()));
        named(fields, "claim", &mut parts, claim);
        let metadata = |field: &Cursor<'_>| free_name(field).map(|name| KeyPart::Metadata(name.into()));
        named(fields, "metadata", &mut parts, metadata);
        parts.into_iter().collect::<Option<Vec<_>>>()
    })?;
    check(field, parts)
}

/// The value of a part that says nothing more.
fn empty(field: &Cursor<'_>) -> Option<()> {
    match field.is_map() {
        true => field.fields(|_| Some(())),
        false => {
            field.fault_with_help("must be an empty map", "write {}");
            None
        }
    }
}

fn check(field: &Cursor<'_>, mut parts: Vec<Located<KeyPart>>) -> Option<Vec<KeyPart>> {
    parts.sort_by_key(|part| part.at);
    if field.entries().is_empty() {
        field.fault_with_help("names no part", "write apiKey: {}, header: x-team or another, or remove it");
    }
    if parts.len() > PARTS_MAX {
        field.fault(format!("has {} parts; at most {PARTS_MAX} are allowed", parts.len()));
    }
    let twin = (1..parts.len()).find(|at| parts[..*at].iter().any(|other| other.value == parts[*at].value));
    if let Some(twin) = twin {
        field.faults().fault_with_help(parts[twin].at, "the key names this part twice", "remove one");
    }
    let is_sound = !parts.is_empty() && parts.len() <= PARTS_MAX && twin.is_none();
    is_sound.then(|| parts.into_iter().map(|part| part.value).collect())
}

/// A name or a list of names.
fn named<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    parts: &mut Vec<Option<Located<KeyPart>>>,
    read: impl Fn(&Cursor<'a>) -> Option<KeyPart>,
) {
    let Some(field) = fields.get(name) else { return };
    let mut push = |field: &Cursor<'a>| {
        parts.push(read(field).map(|value| Located { value, at: field.at() }));
        Some(())
    };
    if field.node_text().is_some() {
        push(&field);
        return;
    }
    let read = field.list(PARTS_MAX, |item| push(&item));
    if read.is_empty() {
        if field.is_empty_list() {
            field.fault("names nothing");
        }
        parts.push(None);
    }
}

/// The name, in lower case, of a header whose value may be shown; `help` says what to write in place of another one.
pub(crate) fn header(field: &Cursor<'_>, help: &str) -> Option<String> {
    let name = field.parsed(header_name)?.value;
    if CREDENTIALS.contains(&name.as_str()) {
        field.fault_with_help("must not be a header that holds a credential", help);
        return None;
    }
    Some(name)
}

/// The name of a claim or of a piece of metadata.
fn free_name(field: &Cursor<'_>) -> Option<String> {
    let name = field.word()?.value;
    match name.len() <= VALUE_MAX {
        true => Some(name),
        false => {
            field.fault(format!("must have at most {VALUE_MAX} bytes"));
            None
        }
    }
}

/// The name of a part in `key`.
fn name_of(part: &KeyPart) -> &'static str {
    match part {
        KeyPart::ApiKey => "apiKey",
        KeyPart::Header(_) => "header",
        KeyPart::Source => "source",
        KeyPart::Model => "model",
        KeyPart::Route => "route",
        KeyPart::Claim(_) => "claim",
        KeyPart::Metadata(_) => "metadata",
        KeyPart::User => "user",
    }
}

/// A value of the key `parts`: the value alone, a list in the order of the parts, or a map by their names.
pub(super) fn value(field: &Cursor<'_>, parts: &[KeyPart]) -> Option<KeyValue> {
    let names: Vec<&str> = parts.iter().map(name_of).collect();
    let mut values = match (field.node_text(), parts) {
        (Some(_), [only]) => vec![(only.clone(), one(field, only)?)],
        (Some(_), _) => {
            let what = format!("must have {} values: the key is {}", parts.len(), names.join(", "));
            field.fault_with_help(what, "write a list in that order, or a map");
            return None;
        }
        (None, _) if field.is_map() => return by_name(field, parts),
        (None, _) => in_order(field, parts)?,
    };
    values.sort_by_key(|(part, _)| rank(part));
    Some(KeyValue::Values(values))
}

fn in_order(field: &Cursor<'_>, parts: &[KeyPart]) -> Option<Vec<(KeyPart, Located<String>)>> {
    let mut next = parts.iter();
    let mut count = 0;
    let values = field.list(PARTS_MAX, |item| {
        count += 1;
        let part = next.next()?;
        Some((part.clone(), one(&item, part)?))
    });
    if field.is_list() && count != parts.len() {
        field.fault(format!("must have {} values, one for each part, not {count}", parts.len()));
    }
    (values.len() == parts.len() && count == parts.len()).then_some(values)
}

fn by_name(field: &Cursor<'_>, parts: &[KeyPart]) -> Option<KeyValue> {
    field.fields(|fields| {
        if let Some(field) = fields.get(SHA256) {
            if parts != [KeyPart::ApiKey] {
                let help = "write the value of each part";
                field.fault_with_help("works only where the key is apiKey alone", help);
                fields.give_up();
                return None;
            }
            return sha256(&field).map(KeyValue::Sha256);
        }
        let mut values = Vec::new();
        for part in parts {
            let is_alone = parts.iter().filter(|other| name_of(other) == name_of(part)).count() == 1;
            let value = fields.need(name_of(part)).and_then(|field| match part {
                KeyPart::Header(name) | KeyPart::Claim(name) | KeyPart::Metadata(name)
                    if !is_alone || field.is_map() =>
                {
                    under(&field, name, part, parts)
                }
                _ => one(&field, part),
            });
            values.push(value.map(|value| (part.clone(), value)));
        }
        let mut values = values.into_iter().collect::<Option<Vec<_>>>()?;
        values.sort_by_key(|(part, _)| rank(part));
        Some(KeyValue::Values(values))
    })
}

/// The value of one of several headers or claims, in a map by their names.
fn under(field: &Cursor<'_>, name: &str, part: &KeyPart, parts: &[KeyPart]) -> Option<Located<String>> {
    let is_known = |given: &str| {
        parts.iter().any(|other| match (part, other) {
            (KeyPart::Header(_), KeyPart::Header(known)) => given.eq_ignore_ascii_case(known),
            (KeyPart::Claim(_), KeyPart::Claim(known)) => given == &**known,
            (KeyPart::Metadata(_), KeyPart::Metadata(known)) => given == &**known,
            _ => false,
        })
    };
    let entries = field.entries();
    for (given, _) in entries.iter().filter(|(given, _)| !is_known(&given.value)) {
        field.faults().fault_with_help(
            given.at,
            "the key has no such part",
            "remove it, or correct the name",
        );
    }
    let is_it = |given: &str| match part {
        KeyPart::Header(_) => given.eq_ignore_ascii_case(name),
        _ => given == name,
    };
    match entries.iter().find(|(given, _)| is_it(&given.value)) {
        Some((_, value)) => one(value, part),
        None => {
            if field.is_map() {
                field.fault(format!("lacks a value for {name:?}"));
            }
            None
        }
    }
}

/// One value, as requests have it. API keys are checked when their variables are filled in.
fn one(field: &Cursor<'_>, part: &KeyPart) -> Option<Located<String>> {
    let is_visible = |text: &str| text.trim() == text && !text.bytes().any(|b| b.is_ascii_control());
    field.parsed(|text| match part {
        _ if text.is_empty() => Err("must not be empty".into()),
        _ if text.len() > VALUE_MAX => Err(format!("must have at most {VALUE_MAX} bytes")),
        KeyPart::ApiKey => Ok(text.into()),
        KeyPart::Source => match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.to_canonical().to_string()),
            Err(_) => Err("must be an IP address, such as 192.0.2.1 or 2001:db8::1".into()),
        },
        KeyPart::Route => match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(text.into()),
            _ => Err("must be namespace/name of an HTTPRoute".into()),
        },
        _ if is_visible(text) => Ok(text.into()),
        _ => Err("must have no control characters, and no spaces around it".into()),
    })
}

/// The first half of a SHA-256 of 64 hexadecimal digits.
fn sha256(field: &Cursor<'_>) -> Option<u128> {
    // Digits alone would be a number of YAML: what is written counts.
    let text = field.written("64 hexadecimal digits")?;
    let half = values::sha256(text).map(|hash| KeyText::of_sha256(&hash));
    if half.is_none() {
        let help = "write what printf %s \"$KEY\" | sha256sum prints";
        field.fault_with_help("must be the SHA-256 of the key: 64 hexadecimal digits", help);
    }
    half
}
