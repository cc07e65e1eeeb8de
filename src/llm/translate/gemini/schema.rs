//! Schemas of OpenAPI, as Gemini's own clients give them, as JSON schemas.

use super::names;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::read::{Kind, Value};

/// Members that hold a schema.
const SCHEMAS: [&str; 5] = ["items", "additionalProperties", "not", "contains", "propertyNames"];

/// Members that hold a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];

/// Members that hold schemas by their names.
const MAPS: [&str; 4] = ["properties", "$defs", "defs", "definitions"];

/// Whole numbers of 64 bits, which the JSON of Protocol Buffers writes as strings.
const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// Writes the `Schema` of Google's API (a subset of OpenAPI 3.0's) as JSON schema: types in lower case, `nullable` as
/// one type more. What is JSON schema already stays so.
pub(super) fn write(schema: Value<'_, '_>, e: &mut Emit<'_>) {
    if !schema.is_object() {
        return e.value(schema);
    }
    let nullable = schema.get("nullable").and_then(Value::bool) == Some(true);
    e.object(|e| {
        for (name, value) in schema.members() {
            write_member(name, value, nullable, e);
        }
    });
}

fn write_member(given: &str, value: Value<'_, '_>, nullable: bool, e: &mut Emit<'_>) {
    let known = |names: &[&'static str]| names.iter().find(|name| names::is(given, name)).copied();
    match given {
        // Told by the type; in which order members are written is for Gemini alone.
        "nullable" | "propertyOrdering" | "property_ordering" => {}
        "type" => write_type(value, nullable, e),
        "enum" => e.key("enum").array(|e| {
            value.elements().for_each(|one| e.value(one));
            if nullable && !value.elements().any(Value::is_null) {
                e.raw("null");
            }
        }),
        "example" => e.key("examples").array(|e| e.value(value)),
        "ref" => e.key("$ref").value(value),
        _ => {
            if let Some(name) = known(&SCHEMAS) {
                write(value, e.key(name));
            } else if let Some(name) = known(&LISTS) {
                e.key(name).array(|e| {
                    value.elements().for_each(|one| write(one, e));
                    if nullable && name == "anyOf" {
                        e.raw(r#"{"type":"null"}"#);
                    }
                });
            } else if let Some(name) = known(&MAPS) {
                e.key(if name == "defs" { "$defs" } else { name });
                e.object(|e| value.members().for_each(|(name, one)| write(one, e.key(name))));
            } else if let Some(name) = known(&COUNTS) {
                write_count(value, e.key(name));
            } else {
                e.key(given).value(value);
            }
        }
    }
}

fn write_type(value: Value<'_, '_>, nullable: bool, e: &mut Emit<'_>) {
    let lower = |one: Value<'_, '_>| one.str().map(str::to_ascii_lowercase).unwrap_or_default();
    match value.kind() {
        Kind::String("TYPE_UNSPECIFIED") => {}
        Kind::String(_) if nullable => {
            e.key("type").array(|e| [lower(value).as_str(), "null"].iter().for_each(|one| e.str(one)));
        }
        Kind::String(_) => e.key("type").str(&lower(value)),
        Kind::Array => e.key("type").array(|e| value.elements().for_each(|one| e.str(&lower(one)))),
        _ => e.key("type").value(value),
    }
}

fn write_count(value: Value<'_, '_>, e: &mut Emit<'_>) {
    match value.str().and_then(|digits| digits.parse().ok()) {
        Some(count) => e.u64(count),
        None => e.value(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::translate::read::Decoder;

    #[test]
    fn openapi_becomes_json_schema() {
        for (openapi, json) in [
            (r#"{"type":"STRING"}"#, r#"{"type":"string"}"#),
            (r#"{"type":"string","format":"date"}"#, r#"{"type":"string","format":"date"}"#),
            (r#"{"type":"INTEGER","nullable":true}"#, r#"{"type":["integer","null"]}"#),
            (r#"{"type":"INTEGER","nullable":false}"#, r#"{"type":"integer"}"#),
            (
                r#"{"type":"STRING","nullable":true,"enum":["a"]}"#,
                r#"{"type":["string","null"],"enum":["a",null]}"#,
            ),
            (
                r#"{"any_of":[{"type":"STRING"},{"type":"NUMBER"}],"nullable":true}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"number"},{"type":"null"}]}"#,
            ),
            (
                r#"{"type":"OBJECT","properties":{"type":{"type":"STRING"},"nullable":{"type":"BOOLEAN"}},"propertyOrdering":["type"]}"#,
                r#"{"type":"object","properties":{"type":{"type":"string"},"nullable":{"type":"boolean"}}}"#,
            ),
            (
                r#"{"type":"ARRAY","items":{"type":"OBJECT"},"minItems":"1","max_items":3}"#,
                r#"{"type":"array","items":{"type":"object"},"minItems":1,"maxItems":3}"#,
            ),
            (
                r##"{"defs":{"a":{"type":"STRING"}},"properties":{"x":{"ref":"#/$defs/a"}}}"##,
                r##"{"$defs":{"a":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##,
            ),
            (r#"{"type":"TYPE_UNSPECIFIED","example":1}"#, r#"{"examples":[1]}"#),
            (r#"{"type":["string","NULL"]}"#, r#"{"type":["string","null"]}"#),
            (r#"{"additionalProperties":false}"#, r#"{"additionalProperties":false}"#),
            (r#"true"#, r#"true"#),
        ] {
            let mut out = Vec::new();
            let read = |schema: Value<'_, '_>| write(schema, &mut Emit::new(&mut out));
            Decoder::default().decode(&mut openapi.as_bytes().to_vec(), read).unwrap();
            assert_eq!(std::str::from_utf8(&out).unwrap(), json);
        }
    }
}
