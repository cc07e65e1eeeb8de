//! Claims of JSON Web Tokens (RFC 7519), unverified.

use crate::base::base64;
use serde_json::Value;
use std::borrow::Cow;

/// The longest token whose claims are looked at.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// The claim `name` of `token`, a text, a number or a truth value, as text. Its signature is not
/// looked at: this is for where nobody had to validate it.
pub fn claim(token: &[u8], name: &str) -> Option<String> {
    let payload = token.split(|byte| *byte == b'.').nth(1).filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
    scalar(serde_json::from_slice::<Value>(&base64::decode_url(payload)?).ok()?.get(name)?)
        .map(Cow::into_owned)
}

/// A text, a number or a truth value, as text: what limits and records take of a claim, or of what is said of a key.
pub fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_str())),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_are_none_have_no_claims() {
        for token in ["", "abc", "a.b", "a.e30.c", "a.!!!!.c", "..", "a.eyJzdWIi.c", "a.W10.c", "a.IjEi.c"] {
            assert_eq!(claim(token.as_bytes(), "sub"), None, "{token}");
        }
        let long = format!("a.{}.c", "A".repeat(TOKEN_BYTES_MAX));
        assert_eq!(claim(long.as_bytes(), "sub"), None);
    }
}
