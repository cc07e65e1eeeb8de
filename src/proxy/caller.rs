//! Who calls: the credential by which a client is told from others.

use super::call::strip_bearer;
use crate::wire::http1::{Known, RequestHead};
use arrayvec::ArrayString;
use ring::digest::{SHA256, digest};
use std::fmt::Write;

/// The name that a record gives to the client's credential: the first 8 hexadecimal digits of the SHA-256 of
/// the token of `Authorization`, else of `x-api-key`; empty without either. An operator finds the same by
/// `printf %s "$KEY" | sha256sum | head -c 8`; nobody finds the key from it.
pub(super) fn key_id(head: &RequestHead, bytes: &[u8]) -> ArrayString<8> {
    let mut id = ArrayString::new();
    if let Some(credential) = credential(head, bytes) {
        for byte in &digest(&SHA256, credential).as_ref()[..4] {
            // Two digits for each of four bytes fit.
            let _ = write!(id, "{byte:02x}");
        }
    }
    id
}

fn credential<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let field = |known| head.headers.first(known).map(|span| span.of(bytes));
    let bearer = field(Known::Authorization).map(strip_bearer);
    let filled = |value: &&[u8]| !value.is_empty();
    bearer.filter(filled).or_else(|| field(Known::XApiKey)).filter(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::{HeadLimits, HeadScan};

    fn id(fields: &str) -> String {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let head = HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head");
        key_id(&head.expect("all of it"), &bytes).to_string()
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
}
