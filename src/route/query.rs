//! Query parameters, read where they stand: no copy, no allocation.
//!
//! A query is read as `application/x-www-form-urlencoded` (WHATWG URL standard section 5.1): pairs between
//! `&`, the name before the first `=`, `+` for a space, `%XX` for a byte; a `%` without two hexadecimal
//! digits after it stands for itself. Of a repeated parameter the first value counts, as the Gateway API
//! recommends ("it is recommended that the first value of the param is used").

use super::matches::ValueMatch;
use arrayvec::ArrayVec;

/// The longest decoded value, in bytes, that an expression is tried on when the value had to be decoded;
/// longer ones do not match. Values without escapes are matched where they stand, at any length.
pub(super) const DECODED_BYTES_MAX: usize = 4096;

/// Whether the parameter `name` is in `query` and `wanted` takes its first value.
pub(super) fn accepts(query: Option<&[u8]>, name: &str, wanted: &ValueMatch) -> bool {
    query.and_then(|query| first_value(query, name)).is_some_and(|value| accepts_value(value, wanted))
}

/// What `then` makes of the first value of `name`, decoded; nothing where that is longer than [`DECODED_BYTES_MAX`].
pub(super) fn with_value<T>(
    query: Option<&[u8]>,
    name: &str,
    then: impl FnOnce(&[u8]) -> Option<T>,
) -> Option<T> {
    let encoded = first_value(query?, name)?;
    if !is_encoded(encoded) {
        return then(encoded);
    }
    let mut decoded = ArrayVec::<u8, DECODED_BYTES_MAX>::new();
    let fits = Decoded(encoded).all(|byte| decoded.try_push(byte).is_ok());
    fits.then(|| then(&decoded)).flatten()
}

/// The first value of `name`, still encoded.
fn first_value<'q>(query: &'q [u8], name: &str) -> Option<&'q [u8]> {
    query
        .split(|byte| *byte == b'&')
        .map(split_pair)
        .find(|(key, _)| equals(key, name))
        .map(|(_, value)| value)
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

fn accepts_value(encoded: &[u8], wanted: &ValueMatch) -> bool {
    match wanted {
        ValueMatch::Exact(whole) => equals(encoded, whole),
        ValueMatch::Regex(_) if !is_encoded(encoded) => wanted.accepts(encoded),
        ValueMatch::Regex(_) => {
            let mut decoded = ArrayVec::<u8, DECODED_BYTES_MAX>::new();
            Decoded(encoded).all(|byte| decoded.try_push(byte).is_ok()) && wanted.accepts(&decoded)
        }
    }
}

fn is_encoded(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'%' | b'+'))
}

/// Whether `encoded` decodes to `plain`.
fn equals(encoded: &[u8], plain: &str) -> bool {
    Decoded(encoded).eq(plain.bytes())
}

/// The bytes that an encoded name or value stands for; it holds what is left to decode.
#[derive(Clone)]
struct Decoded<'q>(&'q [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, taken) = match *self.0 {
            [] => return None,
            [b'%', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            [b'+', ..] => (b' ', 1),
            [byte, ..] => (byte, 1),
        };
        self.0 = &self.0[taken..];
        Some(byte)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::full_regex;

    #[test]
    fn exact_values_are_compared_decoded() {
        for (query, name, value, taken) in [
            ("animal=whale", "animal", "whale", true),
            ("animal=Whale", "animal", "whale", false),
            ("ANIMAL=whale", "animal", "whale", false),
            ("a=1&animal=whale&b=2", "animal", "whale", true),
            ("animal=cat&animal=whale", "animal", "cat", true),
            ("animal=cat&animal=whale", "animal", "whale", false),
            ("animal=blue+whale", "animal", "blue whale", true),
            ("animal=blue%20whale", "animal", "blue whale", true),
            ("animal=blue%2Bwhale", "animal", "blue+whale", true),
            ("%61nimal=wh%61le", "animal", "whale", true),
            ("animal=caf%C3%A9", "animal", "café", true),
            ("animal=a=b", "animal", "a=b", true),
            ("animal=100%", "animal", "100%", true),
            ("animal=%zz%4", "animal", "%zz%4", true),
            ("animal", "animal", "", true),
            ("animal=", "animal", "", true),
            ("animals=whale", "animal", "whale", false),
            ("&&animal=whale&", "animal", "whale", true),
            ("", "animal", "", false),
        ] {
            let wanted = ValueMatch::Exact(value.into());
            assert_eq!(accepts(Some(query.as_bytes()), name, &wanted), taken, "{query}");
        }
        assert!(!accepts(None, "animal", &ValueMatch::Exact(String::new())));
    }

    #[test]
    fn expressions_see_the_decoded_value_up_to_a_bound() {
        let wanted = ValueMatch::Regex(full_regex("blue whale|x+").expect("an expression"));
        let long = "x".repeat(DECODED_BYTES_MAX);
        for (query, taken) in [
            ("a=blue+whale".to_owned(), true),
            ("a=blue%20whale".to_owned(), true),
            ("a=blue%20whales".to_owned(), false),
            ("a=%ff".to_owned(), false),
            (format!("a={long}xx"), true),
            (format!("a={}%78", &long[1..]), true),
            (format!("a={long}%78"), false),
        ] {
            assert_eq!(accepts(Some(query.as_bytes()), "a", &wanted), taken, "{} bytes", query.len());
        }
    }
}
