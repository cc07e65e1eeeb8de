//! Who calls: the values by which a client, and the accounts it spends from, are told from others.

use super::call::strip_bearer;
use crate::limit::{Caller, KeyPart, KeyText};
use crate::wire::http1::{Known, RequestHead};
use arrayvec::{ArrayString, ArrayVec};
use std::fmt::Write;
use std::net::SocketAddr;

/// The most parts of one key.
const PARTS_MAX: usize = 8;
/// The longest token whose claims are looked at.
const TOKEN_MAX: usize = 8 << 10;

/// What a request says about who asks for what.
pub(super) struct Asking<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) bytes: &'a [u8],
    pub(super) peer: SocketAddr,
    /// The digest of its credential: see [`api_key`].
    pub(super) api_key: Option<u128>,
    /// The model that the client names; empty when it names none.
    pub(super) model: &'a str,
    /// `namespace/name` of the route.
    pub(super) route: &'a str,
}

/// A value of a key, from the request or made of it.
enum Value<'a> {
    Of(&'a [u8]),
    Made(String),
}

impl Value<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Value::Of(bytes) => bytes,
            Value::Made(text) => text.as_bytes(),
        }
    }
}

impl Asking<'_> {
    fn value(&self, part: &KeyPart) -> Option<Value<'_>> {
        let value = match part {
            KeyPart::ApiKey => Value::Of(credential(self.head, self.bytes)?),
            KeyPart::Header(name) => {
                Value::Of(self.head.headers.get(self.bytes, name.as_bytes())?.of(self.bytes))
            }
            KeyPart::Source => Value::Made(self.peer.ip().to_canonical().to_string()),
            KeyPart::Model => Value::Of(self.model.as_bytes()),
            KeyPart::Route => Value::Of(self.route.as_bytes()),
            KeyPart::Claim(name) => Value::Made(claim(credential(self.head, self.bytes)?, name)?),
        };
        Some(value).filter(|value| !value.bytes().is_empty())
    }

    fn values(&self, parts: &[KeyPart]) -> Result<ArrayVec<Value<'_>, PARTS_MAX>, usize> {
        let values = parts.iter().take(PARTS_MAX).enumerate();
        values.map(|(place, part)| self.value(part).ok_or(place)).collect()
    }
}

impl Caller for Asking<'_> {
    fn key(&self, parts: &[KeyPart]) -> Result<u128, usize> {
        if let [KeyPart::ApiKey] = parts {
            return self.api_key.ok_or(0);
        }
        let values = self.values(parts)?;
        Ok(KeyText::digest(parts.iter().zip(values.iter().map(Value::bytes))))
    }

    /// The values, apart from credentials: those are named by their hash.
    fn label(&self, parts: &[KeyPart]) -> String {
        let values = self.values(parts);
        KeyText::label(parts.iter().zip(values.iter().flatten().map(Value::bytes)))
    }
}

/// The digest of the client's credential: the token of `Authorization`, else `x-api-key`; `None` without either.
pub(super) fn api_key(head: &RequestHead, bytes: &[u8]) -> Option<u128> {
    credential(head, bytes).map(KeyText::of_api_key)
}

/// The name that a record gives to a credential of that digest: the first 8 hexadecimal digits of its SHA-256; empty
/// without one. An operator finds the same by `printf %s "$KEY" | sha256sum | head -c 8`; nobody finds the key from
/// it.
pub(super) fn key_id(api_key: Option<u128>) -> ArrayString<8> {
    let mut id = ArrayString::new();
    if let Some(digest) = api_key {
        // Eight digits fit.
        let _ = write!(id, "{:08x}", digest >> 96);
    }
    id
}

fn credential<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let field = |known| head.headers.first(known).map(|span| span.of(bytes));
    let bearer = field(Known::Authorization).map(strip_bearer);
    let filled = |value: &&[u8]| !value.is_empty();
    bearer.filter(filled).or_else(|| field(Known::XApiKey)).filter(filled)
}

/// A claim of a JSON Web Token (RFC 7519), a text, a number or a truth value, as text. Its signature is not
/// looked at: who validates callers does so before.
fn claim(token: &[u8], name: &str) -> Option<String> {
    let payload = token.split(|byte| *byte == b'.').nth(1).filter(|_| token.len() <= TOKEN_MAX)?;
    match serde_json::from_slice::<serde_json::Value>(&base64url(payload)?).ok()?.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// Decodes base64url without padding (RFC 4648 section 5), as JSON Web Signature has it.
fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        match group.len() {
            4 => bytes.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(bits >> 2).to_be_bytes()[2..]),
            2 => bytes.push((bits >> 4) as u8),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::{HeadLimits, HeadScan};

    fn request(fields: &str) -> (RequestHead, Vec<u8>) {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let head = HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head");
        (head.expect("all of it"), bytes)
    }

    fn id(fields: &str) -> String {
        let (head, bytes) = request(fields);
        key_id(api_key(&head, &bytes)).to_string()
    }

    #[test]
    fn a_key_is_named_by_the_start_of_its_hash() {
        // FIPS 180-2 appendix B.1: SHA-256 of "abc" begins with ba7816bf.
        for (fields, expected) in [
            ("", ""),
            ("Authorization: Bearer abc\r\n", "ba7816bf"),
            ("authorization: bearer  abc \r\n", "ba7816bf"),
            ("authorization: abc\r\n", "ba7816bf"),
            ("X-Api-Key: abc\r\n", "ba7816bf"),
            ("x-api-key: other\r\nAuthorization: Bearer abc\r\n", "ba7816bf"),
            ("Authorization:\r\nx-api-key:\r\n", ""),
        ] {
            assert_eq!(id(fields), expected, "{fields:?}");
        }
        assert_ne!(id("x-api-key: abd\r\n"), "ba7816bf");
    }

    /// The payload is `{"sub":"ann","org":7,"admin":true,"none":null}`.
    const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJvcmciOjcsImFkbWluIjp0cnVlLCJub25lIjpudWxsfQ.x";

    #[test]
    fn keys_are_found_in_requests() {
        let fields = format!("Authorization: Bearer {JWT}\r\nX-Team: red\r\nX-Empty:\r\n");
        let (head, bytes) = request(&fields);
        let peer = SocketAddr::from(([10, 0, 0, 7], 40_000));
        let api_key = api_key(&head, &bytes);
        let asking = Asking { head: &head, bytes: &bytes, peer, api_key, model: "gpt-4o", route: "llm/chat" };
        let bare = Asking { model: "", ..asking };
        let (header, claim) = (|name: &str| KeyPart::Header(name.into()), |n: &str| KeyPart::Claim(n.into()));
        let key = format!("sha256:{:08x}", KeyText::of_api_key(JWT.as_bytes()) >> 96);
        for (asking, parts, expected) in [
            (&asking, vec![KeyPart::ApiKey], Ok(&*key)),
            (&asking, vec![header("x-team"), KeyPart::Model], Ok("red gpt-4o")),
            (&asking, vec![KeyPart::Source, KeyPart::Route], Ok("10.0.0.7 llm/chat")),
            (&asking, vec![claim("sub")], Ok("ann")),
            (&asking, vec![claim("org"), claim("admin")], Ok("7 true")),
            (&asking, vec![claim("none")], Err(0)),
            (&asking, vec![claim("who")], Err(0)),
            (&asking, vec![KeyPart::ApiKey, header("x-user")], Err(1)),
            (&asking, vec![header("x-empty")], Err(0)),
            (&bare, vec![KeyPart::Model], Err(0)),
        ] {
            let found = asking.key(&parts).map(|_| asking.label(&parts));
            assert_eq!(found.as_deref().map_err(|place| *place), expected, "{parts:?}");
        }
        let same = KeyText::digest([(&header("x-team"), &b"red"[..])]);
        assert_eq!(asking.key(&[header("x-team")]), Ok(same), "configuration finds the same account");
    }

    #[test]
    fn tokens_that_are_none_have_no_claims() {
        for token in ["", "abc", "a.b", "a.e30.c", "a.!!!!.c", "..", "a.eyJzdWIi.c", "a.W10.c", "a.IjEi.c"] {
            assert_eq!(claim(token.as_bytes(), "sub"), None, "{token}");
        }
        let long = format!("a.{}.c", "A".repeat(TOKEN_MAX));
        assert_eq!(claim(long.as_bytes(), "sub"), None);
        for (text, bytes) in [("", Some("")), ("Zg", Some("f")), ("Zm9v", Some("foo")), ("Z", None)] {
            assert_eq!(base64url(text.as_bytes()), bytes.map(|b| b.as_bytes().to_vec()));
        }
    }
}
