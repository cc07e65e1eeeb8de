//! The functions that expressions may call, beside the macros: of the language's standard `contains`, `endsWith`, `int`,
//! `matches`, `size`, `startsWith`, `string`; of its extensions `lowerAscii`, `upperAscii`; as in Kubernetes
//! `cidr(...).containsIP(...)`; as in agentgateway `default(...)`.

use super::Failed;
use super::Failed::Valueless;
use super::value::{List, Map, Value};
use std::borrow::Cow;

/// A function; what it is called on is its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Contains,
    EndsWith,
    StartsWith,
    LowerAscii,
    UpperAscii,
    Size,
    Text,
    Int,
    /// Its second argument where the first has no value.
    Default,
}

/// By name: how many arguments, and whether it is called on a value, as itself, or both.
pub(super) const FUNCTIONS: [(&str, Function, usize, Form); 9] = [
    ("contains", Function::Contains, 2, Form::On),
    ("endsWith", Function::EndsWith, 2, Form::On),
    ("startsWith", Function::StartsWith, 2, Form::On),
    ("lowerAscii", Function::LowerAscii, 1, Form::On),
    ("upperAscii", Function::UpperAscii, 1, Form::On),
    ("size", Function::Size, 1, Form::Both),
    ("string", Function::Text, 1, Form::Alone),
    ("int", Function::Int, 1, Form::Alone),
    ("default", Function::Default, 2, Form::Alone),
];

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    On,
    Alone,
    Both,
}

/// What a function of one argument makes of it.
pub(super) fn of_one<'a>(function: Function, value: Value<'a>, headers: usize) -> Result<Value<'a>, Failed> {
    match function {
        Function::LowerAscii => {
            Ok(Value::Text(cased(value, u8::is_ascii_uppercase, str::to_ascii_lowercase)?))
        }
        Function::UpperAscii => {
            Ok(Value::Text(cased(value, u8::is_ascii_lowercase, str::to_ascii_uppercase)?))
        }
        Function::Size => {
            let size = match &value {
                Value::Text(text) => text.chars().count(),
                Value::List(list) => list.len(),
                Value::Map(Map::Json(map)) => map.len(),
                Value::Map(Map::Empty) => 0,
                Value::Map(Map::Headers) => headers,
                _ => return Err(Valueless),
            };
            i64::try_from(size).map(Value::Int).map_err(|_| Valueless)
        }
        Function::Text => Ok(Value::Text(match value {
            Value::Text(text) => text,
            Value::Bool(value) => value.to_string().into(),
            Value::Int(value) => value.to_string().into(),
            Value::Uint(value) => value.to_string().into(),
            Value::Double(value) => value.to_string().into(),
            Value::Address(address) => address.to_string().into(),
            Value::Null | Value::List(_) | Value::Map(_) => return Err(Valueless),
        })),
        Function::Int => match value {
            Value::Int(_) => Ok(value),
            Value::Uint(value) => i64::try_from(value).map(Value::Int).map_err(|_| Valueless),
            Value::Double(value) => whole(value).map(Value::Int),
            Value::Text(text) => text.parse().map(Value::Int).map_err(|_| Valueless),
            _ => Err(Valueless),
        },
        Function::Contains | Function::EndsWith | Function::StartsWith | Function::Default => Err(Valueless),
    }
}

/// What a function of two texts says of them.
pub(super) fn of_two(function: Function, text: &str, other: &str) -> Result<bool, Failed> {
    match function {
        Function::Contains => Ok(memchr::memmem::find(text.as_bytes(), other.as_bytes()).is_some()),
        Function::EndsWith => Ok(text.ends_with(other)),
        Function::StartsWith => Ok(text.starts_with(other)),
        _ => Err(Valueless),
    }
}

/// A double without its fraction, where 64 bits hold it.
fn whole(value: f64) -> Result<i64, Failed> {
    // 2^63 is a double, 2^63 - 1 is none.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value > -LIMIT && value < LIMIT { Ok(value as i64) } else { Err(Valueless) }
}

fn cased<'a>(
    value: Value<'a>,
    is_other: fn(&u8) -> bool,
    fold: fn(&str) -> String,
) -> Result<Cow<'a, str>, Failed> {
    match value {
        Value::Text(text) if text.bytes().any(|byte| is_other(&byte)) => Ok(Cow::Owned(fold(&text))),
        Value::Text(text) => Ok(text),
        _ => Err(Valueless),
    }
}

/// Whether `value` is in a list or the name of something in a map.
pub(super) fn is_in<'a>(
    value: &Value<'a>,
    among: &Value<'a>,
    has_header: impl Fn(&str) -> bool,
    mut equals: impl FnMut(&Value<'a>, &Value<'a>) -> Result<bool, Failed>,
) -> Result<bool, Failed> {
    match among {
        Value::List(List::Json(list)) => {
            list.iter().try_fold(false, |found, one| Ok(found || equals(value, &Value::of_json(one))?))
        }
        Value::List(List::Made(list)) => {
            list.iter().try_fold(false, |found, one| Ok(found || equals(value, one)?))
        }
        Value::Map(Map::Json(map)) => Ok(map.contains_key(value.as_text()?)),
        Value::Map(Map::Headers) => Ok(has_header(value.as_text()?)),
        Value::Map(Map::Empty) => value.as_text().map(|_| false),
        _ => Err(Valueless),
    }
}
