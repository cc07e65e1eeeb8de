//! Values, and how two of them compare.

use super::Failed;
use super::Failed::Valueless;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

/// What a part of an expression stands for; texts and what came as JSON are borrowed.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Address(IpAddr),
    List(List<'a>),
    Map(Map<'a>),
}

/// A list: one of JSON, or one that the expression makes.
#[derive(Clone, Debug)]
pub(super) enum List<'a> {
    Json(&'a [Json]),
    Made(Vec<Value<'a>>),
}

/// A map by texts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Map<'a> {
    Json(&'a serde_json::Map<String, Json>),
    /// One without anything in it.
    Empty,
    /// The headers of the request.
    Headers,
}

impl<'a> Value<'a> {
    pub(super) fn of_json(json: &'a Json) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => Value::Int(value),
                (None, Some(value), _) => Value::Uint(value),
                (None, None, value) => Value::Double(value.unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::text(text),
            Json::Array(list) => Value::List(List::Json(list)),
            Json::Object(map) => Value::Map(Map::Json(map)),
        }
    }

    pub(super) fn text(text: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(text))
    }

    pub(super) fn as_text(&self) -> Result<&str, Failed> {
        match self {
            Value::Text(text) => Ok(text),
            _ => Err(Valueless),
        }
    }

    pub(super) fn as_bool(&self) -> Result<bool, Failed> {
        match self {
            Value::Bool(value) => Ok(*value),
            _ => Err(Valueless),
        }
    }

    /// An address, or a text that is one.
    pub(super) fn as_address(&self) -> Result<IpAddr, Failed> {
        match self {
            Value::Address(address) => Ok(*address),
            Value::Text(text) => {
                text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(|_| Valueless)
            }
            _ => Err(Valueless),
        }
    }

    /// How many bytes of text it costs to look at it.
    pub(super) fn weight(&self) -> usize {
        if let Value::Text(text) = self { text.len() } else { 0 }
    }
}

impl List<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            List::Json(list) => list.len(),
            List::Made(list) => list.len(),
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn get(&self, place: usize) -> Option<Value<'a>> {
        match self {
            List::Json(list) => list.get(place).map(Value::of_json),
            List::Made(list) => list.get(place).cloned(),
        }
    }
}

/// Whether two values are equal. Those of different kinds are not (cel-spec, "Equality"), but numbers are compared as
/// numbers, and an address with a text that is to be one.
pub(super) fn equal(one: &Value<'_>, other: &Value<'_>) -> Result<bool, Failed> {
    Ok(match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Address(_), Value::Address(_) | Value::Text(_)) | (Value::Text(_), Value::Address(_)) => {
            one.as_address()? == other.as_address()?
        }
        (Value::List(List::Json(one)), Value::List(List::Json(other))) => one == other,
        (Value::List(one), Value::List(other)) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for place in 0..one.len() {
                match (one.get(place), other.get(place)) {
                    (Some(one), Some(other)) if equal(&one, &other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Map(Map::Json(one)), Value::Map(Map::Json(other))) => one == other,
        (Value::Map(Map::Headers), Value::Map(_)) | (Value::Map(_), Value::Map(Map::Headers)) => {
            return Err(Valueless);
        }
        (Value::Map(Map::Empty), Value::Map(Map::Json(map)))
        | (Value::Map(Map::Json(map)), Value::Map(Map::Empty)) => map.is_empty(),
        (Value::Map(Map::Empty), Value::Map(Map::Empty)) => true,
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => numbers(one, other) == Some(Ordering::Equal),
        _ => false,
    })
}

/// How two values of one kind that has an order compare; `None` where one is no number (NaN).
pub(super) fn compare(one: &Value<'_>, other: &Value<'_>) -> Result<Option<Ordering>, Failed> {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => Ok(Some(one.cmp(other))),
        (Value::Bool(one), Value::Bool(other)) => Ok(Some(one.cmp(other))),
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => Ok(numbers(one, other)),
        _ => Err(Valueless),
    }
}

/// Numbers on one line, whatever their kinds.
fn numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (whole(one), whole(other), one, other) {
        (Some(one), Some(other), ..) => Some(one.cmp(&other)),
        (None, None, Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Some(one), None, _, Value::Double(other)) => against(one, *other),
        (None, Some(other), Value::Double(one), _) => against(other, *one).map(Ordering::reverse),
        _ => None,
    }
}

/// A whole number of 65 bits against a double, without a loss.
fn against(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // What is beyond 128 bits is cut to its ends, which are beyond 65 bits all the same.
    let floor = double.floor();
    Some(whole.cmp(&(floor as i128)).then(if floor < double { Ordering::Less } else { Ordering::Equal }))
}
