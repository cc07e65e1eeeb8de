//! Changes to JSON that leave it JSON: values go, come, become others, or take each other's place under other names.

use super::mutate::Dice;
use serde_json::{Map, Value};

/// Scalars that a reader may not expect.
const SCALARS: [&str; 12] = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "18446744073709551615",
    "1e300",
    "\"\"",
    "\"\\u0000\\u2028\\n\\\"\"",
    "\"\u{fffd}é😀\"",
    "[]",
    "{}",
];

/// Changes one place of `value`. Values may come from `other`, names and texts from `words`.
pub(crate) fn change(value: &mut Value, other: &Value, words: &[String], dice: &mut Dice) {
    let count = count(value);
    let Some(place) = nth(value, &mut dice.below(count)) else { return };
    match (dice.below(7), &mut *place) {
        (0, _) => *place = scalar(dice),
        (1, _) => *place = some(other, dice).clone(),
        (2, Value::String(text)) => *text = word(words, dice),
        (2 | 3, Value::Array(elements)) if !elements.is_empty() => {
            let (from, to) = (dice.below(elements.len()), dice.below(elements.len()));
            match dice.below(3) {
                0 => drop(elements.remove(from)),
                1 => elements.insert(to, elements[from].clone()),
                _ => elements.swap(from, to),
            }
        }
        (2 | 3, Value::Object(members)) => member(members, other, words, dice),
        (4, Value::Array(elements)) => elements.push(some(other, dice).clone()),
        (4, Value::Object(members)) => drop(members.insert(word(words, dice), some(other, dice).clone())),
        (5, Value::String(text)) => text.push_str(&word(words, dice)),
        (5, _) => *place = Value::from(vec![place.take()]),
        _ => *place = word(words, dice).into(),
    }
}

/// A member goes, gets another name, or another value.
fn member(members: &mut Map<String, Value>, other: &Value, words: &[String], dice: &mut Dice) {
    let Some(name) = members.keys().nth(dice.below(members.len())).cloned() else { return };
    let Some(value) = members.remove(&name) else { return };
    match dice.below(4) {
        0 => {}
        1 => drop(members.insert(word(words, dice), value)),
        2 => drop(members.insert(name, scalar(dice))),
        _ => drop(members.insert(name, some(other, dice).clone())),
    }
}

fn scalar(dice: &mut Dice) -> Value {
    serde_json::from_str(SCALARS[dice.below(SCALARS.len())]).unwrap_or_default()
}

fn word(words: &[String], dice: &mut Dice) -> String {
    words.get(dice.below(words.len())).cloned().unwrap_or_default()
}

fn some<'v>(value: &'v Value, dice: &mut Dice) -> &'v Value {
    let mut left = dice.below(count(value));
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if left == 0 {
            return value;
        }
        left -= 1;
        match value {
            Value::Array(elements) => open.extend(elements),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
    value
}

/// How many values there are, all that are within others included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(elements) => elements.iter_mut().find_map(|element| nth(element, left)),
        Value::Object(members) => members.values_mut().find_map(|member| nth(member, left)),
        _ => None,
    }
}
