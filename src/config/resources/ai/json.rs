//! Values of YAML that are to be JSON in a request.

use crate::config::reader::Cursor;
use crate::config::values;
use crate::config::yaml::{Kind, Node, Scalar, Value};
use crate::wire::json::find;
use crate::wire::json::write::string;

/// A value of any type, as JSON.
pub(super) fn any(field: &Cursor<'_>) -> Option<String> {
    let mut out = Vec::new();
    match node(field.node(), &mut out) {
        Ok(()) => String::from_utf8(out).ok(),
        Err(why) => {
            field.fault(why);
            None
        }
    }
}

/// A value as kgateway has it: a text that is JSON is what it says, any other text is a text.
pub(super) fn any_or_text(field: &Cursor<'_>) -> Option<String> {
    let text = field.node_text().filter(|_| !field.node().is_null());
    match text.filter(|text| find::value(text.as_bytes(), &[]).is_some()) {
        Some(json) => Some(json.trim().to_owned()),
        None => any(field),
    }
}

fn node(node: &Node, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match &node.value {
        Value::Scalar(text) => return scalar(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (number, item) in items.iter().enumerate() {
                comma(number, out);
                self::node(item, out)?;
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (number, (key, value)) in entries.iter().enumerate() {
                comma(number, out);
                string(out, &key.text);
                out.push(b':');
                self::node(value, out)?;
            }
            out.push(b'}');
        }
        Value::Refused => return Err("holds something that was refused"),
    }
    Ok(())
}

fn comma(number: usize, out: &mut Vec<u8>) {
    if number > 0 {
        out.push(b',');
    }
}

fn scalar(scalar: &Scalar, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match scalar.kind() {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Kind::Text => string(out, &scalar.text),
        // YAML has notations of numbers that JSON lacks: 0x10, +1, .5, .inf.
        Kind::Integer | Kind::Float => match find::value(scalar.text.as_bytes(), &[]) {
            Some(_) => out.extend_from_slice(scalar.text.as_bytes()),
            None => match values::integer(&scalar.text) {
                Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
                None => return Err("holds a number that JSON cannot say"),
            },
        },
    }
    Ok(())
}
