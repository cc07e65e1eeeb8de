use super::release::Claude;
use crate::llm::translate::Lost;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Function, write_object_schema};
use crate::llm::translate::read::{Kind, Value};

/// Members that pass as they are ("Structured outputs", JSON schema limitations).
const KEPT: [&str; 9] =
    ["type", "enum", "const", "$ref", "default", "required", "title", "description", "pattern"];

/// Members that say nothing about what fits.
const SILENT: [&str; 8] =
    ["discriminator", "$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly"];

/// Members that hold schemas by their names.
const MAPS: [&str; 3] = ["properties", "$defs", "definitions"];

/// Members that hold a list of schemas.
const LISTS: [&str; 2] = ["anyOf", "allOf"];

/// The formats of strings that can be held to.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Writes a schema as Claude can be held to it, whoever hosts it: each object is closed, as Anthropic and Bedrock refuse
/// open ones, and what they refuse besides is left out. True when the answer may then be one that the client's schema
/// forbids. `oneOf` becomes `anyOf`, for alternatives that exclude each other do so by their own schemas.
pub(in crate::llm::translate) fn write_closed(schema: Value<'_, '_>, e: &mut Emit<'_>) -> bool {
    if !schema.is_object() {
        e.value(schema);
        return false;
    }
    let mut loses = false;
    let has_any = schema.get("anyOf").is_some();
    e.object(|e| {
        for (name, value) in schema.members() {
            let name = if name == "oneOf" && !has_any { "anyOf" } else { name };
            loses |= write_member(name, value, e);
        }
        if is_of_objects(schema) {
            e.key("additionalProperties").raw("false");
        }
    });
    loses
}

/// The text of a closed schema of the answer; what it does not hold the answer to is noted.
pub(in crate::llm::translate) fn closed_text(schema: Value<'_, '_>, lost: &mut Lost) -> String {
    let mut text = Vec::new();
    if write_closed(schema, &mut Emit::new(&mut text)) {
        lost.add("response_format");
    }
    String::from_utf8(text).unwrap_or_default()
}

/// Writes the schema of a function's arguments. True when calls can be held to it and the client wishes it.
pub(in crate::llm::translate) fn write_arguments(
    function: &Function<'_, '_>,
    claude: Claude,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> bool {
    let is_wished = function.strict == Some(true);
    let fits = |schema: &Value<'_, '_>| schema.text("type") == "object" && can_be_closed(*schema);
    let held = function.schema.filter(|schema| is_wished && claude.takes_schemas() && fits(schema));
    let loses = match held {
        Some(schema) => write_closed(schema, e),
        None => {
            write_object_schema(function.schema, e);
            is_wished
        }
    };
    if loses {
        lost.add("tools.strict");
    }
    held.is_some()
}

fn write_member(name: &str, value: Value<'_, '_>, e: &mut Emit<'_>) -> bool {
    let mut loses = false;
    match (name, value.kind()) {
        (name, Kind::Object) if MAPS.contains(&name) => e.key(name).object(|e| {
            for (name, one) in value.members() {
                loses |= write_closed(one, e.key(name));
            }
        }),
        (name, Kind::Array) if LISTS.contains(&name) => e.key(name).array(|e| {
            for one in value.elements() {
                loses |= write_closed(one, e);
            }
        }),
        ("items", Kind::Object) => loses = write_closed(value, e.key(name)),
        ("format", Kind::String(format)) if FORMATS.contains(&format) => e.key(name).str(format),
        ("minItems", _) if value.u64().is_some_and(|count| count <= 1) => e.key(name).value(value),
        (name, _) if KEPT.contains(&name) => e.key(name).value(value),
        // Said anew for each object.
        ("additionalProperties", _) => {}
        (name, _) => return !SILENT.contains(&name),
    }
    loses
}

/// Whether it can be closed without forbidding what it is for: nothing in it is an object of any members.
pub(in crate::llm::translate) fn can_be_closed(schema: Value<'_, '_>) -> bool {
    if is_of_objects(schema) {
        let is_empty = schema.get("properties").is_none_or(|named| named.members().next().is_none());
        let others = schema.get("additionalProperties");
        let is_map = others.is_some_and(Value::is_object);
        let is_closed = others.and_then(Value::bool) == Some(false);
        if is_map || (is_empty && !is_closed) {
            return false;
        }
    }
    schema.members().all(|(name, value)| match name {
        name if MAPS.contains(&name) => value.members().all(|(_, one)| can_be_closed(one)),
        name if LISTS.contains(&name) || name == "oneOf" => value.elements().all(can_be_closed),
        "items" => can_be_closed(value),
        _ => true,
    })
}

fn is_of_objects(schema: Value<'_, '_>) -> bool {
    let Some(kind) = schema.get("type") else {
        return schema.get("properties").is_some_and(Value::is_object);
    };
    kind.str() == Some("object") || kind.elements().any(|one| one.str() == Some("object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::translate::read::Decoder;

    #[test]
    fn schemas_are_closed_or_told_apart_from_those_that_cannot_be() {
        // What is written, whether it loses, and whether it can be closed at all.
        for (given, closed, loses, can) in [
            (r#"{"type":"string","minLength":1}"#, r#"{"type":"string"}"#, true, true),
            (r#"{"type":"string","format":"date"}"#, r#"{"type":"string","format":"date"}"#, false, true),
            (r#"{"type":"string","format":"enum"}"#, r#"{"type":"string"}"#, true, true),
            (r#"{"type":"array","minItems":2}"#, r#"{"type":"array"}"#, true, true),
            (r#"{"oneOf":[{"type":"null"}],"examples":[1]}"#, r#"{"anyOf":[{"type":"null"}]}"#, false, true),
            (
                r#"{"properties":{"minimum":true},"additionalProperties":true}"#,
                r#"{"properties":{"minimum":true},"additionalProperties":false}"#,
                false,
                true,
            ),
            (r#"{"type":"object"}"#, r#"{"type":"object","additionalProperties":false}"#, false, false),
            (
                r#"{"items":{"type":["object","null"],"additionalProperties":{}}}"#,
                r#"{"items":{"type":["object","null"],"additionalProperties":false}}"#,
                false,
                false,
            ),
            (
                r#"{"type":"object","additionalProperties":false}"#,
                r#"{"type":"object","additionalProperties":false}"#,
                false,
                true,
            ),
        ] {
            let got = Decoder::default().decode(&mut given.as_bytes().to_vec(), |schema| {
                let mut out = Vec::new();
                let loses = write_closed(schema, &mut Emit::new(&mut out));
                (String::from_utf8(out).expect("text"), loses, can_be_closed(schema))
            });
            assert_eq!(got, Some((closed.to_owned(), loses, can)), "{given}");
        }
    }
}
