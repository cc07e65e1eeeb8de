//! Names of members in either of the spellings that Google's servers take, and lists of one.

use crate::llm::translate::read::Value;

/// Whether `given` is `name`, which is in lowerCamelCase, in this spelling or in snake_case: the JSON of Protocol
/// Buffers is read in both (ProtoJSON format, "Field names").
pub(super) fn is(given: &str, name: &str) -> bool {
    let mut left = given.bytes();
    let spelt_snake = |byte: u8| match byte {
        b'A'..=b'Z' => left.next() == Some(b'_') && left.next() == Some(byte.to_ascii_lowercase()),
        _ => left.next() == Some(byte),
    };
    given == name || (name.bytes().all(spelt_snake) && left.next().is_none())
}

/// The member called `name`, the last one if it is given twice; `None` when it is missing or null.
pub(super) fn get<'t, 'b>(object: Value<'t, 'b>, name: &str) -> Option<Value<'t, 'b>> {
    let named = object.members().filter(|(given, _)| is(given, name)).last();
    named.map(|(_, value)| value).filter(|value| !value.is_null())
}

/// The string member called `name`; empty when there is none.
pub(super) fn text<'b>(object: Value<'_, 'b>, name: &str) -> &'b str {
    get(object, name).and_then(Value::str).unwrap_or_default()
}

/// The elements of a list, or what stands in place of a list of one, as Google's own examples have it.
pub(super) fn list<'t, 'b>(value: Value<'t, 'b>) -> impl Iterator<Item = Value<'t, 'b>> + use<'t, 'b> {
    value.elements().chain(value.is_object().then_some(value))
}

/// The elements of the list `name`; none when it is missing.
pub(super) fn each<'t, 'b>(
    object: Value<'t, 'b>,
    name: &str,
) -> impl Iterator<Item = Value<'t, 'b>> + use<'t, 'b> {
    get(object, name).into_iter().flat_map(list)
}

/// The strings of the list `name`.
pub(super) fn each_text<'t, 'b>(
    object: Value<'t, 'b>,
    name: &str,
) -> impl Iterator<Item = &'b str> + use<'t, 'b> {
    get(object, name).into_iter().flat_map(Value::elements).filter_map(Value::str)
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn both_spellings_are_known() {
        for (given, name, same) in [
            ("mimeType", "mimeType", true),
            ("mime_type", "mimeType", true),
            ("topK", "topK", true),
            ("top_k", "topK", true),
            ("topk", "topK", false),
            ("mime_type_", "mimeType", false),
            ("mime_", "mimeType", false),
            ("text", "text", true),
            ("", "text", false),
            ("response_json_schema", "responseJsonSchema", true),
        ] {
            assert_eq!(is(given, name), same, "{given}");
        }
    }
}
